//! One member whose disk fails once, and what is there afterwards.

use std::os::unix::process::ExitStatusExt as _;

use kvorum_powercut::Severity;
use kvorum_tests::cluster::{Cluster, fallible_program};
use kvorum_tests::power::Disk;
use kvorum_tests::wait::{SETTLE, until};
use rand::Rng;
use rand::rngs::StdRng;
use rustix::process::Signal;

use super::cases::{Case, Stage};
use super::{Reaction, Way};
use crate::power_cut::ledger::{Acknowledged, Ledger};
use crate::power_cut::{ids, terms};

/// Writes that are acknowledged before a member meets what a restart or a stop has in store.
const WRITES: usize = 40;
/// Exit codes of a node that could not start, and of one that stopped itself.
const ENDED: [i32; 2] = [1, 70];

/// The value of `FAILPOINTS`: fails once, after some passages that go well.
pub(super) fn spec(case: &Case, way: Way, random: &mut StdRng) -> String {
    let before = match random.random_range(case.before.0..=case.before.1) {
        0 => String::new(),
        count => format!("{count}*off->"),
    };
    let own = format!("{}={before}1*return({})", case.failpoint, way.word());
    match case.with {
        "" => own,
        with => format!("{own};{with}"),
    }
}

/// What the system says of it.
pub(super) fn reason(way: Way) -> &'static str {
    match way {
        Way::NoSpace => "No space left on device",
        _ => "Input/output error",
    }
}

/// Makes one passage of a failpoint fail, and looks what is left; what was seen, in words.
pub(super) async fn fails(case: &'static Case, way: Way, random: &mut StdRng) -> String {
    let mut one = One::new(case.failpoint);
    let before = match case.stage {
        Stage::Founding => None,
        _ => Some(one.live_before(random).await),
    };
    if !case.left.is_empty() {
        std::fs::write(one.cluster.members[0].folder.join("data").join(case.left), "half").unwrap();
    }
    one.start(Some(&spec(case, way, random)));
    let ledger = Ledger::start_small(1, &one.cluster, random.random());
    if case.stage == Stage::Stop {
        one.cluster.ready().await;
        one.written(&ledger, WRITES).await;
        let process = one.cluster.members[0].process.as_ref().unwrap();
        process.signal(Signal::TERM);
    }
    one.came(case, way).await;
    one.reacts(case.reaction(way), way).await;
    one.ledgers.push(ledger.finish().await);
    let severity = if random.random_bool(0.5) {
        Severity::Nothing
    } else {
        Severity::draw(random)
    };
    one.down(severity, random.random());
    one.look(before, random).await
}

/// A member's ids and terms.
type Known = (Vec<(u64, u64)>, Vec<i64>);

/// The member, and what it acknowledged.
struct One {
    cluster: Cluster,
    ledgers: Vec<Acknowledged>,
}

impl One {
    fn new(failpoint: &str) -> One {
        let mut cluster = Cluster::founders(1, &[]);
        cluster.members[0].program = Some(fallible_program());
        println!("{failpoint} in {}", cluster.members[0].folder.display());
        One {
            cluster,
            ledgers: Vec::new(),
        }
    }

    fn start(&mut self, failpoints: Option<&str>) {
        let member = &mut self.cluster.members[0];
        member.journalled(Disk::default());
        let mut set = |name: &str, value: &str| member.variables.push((name.to_owned(), value.to_owned()));
        set("KVORUM_SMALL", "1");
        if let Some(failpoints) = failpoints {
            set("FAILPOINTS", failpoints);
        }
        self.cluster.start(0);
    }

    /// Its process is gone, and so is what `severity` says of what it had not synced.
    fn down(&mut self, severity: Severity, seed: u64) {
        if let Some(mut process) = self.cluster.members[0].process.take() {
            process.kill();
        }
        self.cluster.members[0].cut(severity, seed);
    }

