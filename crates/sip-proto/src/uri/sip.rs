use std::{borrow::Cow, fmt};

use super::{
    UriError,
    escape::{self, is_escaped_text, param_unreserved, unreserved, user_unreserved},
    host::Host,
    split_scheme,
};
use crate::{
    grammar::{Cursor, host_octet, split_once},
    limits::MAX_URI_PARAMS,
};

/// The two schemes of RFC 3261 §19.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip`.
    Sip,
    /// `sips`: TLS on every hop to the domain (RFC 3261 §26.2.2).
    Sips,
}

impl Scheme {
    pub(super) fn of(text: &str) -> Option<Self> {
        match text {
            sip if sip.eq_ignore_ascii_case("sip") => Some(Self::Sip),
            sips if sips.eq_ignore_ascii_case("sips") => Some(Self::Sips),
            _ => None,
        }
    }

    /// In lower case, without colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
        }
    }
}

/// A SIP or SIPS URI (RFC 3261 §19.1.1), checked whole, borrowed from its text.
#[derive(Debug, Clone, Copy)]
pub struct SipUri<'a> {
    /// `sip` or `sips`.
    pub scheme: Scheme,
    /// The user part as written, escapes kept; `None` when there is no `@`.
    pub user: Option<&'a str>,
    /// The password as written.
    pub password: Option<&'a str>,
    /// The host.
    pub host: Host<'a>,
    /// The port; an absent one is not the same as the default (RFC 3261 §19.1.4).
    pub port: Option<u16>,
    params: &'a str,
    headers: &'a str,
}

/// One URI parameter or header, escapes kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UriParam<'a> {
    /// As written.
    pub name: &'a str,
    /// As written; `None` for a flag such as `lr`.
    pub value: Option<&'a str>,
}

impl<'a> SipUri<'a> {
    /// Parses text that must be a `sip:` or `sips:` URI.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (scheme, rest) = split_scheme(text)?;
        Self::parse_rest(Scheme::of(scheme).ok_or(UriError::Scheme)?, rest)
    }

    /// The user part with its escapes resolved.
    pub fn user_decoded(&self) -> Option<Result<Cow<'a, str>, UriError>> {
        self.user.map(escape::decode)
    }

    /// The parameters in order.
    pub fn params(&self) -> impl Iterator<Item = UriParam<'a>> + use<'a> {
        pieces(self.params, ';')
    }

    /// The first parameter of that name.
    pub fn param(&self, name: &str) -> Option<UriParam<'a>> {
        self.params().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The headers in order; never copy them into a message unseen (RFC 3261 §19.1.5).
    pub fn headers(&self) -> impl Iterator<Item = UriParam<'a>> + use<'a> {
        pieces(self.headers, '&')
    }

    /// Whether there is a headers part.
    pub const fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// RFC 5627 §3.1: the `gr` parameter. Inner `None` is a temporary GRUU.
    pub fn gr(&self) -> Option<Option<&'a str>> {
        self.param("gr").map(|param| param.value)
    }

    /// RFC 3261 §19.1.1: a loose router.
    pub fn is_loose(&self) -> bool {
        self.param("lr").is_some()
    }

    /// RFC 3261 §19.1.1: the transport asked for.
    pub fn transport(&self) -> Option<&'a str> {
        self.param("transport")?.value
    }

    pub(super) fn parse_rest(scheme: Scheme, rest: &'a str) -> Result<Self, UriError> {
        let (userinfo, rest) = match split_once(rest, b'@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = userinfo.map(parse_userinfo).transpose()?.unwrap_or_default();
        let mut cursor = Cursor::new(rest);
        let host = Host::take(&mut cursor).ok_or(UriError::Host)?;
        let port = take_port(&mut cursor)?;
        let (params, headers) = match split_once(cursor.rest(), b'?') {
            Some((_, "")) => return Err(UriError::Headers),
            Some((params, headers)) => (params, headers),
            None => (cursor.rest(), ""),
        };
        check_params(params)?;
        check_headers(headers)?;
        Ok(Self { scheme, user, password, host, port, params: params.get(1..).unwrap_or_default(), headers })
    }
}

