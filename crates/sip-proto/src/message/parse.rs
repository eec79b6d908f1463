use bytes::Bytes;
use memchr::memchr;

use super::{HeaderSpan, Message, ParseError, Span, StartLine};
use crate::{
    grammar::{self, control_octet, token_octet},
    header_id::HeaderId,
    limits::{MAX_HEAD, MAX_HEADERS, MAX_LEADING_LINES},
    method::Method,
    status::StatusCode,
};

/// A parsed start line and headers, whose body is still to come.
#[derive(Debug)]
pub(crate) struct Head {
    start: StartLine,
    headers: Vec<HeaderSpan>,
    /// Octets up to and with the empty line.
    pub(crate) len: usize,
    /// RFC 3261 §20.14; `None` when absent.
    pub(crate) content_length: Option<usize>,
}

/// A typical request has fewer headers; more make the index grow once.
const USUAL_HEADERS: usize = 16;

impl Head {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let mut lines = Lines::new(octets)?;
        let first = lines.next_line()?.ok_or(ParseError::StartLine)?;
        let start = parse_start_line(octets, first)?;
        let mut headers = Vec::with_capacity(USUAL_HEADERS);
        let mut content_length = None;
        while let Some(line) = lines.next_line()? {
            if headers.len() == MAX_HEADERS {
                return Err(ParseError::TooManyHeaders { limit: MAX_HEADERS });
            }
            let header = parse_header(octets, line, lines.line)?;
            if header.id == HeaderId::ContentLength {
                // DEVIATES RFC 3261 §7.3.1: even equal repetitions are refused, for readers differ on them.
                let length = parse_length(header.value.of(octets))?;
                if content_length.replace(length).is_some() {
                    return Err(ParseError::RepeatedContentLength);
                }
            }
            headers.push(header);
        }
        Ok(Self { start, headers, len: lines.at, content_length })
    }

    /// RFC 3261 §18.3: the body is what Content-Length says, else all that is left.
    pub(crate) fn with_body(self, octets: Bytes) -> Result<Message, ParseError> {
        let present = octets.len().saturating_sub(self.len);
        let length = self.content_length.unwrap_or(present);
        if length > present {
            return Err(ParseError::Truncated { declared: length, present });
        }
        let end = self.len + length;
        let body = Span::new(self.len, end);
        Ok(Message { octets: octets.slice(..end), start: self.start, headers: self.headers, body })
    }
}

/// The header of a line taken by itself; `None` when it is none.
pub(super) fn parse_single_header(octets: &[u8], start: usize, end: usize) -> Option<HeaderSpan> {
    parse_header(octets, Span::new(start, end), 0).ok()
}

/// The length of a body whose headers could not be parsed: exactly one sound Content-Length line, not in a fold.
pub(crate) fn content_length_of_broken(head: &[u8]) -> Option<usize> {
    let lines = head.split(|octet| *octet == b'\n');
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
        let name = name.trim_ascii_end();
        let is_length = name.iter().all(|octet| token_octet(*octet)) && HeaderId::of(name) == HeaderId::ContentLength;
        is_length.then(|| parse_length(grammar::trim_octets(value.get(1..)?)).ok())
    });
    let length = lengths.next()?;
    if lengths.next().is_some() { None } else { length }
}

