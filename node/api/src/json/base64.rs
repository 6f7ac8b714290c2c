//! Base64 as Go's `protojson` reads it: standard or URL-safe alphabet, padded or not, stray trailing bits and line breaks
//! ignored. The usual case, clean standard base64, takes one pass of SIMD code.

/// Standard alphabet, padded.
pub(super) fn encode(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// `None` for text that Go would refuse as well.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD
        .decode_to_vec(text)
        .ok()
        .or_else(|| decode_leniently(text))
}

fn decode_leniently(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.contains(['-', '_']);
    // As in Go, the length decides whether padding is expected, and line breaks count for it.
    let padded = text.len().is_multiple_of(4);
    let mut symbols: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    if padded && symbols.len().is_multiple_of(4) {
        let padding = symbols.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        symbols.truncate(symbols.len() - padding);
    } else if padded {
        return None;
    }
    clear_stray_bits(&mut symbols, url_safe);
    let alphabet = if url_safe {
        &base64_simd::URL_SAFE_NO_PAD
    } else {
        &base64_simd::STANDARD_NO_PAD
    };
    alphabet.decode_to_vec(&symbols).ok()
}

/// Makes the bits of the last symbol that belong to no byte zero, which the strict decoder demands.
fn clear_stray_bits(symbols: &mut [u8], url_safe: bool) {
    let mask = match symbols.len() % 4 {
        2 => 0b11_0000,
        3 => 0b11_1100,
        _ => return,
    };
    let alphabet = if url_safe {
        base64_simd::URL_SAFE_NO_PAD.charset()
    } else {
        base64_simd::STANDARD_NO_PAD.charset()
    };
    if let Some(last) = symbols.last_mut()
        && let Some(value) = alphabet.iter().position(|symbol| symbol == last)
    {
        *last = alphabet[value & mask];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("Zm9v", Some(b"foo"); "standard")]
    #[test_case("", Some(b""); "empty")]
    #[test_case("Zg==", Some(b"f"); "padded")]
    #[test_case("Zg", Some(b"f"); "unpadded")]
    #[test_case("Zm8", Some(b"fo"); "unpadded by one")]
    #[test_case("Zm9", Some(b"fo"); "stray bits, unpadded")]
    #[test_case("az==", Some(b"k"); "stray bits, padded")]
    #[test_case("Zm-_", Some(b"fo\xbf"); "URL-safe letters that are no standard ones")]
    #[test_case("-_8=", Some(b"\xfb\xff"); "URL-safe, padded")]
    #[test_case("Zm9v\r\n\r\n", Some(b"foo"); "line breaks")]
    #[test_case("Zm9vZ", None; "one symbol over")]
    #[test_case("Zg=", None; "padding of the wrong length")]
    #[test_case("Z===", None; "too much padding")]
    #[test_case("+_8=", None; "mixed alphabets")]
    #[test_case("Zm 9v", None; "space")]
    #[test_case("Zm9v!", None; "not a symbol")]
    fn decoding(text: &str, expected: Option<&[u8]>) {
        assert_eq!(decode(text).as_deref(), expected);
    }
}
