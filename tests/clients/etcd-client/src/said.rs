//! How answers are written: short, and without anything that two servers may differ in.

use std::fmt::Display;

use etcd_client::{Error, GetResponse, KeyValue, TxnOpResponse, TxnResponse};

/// Prints a step's line.
pub fn say(step: &str, what: impl Display) {
    println!("{step}: {what}");
}

/// Prints the line of a step that may be refused.
pub fn tell<T>(step: &str, result: Result<T, Error>, text: impl FnOnce(&T) -> String) -> Option<T> {
    match result {
        Ok(answer) => {
            say(step, text(&answer));
            Some(answer)
        }
        Err(refused) => {
            say(step, error(&refused));
            None
        }
    }
}

/// Prints the line of a step whose answer says nothing.
pub fn done<T>(step: &str, result: Result<T, Error>) {
    tell(step, result, |_| "done".to_owned());
}

/// A refusal: the code and the text, which clients match on.
pub fn error(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => format!("refused, {:?}: {}", status.code(), status.message()),
        other => format!("failed: {other}"),
    }
}

/// Bytes as text.
pub fn bytes(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A pair with everything that belongs to it; of a lease only whether there is one.
pub fn pair(pair: &KeyValue) -> String {
    let lease = if pair.lease() == 0 { "" } else { " leased" };
    format!(
        "{}={} created {} changed {} version {}{lease}",
        bytes(pair.key()),
        bytes(pair.value()),
        pair.create_revision(),
        pair.mod_revision(),
        pair.version()
    )
}

/// Pairs in their order.
pub fn pairs(pairs: &[KeyValue]) -> String {
    let each: Vec<String> = pairs.iter().map(pair).collect();
    format!("[{}]", each.join(", "))
}

/// A range.
pub fn range(answer: &GetResponse) -> String {
    let more = if answer.more() { " and more" } else { "" };
    format!("{} of {}{more}", pairs(answer.kvs()), answer.count())
}

/// A transaction, with those inside.
pub fn txn(answer: &TxnResponse) -> String {
    let parts: Vec<String> = answer.op_responses().iter().map(part).collect();
    format!(
        "{} {{{}}}",
        if answer.succeeded() { "then" } else { "else" },
        parts.join("; ")
    )
}

fn part(part: &TxnOpResponse) -> String {
    match part {
        TxnOpResponse::Put(put) => format!("put, before {}", put.prev_key().map_or("nothing".to_owned(), pair)),
        TxnOpResponse::Get(get) => range(get),
        TxnOpResponse::Delete(delete) => format!("deleted {}, before {}", delete.deleted(), pairs(delete.prev_kvs())),
        TxnOpResponse::Txn(inner) => txn(inner),
    }
}
