//! Decides which faults come, in which order, to whom and for how long. Pure: a seed gives the whole schedule.
//!
//! Kinds are dealt like cards: every kind comes once before any comes again, so that a run of any length is a fair
//! sample and a long one has them all. Who leads is known only when a fault comes; a fault that is to meet the leader
//! takes it as an argument.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::links::Links;

/// How long a fault lasts, in milliseconds: some end before an election (1 to 2 s), most after one.
const LASTS_MS: std::ops::Range<u64> = 600..4_000;
/// How long nothing new happens after a fault, in milliseconds.
const CALM_MS: std::ops::Range<u64> = 300..2_000;
/// How long a flapping network stays as it is, in milliseconds.
const FLAP_MS: std::ops::Range<u64> = 50..700;
/// How far a clock jumps, in milliseconds: a second, a minute, an hour, a day, ten years.
const JUMPS_MS: [i64; 5] = [1_000, 60_000, 3_600_000, 86_400_000, 315_360_000_000];

/// What can happen to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One member is killed and started again.
    Kill,
    /// A majority is killed at one moment.
    KillMajority,
    /// All are killed at one moment.
    KillAll,
    /// One member is asked to stop, does, and is started again.
    Stop,
    /// One member's time stops.
    Pause,
    /// A majority's time stops.
    PauseMajority,
    /// The leader is alone, both ways.
    CutLeader,
    /// A minority is alone, both ways.
    CutMinority,
    /// No group has a majority.
    Shatter,
    /// One member is heard by nobody but hears all.
    Mute,
    /// One member hears nobody but is heard by all.
    Deafen,
    /// One direction between two members is gone.
    OneWayLink,
    /// Two halves that do not see each other, and one member that both see.
    Bridge,
    /// One member is alone and not alone in quick turns.
    Flap,
    /// Packets are lost everywhere.
    Loss,
    /// One member's packets wait in a queue.
    Slow,
    /// All packets wait in queues, and some are lost.
    LossAndSlow,
    /// A clock jumps into the future.
    ClockForward,
    /// A clock jumps into the past.
    ClockBack,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 19] = [
        Kind::Kill,
        Kind::KillMajority,
        Kind::KillAll,
        Kind::Stop,
        Kind::Pause,
        Kind::PauseMajority,
        Kind::CutLeader,
        Kind::CutMinority,
        Kind::Shatter,
        Kind::Mute,
        Kind::Deafen,
        Kind::OneWayLink,
        Kind::Bridge,
        Kind::Flap,
        Kind::Loss,
        Kind::Slow,
        Kind::LossAndSlow,
        Kind::ClockForward,
        Kind::ClockBack,
    ];
}

/// One fault, before it is known who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: Kind,
    /// How long.
    pub lasts: Duration,
    /// How long nothing new happens afterwards.
    pub calm: Duration,
    /// All members; who comes first is met first.
    order: Vec<usize>,
    /// Whether the leader is put first.
    leader_first: bool,
    /// Whether a member is also killed while a fault of the network lasts, and starts again before it ends.
    killed_inside: bool,
    /// Seeds what the kind itself draws.
    seed: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Kill these at one moment; start them again at the end.
    Kill(Vec<usize>),
    /// Ask this one to stop; start it again at the end.
    Stop(usize),
    /// Stop these members' time, let it go on at the end.
    Pause(Vec<usize>),
    /// Let the network be so, each for so long; whole at the end.
    Network {
        /// In order.
        phases: Vec<(Duration, Links)>,
        /// A member that is killed at the beginning and started before the network is whole again.
        killed: Option<usize>,
    },
    /// Move a member's wall clock, in milliseconds; it stays there.
    Clock {
        /// Whose.
        member: usize,
        /// How far; before zero is into the past.
        by_ms: i64,
    },
}

/// Deals faults.
pub struct Nemesis {
    random: StdRng,
    members: usize,
    deck: Vec<Kind>,
}

impl Nemesis {
    /// For a cluster of `members`.
    #[must_use]
    pub fn new(seed: u64, members: usize) -> Nemesis {
        Nemesis {
            random: StdRng::seed_from_u64(seed),
            members,
            deck: Vec::new(),
        }
    }

