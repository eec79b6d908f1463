//! RFC 2045 §3: MIME entities, which follow MIME's rules and not those of message headers.

use std::borrow::Cow;

use crate::error::{ErrorKind, ParseError};
use crate::limits::MAX_MIME_HEADERS;
use crate::media::{self, MediaType};

/// A MIME entity: headers, blank line, body; borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity<'a> {
    octets: &'a [u8],
    headers: Vec<MimeHeader<'a>>,
    body: &'a [u8],
}

/// One MIME header, perhaps folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MimeHeader<'a> {
    name: &'a str,
    raw: &'a [u8],
}

impl<'a> Entity<'a> {
    /// Splits an entity; one without a blank line has headers alone (RFC 2046 §5.1).
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_at(octets, 1, 0)
    }

    /// The same for an entity that stands within an object.
    pub(crate) fn parse_at(octets: &'a [u8], first_line: usize, base: usize) -> Result<Self, ParseError> {
        let mut headers = Vec::with_capacity(2);
        let (mut rest, mut line) = (octets, first_line);
        while !rest.is_empty() {
            let at = base + octets.len() - rest.len();
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                return Ok(Self { octets, headers, body });
            }
            if headers.len() == MAX_MIME_HEADERS {
                return Err(ParseError { kind: ErrorKind::TooMany { limit: MAX_MIME_HEADERS }, line, octet: at });
            }
            let (header, lines, after) =
                split_header(rest).ok_or(ParseError { kind: ErrorKind::MimeHeader, line, octet: at })?;
            headers.push(header);
            line += lines;
            rest = after;
        }
        Ok(Self { octets, headers, body: &[] })
    }

    /// All octets of the entity.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The headers in order.
    pub fn headers(&self) -> &[MimeHeader<'a>] {
        &self.headers
    }

    /// The body; still in the entity's transfer encoding.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The first header of this name; case does not count.
    pub fn header(&self, name: &str) -> Option<&MimeHeader<'a>> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first header of this name.
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.header(name).map(MimeHeader::value)
    }

    /// The body with its transfer encoding reversed; `None` if that fails or the encoding is unknown.
    pub fn decoded_body(&self) -> Option<Cow<'a, [u8]>> {
        crate::transfer::decode(self.value("Content-Transfer-Encoding").as_deref(), self.body)
    }

    /// The text of a `text/plain` entity in UTF-8 or US-ASCII, its transfer encoding reversed; `None` for any other.
    // RFC 3922 §4.2.9: these two character sets have to be mapped, others should not be.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        if self.is("text/plain") { self.characters() } else { None }
    }

    /// The characters of any entity in UTF-8 or US-ASCII, its transfer encoding reversed.
    pub(crate) fn characters(&self) -> Option<Cow<'a, str>> {
        let value = self.value(CONTENT_TYPE)?;
        let charset = MediaType::parse(&value)?.param("charset");
        let is = |known: &str| charset.as_deref().is_some_and(|charset| charset.eq_ignore_ascii_case(known));
        let decoded = self.decoded_body()?;
        // RFC 2046 §4.1.2: octets beyond the set that is named are in another one.
        if !(charset.is_none() || is("utf-8") || (is("us-ascii") && decoded.is_ascii())) {
            return None;
        }
        match decoded {
            Cow::Borrowed(octets) => std::str::from_utf8(octets).ok().map(Cow::Borrowed),
            Cow::Owned(octets) => String::from_utf8(octets).ok().map(Cow::Owned),
        }
    }

    /// Whether its Content-Type is this media type; case does not count.
    pub fn is(&self, essence: &str) -> bool {
        self.value(CONTENT_TYPE).is_some_and(|value| MediaType::parse(&value).is_some_and(|found| found.is(essence)))
    }
}

impl<'a> MimeHeader<'a> {
    /// The name as written.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Lines that it stands on.
    pub(crate) fn lines(&self) -> usize {
        memchr::memchr_iter(b'\n', self.raw).count()
    }

    /// Octets of it, with its line end.
    pub(crate) fn len(&self) -> usize {
        self.name.len() + 1 + self.raw.len()
    }

    /// The value unfolded, without the white space around it; octets that are no UTF-8 are replaced.
    pub fn value(&self) -> Cow<'a, str> {
        match String::from_utf8_lossy(self.raw) {
            Cow::Borrowed(text) => unfold(text),
            Cow::Owned(text) => Cow::Owned(unfold(&text).into_owned()),
        }
    }
}

