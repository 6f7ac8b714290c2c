//! What the variables ask for, in builds that may fail on purpose.
//!
//! Must keep true: what comes is said on standard error before it comes, so that a test knows that it did.

use std::io::{self, Write as _};
use std::mem;
use std::process;
use std::sync::LazyLock;

use crate::Wrong;

/// Asks for small sizes.
const SMALL: &str = "KVORUM_SMALL";
/// Asks for a broken rule.
const WRONG: &str = "KVORUM_WRONG";
/// The system's numbers of its errors, the same on every Linux.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// How a passage fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With an error of the system's.
    Error(i32),
    /// Half is written, the rest is an error.
    Short,
    /// The process ends.
    Die,
    /// Half is written, then the process ends.
    Torn,
}

impl Way {
    fn parse(word: &str) -> Option<Way> {
        match word {
            "EIO" => Some(Way::Error(EIO)),
            "ENOSPC" => Some(Way::Error(ENOSPC)),
            "short" => Some(Way::Short),
            "die" => Some(Way::Die),
            "torn" => Some(Way::Torn),
            _ => None,
        }
    }

    /// Whether half is written before.
    pub(crate) fn is_halfway(self) -> bool {
        matches!(self, Way::Short | Way::Torn)
    }

    /// The error that the passage ends with, or the end of the process.
    pub(crate) fn fail(self) -> io::Error {
        match self {
            Way::Error(number) => io::Error::from_raw_os_error(number),
            Way::Short => io::Error::from_raw_os_error(EIO),
            // As a kill does: nothing is cleaned up, and the system keeps what was written.
            Way::Die | Way::Torn => process::abort(),
        }
    }
}

/// Arms the failpoints that `FAILPOINTS` names, for the life of the process, and says which rule is broken.
///
/// # Panics
/// A variable makes no sense.
pub fn arm() {
    mem::forget(fail::FailScenario::setup());
    if let Some(wrong) = wrong_asked() {
        // As above.
        let _ = writeln!(io::stderr(), "WRONG ON PURPOSE: {}", wrong.name());
    }
}

/// The rule that is to be broken.
pub(crate) fn wrong_asked() -> Option<Wrong> {
    static ASKED: LazyLock<Option<Wrong>> = LazyLock::new(|| {
        let name = std::env::var(WRONG).ok()?;
        let found = Wrong::ALL.into_iter().find(|wrong| wrong.name() == name);
        Some(found.unwrap_or_else(|| panic!("{WRONG}: there is no {name:?}")))
    });
    *ASKED
}

/// How this passage of `name` is to fail, if it is.
pub(crate) fn asked(name: &'static str) -> Option<Way> {
    let word = armed(name)?;
    let Some(way) = Way::parse(&word) else {
        panic!("failpoint {name}: nothing is known as {word:?}");
    };
    // Where nobody listens nothing is lost.
    let _ = writeln!(io::stderr(), "failpoint {name}: {word}");
    Some(way)
}

fn armed(name: &'static str) -> Option<String> {
    fail::fail_point!(name, |word| Some(word.unwrap_or_default()));
    None
}

/// Whether everything is to be small.
pub(crate) fn is_small() -> bool {
    static ASKED: LazyLock<bool> = LazyLock::new(|| std::env::var_os(SMALL).is_some());
    *ASKED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pass, write};

    #[test]
    fn a_passage_fails_when_it_is_asked_to_and_not_again() {
        let scenario = fail::FailScenario::setup();
        fail::cfg("a", "1*off->1*return(ENOSPC)->off").unwrap();
        pass("a").unwrap();
        assert_eq!(pass("a").unwrap_err().kind(), io::ErrorKind::StorageFull);
        pass("a").unwrap();
        pass("b").unwrap();
        fail::cfg("c", "1*return(short)").unwrap();
        let mut written = Vec::new();
        let mut take = |bytes: &[u8]| {
            written.extend_from_slice(bytes);
            Ok(())
        };
        let error = write("c", b"abcd", &mut take).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EIO));
        write("c", b"efgh", &mut take).unwrap();
        assert_eq!(written, b"abefgh");
        scenario.teardown();
    }
}
