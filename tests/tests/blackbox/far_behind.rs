//! A member that was away for many writes comes back while load goes on: how long until it is level, and what that costs
//! those who ask the others.
//!
//! A short absence by default, which the log makes good; `KVORUM_AWAY_WRITES=1000000` is the long one, for which a
//! snapshot must travel.

use std::time::{Duration, Instant};

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::Etcd;
use kvorum_tests::load::{Latencies, Load, Shape};
use kvorum_tests::seed;
use kvorum_tests::wait::{pause, until};
use rand::Rng;

/// Writes in an ordinary run.
const WRITES: usize = 20_000;
/// From here on a run is a measurement, and is held to the bound that users are promised.
const WRITES_OF_A_MEASUREMENT: usize = 500_000;
/// Whose latency is looked at.
const WATCHED: Shape = Shape {
    clients: 16,
    keys: 50_000,
    value_bytes: 256,
};
/// Makes the writes while the member is away.
const BUSY: Shape = Shape {
    clients: 128,
    ..WATCHED
};
/// How long latency is looked at before and after, in an ordinary run and in a measurement.
const LOOK: Duration = Duration::from_secs(3);
const LOOK_LONG: Duration = Duration::from_secs(20);
/// Per write that is made while the member is away: slow builds on busy machines do a thousand a second.
const WRITE_MAX: Duration = Duration::from_millis(2);
/// Until the member is level, beside a part for each write.
const LEVEL_MAX: Duration = Duration::from_mins(2);
/// In a measurement the slowest hundredth takes less than this many times as long as before.
const FACTOR_OF_A_MEASUREMENT: f64 = 2.0;
/// In an ordinary run, whose build may be slow and whose few answers are soon told: a stall shows all the same.
const FACTOR: f64 = 20.0;

fn told(what: &str, latencies: &Latencies) -> Duration {
    let (half, most) = (latencies.quantile(0.5), latencies.quantile(0.99));
    println!(
        "{what:<12} {:>8} writes, p50 {half:>9.2?}, p99 {most:>9.2?}",
        latencies.count()
    );
    most
}

async fn level(member: &Etcd, other: &Etcd, bound: Duration) {
    until("the member to be level", bound, || async {
        let revision = |etcd: Etcd| async move { etcd.revision().await.map_err(|error| format!("{error:#}")) };
        let wanted = revision(other.clone()).await?;
        let has = local_revision(member).await?;
        if has >= wanted {
            Ok(())
        } else {
            Err(format!("{has} of {wanted}"))
        }
    })
    .await;
}

/// What the member itself has, whatever the others have.
async fn local_revision(member: &Etcd) -> Result<i64, String> {
    let question = serde_json::json!({"key": kvorum_tests::etcd::encode("none"), "serializable": true});
    let reply = member.ask("kv/range", &question).await;
    let reply = reply.map_err(|error| format!("{error:#}"))?;
    Ok(kvorum_tests::etcd::number(&reply["header"]["revision"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_for_long_comes_back_under_load() {
    let writes = seed::count("KVORUM_AWAY_WRITES", WRITES);
    let measured = writes >= WRITES_OF_A_MEASUREMENT;
    let (mut random, _) = seed::generator("far behind");
    let mut cluster = Cluster::plain(3).await;
    let away = cluster.follower().await;
    let others: Vec<Etcd> = (0..3)
        .filter(|index| *index != away)
        .map(|index| cluster.at(index))
        .collect();
    let look = if measured { LOOK_LONG } else { LOOK };
    let load = Load::start(&others, WATCHED, random.random());
    pause(look).await;
    let before = load.take();

    cluster.kill(away);
    let from = others[0].revision().await.unwrap();
    let busy = Load::start(&others, BUSY, random.random());
    let bound = LEVEL_MAX + WRITE_MAX * u32::try_from(writes).unwrap();
    until("the writes to be made", bound, || async {
        let made = others[0].revision().await.map_err(|error| format!("{error:#}"))? - from;
        if made >= writes as i64 {
            Ok(())
        } else {
            Err(format!("{made} of {writes}"))
        }
    })
    .await;
    busy.finish().await;
    let missed = others[0].revision().await.unwrap() - from;
    pause(look).await;
    _ = load.take();
    // What two members do without the third, undisturbed: the cost of coming back is told apart from the cost of being.
    pause(look).await;
    let without = load.take();

    cluster.start(away);
    let began = Instant::now();
    level(&cluster.at(away), &others[0], bound).await;
    let took = began.elapsed();
    let meanwhile = load.take();
    pause(look).await;
    let after = load.take();
    println!(
        "{missed} writes missed, level after {took:.1?}, {} writes failed",
        load.failed()
    );
    load.finish().await;
    let before = told("before", &before);
    told("without it", &without);
    let meanwhile = told("catching up", &meanwhile);
    told("after", &after);
    let factor = if measured { FACTOR_OF_A_MEASUREMENT } else { FACTOR };
    assert!(
        meanwhile < before.mul_f64(factor),
        "{meanwhile:?} while it caught up, {before:?} before"
    );
}
