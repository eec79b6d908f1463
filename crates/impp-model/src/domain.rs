//! Domain names of addresses, in one canonical form.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The domain of an address: lower-case ASCII, A-labels, no trailing dot.
///
/// Two spellings of one domain are equal values; a clone shares the text. [`parse`](Self::parse) gives a fully
/// qualified name, as `im:` and `pres:` demand; [`parse_host`](Self::parse_host) also single labels and IP literals,
/// which SIP URIs and JIDs allow.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// Why text is not a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// No character at all, or only a dot.
    #[error("empty domain")]
    Empty,
    /// RFC 1035 §2.3.4: the name or one label of it.
    #[error("domain or label too long")]
    TooLong,
    /// Something other than letters, digits and inner hyphens in a label.
    #[error("label {index} is empty or holds a character no host name has")]
    Label {
        /// Which label, counted from 0 at the left.
        index: usize,
    },
    /// RFC 5891 §4: an A-label or U-label that IDNA refuses.
    #[error("not a valid internationalized domain name")]
    Idna,
    /// RFC 3861 §3: a single label, where a fully qualified name is needed.
    #[error("domain is not fully qualified")]
    NotFullyQualified,
    /// RFC 3861 §3: an IP address, where a name is needed.
    #[error("IP address in place of a domain name")]
    IpLiteral,
}

impl Domain {
    /// Parses a fully qualified domain name in ASCII or Unicode, dropping one trailing dot.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let domain = Self::parse_host(text)?;
        if domain.ip().is_some() {
            // RFC 3861 §3: only names can be looked up.
            return Err(DomainError::IpLiteral);
        }
        if domain.is_fqdn() { Ok(domain) } else { Err(DomainError::NotFullyQualified) }
    }

    /// Parses what may stand as host of a SIP URI or as domainpart of a JID.
    ///
    /// Besides fully qualified names these are single labels, IPv4 addresses and IPv6 addresses in brackets.
    pub fn parse_host(text: &str) -> Result<Self, DomainError> {
        if is_canonical(text) {
            return Ok(Self(text.into()));
        }
        if let Some(address) = parse_literal(text) {
            return Ok(Self(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if is_plain_ascii(name) {
            check_labels(name)?;
            return Ok(Self(lower_case(name).into()));
        }
        // RFC 5891 §4.4: U-labels to A-labels, by UTS 46 without the transitional mappings.
        let ascii = Uts46::new()
            .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
            .map_err(|_| DomainError::Idna)?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_labels(ascii)?;
        let domain = Self(ascii.into());
        // RFC 5891 §4.2: what an A-label stands for is no A-label itself, which would not read back as the same name.
        if domain.to_unicode().split('.').any(|label| !label.is_ascii() && label.starts_with(ACE_PREFIX)) {
            return Err(DomainError::Idna);
        }
        Ok(domain)
    }

    /// The canonical text: A-labels in lower case, an IPv6 address in brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with U-labels, as a JID carries it (RFC 7622 §3.2.1) and as people read it.
    pub fn to_unicode(&self) -> Cow<'_, str> {
        if !self.0.split('.').any(|label| label.starts_with(ACE_PREFIX)) {
            return Cow::Borrowed(&self.0);
        }
        let (unicode, _) = Uts46::new().to_unicode(self.0.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        unicode
    }

    /// The address, if this is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        if let Some(inner) = bracketed(&self.0) {
            return Ipv6Addr::from_str(inner).ok().map(IpAddr::V6);
        }
        Ipv4Addr::from_str(&self.0).ok().map(IpAddr::V4)
    }

    /// Whether this is a name of at least two labels.
    pub fn is_fqdn(&self) -> bool {
        self.0.contains('.') && self.ip().is_none()
    }

    /// Whether this name lies below `parent`; a domain is not below itself.
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(&*parent.0).is_some_and(|rest| rest.ends_with('.'))
    }
}

/// RFC 5890 §2.3.2.1: what an A-label begins with.
const ACE_PREFIX: &str = "xn--";

/// RFC 1035 §2.3.4: 255 octets on the wire leave 253 characters of text.
const MAX_NAME_LEN: usize = 253;

/// RFC 1035 §2.3.4.
const MAX_LABEL_LEN: usize = 63;

fn parse_literal(text: &str) -> Option<String> {
    if let Some(inner) = bracketed(text) {
        return Ipv6Addr::from_str(inner).ok().map(|address| format!("[{address}]"));
    }
    Ipv4Addr::from_str(text).ok().map(|address| address.to_string())
}

fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// Whether text is a host name as it is kept, seen in one pass over it: lower case, no A-label, and a letter in the last
/// label, which no address has. Of other text this says nothing.
fn is_canonical(text: &str) -> bool {
    let (mut length, mut has_letter, mut before) = (0, false, b'.');
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' => has_letter = true,
            b'0'..=b'9' => {}
            // The third and the fourth character are those of an A-label's mark.
            b'-' if length > 0 && !(length == 3 && before == b'-') => has_letter = true,
            b'.' if length > 0 && before != b'-' => (length, has_letter) = (0, false),
            _ => return false,
        }
        length += usize::from(octet != b'.');
        if length > MAX_LABEL_LEN {
            return false;
        }
        before = octet;
    }
    length > 0 && has_letter && before != b'-' && text.len() <= MAX_NAME_LEN
}

