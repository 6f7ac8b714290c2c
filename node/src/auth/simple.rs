//! etcd's simple tokens: `<sixteen letters>.<index>`.
//!
//! The letters are dice; the index is that of the log entry which made the token known, so any member can wait until it
//! has applied that entry and then answer for the token. The log holds only the SHA-256 of the letters.
//!
//! Must keep true: a token dies when nobody has used it for the time to live, when its user's password changes or the
//! user goes, and when auth is switched off. A member that took over a snapshot knows no token, since it cannot know
//! what happened to the users meanwhile; clients authenticate again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvorum_store::Tokens;
use sha2::{Digest, Sha256};

/// Letters of a token: 91 bits of dice.
const LETTERS: usize = 16;
const ALPHABET: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Tokens kept at once; beyond it the one that would die first goes. Each takes a hash of a password to come by, so an
/// honest cluster stays far below.
const TOKENS_MAX: usize = 65_536;

/// Between two looks for tokens that have died.
const SWEEP_TIME: Duration = Duration::from_secs(1);

/// The tokens that this member answers for.
pub struct SimpleTokens {
    ttl: Duration,
    known: Mutex<Known>,
}

struct Known {
    /// By the SHA-256 of the letters, so that looking one up tells nothing about the others.
    by_hash: HashMap<[u8; 32], Token>,
    swept: Instant,
}

struct Token {
    user: String,
    index: u64,
    dies: Instant,
}

/// A token as a client shows it, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    hash: [u8; 32],
    /// Index of the log entry that made it known.
    pub index: u64,
}

impl Shown {
    /// Takes a token apart; `None` when it is none.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        let (letters, index) = token.split_once('.')?;
        Some(Self {
            hash: Sha256::digest(letters).into(),
            index: index.parse().ok()?,
        })
    }
}

/// The secret part of a new token.
pub struct Letters(String);

impl Letters {
    /// Throws the dice.
    ///
    /// # Errors
    /// The system has none.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut letters = String::with_capacity(LETTERS);
        let mut dice = [0; 2 * LETTERS];
        while letters.len() < LETTERS {
            getrandom::fill(&mut dice)?;
            // Only numbers below a multiple of 52, so that every letter is as likely as any other.
            let fair = dice.iter().map(|die| usize::from(*die)).filter(|die| *die < 208);
            let drawn = fair.map(|die| char::from(ALPHABET[die % ALPHABET.len()]));
            letters.extend(drawn.take(LETTERS - letters.len()));
        }
        Ok(Self(letters))
    }

    /// What the log may hold of them.
    #[must_use]
    pub fn hash(&self) -> Bytes {
        Bytes::copy_from_slice(&Sha256::digest(&self.0))
    }

    /// The whole token, once the index is known.
    #[must_use]
    pub fn token(&self, index: u64) -> String {
        format!("{}.{index}", self.0)
    }
}

impl SimpleTokens {
    /// Tokens that die when unused for `ttl`.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            known: Mutex::new(Known {
                by_hash: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// Does what an applied command means for tokens.
    pub fn apply(&self, index: u64, tokens: &Tokens) {
        let mut known = self.lock();
        match tokens {
            Tokens::Added { hash, user } => {
                let Ok(hash) = <[u8; 32]>::try_from(&hash[..]) else {
                    return;
                };
                known.make_room();
                let token = Token {
                    user: user.clone(),
                    index,
                    dies: Instant::now() + self.ttl,
                };
                known.by_hash.insert(hash, token);
            }
            Tokens::ForgottenOf(user) => known.by_hash.retain(|_, token| token.user != *user),
            Tokens::AllForgotten => known.by_hash.clear(),
        }
    }

    /// Forgets every token.
    pub fn forget_all(&self) {
        self.lock().by_hash.clear();
    }

    /// The user that a token stands for; using it keeps it alive.
    #[must_use]
    pub fn user_of(&self, shown: &Shown) -> Option<String> {
        let now = Instant::now();
        let mut known = self.lock();
        let token = known.by_hash.get_mut(&shown.hash)?;
        if token.index != shown.index || token.dies <= now {
            return None;
        }
        token.dies = now + self.ttl;
        Some(token.user.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic while the lock was held has already ended the process (main installs an aborting hook).
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn make_room(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.swept) >= SWEEP_TIME || self.by_hash.len() >= TOKENS_MAX {
            self.swept = now;
            self.by_hash.retain(|_, token| token.dies > now);
        }
        if self.by_hash.len() >= TOKENS_MAX {
            let first = self.by_hash.iter().min_by_key(|(_, token)| token.dies);
            if let Some(hash) = first.map(|(hash, _)| *hash) {
                self.by_hash.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tokens: &SimpleTokens, user: &str, index: u64) -> String {
        let letters = Letters::draw().unwrap();
        let added = Tokens::Added {
            hash: letters.hash(),
            user: user.to_owned(),
        };
        tokens.apply(index, &added);
        letters.token(index)
    }

    fn user(tokens: &SimpleTokens, token: &str) -> Option<String> {
        tokens.user_of(&Shown::parse(token)?)
    }

    #[test]
    fn a_token_stands_for_its_user_until_it_is_forgotten() {
        let tokens = SimpleTokens::new(Duration::from_secs(60));
        let (first, second, other) = (add(&tokens, "a", 7), add(&tokens, "a", 8), add(&tokens, "b", 9));
        assert_eq!(user(&tokens, &first).as_deref(), Some("a"));
        assert_eq!(user(&tokens, &other).as_deref(), Some("b"));
        tokens.apply(10, &Tokens::ForgottenOf("a".into()));
        assert_eq!((user(&tokens, &first), user(&tokens, &second)), (None, None));
        assert_eq!(user(&tokens, &other).as_deref(), Some("b"));
        tokens.apply(11, &Tokens::AllForgotten);
        assert_eq!(user(&tokens, &other), None);
    }

    #[test]
    fn no_other_token_is_believed() {
        let tokens = SimpleTokens::new(Duration::from_secs(60));
        let token = add(&tokens, "a", 7);
        let letters = token.split_once('.').unwrap().0;
        for wrong in [
            "",
            ".",
            ".7",
            letters,
            &format!("{letters}.8"),
            &format!("{letters}."),
            &format!("x{token}"),
        ] {
            assert_eq!(user(&tokens, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_dies_when_it_is_not_used() {
        let tokens = SimpleTokens::new(Duration::ZERO);
        let token = add(&tokens, "a", 7);
        assert_eq!(user(&tokens, &token), None);
    }

    #[test]
    fn letters_are_letters() {
        let token = Letters::draw().unwrap().token(3);
        let (letters, index) = token.split_once('.').unwrap();
        assert_eq!((letters.len(), index), (LETTERS, "3"));
        assert!(letters.bytes().all(|letter| letter.is_ascii_alphabetic()));
        assert_ne!(token, Letters::draw().unwrap().token(3));
    }
}
