//! URIs: `sip:` and `sips:` in full, any other scheme as an opaque rest.

mod compare;
mod escape;
mod host;
mod sip;

pub use escape::{decode, decode_octets, encode_param, encode_user};
pub use host::Host;
pub use sip::{Scheme, SipUri, SipUriBuilder, UriParam};

use std::fmt;

use crate::grammar::split_once;

/// Why text is no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// RFC 3986 §3.1.
    #[error("no scheme")]
    Scheme,
    /// An octet that must be percent-encoded, or never occurs, at this offset.
    #[error("octet {offset} does not belong there")]
    Octet {
        /// Counted from the start of the URI.
        offset: usize,
    },
    /// RFC 3261 §25.1: user part before the `@`, or the password behind its colon.
    #[error("user part is malformed")]
    User,
    /// RFC 3261 §25.1: no host name, IPv4 address or bracketed IPv6 address.
    #[error("host is malformed")]
    Host,
    /// Not a number of at most 65535.
    #[error("port is malformed")]
    Port,
    /// RFC 3261 §25.1: an empty parameter, one that occurs twice, or too many.
    #[error("a parameter is malformed")]
    Params,
    /// RFC 3261 §25.1: the part behind the question mark.
    #[error("the headers part is malformed")]
    Headers,
    /// Percent-encoded octets that are not UTF-8.
    #[error("not UTF-8 when decoded")]
    Utf8,
}

/// Any URI that SIP may carry (RFC 3261 §19.1, RFC 3986 §3).
#[derive(Debug, Clone, Copy)]
pub enum Uri<'a> {
    /// `sip:` and `sips:`.
    Sip(SipUri<'a>),
    /// Another scheme, such as `im:`, `pres:` and `tel:`.
    Other {
        /// As spelled.
        scheme: &'a str,
        /// Everything behind the colon.
        rest: &'a str,
    },
}

impl<'a> Uri<'a> {
    /// Parses a URI; SIP URIs in full, others for their octets only.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (scheme, rest) = split_scheme(text)?;
        if let Some(scheme) = Scheme::of(scheme) {
            return SipUri::parse_rest(scheme, rest).map(Self::Sip);
        }
        // RFC 3986 §2: printable ASCII without the delimiters that RFC 3986 leaves out.
        match text.bytes().position(|octet| !octet.is_ascii_graphic() || b"<>\"\\^`{|}".contains(&octet)) {
            Some(offset) => Err(UriError::Octet { offset }),
            None if rest.is_empty() => Err(UriError::Octet { offset: text.len() }),
            None => Ok(Self::Other { scheme, rest }),
        }
    }

    /// The scheme as spelled, in canonical lower case for `sip` and `sips`.
    pub const fn scheme(&self) -> &'a str {
        match self {
            Self::Sip(uri) => uri.scheme.as_str(),
            Self::Other { scheme, .. } => scheme,
        }
    }

    /// Whether the scheme is this one, without regard to case.
    pub fn has_scheme(&self, scheme: &str) -> bool {
        self.scheme().eq_ignore_ascii_case(scheme)
    }

    /// The SIP URI, when it is one.
    pub const fn sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other { .. } => None,
        }
    }

    /// RFC 3261 §19.1.4 for SIP URIs; others are equal when they differ in the case of the scheme at most.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        match (self, other) {
            (Self::Sip(a), Uri::Sip(b)) => a.equivalent(b),
            (Self::Other { scheme: a, rest: a_rest }, Uri::Other { scheme: b, rest: b_rest }) => {
                a.eq_ignore_ascii_case(b) && a_rest == b_rest
            }
            (Self::Sip(_), Uri::Other { .. }) | (Self::Other { .. }, Uri::Sip(_)) => false,
        }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Other { scheme, rest } => write!(f, "{scheme}:{rest}"),
        }
    }
}

/// The scheme of a URI as spelled, the rest unread; `None` for what is no URI.
pub fn scheme_of(text: &str) -> Option<&str> {
    split_scheme(text).ok().map(|(scheme, _)| scheme)
}

/// RFC 3986 §3.1: a letter, then letters, digits, `+`, `-` and `.`.
fn split_scheme(text: &str) -> Result<(&str, &str), UriError> {
    let (scheme, rest) = split_once(text, b':').ok_or(UriError::Scheme)?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'));
    if valid { Ok((scheme, rest)) } else { Err(UriError::Scheme) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: TOR-035, TOR-036
    #[test]
    fn other_schemes_are_kept_as_they_are() {
        for text in
            ["nobodyKnowsThisScheme:totallyopaquecontent", "soap.beep://192.0.2.103:3002", "im:juliet@example.com"]
        {
            let uri = Uri::parse(text).unwrap();
            assert!(uri.sip().is_none());
            assert_eq!(uri.to_string(), text);
        }
        for text in ["", "x", "1a:b", "im:", "im:a b", "<im:a@b>", "im:ä@b"] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn schemes_compare_without_case() {
        let (a, b) = (Uri::parse("IM:a@b").unwrap(), Uri::parse("im:a@b").unwrap());
        assert!(a.equivalent(&b) && a.has_scheme("im"));
        assert!(!a.equivalent(&Uri::parse("pres:a@b").unwrap()));
        assert!(!a.equivalent(&Uri::parse("sip:a@b").unwrap()));
    }
}
