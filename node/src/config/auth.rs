//! `--auth-token`, `--auth-token-ttl` and `--bcrypt-cost`: how users are believed.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, Settings};
use crate::auth::jwt::Algorithm;
use crate::duration;

/// Rounds of bcrypt as a power of two, as in etcd.
const BCRYPT_COST_DEFAULT: u32 = 10;
/// What bcrypt itself allows.
const BCRYPT_COST_MIN: u32 = 4;
const BCRYPT_COST_MAX: u32 = 31;
/// How long a simple token lives unused, as in etcd.
const SIMPLE_TTL_S_DEFAULT: u64 = 300;
/// Longest life of an unused simple token: it is added to the present time, which has an end.
const SIMPLE_TTL_S_MAX: u64 = duration::DURATION_MAX.as_secs();
/// How long a signed token lives, as in etcd.
const JWT_TTL_DEFAULT: Duration = Duration::from_mins(5);

/// How users are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// The kind of token.
    pub token: TokenSettings,
    /// Rounds of bcrypt for new passwords, as a power of two.
    pub bcrypt_cost: u32,
}

/// The kind of token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSettings {
    /// Tokens that members keep in memory.
    Simple {
        /// How long one lives unused.
        ttl: Duration,
    },
    /// Signed tokens.
    Jwt(JwtSettings),
}

/// What signed tokens are made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// The one algorithm.
    pub algorithm: Algorithm,
    /// File of the public key (PEM).
    pub public_key: Option<PathBuf>,
    /// File of the private key (PEM), or of the secret itself for HMAC.
    pub private_key: Option<PathBuf>,
    /// How long a token lives.
    pub ttl: Duration,
}

/// Checks the settings.
pub(super) fn auth(settings: &Settings) -> Result<AuthSettings, ConfigError> {
    let bcrypt_cost = settings.bcrypt_cost.unwrap_or(BCRYPT_COST_DEFAULT);
    if !(BCRYPT_COST_MIN..=BCRYPT_COST_MAX).contains(&bcrypt_cost) {
        let reason = format!("{bcrypt_cost} is outside {BCRYPT_COST_MIN} to {BCRYPT_COST_MAX}");
        return Err(ConfigError::new("--bcrypt-cost", reason));
    }
    if let Some(ttl) = settings.auth_token_ttl.filter(|ttl| *ttl > SIMPLE_TTL_S_MAX) {
        let reason = format!("{ttl} is too long: at most {SIMPLE_TTL_S_MAX} seconds are allowed");
        return Err(ConfigError::new("--auth-token-ttl", reason));
    }
    Ok(AuthSettings {
        token: token(settings).map_err(|reason| ConfigError::new("--auth-token", reason))?,
        bcrypt_cost,
    })
}

fn token(settings: &Settings) -> Result<TokenSettings, String> {
    let text = settings.auth_token.as_deref().unwrap_or("simple");
    let (kind, options) = text.split_once(',').unwrap_or((text, ""));
    match kind {
        "simple" if options.is_empty() => Ok(TokenSettings::Simple {
            ttl: Duration::from_secs(settings.auth_token_ttl.unwrap_or(SIMPLE_TTL_S_DEFAULT).max(1)),
        }),
        "simple" => Err(format!("simple takes no options, and {options:?} follows")),
        "jwt" => jwt(options).map(TokenSettings::Jwt),
        other => Err(format!("{other:?}: simple, or jwt with options, is allowed")),
    }
}

fn jwt(options: &str) -> Result<JwtSettings, String> {
    let (mut algorithm, mut public_key, mut private_key, mut ttl) = (None, None, None, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| format!("{option:?} is no name=value"))?;
        let repeated = match name {
            "sign-method" => algorithm.replace(sign_method(value)?).is_some(),
            "pub-key" => public_key.replace(PathBuf::from(value)).is_some(),
            "priv-key" => private_key.replace(PathBuf::from(value)).is_some(),
            "ttl" => ttl.replace(duration::parse(value)?).is_some(),
            other => {
                return Err(format!(
                    "jwt has no option {other:?}: sign-method, pub-key, priv-key and ttl are allowed"
                ));
            }
        };
        if repeated {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(JwtSettings {
        algorithm: algorithm.ok_or("jwt needs sign-method=")?,
        public_key,
        private_key,
        ttl: ttl.unwrap_or(JWT_TTL_DEFAULT),
    })
}

fn sign_method(name: &str) -> Result<Algorithm, String> {
    let found = Algorithm::ALL.iter().find(|algorithm| algorithm.name() == name);
    found.copied().ok_or_else(|| {
        let allowed: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
        format!("sign-method {name:?} is not one of {}", allowed.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn parsed(text: &str) -> Result<TokenSettings, String> {
        token(&Settings {
            auth_token: Some(text.to_owned()),
            ..Settings::default()
        })
    }

    #[test]
    fn tokens_are_simple_unless_something_else_is_said() {
        let ttl = Duration::from_mins(5);
        assert_eq!(token(&Settings::default()), Ok(TokenSettings::Simple { ttl }));
        assert_eq!(parsed("simple"), Ok(TokenSettings::Simple { ttl }));
    }

    #[test]
    fn etcds_example_is_understood() {
        let text = "jwt,pub-key=app.rsa.pub,priv-key=app.rsa,sign-method=RS512,ttl=10m";
        let expected = JwtSettings {
            algorithm: Algorithm::RS512,
            public_key: Some("app.rsa.pub".into()),
            private_key: Some("app.rsa".into()),
            ttl: Duration::from_mins(10),
        };
        assert_eq!(parsed(text), Ok(TokenSettings::Jwt(expected)));
    }

    #[test_case(9_223_372_036 => Ok(9_223_372_036); "longest")]
    #[test_case(0 => Ok(1); "none at all")]
    #[test_case(9_223_372_037 => Err("--auth-token-ttl: 9223372037 is too long: at most 9223372036 seconds are allowed".to_owned()); "longer")]
    #[test_case(u64::MAX => Err("--auth-token-ttl: 18446744073709551615 is too long: at most 9223372036 seconds are allowed".to_owned()); "cannot be added to the present time")]
    fn life_of_simple_tokens(seconds: u64) -> Result<u64, String> {
        let settings = Settings {
            auth_token_ttl: Some(seconds),
            ..Settings::default()
        };
        match auth(&settings).map_err(|error| error.to_string())?.token {
            TokenSettings::Simple { ttl } => Ok(ttl.as_secs()),
            TokenSettings::Jwt(_) => unreachable!("nobody asked for signed tokens"),
        }
    }

    #[test_case("", "\"\": simple, or jwt with options, is allowed"; "empty")]
    #[test_case("simple,ttl=3s", "simple takes no options, and \"ttl=3s\" follows"; "simple with options")]
    #[test_case("jwt", "jwt needs sign-method="; "no method")]
    #[test_case("jwt,sign-method=none", "sign-method \"none\" is not one of HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA"; "none")]
    #[test_case("jwt,sign-method=HS256,sign-method=HS256", "sign-method is given twice"; "twice")]
    #[test_case("jwt,sign-method", "\"sign-method\" is no name=value"; "no value")]
    #[test_case("jwt,key=k", "jwt has no option \"key\": sign-method, pub-key, priv-key and ttl are allowed"; "unknown")]
    #[test_case("jwt,ttl=5", "\"5\" is no duration; write for example 5s, 500ms or 1m30s"; "ttl without unit")]
    fn what_makes_no_sense_is_refused(text: &str, reason: &str) {
        assert_eq!(parsed(text), Err(reason.to_owned()));
    }
}
