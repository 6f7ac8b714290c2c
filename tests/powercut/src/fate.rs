//! What becomes of each piece that no sync covers, drawn from a seed. Pure.
//!
//! Pieces are drawn independently of one another, so later ones may be there without earlier ones. Only sectors are
//! whole: where a sector has what a later write put there, it has what earlier ones put there too.

use std::collections::{HashMap, HashSet};

use rand::Rng;
use rand::rngs::StdRng;

use crate::SECTOR;
use crate::pending::{Edit, EditKind, Pending};

/// How hard a cut is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Severity {
    /// Everything had reached the disk by itself: an end of the process alone.
    Nothing,
    /// Nothing had that no sync covers.
    Everything,
    /// Each piece is kept with this probability, and torn now and then.
    Mixed(f64),
}

/// What becomes of one edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Kept,
    /// It never was.
    Lost,
    /// Of a write, these of its sectors are there, counted from the first that it touches.
    Torn(Vec<bool>),
}

/// The fates of everything pending, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fates {
    /// Of the edits.
    pub edits: Vec<Fate>,
    /// Of the names: whether they are kept.
    pub names: Vec<bool>,
}

impl Severity {
    /// Draws one, so that the extremes come often.
    pub fn draw(random: &mut StdRng) -> Severity {
        match random.random_range(0..8) {
            0..3 => Severity::Everything,
            3 => Severity::Nothing,
            4 => Severity::Mixed(0.1),
            5 => Severity::Mixed(0.9),
            _ => Severity::Mixed(0.5),
        }
    }

    fn keeps(self, random: &mut StdRng) -> bool {
        match self {
            Severity::Nothing => true,
            Severity::Everything => false,
            Severity::Mixed(probability) => random.random_bool(probability),
        }
    }

    fn tears(self, random: &mut StdRng) -> bool {
        matches!(self, Severity::Mixed(_)) && random.random_bool(0.4)
    }
}

/// Draws the fates.
pub fn draw(pending: &Pending, severity: Severity, random: &mut StdRng) -> Fates {
    let mut edits: Vec<Fate> = Vec::new();
    for edit in &pending.edits {
        let sectors = sectors(edit).map_or(0, |(first, end)| end - first);
        edits.push(if sectors > 1 && severity.tears(random) {
            Fate::Torn(tear(sectors as usize, severity, random))
        } else if severity.keeps(random) {
            Fate::Kept
        } else {
            Fate::Lost
        });
    }
    keep_sectors_whole(&pending.edits, &mut edits);
    let names = pending.names.iter().map(|_| severity.keeps(random)).collect();
    Fates { edits, names }
}

/// The sectors that a write touches, from the first to behind the last; `None` for a change of length.
#[must_use]
pub fn sectors(edit: &Edit) -> Option<(u64, u64)> {
    match &edit.kind {
        EditKind::Write { offset, new, .. } => Some((offset / SECTOR, (offset + new.len()).div_ceil(SECTOR))),
        EditKind::Resize { .. } => None,
    }
}

/// Which sectors of a torn write are there: its beginning, its end, or some.
fn tear(sectors: usize, severity: Severity, random: &mut StdRng) -> Vec<bool> {
    let boundary = random.random_range(1..sectors);
    match random.random_range(0..4) {
        0..2 => (0..sectors).map(|sector| sector < boundary).collect(),
        2 => (0..sectors).map(|sector| sector >= boundary).collect(),
        _ => (0..sectors).map(|_| severity.keeps(random)).collect(),
    }
}

/// Where a later write's sector is there, gives earlier writes to it the same fate.
fn keep_sectors_whole(edits: &[Edit], fates: &mut [Fate]) {
    let mut later: HashMap<u64, HashSet<u64>> = HashMap::new();
    for (edit, fate) in edits.iter().zip(fates).rev() {
        let Some((first, end)) = sectors(edit) else {
            continue;
        };
        let there = later.entry(edit.file).or_default();
        let kept: Vec<bool> = (first..end)
            .map(|sector| fate.keeps((sector - first) as usize) || there.contains(&sector))
            .collect();
        there.extend(
            (first..end)
                .zip(&kept)
                .filter(|(_, kept)| **kept)
                .map(|(sector, _)| sector),
        );
        *fate = match (kept.iter().all(|kept| *kept), kept.iter().any(|kept| *kept)) {
            (true, _) => Fate::Kept,
            (false, false) => Fate::Lost,
            (false, true) => Fate::Torn(kept),
        };
    }
}

impl Fate {
    /// Whether a write's sector, counted from the first that it touches, is there.
    #[must_use]
    pub fn keeps(&self, sector: usize) -> bool {
        match self {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Torn(sectors) => sectors[sector],
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::journal::Content;

    fn write(file: u64, offset: u64, length: u64) -> Edit {
        Edit {
            file,
            length_before: 0,
            kind: EditKind::Write {
                offset,
                old: Content::Zeros(0),
                new: Content::Zeros(length),
            },
        }
    }

    fn draws(edits: Vec<Edit>, severity: Severity) -> impl Iterator<Item = Vec<Fate>> {
        let pending = Pending {
            edits,
            names: Vec::new(),
        };
        (0..200).map(move |seed| draw(&pending, severity, &mut StdRng::seed_from_u64(seed)).edits)
    }

    #[test]
    fn one_seed_gives_one_cut() {
        let pending = Pending {
            edits: (0..50).map(|at| write(at % 3, at * 700, 2000)).collect(),
            names: vec![Vec::new(); 9],
        };
        let drawn = |seed| draw(&pending, Severity::Mixed(0.5), &mut StdRng::seed_from_u64(seed));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn the_extremes_are_extreme() {
        let edits = || vec![write(1, 0, 5000), write(1, 100, 9)];
        assert!(draws(edits(), Severity::Nothing).all(|fates| fates.iter().all(|fate| *fate == Fate::Kept)));
        assert!(draws(edits(), Severity::Everything).all(|fates| fates.iter().all(|fate| *fate == Fate::Lost)));
    }

    #[test]
    fn every_order_and_every_tear_happens() {
        let seen: HashSet<String> = draws(vec![write(1, 0, 1024), write(2, 0, 512)], Severity::Mixed(0.5))
            .map(|fates| format!("{fates:?}"))
            .collect();
        // Kept, lost, and torn either way, each with the other write kept and lost.
        assert_eq!(seen.len(), 8, "{seen:?}");
    }

    #[test]
    fn a_sector_with_a_later_write_has_the_earlier_one() {
        let edits = vec![write(1, 0, 1000), write(1, 600, 10), write(2, 600, 10)];
        let mut torn = 0;
        for fates in draws(edits, Severity::Mixed(0.5)) {
            assert!(!fates[1].keeps(0) || fates[0].keeps(1), "{fates:?}");
            torn += usize::from(fates[1] == Fate::Kept && fates[0] == Fate::Torn(vec![false, true]));
        }
        assert!(
            torn > 0,
            "a write that was lost is there in the sector that a later one brought"
        );
    }
}
