//! Which links between members are cut or held, and what becomes of their connections.

use std::collections::BTreeSet;
use std::time::Duration;

use kvorum::simulation::net::break_between;
use turmoil::Sim;

use crate::member::name;

/// A cut connection is given up by both sides after so long, as the system does it for real ones.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// The links.
#[derive(Default)]
pub(crate) struct Links {
    members: usize,
    /// Cut until then, from one to another.
    cut: Option<(BTreeSet<(usize, usize)>, Duration)>,
    held: Option<((usize, usize), Duration)>,
    /// Members whose power went without a farewell.
    silent: BTreeSet<usize>,
    /// When cut connections are given up.
    given_up: Option<Duration>,
    blocked: BTreeSet<(usize, usize)>,
}

impl Links {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            members,
            ..Self::default()
        }
    }

    /// Whether nothing is wrong with the network that would not go together with another fault of it.
    pub(crate) fn is_free(&self) -> bool {
        self.cut.is_none() && self.held.is_none()
    }

    /// Whether some link is held, which does not go together with a cut one.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    pub(crate) fn cut(&mut self, sim: &Sim<'_>, links: Vec<(usize, usize)>, until: Duration) {
        self.cut = Some((links.into_iter().collect(), until));
        self.given_up = Some(sim.elapsed() + GIVEN_UP);
        self.apply(sim);
    }

    pub(crate) fn hold(&mut self, sim: &Sim<'_>, one: usize, other: usize, until: Duration) {
        sim.hold(name(one), name(other));
        self.held = Some(((one, other), until));
    }

    /// Nobody hears from this member any more, and nobody was told.
    pub(crate) fn silence(&mut self, sim: &Sim<'_>, member: usize) {
        self.silent.insert(member);
        self.given_up.get_or_insert(sim.elapsed() + GIVEN_UP);
        self.apply(sim);
    }

    pub(crate) fn unsilence(&mut self, sim: &Sim<'_>, member: usize) {
        self.silent.remove(&member);
        self.apply(sim);
    }

    /// Ends what is to end by now; all of it when `all`.
    pub(crate) fn pass(&mut self, sim: &Sim<'_>, all: bool) {
        let now = sim.elapsed();
        if self.cut.as_ref().is_some_and(|(_, until)| all || *until <= now) {
            self.cut = None;
            self.apply(sim);
        }
        if let Some(((one, other), until)) = self.held
            && (all || until <= now)
        {
            sim.release(name(one), name(other));
            sim.repair(name(one), name(other));
            self.held = None;
        }
        if self.given_up.is_some_and(|at| at <= now) {
            self.given_up = None;
            self.give_up(sim, &self.blocked);
        }
    }

    fn apply(&mut self, sim: &Sim<'_>) {
        let cut = self.cut.as_ref().map(|(links, _)| links.clone()).unwrap_or_default();
        let pairs = (0..self.members).flat_map(|from| (0..self.members).map(move |to| (from, to)));
        let blocked: BTreeSet<(usize, usize)> = pairs
            .filter(|(from, to)| from != to)
            .filter(|link| cut.contains(link) || self.silent.contains(&link.0) || self.silent.contains(&link.1))
            .collect();
        let open: BTreeSet<_> = self.blocked.difference(&blocked).copied().collect();
        for (from, to) in &open {
            sim.repair_oneway(name(*from), name(*to));
        }
        for (from, to) in blocked.difference(&self.blocked) {
            sim.partition_oneway(name(*from), name(*to));
        }
        // What was sent meanwhile is lost, and never sent again.
        self.give_up(sim, &open);
        self.blocked = blocked;
    }

    fn give_up(&self, sim: &Sim<'_>, links: &BTreeSet<(usize, usize)>) {
        for (from, to) in links {
            break_between(sim.lookup(name(*from)), sim.lookup(name(*to)));
        }
    }
}