/// Cuts the head into logical lines, a fold belonging to the line it continues (RFC 3261 §7.3.1).
struct Lines<'a> {
    octets: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// Skips the empty lines in front (RFC 3261 §7.5).
    fn new(octets: &'a [u8]) -> Result<Self, ParseError> {
        let mut at = 0;
        for _ in 0..MAX_LEADING_LINES {
            if !octets.get(at..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
                break;
            }
            at += 2;
        }
        if at >= octets.len() { Err(ParseError::Empty) } else { Ok(Self { octets, at, line: 0 }) }
    }

    /// The next line without its CR LF; `None` at the empty line that ends the head.
    fn next_line(&mut self) -> Result<Option<Span>, ParseError> {
        let start = self.at;
        loop {
            let rest = self.octets.get(self.at..).unwrap_or_default();
            self.line += 1;
            let Some(found) = memchr(b'\n', rest) else {
                return Err(if self.octets.len() > MAX_HEAD { too_large() } else { ParseError::Unterminated });
            };
            let feed = self.at + found;
            self.at = feed + 1;
            if self.at > MAX_HEAD {
                return Err(too_large());
            }
            if found == 0 || self.octets.get(feed - 1) != Some(&b'\r') {
                return Err(ParseError::LineEnd { line: self.line });
            }
            let end = feed - 1;
            if end == start {
                return Ok(None);
            }
            if !matches!(self.octets.get(self.at), Some(b' ' | b'\t')) {
                return Ok(Some(Span::new(start, end)));
            }
        }
    }
}

const fn too_large() -> ParseError {
    ParseError::HeadTooLarge { limit: MAX_HEAD }
}

/// RFC 3261 §7.1, §7.2: single spaces, no folds, no white space at the end.
fn parse_start_line(octets: &[u8], line: Span) -> Result<StartLine, ParseError> {
    let text = line.of(octets);
    let first = memchr(b' ', text).ok_or(ParseError::StartLine)?;
    let (word, rest) = text.split_at_checked(first).ok_or(ParseError::StartLine)?;
    let rest = rest.get(1..).unwrap_or_default();
    let rest_start = line.start() + first + 1;
    if is_version(word) {
        return parse_status_line(rest, Span::new(line.start(), line.start() + first), rest_start);
    }
    let method = std::str::from_utf8(word).ok().and_then(Method::parse).ok_or(ParseError::StartLine)?;
    let second = memchr(b' ', rest).ok_or(ParseError::StartLine)?;
    let (uri, version) = rest.split_at_checked(second).ok_or(ParseError::StartLine)?;
    let version = version.get(1..).unwrap_or_default();
    if uri.is_empty() || !uri.iter().all(u8::is_ascii_graphic) || !is_version(version) {
        return Err(ParseError::StartLine);
    }
    let end = rest_start + second;
    Ok(StartLine::Request { method, uri: Span::new(rest_start, end), version: Span::new(end + 1, line.end()) })
}

fn parse_status_line(rest: &[u8], version: Span, at: usize) -> Result<StartLine, ParseError> {
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (code, phrase) = rest.split_at_checked(digits).ok_or(ParseError::Status)?;
    let code = std::str::from_utf8(code).ok().filter(|code| code.len() == 3).and_then(|code| code.parse().ok());
    let status = code.and_then(StatusCode::new).ok_or(ParseError::Status)?;
    // COMPAT senders without a reason phrase that leave out the space before it as well.
    if !phrase.is_empty() && !phrase.starts_with(b" ") {
        return Err(ParseError::Status);
    }
    if let Some(control) = phrase.iter().position(|octet| control_octet(*octet)) {
        return Err(ParseError::Control { offset: at + digits + control });
    }
    let end = at + rest.len();
    Ok(StartLine::Response { status, reason: Span::new((at + digits + 1).min(end), end), version })
}

/// `SIP/` and two numbers, in any case (RFC 3261 §7.1).
fn is_version(word: &[u8]) -> bool {
    let Some((name, numbers)) = word.split_at_checked(4) else { return false };
    let Some(dot) = memchr(b'.', numbers) else { return false };
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    name.eq_ignore_ascii_case(b"SIP/")
        && numbers.get(..dot).is_some_and(digits)
        && numbers.get(dot + 1..).is_some_and(digits)
}

