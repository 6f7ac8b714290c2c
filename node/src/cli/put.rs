//! `kvorum put`.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use kvorum_api::etcdserverpb::{PutRequest, PutResponse};

use super::connection::Connection;
use super::output::{self, Text};
use super::{Failure, Format, Global, lease, view};

/// Most bytes read from standard input: well above what any server takes, and far below what would hurt this machine.
const VALUE_BYTES_MAX: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  kvorum put greeting hello               prints OK
  kvorum put greeting -- -5               a value that begins with a dash
  kvorum put config < config.json         the value from standard input
  kvorum put greeting hi --prev-kv        and the pair that was there before
  kvorum put greeting hi --lease 694d…    the key lives as long as the lease
  kvorum put greeting --ignore-value --lease 694d…
                                          the same value, under another lease";

/// Arguments of `put`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct Put {
    #[command(flatten)]
    pub(super) arguments: Arguments,
    #[command(flatten)]
    pub(super) global: Global,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    /// The key.
    key: OsString,
    /// The value; read from standard input when absent.
    #[arg(conflicts_with = "ignore_value")]
    value: Option<OsString>,
    /// Print the pair that was there before as well.
    #[arg(long)]
    prev_kv: bool,
    /// Id of the lease that the key shall live under, in hexadecimal.
    #[arg(long, value_name = "ID", value_parser = lease::id, default_value = "0", hide_default_value = true)]
    lease: i64,
    /// Keep the value that the key has.
    #[arg(long)]
    ignore_value: bool,
    /// Keep the lease that the key has.
    #[arg(long)]
    ignore_lease: bool,
}

pub(super) async fn run(mut arguments: Arguments, connection: &Connection) -> Result<(), Failure> {
    let value = match arguments.take_value() {
        Some(value) => value,
        None if arguments.ignore_value => Bytes::new(),
        None => standard_input()?.into(),
    };
    let response = connection.client.put(&arguments.request(value)).await?;
    output::print(&render(&response, connection.format)?)
}

impl Arguments {
    /// The value on the command line, taken out.
    pub(super) fn take_value(&mut self) -> Option<Bytes> {
        self.value.take().map(|value| value.into_vec().into())
    }

    pub(super) fn request(self, value: Bytes) -> PutRequest {
        PutRequest {
            key: self.key.into_vec().into(),
            value,
            lease: self.lease,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        }
    }
}

pub(super) fn render(response: &PutResponse, format: Format) -> Result<Text, Failure> {
    let table = || output::pairs_table(response.prev_kv.as_slice());
    output::render(format, &view::Put::from(response), table, |text| {
        output::line(text, b"OK");
        if let Some(kv) = &response.prev_kv {
            output::pair(text, kv);
        }
    })
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let failure = |source| Failure::File {
        path: PathBuf::from("standard input"),
        source,
    };
    let stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        writeln!(std::io::stderr(), "Type the value and end it with Ctrl-D.")?;
    }
    let mut value = Vec::new();
    stdin
        .take(VALUE_BYTES_MAX + 1)
        .read_to_end(&mut value)
        .map_err(failure)?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "the value is larger than {VALUE_BYTES_MAX} bytes"
        )));
    }
    Ok(value)
}