    /// The next fault.
    pub fn draw(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = Kind::ALL.to_vec();
            self.deck.shuffle(&mut self.random);
        }
        let kind = self.deck.pop().unwrap_or(Kind::Kill);
        let random = &mut self.random;
        let mut order: Vec<usize> = (0..self.members).collect();
        order.shuffle(random);
        Fault {
            kind,
            lasts: Duration::from_millis(random.random_range(LASTS_MS)),
            calm: Duration::from_millis(random.random_range(CALM_MS)),
            order,
            leader_first: random.random_bool(0.6),
            killed_inside: random.random_bool(0.25),
            seed: random.random(),
        }
    }
}

impl Fault {
    /// What is to be done while `leader` leads.
    #[must_use]
    pub fn act(&self, leader: usize) -> Act {
        let places = self.places(leader);
        let count = places.len();
        let minority = count.saturating_sub(1) / 2;
        let mut random = StdRng::seed_from_u64(self.seed);
        let (first, others) = places.split_at(1);
        let links = match self.kind {
            Kind::Kill => return Act::Kill(first.to_vec()),
            Kind::KillMajority => return Act::Kill(places[..=minority].to_vec()),
            Kind::KillAll => return Act::Kill(places),
            Kind::Stop => return Act::Stop(first[0]),
            Kind::Pause => return Act::Pause(first.to_vec()),
            Kind::PauseMajority => return Act::Pause(places[..=minority].to_vec()),
            Kind::ClockForward | Kind::ClockBack => {
                let far = JUMPS_MS[random.random_range(0..JUMPS_MS.len())];
                let by_ms = if self.kind == Kind::ClockBack { -far } else { far };
                return Act::Clock {
                    member: first[0],
                    by_ms,
                };
            }
            Kind::Flap => {
                return self.network(
                    flapping(self.lasts, &Links::parted(&[first, others]), &mut random),
                    leader,
                );
            }
            Kind::CutLeader => Links::parted(&[first, others]),
            Kind::CutMinority => Links::parted(&[&places[..minority], &places[minority..]]),
            Kind::Shatter => {
                let groups: Vec<&[usize]> = places.chunks(minority.max(1)).collect();
                Links::parted(&groups)
            }
            Kind::Mute => Links::whole().without(first, others),
            Kind::Deafen => Links::whole().without(others, first),
            Kind::OneWayLink => Links::whole().without(first, &others[..1.min(others.len())]),
            Kind::Bridge => {
                let (one, other) = others.split_at(others.len() / 2);
                Links::parted(&[one, other])
            }
            Kind::Loss => Links::whole().losing(random.random_range(2..40)),
            Kind::Slow => Links::whole().slowing(first, random.random_range(64..1_000)),
            Kind::LossAndSlow => Links::whole()
                .losing(random.random_range(1..15))
                .slowing(&places, random.random_range(128..2_000)),
        };
        self.network(vec![(self.lasts, links)], leader)
    }

    fn network(&self, phases: Vec<(Duration, Links)>, leader: usize) -> Act {
        let killed = self
            .killed_inside
            .then(|| self.places(leader).last().copied())
            .flatten();
        Act::Network { phases, killed }
    }

    /// All members, those first whom the fault meets first.
    fn places(&self, leader: usize) -> Vec<usize> {
        let mut places = self.order.clone();
        if self.leader_first || self.kind == Kind::CutLeader {
            places.retain(|member| *member != leader);
            places.insert(0, leader);
        }
        places
    }
}

/// Turns of a fault and a whole network that last as long as asked, together.
fn flapping(lasts: Duration, links: &Links, random: &mut StdRng) -> Vec<(Duration, Links)> {
    let mut phases = Vec::new();
    let mut left = lasts;
    while !left.is_zero() {
        let phase = Duration::from_millis(random.random_range(FLAP_MS)).min(left);
        let is_cut = phases.len() % 2 == 0;
        phases.push((phase, if is_cut { links.clone() } else { Links::whole() }));
        left -= phase;
    }
    phases
}

#[cfg(test)]
mod tests;
