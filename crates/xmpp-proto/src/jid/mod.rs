//! XMPP addresses (RFC 7622) and the escaping of their localparts (XEP-0106).

mod domain; // RFC 7622 §3.2
mod domainpart;
mod escape;
mod parts;

pub use domain::Domain;
pub use escape::{EdgeSpace, escape, unescape};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use strict_xml::SharedStr;

/// An XMPP address in canonical form: `local@domain/resource`, where local and resource may be absent.
///
/// Parts are enforced when the value is made, so that equal addresses are equal values. The localpart is kept
/// escaped, as it stands on the wire; [`unescape`] gives what it means. A clone shares the text.
///
/// `Display` writes the whole address. It is a person's address: never log it above DEBUG.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: Arc<str>,
    /// Octets of the localpart; 0 when there is none.
    local: u16,
    /// Octets of the domainpart.
    domain: u16,
}

/// Why text is not an XMPP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JidError {
    /// RFC 7622 §3.3.
    #[error("localpart: {0}")]
    Local(PartError),
    /// RFC 7622 §3.2.
    #[error("domainpart: {0}")]
    Domain(PartError),
    /// RFC 7622 §3.4.
    #[error("resourcepart: {0}")]
    Resource(PartError),
}

/// What is wrong with one part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// A part that is there must not be empty.
    #[error("empty")]
    Empty,
    /// RFC 7622 §3.1: counted in octets of the canonical form.
    #[error("longer than {limit} octets")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A character that this part may not hold, or not at this place.
    #[error("character {found:?} is not allowed here")]
    Character {
        /// The character.
        found: char,
    },
    /// RFC 5893 §2: right-to-left text mixed in a way that displays ambiguously.
    #[error("breaks the rule for right-to-left text")]
    Bidi,
    /// RFC 8264 §7: text without a canonical form.
    #[error("has no stable form")]
    Unstable,
    /// RFC 5890 §2.3.2: a label that is no host name, A-label or U-label.
    #[error("not a domain name")]
    Label,
}

/// RFC 7622 §3.1: octets of each part.
pub const MAX_PART_LEN: usize = 1023;

impl Jid {
    /// Parses and enforces an address.
    // RFC 7622 §3.2: the resource is cut at the first slash, then the local part at the first @ before it.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        match bare.split_once('@') {
            Some((local, domain)) => Self::from_parts(Some(local), domain, resource),
            None => Self::from_parts(None, bare, resource),
        }
    }

    /// Makes an address from its parts, the localpart in escaped form.
    pub fn from_parts(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, JidError> {
        let local = local.map(parts::enforce_local).transpose().map_err(JidError::Local)?;
        let domain = domainpart::enforce(domain).map_err(JidError::Domain)?;
        let resource = resource.map(parts::enforce_resource).transpose().map_err(JidError::Resource)?;
        Ok(Self::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Joins canonical parts.
    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let length = |part: Option<&str>| part.map_or(0, |p| p.len() + 1);
        let mut text = String::with_capacity(length(local) + domain.len() + length(resource));
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Self { text: text.into(), local: octets(local.unwrap_or_default()), domain: octets(domain) }
    }

    /// The whole address, as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same for a stanza, without a copy.
    pub fn shared(&self) -> SharedStr {
        Arc::clone(&self.text).into()
    }

    /// The localpart, escaped as on the wire.
    pub fn local(&self) -> Option<&str> {
        match usize::from(self.local) {
            0 => None,
            end => self.text.get(..end),
        }
    }

    /// The domainpart with U-labels.
    pub fn domain(&self) -> &str {
        let start = self.domain_start();
        self.text.get(start..start + usize::from(self.domain)).unwrap_or_default()
    }

    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.bare_len() + 1..)
    }

    /// The address without its resource, as text.
    pub fn bare(&self) -> &str {
        self.text.get(..self.bare_len()).unwrap_or_default()
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.text.len() == self.bare_len()
    }

    /// Whether this is a domain alone.
    pub fn is_domain(&self) -> bool {
        self.local == 0 && self.is_bare()
    }

    /// The address without its resource.
    #[must_use]
    pub fn to_bare(&self) -> Self {
        if self.is_bare() { self.clone() } else { Self { text: self.bare().into(), ..*self } }
    }

    /// The same address with this resource in place of its own.
    pub fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        let resource = parts::enforce_resource(resource).map_err(JidError::Resource)?;
        Ok(Self::join(self.local(), self.domain(), Some(&resource)))
    }

    fn domain_start(&self) -> usize {
        match usize::from(self.local) {
            0 => 0,
            local => local + 1,
        }
    }

    fn bare_len(&self) -> usize {
        self.domain_start() + usize::from(self.domain)
    }
}

/// The length of an enforced part.
fn octets(part: &str) -> u16 {
    u16::try_from(part.len()).expect("an enforced part has at most 1023 octets")
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({})", self.text)
    }
}

impl FromStr for Jid {
    type Err = JidError;

    /// The same as [`Jid::parse`].
    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
