//! Leases: granting, attaching, renewing, listing, revoking.

use etcd_client::{
    Client, Error, LeaseGrantOptions, LeaseGrantResponse, LeaseTimeToLiveOptions, LeaseTimeToLiveResponse, PutOptions,
};

use crate::said::{self, done, say, tell};

/// Seconds; nothing here may end before the walk does.
const TTL: i64 = 600;

pub async fn walk(client: &mut Client) -> Result<(), Error> {
    grants(client).await?;
    let attached = PutOptions::new().with_lease(77);
    done("put, leased", client.put("leased/1", "1", Some(attached.clone())).await);
    done("put, leased too", client.put("leased/2", "1", Some(attached)).await);
    tell("get, leased", client.get("leased/1", None).await, said::range);
    let with_keys = LeaseTimeToLiveOptions::new().with_keys();
    tell(
        "lease, keys",
        client.lease_time_to_live(77, Some(with_keys)).await,
        left,
    );
    tell("lease, without keys", client.lease_time_to_live(77, None).await, left);
    tell("lease, none left", client.lease_time_to_live(4711, None).await, left);

    let (mut keeper, mut kept) = client.lease_keep_alive(77).await?;
    for _ in 0..2 {
        keeper.keep_alive().await?;
        let answer = kept.message().await?;
        say(
            "lease, kept",
            answer.map_or("the stream has ended".to_owned(), |it| {
                format!("{} for {}", it.id(), it.ttl())
            }),
        );
    }
    match client.lease_keep_alive(4711).await {
        Ok(_) => say("lease, keeping none", "done"),
        Err(refused) => say("lease, keeping none", said::error(&refused)),
    }

    done("lease, revoked", client.lease_revoke(77).await);
    tell("get, after the lease", client.get("leased/1", None).await, said::range);
    done("lease, revoked again", client.lease_revoke(77).await);
    Ok(())
}

fn granted(answer: &LeaseGrantResponse) -> String {
    format!("{} seconds, error {:?}", answer.ttl(), answer.error())
}

async fn grants(client: &mut Client) -> Result<(), Error> {
    let with_id = || Some(LeaseGrantOptions::new().with_id(77));
    tell("lease, granted", client.lease_grant(TTL, with_id()).await, granted);
    tell(
        "lease, granted twice",
        client.lease_grant(TTL, with_id()).await,
        granted,
    );
    tell(
        "lease, too long",
        client.lease_grant(9_000_000_001, None).await,
        granted,
    );
    if let Some(drawn) = tell("lease, drawn", client.lease_grant(TTL, None).await, granted) {
        let all = client.leases().await?;
        let known = [77, drawn.id()].map(|id| all.leases().iter().any(|lease| lease.id() == id));
        say(
            "leases",
            format!("{} in all, both of ours: {}", all.leases().len(), known == [true, true]),
        );
        done("lease, the drawn one revoked", client.lease_revoke(drawn.id()).await);
    }
    Ok(())
}

/// How long is left is not told, only whether it is as much as can be after a moment.
fn left(answer: &LeaseTimeToLiveResponse) -> String {
    // In no order: etcd keeps them in a map.
    let mut keys: Vec<String> = answer.keys().iter().map(|key| said::bytes(key)).collect();
    keys.sort();
    let left = match answer.ttl() {
        ttl if ttl > TTL - 60 && ttl <= TTL => "nearly all".to_owned(),
        ttl => ttl.to_string(),
    };
    format!("granted {}, left {left}, keys {keys:?}", answer.granted_ttl())
}
