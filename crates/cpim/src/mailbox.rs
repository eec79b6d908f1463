//! RFC 3862 §4.1: formal name and URI, the value of From, To and cc.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use crate::chars;
use crate::error::{ErrorKind, Remedy};
use crate::escape::{escape_string, unescape};
use crate::header::string_length;
use crate::uri::{self, UriShape};

/// An address with the name a person goes by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mailbox<'a> {
    /// The Formal-name, decoded.
    #[serde(default)]
    pub formal_name: Option<Cow<'a, str>>,
    /// The URI as written, or to be written.
    pub uri: Cow<'a, str>,
}

impl<'a> Mailbox<'a> {
    /// An address without a name.
    pub fn new(uri: impl Into<Cow<'a, str>>) -> Self {
        Self { formal_name: None, uri: uri.into() }
    }

    /// The same address with a name.
    pub fn with_name(mut self, formal_name: impl Into<Cow<'a, str>>) -> Self {
        self.formal_name = Some(formal_name.into());
        self
    }

    /// Reads a header value, tolerant as a gateway is.
    pub fn parse(value: &'a str) -> Option<Self> {
        scan(value).ok().map(|scanned| scanned.mailbox())
    }

    /// The same without borrowing.
    pub fn into_owned(self) -> Mailbox<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Mailbox { formal_name: self.formal_name.map(owned), uri: owned(self.uri) }
    }

    /// The same without borrowing, its address in the form that is written.
    pub(crate) fn into_uri(self) -> Mailbox<'static> {
        let mut mailbox = self.into_owned();
        if !mailbox.uri.is_ascii() {
            let mut out = BytesMut::new();
            write_uri(&mut out, &mailbox.uri);
            mailbox.uri = String::from_utf8_lossy(&out).into_owned().into();
        }
        mailbox
    }
}

/// An address as it stands in a value, not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scanned<'a> {
    name: Name<'a>,
    uri: &'a str,
    /// Where and how it differs from the grammar.
    pub(crate) oddity: Option<(ErrorKind, usize, Remedy)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name<'a> {
    None,
    /// Tokens with one space between them.
    Tokens(&'a str),
    /// The inside of a string.
    Quoted(&'a str),
    /// Anything else before `<`.
    Loose(&'a str),
}

impl<'a> Scanned<'a> {
    pub(crate) fn mailbox(&self) -> Mailbox<'a> {
        let formal_name = match self.name {
            Name::None => None,
            Name::Tokens(text) => Some(Cow::Borrowed(text)),
            Name::Quoted(text) => Some(unescape(text)),
            Name::Loose(text) => {
                let name = unescape(text).split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                (!name.is_empty()).then_some(Cow::Owned(name))
            }
        };
        Mailbox { formal_name, uri: Cow::Borrowed(self.uri) }
    }
}

/// Splits a value; fails where no reading is defensible, with the octet of the fault.
pub(crate) fn scan(value: &str) -> Result<Scanned<'_>, (ErrorKind, usize)> {
    let (name, open, mut oddity) = scan_name(value)?;
    let rest = value.get(open + 1..).unwrap_or_default();
    let close = memchr::memchr(b'>', rest.as_bytes()).ok_or((ErrorKind::Mailbox, value.len()))?;
    if open + 1 + close + 1 != value.len() {
        return Err((ErrorKind::Mailbox, open + 1 + close + 1));
    }
    let uri = rest.get(..close).unwrap_or_default();
    let at_uri = |remedy| Some((ErrorKind::Uri, open + 1, remedy));
    match uri::shape(uri) {
        UriShape::Rfc2396 => {}
        UriShape::Rfc3986 => oddity = oddity.or(at_uri(Remedy::Rfc3986)),
        UriShape::Iri => oddity = oddity.or(at_uri(Remedy::Iri)),
        UriShape::Invalid(at) => return Err((ErrorKind::Uri, open + 1 + at)),
    }
    Ok(Scanned { name, uri, oddity })
}

type ScannedName<'a> = (Name<'a>, usize, Option<(ErrorKind, usize, Remedy)>);

