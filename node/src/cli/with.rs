//! What every command has: its own arguments, and how to reach the cluster.

use clap::Args;

use super::Failure;
use super::Global;
use super::connection::Connection;

/// A command's own arguments and the global ones.
#[derive(Args, Clone, Debug)]
pub struct With<Arguments: Args> {
    #[command(flatten)]
    pub(super) arguments: Arguments,
    #[command(flatten)]
    pub(super) global: Global,
}

/// A command without arguments of its own.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Nothing {}

/// Makes connections for commands: `before` are the flags that stood before the command's name.
pub(super) struct Connector {
    pub(super) before: Global,
}

impl Connector {
    /// A connection with these flags, completed; with `--user` it has already shown who it is.
    pub(super) async fn open(&self, global: Global) -> Result<Connection, Failure> {
        Connection::open(global.or(self.before.clone()), |name| std::env::var_os(name)).await
    }
}
