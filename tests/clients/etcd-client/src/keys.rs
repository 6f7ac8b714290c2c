//! Keys: writing, reading with every option, deleting, transactions, compaction.

use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, Error, GetOptions, PutOptions, PutResponse,
    SortOrder, SortTarget, Txn, TxnOp,
};

use crate::said::{self, done, say, tell};

pub async fn walk(client: &mut Client) -> Result<(), Error> {
    writes(client).await;
    reads(client).await?;
    deletions(client).await;
    transactions(client).await;
    namespaces(client).await;
    compactions(client).await
}

fn written(answer: &PutResponse) -> String {
    let revision = answer.header().map_or(0, |header| header.revision());
    let before = answer.prev_key().map_or("nothing".to_owned(), said::pair);
    format!("at {revision}, before {before}")
}

async fn writes(client: &mut Client) {
    tell("put", client.put("a", "1", None).await, written);
    let options = PutOptions::new().with_prev_key();
    tell(
        "put, with the pair before",
        client.put("a", "2", Some(options)).await,
        written,
    );
    let options = PutOptions::new().with_ignore_value().with_prev_key();
    tell(
        "put, keeping the value",
        client.put("a", "", Some(options)).await,
        written,
    );
    let options = PutOptions::new().with_ignore_lease();
    tell(
        "put, keeping the lease",
        client.put("a", "3", Some(options)).await,
        written,
    );
    tell(
        "put, bytes",
        client.put(vec![0xff, 0], vec![0, 0xfe], None).await,
        written,
    );
    for (key, value) in [
        ("k/1", "d"),
        ("k/2", "a"),
        ("k/3", "c"),
        ("k/4", "b"),
        ("l", "z"),
        ("k/2", "e"),
    ] {
        tell("put, one of many", client.put(key, value, None).await, written);
    }
    tell("put, no key", client.put("", "1", None).await, written);
    let options = PutOptions::new().with_lease(99);
    tell("put, no such lease", client.put("a", "1", Some(options)).await, written);
    let options = PutOptions::new().with_ignore_value();
    tell(
        "put, no value to keep",
        client.put("none", "", Some(options.clone())).await,
        written,
    );
    tell(
        "put, a value and none",
        client.put("a", "1", Some(options)).await,
        written,
    );
}

async fn reads(client: &mut Client) -> Result<(), Error> {
    let all = || GetOptions::new().with_prefix();
    for (step, key, options) in [
        ("get", "a", GetOptions::new()),
        ("get, nothing there", "none", GetOptions::new()),
        ("get, serializable", "a", GetOptions::new().with_serializable()),
        ("get, range", "k/1", GetOptions::new().with_range("k/3")),
        ("get, prefix", "k/", all()),
        ("get, from key", "k/4", GetOptions::new().with_from_key()),
        ("get, all keys", "", GetOptions::new().with_all_keys()),
        ("get, limit", "k/", all().with_limit(2)),
        ("get, keys", "k/", all().with_keys_only()),
        ("get, count", "k/", all().with_count_only()),
        ("get, past", "k/2", GetOptions::new().with_revision(8)),
        ("get, future", "k/2", GetOptions::new().with_revision(1000)),
        ("get, changed from", "k/", all().with_min_mod_revision(9)),
        ("get, changed until", "k/", all().with_max_mod_revision(8)),
        ("get, created from", "k/", all().with_min_create_revision(8)),
        ("get, created until", "k/", all().with_max_create_revision(8)),
        (
            "get, values down",
            "k/",
            all().with_sort(SortTarget::Value, SortOrder::Descend),
        ),
        (
            "get, keys down",
            "k/",
            all().with_sort(SortTarget::Key, SortOrder::Descend),
        ),
        (
            "get, versions up",
            "k/",
            all().with_sort(SortTarget::Version, SortOrder::Ascend),
        ),
        (
            "get, creation down",
            "k/",
            all().with_sort(SortTarget::Create, SortOrder::Descend),
        ),
        (
            "get, change up, limit",
            "k/",
            all().with_sort(SortTarget::Mod, SortOrder::Ascend).with_limit(3),
        ),
        ("get, no key", "", GetOptions::new()),
    ] {
        tell(step, client.get(key, Some(options)).await, said::range);
    }
    match client.kv_client().get_stream("k/", Some(all())).await {
        Ok(mut stream) => {
            let mut pairs = Vec::new();
            while let Some(mut part) = stream.message().await? {
                pairs.extend(part.take_kvs());
            }
            say("get, as a stream", said::pairs(&pairs));
        }
        Err(refused) => say("get, as a stream", said::error(&refused)),
    }
    Ok(())
}

