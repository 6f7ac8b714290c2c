//! Transactions of three keys: a read of all three never sees a part of one, nor an old one.
//!
//! One client writes the next number to three keys in one transaction, others read the three. A read that was asked for
//! when number n was acknowledged must give n or a later number that was already tried, the same for all three, with one
//! revision.

use super::Violation;

/// What a read gave: each key's number and the revision that wrote it.
pub type Read = Vec<(u64, i64)>;

/// What the writer had done when a read was asked for, and when it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The last number acknowledged before the read was asked for; zero: none.
    pub acknowledged: u64,
    /// The last number tried before the read was answered.
    pub tried: u64,
}

/// Judges one read.
///
/// # Errors
/// It saw a part, something old, or something that nobody wrote.
pub fn judge(read: &Read, bounds: Bounds) -> Result<(), Violation> {
    let wrong = |what: &str| Err(Violation(format!("{what}: {read:?} with {bounds:?}")));
    let Some((number, revision)) = read.first() else {
        return if bounds.acknowledged == 0 {
            Ok(())
        } else {
            wrong("nothing is there")
        };
    };
    if read.len() != 3 || read.iter().any(|(other, at)| other != number || at != revision) {
        return wrong("a part of a transaction is seen");
    }
    if *number < bounds.acknowledged {
        return wrong("an old transaction is seen");
    }
    if *number > bounds.tried {
        return wrong("nobody wrote this yet");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        acknowledged: 4,
        tried: 6,
    };

    #[test]
    fn whole_and_new_is_good() {
        for number in 4..=6 {
            judge(&vec![(number, 9); 3], BOUNDS).unwrap();
        }
        let none = Bounds {
            acknowledged: 0,
            tried: 1,
        };
        judge(&Vec::new(), none).unwrap();
    }

    #[test]
    fn parts_are_seen() {
        assert!(judge(&vec![(5, 9), (5, 9), (4, 8)], BOUNDS).is_err());
        assert!(judge(&vec![(5, 9), (5, 9), (5, 8)], BOUNDS).is_err());
        assert!(judge(&vec![(5, 9), (5, 9)], BOUNDS).is_err());
    }

    #[test]
    fn what_is_old_lost_or_from_nowhere_is_seen() {
        assert!(judge(&vec![(3, 9); 3], BOUNDS).is_err());
        assert!(judge(&vec![(7, 9); 3], BOUNDS).is_err());
        assert!(judge(&Vec::new(), BOUNDS).is_err());
    }
}
