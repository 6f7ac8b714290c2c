//! Who asks: what an edge knows about the other side of a request.
//!
//! Must keep true: the common name comes from a certificate that the handshake verified, never from a header; the token
//! is only what the client claims, and is believed by nobody before it was checked. Neither is ever written to a log.

use std::fmt;

/// Who asks, as far as the edge knows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The common name of the verified client certificate; `None` without one, and over plain text.
    pub common_name: Option<String>,
    /// The token of an authenticated user, as the client sent it, without `Bearer`.
    pub token: Option<String>,
}

impl Caller {
    /// A caller with this certificate and this header; an unreadable header is no token.
    #[must_use]
    pub fn new(common_name: Option<String>, authorization: Option<&str>) -> Self {
        let token = authorization.map(|value| value.strip_prefix("Bearer ").unwrap_or(value).trim());
        Self {
            common_name,
            token: token.filter(|token| !token.is_empty()).map(str::to_owned),
        }
    }
}

/// Whether there is a token may be said; what it is, not.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("common_name", &self.common_name)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Caller;
    use test_case::test_case;

    #[test_case("abc.3", Some("abc.3"); "raw, as clients of etcd send it")]
    #[test_case("Bearer abc.3", Some("abc.3"); "bearer")]
    #[test_case("Bearer ", None; "empty")]
    #[test_case("", None; "nothing")]
    fn tokens(header: &str, token: Option<&str>) {
        assert_eq!(Caller::new(None, Some(header)).token.as_deref(), token);
    }

    #[test]
    fn a_token_is_not_printed() {
        let caller = Caller::new(Some("root".into()), Some("secret.1"));
        let printed = format!("{caller:?}");
        assert!(printed.contains("root") && !printed.contains("secret"), "{printed}");
    }
}
