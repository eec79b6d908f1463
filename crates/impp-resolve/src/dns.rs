use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use impp_model::Domain;
use serde::{Serialize, Serializer};

/// Answers queries, as a stub resolver does.
#[async_trait]
pub trait Dns: Send + Sync {
    /// Looks up one name and type.
    ///
    /// The answer may hold other types than the one asked for; of these only a CNAME is looked at, and only if the
    /// type asked for is missing. A name too long to exist is [`DnsError::NxDomain`].
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError>;
}

/// The records of an answer, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The records in the order in which they came.
    pub records: Vec<Record>,
    /// How long the whole answer may be kept.
    pub ttl: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name exists, but not with this type.
    #[error("no such records")]
    NoRecords {
        /// How long this may be believed (RFC 2308 §5), if the answer said.
        ttl: Option<Duration>,
    },
    /// The name does not exist.
    #[error("no such name")]
    NxDomain {
        /// How long this may be believed (RFC 2308 §5), if the answer said.
        ttl: Option<Duration>,
    },
    /// Whether there are records is not known.
    #[error("DNS failure: {0}")]
    Failure(DnsFailure),
}

/// Why it is not known whether there are records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DnsFailure {
    /// Response code 2: the server could not find out.
    #[error("server failure")]
    ServFail,
    /// Response code 5.
    #[error("refused")]
    Refused,
    /// No server answered in time.
    #[error("timeout")]
    Timeout,
    /// No server could be asked.
    #[error("network error")]
    Network,
    /// An answer that cannot be understood, or a DNSSEC validation failure.
    #[error("bad answer")]
    BadAnswer,
    /// Aliases that lead nowhere.
    #[error("alias loop")]
    AliasLoop,
}

/// A name to look up: lower-case ASCII without trailing dot; `.` is the root.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Text is no name: not ASCII, an empty label, or white space in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS name")]
pub struct NameError;

impl Name {
    /// Parses a name; a trailing dot makes no difference, names being absolute here.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == ROOT {
            return Ok(Self(ROOT.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let good = name.split('.').all(|label| !label.is_empty()) && name.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(Self(name.to_ascii_lowercase().into())) } else { Err(NameError) }
    }

    /// The text, without trailing dot unless it is the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root, which as a target says that a service is not offered (RFC 2782).
    pub fn is_root(&self) -> bool {
        &*self.0 == ROOT
    }

    /// This name with `labels` before it.
    pub(crate) fn below(&self, labels: &str) -> Self {
        Self(format!("{labels}.{}", self.0).into())
    }

    /// The name without its first label.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.into()))
    }
}

const ROOT: &str = ".";

impl From<&Domain> for Name {
    fn from(domain: &Domain) -> Self {
        Self(domain.as_str().into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The types of record that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// RFC 2782: where a service is.
    Srv,
    /// RFC 1035 §3.4.1: an IPv4 address.
    A,
    /// RFC 3596 §2.1: an IPv6 address.
    Aaaa,
    /// RFC 3403 §4: by which transports a domain is reached.
    Naptr,
    /// RFC 1035 §3.3.1: the name of which this is an alias.
    Cname,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Naptr => "NAPTR",
            Self::Cname => "CNAME",
        })
    }
}

/// One record's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// See [`RecordType::Srv`].
    Srv(Srv),
    /// See [`RecordType::A`].
    A(Ipv4Addr),
    /// See [`RecordType::Aaaa`].
    Aaaa(Ipv6Addr),
    /// See [`RecordType::Naptr`].
    Naptr(Naptr),
    /// See [`RecordType::Cname`].
    Cname(Name),
}

impl Record {
    /// The type of the record.
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::Srv(_) => RecordType::Srv,
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Naptr(_) => RecordType::Naptr,
            Self::Cname(_) => RecordType::Cname,
        }
    }

    /// The address of an A or AAAA record.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some((*address).into()),
            Self::Aaaa(address) => Some((*address).into()),
            Self::Srv(_) | Self::Naptr(_) | Self::Cname(_) => None,
        }
    }
}

impl fmt::Display for Record {
    /// The data as a master file has it; what a peer could hide in text is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Srv(Srv { priority, weight, port, target }) => write!(f, "{priority} {weight} {port} {target}"),
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Naptr(Naptr { order, preference, flags, service, regexp, replacement }) => {
                write!(f, "{order} {preference} {flags:?} {service:?} {regexp:?} {replacement}")
            }
            Self::Cname(target) => target.fmt(f),
        }
    }
}

/// The data of an SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower is tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port on the target.
    pub port: u16,
    /// The host; the root if the service is not offered.
    pub target: Name,
}

/// The data of a NAPTR record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower is tried first, and nothing of a higher one after a match.
    pub order: u16,
    /// Lower is tried first within one order.
    pub preference: u16,
    /// `s` if the replacement is to be asked for SRV.
    pub flags: String,
    /// Such as `SIPS+D2T`.
    pub service: String,
    /// Not used by any service known here.
    pub regexp: String,
    /// The next name to ask for.
    pub replacement: Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_absolute() {
        assert_eq!(Name::parse("_IM._SIP.Example.COM."), Name::parse("_im._sip.example.com"));
        assert!(Name::parse(".").unwrap().is_root());
        assert_eq!(Name::parse("a.b.c").unwrap().parent(), Name::parse("b.c").ok());
    }

    #[test]
    fn records_are_shown_as_in_a_master_file() {
        let host = Name::parse("sip.example.com").unwrap();
        let srv = Record::Srv(Srv { priority: 10, weight: 60, port: 5060, target: host.clone() });
        assert_eq!(srv.to_string(), "10 60 5060 sip.example.com");
        let (flags, service, regexp) = ("s".into(), "SIP+D2U\u{1b}".into(), String::new());
        let naptr = Naptr { order: 1, preference: 2, flags, service, regexp, replacement: host };
        assert_eq!(Record::Naptr(naptr).to_string(), r#"1 2 "s" "SIP+D2U\u{1b}" "" sip.example.com"#);
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in ["", "a..b", ".a", "a b", "bücher.example", ".."] {
            assert_eq!(Name::parse(text), Err(NameError), "{text}");
        }
    }
}
