use std::borrow::Cow;

use super::UriError;

/// RFC 3261 §25.1 `unreserved`.
pub(super) const fn unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

/// RFC 3261 §25.1 `user-unreserved`: what a user part may hold unescaped besides.
pub(super) const fn user_unreserved(octet: u8) -> bool {
    matches!(octet, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

/// RFC 3261 §25.1 `param-unreserved`.
pub(super) const fn param_unreserved(octet: u8) -> bool {
    matches!(octet, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
}

/// Text as the user part of a SIP URI: what may not stand there becomes `%HH` (RFC 7247 §6.5).
pub fn encode_user(text: &str) -> Cow<'_, str> {
    encode(text, |octet| unreserved(octet) || user_unreserved(octet))
}

/// Text as the value of a SIP URI parameter, such as `gr` (RFC 3261 §25.1 `pvalue`).
pub fn encode_param(text: &str) -> Cow<'_, str> {
    encode(text, |octet| unreserved(octet) || param_unreserved(octet))
}

fn encode(text: &str, keep: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if text.bytes().all(&keep) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for octet in text.bytes() {
        if keep(octet) {
            out.push(char::from(octet));
        } else {
            push_escape(&mut out, octet);
        }
    }
    Cow::Owned(out)
}

pub(super) fn push_escape(out: &mut String, octet: u8) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.extend(HEX.get(usize::from(octet >> 4)));
    out.extend(HEX.get(usize::from(octet & 15)));
}

/// Every `%HH` replaced by its octet; a `%` without two hexadecimal digits stays.
pub fn decode_octets(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match escape_at(rest) {
            Some((octet, after)) => {
                out.push(octet);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Every `%HH` replaced, as UTF-8 (RFC 7247 §6.4).
pub fn decode(text: &str) -> Result<Cow<'_, str>, UriError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    String::from_utf8(decode_octets(text)).map(Cow::Owned).map_err(|_| UriError::Utf8)
}

/// The octet that a `%HH` at the front stands for, and what follows.
pub(super) fn escape_at(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok().map(|octet| (octet, rest))
}

/// Whether text holds only octets that pass and whole escapes.
pub(super) fn is_escaped_text(text: &str, pass: impl Fn(u8) -> bool) -> bool {
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match escape_at(rest) {
            Some((_, after)) => after,
            None if pass(*first) => after,
            None => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: ADR-003, ADR-022
    #[test]
    fn rfc7247_s6_5_user_parts_escape_what_the_grammar_forbids() {
        assert_eq!(encode_user("tschüss"), "tsch%C3%BCss");
        assert_eq!(encode_user("m&m"), "m&m");
        assert_eq!(encode_user("#%[\\]^`{|}"), "%23%25%5B%5C%5D%5E%60%7B%7C%7D");
        assert_eq!(encode_user(" \":<>@"), "%20%22%3A%3C%3E%40");
        assert_eq!(encode_user("a\r\n\0"), "a%0D%0A%00");
        assert_eq!(encode_user("!$&'()*+,-./;=?_~"), "!$&'()*+,-./;=?_~");
        assert_eq!(encode_param("a/b c;d"), "a/b%20c%3Bd");
    }

    // checks: ADR-010, TOR-004
    #[test]
    fn decoding_is_strict_about_utf8_only() {
        assert_eq!(decode("f%C3%BC").unwrap(), "fü");
        assert_eq!(decode("null-%00-null").unwrap(), "null-\0-null");
        assert_eq!(decode("%ff"), Err(UriError::Utf8));
        assert_eq!(decode_octets("100%2"), b"100%2");
    }
}
