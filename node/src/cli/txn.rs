//! `kvorum txn`: a transaction in etcdctl's small language, read from standard input.
//!
//! ```text
//! mod("a") > "0"          conditions, one per line, then an empty line
//!
//! put a "new value"       what is done when all hold, then an empty line
//!
//! get a                   what is done otherwise, then an empty line or the end
//! ```

mod parse;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use kvorum_api::etcdserverpb::{TxnRequest, TxnResponse, response_op::Response};

use super::connection::Connection;
use super::output::{self, Text, line};
use super::{Failure, del, view};

/// Longer than any transaction that a member takes.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Examples.
pub(super) const EXAMPLES: &str = r#"Examples:
  kvorum txn <<'END'
  mod("a") > "0"
  value("b") = "old"

  put b new

  get b
  END
Conditions compare c or create, m or mod, ver or version, val or value, lease, with <, =, != or >."#;

/// Arguments of `txn`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Txn {
    /// Say what is asked for next.
    #[arg(short, long)]
    interactive: bool,
}

pub(super) async fn run(arguments: Txn, connection: &Connection) -> Result<(), Failure> {
    let request = read(arguments)?;
    let response = connection.client.txn(&request).await?;
    let text = output::render(
        connection.format,
        &view::plain(&response),
        || output::pairs_table(&pairs(&response)),
        |text| simple(&response, text),
    )?;
    output::print(&text)
}

fn read(arguments: Txn) -> Result<TxnRequest, Failure> {
    let stdin = std::io::stdin();
    if arguments.interactive || stdin.is_terminal() {
        writeln!(
            std::io::stderr(),
            "Type conditions, an empty line, what to do when they hold, an empty line, what to do otherwise; end with Ctrl-D."
        )?;
    }
    let mut text = String::new();
    stdin
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| Failure::File {
            path: PathBuf::from("standard input"),
            source,
        })?;
    parse::txn(&text).map_err(Failure::Usage)
}

fn pairs(response: &TxnResponse) -> Vec<kvorum_api::mvccpb::KeyValue> {
    let ranges = response.responses.iter().filter_map(|it| match &it.response {
        Some(Response::ResponseRange(range)) => Some(range.kvs.clone()),
        _ => None,
    });
    ranges.flatten().collect()
}

fn simple(response: &TxnResponse, text: &mut Text) {
    line(text, if response.succeeded { b"SUCCESS" } else { b"FAILURE" });
    for done in &response.responses {
        line(text, b"");
        match &done.response {
            Some(Response::ResponseRange(range)) => range.kvs.iter().for_each(|kv| output::pair(text, kv)),
            Some(Response::ResponsePut(put)) => {
                line(text, b"OK");
                if let Some(kv) = &put.prev_kv {
                    output::pair(text, kv);
                }
            }
            Some(Response::ResponseDeleteRange(deleted)) => del::simple(deleted, text),
            Some(Response::ResponseTxn(inner)) => simple(inner, text),
            None => {}
        }
    }
}
