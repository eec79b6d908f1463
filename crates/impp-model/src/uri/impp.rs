use std::borrow::Cow;
use std::fmt;

use super::UriError;
use super::percent::{check_chars, decode_part, is_uric, percent_encode};
use crate::address::Address;
use crate::domain::{Domain, DomainError};

/// The two neutral URI schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// RFC 3860: an INSTANT INBOX.
    Im,
    /// RFC 3859: a PRESENTITY.
    Pres,
}

impl Scheme {
    /// The scheme's name in lower case, without colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Im => "im",
            Self::Pres => "pres",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An `im:` or `pres:` URI by RFC 3860 §A.2 and RFC 3859 §A.2, restricted to `local@domain` with a full domain name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImppUri {
    scheme: Scheme,
    address: Option<Address>,
    headers: Vec<(String, String)>,
}

impl ImppUri {
    /// Parses a URI whose local part is a dot-atom or a quoted string.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        Self::parse_with(text, is_mailbox_local)
    }

    /// Parses like [`parse`](Self::parse), but takes any percent-encoded text for the local part.
    ///
    /// This is the other reading of RFC 3860 §A.3. It is for URIs written by [`Address::to_im_uri`] only.
    pub fn parse_opaque(text: &str) -> Result<Self, UriError> {
        Self::parse_with(text, |_| true)
    }

    fn parse_with(text: &str, is_local: fn(&str) -> bool) -> Result<Self, UriError> {
        let (scheme, rest) = split_scheme(text).ok_or(UriError::Scheme)?;
        let start = text.len() - rest.len();
        check_chars(text, start, is_uric)?;
        let (to, headers) = match rest.split_once('?') {
            Some((to, headers)) => (to, parse_headers(headers, start + to.len() + 1)?),
            None => (rest, Vec::new()),
        };
        // RFC 3860 §A.2: the address may be missing; such a URI is valid and names no inbox.
        let address = if to.is_empty() { None } else { Some(parse_mailbox(to, start, is_local)?) };
        Ok(Self { scheme, address, headers })
    }

    /// Which of the two schemes.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The address, without which no operation can go to this URI.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// The address, by value.
    pub fn into_address(self) -> Option<Address> {
        self.address
    }

    /// Names and values after the `?`, decoded; never to be copied into a message unasked (RFC 2368 §4).
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The key under which identities are compared: the URI in one spelling without headers.
    pub fn canonical(&self) -> Option<String> {
        self.address.as_ref().map(|address| address.to_uri(self.scheme))
    }

    /// Whether both are the same URI by RFC 3986 §6.2.2, headers included.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.address == other.address
            && self.headers.len() == other.headers.len()
            && self.headers.iter().zip(&other.headers).all(|(a, b)| a.0.eq_ignore_ascii_case(&b.0) && a.1 == b.1)
    }
}

/// Writes a local part into a URI.
///
/// RFC 7247 §6.5 contradicts RFC 3986 here: all but unreserved characters and harmless delimiters is encoded, dots stay.
pub(crate) fn write_local(local: &str, out: &mut String) {
    percent_encode(local, |b| b.is_ascii_alphanumeric() || b"-._~!$&'*+=/".contains(&b), out);
}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    let (name, rest) = text.split_once(':')?;
    let scheme = [Scheme::Im, Scheme::Pres].into_iter().find(|s| name.eq_ignore_ascii_case(s.as_str()))?;
    Some((scheme, rest))
}

fn parse_headers(text: &str, start: usize) -> Result<Vec<(String, String)>, UriError> {
    let mut at = start;
    let mut headers = Vec::new();
    for header in text.split('&') {
        let (name, value) = header.split_once('=').ok_or(UriError::Header { at })?;
        headers.push((decode_part(name, at)?.into_owned(), decode_part(value, at)?.into_owned()));
        at += header.len() + 1;
    }
    Ok(headers)
}

fn parse_mailbox(to: &str, start: usize, is_local: fn(&str) -> bool) -> Result<Address, UriError> {
    let (local, domain) = to.split_once('@').ok_or(UriError::Mailbox { at: start + to.len() })?;
    let domain_at = start + local.len() + 1;
    // RFC 3922 §3.3 splits at the first "@"; with a second one the domain is no domain in either reading.
    if let Some(second) = domain.find('@') {
        return Err(UriError::Mailbox { at: domain_at + second });
    }
    let local = decode_part(local, start)?;
    if !is_local(&local) {
        return Err(UriError::Local { at: start });
    }
    let domain =
        parse_domain(&decode_part(domain, domain_at)?).map_err(|cause| UriError::Domain { at: domain_at, cause })?;
    Address::new(&local, domain).map_err(|cause| UriError::of_local(cause, start))
}

fn parse_domain(text: &str) -> Result<Domain, DomainError> {
    // RFC 2822 §3.4.1: a domain is a dot-atom here: ASCII, no trailing dot.
    if text.is_ascii() && !text.ends_with('.') {
        return Domain::parse(text);
    }
    Err(if text.is_ascii() { DomainError::Label { index: text.split('.').count() - 1 } } else { DomainError::Idna })
}

/// RFC 2822 §3.4.1 with UTF-8 as atom text: what a local part may be after decoding.
fn is_mailbox_local(local: &str) -> bool {
    match local.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted_text),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char)),
    }
}

fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// Whether no quote stands unescaped and no backslash last between the quotes.
fn is_quoted_text(inner: &str) -> bool {
    let mut chars: Cow<'_, str> = Cow::Borrowed(inner);
    if inner.contains('\\') {
        chars = Cow::Owned(inner.replace("\\\\", "").replace("\\\"", ""));
    }
    !chars.contains('"') && !chars.ends_with('\\')
}