fn parse_userinfo(userinfo: &str) -> Result<(Option<&str>, Option<&str>), UriError> {
    let (user, password) = match split_once(userinfo, b':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let user_valid = !user.is_empty() && is_escaped_text(user, |octet| unreserved(octet) || user_unreserved(octet));
    let password_octet = |octet| unreserved(octet) || matches!(octet, b'&' | b'=' | b'+' | b'$' | b',');
    let password_valid = password.is_none_or(|password| is_escaped_text(password, password_octet));
    if user_valid && password_valid { Ok((Some(user), password)) } else { Err(UriError::User) }
}

fn take_port(cursor: &mut Cursor<'_>) -> Result<Option<u16>, UriError> {
    if !cursor.eat(b':') {
        return Ok(None);
    }
    let digits = cursor.take_while(|octet| octet.is_ascii_digit());
    digits.parse().map(Some).map_err(|_| UriError::Port)
}

fn check_params(params: &str) -> Result<(), UriError> {
    if params.is_empty() {
        return Ok(());
    }
    let params = params.strip_prefix(';').ok_or(UriError::Host)?;
    if params.is_empty() {
        return Err(UriError::Params);
    }
    let octet = |octet| unreserved(octet) || param_unreserved(octet);
    let text = |text: &str| !text.is_empty() && is_escaped_text(text, octet);
    for (at, param) in pieces(params, ';').enumerate() {
        if at == MAX_URI_PARAMS {
            return Err(UriError::Params);
        }
        // RFC 3261 §19.1.1: a parameter name occurs once.
        let repeated = pieces(params, ';').take(at).any(|earlier| earlier.name.eq_ignore_ascii_case(param.name));
        if repeated || !text(param.name) || !param.value.is_none_or(text) {
            return Err(UriError::Params);
        }
    }
    Ok(())
}

fn check_headers(headers: &str) -> Result<(), UriError> {
    if headers.is_empty() {
        return Ok(());
    }
    let octet = |octet| unreserved(octet) || matches!(octet, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$');
    let valid = pieces(headers, '&').all(|header| {
        !header.name.is_empty()
            && is_escaped_text(header.name, octet)
            && header.value.is_some_and(|value| is_escaped_text(value, octet))
    });
    if valid && pieces(headers, '&').nth(MAX_URI_PARAMS).is_none() { Ok(()) } else { Err(UriError::Headers) }
}

fn pieces(text: &str, separator: char) -> impl Iterator<Item = UriParam<'_>> {
    text.split(separator).filter(move |_| !text.is_empty()).map(|piece| match split_once(piece, b'=') {
        Some((name, value)) => UriParam { name, value: Some(value) },
        None => UriParam { name: piece, value: None },
    })
}

impl fmt::Display for SipUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = self.user {
            f.write_str(user)?;
            if let Some(password) = self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        f.write_str(self.host.as_str())?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.params.is_empty() {
            write!(f, ";{}", self.params)?;
        }
        if !self.headers.is_empty() {
            write!(f, "?{}", self.headers)?;
        }
        Ok(())
    }
}

/// Writes a SIP URI from unescaped parts.
///
/// The host is taken as it is: make it a host name in A-labels or an address before.
#[derive(Debug, Clone)]
pub struct SipUriBuilder {
    text: String,
}

