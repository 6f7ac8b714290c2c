//! Durations as etcd and etcdctl write them: `5s`, `500ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Units and their seconds. `ms` stands before `m` and `s`, whose letters it shares.
const UNITS: [(&str, f64); 6] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Parses a duration that is longer than nothing.
///
/// # Errors
/// It is none; the text says how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write for example 5s, 500ms or 1m30s");
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let letters = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len() - digits);
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        seconds += number * scale;
        rest = &rest[digits + letters..];
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("5s", Some(5_000); "seconds")]
    #[test_case("500ms", Some(500); "milliseconds")]
    #[test_case("1m30s", Some(90_000); "minutes and seconds")]
    #[test_case("1.5h", Some(5_400_000); "fraction")]
    #[test_case("5", None; "without unit")]
    #[test_case("", None; "empty")]
    #[test_case("0s", None; "nothing")]
    #[test_case("-5s", None; "negative")]
    #[test_case("5 s", None; "space")]
    #[test_case("1.2.3s", None; "two points")]
    #[test_case("9999999999999999999999h", None; "too long")]
    fn parsing(text: &str, expected_ms: Option<u64>) {
        assert_eq!(parse(text).ok(), expected_ms.map(Duration::from_millis));
    }
}
