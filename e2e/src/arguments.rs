//! The command line of `kvorum-e2e`: what can be asked for, and how it is described to whoever asks for help.

use clap::{Parser, Subcommand, ValueEnum};
use kvorum_e2e::cluster::store::StoreKind;
use std::ffi::OsString;
use std::path::PathBuf;

/// The command line.
#[derive(Parser)]
#[command(
    name = "kvorum-e2e",
    version,
    about = "A real Kubernetes on this machine, and the images that run on it"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// What is to be done.
#[derive(Subcommand)]
pub(crate) enum Task {
    /// Build the programs of the cluster; a second time costs nothing
    Build,
    /// Bring the cluster up, or say that it runs
    Up {
        /// How many nodes
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
        /// What keeps the API server's state: etcd, unless told; Kvorum is the release binary beside this program
        #[arg(long, value_enum, env = "KVORUM_E2E_STORE")]
        store: Option<StoreKind>,
    },
    /// Take the cluster down and leave nothing behind
    Down,
    /// Tell the cluster's state; exit status 1 when it is not well
    Status {
        /// For people or for programs
        #[arg(short, long, default_value = "text")]
        output: Format,
    },
    /// Import image archives into every node
    LoadImage {
        /// Archives as `docker save` writes them
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Put images together from release binaries and bring them to the cluster, if one runs
    Images {
        /// Which images; all of them when none is named
        names: Vec<String>,
        /// Where the release binaries lie; beside this program, unless told
        #[arg(long)]
        binaries: Option<PathBuf>,
        /// For people or for programs
        #[arg(short, long, default_value = "text")]
        output: Format,
    },
    /// Print the path of the cluster's kubeconfig
    Kubeconfig {
        /// Print a line for the shell instead: export KUBECONFIG=…
        #[arg(long)]
        export: bool,
    },
    /// List everything of the cluster that is still on this machine; exit status 1 when there is anything
    Leftovers,
    /// Break a node, or mend it
    Node {
        /// What to do to it
        #[arg(value_enum)]
        action: NodeAction,
        /// Which node, such as node1
        name: String,
    },
    /// Run kubectl against the cluster
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run helm against the cluster
    #[command(disable_help_flag = true)]
    Helm {
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What can be done to a node.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum NodeAction {
    /// End all its processes at once, pods included, and pull its cable
    Kill,
    /// Switch a killed node on again
    Start,
    /// Pull its cable
    Cut,
    /// Put its cable back
    Join,
}
