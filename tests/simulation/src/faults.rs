//! What goes wrong, and when: drawn while the cluster runs, since nothing but the seed decides.

use std::time::Duration;

use anyhow::bail;
use kvorum::simulation::faults::{self, Fault};
use kvorum_files::simulated::{dice, disk};

use crate::member::name;

/// A fault of the program, for the proof that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deliberate {
    /// Nothing is ever synced.
    NoSync,
    /// A fault that members know.
    Known(Fault),
}

impl Deliberate {
    /// By its name.
    pub(crate) fn parse(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "no-sync" => Self::NoSync,
            "vote-forgotten" => Self::Known(Fault::VoteForgotten),
            "reads-at-once" => Self::Known(Fault::ReadsAtOnce),
            "applied-out-of-order" => Self::Known(Fault::AppliedOutOfOrder),
            "event-dropped" => Self::Known(Fault::EventDropped),
            _ => bail!("{name} is no fault that members know"),
        })
    }

    /// From now on all members have it.
    pub(crate) fn set(self, members: usize) {
        match self {
            Self::NoSync => (0..members).for_each(|member| disk(&name(member)).pretend_syncs()),
            Self::Known(fault) => faults::set(fault),
        }
    }
}

/// Something that goes wrong around the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The power of some goes, each at one of its next changes of the disk, and without a farewell to the others or with one.
    PowerCut { members: Vec<usize>, silent: bool },
    /// One process ends; what it wrote stays.
    Kill(usize),
    /// One process is told to stop, and does so in order.
    Stop(usize),
    /// What is sent from the first to the second does not arrive.
    Cut(Vec<(usize, usize)>),
    /// What two send each other is held back.
    Hold(usize, usize),
}

/// A cut member's power goes within so many changes of its disk.
pub(crate) const CHANGES_MAX: u64 = 12;
/// A member is away, and a network fault lasts, for so long at least, and less than that and the spread, in milliseconds.
const LASTS_MS: (u64, u64) = (100, 3_500);
/// Between two faults, in milliseconds.
const PAUSE_MS: u64 = 900;

/// Before the next fault.
pub(crate) fn pause() -> Duration {
    Duration::from_millis(dice::below(PAUSE_MS))
}

/// How long something lasts.
pub(crate) fn lasts() -> Duration {
    Duration::from_millis(LASTS_MS.0 + dice::below(LASTS_MS.1))
}

fn one(members: usize) -> usize {
    usize::try_from(dice::below(members as u64)).unwrap_or_default()
}

/// Draws what goes wrong next.
pub(crate) fn draw(members: usize) -> Event {
    let silent = dice::below(2) == 0;
    match dice::below(100) {
        0..25 => Event::PowerCut {
            members: vec![one(members)],
            silent,
        },
        25..32 => Event::PowerCut {
            members: (0..members).filter(|_| dice::below(2) == 0).collect(),
            silent,
        },
        32..40 => Event::PowerCut {
            members: (0..members).collect(),
            silent,
        },
        40..50 => Event::Kill(one(members)),
        50..55 => Event::Stop(one(members)),
        55..68 => {
            let alone = one(members);
            Event::Cut(links(members, |from, to| (from == alone) != (to == alone)))
        }
        68..78 => {
            let side: Vec<bool> = (0..members).map(|_| dice::below(2) == 0).collect();
            Event::Cut(links(members, |from, to| side[from] != side[to]))
        }
        78..84 => {
            let deaf = one(members);
            Event::Cut(links(members, |_, to| to == deaf))
        }
        84..90 => {
            let mute = one(members);
            Event::Cut(links(members, |from, _| from == mute))
        }
        _ => {
            let first = one(members);
            Event::Hold(first, (first + 1 + one(members - 1)) % members)
        }
    }
}

fn links(members: usize, cut: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let all = (0..members).flat_map(|from| (0..members).map(move |to| (from, to)));
    all.filter(|(from, to)| from != to && cut(*from, *to)).collect()
}