/// The name, where the `<` after it stands, and how it differs from the grammar.
fn scan_name(value: &str) -> Result<ScannedName<'_>, (ErrorKind, usize)> {
    if let Some(inner) = value.strip_prefix('"') {
        let length = string_length(inner).ok_or((ErrorKind::String, value.len()))?;
        let (text, rest) = inner.split_at_checked(length).ok_or((ErrorKind::String, 0))?;
        let rest = rest.strip_prefix('"').unwrap_or_default();
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let open = 1 + length + 1 + spaces;
        if value.as_bytes().get(open) != Some(&b'<') {
            return Err((ErrorKind::Mailbox, open));
        }
        // RFC 3862 §3.6: no space between string and "<"; deployed software writes one.
        let oddity = (spaces > 0).then_some((ErrorKind::Mailbox, 1 + length + 1, Remedy::DropSpace));
        return Ok((Name::Quoted(text), open, oddity));
    }
    let open = memchr::memchr(b'<', value.as_bytes()).ok_or((ErrorKind::Mailbox, 0))?;
    let before = value.get(..open).unwrap_or_default();
    if before.is_empty() {
        return Ok((Name::None, open, None));
    }
    match before.strip_suffix(' ').filter(|tokens| chars::is_tokens(tokens)) {
        Some(tokens) => Ok((Name::Tokens(tokens), open, None)),
        None => Ok((Name::Loose(before), open, Some((ErrorKind::Mailbox, 0, Remedy::LooseName)))),
    }
}

/// Appends a name and what stands between it and `<`: as tokens when it is some, else as a string.
pub(crate) fn write_name(out: &mut BytesMut, name: &str, space_after_string: bool) {
    if name.is_empty() {
        return;
    }
    if chars::is_tokens(name) {
        out.put_slice(name.as_bytes());
        out.put_u8(b' ');
        return;
    }
    escape_string(out, name);
    if space_after_string {
        out.put_u8(b' ');
    }
}

/// Appends a URI; octets beyond ASCII are percent-encoded, which makes a URI of an IRI (RFC 3987 §3.1).
pub(crate) fn write_uri(out: &mut BytesMut, uri: &str) {
    for octet in uri.bytes() {
        if octet.is_ascii() {
            out.put_u8(octet);
        } else {
            write!(out, "%{octet:02X}").unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(value: &str) -> (Option<String>, Option<(ErrorKind, usize, Remedy)>) {
        let scanned = scan(value).unwrap();
        (scanned.mailbox().formal_name.map(Cow::into_owned), scanned.oddity)
    }

    // checks: MF-60, MF-25, X-08, REQ-4.1.3, REQ-4.1.4
    #[test]
    fn rfc3862_s4_1_names_by_the_grammar() {
        assert_eq!(name("<im:a@b>"), (None, None));
        assert_eq!(name("J. R. O'Neil <im:a@b>"), (Some("J. R. O'Neil".into()), None));
        assert_eq!(name(r#""Fox, \"M\""<im:a@b>"#), (Some("Fox, \"M\"".into()), None));
        assert_eq!(name(r#""a<b>"<im:a@b>"#), (Some("a<b>".into()), None));
    }

    // checks: MF-25
    #[test]
    fn names_outside_the_grammar_are_read_and_told() {
        let loose = |at| Some((ErrorKind::Mailbox, at, Remedy::LooseName));
        assert_eq!(name("Fox, Mister <im:a@b>"), (Some("Fox, Mister".into()), loose(0)));
        assert_eq!(name("Alice<im:a@b>"), (Some("Alice".into()), loose(0)));
        assert_eq!(name("Alice  Smith <im:a@b>"), (Some("Alice Smith".into()), loose(0)));
        let spaced = Some((ErrorKind::Mailbox, 3, Remedy::DropSpace));
        assert_eq!(name("\"A\" <im:a@b>"), (Some("A".into()), spaced));
        assert_eq!(name("<im:ü@b>"), (None, Some((ErrorKind::Uri, 1, Remedy::Iri))));
        assert_eq!(name("<sip:a@[::1]>"), (None, Some((ErrorKind::Uri, 1, Remedy::Rfc3986))));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_octet() {
        for (bad, error) in [
            ("im:a@b", (ErrorKind::Mailbox, 0)),
            ("<im:a@b", (ErrorKind::Mailbox, 7)),
            ("<im:a@b>;tag=1", (ErrorKind::Mailbox, 8)),
            ("\"A <im:a@b>", (ErrorKind::String, 11)),
            ("\"A\"x<im:a@b>", (ErrorKind::Mailbox, 3)),
            ("<a@b>", (ErrorKind::Uri, 1)),
            ("<>", (ErrorKind::Uri, 1)),
            ("", (ErrorKind::Mailbox, 0)),
        ] {
            assert_eq!(scan(bad).err(), Some(error), "{bad}");
        }
    }
}
