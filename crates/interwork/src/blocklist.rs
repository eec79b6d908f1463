//! Domains that nobody here speaks with.

use adapter_api::DomainPattern;
use impp_model::Domain;
use std::collections::BTreeSet;
use std::fmt;

/// A set of domains and of everything below domains, looked up in the time of a name's labels, however long the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklist {
    exactly: BTreeSet<Domain>,
    below: BTreeSet<Box<str>>,
}

/// Lines that name no domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlocklistError {
    /// The first of them: where, counted from 1, and what stands there; no more than twenty.
    pub lines: Vec<(usize, String)>,
    /// How many there are.
    pub count: usize,
}

/// Lines that an error names: more than a person corrects without looking at the file.
const MAX_NAMED: usize = 20;
/// Characters of a line that an error shows.
const MAX_SHOWN: usize = 80;

impl std::error::Error for BlocklistError {}

impl fmt::Display for BlocklistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a domain nor *. before one:")?;
        for (number, (line, text)) in self.lines.iter().enumerate() {
            write!(f, "{} line {line} {text:?}", if number == 0 { "" } else { "," })?;
        }
        match self.count.saturating_sub(self.lines.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Blocklist {
    /// Reads a list: one domain or `*.domain` a line; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, BlocklistError> {
        let (mut list, mut wrong) = (Self::default(), BlocklistError { lines: Vec::new(), count: 0 });
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            match entry.parse() {
                _ if entry.is_empty() => {}
                Ok(DomainPattern::Exactly(domain)) => drop(list.exactly.insert(domain)),
                Ok(DomainPattern::Below(parent)) => drop(list.below.insert(parent.as_str().into())),
                // One slip of the pen must not cut off everybody.
                Ok(DomainPattern::Any) | Err(_) => {
                    wrong.count += 1;
                    if wrong.lines.len() < MAX_NAMED {
                        wrong.lines.push((index + 1, entry.chars().take(MAX_SHOWN).collect()));
                    }
                }
            }
        }
        if wrong.count == 0 { Ok(list) } else { Err(wrong) }
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
    fn wrong_lines_are_named_and_nothing_blocks_everybody() {
        let error = |text: &str| Blocklist::parse(text).unwrap_err();
        let lines = vec![(3, "b example".to_owned()), (4, "*".to_owned())];
        let two = error("a.example\n\nb example\n*\nc.example");
        assert_eq!(two, BlocklistError { lines, count: 2 });
        assert_eq!(two.to_string(), "neither a domain nor *. before one: line 3 \"b example\", line 4 \"*\"");
        let many = error(&format!("{}\n", "x".repeat(1_000)).repeat(MAX_NAMED + 3));
        assert_eq!((many.lines.len(), many.count), (MAX_NAMED, MAX_NAMED + 3));
        assert!(many.to_string().ends_with(" and 3 more") && many.to_string().len() < MAX_NAMED * 2 * MAX_SHOWN);
        let list = Blocklist::parse("A.Example\n*.b.example # why\n").unwrap();
        assert_eq!((list.len(), list.is_empty()), (2, false));
        assert!(list.contains(&"a.example".parse().unwrap()) && list.contains(&"x.b.example".parse().unwrap()));
        assert!(!list.contains(&"b.example".parse().unwrap()) && !list.contains(&"example".parse().unwrap()));
    }
}
