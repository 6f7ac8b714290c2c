//! `kvorum endpoint hashkv`.

use std::io::Write as _;

use clap::Args;
use futures::future::join_all;
use kvorum_api::etcdserverpb::{HashKvRequest, HashKvResponse};
use kvorum_client::Repeat;
use serde_json::json;

use super::{Connection, Failure, Table, clients, output, view};

/// Arguments of `endpoint hashkv`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct HashKv {
    /// Ask every member of the cluster instead of the endpoints given.
    #[arg(long)]
    cluster: bool,
    /// Revision to hash at; 0 for the newest.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    rev: i64,
}

pub(in crate::cli) async fn hashkv(arguments: &HashKv, connection: &Connection) -> Result<(), Failure> {
    let revision = arguments.rev;
    let clients = clients(arguments.cluster, connection).await?;
    let answers = join_all(clients.iter().map(async |client| {
        let request = HashKvRequest { revision };
        let answer: Result<HashKvResponse, _> = client.call("/v3/maintenance/hashkv", &request, Repeat::Freely).await;
        (client.endpoints()[0].to_string(), answer)
    }))
    .await;
    let mut hashes = Vec::new();
    let mut failure = None;
    for (endpoint, answer) in answers {
        match answer {
            Ok(hash) => hashes.push((endpoint, hash)),
            Err(error) => {
                let text = format!("Failed to get the hash of endpoint {endpoint} ({})", error.chain());
                writeln!(std::io::stderr(), "{text}")?;
                failure = Some(error);
            }
        }
    }
    let view: Vec<_> = hashes
        .iter()
        .map(|(endpoint, hash)| json!({"Endpoint": endpoint, "HashKV": view::plain(hash)}))
        .collect();
    let table = || {
        let mut table = Table::new(["ENDPOINT", "HASH", "HASH REVISION"]);
        for (endpoint, hash) in &hashes {
            table.row([endpoint.clone(), hash.hash.to_string(), hash.hash_revision.to_string()]);
        }
        table
    };
    let text = output::render(connection.format, &view, table, |text| {
        for (endpoint, hash) in &hashes {
            let line = format!("{endpoint}, {}, {}", hash.hash, hash.hash_revision);
            output::line(text, line.as_bytes());
        }
    })?;
    output::print(&text)?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}
