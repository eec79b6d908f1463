//! A domain alone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::{JidError, domainpart};

/// A domain in its canonical form (RFC 7622 §3.2): lower case, U-labels, no trailing dot. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Enforces a domain, written in A-labels or U-labels.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        domainpart::enforce(text).map(|domain| Self(domain.into())).map_err(JidError::Domain)
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain of an address, as written there.
    // RFC 7622 §3.2: what stands before the first slash and, within that, behind the first @.
    pub fn part_of(address: &str) -> &str {
        let bare = address.split_once('/').map_or(address, |(bare, _)| bare);
        bare.split_once('@').map_or(bare, |(_, domain)| domain)
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7622_s3_2_domains_have_one_form() {
        for text in ["xn--strae-oqa.de", "straße.de", "Straße.DE."] {
            assert_eq!(Domain::parse(text).unwrap().as_str(), "straße.de");
        }
        assert!(Domain::parse("").is_err() && Domain::parse("a b").is_err());
    }

    #[test]
    fn rfc7622_s3_2_the_domain_of_an_address() {
        for (address, domain) in
            [("a@b/c@d", "b"), ("b/c@d", "b"), ("a@b@c", "b@c"), ("b", "b"), ("a@", ""), ("/a@b", "")]
        {
            assert_eq!(Domain::part_of(address), domain, "{address}");
        }
    }
}
