use std::borrow::Cow;

use super::UriError;

/// Writes `text` to `out`, percent-encoding every octet that `keep` refuses and all that is not ASCII.
pub fn percent_encode(text: &str, keep: impl Fn(u8) -> bool, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii() && keep(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0xf));
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Decodes one part of a URI that begins at octet `at`, refusing ill-formed UTF-8 and control characters.
pub(super) fn decode_part(part: &str, at: usize) -> Result<Cow<'_, str>, UriError> {
    let text = if part.contains('%') {
        Cow::Owned(String::from_utf8(decode_octets(part)).map_err(|_| UriError::Utf8 { at })?)
    } else {
        Cow::Borrowed(part)
    };
    // A decoded line break or NUL would reach other protocols' headers.
    if text.chars().any(char::is_control) { Err(UriError::Control { at }) } else { Ok(text) }
}

fn decode_octets(part: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        octets.push(if byte == b'%' { decode_triplet(rest.next(), rest.next()) } else { byte });
    }
    octets
}

fn decode_triplet(high: Option<u8>, low: Option<u8>) -> u8 {
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).unwrap_or(0);
    u8::try_from(digit(high) * 16 + digit(low)).unwrap_or(0)
}

/// Checks that from octet `start` on there are only characters of `allowed` and whole `%hh` triplets.
pub(super) fn check_chars(text: &str, start: usize, allowed: impl Fn(char) -> bool) -> Result<(), UriError> {
    let rest = text.get(start..).unwrap_or_default();
    for (offset, found) in rest.char_indices() {
        let at = start + offset;
        let good = match found {
            '%' => rest.as_bytes().get(offset + 1..offset + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            '#' if !allowed('#') => return Err(UriError::Fragment { at }),
            _ => allowed(found),
        };
        if !good {
            return Err(UriError::Char { at });
        }
    }
    Ok(())
}

/// RFC 2396 §2: reserved and unreserved characters; the later `[` and `]` are no part of it.
pub(super) fn is_uric(c: char) -> bool {
    c.is_ascii_alphanumeric() || ";/?:@&=+$,-_.!~*'()".contains(c)
}