async fn deletions(client: &mut Client) {
    let text = |answer: &etcd_client::DeleteResponse| {
        let revision = answer.header().map_or(0, |header| header.revision());
        format!(
            "{} at {revision}, before {}",
            answer.deleted(),
            said::pairs(answer.prev_kvs())
        )
    };
    for (step, key, options) in [
        ("delete", "l", DeleteOptions::new()),
        ("delete, nothing there", "l", DeleteOptions::new().with_prev_key()),
        (
            "delete, with the pair before",
            "k/4",
            DeleteOptions::new().with_prev_key(),
        ),
        (
            "delete, range",
            "k/1",
            DeleteOptions::new().with_range("k/2").with_prev_key(),
        ),
        (
            "delete, prefix",
            "k/",
            DeleteOptions::new().with_prefix().with_prev_key(),
        ),
        ("delete, from key", "l", DeleteOptions::new().with_from_key()),
        ("delete, no key", "", DeleteOptions::new()),
    ] {
        tell(step, client.delete(key, Some(options)).await, text);
    }
}

async fn transactions(client: &mut Client) {
    let inner = Txn::new()
        .when([Compare::value("a", CompareOp::Less, "2")])
        .and_then([TxnOp::put("never", "1", None)])
        .or_else([TxnOp::get("a", None), TxnOp::put("t/3", "3", None)]);
    let before = || Some(PutOptions::new().with_prev_key());
    let good = Txn::new()
        .when([
            Compare::value("a", CompareOp::Equal, "3"),
            Compare::version("a", CompareOp::Greater, 3),
            Compare::create_revision("a", CompareOp::Equal, 2),
            Compare::mod_revision("a", CompareOp::NotEqual, 2),
            Compare::lease("a", CompareOp::Equal, 0),
            Compare::create_revision("none", CompareOp::Equal, 0),
            Compare::version("a", CompareOp::Less, 1000).with_range("c"),
            Compare::mod_revision("", CompareOp::Greater, 0).with_prefix(),
        ])
        .and_then([
            TxnOp::put("t/1", "1", None),
            TxnOp::put("a", "4", before()),
            TxnOp::get("t/", Some(GetOptions::new().with_prefix())),
            TxnOp::delete("t/9", Some(DeleteOptions::new().with_prev_key())),
            TxnOp::txn(inner),
        ]);
    tell("txn, everything", client.txn(good).await, said::txn);
    let bad = Txn::new()
        .when([Compare::value("a", CompareOp::Equal, "no")])
        .and_then([TxnOp::put("never", "1", None)])
        .or_else([
            TxnOp::put("t/2", "2", before()),
            TxnOp::get("t/", Some(GetOptions::new().with_prefix())),
        ]);
    tell("txn, otherwise", client.txn(bad).await, said::txn);
    tell("txn, empty", client.txn(Txn::new()).await, said::txn);
    let twice = Txn::new().and_then([TxnOp::put("t/4", "1", None), TxnOp::put("t/4", "2", None)]);
    tell("txn, one key twice", client.txn(twice).await, said::txn);
    let no_lease = Txn::new().and_then([TxnOp::put("t/4", "1", Some(PutOptions::new().with_lease(99)))]);
    tell("txn, no such lease", client.txn(no_lease).await, said::txn);
    let many: Vec<TxnOp> = (0..129).map(|number| TxnOp::get(format!("t/{number}"), None)).collect();
    tell("txn, too many", client.txn(Txn::new().and_then(many)).await, said::txn);
    let future = Txn::new().and_then([TxnOp::get("a", Some(GetOptions::new().with_revision(1000)))]);
    tell("txn, future", client.txn(future).await, said::txn);
}

async fn namespaces(client: &mut Client) {
    let mut inside = etcd_client::KvClientPrefix::new(client.kv_client(), b"inside/".to_vec());
    tell("put, in a name space", inside.put("x", "1", None).await, written);
    let options = GetOptions::new().with_all_keys();
    tell("get, in a name space", inside.get("", Some(options)).await, said::range);
    done("delete, in a name space", inside.delete("x", None).await);
}

async fn compactions(client: &mut Client) -> Result<(), Error> {
    let options = CompactionOptions::new().with_physical();
    done("compact", client.compact(10, Some(options)).await);
    done("compact, again", client.compact(10, None).await);
    done("compact, future", client.compact(1000, None).await);
    let past = GetOptions::new().with_revision(9);
    tell("get, compacted", client.get("a", Some(past)).await, said::range);
    let kept = GetOptions::new().with_revision(10);
    tell("get, just kept", client.get("a", Some(kept)).await, said::range);
    Ok(())
}
