use std::borrow::Cow;

use super::{HeaderError, Params};
use crate::{
    grammar::{self, Cursor},
    header_id::HeaderId,
    uri::{Uri, UriError},
};

/// An address with an optional display name and parameters: From, To, Contact, Route and their like
/// (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    display: Display<'a>,
    /// The URI as written, without its brackets.
    pub uri: &'a str,
    /// The parameters of the header, not those of the URI.
    pub params: Params<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Display<'a> {
    None,
    Tokens(&'a str),
    Quoted(&'a str),
}

impl<'a> NameAddr<'a> {
    /// Parses one value of the field `id`, which errors name.
    pub fn parse(id: HeaderId, text: &'a str) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(grammar::trim(text));
        match Self::take(&mut cursor) {
            Some(addr) if cursor.is_done() => Ok(addr),
            _ => Err(HeaderError::Syntax(id)),
        }
    }

    /// The display name with quotes, escapes and folds resolved; `None` when there is none.
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        match self.display {
            Display::None => None,
            Display::Tokens(text) => Some(grammar::unfold(text)),
            Display::Quoted(inside) => Some(grammar::unescape_quoted(inside)),
        }
    }

    /// The URI, parsed.
    pub fn parsed_uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri)
    }

    /// RFC 3261 §19.3: this side's half of a dialog identifier.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }

    fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        let start = *cursor;
        if cursor.peek() == Some(b'"') {
            let display = Display::Quoted(cursor.quoted()?);
            cursor.lws();
            return Self::take_bracketed(cursor, display);
        }
        // COMPAT clients that leave UTF-8 names unquoted: non-ASCII octets pass as token characters.
        cursor.take_while(|octet| grammar::token_octet(octet) || grammar::lws_octet(octet) || !octet.is_ascii());
        if cursor.peek() == Some(b'<') {
            let text = grammar::trim(cursor.since(&start));
            let display = if text.is_empty() { Display::None } else { Display::Tokens(text) };
            return Self::take_bracketed(cursor, display);
        }
        *cursor = start;
        Self::take_bare(cursor)
    }

    fn take_bracketed(cursor: &mut Cursor<'a>, display: Display<'a>) -> Option<Self> {
        if !cursor.eat(b'<') {
            return None;
        }
        let uri = cursor.take_until(b'>')?;
        Self::finish(cursor, display, uri)
    }

    /// RFC 3261 §20: without brackets the URI ends at the first semicolon, comma or question mark.
    fn take_bare(cursor: &mut Cursor<'a>) -> Option<Self> {
        let uri = cursor.take_while(|octet| !grammar::lws_octet(octet) && !matches!(octet, b';' | b',' | b'?'));
        if cursor.peek() == Some(b'?') {
            return None;
        }
        Self::finish(cursor, Display::None, uri)
    }

    fn finish(cursor: &mut Cursor<'a>, display: Display<'a>, uri: &'a str) -> Option<Self> {
        let printable = uri.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"'));
        if uri.is_empty() || !printable {
            return None;
        }
        let params = Params::take(cursor)?;
        Some(Self { display, uri, params })
    }
}

/// Text as a quoted string: escapes quote and backslash, leaves controls out (RFC 3261 §25.1).
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(HeaderId::To, text)
    }

    #[test]
    fn the_three_forms() {
        let addr = to("\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8").unwrap();
        assert_eq!(addr.display_name().unwrap(), "J Rosenberg \\\"");
        assert_eq!((addr.uri, addr.tag()), ("sip:jdrosen@example.com", Some("98asjd8")));

        let addr = to("token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;x=\"ü\"").unwrap();
        assert_eq!(addr.display_name().unwrap(), "token1~` token2'+_ token3*%!.-");

        // RFC 3261 §20.10: without brackets, parameters belong to the header.
        let addr = to("sip:+19725552222@gw1.example.net;unknownparam").unwrap();
        assert_eq!(addr.uri, "sip:+19725552222@gw1.example.net");
        assert!(addr.params.has("unknownparam") && addr.display_name().is_none());
    }

    // checks: TOR-006, TOR-046
    #[test]
    fn no_space_before_the_bracket_and_parameters_inside() {
        assert_eq!(to("caller<sip:caller@example.com>;tag=323").unwrap().display_name().unwrap(), "caller");
        let addr = to("<sip:a@b.example;unknownparam>").unwrap();
        assert!(addr.uri.ends_with(";unknownparam") && !addr.params.has("unknownparam"));
    }

    // checks: TOR-019, TOR-026, TOR-027, TOR-028
    #[test]
    fn malformed_values() {
        for text in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>",
            "\"open name\" sip:a@b",
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "\"Watson, Thomas\" < sip:t.watson@example.org >",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            "<sip:a@b",
            "<>",
            "<sip:a@b>;;;;",
            "<sip:a@b> x",
            "name",
        ] {
            let result = to(text).map(|addr| addr.parsed_uri().is_err());
            assert!(matches!(result, Err(_) | Ok(true)), "{text}");
        }
    }

    // checks: SEC-003
    #[test]
    fn quoting_escapes_and_drops_controls() {
        assert_eq!(quote("a\"b\\c\r\nVia: x\u{7f}"), "\"a\\\"b\\\\cVia: x\"");
        let text = format!("{} <sip:a@b>", quote("Zoë \"Z\""));
        assert_eq!(to(&text).unwrap().display_name().unwrap(), "Zoë \"Z\"");
    }
}