fn parse_header(octets: &[u8], span: Span, line: usize) -> Result<HeaderSpan, ParseError> {
    let text = span.of(octets);
    let length = text.iter().position(|octet| !token_octet(*octet)).ok_or(ParseError::Colon { line })?;
    let (name, rest) = text.split_at_checked(length).unwrap_or_default();
    // RFC 3261 §7.3.1: white space may stand before the colon, and after it.
    let raw = match rest {
        [b':', raw @ ..] => raw,
        _ => rest.trim_ascii_start().strip_prefix(b":").ok_or_else(|| no_colon(text, line))?,
    };
    if name.is_empty() {
        return Err(ParseError::Name { line });
    }
    let from_value = grammar::trim_octets_start(raw);
    let value = grammar::trim_octets(from_value);
    let start = span.end() - from_value.len();
    let id = HeaderId::of(name);
    check_value(id, value, start)?;
    let name = Span::new(span.start(), span.start() + length);
    Ok(HeaderSpan { id, name, value: Span::new(start, start + value.len()) })
}

#[cold]
fn no_colon(text: &[u8], line: usize) -> ParseError {
    if text.contains(&b':') { ParseError::Name { line } } else { ParseError::Colon { line } }
}

/// Controls only in folds and quoted pairs; quotes of structured values closed.
fn check_value(id: HeaderId, value: &[u8], start: usize) -> Result<(), ParseError> {
    if grammar::has_control(value)
        && let Some(at) = stray_control(value)
    {
        return Err(ParseError::Control { offset: start + at });
    }
    if is_structured(id) && memchr(b'"', value).is_some() && !grammar::quotes_closed(value) {
        return Err(ParseError::Quote { id });
    }
    Ok(())
}

/// The first control octet that is neither part of a fold nor, inside quotes, escaped by a backslash.
fn stray_control(value: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    let mut previous = 0;
    for (at, octet) in value.iter().enumerate() {
        let next = value.get(at + 1);
        let in_fold = match octet {
            b'\r' => next == Some(&b'\n'),
            b'\n' => previous == b'\r' && matches!(next, Some(b' ' | b'\t')),
            _ => false,
        };
        // RFC 3261 §25.1 quoted-pair: any of ASCII but CR and LF.
        if control_octet(*octet) && !in_fold && (!escaped || matches!(octet, b'\r' | b'\n')) {
            return Some(at);
        }
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        previous = *octet;
    }
    None
}

/// Fields whose values consist of tokens, addresses and quoted strings; elsewhere a lone quote is text.
const fn is_structured(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::Via
            | HeaderId::From
            | HeaderId::To
            | HeaderId::Contact
            | HeaderId::Route
            | HeaderId::RecordRoute
            | HeaderId::ReplyTo
            | HeaderId::ReferTo
            | HeaderId::ReferredBy
            | HeaderId::PAssertedIdentity
            | HeaderId::PPreferredIdentity
            | HeaderId::Path
            | HeaderId::ServiceRoute
            | HeaderId::ContentType
            | HeaderId::ContentDisposition
            | HeaderId::Accept
            | HeaderId::Event
            | HeaderId::SubscriptionState
            | HeaderId::Authorization
            | HeaderId::ProxyAuthorization
            | HeaderId::WwwAuthenticate
            | HeaderId::ProxyAuthenticate
            | HeaderId::AuthenticationInfo
            | HeaderId::Warning
    )
}

