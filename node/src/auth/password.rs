//! Passwords: hashed with bcrypt before they are proposed, and checked against the hash.
//!
//! Must keep true: hashing never runs on a thread that serves requests, and no more of it at a time than there are
//! processors; an unknown user costs as much time as a wrong password, so that names cannot be guessed by the clock.

use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_store::Credential;
use tokio::sync::Semaphore;

/// bcrypt sees no more of a password than this; a longer one is refused, as in etcd.
const PASSWORD_BYTES_MAX: usize = 72;

/// What follows the cost in a hash: 22 letters of salt and 31 of hash.
const SALT_AND_HASH_LETTERS: usize = 53;

/// Makes and checks hashes of passwords.
pub struct Passwords {
    cost: u32,
    turns: Arc<Semaphore>,
    /// The hash of no password, checked in place of an unknown user's.
    nobodys: Bytes,
}

impl Passwords {
    /// With this many rounds of bcrypt, as a power of two; 4 to 31.
    #[must_use]
    pub fn new(cost: u32) -> Self {
        let turns = available_parallelism().map_or(1, usize::from);
        // The cost decides the time that a check takes; of the rest nothing can match.
        let nobodys = format!("$2b${cost:02}${}", ".".repeat(SALT_AND_HASH_LETTERS));
        Self {
            cost,
            turns: Arc::new(Semaphore::new(turns)),
            nobodys: nobodys.into(),
        }
    }

    /// The bcrypt hash of a password.
    ///
    /// # Errors
    /// The password is too long, or this member stops.
    pub async fn hash(&self, password: String) -> Result<Bytes, Refusal> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Refusal::PasswordTooLong);
        }
        let cost = self.cost;
        let hashed = self.turn(move || bcrypt::hash(password, cost)).await?;
        match hashed {
            Ok(hash) => Ok(hash.into()),
            Err(error) => {
                tracing::error!("a password could not be hashed: {error}");
                Err(Refusal::AuthFailed)
            }
        }
    }

    /// Checks a password against what the user must show.
    ///
    /// # Errors
    /// It is wrong, the user has none or does not exist, or this member stops.
    pub async fn check(&self, password: String, credential: Credential) -> Result<(), Refusal> {
        let (hash, known) = match credential {
            Credential::PasswordHash(hash) => (hash, true),
            Credential::Unknown => (self.nobodys.clone(), false),
            Credential::NoPassword => return Err(Refusal::NoPasswordUser),
        };
        let matches = move || {
            let hash = std::str::from_utf8(&hash).unwrap_or_default();
            bcrypt::verify(password, hash).unwrap_or(false)
        };
        if self.turn(matches).await? && known {
            Ok(())
        } else {
            Err(Refusal::AuthFailed)
        }
    }

    async fn turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::Stopped)?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held until the work is done, even where nobody waits for it any more.
            drop(turn);
            done
        });
        working.await.map_err(|_| Refusal::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let passwords = Passwords::new(4);
        let hash = passwords.hash("secret".into()).await.unwrap();
        assert!(!hash.windows(6).any(|window| window == b"secret"));
        let credential = Credential::PasswordHash(hash);
        assert_eq!(passwords.check("secret".into(), credential.clone()).await, Ok(()));
        assert_eq!(
            passwords.check("Secret".into(), credential).await,
            Err(Refusal::AuthFailed)
        );
    }

    #[tokio::test]
    async fn who_has_no_hash_is_not_believed() {
        let passwords = Passwords::new(4);
        let check = |credential| passwords.check(String::new(), credential);
        assert_eq!(check(Credential::Unknown).await, Err(Refusal::AuthFailed));
        assert_eq!(check(Credential::NoPassword).await, Err(Refusal::NoPasswordUser));
        let empty = Credential::PasswordHash(Bytes::new());
        assert_eq!(check(empty).await, Err(Refusal::AuthFailed));
    }

    #[tokio::test]
    async fn etcds_hashes_are_understood() {
        // Made by etcd's `bcrypt.GenerateFromPassword([]byte("U*U"), 5)`; a published vector.
        let hash = Bytes::from_static(b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        let credential = Credential::PasswordHash(hash);
        assert_eq!(Passwords::new(4).check("U*U".into(), credential).await, Ok(()));
    }

    #[tokio::test]
    async fn a_password_that_bcrypt_would_cut_is_refused() {
        let passwords = Passwords::new(4);
        assert!(passwords.hash("p".repeat(72)).await.is_ok());
        assert_eq!(passwords.hash("p".repeat(73)).await, Err(Refusal::PasswordTooLong));
    }

    #[test]
    fn the_hash_of_nobody_is_a_hash() {
        // Were it malformed, checking it would take no time.
        let passwords = Passwords::new(4);
        let hash = std::str::from_utf8(&passwords.nobodys).unwrap();
        assert!(hash.parse::<bcrypt::HashParts>().is_ok());
        assert!(!bcrypt::verify("", hash).unwrap());
    }
}
