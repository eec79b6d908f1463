//! RFC 3862 §2.3: the escape mechanism.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

/// Decodes the escapes of a header value or of the inside of a string.
///
/// An unknown escape stands for the character after the backslash, a backslash at the end for nothing.
pub fn unescape(text: &str) -> Cow<'_, str> {
    let Some((plain, escaped)) = text.split_once('\\') else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(plain);
    let mut rest = escaped;
    loop {
        rest = decode_one(rest, &mut out);
        match rest.split_once('\\') {
            Some((plain, escaped)) => {
                out.push_str(plain);
                rest = escaped;
            }
            None => {
                out.push_str(rest);
                return Cow::Owned(out);
            }
        }
    }
}

/// Decodes what follows a backslash and returns what follows that.
fn decode_one<'a>(text: &'a str, out: &mut String) -> &'a str {
    let mut chars = text.chars();
    match chars.next() {
        Some('b') => out.push('\u{8}'),
        Some('t') => out.push('\t'),
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('u') => match unit(chars.as_str()) {
            Some((high, rest)) => return decode_unit(high, rest, out),
            None => out.push('u'),
        },
        Some(other) => out.push(other),
        None => {}
    }
    chars.as_str()
}

// RFC 3862 §2.3: escapes name UCS-2 units, so that two of them may name one character beyond the first plane.
fn decode_unit<'a>(high: u16, rest: &'a str, out: &mut String) -> &'a str {
    if let Some(c) = char::from_u32(high.into()) {
        out.push(c);
        return rest;
    }
    if let Some((low, after)) = rest.strip_prefix("\\u").and_then(unit)
        && let Some(Ok(c)) = char::decode_utf16([high, low]).next()
    {
        out.push(c);
        return after;
    }
    out.push(char::REPLACEMENT_CHARACTER);
    rest
}

/// Four hexadecimal digits.
fn unit(text: &str) -> Option<(u16, &str)> {
    let digits = text.get(..4)?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = plain.then(|| u16::from_str_radix(digits, 16).ok())??;
    Some((value, text.get(4..)?))
}

/// Appends text as a header value: backslash and control characters escaped, nothing else.
pub fn escape_value(out: &mut BytesMut, text: &str) {
    escape(out, text, false);
}

/// Appends text as a double-quoted string.
pub fn escape_string(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    escape(out, text, true);
    out.put_u8(b'"');
}

// RFC 3862 §2.3.1: named escapes where there are some, \uxxxx for the other controls, and nothing else is escaped.
fn escape(out: &mut BytesMut, text: &str, quoted: bool) {
    let special = |octet: u8| octet < 0x20 || matches!(octet, b'\\' | 0x7f) || (quoted && octet == b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&octet| special(octet)) {
        let Some((plain, [octet, after @ ..])) = rest.split_at_checked(at) else { break };
        out.put_slice(plain);
        match octet {
            8 => out.put_slice(b"\\b"),
            b'\t' => out.put_slice(b"\\t"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\\' | b'"' => out.put_slice(&[b'\\', *octet]),
            other => write!(out, "\\u{other:04x}").unwrap_or_default(),
        }
        rest = after;
    }
    out.put_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-34, CPM-002
    #[test]
    fn rfc3862_s2_3_1_known_and_unknown_escapes_are_read() {
        assert!(matches!(unescape("plain"), Cow::Borrowed("plain")));
        assert_eq!(unescape(r#"b\bt\tn\nr\rq\"s\'k\\u\u0001z"#), "b\u{8}t\tn\nr\rq\"s'k\\u\u{1}z");
        assert_eq!(unescape(r"\u0041\u00e9\u00E9"), "Aéé");
        assert_eq!(unescape(r"a\qb\U0041c\"), "aqbU0041c");
        assert_eq!(unescape(r"\u00zz\u12\u"), "u00zzu12u");
        assert_eq!(unescape(r"\u+123"), "u+123");
        assert_eq!(unescape(r"\é\\"), "é\\");
    }

    // checks: MF-35
    #[test]
    fn rfc3862_s2_3_surrogates_combine_or_are_replaced() {
        assert_eq!(unescape(r"\ud83c\udf89"), "🎉");
        assert_eq!(unescape(r"\ud83cx"), "\u{FFFD}x");
        assert_eq!(unescape(r"\udf89\ud83c"), "\u{FFFD}\u{FFFD}");
        assert_eq!(unescape(r"\ud83c\ud83c\udf89"), "\u{FFFD}🎉");
    }

    // checks: MF-30, MF-31, MF-32, MF-33, MF-36
    #[test]
    fn rfc3862_s2_3_1_only_what_must_be_is_escaped() {
        let mut out = BytesMut::new();
        escape_value(&mut out, "a\r\nTo: <x>\t\u{7}\u{7f}\u{8}\\ \"q\" it's é\u{85}🎉");
        assert_eq!(&out[..], r#"a\r\nTo: <x>\t\u0007\u007f\b\\ "q" it's éX🎉"#.replace('X', "\u{85}").as_bytes());
        out.clear();
        escape_string(&mut out, "say \"x\" \\ y'");
        assert_eq!(&out[..], br#""say \"x\" \\ y'""#);
    }
}
