//! Character classes and the cursor every typed parser walks with (RFC 3261 §25.1).
//!
//! A header value may still hold folds; CR and LF count as linear white space here, since the message parser has
//! made sure that they occur in folds only.

use std::borrow::Cow;

use memchr::memchr;

/// RFC 3261 §25.1 `token`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(token_octet)
}

/// One bit for each class an octet is in.
const TOKEN: u8 = 1;
const WORD: u8 = 1 << 1;
const HOST: u8 = 1 << 2;
const PARAM_VALUE: u8 = 1 << 3;
const LWS: u8 = 1 << 4;
const CONTROL: u8 = 1 << 5;

static CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time, where an index out of range is an error")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet: u8 = 0;
    loop {
        let alphanumeric = octet.is_ascii_alphanumeric();
        let token =
            alphanumeric || matches!(octet, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        let mut class = 0;
        if token {
            class |= TOKEN | WORD | PARAM_VALUE;
        }
        if matches!(octet, b'(' | b')' | b'<' | b'>' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'{' | b'}') {
            class |= WORD;
        }
        if matches!(octet, b':' | b'[' | b']') {
            class |= PARAM_VALUE;
        }
        if alphanumeric || matches!(octet, b'-' | b'.' | b'_') {
            class |= HOST;
        }
        if matches!(octet, b' ' | b'\t' | b'\r' | b'\n') {
            class |= LWS;
        }
        if (octet < b' ' && octet != b'\t') || octet == 0x7f {
            class |= CONTROL;
        }
        table[octet as usize] = class;
        if octet == u8::MAX {
            return table;
        }
        octet += 1;
    }
}

fn is(octet: u8, class: u8) -> bool {
    CLASSES.get(usize::from(octet)).is_some_and(|classes| classes & class != 0)
}

pub(crate) fn token_octet(octet: u8) -> bool {
    is(octet, TOKEN)
}

/// RFC 3261 §25.1 `word`, the two halves of a Call-ID.
pub(crate) fn word_octet(octet: u8) -> bool {
    is(octet, WORD)
}

/// RFC 3261 §25.1 `host`, but for the brackets of an IPv6 reference.
///
/// COMPAT container networks: an underscore is no hostname character, yet their names hold it.
pub(crate) fn host_octet(octet: u8) -> bool {
    is(octet, HOST)
}

/// A parameter value that is not quoted: token or host.
pub(crate) fn param_value_octet(octet: u8) -> bool {
    is(octet, PARAM_VALUE)
}

pub(crate) fn lws_octet(octet: u8) -> bool {
    is(octet, LWS)
}

/// What may stand in a header only as part of a fold or a quoted pair.
pub(crate) fn control_octet(octet: u8) -> bool {
    is(octet, CONTROL)
}

/// Whether there is any of ASCII's controls, tabs and line ends included; looks at eight octets at a time.
pub(crate) fn has_control(octets: &[u8]) -> bool {
    let (words, rest) = octets.as_chunks();
    let mut last = [b' '; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words.iter().chain([&last]).fold(0, |found, word| found | controls(u64::from_le_bytes(*word))) != 0
}

/// The top bit of each octet that is a control, and perhaps of those above one that is; 0 when there is none.
fn controls(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below_space = word.wrapping_sub(EACH * 0x20);
    let delete = (word ^ (EACH * 0x7f)).wrapping_sub(EACH);
    (below_space | delete) & !word & (EACH << 7)
}

/// Without the linear white space around it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_ascii()
}

/// As [`trim`], for octets that may not be UTF-8.
pub(crate) fn trim_octets(octets: &[u8]) -> &[u8] {
    let mut octets = trim_octets_start(octets);
    while let [rest @ .., last] = octets
        && lws_octet(*last)
    {
        octets = rest;
    }
    octets
}

/// Without the linear white space in front.
pub(crate) fn trim_octets_start(mut octets: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = octets
        && lws_octet(*first)
    {
        octets = rest;
    }
    octets
}

/// With every fold, and the white space around it, made one space (RFC 3261 §7.3.1).
pub(crate) fn unfold(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|octet| matches!(octet, b'\r' | b'\n')) {
        return Cow::Borrowed(text);
    }
    let lines = text.split(['\r', '\n']).map(|line| line.trim_matches([' ', '\t'])).filter(|line| !line.is_empty());
    Cow::Owned(lines.collect::<Vec<_>>().join(" "))
}

