use super::UriError;
use super::percent::{check_chars, decode_part, is_uric};
use crate::domain::Domain;

/// An `xmpp:` URI or IRI by RFC 5122 §2.2, its parts decoded.
///
/// Of RFC 7622 only the characters that no localpart holds are refused: the rest is for whoever makes a JID of the parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmppUri {
    /// The account to act as (RFC 5122 §2.3), as text.
    pub auth: Option<String>,
    /// The localpart.
    pub local: Option<String>,
    /// The domainpart; `None` without a path, which names nobody but the account to act as.
    pub domain: Option<Domain>,
    /// The resourcepart.
    pub resource: Option<String>,
    /// What to do (RFC 5122 §2.5); an unknown one is to be ignored.
    pub query_type: Option<String>,
    /// The query's keys and values.
    pub pairs: Vec<(String, String)>,
    /// The fragment, which means nothing here (RFC 5122 §2.6).
    pub fragment: Option<String>,
}

impl XmppUri {
    /// Parses a URI or IRI.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(UriError::Scheme);
        }
        let start = text.len() - rest.len();
        check_chars(text, start, is_iri_char)?;
        let mut parts = Cursor { rest, at: start };
        let auth = if parts.skip("//") { Some(parse_auth(&mut parts)?) } else { None };
        // RFC 5122 §2.2: behind an authority the path is optional.
        let has_path = auth.is_none() || parts.skip("/");
        let (local, domain, resource) = if has_path { parse_path(&mut parts)? } else { (None, None, None) };
        let (query_type, pairs) = parse_query(&mut parts)?;
        let fragment = if parts.skip("#") { Some(parts.take_until(&[])?) } else { None };
        Ok(Self { auth, local, domain, resource, query_type, pairs, fragment })
    }

    /// Whether both name the same entity and ask for the same; the fragment does not count.
    ///
    /// Localparts are compared without case, as RFC 7622 §3.3 maps them; resourceparts exactly.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let fold = |local: &Option<String>| local.as_ref().map(|l| l.to_lowercase());
        self.auth == other.auth
            && fold(&self.local) == fold(&other.local)
            && self.domain == other.domain
            && self.resource == other.resource
            && self.query_type == other.query_type
            && self.pairs == other.pairs
    }
}

pub(super) const SCHEME: &str = "xmpp";

/// RFC 5122 §2.2: a node and a host, neither of which is optional here.
fn parse_auth(parts: &mut Cursor<'_>) -> Result<String, UriError> {
    let at = parts.at;
    let raw = parts.raw_until(&['/', '?', '#']);
    let (local, domain) = raw.split_once('@').ok_or(UriError::Mailbox { at: parts.at })?;
    let (local, domain) = (parse_local(local, at)?, parse_domain(domain, parts.at - domain.len())?);
    Ok(format!("{local}@{domain}"))
}

fn parse_local(raw: &str, at: usize) -> Result<String, UriError> {
    let local = decode_part(raw, at)?.into_owned();
    // RFC 7622 §3.3.1: characters that no localpart holds, percent-encoded or not.
    let excluded = |c| matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@');
    if local.is_empty() || local.contains(excluded) { Err(UriError::Local { at }) } else { Ok(local) }
}

fn parse_domain(raw: &str, at: usize) -> Result<Domain, UriError> {
    Domain::parse_host(&decode_part(raw, at)?).map_err(|cause| UriError::Domain { at, cause })
}

type Path = (Option<String>, Option<Domain>, Option<String>);

fn parse_path(parts: &mut Cursor<'_>) -> Result<Path, UriError> {
    let at = parts.at;
    let raw = parts.raw_until(&['?', '#']);
    // RFC 7622 §3.2: the resource begins at the first slash, the domain after the first "@" before it.
    let (bare, resource) = match raw.split_once('/') {
        Some((bare, resource)) => (bare, Some(decode_part(resource, at + bare.len() + 1)?.into_owned())),
        None => (raw, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(parse_local(local, at)?), domain),
        None => (None, bare),
    };
    let domain = parse_domain(domain, at + bare.len() - domain.len())?;
    Ok((local, Some(domain), resource))
}

