//! Every kind of fault under load, on three and on five members, with all checkers beside it.
//!
//! What comes is decided by `kvorum_tests::faults` out of a seed; what must hold is in `kvorum_tests::checks`, and each
//! checker is shown there to see a bad history. Rounds of some faults each share a cluster, whose watchers watch from the
//! first revision to the last; every round has keys of its own, so that histories stay short enough to be searched.

mod majority;
mod means;
mod report;
mod stale;

use std::time::{Duration, Instant};

use kvorum_tests::checks::holders::Holders;
use kvorum_tests::checks::terms::Asking;
use kvorum_tests::checks::trios::Trios;
use kvorum_tests::checks::watched::Change;
use kvorum_tests::checks::watchers::Watchers;
use kvorum_tests::checks::{Violations, states};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::Etcd;
use kvorum_tests::faults::act;
use kvorum_tests::faults::nemesis::Nemesis;
use kvorum_tests::faults::network::{self, Network};
use kvorum_tests::grpc::endpoint;
use kvorum_tests::history::Recorder;
use kvorum_tests::seed;
use kvorum_tests::workload::Workload;
use rand::Rng;
use rand::rngs::StdRng;
use report::Report;

/// Faults in an ordinary run, for each size of cluster; the long runs ask for more.
const FAULTS: usize = 5;
/// Faults of one round, whose history is searched as one.
const FAULTS_OF_ONE_ROUND: usize = 5;
/// Rounds of one cluster; then comes a new one.
const ROUNDS_OF_ONE_CLUSTER: usize = 8;
/// Clients whose history is checked.
const CLIENTS: u32 = 12;
/// Keys they meet on.
const KEYS: u32 = 6;
/// Clients that hold leases.
const HOLDERS: usize = 4;
/// How long a client waits for an answer. Shorter than the members' own bounds: who waits sees nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// As above, where no answer costs nothing.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Fewer operations than this in a round prove nothing; a machine that is also compiling still does as many.
const OPERATIONS_MIN: usize = 300;

/// Every member, asked by somebody who waits no longer than `bound`.
fn asked_within(cluster: &Cluster, bound: Duration) -> Vec<Etcd> {
    let web = cluster.web.clone().within(bound);
    let at = |index| Etcd::new(web.clone(), cluster.url(index));
    (0..cluster.members.len()).map(at).collect()
}

/// One cluster under faults.
struct Run<'a> {
    name: &'a str,
    cluster: Cluster,
    network: Network,
    watchers: Watchers,
    violations: Violations,
    report: &'a mut Report,
}

impl Run<'_> {
    async fn round(&mut self, number: usize, faults: usize, nemesis: &mut Nemesis, random: &mut StdRng) {
        let prefix = format!("h{number}-");
        let patient = asked_within(&self.cluster, PATIENCE);
        let quick = asked_within(&self.cluster, IMPATIENCE);
        let began = Instant::now();
        let load = Workload::start_on(&prefix, &patient, CLIENTS, KEYS, random.random());
        let holders = Holders::start(
            &format!("l{number}-"),
            &quick,
            HOLDERS,
            random.random(),
            &self.violations,
        );
        let trios = Trios::start(&format!("t{number}-"), &quick, random.random(), &self.violations);
        for _ in 0..faults {
            let fault = nemesis.draw();
            act::happen(&fault, &mut self.cluster, &self.network, &mut self.report.faults).await;
        }
        self.cluster.ready().await;
        self.report.leases(holders.finish().await);
        let recorder = load.finish().await;
        self.report.transactions(trios.finish().await);
        self.report.history(&recorder, began.elapsed());
        self.compare(&prefix, &recorder).await;
        recorder.check(self.name);
        assert!(
            recorder.operations().len() > OPERATIONS_MIN,
            "too few operations to mean anything"
        );
    }

    /// What can be said when nothing happens any more.
    async fn compare(&self, prefix: &str, recorder: &Recorder) {
        let violations = &self.violations;
        let (revision, held) = states::held(&self.cluster.at(0)).await;
        let hashes = states::hashes(&self.cluster.everywhere(), revision).await;
        violations.note("state", states::judge(&hashes));
        let judge = |watched: &kvorum_tests::checks::watched::Watched| {
            for (revision, key, value) in recorder.changes() {
                let change = Change {
                    key: format!("{prefix}{key}"),
                    value: value.map(|value| value.to_string()),
                };
                violations.note("watch", watched.acknowledged(revision, &change));
            }
            violations.note("watch", watched.adds_up(revision, &held));
        };
        self.watchers.level(revision, judge).await;
        // Everybody was told everything up to here. It is thrown away while the next faults come.
        states::compact(&self.cluster.at(0), revision).await;
        let found = violations.found();
        assert!(
            found.is_empty(),
            "{}: {found:#?}; {}",
            self.name,
            recorder.keep(self.name)
        );
    }
}

/// What is still to be done: so many faults, or so much time of faulted history.
enum Left {
    Faults(usize),
    Time(Duration),
}

impl Left {
    fn ordered() -> Left {
        match seed::count("KVORUM_FAULT_SECONDS", 0) {
            0 => Left::Faults(seed::count("KVORUM_FAULTS", FAULTS)),
            seconds => Left::Time(Duration::from_secs(seconds as u64)),
        }
    }

    /// Faults of the next round; none when all is done.
    fn faults(&self, report: &Report) -> usize {
        match self {
            Left::Faults(left) => FAULTS_OF_ONE_ROUND.min(*left),
            Left::Time(wanted) if report.faulted() < *wanted => FAULTS_OF_ONE_ROUND,
            Left::Time(_) => 0,
        }
    }

    fn done(&mut self, faults: usize) {
        if let Left::Faults(left) = self {
            *left -= faults;
        }
    }
}

/// Over TLS and as the operator makes it, or in plain text.
#[derive(Clone, Copy)]
enum Form {
    Managed,
    Plain,
}

/// The clusters take the forms in turn.
async fn under_faults(name: &str, members: usize, forms: &[Form]) {
    if !network::possible() {
        return;
    }
    let (mut random, seed) = seed::generator(name);
    let mut nemesis = Nemesis::new(seed, members);
    let mut report = Report::default();
    let mut left = Left::ordered();
    for form in forms.iter().cycle() {
        if left.faults(&report) == 0 {
            break;
        }
        let network = Network::new(members);
        let cluster = match form {
            Form::Managed => Cluster::managed_in(&network).await,
            Form::Plain => Cluster::plain_in(&network).await,
        };
        let violations = Violations::default();
        let endpoints: Vec<_> = (0..members).map(|index| endpoint(&cluster, index)).collect();
        let watchers = Watchers::start(&endpoints, random.random(), &violations);
        let asking = Asking::start(&asked_within(&cluster, IMPATIENCE), &violations);
        let mut run = Run {
            name,
            cluster,
            network,
            watchers,
            violations,
            report: &mut report,
        };
        for round in 0..ROUNDS_OF_ONE_CLUSTER {
            let faults = left.faults(run.report);
            left.done(faults);
            if faults > 0 {
                run.round(round, faults, &mut nemesis, &mut random).await;
            }
        }
        run.watchers.level(0, |watched| run.report.watched(watched)).await;
        run.report.resumed += run.watchers.finish().await;
        run.report.terms(asking.finish().await);
        let found = run.violations.found();
        assert!(found.is_empty(), "{name}: {found:#?}, seed {seed}");
        report.print(name, members, seed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_under_every_fault() {
    under_faults("faults of three", 3, &[Form::Plain, Form::Managed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_members_under_every_fault() {
    under_faults("faults of five", 5, &[Form::Managed]).await;
}
