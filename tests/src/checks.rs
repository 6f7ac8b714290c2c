//! Checkers that run beside a load while faults happen: one property each, its statement at the top of its file.
//!
//! What decides is pure and is shown, in its unit tests, to fail on a bad history; what asks the members is thin. A
//! checker goes on after a violation, and all of them are told at the end.

use std::fmt;
use std::sync::{Arc, Mutex};

pub mod headers;
pub mod holders;
pub mod leases;
pub mod states;
pub mod terms;
pub mod trio;
pub mod trios;
pub mod watched;
pub mod watchers;

/// What must never be seen, and was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Violations are kept up to this many; the first one tells most.
const VIOLATIONS_MAX: usize = 20;

/// Collects what all checkers of one run found.
#[derive(Clone, Default)]
pub struct Violations {
    found: Arc<Mutex<Vec<String>>>,
}

impl Violations {
    /// Keeps what a checker found, if it did.
    pub fn note<T>(&self, checker: &str, outcome: Result<T, Violation>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(violation) => {
                let text = format!("{checker}: {violation}");
                println!("VIOLATION: {text}");
                let mut found = self.found.lock().expect("nobody panicked while holding it");
                if found.len() < VIOLATIONS_MAX {
                    found.push(text);
                }
                None
            }
        }
    }

    /// Everything that was found.
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        self.found.lock().expect("nobody panicked while holding it").clone()
    }
}
