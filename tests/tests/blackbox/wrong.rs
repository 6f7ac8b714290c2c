//! Nodes that break one rule on purpose (`kvorum_faults::Wrong`): the checker that guards the rule notices, each time, and
//! says nothing of the same load on nodes that keep it. A checker that was never seen to fail proves nothing.

mod disk;
mod load;

use std::time::{Duration, Instant};

use kvorum_faults::Wrong;
use kvorum_tests::cluster::{Cluster, fallible_program};

/// What a checker found.
struct Noticed {
    /// Its name.
    checker: &'static str,
    /// Its words.
    words: String,
    /// How long after the load began.
    after: Duration,
}

/// Members that are to form a cluster; none of them runs yet.
fn founders(count: usize) -> Cluster {
    let mut cluster = Cluster::founders(count, &[]);
    for member in &mut cluster.members {
        member.program = Some(fallible_program());
    }
    cluster
}

/// Has a member break a rule from its next start on, or none any longer.
fn tell(cluster: &mut Cluster, index: usize, wrong: Option<Wrong>) {
    let variables = &mut cluster.members[index].variables;
    variables.retain(|(name, _)| name != "KVORUM_WRONG");
    variables.extend(wrong.map(|wrong| ("KVORUM_WRONG".to_owned(), wrong.name().to_owned())));
}

/// The members, answering, of which all break a rule.
async fn all(count: usize, wrong: Option<Wrong>) -> Cluster {
    let mut cluster = founders(count);
    for index in 0..count {
        tell(&mut cluster, index, wrong);
        cluster.start(index);
    }
    cluster.ready().await;
    cluster
}

/// The members, answering, of which one that does not lead breaks a rule.
async fn one_follower(wrong: Option<Wrong>) -> Cluster {
    let mut cluster = all(3, None).await;
    let follower = cluster.follower().await;
    assert_eq!(cluster.stop(follower).await, Some(0));
    tell(&mut cluster, follower, wrong);
    cluster.start(follower);
    cluster.ready().await;
    cluster
}

/// The same, on nodes that break the rule and beside them on nodes that keep it.
async fn is_noticed(wrong: Wrong, run: impl AsyncFn(Option<Wrong>) -> Option<Noticed>) {
    let began = Instant::now();
    let (broken, kept) = tokio::join!(run(Some(wrong)), run(None));
    let name = wrong.name();
    let Noticed { checker, words, after } = broken.unwrap_or_else(|| panic!("{name}: nobody noticed"));
    println!(
        "{name}: noticed by {checker} after {:.1} s: {words}",
        after.as_secs_f32()
    );
    if let Some(Noticed { checker, words, .. }) = kept {
        panic!("{name} is not broken, and {checker} says: {words}");
    }
    println!(
        "{name}: nothing is said of nodes that keep the rule; {:?} in all",
        began.elapsed()
    );
}
