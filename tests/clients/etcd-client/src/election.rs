//! Elections: campaigning, proclaiming, observing, resigning.

use etcd_client::{
    CampaignResponse, Client, Error, GetOptions, LeaderKey, LeaderResponse, LeaseGrantOptions, ObserveStream,
    ProclaimOptions, ResignOptions,
};

use crate::said::{self, done, say, tell};

/// Seconds; nothing here may end before the walk does.
const TTL: i64 = 600;

pub async fn walk(client: &mut Client) -> Result<(), Error> {
    for id in [81, 82] {
        client
            .lease_grant(TTL, Some(LeaseGrantOptions::new().with_id(id)))
            .await?;
    }
    tell("leader, none", client.leader("poll").await, leader);
    let first = tell("campaign", client.campaign("poll", "one", 81).await, won);
    let Some(first) = first.and_then(|mut answer| answer.take_leader()) else {
        return Ok(());
    };
    tell("leader", client.leader("poll").await, leader);
    let mut observed = client.observe("poll").await?;
    next(&mut observed, "observe").await?;
    let proclaim = || Some(ProclaimOptions::new().with_leader(first.clone()));
    done("proclaim", client.proclaim("uno", proclaim()).await);
    next(&mut observed, "observe, proclaimed").await?;

    let mut other = client.clone();
    let second = tokio::spawn(async move { other.campaign("poll", "two", 82).await });
    // The second waits once its key is there.
    let mut seen = 0;
    while seen < 2 {
        let all = GetOptions::new().with_prefix().with_count_only();
        seen = client.get("poll/", Some(all)).await?.count();
    }
    say("campaign, waiting", !second.is_finished());
    let resign = |key: LeaderKey| Some(ResignOptions::new().with_leader(key));
    done("resign", client.resign(resign(first.clone())).await);
    let second = second.await.expect("the task does not panic");
    let second = tell("campaign, after the first", second, won);
    next(&mut observed, "observe, the second").await?;
    done("proclaim, when over", client.proclaim("uno", proclaim()).await);
    if let Some(key) = second.and_then(|mut answer| answer.take_leader()) {
        done("resign, the second", client.resign(resign(key)).await);
    }
    tell("leader, none again", client.leader("poll").await, leader);
    tell("campaign, no such lease", client.campaign("poll", "x", 4711).await, won);
    for id in [81, 82] {
        client.lease_revoke(id).await?;
    }
    Ok(())
}

fn won(answer: &CampaignResponse) -> String {
    answer.leader().map_or("nobody".to_owned(), |key| {
        let (name, key_bytes) = (said::bytes(key.name()), said::bytes(key.key()));
        format!("{name} with {key_bytes} at {} for {}", key.rev(), key.lease())
    })
}

fn leader(answer: &LeaderResponse) -> String {
    answer.kv().map_or("nobody".to_owned(), said::pair)
}

async fn next(stream: &mut ObserveStream, step: &str) -> Result<(), Error> {
    let message = stream.message().await?;
    say(
        step,
        message.map_or("the stream has ended".to_owned(), |it| leader(&it)),
    );
    Ok(())
}
