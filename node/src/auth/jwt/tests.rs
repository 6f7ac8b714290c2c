//! Every algorithm with keys as openssl writes them; every kind of token that must not be believed.

use super::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use std::fs;
use tempfile::TempDir;
use test_case::test_case;

/// A key pair in files, for the algorithms whose keys can be made here.
struct Files {
    dir: TempDir,
    settings: JwtSettings,
}

fn files(algorithm: Algorithm) -> Files {
    let dir = TempDir::new().unwrap();
    let (private, public) = (dir.path().join("key"), dir.path().join("pub"));
    let kind = match algorithm {
        Algorithm::ES256 => &PKCS_ECDSA_P256_SHA256,
        Algorithm::ES384 => &PKCS_ECDSA_P384_SHA384,
        Algorithm::EdDSA => &PKCS_ED25519,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            fs::write(&private, "a secret of some length").unwrap();
            return Files {
                dir,
                settings: settings(algorithm, Some(private), None),
            };
        }
        _ => {
            fs::write(&private, include_str!("testdata/rsa.key")).unwrap();
            fs::write(&public, include_str!("testdata/rsa.pub")).unwrap();
            return Files {
                dir,
                settings: settings(algorithm, Some(private), Some(public)),
            };
        }
    };
    let pair = KeyPair::generate_for(kind).unwrap();
    fs::write(&private, pair.serialize_pem()).unwrap();
    fs::write(&public, pair.public_key_pem()).unwrap();
    Files {
        dir,
        settings: settings(algorithm, Some(private), Some(public)),
    }
}

fn settings(algorithm: Algorithm, private_key: Option<PathBuf>, public_key: Option<PathBuf>) -> JwtSettings {
    JwtSettings {
        algorithm,
        public_key,
        private_key,
        ttl: Duration::from_mins(5),
    }
}

#[test]
fn every_algorithm_signs_what_it_checks() {
    for algorithm in Algorithm::ALL {
        let files = files(*algorithm);
        let jwt = Jwt::load(&files.settings).unwrap();
        let token = jwt.sign("alice", 7).unwrap();
        assert_eq!(jwt.check(&token), Some(("alice".to_owned(), 7)), "{algorithm:?}");
        for place in 0..token.len() {
            let mut damaged = token.clone().into_bytes();
            damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            // The last letter of a part holds bits that mean nothing.
            let same = jwt.check(&damaged) == jwt.check(&token) && damaged != token;
            let last = token[place + 1..].is_empty() || token[place + 1..].starts_with('.');
            assert!(!same || last, "{algorithm:?} {place}");
        }
    }
}

#[test]
fn a_public_key_alone_checks_and_does_not_sign() {
    for algorithm in [Algorithm::RS256, Algorithm::PS512, Algorithm::ES256, Algorithm::EdDSA] {
        let files = files(algorithm);
        let token = Jwt::load(&files.settings).unwrap().sign("alice", 7).unwrap();
        let public = settings(algorithm, None, files.settings.public_key.clone());
        let checker = Jwt::load(&public).unwrap();
        assert_eq!(checker.check(&token), Some(("alice".to_owned(), 7)));
        assert_eq!(checker.sign("alice", 7), Err(Refusal::VerifyOnly));
    }
}

/// A token whose header and claims are as written, signed with the right key.
fn forged(jwt: &Jwt, header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode_to_string(text);
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = jwt.keys.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode_to_string(signature))
}

#[test_case(r#"{"alg":"HS256"}"#, r#"{"username":"a","revision":3}"# => true; "without an end")]
#[test_case(r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"username":"a","revision":3,"exp":99999999999}"# => true; "long to go")]
#[test_case(r#"{"alg":"HS256"}"#, r#"{"username":"a","revision":3,"exp":1}"# => false; "over")]
#[test_case(r#"{"alg":"HS256"}"#, r#"{"username":"a","revision":3,"nbf":99999999999}"# => false; "not yet")]
#[test_case(r#"{"alg":"none"}"#, r#"{"username":"a","revision":3}"# => false; "no algorithm")]
#[test_case(r#"{"alg":"HS384"}"#, r#"{"username":"a","revision":3}"# => false; "another algorithm")]
#[test_case(r#"{}"#, r#"{"username":"a","revision":3}"# => false; "no header")]
#[test_case(r#"{"alg":"HS256"}"#, r#"{"revision":3}"# => false; "no user")]
#[test_case(r#"{"alg":"HS256"}"#, r#"{"username":"a"}"# => false; "no revision")]
#[test_case(r#"{"alg":"HS256"}"#, r#"{"username":7,"revision":3}"# => false; "a number for a user")]
#[test_case(r#"{"alg":"HS256"}"#, r#"{"username":"a","revision":-1}"# => false; "a negative revision")]
#[test_case(r#"{"alg":"HS256"}"#, "[]" => false; "no claims")]
fn claims(header: &str, claims: &str) -> bool {
    let jwt = Jwt::load(&files(Algorithm::HS256).settings).unwrap();
    jwt.check(&forged(&jwt, header, claims)) == Some(("a".to_owned(), 3))
}

#[test_case(""; "empty")]
#[test_case("."; "a point")]
#[test_case(".."; "points")]
#[test_case("a.b.c"; "letters")]
#[test_case("abcdefghijklmnop.7"; "a simple token")]
fn what_is_no_token_is_not_believed(token: &str) {
    assert_eq!(Jwt::load(&files(Algorithm::HS256).settings).unwrap().check(token), None);
}

#[test]
fn keys_that_cannot_be_used_are_refused_by_name() {
    let refused = |settings: &JwtSettings| Jwt::load(settings).err().map(|error| error.to_string()).unwrap();
    let (one, other) = (files(Algorithm::ES256), files(Algorithm::ES256));
    let mixed = settings(
        Algorithm::ES256,
        one.settings.private_key.clone(),
        other.settings.public_key.clone(),
    );
    assert_eq!(refused(&mixed), "public and private keys don't match");
    let none = settings(Algorithm::RS256, None, None);
    assert_eq!(refused(&none), "RS256 needs pub-key or priv-key");
    let public = settings(Algorithm::HS256, None, one.settings.public_key.clone());
    assert_eq!(refused(&public), "HS256 needs priv-key");
    let missing = settings(Algorithm::HS256, Some(one.dir.path().join("missing")), None);
    assert!(refused(&missing).starts_with("cannot read "));
    let wrong = settings(Algorithm::RS256, one.settings.private_key.clone(), None);
    assert!(
        refused(&wrong).contains("holds no key for RS256: "),
        "{}",
        refused(&wrong)
    );
}
