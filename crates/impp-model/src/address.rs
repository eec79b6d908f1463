//! The neutral address of an INSTANT INBOX or a PRESENTITY, and of one device of its principal.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::{Domain, DomainError};
use crate::uri::{ImppUri, Scheme, UriError, write_local};

/// Who an INSTANT INBOX or PRESENTITY is: `local@domain`, the same in every protocol.
///
/// The local part is decoded Unicode text, never percent-encoded or XEP-0106-escaped, and is compared exactly: a
/// protocol that folds case does so before it makes an `Address`.
///
/// `Display` writes the whole address. It is a person's address: never log it above DEBUG.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    domain: Domain,
    local: Arc<str>,
}

/// Why text is not an [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No `@` between a local part and a domain.
    #[error("no @ in the address")]
    NoAt,
    /// The part before the `@`.
    #[error("local part: {0}")]
    Local(TextError),
    /// The part after the `@`.
    #[error("domain: {0}")]
    Domain(DomainError),
}

/// Why text may not stand in an address, as local part or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Nothing there.
    #[error("empty")]
    Empty,
    /// A control character, such as NUL or a line break.
    #[error("control character at octet {at}")]
    Control {
        /// Octets before it.
        at: usize,
    },
    /// A local limit, equal to that of RFC 7622 §3.3.
    #[error("longer than {limit} octets")]
    TooLong {
        /// The limit in octets.
        limit: usize,
    },
}

/// RFC 7622 §3.3, §3.4: octets of a localpart or resourcepart; no protocol here needs more.
pub const MAX_PART_LEN: usize = 1023;

impl Address {
    /// Makes an address from decoded parts.
    pub fn new(local: &str, domain: Domain) -> Result<Self, TextError> {
        check_text(local)?;
        Ok(Self { domain, local: local.into() })
    }

    /// Parses `local@domain` in plain text, the inverse of `Display`; the last `@` is the one that divides.
    ///
    /// The domain may be any host of [`Domain::parse_host`].
    pub fn parse_bare(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        let domain = Domain::parse_host(domain).map_err(AddressError::Domain)?;
        Self::new(local, domain).map_err(AddressError::Local)
    }

    /// The INSTANT INBOX that an `im:` URI names; its headers are dropped.
    pub fn from_im_uri(uri: &str) -> Result<Self, UriError> {
        Self::from_uri(uri, Scheme::Im)
    }

    /// The PRESENTITY that a `pres:` URI names; its headers are dropped.
    pub fn from_pres_uri(uri: &str) -> Result<Self, UriError> {
        Self::from_uri(uri, Scheme::Pres)
    }

    fn from_uri(text: &str, scheme: Scheme) -> Result<Self, UriError> {
        let uri = ImppUri::parse(text)?;
        if uri.scheme() != scheme {
            return Err(UriError::Scheme);
        }
        // RFC 3860 §3.4.1: a URI without address names no inbox.
        uri.into_address().ok_or(UriError::Mailbox { at: text.len() })
    }

    /// The local part, decoded.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The same local part in another domain.
    #[must_use]
    pub fn with_domain(&self, domain: Domain) -> Self {
        Self { domain, local: self.local.clone() }
    }

    /// The `im:` URI of this inbox.
    ///
    /// A local part that is neither dot-atom nor quoted string is percent-encoded all the same; only
    /// [`ImppUri::parse_opaque`] reads such a URI back.
    pub fn to_im_uri(&self) -> String {
        self.to_uri(Scheme::Im)
    }

    /// The `pres:` URI of this presentity; see [`to_im_uri`](Self::to_im_uri).
    pub fn to_pres_uri(&self) -> String {
        self.to_uri(Scheme::Pres)
    }

    /// The URI of this address in `scheme`.
    pub fn to_uri(&self, scheme: Scheme) -> String {
        let mut uri = String::with_capacity(self.local.len() + self.domain.as_str().len() + 6);
        uri.push_str(scheme.as_str());
        uri.push(':');
        write_local(&self.local, &mut uri);
        uri.push('@');
        uri.push_str(self.domain.as_str());
        uri
    }
}

fn check_text(text: &str) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.len() > MAX_PART_LEN {
        return Err(TextError::TooLong { limit: MAX_PART_LEN });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(TextError::Control { at }),
        None => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// The same as [`Address::parse_bare`].
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_bare(text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_bare(&text).map_err(serde::de::Error::custom)
    }
}

/// One device of a principal: an XMPP resource, a SIP `gr` value; opaque to the hub.
///
/// It names a place of a person: never log it above DEBUG.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device(Arc<str>);

impl Device {
    /// Makes a device from decoded text of 1 to [`MAX_PART_LEN`] octets without control characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        check_text(text)?;
        Ok(Self(text.into()))
    }

    /// The decoded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> Address {
        Address::parse_bare(text).unwrap()
    }

    #[test]
    fn bare_text_is_divided_at_the_last_at() {
        let address = bare("\"a@b\"@Example.com");
        assert_eq!((address.local(), address.domain().as_str()), ("\"a@b\"", "example.com"));
        assert_eq!(bare(&address.to_string()), address);
    }

    #[test]
    fn malformed_bare_text_is_refused() {
        let refused = |text| Address::parse_bare(text).unwrap_err();
        assert_eq!(refused("example.com"), AddressError::NoAt);
        assert_eq!(refused("@example.com"), AddressError::Local(TextError::Empty));
        assert_eq!(refused("a\r\nb@example.com"), AddressError::Local(TextError::Control { at: 1 }));
        assert_eq!(refused("a@"), AddressError::Domain(DomainError::Empty));
        let long = format!("{}@example.com", "a".repeat(MAX_PART_LEN + 1));
        assert_eq!(refused(&long), AddressError::Local(TextError::TooLong { limit: MAX_PART_LEN }));
    }

    // checks: ADR-022, AMB-03
    #[test]
    fn rfc7247_s6_5_local_parts_are_percent_encoded() {
        assert_eq!(bare("a(b),c;d[e]@example.net").to_im_uri(), "im:a%28b%29%2Cc%3Bd%5Be%5D@example.net");
        assert_eq!(bare("a.b#%?^`{|}/'&@example.net").to_pres_uri(), "pres:a.b%23%25%3F%5E%60%7B%7C%7D/'&@example.net");
    }

    // checks: URI-02, IM-01, REQ-2.1.2, REQ-2.1.3, INV-08
    #[test]
    fn rfc3860_s3_4_1_a_uri_without_address_is_no_inbox() {
        assert_eq!(Address::from_im_uri("im:"), Err(UriError::Mailbox { at: 3 }));
        assert_eq!(Address::from_im_uri("pres:fred@example.com"), Err(UriError::Scheme));
        assert_eq!(Address::from_pres_uri("pres:fred@example.com").unwrap(), bare("fred@example.com"));
    }

    #[test]
    fn an_address_is_one_string_in_json() {
        let address = bare("o'malley@example.com");
        let json = serde_json::to_string(&address).unwrap();
        assert_eq!(json, "\"o'malley@example.com\"");
        assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        assert!(serde_json::from_str::<Address>("\"nobody\"").is_err());
    }

    #[test]
    fn a_device_is_opaque_but_never_control_text() {
        assert_eq!(Device::new("a/b c").unwrap().as_str(), "a/b c");
        assert_eq!(Device::new(""), Err(TextError::Empty));
        assert_eq!(Device::new("a\u{0}"), Err(TextError::Control { at: 1 }));
    }
}
