//! A Kubernetes of three nodes on one machine: each node is a network and mount namespace with its own containerd,
//! kubelet and kube-proxy, on one bridge; the control plane runs on the machine itself.
//!
//! Modules that decide (what exists, with which names, files and arguments): `components`, `topology`, `layout`,
//! `authority`, `settings`, `programs`, `store`. Modules that act: all others.
//!
//! Kept true throughout:
//! - every process of the cluster lies in a control group below `kvorum-e2e`, from before its first instruction, so that
//!   taking the cluster down finds each of them however the last run ended;
//! - everything else that the cluster makes on the machine lies in the state folder or carries the name `kvorum`, and
//!   what it changes (a handful of kernel settings) is written down first, so that `down` puts it back.

pub mod authority;
pub mod cgroups;
pub mod commands;
pub mod components;
pub mod down;
pub mod external;
pub mod layout;
pub mod leftovers;
pub mod network;
pub mod nodes;
pub mod process;
pub mod programs;
pub mod record;
pub mod settings;
pub mod site;
pub mod status;
pub mod store;
pub mod toolchain;
pub mod topology;
pub mod tunables;
pub mod up;
pub mod wait;
