//! Domains that nobody here speaks with.

use adapter_api::DomainPattern;
use impp_model::Domain;
use std::collections::BTreeSet;

/// A set of domains and of everything below domains, looked up in the time of a name's labels, however long the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklist {
    exactly: BTreeSet<Domain>,
    below: BTreeSet<Box<str>>,
}

/// A line that names no domains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is neither a domain nor *. before one")]
pub struct BlocklistError {
    /// Counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl Blocklist {
    /// Reads a list: one domain or `*.domain` a line; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, BlocklistError> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            match entry.parse() {
                _ if entry.is_empty() => {}
                Ok(DomainPattern::Exactly(domain)) => drop(list.exactly.insert(domain)),
                Ok(DomainPattern::Below(parent)) => drop(list.below.insert(parent.as_str().into())),
                // One slip of the pen must not cut off everybody.
                Ok(DomainPattern::Any) | Err(_) => {
                    return Err(BlocklistError { line: index + 1, text: entry.to_owned() });
                }
            }
        }
        Ok(list)
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        self.exactly.extend(other.exactly);
        self.below.extend(other.below);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.exactly.len() + self.below.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.exactly.is_empty() && self.below.is_empty()
    }

    /// Whether a domain is on the list.
    pub fn contains(&self, domain: &Domain) -> bool {
        if self.exactly.contains(domain) {
            return true;
        }
        let mut rest = domain.as_str();
        while !self.below.is_empty()
            && let Some((_, parent)) = rest.split_once('.')
        {
            if self.below.contains(parent) {
                return true;
            }
            rest = parent;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_named_and_nothing_blocks_everybody() {
        let error = |text| Blocklist::parse(text).unwrap_err();
        assert_eq!(error("a.example\n\nb example"), BlocklistError { line: 3, text: "b example".into() });
        assert_eq!(error("*").line, 1);
        let list = Blocklist::parse("A.Example\n*.b.example # why\n").unwrap();
        assert_eq!((list.len(), list.is_empty()), (2, false));
        assert!(list.contains(&"a.example".parse().unwrap()) && list.contains(&"x.b.example".parse().unwrap()));
        assert!(!list.contains(&"b.example".parse().unwrap()) && !list.contains(&"example".parse().unwrap()));
    }
}
