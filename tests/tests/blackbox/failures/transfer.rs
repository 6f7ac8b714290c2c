//! A member that lags gets a snapshot from the others, and its disk fails meanwhile: it gets it all the same.

use std::os::unix::process::ExitStatusExt as _;

use kvorum_tests::cluster::{Cluster, fallible_program};
use kvorum_tests::wait::{SETTLE, until};
use rand::Rng;
use rand::rngs::StdRng;
use rustix::process::Signal;

use super::cases::Case;
use super::member::spec;
use super::{Reaction, Way};
use crate::power_cut::ledger::Ledger;

/// Writes while the member is away: several times what a log of small sizes keeps.
const WRITES: usize = 300;

pub(super) async fn fails(case: &'static Case, way: Way, random: &mut StdRng) -> String {
    let mut cluster = Cluster::founders(3, &[]);
    for index in 0..3 {
        let member = &mut cluster.members[index];
        member.program = Some(fallible_program());
        member.variables = vec![("KVORUM_SMALL".to_owned(), "1".to_owned())];
        cluster.start(index);
    }
    cluster.ready().await;
    let away = cluster.follower().await;
    cluster.kill(away);
    let ledger = Ledger::start_small(0, &cluster, random.random());
    until("writes without the member", SETTLE, || async {
        let acknowledged = ledger.acknowledged();
        if acknowledged >= WRITES {
            Ok(())
        } else {
            Err(format!("{acknowledged}"))
        }
    })
    .await;
    let variables = cluster.members[away].variables.clone();
    let armed = ("FAILPOINTS".to_owned(), spec(case, way, random));
    cluster.members[away].variables.push(armed);
    cluster.start(away);
    let said = format!("failpoint {}: {}", case.failpoint, way.word());
    until(&format!("{said:?} in the member's output"), SETTLE, || async {
        let output = cluster.members[away].output();
        if output.contains(&said) { Ok(()) } else { Err(output) }
    })
    .await;
    if case.reaction(way) == Reaction::Dies {
        let mut process = cluster.members[away].process.take().unwrap();
        let ended = process.gone(SETTLE).await;
        assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
        cluster.members[away].variables = variables;
        cluster.start(away);
    }
    cluster.ready().await;
    let ledger = ledger.finish().await;
    ledger.check(&cluster).await;
    format!("{} acknowledged writes at every member", ledger.acknowledged())
}
