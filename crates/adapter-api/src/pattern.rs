//! Sets of domains as an operator writes them.

use impp_model::Domain;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Which domains a rule or route is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `*`
    Any,
    /// `*.example.org`: every domain below, not the domain itself.
    Below(Domain),
    /// `example.org`
    Exactly(Domain),
}

/// Why text is not a [`DomainPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a domain, nor * before one, nor * alone")]
pub struct PatternError {
    /// The text.
    pub text: String,
}

impl DomainPattern {
    /// Whether `domain` is meant.
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            Self::Any => true,
            Self::Below(parent) => {
                domain.as_str().strip_suffix(parent.as_str()).is_some_and(|child| child.ends_with('.'))
            }
            Self::Exactly(other) => domain == other,
        }
    }
}

impl FromStr for DomainPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let domain = |name: &str| Domain::parse_host(name).map_err(|_| PatternError { text: text.to_owned() });
        match text.strip_prefix('*') {
            Some("") => Ok(Self::Any),
            Some(rest) => match rest.strip_prefix('.') {
                Some(parent) => domain(parent).map(Self::Below),
                None => Err(PatternError { text: text.to_owned() }),
            },
            None => domain(text).map(Self::Exactly),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Exactly(domain) => write!(f, "{domain}"),
        }
    }
}

impl Serialize for DomainPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DomainPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_labels() {
        let below: DomainPattern = "*.bad.example".parse().unwrap();
        assert!(below.matches(&Domain::parse_host("x.bad.example").unwrap()));
        assert!(!below.matches(&Domain::parse_host("bad.example").unwrap()));
        assert!(!below.matches(&Domain::parse_host("notbad.example").unwrap()));
        assert!("*bad.example".parse::<DomainPattern>().is_err());
        assert_eq!(serde_json::to_string(&below).unwrap(), r#""*.bad.example""#);
        assert_eq!(serde_json::from_str::<DomainPattern>(r#""*.bad.example""#).unwrap(), below);
        assert!("*".parse::<DomainPattern>().unwrap().matches(&Domain::parse_host("a.example").unwrap()));
    }
}
