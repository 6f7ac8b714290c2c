//! Durations as etcd and etcdctl write them: `5s`, `500ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Units and their nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// Longest duration, as in Go: 292 years. Whoever waits for one adds it to the present time, which has an end too.
pub const DURATION_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Digits of a fraction that count: no unit has more nanoseconds.
const FRACTION_DIGITS_MAX: usize = 15;

/// Parses a duration that is longer than nothing and no longer than [`DURATION_MAX`], to the nanosecond.
///
/// # Errors
/// It is none, or is too long; the text says how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write for example 5s, 500ms or 1m30s");
    let (mut rest, mut nanos) = (text, 0_u128);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let letters = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len() - digits);
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        nanos = nanos.saturating_add(scaled(number, *scale).ok_or_else(wrong)?);
        rest = &rest[digits + letters..];
    }
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(Duration::ZERO) => Err(wrong()),
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err(format!("{text:?} is too long: at most 292 years are allowed")),
    }
}

/// Digits with at most one point among them, times `scale`; what is too large for anything is as large as can be.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let value = |digits: &str| match digits {
        "" => 0,
        digits => digits.parse::<u128>().unwrap_or(u128::MAX),
    };
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(
        value(whole)
            .saturating_mul(scale)
            .saturating_add(value(fraction) * scale / parts),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("5s", Some(5_000); "seconds")]
    #[test_case("500ms", Some(500); "milliseconds")]
    #[test_case("1m30s", Some(90_000); "minutes and seconds")]
    #[test_case("1.5h", Some(5_400_000); "fraction")]
    #[test_case("4252197844ms", Some(4_252_197_844); "no floating point between")]
    #[test_case(".5s", Some(500); "nothing before the point")]
    #[test_case("1.s", Some(1_000); "nothing after the point")]
    #[test_case(".s", None; "nothing around the point")]
    #[test_case("0.0010000000000000000000000000000000000000001s", Some(1); "digits that nobody can tell apart")]
    #[test_case("5", None; "without unit")]
    #[test_case("", None; "empty")]
    #[test_case("0s", None; "nothing")]
    #[test_case("-5s", None; "negative")]
    #[test_case("5 s", None; "space")]
    #[test_case("1.2.3s", None; "two points")]
    #[test_case("9999999999999999999999h", None; "too long for any number")]
    #[test_case("9223372036854748672s", None; "too long to be added to the present time")]
    #[test_case("2562048h", None; "an hour longer than in Go")]
    fn parsing(text: &str, expected_ms: Option<u64>) {
        assert_eq!(parse(text).ok(), expected_ms.map(Duration::from_millis));
    }
}
