//! The Kubernetes scenarios: each has a namespace of its own, applies YAML as a user would, breaks something, and checks
//! all the while what must stay true. They need a cluster with the images on it: `make e2e` brings both.
//!
//! `world` is the stage (namespaces, waiting, what is shown after a failure), `api` speaks to the API server, `operator`
//! sees to it that there is one, `kvcluster` is the cluster under test, `crowd` runs the workload, `audit` counts writes,
//! `processors` tells what others took of the machine.
//! Every other module is a scenario.

#![allow(
    clippy::print_stdout,
    reason = "a scenario that fails tells its story on standard output"
)]

mod api;
mod audit;
mod crowd;
mod kvcluster;
mod operator;
mod processors;
mod world;

mod compaction;
mod drift;
mod emptied_volume;
mod first_cluster;
mod harness;
mod helm;
mod life_under_load;
mod many_objects;
mod operator_killed;
mod refused;
