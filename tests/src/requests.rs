//! Random requests of etcd's KV and lease APIs, good and bad, small enough that they meet each other.
//!
//! Few keys, many overlaps: ranges, prefixes, old revisions, filters, nested transactions, leases that come and go. Nothing here depends on what
//! a server answered, except the current revision, so that the same seed gives the same requests to both sides.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use crate::etcd::encode;

/// Keys drawn from; some are prefixes of others, some are not text.
const KEYS: [&[u8]; 10] = [
    b"a",
    b"aa",
    b"ab",
    b"b",
    b"b/1",
    b"b/2",
    b"b/2/x",
    b"c",
    b"\xff",
    b"\xff\xfe",
];

/// Ids of leases drawn from.
const LEASES: std::ops::Range<i64> = 71..77;

/// Nesting of transactions goes no deeper.
const DEPTH_MAX: u32 = 2;

/// Draws requests.
pub struct Requests {
    /// The dice.
    pub random: StdRng,
    /// The newest revision that an answer showed.
    pub revision: i64,
    /// Whether ranges may be answered from one member's own state: not where members are asked in turn, because they
    /// lag behind each other.
    pub serializable: bool,
}

impl Requests {
    /// The next path and body.
    pub fn draw(&mut self) -> (&'static str, Value) {
        match self.random.random_range(0..100) {
            0..35 => ("kv/put", self.put()),
            35..65 => ("kv/range", self.range()),
            65..77 => ("kv/deleterange", self.delete()),
            77..94 => ("kv/txn", self.txn(0)),
            94..96 => ("lease/grant", self.grant()),
            96 => ("lease/revoke", json!({"ID": self.lease()})),
            97..99 => ("lease/timetolive", json!({"ID": self.lease(), "keys": self.chance(70)})),
            _ => (
                "kv/compaction",
                json!({"revision": self.some_revision(), "physical": true}),
            ),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn key(&mut self) -> Vec<u8> {
        KEYS[self.random.random_range(0..KEYS.len())].to_vec()
    }

    /// One key, a range, a prefix, everything from a key on, everything, or (rarely) nothing.
    fn span(&mut self) -> Map<String, Value> {
        let mut map = Map::new();
        let key = self.key();
        let end = match self.random.random_range(0..12) {
            0..5 => None,
            5..7 => Some(self.key()),
            7..9 => Some(next_prefix(&key)),
            9 => Some(vec![0]),
            10 => {
                map.insert("key".into(), encode([0]).into());
                map.insert("range_end".into(), encode([0]).into());
                return map;
            }
            _ if self.chance(10) => return map,
            _ => None,
        };
        map.insert("key".into(), encode(key).into());
        if let Some(end) = end {
            map.insert("range_end".into(), encode(end).into());
        }
        map
    }

    /// Mostly a revision that exists, now and then one that does not or no longer.
    fn some_revision(&mut self) -> Value {
        let revision = self.random.random_range(-1..=self.revision + 1);
        if self.chance(50) {
            json!(revision.to_string())
        } else {
            json!(revision)
        }
    }

    fn lease(&mut self) -> String {
        self.random.random_range(LEASES).to_string()
    }

    /// Long enough never to end in a run; now and then too long for etcd.
    fn grant(&mut self) -> Value {
        let seconds = if self.chance(5) {
            9_000_000_001_i64
        } else {
            self.random.random_range(10_000..10_005)
        };
        json!({"ID": self.lease(), "TTL": seconds})
    }

    fn value(&mut self) -> String {
        encode(format!("v{}", self.random.random_range(0..8)))
    }

    fn flag(&mut self, map: &mut Map<String, Value>, name: &str, percent: u32) {
        if self.chance(percent) {
            map.insert(name.into(), true.into());
        }
    }

    fn put(&mut self) -> Value {
        let mut map = Map::new();
        if !self.chance(1) {
            let key = self.key();
            map.insert("key".into(), encode(key).into());
        }
        let value = self.value();
        map.insert("value".into(), value.into());
        if self.chance(4) {
            map.insert("ignore_value".into(), true.into());
            if !self.chance(20) {
                map.remove("value");
            }
        }
        self.flag(&mut map, "prev_kv", 30);
        self.flag(&mut map, "ignore_lease", 3);
        if self.chance(12) {
            let lease = self.lease();
            map.insert("lease".into(), lease.into());
        }
        map.into()
    }

    fn delete(&mut self) -> Value {
        let mut map = self.span();
        self.flag(&mut map, "prev_kv", 40);
        map.into()
    }

    fn range(&mut self) -> Value {
        let mut map = self.span();
        if self.serializable {
            self.flag(&mut map, "serializable", 20);
        }
        self.flag(&mut map, "keys_only", 12);
        self.flag(&mut map, "count_only", 8);
        if self.chance(30) {
            let limit = self.random.random_range(-1..6);
            map.insert("limit".into(), limit.into());
        }
        if self.chance(30) {
            let revision = self.some_revision();
            map.insert("revision".into(), revision);
        }
        if self.chance(35) {
            let order = ["NONE", "ASCEND", "DESCEND"][self.random.random_range(0..3)];
            let target = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"][self.random.random_range(0..5)];
            map.insert("sort_order".into(), order.into());
            map.insert("sort_target".into(), target.into());
        } else if self.chance(2) {
            map.insert("sort_order".into(), 7.into());
        }
        for filter in [
            "min_mod_revision",
            "max_mod_revision",
            "min_create_revision",
            "max_create_revision",
        ] {
            if self.chance(6) {
                let revision = self.some_revision();
                map.insert(filter.into(), revision);
            }
        }
        map.into()
    }

    fn compare(&mut self) -> Value {
        let mut map = Map::new();
        let key = self.key();
        if self.chance(20) {
            map.insert("range_end".into(), encode(next_prefix(&key)).into());
        }
        map.insert("key".into(), encode(key).into());
        let result = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"][self.random.random_range(0..4)];
        map.insert("result".into(), result.into());
        let (target, field) = [
            ("VERSION", "version"),
            ("CREATE", "create_revision"),
            ("MOD", "mod_revision"),
            ("VALUE", "value"),
            ("LEASE", "lease"),
        ][self.random.random_range(0..5)];
        map.insert("target".into(), target.into());
        if !self.chance(5) {
            let operand = match field {
                "version" => json!(self.random.random_range(0..4)),
                "value" => self.value().into(),
                "lease" if self.chance(50) => json!("0"),
                "lease" => self.lease().into(),
                _ => self.some_revision(),
            };
            map.insert(field.into(), operand);
        }
        map.into()
    }

    fn branch(&mut self, depth: u32) -> Value {
        let count = self.random.random_range(0..4);
        let mut operations = Vec::new();
        for _ in 0..count {
            operations.push(match self.random.random_range(0..100) {
                0..40 => json!({"request_put": self.put()}),
                40..70 => json!({"request_range": self.range()}),
                70..85 => json!({"request_delete_range": self.delete()}),
                85..99 if depth < DEPTH_MAX => json!({"request_txn": self.txn(depth + 1)}),
                85..99 => json!({"request_range": self.range()}),
                _ => json!({}),
            });
        }
        operations.into()
    }

    fn txn(&mut self, depth: u32) -> Value {
        let compares = self.random.random_range(0..3);
        let compare: Vec<Value> = (0..compares).map(|_| self.compare()).collect();
        let mut txn = json!({"compare": compare, "success": self.branch(depth), "failure": self.branch(depth)});
        let text = txn.to_string();
        if text.contains("request_delete_range") || text.contains("request_txn") {
            give_what_is_kept(&mut txn);
        }
        txn
    }
}

/// A put inside of a nested transaction that keeps the value or the lease of a key can end the process of etcd 3.7.3: it
/// looks before the whole transaction whether there is something to keep, and dies when there is not. So nothing is kept
/// where transactions nest or delete.
fn give_what_is_kept(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("ignore_value");
            fields.remove("ignore_lease");
            fields.values_mut().for_each(give_what_is_kept);
        }
        Value::Array(items) => items.iter_mut().for_each(give_what_is_kept),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The end of the range of all keys that start with `key`, as clients compute it.
fn next_prefix(key: &[u8]) -> Vec<u8> {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}