/// A decimal number of digits only, leading zeros allowed; `None` when it is longer than `u64` holds.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The inside of a quoted string with its escapes and folds resolved.
pub(crate) fn unescape_quoted(inside: &str) -> Cow<'_, str> {
    if !inside.contains(['\\', '\r', '\n']) {
        return Cow::Borrowed(inside);
    }
    let unfolded = unfold(inside);
    let mut out = String::with_capacity(unfolded.len());
    let mut chars = unfolded.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The text before and behind the first `octet`, which is ASCII.
pub(crate) fn split_once(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = memchr(octet, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Comma-separated elements, commas inside quotes and angle brackets left alone (RFC 3261 §7.3.1).
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = (!trim(text).is_empty()).then_some(text);
    std::iter::from_fn(move || {
        let (element, after) = split_at_comma(rest?);
        rest = after;
        Some(trim(element))
    })
}

fn split_at_comma(text: &str) -> (&str, Option<&str>) {
    let (mut quoted, mut escaped, mut bracket) = (false, false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => bracket = true,
            b'>' => bracket = false,
            b',' if !bracket => {
                let (element, rest) = text.split_at_checked(at).unwrap_or((text, ""));
                return (element, rest.strip_prefix(','));
            }
            _ => {}
        }
    }
    (text, None)
}

/// Whether every quoted string of a structured value is closed.
pub(crate) fn quotes_closed(value: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for octet in value {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// What is left of a value while it is parsed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(crate) const fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Skips white space; says whether there was any.
    pub(crate) fn lws(&mut self) -> bool {
        !self.take_while(lws_octet).is_empty()
    }

    /// Takes `octet`, which is ASCII, if it is the next one.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        if is_next {
            self.take(1);
        }
        is_next
    }

    /// The longest run of octets that pass; stops before any character it would cut.
    pub(crate) fn take_while(&mut self, pass: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|octet| !pass(octet)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Everything before `stop`, an ASCII character that must occur; it is consumed.
    pub(crate) fn take_until(&mut self, stop: u8) -> Option<&'a str> {
        let before = self.take(memchr(stop, self.rest.as_bytes())?);
        self.take(1);
        Some(before)
    }

    pub(crate) fn token(&mut self) -> Option<&'a str> {
        Some(self.take_while(token_octet)).filter(|token| !token.is_empty())
    }

    /// The inside of a quoted string, escapes not resolved; the cursor stands at its opening quote.
    pub(crate) fn quoted(&mut self) -> Option<&'a str> {
        let inside = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        for (at, octet) in inside.bytes().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let (text, rest) = inside.split_at_checked(at)?;
                    self.rest = rest.strip_prefix('"')?;
                    return Some(text);
                }
                _ => {}
            }
        }
        None
    }

    /// The text between `start`, an earlier state of this cursor, and here.
    pub(crate) fn since(&self, start: &Self) -> &'a str {
        start.rest.get(..start.rest.len() - self.rest.len()).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: SIP-011
    #[test]
    fn lists_split_outside_quotes_and_brackets() {
        let parts: Vec<_> = split_list("\"a,\\\"b\" <sip:x@y,z>;p=1 , <sip:q>,").collect();
        assert_eq!(parts, ["\"a,\\\"b\" <sip:x@y,z>;p=1", "<sip:q>", ""]);
        assert_eq!(split_list("  ").count(), 0);
    }

    #[test]
    fn quoted_strings_resolve_escapes_and_folds() {
        let mut cursor = Cursor::new("\"a \\\"b\\\\\r\n c\" rest");
        let inside = cursor.quoted().unwrap();
        assert_eq!(unescape_quoted(inside), "a \"b\\ c");
        assert_eq!(cursor.rest(), " rest");
        assert_eq!(Cursor::new("\"open").quoted(), None);
    }

    #[test]
    fn numbers_are_digits_within_range() {
        assert_eq!(number("0068"), Some(68));
        assert_eq!(number("+1"), None);
        assert_eq!(number("-1"), None);
        assert_eq!(number("99999999999999999999999"), None);
    }

    #[test]
    fn a_control_is_found_wherever_it_stands() {
        for octet in 0..=u8::MAX {
            for (length, at) in (0..20).flat_map(|length| (0..length).map(move |at| (length, at))) {
                let mut text = [b'~'; 20];
                text[at] = octet;
                assert_eq!(has_control(&text[..length]), octet.is_ascii_control(), "{octet} {length} {at}");
            }
        }
        assert!(!has_control(b"") && !has_control("grüße \u{80}".as_bytes()));
    }

    #[test]
    fn trim_octets_stops_at_text() {
        assert_eq!(trim_octets(b" \r\n\ta b\t "), b"a b");
        assert_eq!(trim_octets(b" "), b"");
    }
}
