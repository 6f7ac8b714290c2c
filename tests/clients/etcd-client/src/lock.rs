//! Locks: taken, waited for, given back.

use etcd_client::{Client, Error, LeaseGrantOptions, LockOptions, LockResponse};

use crate::said::{done, say, tell};

/// Seconds; nothing here may end before the walk does.
const TTL: i64 = 600;

pub async fn walk(client: &mut Client) -> Result<(), Error> {
    for id in [91, 92] {
        client
            .lease_grant(TTL, Some(LeaseGrantOptions::new().with_id(id)))
            .await?;
    }
    let with = |lease| Some(LockOptions::new().with_lease(lease));
    let Some(first) = tell("lock", client.lock("mutex", with(91)).await, key) else {
        return Ok(());
    };
    tell(
        "lock, again by the same lease",
        client.lock("mutex", with(91)).await,
        key,
    );
    let mut other = client.clone();
    let second = tokio::spawn(async move { other.lock("mutex", with(92)).await });
    // The second waits once its key is there.
    let mut seen = 0;
    while seen < 2 {
        let all = etcd_client::GetOptions::new().with_prefix().with_count_only();
        seen = client.get("mutex/", Some(all)).await?.count();
    }
    say("lock, waiting", !second.is_finished());
    done("unlock", client.unlock(first.key()).await);
    let second = second.await.expect("the task does not panic");
    if let Some(second) = tell("lock, after the first", second, key) {
        done("unlock, the second", client.unlock(second.key()).await);
    }
    done("unlock, what nobody holds", client.unlock("mutex/none").await);
    tell("lock, no such lease", client.lock("mutex", with(4711)).await, key);
    if let Some(own) = tell("lock, without a lease", client.lock("mutex", None).await, |_| {
        "held".to_owned()
    }) {
        done("unlock, without a lease", client.unlock(own.key()).await);
    }
    for id in [91, 92] {
        client.lease_revoke(id).await?;
    }
    Ok(())
}

/// The name and the lease, in hexadecimal.
fn key(answer: &LockResponse) -> String {
    crate::said::bytes(answer.key())
}
