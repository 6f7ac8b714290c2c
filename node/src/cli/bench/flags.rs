//! What a run was asked to be, checked once: every number has bounds, and a refusal names the flag.

use std::time::Duration;

use clap::Args;

use super::super::Failure;
use super::super::connection::Connection;
use super::keys::KeySpace;
use crate::duration;

/// Most clients: each is a task with at most one request under way.
const CLIENTS_MAX: u32 = 10_000;
/// Most connections; more need more descriptors than a process has by default.
const CONNECTIONS_MAX: u32 = 1_000;
/// Most requests.
const TOTAL_MAX: u64 = 1_000_000_000;
/// Highest rate, per second; above it the clock's grain decides.
const RATE_MAX: u64 = 1_000_000;
/// Longest run.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Most bytes of a key behind the prefix.
const KEY_SIZE_MAX: usize = 1 << 10;
/// Longest prefix.
const PREFIX_BYTES_MAX: usize = 1 << 10;
/// Longest value: what etcd takes in one request, less what surrounds it.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Most keys.
const KEY_SPACE_MAX: u64 = 100_000_000;
/// Largest `--limit`.
pub(super) const LIMIT_MAX: i64 = 1_000_000;
/// Largest `--rw-ratio`.
const RATIO_MAX: f64 = 1_000_000.0;
/// Bytes of a value that say when it was written.
pub(super) const STAMP_BYTES: usize = 8;
/// Requests unless said otherwise, as in etcd's tool.
const TOTAL_DEFAULT: u64 = 10_000;

/// Flags of every benchmark.
#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// Clients at once; each waits for its answer before it asks again.
    #[arg(long, default_value_t = 1, value_name = "N")]
    clients: u32,
    /// Connections that the clients share, spread over all endpoints. [default: one for each endpoint, at most one for
    /// each client]
    #[arg(long, value_name = "N")]
    conns: Option<u32>,
    /// Requests in all. [default: 10000]
    #[arg(long, alias = "put-total", value_name = "N", conflicts_with = "duration")]
    total: Option<u64>,
    /// Run for this time instead of a number of requests.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Most requests per second, all clients together; 0 for as many as are answered.
    #[arg(long, alias = "put-rate", default_value_t = 0, value_name = "N")]
    rate: u64,
    /// What is written lies below this; nothing may be there before, unless --keep.
    #[arg(long, default_value = "kvorum-bench/", value_name = "PREFIX")]
    key_prefix: String,
    /// Leave the keys where they are at the end, and write over those of a run before.
    #[arg(long)]
    keep: bool,
}

/// Flags about the keys and values that are written.
#[derive(Args, Clone, Debug)]
pub(super) struct Keys {
    /// Bytes of a key behind the prefix.
    #[arg(long, default_value_t = 8, value_name = "BYTES")]
    key_size: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 8, value_name = "BYTES")]
    val_size: usize,
    /// How many different keys there are.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    key_space_size: u64,
    /// One key after the other instead of any at random.
    #[arg(long)]
    sequential_keys: bool,
}

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// After this many requests.
    Total(u64),
    /// After this time.
    Elapsed(Duration),
}

/// A run that makes sense.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) clients: u32,
    pub(super) conns: Option<u32>,
    pub(super) until: Until,
    /// Requests per second; 0 for no bound.
    pub(super) rate: u64,
    pub(super) keep: bool,
    pub(super) keys: KeySpace,
    pub(super) val_size: usize,
}

impl Plan {
    /// Checks the flags; without `keys` there is one key.
    pub(super) fn new(common: &Common, keys: Option<&Keys>) -> Result<Self, Failure> {
        let Common {
            clients,
            conns,
            total,
            duration,
            rate,
            key_prefix,
            keep,
        } = common;
        within("--clients", *clients, 1, CLIENTS_MAX)?;
        if let Some(conns) = conns {
            within("--conns", *conns, 1, CONNECTIONS_MAX)?;
            if conns > clients {
                let reason = format!("--conns: {conns} connections are more than the {clients} of --clients can use");
                return Err(Failure::Usage(reason));
            }
        }
        within("--rate", *rate, 0, RATE_MAX)?;
        within("--key-prefix, bytes", key_prefix.len(), 1, PREFIX_BYTES_MAX)?;
        let until = match (total, duration) {
            (_, Some(time)) if *time > DURATION_MAX => {
                return Err(Failure::Usage(format!(
                    "--duration: at most {DURATION_MAX:?} is allowed"
                )));
            }
            (_, Some(time)) => Until::Elapsed(*time),
            (total, None) => {
                let total = total.unwrap_or(TOTAL_DEFAULT);
                within("--total", total, 1, TOTAL_MAX)?;
                Until::Total(total)
            }
        };
        let (keys, val_size) = match keys {
            None => (KeySpace::new(key_prefix, 1, 1, true), 0),
            Some(keys) => (keys.space(key_prefix)?, keys.val_size),
        };
        Ok(Self {
            clients: *clients,
            conns: *conns,
            until,
            rate: *rate,
            keep: *keep,
            keys,
            val_size,
        })
    }

    /// The same with values that say when they were written.
    pub(super) fn with_stamped_values(self, val_size: usize) -> Result<Self, Failure> {
        within("--val-size", val_size, STAMP_BYTES, VALUE_BYTES_MAX)?;
        Ok(Self { val_size, ..self })
    }

    /// How many connections to open.
    pub(super) fn connections(&self, connection: &Connection) -> u32 {
        let endpoints = u32::try_from(connection.client.endpoints().len()).unwrap_or(CONNECTIONS_MAX);
        self.conns
            .unwrap_or_else(|| endpoints.min(self.clients).min(CONNECTIONS_MAX))
    }
}

impl Keys {
    fn space(&self, prefix: &str) -> Result<KeySpace, Failure> {
        within("--key-size", self.key_size, 1, KEY_SIZE_MAX)?;
        within("--val-size", self.val_size, 0, VALUE_BYTES_MAX)?;
        within("--key-space-size", self.key_space_size, 1, KEY_SPACE_MAX)?;
        let digits = KeySpace::digits(self.key_space_size);
        if digits > self.key_size {
            let (keys, size) = (self.key_space_size, self.key_size);
            let reason = format!("--key-size: {keys} keys need {digits} bytes to differ, and {size} are given");
            return Err(Failure::Usage(reason));
        }
        Ok(KeySpace::new(
            prefix,
            self.key_size,
            self.key_space_size,
            self.sequential_keys,
        ))
    }
}

/// The share of transactions that read, of a ratio of those to others.
pub(super) fn share_of_reads(ratio: f64) -> Result<f64, Failure> {
    if !(0.0..=RATIO_MAX).contains(&ratio) {
        return Err(Failure::Usage(format!(
            "--rw-ratio: {ratio} is outside 0 to {RATIO_MAX}"
        )));
    }
    Ok(ratio / (1.0 + ratio))
}

/// Refuses a number that is out of bounds.
pub(super) fn within<N: PartialOrd + std::fmt::Display>(flag: &str, number: N, min: N, max: N) -> Result<(), Failure> {
    if number < min || number > max {
        return Err(Failure::Usage(format!("{flag}: {number} is outside {min} to {max}")));
    }
    Ok(())
}
