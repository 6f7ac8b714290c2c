//! `kvorum bench put | range | txn-mixed | watch-latency`: load for a cluster, and how fast it was answered.
//!
//! Names and flags are those of etcd's `benchmark`. It speaks gRPC, as etcd's clients do, so the same command measures any
//! etcd v3 server. What it writes lies below a prefix that must be empty when it begins, and is removed at the end.
//!
//! Must keep true: nothing that was there before is changed or removed; memory does not grow with the length of a run;
//! what failed is counted and told, never left out of a rate.

mod channels;
mod flags;
mod interrupt;
mod keys;
mod latency;
mod load;
mod pace;
mod place;
mod report;
mod watching;
mod workload;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::Connection;
use super::get::Consistency;
use super::output;
use super::with::{Connector, With};

use channels::Channels;
use flags::Plan;
use load::Load;
use place::Place;
use report::Report;
use watching::Watching;
use workload::{Kind, Reads, Workload};

const PUT: &str = "\
Examples:
  kvorum bench put --clients 100 --conns 10 --total 100000
                                        100 clients write as fast as they are answered
  kvorum bench put --rate 1000 --duration 1m -o json
                                        a thousand puts each second for a minute

It WRITES KEYS below --key-prefix and removes them at the end, unless --keep. Nothing may lie below the prefix before.";
const RANGE: &str = "\
Examples:
  kvorum bench range --clients 100 --consistency s
                                        writes --key-space-size keys, then reads them, one at a time
  kvorum bench range --limit 10         as before, but each read asks for ten keys
  kvorum bench range app/ app0 --limit 100
                                        reads keys that are there already, and writes nothing

Without KEY it WRITES KEYS below --key-prefix and removes them at the end, unless --keep. Nothing may lie below the prefix
before.";
const TXN_MIXED: &str = "\
Examples:
  kvorum bench txn-mixed --clients 50 --rw-ratio 4
                                        four transactions that read for each that writes

It WRITES KEYS below --key-prefix and removes them at the end, unless --keep. Nothing may lie below the prefix before.";
const WATCH_LATENCY: &str = "\
Examples:
  kvorum bench watch-latency --streams 10 --watchers-per-stream 100 --rate 100 --total 1000
                                        how long after a put its event reaches each of 1000 watchers

It WRITES KEYS below --key-prefix and removes them at the end, unless --keep. Nothing may lie below the prefix before.";

