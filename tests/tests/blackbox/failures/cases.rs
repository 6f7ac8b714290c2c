//! What fails, when, and what is expected then: a table.

use super::{Reaction, Way};

/// When a failpoint fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// At a member's very first start.
    Founding,
    /// Under load.
    Load,
    /// At the start of a member that was killed.
    Restart,
    /// While a member is stopped in order.
    Stop,
    /// While a member that lags gets a snapshot from others.
    Receiving,
    /// In `kvorum snapshot save`.
    Saving,
    /// In `kvorum snapshot restore`.
    Restoring,
}

/// One failpoint in one stage.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) failpoint: &'static str,
    pub(super) stage: Stage,
    /// So many passages go well before: at least and at most.
    pub(super) before: (u64, u64),
    /// Failpoints that must fail too, for this one to be passed at all.
    pub(super) with: &'static str,
    /// A file that an interrupted work has left, below the data directory.
    pub(super) left: &'static str,
    error: Reaction,
    /// `None` where no space can be wanting.
    no_space: Option<Reaction>,
    /// Whether half may be written.
    is_write: bool,
}

impl Case {
    const fn new(stage: Stage, failpoint: &'static str, error: Reaction, no_space: Option<Reaction>) -> Case {
        Case {
            failpoint,
            stage,
            before: (0, 0),
            with: "",
            left: "",
            error,
            no_space,
            is_write: false,
        }
    }

    const fn written(self) -> Case {
        Case { is_write: true, ..self }
    }

    const fn within(self, before_max: u64) -> Case {
        self.between(0, before_max)
    }

    const fn between(self, before_min: u64, before_max: u64) -> Case {
        Case {
            before: (before_min, before_max),
            ..self
        }
    }

    const fn after(self, before: u64) -> Case {
        self.between(before, before)
    }

    const fn with(self, with: &'static str) -> Case {
        Case { with, ..self }
    }

    const fn left(self, left: &'static str) -> Case {
        Case { left, ..self }
    }

    /// The ways in which it may fail.
    pub(super) fn ways(&self) -> Vec<Way> {
        let no_space = self.no_space.map(|_| Way::NoSpace);
        let half = if self.is_write {
            [Some(Way::Short), Some(Way::Torn)]
        } else {
            [None; 2]
        };
        let ways = [Some(Way::Error), Some(Way::Die), no_space];
        ways.into_iter().chain(half).flatten().collect()
    }

    /// What is expected.
    pub(super) fn reaction(&self, way: Way) -> Reaction {
        match way {
            Way::Error | Way::Short => self.error,
            Way::NoSpace => self.no_space.unwrap_or(self.error),
            Way::Die | Way::Torn => Reaction::Dies,
        }
    }
}

use Reaction::{Ends, GoesOn, Refuses, Stops};
use Stage::{Founding, Load, Receiving, Restart, Restoring, Saving, Stop};