/// RFC 3261 §20.14: digits. What does not fit a `u32` is no length that anybody sends.
fn parse_length(value: &[u8]) -> Result<usize, ParseError> {
    let number = std::str::from_utf8(value).ok().and_then(grammar::number);
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.and_then(|number| usize::try_from(number).ok()).ok_or(ParseError::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "Via: SIP/2.0/UDP c\r\n\r\n";

    fn parse(text: impl Into<Bytes>) -> Result<Message, ParseError> {
        Message::parse(text.into())
    }

    fn start(line: &str) -> Result<Message, ParseError> {
        parse(format!("{line}\r\n{HEADERS}"))
    }

    fn header(line: &str) -> Result<Message, ParseError> {
        parse(format!("OPTIONS sip:a@b SIP/2.0\r\n{line}\r\n{HEADERS}"))
    }

    #[test]
    fn requests_and_responses() {
        let request = start("OPTIONS sip:a@b SIP/2.0").unwrap();
        assert_eq!((request.method(), request.request_uri()), (Some(&Method::Options), Some("sip:a@b")));
        assert!(request.is_version_2() && request.status().is_none() && request.reason().is_none());
        let response = start("SIP/2.0 100 Пытаюсь").unwrap();
        assert_eq!((response.status().unwrap().code(), response.reason().unwrap().as_ref()), (100, "Пытаюсь"));
        assert!(response.method().is_none() && response.request_uri().is_none());
    }

    // checks: TOR-013, TOR-018, TOR-022, TOR-023, TOR-032
    #[test]
    fn rfc3261_s7_1_start_lines_have_single_spaces_and_known_shapes() {
        assert_eq!(start("SIP/2.0 100 ").unwrap().reason().unwrap(), "");
        assert_eq!(start("SIP/2.0 100").unwrap().reason().unwrap(), "");
        assert!(!start("OPTIONS sip:a@b SIP/7.0").unwrap().is_version_2());
        for line in [
            "OPTIONS  sip:a@b  SIP/2.0",
            "OPTIONS sip:a@b SIP/2.0 ",
            "OPTIONS sip:a@b; lr SIP/2.0",
            "OPTIONS sip:a@b",
            "OPTIONS sip:a@b HTTP/1.1",
            "OPTIONS sip:a@b SIP/2",
            "OPT\"IONS sip:a@b SIP/2.0",
            "OPTIONS sip:\u{e4}@b SIP/2.0",
            "OPTIONS",
        ] {
            assert_eq!(start(line).err(), Some(ParseError::StartLine), "{line}");
        }
        for line in ["SIP/2.0 4294967301 OK", "SIP/2.0 99 Low", "SIP/2.0 700 High", "SIP/2.0 OK", "SIP/2.0 200OK"] {
            assert_eq!(start(line).err(), Some(ParseError::Status), "{line}");
        }
    }

    // checks: SIP-010, TOR-001
    #[test]
    fn rfc3261_s7_3_1_white_space_and_folds() {
        let message = header("TO :\r\n sip:a@b ;\r\n\ttag = 1\r\ns :\r\nSubject:").unwrap();
        let to = message.to().unwrap();
        assert_eq!((to.uri, to.tag()), ("sip:a@b", Some("1")));
        let subjects: Vec<_> = message.headers(HeaderId::Subject).map(|header| header.octets().to_vec()).collect();
        assert_eq!(subjects, [b"", b""]);
        assert_eq!(header("Subject: a\r\n   b\r\n c").unwrap().header(HeaderId::Subject).unwrap().display(), "a b c");
    }

    #[test]
    fn malformed_header_lines() {
        for (line, error) in [
            ("no colon here", ParseError::Colon { line: 2 }),
            ("nocolon", ParseError::Colon { line: 2 }),
            (": x", ParseError::Name { line: 2 }),
            ("a b: x", ParseError::Name { line: 2 }),
            ("a\u{e4}: x", ParseError::Name { line: 2 }),
            ("A: x\nB: y", ParseError::LineEnd { line: 2 }),
            ("A: x\rB: y", ParseError::Control { offset: 29 }),
            ("A: \u{0}", ParseError::Control { offset: 28 }),
            ("A: x\u{7f}", ParseError::Control { offset: 29 }),
            ("A: \\\u{7}", ParseError::Control { offset: 29 }),
            ("To: \"open <sip:a@b>", ParseError::Quote { id: HeaderId::To }),
        ] {
            assert_eq!(header(line).err(), Some(error), "{line:?}");
        }
    }

    // checks: TOR-002
    #[test]
    fn controls_may_stand_in_quoted_pairs_and_quotes_in_text() {
        assert!(header("To: \"BEL:\\\u{7} NUL:\\\u{0} DEL:\\\u{7f}\" <sip:a@b>").is_ok());
        assert!(header("Subject: a 5\" disk").is_ok());
        assert!(header("To: \"a\\\r\n b\" <sip:a@b>").is_ok());
    }

    #[test]
    fn octets_that_are_not_utf8_cost_no_other_header() {
        let mut octets = b"OPTIONS sip:a@b SIP/2.0\r\nSubject: caf\xe9\r\n".to_vec();
        octets.extend_from_slice(b"Call-ID: x\r\n\r\n");
        let message = parse(octets).unwrap();
        let subject = message.header(HeaderId::Subject).unwrap();
        assert_eq!((subject.octets(), subject.display().as_ref()), (b"caf\xe9".as_slice(), "caf\u{fffd}"));
        assert!(subject.text().is_err());
        assert_eq!(message.call_id().unwrap().as_str(), "x");
    }

    // checks: TOR-016, TOR-042
    #[test]
    fn rfc3261_s20_14_one_sound_content_length() {
        for (line, error) in [
            ("Content-Length: -1", ParseError::ContentLength),
            ("Content-Length: +1", ParseError::ContentLength),
            ("Content-Length: 0x1", ParseError::ContentLength),
            ("Content-Length:", ParseError::ContentLength),
            ("Content-Length: 1, 1", ParseError::ContentLength),
            ("Content-Length: 99999999999999999999", ParseError::ContentLength),
            ("Content-Length: 0\r\nl: 0", ParseError::RepeatedContentLength),
            ("Content-Length: 1", ParseError::Truncated { declared: 1, present: 0 }),
        ] {
            assert_eq!(header(line).err(), Some(error), "{line}");
        }
    }

    #[test]
    fn limits_hold() {
        let many = "A: b\r\n".repeat(MAX_HEADERS);
        assert_eq!(header(many.trim_end()).err(), Some(ParseError::TooManyHeaders { limit: MAX_HEADERS }));
        let long = format!("A: {}", "b".repeat(1 << 20));
        let error = header(&long).unwrap_err();
        assert_eq!((error, error.status()), (ParseError::HeadTooLarge { limit: MAX_HEAD }, 513));
        let unended = Bytes::from("OPTIONS sip:a@b SIP/2.0\r\nA: b\r\n");
        assert_eq!(parse(unended).err(), Some(ParseError::Unterminated));
        assert_eq!(parse("\r\n\r\n").err(), Some(ParseError::Empty));
        assert!(parse(format!("\r\nOPTIONS sip:a@b SIP/2.0\r\n{HEADERS}")).is_ok());
    }

    // checks: SIP-016, TOR-011
    #[test]
    fn bodies_are_octets_and_share_the_buffer() {
        let message = parse(&b"OPTIONS sip:a@b SIP/2.0\r\nl: 4\r\n\r\n\0\r\n\xffrest"[..]).unwrap();
        assert_eq!(message.body(), b"\0\r\n\xff");
        assert_eq!(message.body_bytes().as_ptr(), message.body().as_ptr());
        assert!(message.octets().ends_with(b"\xff"));
    }

    #[test]
    fn the_length_of_a_broken_message_is_certain_or_unknown() {
        assert_eq!(content_length_of_broken(b"X\r\nbad\r\nl: 5\r\n\r\n"), Some(5));
        assert_eq!(content_length_of_broken(b"X\r\nl: 5\r\nContent-Length: 5\r\n\r\n"), None);
        assert_eq!(content_length_of_broken(b"X\r\nA: b\r\n l: 5\r\n\r\n"), None);
        assert_eq!(content_length_of_broken(b"X\r\nl: x\r\n\r\n"), None);
        assert_eq!(content_length_of_broken(b"X\r\nContent\rLength: 5\r\n\r\n"), None);
    }
}
