//! Whether a leaf may stay or must be issued anew, and why.
//!
//! What it must keep true: pure, so that the same certificate, request and time always give the same verdict; a leaf is
//! renewed well before it ends (at two thirds of its life, less a share of its own so that members do not all renew in
//! the same hour).
//!
//! Deliberately not here: issuing, and any clock.

use rcgen::KeyPair;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use super::authority::{Authority, Pair};
use super::parsed::Parsed;
use super::request::Request;

/// The renewal moments of a cluster's leaves are spread over this part of their life.
const SPREAD_DIVISOR: i64 = 20;

/// What to do about one leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as wanted, and is looked at again at this time.
    Keep {
        /// When it will be due for renewal.
        renew_at: OffsetDateTime,
    },
    /// It must be issued.
    Issue(Why),
}

/// Why a leaf must be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Missing,
    /// It is no certificate, or its key is none.
    Unreadable,
    /// Its key belongs to another certificate.
    KeyMismatch,
    /// Another authority signed it.
    WrongIssuer,
    /// It is for other names.
    WrongNames,
    /// It is for another use.
    WrongUsage,
    /// Two thirds of its life are over.
    Due,
}

/// Judges the leaf at hand (`None`: there is none). `seed` tells the leaves of a cluster apart, for the spread.
#[must_use]
pub fn judge(
    leaf: Option<&Pair>,
    request: &Request,
    authority: &Authority,
    seed: &str,
    now: OffsetDateTime,
) -> Verdict {
    let Some(pair) = leaf else {
        return Verdict::Issue(Why::Missing);
    };
    let (Ok(parsed), Ok(key)) = (Parsed::read(&pair.certificate), KeyPair::from_pem(&pair.key)) else {
        return Verdict::Issue(Why::Unreadable);
    };
    if !parsed.belongs_to(&key) {
        return Verdict::Issue(Why::KeyMismatch);
    }
    if !parsed.signed_by(authority.parsed()) {
        return Verdict::Issue(Why::WrongIssuer);
    }
    if parsed.common_name != request.common_name || parsed.names.as_ref() != Some(&request.names) {
        return Verdict::Issue(Why::WrongNames);
    }
    if parsed.usage != Some(request.usage) {
        return Verdict::Issue(Why::WrongUsage);
    }
    let renew_at = renewal(&parsed, seed);
    // A leaf that ends with its authority cannot be made to live longer by signing it again.
    let exhausted = parsed.not_after >= authority.parsed().not_after;
    if now >= renew_at && !exhausted {
        Verdict::Issue(Why::Due)
    } else {
        Verdict::Keep { renew_at }
    }
}

fn renewal(parsed: &Parsed, seed: &str) -> OffsetDateTime {
    let life = (parsed.not_after - parsed.not_before).whole_seconds();
    let spread = (life / SPREAD_DIVISOR).max(1);
    let share = i64::from(Sha256::digest(seed.as_bytes())[0]) * spread / 256;
    parsed.not_before + Duration::seconds(life / 3 * 2 - share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::request::tests::demo;
    use test_case::test_case;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn authority() -> Authority {
        Authority::create("demo client CA", now()).unwrap()
    }

    fn wanted() -> Request {
        demo().server("demo-0", "demo-0-0", &[])
    }

    fn issue_reason(leaf: Option<&Pair>, authority: &Authority, at: OffsetDateTime) -> Option<Why> {
        match judge(leaf, &wanted(), authority, "demo-0", at) {
            Verdict::Keep { .. } => None,
            Verdict::Issue(why) => Some(why),
        }
    }

    #[test_case(0 => None; "fresh")]
    #[test_case(56 => None; "before two thirds less the spread")]
    #[test_case(60 => Some(Why::Due); "two thirds over")]
    #[test_case(400 => Some(Why::Due); "long expired")]
    fn by_age(days: i64) -> Option<Why> {
        let authority = authority();
        let leaf = authority.sign(&wanted(), now()).unwrap();
        // 56 days is under 2/3 of 90 less 1/20 of 90 only for shares below the full spread; 55.5 is the earliest.
        let days = if days == 56 {
            Duration::hours(55 * 24)
        } else {
            Duration::days(days)
        };
        issue_reason(Some(&leaf), &authority, now() + days)
    }

    #[test]
    fn by_content() {
        let authority = authority();
        let leaf = authority.sign(&wanted(), now()).unwrap();
        let other = authority.sign(&demo().peer("demo-0", "demo-0-0"), now()).unwrap();
        let client = authority
            .sign(
                &Request {
                    usage: crate::certs::request::Usage::Client,
                    ..wanted()
                },
                now(),
            )
            .unwrap();
        let stranger = Authority::create("demo client CA", now()).unwrap();
        let reason = |leaf: Option<&Pair>| issue_reason(leaf, &authority, now());
        assert_eq!(reason(Some(&leaf)), None);
        assert_eq!(reason(None), Some(Why::Missing));
        assert_eq!(
            reason(Some(&Pair {
                key: other.key.clone(),
                ..leaf.clone()
            })),
            Some(Why::KeyMismatch)
        );
        assert_eq!(
            reason(Some(&Pair {
                certificate: "rubbish".to_owned(),
                ..leaf.clone()
            })),
            Some(Why::Unreadable)
        );
        assert_eq!(
            reason(Some(&Pair {
                key: String::new(),
                ..leaf.clone()
            })),
            Some(Why::Unreadable)
        );
        assert_eq!(reason(Some(&other)), Some(Why::WrongNames));
        assert_eq!(reason(Some(&client)), Some(Why::WrongUsage));
        assert_eq!(issue_reason(Some(&leaf), &stranger, now()), Some(Why::WrongIssuer));
    }

    #[test]
    fn a_leaf_never_outlives_its_authority_and_is_not_renewed_in_vain() {
        let authority = authority();
        let late = now() + Duration::days(3650 - 30);
        let leaf = authority.sign(&wanted(), late).unwrap();
        assert_eq!(
            Parsed::read(&leaf.certificate).unwrap().not_after,
            authority.parsed().not_after
        );
        assert_eq!(issue_reason(Some(&leaf), &authority, late + Duration::days(29)), None);
    }

    #[test]
    fn an_authority_survives_being_kept_and_refuses_a_foreign_key() {
        let (one, two) = (authority(), authority());
        assert!(Authority::read(one.pair().clone()).is_ok());
        assert_ne!(one.parsed().common_name, two.parsed().common_name);
        let mixed = Pair {
            certificate: one.pair().certificate.clone(),
            key: two.pair().key.clone(),
        };
        assert!(Authority::read(mixed).is_err());
    }
}