/// Commands that put load on a cluster.
#[derive(Args, Clone, Debug)]
pub struct Bench {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum BenchCommand {
    /// Write keys. It writes below --key-prefix, and removes what it wrote.
    #[command(after_long_help = PUT)]
    Put(With<Put>),
    /// Read keys. Without KEY it first writes some below --key-prefix, and removes them.
    #[command(after_long_help = RANGE)]
    Range(With<Range>),
    /// Read and write in transactions. It writes below --key-prefix, and removes what it wrote.
    #[command(after_long_help = TXN_MIXED)]
    TxnMixed(With<TxnMixed>),
    /// Write a key and measure when watchers hear of it. It writes below --key-prefix, and removes what it wrote.
    #[command(after_long_help = WATCH_LATENCY)]
    WatchLatency(With<WatchLatency>),
}

#[derive(Args, Clone, Debug)]
struct Put {
    #[command(flatten)]
    flags: flags::Common,
    #[command(flatten)]
    keys: flags::Keys,
}

#[derive(Args, Clone, Debug)]
struct Range {
    /// Read this key, or from it on, instead of keys written for the purpose.
    key: Option<String>,
    /// With KEY: read up to, but without, this key.
    #[arg(requires = "key")]
    range_end: Option<String>,
    #[command(flatten)]
    reads: ReadFlags,
    #[command(flatten)]
    flags: flags::Common,
    #[command(flatten)]
    keys: flags::Keys,
}

#[derive(Args, Clone, Debug)]
struct TxnMixed {
    /// Transactions that read for each that writes.
    #[arg(long, default_value_t = 1.0, value_name = "RATIO")]
    rw_ratio: f64,
    #[command(flatten)]
    reads: ReadFlags,
    #[command(flatten)]
    flags: flags::Common,
    #[command(flatten)]
    keys: flags::Keys,
}

#[derive(Args, Clone, Debug)]
struct ReadFlags {
    /// l: linearizable, as of now; s: serializable, what the member asked knows, possibly old.
    #[arg(long, value_enum, default_value_t = Consistency::Linearizable, value_name = "l|s")]
    consistency: Consistency,
    /// Most keys in an answer: each read asks from a key on. 0: one key, or all that KEY and RANGE_END name.
    #[arg(long, default_value_t = 0, value_name = "N")]
    limit: i64,
}

#[derive(Args, Clone, Debug)]
struct WatchLatency {
    /// Streams, spread over the connections.
    #[arg(long, default_value_t = 10, value_name = "N")]
    streams: u32,
    /// Watchers on each stream.
    #[arg(long, default_value_t = 10, value_name = "N")]
    watchers_per_stream: u32,
    /// Ask for the value before with each event.
    #[arg(long, alias = "prevkv")]
    prev_kv: bool,
    #[command(flatten)]
    flags: flags::Common,
    /// Bytes of a value; at least 8, which say when it was written.
    #[arg(long, default_value_t = 32, value_name = "BYTES")]
    val_size: usize,
}

pub(super) async fn run(bench: Bench, connector: &Connector) -> Result<(), Failure> {
    match bench.command {
        BenchCommand::Put(With { arguments, global }) => {
            let plan = Plan::new(&arguments.flags, Some(&arguments.keys))?;
            measure("put", plan, Workload::Put, &connector.open(global).await?).await
        }
        BenchCommand::Range(With { arguments, global }) => {
            let plan = Plan::new(&arguments.flags, Some(&arguments.keys))?;
            let reads = arguments.reads.checked()?;
            let workload = match arguments.key {
                None => Workload::Range(reads),
                Some(key) => Workload::RangeOf {
                    key: key.into(),
                    range_end: arguments.range_end.unwrap_or_default().into(),
                    reads,
                },
            };
            measure("range", plan, workload, &connector.open(global).await?).await
        }
        BenchCommand::TxnMixed(With { arguments, global }) => {
            let plan = Plan::new(&arguments.flags, Some(&arguments.keys))?;
            let reads = arguments.reads.checked()?;
            let reading = flags::share_of_reads(arguments.rw_ratio)?;
            let workload = Workload::Mixed { reads, reading };
            measure("txn-mixed", plan, workload, &connector.open(global).await?).await
        }
        BenchCommand::WatchLatency(With { arguments, global }) => {
            let WatchLatency {
                streams,
                watchers_per_stream,
                prev_kv,
                flags,
                val_size,
            } = arguments;
            let plan = Plan::new(&flags, None)?.with_stamped_values(val_size)?;
            let watchers = watching::Watchers::new(streams, watchers_per_stream, prev_kv)?;
            watch_latency(plan, watchers, &connector.open(global).await?).await
        }
    }
}

impl ReadFlags {
    fn checked(&self) -> Result<Reads, Failure> {
        flags::within("--limit", self.limit, 0, flags::LIMIT_MAX)?;
        Ok(Reads {
            serializable: self.consistency == Consistency::Serializable,
            limit: self.limit,
        })
    }
}

/// Runs a workload and prints what came of it.
async fn measure(name: &'static str, plan: Plan, workload: Workload, connection: &Connection) -> Result<(), Failure> {
    let channels = Channels::open(connection, plan.connections(connection)).await?;
    let place = if workload.writes() {
        Some(Place::take(&plan, channels.first()).await?)
    } else {
        None
    };
    let mut report = Report::new(name, &plan, &channels);
    let ran = async {
        if workload.wants_keys() {
            load::fill(&plan, &channels).await?;
        }
        let load = Load::new(&plan, &workload);
        let time = load.run(&channels).await?;
        for kind in workload.kinds() {
            report.add(kind.name(), load.tally(*kind), time);
        }
        report.interrupted = load.was_interrupted();
        Ok(())
    };
    finish(ran.await, place, &channels, report, connection).await
}

/// Runs watchers beside a writer and prints what came of both.
async fn watch_latency(plan: Plan, watchers: watching::Watchers, connection: &Connection) -> Result<(), Failure> {
    let channels = Channels::open(connection, plan.connections(connection)).await?;
    let place = Some(Place::take(&plan, channels.first()).await?);
    let mut report = Report::new("watch-latency", &plan, &channels);
    let ran = async {
        let load = Load::new(&plan, &Workload::Stamped);
        let watching = Watching::open(&watchers, &plan, &channels, load.origin()).await?;
        let time = load.run(&channels).await?;
        let puts = load.tally(Kind::Put);
        let events = watching
            .finish(puts.succeeded() * watchers.count(), channels.timeout)
            .await;
        report.add(Kind::Put.name(), puts, time);
        report.add("event", events, time);
        report.interrupted = load.was_interrupted();
        Ok(())
    };
    finish(ran.await, place, &channels, report, connection).await
}

/// Removes what was written, whatever came of the run, and prints.
async fn finish(
    ran: Result<(), Failure>,
    place: Option<Place>,
    channels: &Channels,
    mut report: Report,
    connection: &Connection,
) -> Result<(), Failure> {
    let removed = match place {
        Some(place) => place.leave(channels.first()).await,
        None => Ok(0),
    };
    ran?;
    if let Ok(removed) = &removed {
        report.removed = *removed;
    }
    output::print(&report.render(connection.format)?)?;
    removed?;
    report.verdict()
}
