use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::dns::{Answer, Dns, DnsError, DnsFailure, Name, Naptr, Record, RecordType, Srv};
use crate::resolution::Step;

/// Asks, follows aliases, and writes down what was asked and why.
pub(crate) struct Lookup<'a> {
    dns: &'a dyn Dns,
    trace: Trace,
}

/// The steps taken and the shortest life of an answer among them.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Step>,
    pub(crate) ttl: Option<Duration>,
}

/// What a lookup found; absence and ignorance are kept apart.
pub(crate) enum Found<T> {
    /// At least one record.
    Records(Vec<T>),
    /// There is none.
    Nothing,
    /// It is not known whether there is one.
    Failed,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(dns: &'a dyn Dns) -> Self {
        Self { dns, trace: Trace::default() }
    }

    pub(crate) async fn srv(&mut self, name: Name, why: &'static str) -> Found<Srv> {
        let (found, trace) = follow(self.dns, name, RecordType::Srv, why).await;
        self.trace.append(trace);
        found.filter(|record| match record {
            Record::Srv(srv) => Some(srv),
            Record::A(_) | Record::Aaaa(_) | Record::Naptr(_) | Record::Cname(_) => None,
        })
    }

    pub(crate) async fn naptr(&mut self, name: Name, why: &'static str) -> Found<Naptr> {
        let (found, trace) = follow(self.dns, name, RecordType::Naptr, why).await;
        self.trace.append(trace);
        found.filter(|record| match record {
            Record::Naptr(naptr) => Some(naptr),
            Record::A(_) | Record::Aaaa(_) | Record::Srv(_) | Record::Cname(_) => None,
        })
    }

    /// What `name` is an alias of, or `name` itself; of a chain of aliases only the first is taken.
    pub(crate) async fn canonical(&mut self, name: Name, why: &'static str) -> Option<Name> {
        match alias_of(ask(self.dns, &name, RecordType::Cname, why, &mut self.trace).await) {
            Alias::To(target) => Some(target),
            Alias::None => Some(name),
            Alias::Unknown => None,
        }
    }

    /// The addresses of hosts, each looked up for A and AAAA; all at once, but noted in order.
    pub(crate) async fn addresses(&mut self, hosts: &[Name], why: &'static str) -> Vec<Found<IpAddr>> {
        let dns = self.dns;
        let lookups = hosts.iter().map(|host| {
            join(follow(dns, host.clone(), RecordType::A, why), follow(dns, host.clone(), RecordType::Aaaa, why))
        });
        let mut found = Vec::with_capacity(hosts.len());
        for ((four, four_trace), (six, six_trace)) in join_all(lookups).await {
            self.trace.append(four_trace);
            self.trace.append(six_trace);
            found.push(four.and(six).filter(|record| record.address()));
        }
        found
    }

    /// Notes a decision that needed no query.
    pub(crate) fn note(&mut self, result: String, why: &'static str) {
        self.trace.steps.push(Step { query: None, result, why: why.into() });
    }

    pub(crate) fn into_trace(self) -> Trace {
        self.trace
    }
}

/// RFC 1034 §3.6.2 leaves the bound open; longer chains than this are loops or mistakes.
const MAX_ALIASES: usize = 8;

/// RFC 2308 §5 has negative answers carry a lifetime; this one is for those that don't.
const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// Asks for a type, going on with the resulting name as if it were the initial one (RFC 3861 §4).
async fn follow(dns: &dyn Dns, name: Name, record_type: RecordType, why: &'static str) -> (Found<Record>, Trace) {
    let mut trace = Trace::default();
    let mut current = name;
    for _ in 0..MAX_ALIASES {
        let answer = ask(dns, &current, record_type, why, &mut trace).await;
        if let Ok(answer) = &answer
            && answer.records.iter().any(|record| record.record_type() == record_type)
        {
            return (Found::Records(answer.records.clone()), trace);
        }
        match alias_of(answer) {
            Alias::To(next) => current = next,
            Alias::None => return (Found::Nothing, trace),
            Alias::Unknown => return (Found::Failed, trace),
        }
    }
    let result = DnsFailure::AliasLoop.to_string();
    trace.steps.push(Step { query: None, result, why: "a chain of aliases is followed only so far".into() });
    (Found::Failed, trace)
}

async fn ask(
    dns: &dyn Dns,
    name: &Name,
    record_type: RecordType,
    why: &'static str,
    trace: &mut Trace,
) -> Result<Answer, DnsError> {
    let answer = dns.query(name, record_type).await;
    let result = match &answer {
        Ok(answer) => {
            trace.limit(answer.ttl);
            describe(answer, record_type)
        }
        Err(error) => {
            if let DnsError::NoRecords { ttl } | DnsError::NxDomain { ttl } = error {
                trace.limit(ttl.unwrap_or(DEFAULT_NEGATIVE_TTL));
            }
            error.to_string()
        }
    };
    trace.steps.push(Step { query: Some(format!("{name} {record_type}")), result, why: why.into() });
    answer
}

fn describe(answer: &Answer, record_type: RecordType) -> String {
    let of_type = || answer.records.iter().filter(|record| record.record_type() == record_type);
    let shown: Vec<String> = of_type().take(MAX_RECORDS_SHOWN).map(ToString::to_string).collect();
    match (of_type().count().saturating_sub(shown.len()), answer.records.iter().find_map(as_alias)) {
        (0, Some(target)) if shown.is_empty() => format!("alias of {target}"),
        (0, _) if shown.is_empty() => "no such records".into(),
        (0, _) => shown.join(", "),
        (more, _) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A step is for reading; who has more records knows them.
const MAX_RECORDS_SHOWN: usize = 8;

enum Alias {
    To(Name),
    None,
    Unknown,
}

fn alias_of(answer: Result<Answer, DnsError>) -> Alias {
    match answer {
        Ok(answer) => answer.records.iter().find_map(as_alias).map_or(Alias::None, Alias::To),
        Err(DnsError::NoRecords { .. } | DnsError::NxDomain { .. }) => Alias::None,
        Err(DnsError::Failure(_)) => Alias::Unknown,
    }
}

fn as_alias(record: &Record) -> Option<Name> {
    match record {
        Record::Cname(target) => Some(target.clone()),
        Record::Srv(_) | Record::A(_) | Record::Aaaa(_) | Record::Naptr(_) => None,
    }
}

impl<T> Found<T> {
    fn filter<U>(self, select: impl Fn(T) -> Option<U>) -> Found<U> {
        match self {
            Self::Records(records) => Found::Records(records.into_iter().filter_map(select).collect()),
            Self::Nothing => Found::Nothing,
            Self::Failed => Found::Failed,
        }
    }

    /// What two lookups found together; a failure counts only if neither found anything.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Records(mut records), Self::Records(more)) => {
                records.extend(more);
                Self::Records(records)
            }
            (Self::Records(records), Self::Nothing | Self::Failed)
            | (Self::Nothing | Self::Failed, Self::Records(records)) => Self::Records(records),
            (Self::Failed, Self::Nothing | Self::Failed) | (Self::Nothing, Self::Failed) => Self::Failed,
            (Self::Nothing, Self::Nothing) => Self::Nothing,
        }
    }
}

impl Trace {
    fn limit(&mut self, ttl: Duration) {
        self.ttl = Some(self.ttl.map_or(ttl, |so_far| so_far.min(ttl)));
    }

    fn append(&mut self, other: Self) {
        self.steps.extend(other.steps);
        if let Some(ttl) = other.ttl {
            self.limit(ttl);
        }
    }
}
