//! What one part of the planner has to say: act, wait, or nothing.

use crate::step::{Reason, Step};

/// What one part of the planner has to say.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Take this step.
    Act(Step),
    /// Something is wanted, but not now. Others may act meanwhile.
    Wait(Reason),
    /// Nothing to do.
    Nothing,
}

impl Verdict {
    /// The first step of several verdicts; failing that, the first reason to wait; failing that, nothing. Later ones are
    /// not asked once one acts.
    pub(crate) fn first(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut waiting = Self::Nothing;
        for verdict in verdicts {
            match (verdict, &waiting) {
                (Self::Act(step), _) => return Self::Act(step),
                (Self::Wait(reason), Self::Nothing) => waiting = Self::Wait(reason),
                (Self::Wait(_), Self::Wait(_) | Self::Act(_)) | (Self::Nothing, _) => {}
            }
        }
        waiting
    }
}
