//! One seed: a cluster, its load and its faults; then peace, until all members agree, and the checks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use kvorum::raft::settings::Timing;
use kvorum::simulation::{end, ledger};
use kvorum_files::simulated::{dice, disk};
use turmoil::Sim;

use crate::checks;
use crate::faults::{self, Deliberate, Event};
use crate::links::Links;
use crate::member::{self, Plan, name};
use crate::outcome::Outcome;
use crate::record::Record;

/// A step of simulated time.
const TICK: Duration = Duration::from_millis(2);
/// Faults go on for so long, and less than that and the spread, in milliseconds.
const FAULTS_MS: (u64, u64) = (7_000, 6_000);
/// The first fault comes after this, in milliseconds: most of the time there is a leader by then.
const CALM_MS: u64 = 1_500;
/// A power cut that waits for a change of the disk comes anyway after this, in milliseconds.
const CUT_MS_MAX: u64 = 1_500;
/// After the faults the members must agree within this.
const CONVERGE: Duration = Duration::from_secs(60);
/// They stay so for this long before they are believed: a lease may still end.
const STAY: Duration = Duration::from_secs(9);

/// A simulated cluster under way.
struct Cluster<'a> {
    sim: Sim<'a>,
    plan: Plan,
    record: Arc<Record>,
    links: Links,
    /// When a member that is down comes back.
    down: BTreeMap<usize, Duration>,
    /// When the power of a member goes at the latest, and whether without a farewell.
    cutting: BTreeMap<usize, (Duration, bool)>,
}

/// Runs the cluster of a seed.
pub(crate) fn run(seed: u64, fault: Option<Deliberate>) -> Outcome {
    dice::seed(seed);
    let record = Arc::new(Record::new(seed));
    watch_panics(&record);
    let plan = draw_plan();
    if let Some(fault) = fault {
        fault.set(plan.members);
    }
    record.event(&format!("{plan:?}"));
    let mut cluster = Cluster {
        sim: build(seed, plan, &record),
        plan,
        record: Arc::clone(&record),
        links: Links::new(plan.members),
        down: BTreeMap::new(),
        cutting: BTreeMap::new(),
    };
    let calm = cluster.load() && cluster.settle();
    let ended = cluster.sim.elapsed();
    // Members go as if their power did: nothing is written by what they drop.
    for member in 0..plan.members {
        disk(&name(member)).cut();
    }
    drop(cluster);
    checks::all(&record, &plan, calm);
    outcome(seed, &plan, &record, ended)
}

fn draw_plan() -> Plan {
    let heartbeat_ms = 30 + dice::below(60);
    Plan {
        members: if dice::below(4) == 0 { 5 } else { 3 },
        timing: Timing {
            heartbeat_ms,
            election_ms: heartbeat_ms * (4 + dice::below(4)),
        },
        clients: 1 + u32::try_from(dice::below(3)).unwrap_or_default(),
        keys: 4 + u32::try_from(dice::below(6)).unwrap_or_default(),
    }
}

fn build<'a>(seed: u64, plan: Plan, record: &Arc<Record>) -> Sim<'a> {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + Duration::from_hours(24 * 365))
        .tick_duration(TICK)
        .simulation_duration(Duration::from_hours(24))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::from_millis(2 + dice::below(40)));
    if dice::below(2) == 0 {
        builder.enable_random_order();
    }
    let mut sim = builder.build();
    for number in 0..plan.members {
        let (record, lives) = (Arc::clone(record), Arc::new(AtomicU32::new(0)));
        sim.host(name(number), move || {
            let (record, life) = (Arc::clone(&record), lives.fetch_add(1, Relaxed));
            async move {
                member::run(number, life, plan, record).await;
                Ok(())
            }
        });
    }
    sim
}

/// A panic anywhere is a fault of the program, whatever catches it.
fn watch_panics(record: &Arc<Record>) {
    let record = Mutex::new(Arc::clone(record));
    std::panic::set_hook(Box::new(move |panic| {
        if let Ok(record) = record.lock() {
            record.wrong("panic", panic.to_string());
        }
    }));
}

