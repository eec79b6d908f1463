use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name as WireName, RData, RecordType as WireType};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as WireError, NetError};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use impp_resolve::{Answer, Dns, DnsError, DnsFailure, Name, Naptr, Record, RecordType, Srv};

/// A caching stub resolver on hickory-resolver.
///
/// Names are always taken as fully qualified; aliases are followed by the name server or here.
#[derive(Clone)]
pub struct HickoryDns {
    resolver: TokioResolver,
}

/// Whom to ask and for how long.
#[derive(Debug, Clone)]
pub struct DnsSettings {
    /// Name servers; with none, those of the system are asked and its hosts file goes before them.
    pub nameservers: Vec<SocketAddr>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often an unanswered query is repeated.
    pub retries: usize,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { nameservers: Vec::new(), timeout: TIMEOUT, retries: RETRIES }
    }
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsSetupError {
    /// The system's configuration cannot be read or names no server.
    #[error("the system's DNS configuration is of no use")]
    System(#[source] NetError),
    /// The resolver could not be set up.
    #[error("cannot set up the resolver")]
    Resolver(#[source] NetError),
    /// A name server that is no address.
    #[error("{0:?} is no address of a name server")]
    Nameserver(String),
}

impl DnsSetupError {
    /// What an operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::System(_) => "mend /etc/resolv.conf, or name servers in [dns] nameservers, or use [dns] zone_file",
            Self::Resolver(_) => "check [dns] nameservers",
            Self::Nameserver(_) => "write IP:PORT, for example \"127.0.0.1:53\" or \"[::1]:53\"",
        }
    }
}

/// Parses `IP:port`, or an IP address alone for port 53.
pub fn parse_nameserver(text: &str) -> Result<SocketAddr, DnsSetupError> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)))
        .map_err(|_| DnsSetupError::Nameserver(text.into()))
}

impl HickoryDns {
    /// Sets up the resolver; sends nothing yet. To be called within a tokio runtime.
    pub fn new(settings: &DnsSettings) -> Result<Self, DnsSetupError> {
        Ok(Self { resolver: builder(settings)?.build().map_err(DnsSetupError::Resolver)? })
    }

    /// Forgets all answers, for example after the configuration changed.
    pub fn clear_cache(&self) {
        self.resolver.clear_cache();
    }
}

/// A resolver to be, which asks whom the settings name.
pub(crate) fn builder(settings: &DnsSettings) -> Result<ResolverBuilder<TokioRuntimeProvider>, DnsSetupError> {
    let mut builder = if settings.nameservers.is_empty() {
        TokioResolver::builder_tokio().map_err(DnsSetupError::System)?
    } else {
        of_nameservers(&settings.nameservers)
    };
    set_limits(builder.options_mut(), settings);
    Ok(builder)
}

fn of_nameservers(nameservers: &[SocketAddr]) -> ResolverBuilder<TokioRuntimeProvider> {
    let servers = nameservers.iter().map(|server| {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        (udp.port, tcp.port) = (server.port(), server.port());
        NameServerConfig::new(server.ip(), true, vec![udp, tcp])
    });
    let config = ResolverConfig::from_name_servers(servers.collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    builder
}

fn set_limits(options: &mut ResolverOpts, settings: &DnsSettings) {
    options.timeout = settings.timeout;
    options.attempts = settings.retries;
    options.cache_size = CACHE_SIZE;
    options.max_active_requests = MAX_ACTIVE_REQUESTS;
    options.negative_max_ttl = Some(NEGATIVE_MAX_TTL);
}

/// Two attempts must fit into the two seconds that a sender's transaction is held.
const TIMEOUT: Duration = Duration::from_millis(900);

const RETRIES: usize = 1;

/// Answers kept, a few hundred bytes each: some five for each of a thousand domains.
const CACHE_SIZE: u64 = 5_000;

/// Queries in flight to one server; the library's 32 would turn a burst of new domains into failures.
const MAX_ACTIVE_REQUESTS: usize = 4_096;

/// A domain that just published its records should not have to wait for hours.
const NEGATIVE_MAX_TTL: Duration = Duration::from_secs(300);

/// RFC 1035 §4.2.
const DNS_PORT: u16 = 53;

#[async_trait]
impl Dns for HickoryDns {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        // A name that no message can carry cannot exist.
        let mut wire = WireName::from_ascii(name.as_str()).map_err(|_| DnsError::NxDomain { ttl: None })?;
        wire.set_fqdn(true);
        let lookup = self.resolver.lookup(wire, wire_type(record_type)).await.map_err(|error| failure(&error))?;
        let records: Vec<Record> = lookup.answers().iter().filter_map(|answer| record(&answer.data)).collect();
        if records.is_empty() {
            return Err(DnsError::NoRecords { ttl: None });
        }
        Ok(Answer { records, ttl: lookup.valid_until().saturating_duration_since(Instant::now()) })
    }
}

fn wire_type(record_type: RecordType) -> WireType {
    match record_type {
        RecordType::Srv => WireType::SRV,
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Naptr => WireType::NAPTR,
        RecordType::Cname => WireType::CNAME,
    }
}

/// The record, if it is of a type that is asked for and its names are names.
#[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows with every record type")]
fn record(data: &RData) -> Option<Record> {
    match data {
        RData::A(address) => Some(Record::A(address.0)),
        RData::AAAA(address) => Some(Record::Aaaa(address.0)),
        RData::CNAME(target) => Some(Record::Cname(name(&target.0)?)),
        RData::SRV(srv) => Some(Record::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: name(&srv.target)?,
        })),
        RData::NAPTR(naptr) => Some(Record::Naptr(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            regexp: text(&naptr.regexp),
            replacement: name(&naptr.replacement)?,
        })),
        _ => None,
    }
}

fn name(wire: &WireName) -> Option<Name> {
    Name::parse(&wire.to_ascii()).ok()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A failure stays a failure: only an answer that says so proves that there is nothing.
#[allow(clippy::wildcard_enum_match_arm, reason = "foreign enums; what they may grow into is no proof of absence")]
fn failure(error: &NetError) -> DnsError {
    let cause = match error {
        NetError::Dns(WireError::NoRecordsFound(none)) => {
            let ttl = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
            match none.response_code {
                ResponseCode::NXDomain => return DnsError::NxDomain { ttl },
                ResponseCode::NoError => return DnsError::NoRecords { ttl },
                code => of_code(code),
            }
        }
        NetError::Dns(WireError::ResponseCode(code)) => of_code(*code),
        NetError::Timeout => DnsFailure::Timeout,
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => DnsFailure::Network,
        _ => DnsFailure::BadAnswer,
    };
    DnsError::Failure(cause)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other code means that the server cannot answer")]
fn of_code(code: ResponseCode) -> DnsFailure {
    match code {
        ResponseCode::Refused => DnsFailure::Refused,
        ResponseCode::ServFail => DnsFailure::ServFail,
        _ => DnsFailure::BadAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_addresses() {
        assert_eq!(parse_nameserver("127.0.0.1:5353").unwrap(), "127.0.0.1:5353".parse().unwrap());
        assert_eq!(parse_nameserver("2001:db8::1").unwrap(), "[2001:db8::1]:53".parse().unwrap());
        let error = parse_nameserver("ns.example.com").unwrap_err();
        assert!(matches!(&error, DnsSetupError::Nameserver(text) if text == "ns.example.com"));
        assert!(error.remedy().contains("IP:PORT"));
    }
}
