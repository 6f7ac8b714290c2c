//! The address of one member's client port.

use std::fmt;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use crate::ConfigError;

/// Scheme, host and port of a member; shown as `https://host:2379`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
}

impl Endpoint {
    /// Parses an address, with `scheme` where it has none. A path other than `/` is refused, because it would be ignored.
    ///
    /// # Errors
    /// [`ConfigError::Endpoint`].
    pub fn parse(text: &str, scheme: &str) -> Result<Self, ConfigError> {
        let refuse = || ConfigError::Endpoint {
            endpoint: text.to_owned(),
        };
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("{scheme}://{text}")
        };
        let parts = full.parse::<Uri>().map_err(|_| refuse())?.into_parts();
        match (parts.scheme, parts.authority, parts.path_and_query) {
            (Some(scheme), Some(authority), path)
                if (scheme == Scheme::HTTP || scheme == Scheme::HTTPS)
                    && !authority.host().is_empty()
                    && path.as_ref().is_none_or(|path| path == "/") =>
            {
                Ok(Self { scheme, authority })
            }
            _ => Err(refuse()),
        }
    }

    /// Whether the endpoint speaks TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The whole address of a path with its query.
    pub(crate) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("scheme, authority and path are all present")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("https://a:2379", Some("https://a:2379"); "complete")]
    #[test_case("http://a:2379/", Some("http://a:2379"); "trailing slash")]
    #[test_case("a:2379", Some("https://a:2379"); "without scheme")]
    #[test_case("127.0.0.1:2379", Some("https://127.0.0.1:2379"); "number")]
    #[test_case("https://[::1]:2379", Some("https://[::1]:2379"); "IPv6")]
    #[test_case("unix:///tmp/x", None; "other scheme")]
    #[test_case("https://a:2379/v3", None; "path")]
    #[test_case("https://", None; "no host")]
    #[test_case("", None; "empty")]
    #[test_case("a b", None; "space")]
    fn parsing(text: &str, expected: Option<&str>) {
        let parsed = Endpoint::parse(text, "https").ok().map(|endpoint| endpoint.to_string());
        assert_eq!(parsed.as_deref(), expected);
    }

    #[test]
    fn fuzz_any_text_is_an_endpoint_that_can_be_asked_or_an_error() {
        let pieces = [
            "http", "https", "://", ":", "/", "@", "?", "#", "[", "]", "::1", "a", "2379", "%", " ", ",", "*",
        ];
        kvorum_fuzz::run("endpoints", 2_000, kvorum_fuzz::text(&pieces), |text| {
            if let Ok(endpoint) = Endpoint::parse(&text, "https") {
                let again = Endpoint::parse(&endpoint.to_string(), "http").ok();
                assert_eq!(again.as_ref(), Some(&endpoint), "{text:?}");
                let uri = endpoint.uri(PathAndQuery::from_static("/v3/kv/range"));
                assert_eq!(uri.to_string(), format!("{endpoint}/v3/kv/range"));
            }
        });
    }
}
