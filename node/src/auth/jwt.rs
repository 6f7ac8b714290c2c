//! Signed tokens: JSON web tokens with the claims `username`, `revision` and `exp`, as etcd makes them.
//!
//! Must keep true: only the one algorithm that is configured is accepted, whatever a token says of itself (so neither
//! `none` nor a public key used as an HMAC secret gets through); a token whose time is over is refused; a member with a
//! public key alone checks tokens and makes none.
//!
//! The auth revision in the claims makes every token old as soon as users or roles change; clients authenticate again.

mod keys;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64_simd::URL_SAFE_NO_PAD;
use kvorum_api::error::Refusal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::JwtSettings;
pub use keys::Algorithm;
use keys::Keys;

/// Longest token that is looked at, in bytes: the largest RSA signature and a long name fit many times.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Why keys cannot be used.
#[derive(Debug, Error)]
pub enum JwtError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold a key of the algorithm.
    #[error("{path} holds no key for {algorithm}: {reason}")]
    Key {
        /// The file.
        path: PathBuf,
        /// The algorithm's name.
        algorithm: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No file was named that the algorithm can use.
    #[error("{0} needs {1}")]
    Missing(&'static str, &'static str),
    /// The two keys do not belong together.
    #[error("public and private keys don't match")]
    Mismatch,
}

/// Makes and checks signed tokens.
pub struct Jwt {
    keys: Keys,
    ttl: Duration,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: String,
}

/// Numbers are floating point in JSON web tokens, and whole ones are exact far beyond any auth revision.
#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
}

impl Jwt {
    /// Loads the keys.
    ///
    /// # Errors
    /// They cannot be read, are of another kind, or do not belong together.
    pub fn load(settings: &JwtSettings) -> Result<Self, JwtError> {
        Ok(Self {
            keys: Keys::load(settings)?,
            ttl: settings.ttl,
        })
    }

    /// A token for a user whose password was right at an auth revision.
    ///
    /// # Errors
    /// This member has only the public key.
    pub fn sign(&self, user: &str, auth_revision: u64) -> Result<String, Refusal> {
        let header = Header {
            alg: self.keys.algorithm().name().to_owned(),
            typ: "JWT".to_owned(),
        };
        let claims = Claims {
            username: user.to_owned(),
            revision: auth_revision as f64,
            exp: Some((seconds_now() + self.ttl.as_secs_f64()).floor()),
            nbf: None,
        };
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.keys.sign(signed.as_bytes()).ok_or(Refusal::VerifyOnly)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode_to_string(signature)))
    }

    /// The user and the auth revision that a token stands for; `None` when it is not to be believed.
    #[must_use]
    pub fn check(&self, token: &str) -> Option<(String, u64)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = decoded(header)?;
        if header.alg != self.keys.algorithm().name() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode_to_vec(signature).ok()?;
        if !self.keys.verify(signed.as_bytes(), &signature) {
            return None;
        }
        let claims: Claims = decoded(claims)?;
        let now = seconds_now();
        if claims.exp.is_some_and(|end| end <= now) || claims.nbf.is_some_and(|start| start > now) {
            return None;
        }
        let revision = claims.revision;
        let whole = revision.is_finite() && revision >= 0.0;
        whole.then_some((claims.username, revision as u64))
    }
}

fn seconds_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

fn encoded(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("strings and finite numbers always encode");
    URL_SAFE_NO_PAD.encode_to_string(json)
}

fn decoded<T: for<'a> Deserialize<'a>>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode_to_vec(part).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests;
