//! `kvorum get`.

use clap::{Args, ValueEnum};
use kvorum_api::etcdserverpb::{
    RangeRequest, RangeResponse,
    range_request::{SortOrder, SortTarget},
};

use super::connection::Connection;
use super::output::{self, Text};
use super::range::Keys;
use super::{Failure, Format, Global, view};

const EXAMPLES: &str = "\
Examples:
  kvorum get greeting                       key and value, on two lines
  kvorum get greeting --print-value-only    the value alone, for scripts
  kvorum get app/ --prefix --keys-only      every key that begins with app/
  kvorum get a c                            keys from a up to, but without, c
  kvorum get '' --prefix --count-only       how many keys there are
  kvorum get greeting --rev 7 -o json       what it was at revision 7, with its revisions
  kvorum get jobs/ --prefix --sort-by CREATE --order DESCEND --limit 1
                                            the newest job";

/// Arguments of `get`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct Get {
    #[command(flatten)]
    pub(super) arguments: Arguments,
    #[command(flatten)]
    pub(super) global: Global,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    keys: Keys,
    /// Most pairs to print; 0 for all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    limit: i64,
    /// Revision to read at; 0 for the newest.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    rev: i64,
    /// Leave the values out.
    #[arg(long, conflicts_with = "count_only")]
    keys_only: bool,
    /// Print only how many keys there are.
    #[arg(long)]
    count_only: bool,
    /// Print values without their keys (format simple only).
    #[arg(long)]
    print_value_only: bool,
    /// l: linearizable, as of now; s: serializable, what the member asked knows, possibly old.
    #[arg(long, value_enum, default_value_t = Consistency::Linearizable, value_name = "l|s")]
    consistency: Consistency,
    /// Direction.
    #[arg(long, value_enum, ignore_case = true)]
    order: Option<Order>,
    /// What to sort by; the key unless said otherwise.
    #[arg(long, value_enum, ignore_case = true, value_name = "TARGET")]
    sort_by: Option<Target>,
    /// Leave out keys made before this revision.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    min_create_rev: i64,
    /// Leave out keys made after this revision.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    max_create_rev: i64,
    /// Leave out keys last changed before this revision.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    min_mod_rev: i64,
    /// Leave out keys last changed after this revision.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    max_mod_rev: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Consistency {
    #[value(name = "l")]
    Linearizable,
    #[value(name = "s")]
    Serializable,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Order {
    Ascend,
    Descend,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Target {
    Create,
    Key,
    Modify,
    Value,
    Version,
}

pub(super) async fn run(arguments: &Arguments, connection: &Connection) -> Result<(), Failure> {
    if arguments.print_value_only && connection.format != Format::Simple {
        return Err(Failure::Usage(
            "--print-value-only goes with --write-out=simple only".to_owned(),
        ));
    }
    let response = connection.client.range(&arguments.request()).await?;
    output::print(&arguments.render(&response, connection.format)?)
}

impl Arguments {
    pub(super) fn request(&self) -> RangeRequest {
        let (key, range_end) = self.keys.span();
        RangeRequest {
            key,
            range_end,
            limit: self.limit,
            revision: self.rev,
            sort_order: self.sort_order().into(),
            sort_target: self.sort_target().into(),
            serializable: self.consistency == Consistency::Serializable,
            keys_only: self.keys_only,
            count_only: self.count_only,
            min_mod_revision: self.min_mod_rev,
            max_mod_revision: self.max_mod_rev,
            min_create_revision: self.min_create_rev,
            max_create_revision: self.max_create_rev,
        }
    }

    fn sort_order(&self) -> SortOrder {
        match (self.order, self.sort_by) {
            // Ascending by key is how keys come anyway; the server need not sort them.
            (Some(Order::Ascend), None | Some(Target::Key)) | (None, _) => SortOrder::None,
            (Some(Order::Ascend), Some(_)) => SortOrder::Ascend,
            (Some(Order::Descend), _) => SortOrder::Descend,
        }
    }

    fn sort_target(&self) -> SortTarget {
        match self.sort_by {
            None | Some(Target::Key) => SortTarget::Key,
            Some(Target::Create) => SortTarget::Create,
            Some(Target::Modify) => SortTarget::Mod,
            Some(Target::Value) => SortTarget::Value,
            Some(Target::Version) => SortTarget::Version,
        }
    }

    pub(super) fn render(&self, response: &RangeResponse, format: Format) -> Result<Text, Failure> {
        let table = || output::pairs_table(&response.kvs);
        output::render(format, &view::Range::from(response), table, |text| {
            if self.count_only {
                output::line(text, response.count.to_string().as_bytes());
            }
            for kv in &response.kvs {
                if self.print_value_only {
                    output::line(text, &kv.value)
                } else {
                    output::pair(text, kv)
                }
            }
        })
    }
}