type Query = (Option<String>, Vec<(String, String)>);

fn parse_query(parts: &mut Cursor<'_>) -> Result<Query, UriError> {
    if !parts.skip("?") {
        return Ok((None, Vec::new()));
    }
    let query_type = parts.take_until(&[';', '#'])?;
    let mut pairs = Vec::new();
    // RFC 5122 §2.5: pairs are divided by ";", not by "&".
    while parts.skip(";") {
        let at = parts.at;
        let pair = parts.raw_until(&[';', '#']);
        let (key, value) = pair.split_once('=').ok_or(UriError::Header { at })?;
        pairs.push((decode_part(key, at)?.into_owned(), decode_part(value, at)?.into_owned()));
    }
    Ok((Some(query_type), pairs))
}

fn is_iri_char(c: char) -> bool {
    // RFC 5122 §2.2: a JID's characters that no URI holds are percent-encoded; brackets stand for IPv6 addresses.
    is_uric(c) || !c.is_ascii() || "#[]".contains(c)
}

/// What is left of the URI, and where it begins.
struct Cursor<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest;
        self.at += token.len();
        true
    }

    fn raw_until(&mut self, stops: &[char]) -> &'a str {
        let end = self.rest.find(stops).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += end;
        part
    }

    fn take_until(&mut self, stops: &[char]) -> Result<String, UriError> {
        let at = self.at;
        decode_part(self.raw_until(stops), at).map(|text| text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: URI-11
    #[test]
    fn rfc5122_s2_2_all_parts_are_found() {
        let uri = XmppUri::parse("XMPP://me@a.example/n%C3%B6@b.example/r/x?message;body=a%3Bb;k=#f").unwrap();
        assert_eq!(uri.auth.as_deref(), Some("me@a.example"));
        assert_eq!(uri.local.as_deref(), Some("nö"));
        assert_eq!(uri.domain.as_ref().map(Domain::as_str), Some("b.example"));
        assert_eq!(uri.resource.as_deref(), Some("r/x"));
        assert_eq!(uri.pairs, [("body".into(), "a;b".into()), ("k".into(), String::new())]);
        assert_eq!(uri.fragment.as_deref(), Some("f"));
    }

    // checks: URI-11
    #[test]
    fn rfc5122_s2_3_an_authority_may_stand_alone() {
        let uri = XmppUri::parse("xmpp://guest@example.com").unwrap();
        assert_eq!((uri.auth.as_deref(), uri.domain, uri.local), (Some("guest@example.com"), None, None));
        let asked = XmppUri::parse("xmpp://guest@example.com?message").unwrap();
        assert_eq!((asked.domain, asked.query_type.as_deref()), (None, Some("message")));
    }

    #[test]
    fn malformed_xmpp_uris_are_refused() {
        let refused = |text| XmppUri::parse(text).unwrap_err();
        assert_eq!(refused("sip:a@b.example"), UriError::Scheme);
        assert_eq!(refused("xmpp:@b.example"), UriError::Local { at: 5 });
        assert_eq!(refused("xmpp:///a@b.example"), UriError::Mailbox { at: 7 });
        assert_eq!(refused("xmpp://b.example/a@b.example"), UriError::Mailbox { at: 16 });
        assert_eq!(refused("xmpp://@b.example"), UriError::Local { at: 7 });
        assert_eq!(refused("xmpp:a%40b@c.example"), UriError::Local { at: 5 });
        assert!(matches!(refused("xmpp://a@b.example/"), UriError::Domain { at: 19, .. }));
        assert_eq!(refused("xmpp:a%zz@b.example"), UriError::Char { at: 6 });
        assert_eq!(refused("xmpp:a@b.example?message;subject"), UriError::Header { at: 25 });
        assert_eq!(refused("xmpp:a%00@b.example"), UriError::Control { at: 5 });
        assert_eq!(refused("xmpp:a@b.example?x;y=%FF"), UriError::Utf8 { at: 19 });
    }
}
