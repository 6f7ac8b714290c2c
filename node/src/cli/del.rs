//! `kvorum del`.

use clap::Args;
use kvorum_api::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};

use super::connection::Connection;
use super::output::{self, Text};
use super::range::Keys;
use super::{Failure, Format, Global, view};

const EXAMPLES: &str = "\
Examples:
  kvorum del greeting                   prints how many keys were deleted
  kvorum del app/ --prefix              every key that begins with app/
  kvorum del a c                        keys from a up to, but without, c
  kvorum del greeting --prev-kv         and what was deleted";

/// Arguments of `del`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct Del {
    #[command(flatten)]
    pub(super) arguments: Arguments,
    #[command(flatten)]
    pub(super) global: Global,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    keys: Keys,
    /// Print the pairs deleted as well.
    #[arg(long)]
    prev_kv: bool,
    /// Accepted as etcdctl does, where it skips a pause before a range is deleted. There is no pause here.
    #[arg(long, hide_short_help = true)]
    range: bool,
}

pub(super) async fn run(arguments: &Arguments, connection: &Connection) -> Result<(), Failure> {
    let response = connection.client.delete_range(&arguments.request()).await?;
    output::print(&render(&response, connection.format)?)
}

impl Arguments {
    pub(super) fn request(&self) -> DeleteRangeRequest {
        let (key, range_end) = self.keys.span();
        DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.prev_kv,
        }
    }
}

pub(super) fn render(response: &DeleteRangeResponse, format: Format) -> Result<Text, Failure> {
    let table = || output::pairs_table(&response.prev_kvs);
    output::render(format, &view::Del::from(response), table, |text| simple(response, text))
}

/// How many were deleted, and which, if that was asked for.
pub(super) fn simple(response: &DeleteRangeResponse, text: &mut Text) {
    output::line(text, response.deleted.to_string().as_bytes());
    for kv in &response.prev_kvs {
        output::pair(text, kv);
    }
}
