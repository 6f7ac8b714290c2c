//! Who is believed: passwords, tokens and the common names of certificates.
//!
//! ```text
//! password.rs   bcrypt, on threads of its own, a few at a time
//! simple.rs     etcd's simple tokens: dice, known to every member through the log, kept in memory
//! jwt.rs        signed tokens, which no member needs to remember
//! ```
//! What a user may do once it is believed is not decided here but in `kvorum_store::auth`.
//!
//! Must keep true: no password and no token is ever logged or stored; hashes and signatures are compared in constant
//! time; a token that is not understood is refused, never taken for nobody's.

pub mod jwt;
pub mod password;
pub mod simple;

use std::sync::Arc;

use thiserror::Error;

use crate::config::{AuthSettings, TokenSettings};
use jwt::{Jwt, JwtError};
use password::Passwords;
use simple::SimpleTokens;

/// What a member needs to know whom to believe.
pub struct Believer {
    /// How tokens are made and checked.
    pub tokens: TokenKind,
    /// How passwords are.
    pub passwords: Passwords,
    /// Whether the common name of a verified certificate is a user's name.
    pub certificates: bool,
}

/// One kind of token for a whole cluster.
pub enum TokenKind {
    /// etcd's default.
    Simple(Arc<SimpleTokens>),
    /// Signed ones.
    Jwt(Box<Jwt>),
}

/// Why tokens cannot be made or checked.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The keys of `--auth-token=jwt,…` cannot be used.
    #[error("--auth-token: {0}")]
    Jwt(#[from] JwtError),
}

impl Believer {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// Keys cannot be read or used.
    pub fn load(settings: &AuthSettings, certificates: bool) -> Result<Self, AuthError> {
        let tokens = match &settings.token {
            TokenSettings::Simple { ttl } => TokenKind::Simple(Arc::new(SimpleTokens::new(*ttl))),
            TokenSettings::Jwt(settings) => TokenKind::Jwt(Box::new(Jwt::load(settings)?)),
        };
        Ok(Self {
            tokens,
            passwords: Passwords::new(settings.bcrypt_cost),
            certificates,
        })
    }

    /// The tokens that the log makes known, if this cluster uses such.
    #[must_use]
    pub fn simple_tokens(&self) -> Option<Arc<SimpleTokens>> {
        match &self.tokens {
            TokenKind::Simple(tokens) => Some(Arc::clone(tokens)),
            TokenKind::Jwt(_) => None,
        }
    }
}