    /// A life before, that ended in order; ids and terms.
    async fn live_before(&mut self, random: &mut StdRng) -> Known {
        self.start(None);
        self.cluster.ready().await;
        let ledger = Ledger::start_small(0, &self.cluster, random.random());
        self.written(&ledger, WRITES).await;
        self.ledgers.push(ledger.finish().await);
        let known = (ids(&self.cluster).await, terms(&self.cluster).await);
        assert_eq!(self.cluster.stop(0).await, Some(0));
        self.down(Severity::Nothing, 0);
        known
    }

    async fn written(&self, ledger: &Ledger, count: usize) {
        until("writes to be acknowledged", SETTLE, || async {
            let acknowledged = ledger.acknowledged();
            if acknowledged >= count {
                Ok(())
            } else {
                Err(format!("{acknowledged} of {count}"))
            }
        })
        .await;
    }

    async fn came(&self, case: &Case, way: Way) {
        let said = format!("failpoint {}: {}", case.failpoint, way.word());
        until(&format!("{said:?} in the member's output"), SETTLE, || async {
            let output = self.cluster.members[0].output();
            let last = output.lines().last().unwrap_or_default();
            if output.contains(&said) {
                Ok(())
            } else {
                Err(last.to_owned())
            }
        })
        .await;
    }

    async fn reacts(&mut self, reaction: Reaction, way: Way) {
        if reaction == Reaction::GoesOn {
            self.goes_on().await;
            return;
        }
        let mut process = self.cluster.members[0].process.take().unwrap();
        let ended = process.gone(SETTLE).await;
        let output = self.cluster.members[0].output();
        let said = |lines: &str, part: &str| assert!(lines.contains(part), "{part:?} is not said: {lines}");
        let last = output.lines().last().unwrap_or_default();
        match reaction {
            Reaction::Dies => assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()), "{last}"),
            Reaction::Stops => {
                assert_eq!(ended.code(), Some(0), "{last}");
                let warned = output
                    .lines()
                    .rfind(|line| line.contains("will be rebuilt at the next start"));
                said(warned.unwrap_or_default(), reason(way));
            }
            _ => {
                assert!(
                    ended.code().is_some_and(|code| ENDED.contains(&code)),
                    "{ended}: {last}"
                );
                said(last, reason(way));
                said(last, &self.cluster.members[0].folder.display().to_string());
            }
        }
    }

    /// It serves, and nothing has ended.
    async fn goes_on(&mut self) {
        self.cluster.ready().await;
        let member = self.cluster.at(0);
        until("a write after the failure", SETTLE, || async {
            let put = member.put("after", "the failure").await;
            put.map_err(|error| format!("{error:#}"))
        })
        .await;
        assert_eq!(self.cluster.members[0].process.as_mut().unwrap().ended(), None);
    }

    /// Started again without failures it has everything; and once more, after a power cut that takes what was not synced.
    async fn look(&mut self, before: Option<Known>, random: &mut StdRng) -> String {
        self.start(None);
        self.cluster.ready().await;
        let (own, term) = (ids(&self.cluster).await, terms(&self.cluster).await);
        if let Some((ids_before, terms_before)) = before {
            assert_eq!(own, ids_before, "an id has changed");
            assert!(term > terms_before, "terms {terms_before:?}, then {term:?}");
        }
        let ledger = Ledger::start_small(2, &self.cluster, random.random());
        self.written(&ledger, WRITES).await;
        self.ledgers.push(ledger.finish().await);
        self.check().await;
        self.down(Severity::Everything, 0);
        self.start(None);
        self.cluster.ready().await;
        let acknowledged = self.check().await;
        assert_eq!(ids(&self.cluster).await, own, "an id has changed");
        assert!(terms(&self.cluster).await > term, "a term has come back");
        self.cluster.kill(0);
        format!("{acknowledged} acknowledged writes all there")
    }

    /// How many acknowledged writes are there: all.
    async fn check(&self) -> usize {
        let mut all = 0;
        for ledger in &self.ledgers {
            ledger.check(&self.cluster).await;
            all += ledger.acknowledged();
        }
        all
    }
}
