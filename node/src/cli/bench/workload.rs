//! What the clients ask for, one request after the other. It knows no clock and no connection.

use std::time::Duration;

use bytes::Bytes;
use kvorum_api::etcdserverpb::request_op::Request as Operation;
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest};
use kvorum_api::range::prefix_end;

use super::keys::{Dice, KeySpace};

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    /// Take what the member asked knows, possibly old.
    pub(super) serializable: bool,
    /// Most keys in an answer; 0 for no bound.
    pub(super) limit: i64,
}

/// What is measured.
#[derive(Clone, Debug)]
pub(super) enum Workload {
    /// Writes.
    Put,
    /// Writes whose value says when they were sent.
    Stamped,
    /// Reads of keys that were written for it.
    Range(Reads),
    /// Reads of one range that was there before.
    RangeOf { key: Bytes, range_end: Bytes, reads: Reads },
    /// Transactions, a share of which reads and the others write.
    Mixed { reads: Reads, reading: f64 },
}

/// Requests that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Range,
    ReadTxn,
    WriteTxn,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    Put(PutRequest),
    Range(RangeRequest),
    Txn(Kind, TxnRequest),
}

/// How many kinds there are.
pub(super) const KINDS: usize = 4;

impl Kind {
    /// As it is called in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Range => "range",
            Self::ReadTxn => "read",
            Self::WriteTxn => "write",
        }
    }
}

impl Ask {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Put(_) => Kind::Put,
            Self::Range(_) => Kind::Range,
            Self::Txn(kind, _) => *kind,
        }
    }
}

impl Workload {
    /// The kinds of requests in it, in the order of the report.
    pub(super) fn kinds(&self) -> &'static [Kind] {
        match self {
            Self::Put | Self::Stamped => &[Kind::Put],
            Self::Range(_) | Self::RangeOf { .. } => &[Kind::Range],
            Self::Mixed { .. } => &[Kind::ReadTxn, Kind::WriteTxn],
        }
    }

    /// Whether every key must be there before it begins.
    pub(super) fn wants_keys(&self) -> bool {
        match self {
            Self::Put | Self::Stamped | Self::RangeOf { .. } => false,
            Self::Range(_) | Self::Mixed { .. } => true,
        }
    }

    /// Whether keys are written, before it or by it.
    pub(super) fn writes(&self) -> bool {
        match self {
            Self::Put | Self::Stamped | Self::Range(_) | Self::Mixed { .. } => true,
            Self::RangeOf { .. } => false,
        }
    }

    /// The request with this number. `value` is what a client writes, `elapsed` the time since the run's origin.
    pub(super) fn request(
        &self,
        number: u64,
        keys: &KeySpace,
        value: &Bytes,
        elapsed: Duration,
        dice: &mut Dice,
    ) -> Ask {
        match self {
            Self::Put => Ask::Put(put(keys.key(keys.choose(number, dice)), value.clone())),
            Self::Stamped => {
                let value = stamp(value, elapsed);
                Ask::Put(put(keys.key(keys.choose(number, dice)), value))
            }
            Self::Range(reads) => Ask::Range(read(keys, keys.choose(number, dice), *reads)),
            Self::RangeOf { key, range_end, reads } => Ask::Range(range(key.clone(), range_end.clone(), *reads)),
            Self::Mixed { reads, reading } => {
                let chosen = keys.choose(number, dice);
                if dice.happens(*reading) {
                    txn(Kind::ReadTxn, Operation::RequestRange(read(keys, chosen, *reads)))
                } else {
                    let put = put(keys.key(chosen), value.clone());
                    txn(Kind::WriteTxn, Operation::RequestPut(put))
                }
            }
        }
    }
}

/// A value that begins with a time; it is as long as before, and at least as long as the time.
fn stamp(value: &Bytes, elapsed: Duration) -> Bytes {
    let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).to_be_bytes();
    let rest = value.get(nanoseconds.len()..).unwrap_or_default();
    [&nanoseconds, rest].concat().into()
}

/// The time at the beginning of a value; `None` when it has none.
pub(super) fn stamped(value: &[u8]) -> Option<Duration> {
    let (nanoseconds, _) = value.split_first_chunk()?;
    Some(Duration::from_nanos(u64::from_be_bytes(*nanoseconds)))
}

fn put(key: Bytes, value: Bytes) -> PutRequest {
    PutRequest {
        key,
        value,
        ..PutRequest::default()
    }
}

/// One key, or with a limit that many from it on.
fn read(keys: &KeySpace, number: u64, reads: Reads) -> RangeRequest {
    let range_end = if reads.limit == 0 {
        Bytes::new()
    } else {
        prefix_end(keys.prefix().as_bytes())
    };
    range(keys.key(number), range_end, reads)
}

fn range(key: Bytes, range_end: Bytes, reads: Reads) -> RangeRequest {
    RangeRequest {
        key,
        range_end,
        limit: reads.limit,
        serializable: reads.serializable,
        ..RangeRequest::default()
    }
}

fn txn(kind: Kind, operation: Operation) -> Ask {
    let request = TxnRequest {
        success: vec![RequestOp {
            request: Some(operation),
        }],
        ..TxnRequest::default()
    };
    Ask::Txn(kind, request)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READS: Reads = Reads {
        serializable: true,
        limit: 0,
    };

    fn ask(workload: &Workload, number: u64) -> Ask {
        let keys = KeySpace::new("b/", 2, 4, true);
        let value = Bytes::from_static(b"0123456789");
        workload.request(number, &keys, &value, Duration::from_nanos(258), &mut Dice::new(number))
    }

    #[test]
    fn puts_take_one_key_after_the_other() {
        assert_eq!(
            ask(&Workload::Put, 6),
            Ask::Put(put("b/02".into(), "0123456789".into()))
        );
    }

    #[test]
    fn a_stamp_is_read_back_and_changes_no_length() {
        let Ask::Put(request) = ask(&Workload::Stamped, 0) else {
            panic!("not a put")
        };
        assert_eq!(request.value, &b"\0\0\0\0\0\0\x01\x0289"[..]);
        assert_eq!(stamped(&request.value), Some(Duration::from_nanos(258)));
        assert_eq!(stamped(b"1234567"), None);
    }

    #[test]
    fn reads_are_of_one_key_or_from_it_on() {
        let one = range("b/01".into(), Bytes::new(), READS);
        assert_eq!(ask(&Workload::Range(READS), 1), Ask::Range(one));
        let reads = Reads { limit: 3, ..READS };
        assert_eq!(
            ask(&Workload::Range(reads), 1),
            Ask::Range(range("b/01".into(), "b0".into(), reads))
        );
        let workload = Workload::RangeOf {
            key: "x".into(),
            range_end: "z".into(),
            reads: READS,
        };
        assert_eq!(ask(&workload, 9), Ask::Range(range("x".into(), "z".into(), READS)));
    }

    #[test]
    fn transactions_read_and_write_in_the_share_asked_for() {
        for (reading, expected) in [(0.0, 0..1), (0.75, 700..800), (1.0, 1_000..1_001)] {
            let workload = Workload::Mixed { reads: READS, reading };
            let read = (0..1_000)
                .filter(|number| ask(&workload, *number).kind() == Kind::ReadTxn)
                .count();
            assert!(expected.contains(&read), "{reading}: {read}");
        }
    }
}