/// One header with its folded lines, how many lines that is, and what follows; `None` if it is none.
fn split_header(octets: &[u8]) -> Option<(MimeHeader<'_>, usize, &[u8])> {
    let colon = memchr::memchr2(b':', b'\n', octets)?;
    let (name, after) = octets.split_at_checked(colon)?;
    let name = std::str::from_utf8(name).ok().filter(|name| media::is_token(name))?;
    let (mut end, mut lines) = (0, 0);
    let value = after.strip_prefix(b":")?;
    let next = loop {
        let line = value.get(end..)?;
        lines += 1;
        let length = memchr::memchr(b'\n', line).map_or(line.len(), |at| at + 1);
        let (this, rest) = line.split_at_checked(length)?;
        // RFC 2045 §2.1: lines end with CR LF, and neither octet stands alone.
        let text = this.strip_suffix(b"\r\n").unwrap_or(this);
        if memchr::memchr3(b'\r', b'\n', 0, text).is_some() {
            return None;
        }
        end += length;
        if !matches!(rest.first(), Some(b' ' | b'\t')) {
            break rest;
        }
    };
    Some((MimeHeader { name, raw: value.get(..end)? }, lines, next))
}

/// RFC 5322 §2.2.3, with the white space of a fold shown as one space.
fn unfold(text: &str) -> Cow<'_, str> {
    let blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
    let text = text.trim_matches(blank);
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let lines: Vec<&str> = text.split("\r\n").map(|line| line.trim_matches(blank)).collect();
    Cow::Owned(lines.join(" "))
}

/// The name of the header that says what an entity is.
pub(crate) const CONTENT_TYPE: &str = "Content-Type";

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-03, X-07
    #[test]
    fn rfc2045_s3_headers_fold_and_ignore_case() {
        let entity = Entity::parse(b"content-type:multipart/mixed;\r\n\tboundary=\"b\"\r\nX-A: \r\n\r\nbody").unwrap();
        assert_eq!(entity.value("Content-Type").as_deref(), Some("multipart/mixed; boundary=\"b\""));
        assert_eq!(entity.value("x-a").as_deref(), Some(""));
        assert!(entity.is("Multipart/MIXED") && !entity.is("text/plain"));
        assert_eq!((entity.body(), entity.headers().len()), (&b"body"[..], 2));
    }

    // checks: MF-03
    #[test]
    fn rfc2046_s5_1_1_headers_may_stand_alone() {
        for headers in [&b"Content-Type: text/plain\r\n"[..], b"Content-Type: text/plain"] {
            let entity = Entity::parse(headers).unwrap();
            assert_eq!((entity.value("content-type").as_deref(), entity.body()), (Some("text/plain"), &b""[..]));
        }
        assert!(Entity::parse(b"").unwrap().headers().is_empty());
        assert_eq!(Entity::parse(b"\r\nhi").unwrap().body(), b"hi");
    }

    // checks: XM-09
    #[test]
    fn rfc3922_s4_2_9_text_in_known_character_sets() {
        let text = |headers: &str, body: &str| {
            let octets = format!("Content-Type: {headers}\r\n\r\n{body}");
            Entity::parse(octets.as_bytes()).unwrap().text().map(Cow::into_owned)
        };
        assert_eq!(text("text/plain", "é").as_deref(), Some("é"));
        assert_eq!(text("Text/Plain; charset=\"UTF-8\"", "é").as_deref(), Some("é"));
        let encoded = text("text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: base64", "aGVsbG8=");
        assert_eq!(encoded.as_deref(), Some("hello"));
        assert_eq!(text("text/plain; charset=utf-16", "x"), None);
        assert_eq!(text("text/html", "x"), None);
        assert_eq!(text("text/plain; charset=US-ASCII", "\u{e9}"), None);
        assert_eq!(Entity::parse(b"Content-Type: text/plain\r\n\r\n\xff").unwrap().text(), None);
    }

    #[test]
    fn lines_that_are_no_headers_are_refused() {
        for (bad, line, octet) in [
            (&b"hello"[..], 1, 0),
            (b"A: b\r\nhello\r\n\r\n", 2, 6),
            (b" A: b\r\n", 1, 0),
            (b"A b: c\r\n", 1, 0),
            (b"A: b\n\nc", 1, 0),
            (b"A: b\r\n c\r\n: d\r\n", 3, 10),
        ] {
            let error = Entity::parse(bad).unwrap_err();
            assert_eq!((error.kind, error.line, error.octet), (ErrorKind::MimeHeader, line, octet));
        }
    }
}
