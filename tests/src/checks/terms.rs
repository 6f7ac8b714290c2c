//! Terms: no term has two leaders, no member's term goes back, over restarts too.
//!
//! Members are asked all the time who leads and in which term; each member is asked one question at a time, so that its
//! answers have an order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::{Violation, Violations};
use crate::etcd::{Etcd, id, number};
use crate::wait::pause;

/// Between two questions to one member.
const ASK: Duration = Duration::from_millis(50);

/// Who was seen to lead, and how far each member's term was.
#[derive(Debug, Default)]
pub struct Terms {
    leaders: BTreeMap<u64, u64>,
    newest: BTreeMap<u64, u64>,
    /// Answers that were compared.
    pub answers: usize,
}

impl Terms {
    /// Takes one answer of `member`: its term, and who leads it (zero: it knows nobody).
    ///
    /// # Errors
    /// What it may not have said.
    pub fn take(&mut self, member: u64, term: u64, leader: u64) -> Result<(), Violation> {
        self.answers += 1;
        let newest = self.newest.entry(member).or_default();
        if term < *newest {
            return Err(Violation(format!(
                "member {member:x} is in term {term}, and was in {newest} before"
            )));
        }
        *newest = term;
        if leader == 0 {
            return Ok(());
        }
        let first = *self.leaders.entry(term).or_insert(leader);
        if first == leader {
            return Ok(());
        }
        Err(Violation(format!(
            "term {term} has two leaders: {first:x} and, at member {member:x}, {leader:x}"
        )))
    }

    /// In how many terms somebody was seen to lead.
    #[must_use]
    pub fn led(&self) -> usize {
        self.leaders.len()
    }
}

/// Running questions to all members.
pub struct Asking {
    terms: Arc<Mutex<Terms>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Asking {
    /// Starts to ask; `members` should give up soon, because one whose time stands still never answers.
    #[must_use]
    pub fn start(members: &[Etcd], violations: &Violations) -> Asking {
        let terms = Arc::new(Mutex::new(Terms::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = members.iter().cloned().map(|member| {
            let (terms, stop, violations) = (Arc::clone(&terms), Arc::clone(&stop), violations.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(status) = member.ask("maintenance/status", &json!({})).await {
                        let term = number(&status["raftTerm"]).unsigned_abs();
                        let (own, leader) = (id(&status["header"]["member_id"]), id(&status["leader"]));
                        let mut terms = terms.lock().expect("nobody panicked while holding it");
                        violations.note("terms", terms.take(own, term, leader));
                    }
                    pause(ASK).await;
                }
            })
        });
        Asking {
            tasks: tasks.collect(),
            terms,
            stop,
        }
    }

    /// Ends it; how many answers were compared, and in how many terms somebody was seen to lead.
    ///
    /// # Panics
    /// When a task did.
    pub async fn finish(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("asking failed");
        }
        let terms = self.terms.lock().expect("nobody panicked while holding it");
        (terms.answers, terms.led())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_that_follow_each_other_are_good() {
        let mut terms = Terms::default();
        for (member, term, leader) in [
            (1, 1, 1),
            (2, 1, 1),
            (3, 0, 0),
            (2, 2, 0),
            (2, 2, 2),
            (1, 1, 1),
            (1, 2, 2),
        ] {
            terms.take(member, term, leader).unwrap();
        }
        assert_eq!((terms.answers, terms.led()), (7, 2));
    }

    #[test]
    fn two_leaders_of_one_term_are_seen() {
        let mut terms = Terms::default();
        terms.take(1, 4, 1).unwrap();
        terms.take(2, 5, 2).unwrap();
        assert!(terms.take(3, 4, 3).is_err());
    }

    #[test]
    fn a_term_that_goes_back_is_seen() {
        let mut terms = Terms::default();
        terms.take(1, 4, 0).unwrap();
        assert!(terms.take(1, 3, 0).is_err());
        terms.take(2, 3, 0).unwrap();
    }
}
