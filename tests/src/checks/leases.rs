//! Leases: none ends early, none lives on.
//!
//! A lease was promised its whole time again from the moment at which its last acknowledged renewal was asked for, not
//! before: when an answer says that it is gone, that time must have passed. Once the faults are over, a lease that nobody
//! renews must be gone its time later, and a little.
//!
//! All times are of one clock, the client's own, that no fault touches. Worked example: a lease of 3 s, renewed by a call
//! from 10.0 to 10.4. Seen gone in an answer that came at 12.9: early. Seen by a read that was asked for at 20 after the
//! faults ended at 11: it lives on.

use std::time::Duration;

use super::Violation;

/// How much later than its time a lease may end: the leader looks twice a second, and its command must be applied.
pub const LATE: Duration = Duration::from_secs(4);

/// What is known of one lease.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its id.
    pub id: i64,
    /// How long it lives without being renewed.
    pub ttl: Duration,
    /// When its grant, or its last acknowledged renewal, was asked for.
    promised_from: Duration,
    /// When the last attempt to renew it ended, whatever came of it.
    tried_until: Duration,
    /// How often it was renewed.
    pub renewals: usize,
}

impl Life {
    /// A lease whose grant was asked for at `asked` and answered at `answered`.
    #[must_use]
    pub fn granted(id: i64, ttl: Duration, asked: Duration, answered: Duration) -> Life {
        Life {
            id,
            ttl,
            promised_from: asked,
            tried_until: answered,
            renewals: 0,
        }
    }

    /// A renewal was asked for and acknowledged.
    pub fn renewed(&mut self, asked: Duration, answered: Duration) {
        self.promised_from = self.promised_from.max(asked);
        self.tried_until = self.tried_until.max(answered);
        self.renewals += 1;
    }

    /// A renewal was asked for; whether it took place is not known.
    pub fn perhaps_renewed(&mut self, given_up: Duration) {
        self.tried_until = self.tried_until.max(given_up);
    }

    /// An answer that came at `answered` says that it is gone; how long after its promise.
    ///
    /// # Errors
    /// It is early.
    pub fn gone(&self, answered: Duration) -> Result<Duration, Violation> {
        let lived = answered.saturating_sub(self.promised_from);
        lived.checked_sub(self.ttl).ok_or_else(|| {
            Violation(format!(
                "lease {:x} of {:?} is gone {lived:?} after its last renewal was asked for ({} renewals)",
                self.id, self.ttl, self.renewals
            ))
        })
    }

    /// A linearizable read that was asked for at `asked` shows it; the faults ended at `healed`.
    ///
    /// # Errors
    /// It should have been gone by then.
    pub fn present(&self, asked: Duration, healed: Duration) -> Result<(), Violation> {
        let due = self.tried_until.max(healed) + self.ttl + LATE;
        if asked <= due {
            return Ok(());
        }
        Err(Violation(format!(
            "lease {:x} of {:?} is still there {:?} after it should have been gone",
            self.id,
            self.ttl,
            asked.checked_sub(due).unwrap_or_default()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn life() -> Life {
        Life::granted(1, at(3.0), at(10.0), at(10.5))
    }

    #[test]
    fn one_that_ends_in_time_is_good() {
        assert_eq!(life().gone(at(13.0)).unwrap(), Duration::ZERO);
        life().present(at(15.0), at(0.0)).unwrap();
        life().gone(at(99.0)).unwrap();
    }

    #[test]
    fn one_that_ends_early_is_seen() {
        assert!(life().gone(at(12.9)).is_err());
        let mut renewed = life();
        renewed.renewed(at(12.0), at(12.2));
        assert!(renewed.gone(at(14.9)).is_err());
        assert_eq!(renewed.gone(at(15.5)).unwrap(), at(0.5));
    }

    #[test]
    fn a_renewal_of_unknown_outcome_promises_nothing_but_may_prolong() {
        let mut life = life();
        life.perhaps_renewed(at(20.0));
        life.gone(at(13.0)).unwrap();
        life.present(at(26.9), at(0.0)).unwrap();
    }

    #[test]
    fn one_that_lives_on_is_seen() {
        assert!(life().present(at(17.6), at(0.0)).is_err());
        life().present(at(17.6), at(12.0)).unwrap();
        assert!(life().present(at(19.1), at(12.0)).is_err());
    }
}