/// All cases.
pub(super) const CASES: &[Case] = &[
    Case::new(Founding, "identity::folder-create", Ends, Some(Ends)).within(1),
    Case::new(Founding, "identity::create", Ends, Some(Ends)).within(1),
    Case::new(Founding, "identity::write", Ends, Some(Ends))
        .within(1)
        .written(),
    Case::new(Founding, "identity::sync", Ends, Some(Ends)).within(1),
    Case::new(Founding, "identity::rename", Ends, Some(Ends)).within(1),
    Case::new(Founding, "identity::directory-sync", Ends, Some(Ends)).within(1),
    Case::new(Founding, "identity::parent-sync", Ends, Some(Ends)).within(1),
    Case::new(Founding, "disk::trial-write", Ends, Some(GoesOn)),
    Case::new(Founding, "disk::trial-remove", Ends, None),
    // The log: a new one, then its next segments, then what is left of one.
    Case::new(Founding, "wal::directory-create", Ends, Some(GoesOn)),
    Case::new(Founding, "wal::parent-sync", Ends, Some(GoesOn)),
    Case::new(Founding, "wal::segment-create", Ends, Some(GoesOn)),
    Case::new(Founding, "wal::segment-fill", Ends, Some(GoesOn)).written(),
    Case::new(Founding, "wal::segment-rename", Ends, Some(GoesOn)),
    Case::new(Founding, "wal::directory-sync", Ends, Some(GoesOn)),
    Case::new(Load, "wal::segment-create", Ends, Some(GoesOn)).within(3),
    Case::new(Load, "wal::segment-fill", Ends, Some(GoesOn))
        .within(3)
        .written(),
    Case::new(Load, "wal::segment-fill-sync", Ends, Some(GoesOn)).within(3),
    Case::new(Load, "wal::segment-header", Ends, Some(GoesOn))
        .within(3)
        .written(),
    Case::new(Load, "wal::segment-header-sync", Ends, Some(GoesOn)).within(3),
    Case::new(Load, "wal::segment-rename", Ends, Some(GoesOn)).within(3),
    Case::new(Load, "wal::segment-discard", GoesOn, None).with("wal::segment-fill=1*off->1*return(ENOSPC)"),
    Case::new(Load, "wal::directory-sync", Ends, Some(GoesOn)).within(4),
    Case::new(Load, "wal::segment-remove", Ends, None).within(2),
    Case::new(Load, "wal::write", Ends, Some(Ends)).between(5, 60).written(),
    Case::new(Load, "wal::sync", Ends, Some(Ends)).between(5, 60),
    Case::new(Restart, "wal::write", Ends, Some(GoesOn)).written(),
    Case::new(Restart, "wal::sync", Ends, Some(GoesOn)),
    // The life before may have ended between a rename and the sync of the folder: the next one makes the name last.
    Case::new(Restart, "wal::directory-sync", Ends, Some(GoesOn)).with("wal::segment-fill=sleep(60000)"),
    Case::new(Restart, "snapshot::directory-sync", Ends, Some(GoesOn)).with("snapshot::create=sleep(60000)"),
    Case::new(Restart, "wal::unfinished-remove", Ends, None).left("wal/00000000000000000099.wal.new"),
    // Snapshots.
    Case::new(Founding, "snapshot::folder-create", Ends, Some(GoesOn)),
    Case::new(Founding, "snapshot::parent-sync", Ends, Some(GoesOn)),
    Case::new(Load, "snapshot::create", Ends, Some(GoesOn)).within(2),
    Case::new(Load, "snapshot::write", Ends, Some(GoesOn))
        .within(2)
        .written(),
    Case::new(Load, "snapshot::sync", Ends, Some(GoesOn)).within(2),
    Case::new(Load, "snapshot::rename", Ends, Some(GoesOn)).within(2),
    Case::new(Load, "snapshot::directory-sync", Ends, Some(GoesOn)).within(2),
    Case::new(Load, "snapshot::remove", Ends, None).within(1),
    Case::new(Load, "snapshot::discard", GoesOn, None).with("snapshot::write=1*off->1*return(ENOSPC)"),
    Case::new(Restart, "snapshot::unfinished-remove", Ends, None).left("snap/7.tmp"),
    // The engine: never the truth.
    Case::new(Founding, "engine::folder-create", Ends, Some(GoesOn)),
    Case::new(Founding, "engine::remove", Ends, None),
    Case::new(Founding, "engine::open", Ends, Some(GoesOn)),
    Case::new(Restart, "engine::open", GoesOn, Some(GoesOn)),
    Case::new(Load, "engine::write", Ends, Some(Ends)).within(20),
    Case::new(Load, "engine::value-create", Ends, Some(GoesOn)).within(2),
    Case::new(Load, "engine::value-write", Ends, Some(GoesOn))
        .within(20)
        .written(),
    Case::new(Restart, "engine::marker-remove", Ends, None),
    Case::new(Restart, "engine::directory-sync", Ends, Some(GoesOn)),
    Case::new(Restart, "engine::marker-create", Ends, Some(GoesOn)),
    Case::new(Founding, "engine::marker-write", Ends, Some(GoesOn)).written(),
    Case::new(Founding, "engine::marker-sync", Ends, Some(GoesOn)),
    Case::new(Founding, "engine::marker-rename", Ends, Some(GoesOn)),
    Case::new(Stop, "engine::flush", Stops, Some(Stops)),
    Case::new(Stop, "engine::settle", Stops, Some(Stops)).after(1),
    Case::new(Stop, "engine::marker-write", Stops, Some(Stops))
        .after(1)
        .written(),
    Case::new(Stop, "engine::marker-rename", Stops, Some(Stops)).after(1),
    // Another member's snapshot.
    Case::new(Receiving, "transfer::create", GoesOn, Some(GoesOn)),
    Case::new(Receiving, "transfer::receive", GoesOn, Some(GoesOn)).written(),
    Case::new(Receiving, "transfer::sync", GoesOn, Some(GoesOn)),
    Case::new(Receiving, "transfer::discard", GoesOn, None).with("transfer::receive=1*return(ENOSPC)"),
    Case::new(Restart, "transfer::remove", Ends, None)
        .left("snap/00000000000000000000-00000000000000000001-00.partial"),
    // Commands.
    Case::new(Saving, "save::create", Refuses, Some(Refuses)),
    Case::new(Saving, "save::write", Refuses, Some(Refuses)).written(),
    Case::new(Saving, "save::sync", Refuses, Some(Refuses)),
    Case::new(Saving, "save::rename", Refuses, Some(Refuses)),
    Case::new(Saving, "save::folder-sync", Refuses, Some(Refuses)),
    Case::new(Saving, "save::discard", Refuses, None).with("save::sync=1*return(EIO)"),
    Case::new(Restoring, "restore::clear", Refuses, None),
    Case::new(Restoring, "restore::folder-create", Refuses, Some(Refuses)),
    Case::new(Restoring, "restore::write", Refuses, Some(Refuses)).written(),
    Case::new(Restoring, "restore::rename", Refuses, Some(Refuses)),
    Case::new(Restoring, "restore::parent-sync", Refuses, Some(Refuses)),
    Case::new(Restoring, "restore::discard", Refuses, None).with("restore::rename=1*return(EIO)"),
];
