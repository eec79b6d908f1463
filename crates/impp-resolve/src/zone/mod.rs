mod lex;
mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use crate::dns::{Answer, Dns, DnsError, Name, Record, RecordType};

/// Records in memory that answer queries like an authoritative server, made from a master file (RFC 1035 §5).
///
/// Besides SRV, A, AAAA, NAPTR and CNAME the types in common use are read over. Wildcards answer by RFC 4592.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    records: BTreeMap<Name, Vec<Entry>>,
    /// Every ancestor of an owner: names that exist without records (RFC 4592 §2.2.2).
    parents: BTreeSet<Name>,
}

#[derive(Debug, Clone)]
struct Entry {
    record: Record,
    ttl: Duration,
}

/// Where and why a master file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ZoneError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: ZoneProblem,
}

/// What is wrong in a master file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneProblem {
    /// A quote or parenthesis without its partner.
    #[error("{0} without its partner")]
    Unbalanced(char),
    /// A backslash at the end, or before a number that is no octet.
    #[error("bad escape")]
    Escape,
    /// The first record has no owner.
    #[error("no owner before this record")]
    NoOwner,
    /// A directive other than `$ORIGIN` and `$TTL`.
    #[error("directive {0} is not supported")]
    Directive(String),
    /// No such type of record.
    #[error("unknown record type {0:?}")]
    Type(String),
    /// The line ends too early.
    #[error("{0} missing")]
    Missing(&'static str),
    /// A field that cannot be read.
    #[error("{field} cannot be {found:?}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What stands there.
        found: String,
    },
    /// More fields than the type has.
    #[error("unexpected {0:?} after the record")]
    Trailing(String),
    /// A CNAME with other records at the same name (RFC 1034 §3.6.2).
    #[error("CNAME and other data at {0}")]
    CnameAndOther(Name),
}

impl Zone {
    /// A zone without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a master file. Names are relative to the root until `$ORIGIN` says otherwise.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        parse::parse(text)
    }

    /// Adds a record.
    pub fn insert(&mut self, owner: Name, ttl: Duration, record: Record) {
        let mut parent = owner.parent();
        while let Some(name) = parent {
            parent = name.parent();
            self.parents.insert(name);
        }
        self.records.entry(owner).or_default().push(Entry { record, ttl });
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Answers at once what [`Dns::query`] answers.
    pub fn answer(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        let Some(entries) = self.records.get(name).or_else(|| self.wildcard(name)) else {
            let exists = self.parents.contains(name);
            return Err(if exists { DnsError::NoRecords { ttl: None } } else { DnsError::NxDomain { ttl: None } });
        };
        let of_type = |wanted: RecordType| entries.iter().filter(move |e| e.record.record_type() == wanted);
        let wanted = if of_type(record_type).next().is_some() { record_type } else { RecordType::Cname };
        let records: Vec<Record> = of_type(wanted).map(|entry| entry.record.clone()).collect();
        match of_type(wanted).map(|entry| entry.ttl).min() {
            Some(ttl) => Ok(Answer { records, ttl }),
            None => Err(DnsError::NoRecords { ttl: None }),
        }
    }

    /// RFC 4592 §3.3.1: the asterisk below the closest name that exists.
    fn wildcard(&self, name: &Name) -> Option<&Vec<Entry>> {
        if self.parents.contains(name) {
            return None;
        }
        let mut ancestor = name.parent()?;
        while !self.parents.contains(&ancestor) && !self.records.contains_key(&ancestor) {
            ancestor = ancestor.parent()?;
        }
        self.records.get(&ancestor.below("*"))
    }

    /// The first name with a CNAME and something else.
    fn cname_conflict(&self) -> Option<&Name> {
        let is_cname = |entry: &Entry| entry.record.record_type() == RecordType::Cname;
        self.records.iter().find(|(_, e)| e.len() > 1 && e.iter().any(is_cname)).map(|(name, _)| name)
    }
}

#[async_trait]
impl Dns for Zone {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        self.answer(name, record_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn zone() -> Zone {
        Zone::parse("$ORIGIN example.com.\n@ 60 A 192.0.2.1\n@ 30 A 192.0.2.2\nwww CNAME @\n*.w A 192.0.2.3\nx.w TXT t\ny.x.w A 192.0.2.4\n")
            .unwrap()
    }

    #[test]
    fn the_shortest_life_of_a_set_holds_for_all_of_it() {
        let answer = zone().answer(&name("example.com"), RecordType::A).unwrap();
        assert_eq!((answer.records.len(), answer.ttl), (2, Duration::from_secs(30)));
    }

    #[test]
    fn rfc1034_s3_6_2_an_alias_answers_for_every_type() {
        let answer = zone().answer(&name("www.example.com"), RecordType::Aaaa).unwrap();
        assert_eq!(answer.records, [Record::Cname(name("example.com"))]);
    }

    #[test]
    fn missing_names_and_missing_types_are_told_apart() {
        let missing = |text| zone().answer(&name(text), RecordType::Srv).unwrap_err();
        assert_eq!(missing("example.com"), DnsError::NoRecords { ttl: None });
        assert_eq!(missing("com"), DnsError::NoRecords { ttl: None });
        assert_eq!(missing("nobody.example.com"), DnsError::NxDomain { ttl: None });
    }

    #[test]
    fn rfc4592_s3_3_1_a_wildcard_stands_for_names_that_do_not_exist() {
        let has = |text| zone().answer(&name(text), RecordType::A).is_ok();
        assert!(has("a.w.example.com") && has("a.b.w.example.com"));
        assert!(!has("x.w.example.com") && !has("z.x.w.example.com") && !has("w.example.com"));
    }
}
