//! `kvorum compact` and `kvorum defrag`.

use clap::Args;
use kvorum_api::etcdserverpb::{CompactionRequest, CompactionResponse, DefragmentRequest, DefragmentResponse};
use kvorum_client::Repeat;

use super::connection::Connection;
use super::output::{self, said};
use super::{Failure, endpoint, view};
use std::io::Write as _;
use std::time::Instant;

/// Examples of `compact`.
pub(super) const COMPACT: &str = "\
Examples:
  kvorum compact 1000                   forgets what keys were before revision 1000
  kvorum compact 1000 --physical        and waits until the space is free";
/// Examples of `defrag`.
pub(super) const DEFRAG: &str = "\
Examples:
  kvorum defrag --cluster               every member, one after the other";

/// Arguments of `compact`.
#[derive(Args, Clone, Debug)]
pub struct Compact {
    /// The oldest revision that stays.
    revision: i64,
    /// Wait until the space is free.
    #[arg(long)]
    physical: bool,
}

/// Arguments of `defrag`.
#[derive(Args, Clone, Debug)]
pub struct Defrag {
    /// Every member of the cluster instead of the endpoints given.
    #[arg(long)]
    cluster: bool,
}

pub(super) async fn compact(arguments: &Compact, connection: &Connection) -> Result<(), Failure> {
    let &Compact { revision, physical } = arguments;
    let request = CompactionRequest { revision, physical };
    let response: CompactionResponse = connection
        .client
        .call("/v3/kv/compaction", &request, Repeat::IfNotDone)
        .await?;
    let text = format!("compacted revision {revision}");
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}

pub(super) async fn defrag(arguments: &Defrag, connection: &Connection) -> Result<(), Failure> {
    let mut failed = None;
    for client in endpoint::clients(arguments.cluster, connection).await? {
        let name = client.endpoints()[0].to_string();
        let started = Instant::now();
        let answer: Result<DefragmentResponse, _> = client
            .call("/v3/maintenance/defragment", &DefragmentRequest {}, Repeat::Freely)
            .await;
        let took = started.elapsed();
        match answer {
            Ok(response) => {
                let text = format!("Finished defragmenting etcd member[{name}]. took {took:?}");
                output::print(&said(connection.format, &view::plain(&response), &text)?)?;
            }
            Err(error) => {
                let text = format!(
                    "Failed to defragment etcd member[{name}]. took {took:?}. ({})",
                    error.chain()
                );
                writeln!(std::io::stderr(), "{text}")?;
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
