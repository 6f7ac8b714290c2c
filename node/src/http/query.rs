//! Query strings of `/v1`: bytes, not only text, because keys are bytes; and no parameter is ever ignored.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::problem::{ProblemResponse, malformed};

/// What stays as it is in a query that we write: everything else is percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// The parameters of one request, each taken out at most once.
#[derive(Debug)]
pub struct Query(Vec<(Bytes, Option<Bytes>)>);

impl Query {
    /// Takes a query string apart.
    #[must_use]
    pub fn parse(query: Option<&str>) -> Query {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| match pair.split_once('=') {
            Some((name, value)) => (decode_parameter(name), Some(decode_parameter(value))),
            None => (decode_parameter(pair), None),
        });
        Query(decoded.collect())
    }

    /// The bytes of parameter `name`.
    ///
    /// # Errors
    /// It is given twice, or without `=`.
    pub fn bytes(&mut self, name: &str) -> Result<Option<Bytes>, ProblemResponse> {
        match self.take(name)? {
            Some(None) => Err(malformed(format!("the parameter {name} needs a value"))),
            Some(Some(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// The text of parameter `name`, parsed.
    ///
    /// # Errors
    /// It is given twice, without a value, or is not `expected`, which completes "must be …".
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, ProblemResponse> {
        let Some(bytes) = self.bytes(name)? else {
            return Ok(None);
        };
        let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
        parsed
            .map(Some)
            .ok_or_else(|| malformed(format!("the parameter {name} must be {expected}")))
    }

    /// Whether switch `name` is on: present, `=true`; off: absent, `=false`.
    ///
    /// # Errors
    /// It is given twice, or with another value.
    pub fn switch(&mut self, name: &str) -> Result<bool, ProblemResponse> {
        match self.take(name)?.as_ref().map(|value| value.as_deref()) {
            None | Some(Some(b"false")) => Ok(false),
            Some(None | Some(b"" | b"true")) => Ok(true),
            Some(Some(_)) => Err(malformed(format!("the parameter {name} must be true or false"))),
        }
    }

    /// Whether `name` is there and not `=false`: the forgiving reading of etcd's own probes, where nothing is an error.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(other, value)| other == name.as_bytes() && value.as_deref() != Some(b"false"))
    }

    /// Every value of `name`.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<Bytes> {
        let named = self.0.iter().filter(|(other, _)| other == name.as_bytes());
        named.filter_map(|(_, value)| value.clone()).collect()
    }

    /// Refuses what nobody took out.
    ///
    /// # Errors
    /// A parameter is left.
    pub fn finish(self) -> Result<(), ProblemResponse> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(malformed(format!(
                "unknown parameter {:?}",
                String::from_utf8_lossy(name)
            ))),
        }
    }

    fn take(&mut self, name: &str) -> Result<Option<Option<Bytes>>, ProblemResponse> {
        let Some(at) = self.0.iter().position(|(other, _)| other == name.as_bytes()) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(at);
        if self.0.iter().any(|(other, _)| other == name.as_bytes()) {
            return Err(malformed(format!("the parameter {name} is given twice")));
        }
        Ok(Some(value))
    }
}

/// The bytes of a path's rest.
#[must_use]
pub fn decode_path(text: &str) -> Bytes {
    percent_decode(text.as_bytes()).collect::<Vec<u8>>().into()
}

/// `bytes` as a value in a query string; the inverse of what [`Query`] reads.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, ENCODED).to_string()
}

/// In a query, unlike in a path, a plus sign stands for a space: forms and most libraries write it so.
fn decode_parameter(text: &str) -> Bytes {
    let spaced = text.replace('+', " ");
    decode_path(&spaced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn detail<T: std::fmt::Debug>(result: Result<T, ProblemResponse>) -> String {
        result.unwrap_err().0.detail
    }

    #[test]
    fn bytes_survive_both_ways() {
        let key = b"a/b c+d&e=\xff\x00%";
        let mut query = Query::parse(Some(&format!("prefix={}&keys", encode(key))));
        assert_eq!(query.bytes("prefix").unwrap().unwrap(), &key[..]);
        assert!(query.switch("keys").unwrap());
        query.finish().unwrap();
    }

    #[test_case("limit=x", "the parameter limit must be a number"; "not a number")]
    #[test_case("limit", "the parameter limit needs a value"; "no value")]
    #[test_case("limit=1&limit=2", "the parameter limit is given twice"; "twice")]
    fn a_bad_number_is_refused(query: &str, expected: &str) {
        assert_eq!(
            detail(Query::parse(Some(query)).parsed::<u32>("limit", "a number")),
            expected
        );
    }

    #[test]
    fn a_parameter_that_nobody_knows_is_refused() {
        assert_eq!(
            detail(Query::parse(Some("limitt=1")).finish()),
            "unknown parameter \"limitt\""
        );
        assert_eq!(
            detail(Query::parse(Some("s=maybe")).switch("s")),
            "the parameter s must be true or false"
        );
    }

    #[test]
    fn a_plus_is_a_space_in_a_query_and_itself_in_a_path() {
        assert_eq!(Query::parse(Some("p=a+b%2Bc")).bytes("p").unwrap().unwrap(), "a b+c");
        assert_eq!(decode_path("a+b%20c"), "a+b c");
    }
}
