//! The keys behind signed tokens, and the algorithms that etcd knows by their names.
//!
//! Must keep true: a key is only ever used with the one algorithm it was loaded for.

use std::fs;
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use ring::{error::KeyRejected, hmac};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::JwtError;
use crate::config::JwtSettings;

/// Declares the algorithms with their names.
macro_rules! algorithms {
    ($($variant:ident)*) => {
        /// How a token is signed; the names are those of RFC 7518 and RFC 8037.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the standard's")]
        pub enum Algorithm { $($variant,)* EdDSA }

        impl Algorithm {
            /// Every algorithm.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)* Self::EdDSA];

            /// The standard's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* Self::EdDSA => "EdDSA" }
            }
        }
    };
}

algorithms! { HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 }

/// What an algorithm is made of.
enum Family {
    Hmac(hmac::Algorithm),
    Rsa(&'static dyn signature::RsaEncoding, &'static signature::RsaParameters),
    Ecdsa(
        &'static signature::EcdsaSigningAlgorithm,
        &'static signature::EcdsaVerificationAlgorithm,
    ),
    Ed25519,
}

impl Algorithm {
    fn family(self) -> Family {
        match self {
            Self::HS256 => Family::Hmac(hmac::HMAC_SHA256),
            Self::HS384 => Family::Hmac(hmac::HMAC_SHA384),
            Self::HS512 => Family::Hmac(hmac::HMAC_SHA512),
            Self::RS256 => Family::Rsa(&signature::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Family::Rsa(&signature::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Family::Rsa(&signature::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Family::Rsa(&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Family::Rsa(&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Family::Rsa(&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Family::Ecdsa(
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                &signature::ECDSA_P256_SHA256_FIXED,
            ),
            Self::ES384 => Family::Ecdsa(
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                &signature::ECDSA_P384_SHA384_FIXED,
            ),
            Self::EdDSA => Family::Ed25519,
        }
    }
}

/// The keys of one algorithm.
pub(super) struct Keys {
    algorithm: Algorithm,
    pair: Option<Pair>,
    /// The public key's bytes; none for HMAC, whose one key does both.
    public: Vec<u8>,
    dice: SystemRandom,
}

enum Pair {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Keys {
    pub(super) fn load(settings: &JwtSettings) -> Result<Self, JwtError> {
        let algorithm = settings.algorithm;
        let pair = match &settings.private_key {
            Some(path) => Some(Pair::load(algorithm, path)?),
            None => None,
        };
        let own = match &pair {
            Some(Pair::Hmac(_)) => Some(Vec::new()),
            Some(Pair::Rsa(pair)) => Some(pair.public_key().as_ref().to_vec()),
            Some(Pair::Ecdsa(pair)) => Some(pair.public_key().as_ref().to_vec()),
            Some(Pair::Ed25519(pair)) => Some(pair.public_key().as_ref().to_vec()),
            None if matches!(algorithm.family(), Family::Hmac(_)) => {
                return Err(JwtError::Missing(algorithm.name(), "priv-key"));
            }
            None => None,
        };
        let given = match &settings.public_key {
            Some(path) if !matches!(pair, Some(Pair::Hmac(_))) => Some(public_key(algorithm, path)?),
            Some(_) | None => None,
        };
        let public = match (own, given) {
            (Some(own), Some(given)) if own != given => return Err(JwtError::Mismatch),
            (Some(key), _) | (None, Some(key)) => key,
            (None, None) => return Err(JwtError::Missing(algorithm.name(), "pub-key or priv-key")),
        };
        Ok(Self {
            algorithm,
            pair,
            public,
            dice: SystemRandom::new(),
        })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature; `None` without a private key.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match (self.pair.as_ref()?, self.algorithm.family()) {
            (Pair::Hmac(key), _) => Some(hmac::sign(key, message).as_ref().to_vec()),
            (Pair::Rsa(pair), Family::Rsa(encoding, _)) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &self.dice, message, &mut signature).ok()?;
                Some(signature)
            }
            (Pair::Rsa(_), _) => None,
            (Pair::Ecdsa(pair), _) => Some(pair.sign(&self.dice, message).ok()?.as_ref().to_vec()),
            (Pair::Ed25519(pair), _) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Whether a signature is right.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn signature::VerificationAlgorithm = match (self.algorithm.family(), &self.pair) {
            (Family::Hmac(_), Some(Pair::Hmac(key))) => return hmac::verify(key, message, signature).is_ok(),
            (Family::Hmac(_), _) => return false,
            (Family::Rsa(_, verification), _) => verification,
            (Family::Ecdsa(_, verification), _) => verification,
            (Family::Ed25519, _) => &signature::ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.public)
            .verify(message, signature)
            .is_ok()
    }
}

impl Pair {
    fn load(algorithm: Algorithm, path: &Path) -> Result<Self, JwtError> {
        let bytes = read(path)?;
        let wrong = |reason: String| wrong_key(algorithm, path, reason);
        if let Family::Hmac(hash) = algorithm.family() {
            if bytes.is_empty() {
                return Err(wrong("the file is empty".into()));
            }
            return Ok(Self::Hmac(hmac::Key::new(hash, &bytes)));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        let rejected = |error: KeyRejected| wrong(error.to_string());
        match (algorithm.family(), &key) {
            (Family::Rsa(..), PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
                .map(|pair| Self::Rsa(Box::new(pair)))
                .map_err(rejected),
            (Family::Rsa(..), PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der())
                .map(|pair| Self::Rsa(Box::new(pair)))
                .map_err(rejected),
            (Family::Ecdsa(signing, _), PrivateKeyDer::Pkcs8(key)) => {
                EcdsaKeyPair::from_pkcs8(signing, key.secret_pkcs8_der(), &SystemRandom::new())
                    .map(Self::Ecdsa)
                    .map_err(rejected)
            }
            (Family::Ed25519, PrivateKeyDer::Pkcs8(key)) => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
                    .map(Self::Ed25519)
                    .map_err(rejected)
            }
            _ => Err(wrong(
                "it is of another kind; keys of elliptic curves must be in PKCS #8 (openssl pkcs8 -topk8 -nocrypt)"
                    .into(),
            )),
        }
    }
}

fn public_key(algorithm: Algorithm, path: &Path) -> Result<Vec<u8>, JwtError> {
    let bytes = read(path)?;
    let wrong = |reason: String| wrong_key(algorithm, path, reason);
    let key = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let (_, parsed) = SubjectPublicKeyInfo::from_der(&key).map_err(|error| wrong(error.to_string()))?;
    Ok(parsed.subject_public_key.data.to_vec())
}

fn read(path: &Path) -> Result<Vec<u8>, JwtError> {
    fs::read(path).map_err(|source| JwtError::Unreadable {
        path: PathBuf::from(path),
        source,
    })
}

fn wrong_key(algorithm: Algorithm, path: &Path, reason: String) -> JwtError {
    JwtError::Key {
        path: PathBuf::from(path),
        algorithm: algorithm.name(),
        reason,
    }
}
