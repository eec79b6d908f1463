use super::UriError;
use super::percent::{check_chars, decode_part, is_uric};
use crate::domain::Domain;

/// An `xmpp:` URI or IRI by RFC 5122 §2.2, its parts decoded.
///
/// The parts are not checked against RFC 7622: that is for whoever makes a JID of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmppUri {
    /// The account to act as (RFC 5122 §2.3), as text.
    pub auth: Option<String>,
    /// The localpart.
    pub local: Option<String>,
    /// The domainpart.
    pub domain: Domain,
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
        let auth = if parts.skip("//") { Some(parts.take_until(&['/', '?', '#'])?) } else { None };
        if auth.is_some() {
            parts.skip("/");
        }
        let (local, domain, resource) = parse_path(&mut parts)?;
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

type Path = (Option<String>, Domain, Option<String>);

fn parse_path(parts: &mut Cursor<'_>) -> Result<Path, UriError> {
    let at = parts.at;
    let raw = parts.raw_until(&['?', '#']);
    // RFC 7622 §3.2: the resource begins at the first slash, the domain after the first "@" before it.
    let (bare, resource) = match raw.split_once('/') {
        Some((bare, resource)) => (bare, Some(decode_part(resource, at + bare.len() + 1)?.into_owned())),
        None => (raw, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(decode_part(local, at)?.into_owned()), domain),
        None => (None, bare),
    };
    if local.as_deref() == Some("") {
        return Err(UriError::Local { at });
    }
    let domain_at = at + bare.len() - domain.len();
    let domain = Domain::parse_host(&decode_part(domain, domain_at)?)
        .map_err(|cause| UriError::Domain { at: domain_at, cause })?;
    Ok((local, domain, resource))
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
        assert_eq!(uri.domain.as_str(), "b.example");
        assert_eq!(uri.resource.as_deref(), Some("r/x"));
        assert_eq!(uri.pairs, [("body".into(), "a;b".into()), ("k".into(), String::new())]);
        assert_eq!(uri.fragment.as_deref(), Some("f"));
    }

    #[test]
    fn malformed_xmpp_uris_are_refused() {
        let refused = |text| XmppUri::parse(text).unwrap_err();
        assert_eq!(refused("sip:a@b.example"), UriError::Scheme);
        assert_eq!(refused("xmpp:@b.example"), UriError::Local { at: 5 });
        assert_eq!(refused("xmpp:a%zz@b.example"), UriError::Char { at: 6 });
        assert_eq!(refused("xmpp:a@b.example?message;subject"), UriError::Header { at: 25 });
        assert_eq!(refused("xmpp:a%00@b.example"), UriError::Control { at: 5 });
        assert_eq!(refused("xmpp:a@b.example?x;y=%FF"), UriError::Utf8 { at: 19 });
    }
}
