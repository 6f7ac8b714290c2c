//! The command line of the operator. Every flag can also be given in the environment.
//!
//! What it must keep true: the defaults run as they are inside a cluster; a value that makes no sense is refused at start.
//!
//! Deliberately not here: anything about one cluster, which belongs into its `KvCluster`.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kvorum_plan::cluster::DEFAULT_NODE_IMAGE;

/// The operator of Kvorum: keeps every KvCluster healthy, encrypted and as its spec says.
///
/// Run it inside Kubernetes with the chart `charts/kvorum-operator`, or outside with a KUBECONFIG for trying things out:
///
///   kvorum-operator --namespaces demo --lease-namespace demo
///
/// Two replicas may run at once: one leads, the other stands by and takes over within seconds.
#[derive(Debug, Parser)]
#[command(name = "kvorum-operator", version, max_term_width = 120)]
pub struct CommandLine {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `run`.
    #[command(flatten)]
    pub run: RunOptions,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch KvClusters and act on them (the default).
    Run(RunOptions),
}

/// Settings of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Namespaces to look after, separated by commas; all when left out (needs cluster-wide rights).
    #[arg(
        long,
        visible_alias = "namespace",
        env = "KVORUM_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub namespaces: Vec<String>,

    /// Where /metrics, /livez and /readyz are served, plain HTTP.
    #[arg(
        long,
        env = "KVORUM_METRICS_ADDR",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub metrics_addr: SocketAddr,

    /// How log lines look. What is logged follows RUST_LOG, `info` when that is not set.
    #[arg(long, env = "KVORUM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Name of the Lease by which replicas elect their leader.
    #[arg(
        long,
        env = "KVORUM_LEASE_NAME",
        default_value = "kvorum-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,

    /// Namespace of the Lease; the operator's own when left out.
    #[arg(long, env = "KVORUM_LEASE_NAMESPACE", value_name = "NAME")]
    pub lease_namespace: Option<String>,

    /// This replica's name in the Lease and in events; the pod's or the machine's name when left out. A random part is
    /// added, so that a restarted process is not taken for the one before it.
    #[arg(long, env = "KVORUM_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Image of the storage node, for KvClusters that name none; `{version}` stands for their spec.version.
    #[arg(short = 's', long, env = "KVORUM_NODE_IMAGE", default_value = DEFAULT_NODE_IMAGE, value_name = "IMAGE")]
    pub image: String,

    /// DNS domain of the Kubernetes cluster; read from /etc/resolv.conf when left out.
    #[arg(long, env = "KVORUM_CLUSTER_DOMAIN", value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,

    /// How many clusters are worked on at the same time.
    #[arg(long, env = "KVORUM_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound_and_run_may_be_left_out() {
        CommandLine::command().debug_assert();
        let bare = CommandLine::parse_from(["kvorum-operator", "--namespaces", "a,b"]);
        assert_eq!(bare.run.namespaces, ["a", "b"]);
        let named = CommandLine::parse_from(["kvorum-operator", "run", "--concurrency", "2"]);
        assert!(matches!(named.command, Some(Command::Run(options)) if options.concurrency == 2));
        assert!(CommandLine::try_parse_from(["kvorum-operator", "--concurrency", "0"]).is_err());
    }
}