impl SipUriBuilder {
    /// Begins a URI; the user part is escaped, the host stripped of what no host may hold.
    pub fn new(scheme: Scheme, user: Option<&str>, host: &str) -> Self {
        let user = user.map(escape::encode_user);
        let (user, at) = user.as_ref().map_or(("", ""), |user| (user.as_ref(), "@"));
        let parts = [scheme.as_str(), ":", user, at];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + host.len());
        text.extend(parts);
        let keep = |octet: u8| host_octet(octet) || matches!(octet, b'[' | b']' | b':');
        if host.bytes().all(keep) {
            text.push_str(host);
        } else {
            text.extend(host.bytes().filter(|octet| keep(*octet)).map(char::from));
        }
        Self { text }
    }

    /// Adds the port; call before any parameter.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.text.push_str(&format!(":{port}"));
        self
    }

    /// Adds a parameter, escaped.
    #[must_use]
    pub fn param(mut self, name: &str, value: Option<&str>) -> Self {
        self.text.push(';');
        self.text.push_str(&escape::encode_param(name));
        if let Some(value) = value {
            self.text.push('=');
            self.text.push_str(&escape::encode_param(value));
        }
        self
    }

    /// The URI as text.
    pub fn build(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: TOR-002, TOR-009, TOR-010
    #[test]
    fn rfc4475_s3_1_1_user_parts() {
        let uri = SipUri::parse("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com").unwrap();
        assert_eq!(uri.user, Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(uri.password, Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
        let uri = SipUri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user_decoded().unwrap().unwrap(), "user;par=u@example.net");
        assert_eq!(uri.host.as_str(), "example.com");
    }

    #[test]
    fn parameters_headers_and_port() {
        let text = "sips:alice@[2001:db8::1]:5061;transport=tcp;lr;gr=a/b%20c?subject=x&priority=";
        let uri = SipUri::parse(text).unwrap();
        assert_eq!((uri.port, uri.transport(), uri.is_loose()), (Some(5061), Some("tcp"), true));
        assert_eq!(uri.gr(), Some(Some("a/b%20c")));
        assert_eq!(uri.headers().count(), 2);
        assert_eq!(uri.to_string(), text);
    }

    // checks: TOR-102
    #[test]
    fn malformed_uris() {
        for (text, error) in [
            ("sip:2001:db8::10", UriError::Port),
            ("sip:@example.com", UriError::User),
            ("sip:a#b@example.com", UriError::User),
            ("sip:a%4@example.com", UriError::User),
            ("sip:ü@example.com", UriError::User),
            ("sip:a@b@example.com", UriError::Host),
            ("sip:", UriError::Host),
            ("sip:a@", UriError::Host),
            ("sip:a@b:", UriError::Port),
            ("sip:a@b:65536", UriError::Port),
            ("sip:a@b;;x", UriError::Params),
            ("sip:a@b;", UriError::Params),
            ("sip:a@b;x=", UriError::Params),
            ("sip:a@b;x=1;X=2", UriError::Params),
            ("sip:a@b/c", UriError::Host),
            ("sip:a@b?", UriError::Headers),
            ("sip:a@b?x", UriError::Headers),
            ("im:a@b", UriError::Scheme),
        ] {
            assert_eq!(SipUri::parse(text).map(|_| ()), Err(error), "{text}");
        }
    }

    #[test]
    fn parts_are_bounded() {
        let params = |count: usize| (0..count).map(|at| format!(";p{at}")).collect::<String>();
        let headers = |count: usize| "h=1&".repeat(count);
        assert!(SipUri::parse(&format!("sip:a@b{}", params(MAX_URI_PARAMS))).is_ok());
        let result = SipUri::parse(&format!("sip:a@b{}", params(MAX_URI_PARAMS + 1))).map(drop);
        assert_eq!(result, Err(UriError::Params));
        assert!(SipUri::parse(&format!("sip:a@b?{}h=1", headers(MAX_URI_PARAMS - 1))).is_ok());
        let result = SipUri::parse(&format!("sip:a@b?{}h=1", headers(MAX_URI_PARAMS))).map(drop);
        assert_eq!(result, Err(UriError::Headers));
    }

    // checks: ADR-016, SEC-003
    #[test]
    fn built_uris_parse_to_their_parts() {
        let text = SipUriBuilder::new(Scheme::Sip, Some("zo\u{eb}\r\n@x"), "gw.example\r\n")
            .port(5070)
            .param("gr", Some("a/b c"))
            .param("lr", None)
            .build();
        assert_eq!(text, "sip:zo%C3%AB%0D%0A%40x@gw.example:5070;gr=a/b%20c;lr");
        let uri = SipUri::parse(&text).unwrap();
        assert_eq!(uri.user_decoded().unwrap().unwrap(), "zo\u{eb}\r\n@x");
    }
}