impl Cluster<'_> {
    fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    /// The load, with faults; `false` when it makes no sense to go on.
    fn load(&mut self) -> bool {
        let end = Duration::from_millis(FAULTS_MS.0 + dice::below(FAULTS_MS.1));
        let mut next = Duration::from_millis(CALM_MS) + faults::pause();
        while self.now() < end {
            if self.now() >= next {
                let event = faults::draw(self.plan.members);
                self.begin(event);
                next = self.now() + faults::pause();
            }
            if !self.step() {
                return false;
            }
        }
        true
    }

    /// Everything is healed, and all agree after a while; `false` when not.
    fn settle(&mut self) -> bool {
        self.links.pass(&self.sim, true);
        for back in self.down.values_mut() {
            *back = Duration::ZERO;
        }
        let healed = self.now();
        self.record.heal(healed);
        self.record.event(&format!("healed at {healed:?}"));
        while self.now() < healed + CONVERGE {
            if !self.step() {
                return false;
            }
            if self.now() > healed + STAY && checks::agree(&self.record, self.plan.members, self.now()).is_ok() {
                self.record.count(
                    "settling-ms",
                    u64::try_from((self.now() - healed).as_millis()).unwrap_or_default(),
                );
                return true;
            }
        }
        let why = checks::agree(&self.record, self.plan.members, self.now())
            .err()
            .unwrap_or_default();
        self.record.wrong("converge", format!("not within {CONVERGE:?}: {why}"));
        false
    }

    fn begin(&mut self, event: Event) {
        let (at, kind) = (self.now(), kind(&event));
        match event {
            Event::PowerCut { members, silent } => {
                for member in members.into_iter().filter(|member| !self.down.contains_key(member)) {
                    disk(&name(member)).cut_after(dice::below(faults::CHANGES_MAX));
                    let latest = at + Duration::from_millis(dice::below(CUT_MS_MAX));
                    self.cutting.insert(member, (latest, silent && !self.links.holds()));
                }
            }
            Event::Kill(member) => {
                if self.down.contains_key(&member) || self.cutting.contains_key(&member) {
                    return;
                }
                self.end(member);
            }
            Event::Stop(member) => {
                if self.down.contains_key(&member) || self.cutting.contains_key(&member) {
                    return;
                }
                self.record.stopping().insert(member, false);
            }
            Event::Cut(links) if self.links.is_free() && !links.is_empty() => {
                self.links.cut(&self.sim, links, at + faults::lasts());
            }
            Event::Hold(one, other) if self.links.is_free() && self.down.is_empty() => {
                self.links.hold(&self.sim, one, other, at + faults::lasts());
            }
            Event::Cut(_) | Event::Hold(..) => return,
        }
        self.record.count(kind, 1);
        self.record.event(&format!("{kind} at {at:?}"));
    }

    /// One step of time, and what must follow from it; `false` when the simulation broke.
    fn step(&mut self) -> bool {
        if let Err(error) = self.sim.step() {
            self.record.wrong("simulation", error.to_string());
            return false;
        }
        let now = self.now();
        for reason in end::reasons() {
            let cut = (0..self.plan.members).any(|member| disk(&name(member)).is_cut());
            if !cut {
                self.record.wrong("end", format!("a member ended itself: {reason}"));
                return false;
            }
        }
        let late: Vec<usize> = self
            .cutting
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(member, _)| *member)
            .collect();
        late.iter().for_each(|member| disk(&name(*member)).cut());
        for member in 0..self.plan.members {
            if disk(&name(member)).is_cut() {
                let silent = self.cutting.remove(&member).is_some_and(|(_, silent)| silent);
                self.power_down(member, silent);
            }
        }
        let stopped: Vec<usize> = (0..self.plan.members)
            .filter(|member| self.record.stopping().get(member) == Some(&true))
            .collect();
        stopped.into_iter().for_each(|member| self.end(member));
        self.links.pass(&self.sim, false);
        let back: Vec<usize> = self
            .down
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(member, _)| *member)
            .collect();
        for member in back {
            self.down.remove(&member);
            self.links.unsilence(&self.sim, member);
            self.sim.bounce(name(member));
            self.record.event(&format!("{} is back at {now:?}", name(member)));
        }
        true
    }

    /// A process is no more; its disk is as it left it.
    fn end(&mut self, member: usize) {
        disk(&name(member)).cut();
        self.sim.crash(name(member));
        disk(&name(member)).go_on();
        self.record.stopping().remove(&member);
        self.cutting.remove(&member);
        self.down.insert(member, self.now() + faults::lasts());
        self.record.event(&format!("{} ends at {:?}", name(member), self.now()));
    }

    fn power_down(&mut self, member: usize, silent: bool) {
        if silent {
            self.links.silence(&self.sim, member);
        }
        self.sim.crash(name(member));
        disk(&name(member)).restore();
        self.record.stopping().remove(&member);
        self.down.insert(member, self.now() + faults::lasts());
        self.record
            .event(&format!("the power of {} is gone at {:?}", name(member), self.now()));
    }
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::PowerCut { members, .. } if members.len() == 1 => "power-cut-of-one",
        Event::PowerCut { .. } => "power-cut-of-several",
        Event::Kill(_) => "kill",
        Event::Stop(_) => "stop",
        Event::Cut(_) => "links-cut",
        Event::Hold(..) => "link-held",
    }
}

fn outcome(seed: u64, plan: &Plan, record: &Record, ended: Duration) -> Outcome {
    let mut counts = record.counts();
    for (kind, count) in record.recorder.kinds() {
        counts.insert(format!("op-{}", kind.replace(' ', "-")), count as u64);
    }
    let (votes, installed) = ledger::counts();
    counts.insert("operations".into(), record.recorder.operations().len() as u64);
    counts.insert("votes".into(), votes);
    counts.insert("snapshots-sent".into(), installed);
    counts.insert("members".into(), plan.members as u64);
    counts.insert("revisions".into(), record.watched().revisions() as u64);
    counts.insert("terms-led".into(), record.terms().led() as u64);
    counts.insert(
        "simulated-ms".into(),
        u64::try_from(ended.as_millis()).unwrap_or_default(),
    );
    let disks = (0..plan.members).map(|member| disk(&name(member)).counts());
    for disk in disks {
        for (name, count) in [
            ("disk-writes", disk.writes),
            ("disk-syncs", disk.syncs),
            ("disk-cuts", disk.cuts),
            ("disk-writes-undone", disk.undone),
        ] {
            *counts.entry(name.into()).or_default() += count;
        }
    }
    record.event(&format!("{counts:?}"));
    Outcome {
        seed,
        digest: record.digest(),
        counts,
        violations: record.violations.found(),
    }
}