/// Whether IDNA has nothing to do: ASCII without an A-label.
fn is_plain_ascii(name: &str) -> bool {
    name.is_ascii() && !name.split('.').any(|label| label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(ACE_PREFIX)))
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn check_labels(name: &str) -> Result<(), DomainError> {
    if name.is_empty() {
        return Err(DomainError::Empty);
    }
    if name.len() > MAX_NAME_LEN || name.split('.').any(|label| label.len() > MAX_LABEL_LEN) {
        return Err(DomainError::TooLong);
    }
    if let Some(index) = name.split('.').position(|label| !is_ldh(label)) {
        return Err(DomainError::Label { index });
    }
    // RFC 1123 §2.1: an all-numeric last label would be taken for an IP address.
    match name.rsplit('.').next() {
        Some(last) if last.bytes().all(|b| b.is_ascii_digit()) => {
            Err(DomainError::Label { index: name.split('.').count() - 1 })
        }
        _ => Ok(()),
    }
}

fn is_ldh(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Domain {
    /// Compares with canonical text; text in another spelling is never equal.
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    /// The same as [`Domain::parse_host`].
    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse_host(text)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_host(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, DomainError> {
        Domain::parse(text).map(|d| d.to_string())
    }

    // checks: URI-05
    #[test]
    fn upper_case_and_trailing_dot_are_folded() {
        assert_eq!(parse("EXAMPLE.Com."), Ok("example.com".into()));
        assert_eq!(Domain::parse("example.com"), Domain::parse("Example.COM"));
    }

    // checks: ADR-030, ADR-031
    #[test]
    fn rfc5891_s4_4_unicode_becomes_a_labels_and_back() {
        let domain = Domain::parse("Bücher.example").unwrap();
        assert_eq!(domain.as_str(), "xn--bcher-kva.example");
        assert_eq!(domain.to_unicode(), "bücher.example");
        assert_eq!(domain, Domain::parse("XN--BCHER-KVA.example").unwrap());
    }

    // checks: ADR-032, URI-05
    #[test]
    fn what_is_canonical_already_is_judged_as_what_is_not() {
        let (label, name) = ("a".repeat(63), format!("{}.a", ["a".repeat(63).as_str(); 4].join(".")));
        let texts = "a a.b a-b.c1 1a.2b a.12-3 a.1 1.2.3 1.2.3.4 a. .a . a..b -a.b a-.b a.b- a.-b xn--bcher-kva.example ab--c.d \
                     a.xn--a a--b.c a_b.c a---b.c ---- a.b:1";
        for text in texts.split_whitespace().chain([label.as_str(), &format!("{label}a.b"), &name]) {
            assert_eq!(Domain::parse_host(text), Domain::parse_host(&text.to_ascii_uppercase()), "{text}");
        }
    }

    // checks: ADR-031
    #[test]
    fn idna2008_keeps_sharp_s_apart() {
        assert_eq!(parse("straße.de"), Ok("xn--strae-oqa.de".into()));
    }

    // checks: URI-04
    #[test]
    fn rfc3861_s3_only_fully_qualified_names() {
        assert_eq!(parse("localhost"), Err(DomainError::NotFullyQualified));
        assert_eq!(parse("192.0.2.1"), Err(DomainError::IpLiteral));
        assert_eq!(parse("[2001:db8::1]"), Err(DomainError::IpLiteral));
    }

    // checks: ADR-032
    #[test]
    fn hosts_may_be_literals_or_single_labels() {
        assert_eq!(Domain::parse_host("[2001:DB8:0::1]").unwrap().as_str(), "[2001:db8::1]");
        assert_eq!(Domain::parse_host("192.0.2.1").unwrap().ip(), Some("192.0.2.1".parse().unwrap()));
        assert!(!Domain::parse_host("LocalHost").unwrap().is_fqdn());
    }

    #[test]
    fn malformed_names_are_refused() {
        assert_eq!(parse(""), Err(DomainError::Empty));
        assert_eq!(parse("."), Err(DomainError::Empty));
        for (text, index) in [
            ("exa_mple.com", 0),
            ("-bad.example", 0),
            ("a.bad-.example", 1),
            ("a..b", 1),
            ("a.b:5060", 1),
            ("1.2.3", 2),
        ] {
            assert_eq!(parse(text), Err(DomainError::Label { index }), "{text}");
        }
        assert_eq!(parse("xn--a.example"), Err(DomainError::Idna));
        assert_eq!(parse("xn--xn--bchtr-kvvebchtr-kvve.example"), Err(DomainError::Idna));
        assert_eq!(parse("a\u{0}b.example"), Err(DomainError::Label { index: 0 }));
        assert_eq!(parse("ü b.example"), Err(DomainError::Idna));
    }

    #[test]
    fn rfc1035_s2_3_4_lengths_are_limited() {
        let label = "a".repeat(63);
        assert!(parse(&format!("{label}.example")).is_ok());
        assert_eq!(parse(&format!("{label}a.example")), Err(DomainError::TooLong));
        let name = [label.as_str(); 4].join(".");
        assert_eq!(parse(&name), Err(DomainError::TooLong));
    }

    #[test]
    fn a_subdomain_lies_below_its_parent_only() {
        let parent = Domain::parse("example.com").unwrap();
        assert!(Domain::parse("a.example.com").unwrap().is_below(&parent));
        assert!(!Domain::parse("badexample.com").unwrap().is_below(&parent));
        assert!(!parent.is_below(&parent));
    }
}
