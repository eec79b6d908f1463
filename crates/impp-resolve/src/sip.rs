use impp_model::Domain;

use crate::dns::{Dns, Name, Naptr};
use crate::lookup::{Found, Lookup};
use crate::order::Draw;
use crate::plan::{Candidate, Discovery, Limits, locate};
use crate::protocol::Protocol;
use crate::resolution::{Resolution, Transport, Via};

/// RFC 3261 §19.1.2.
pub(crate) const DEFAULT_PORT: u16 = 5060;

/// What a SIP or SIPS URI says about the next hop.
#[derive(Debug, Clone, Copy)]
pub struct SipLocation<'a> {
    /// The host, or that of the `maddr` parameter.
    pub host: &'a Domain,
    /// The port, if there is one.
    pub port: Option<u16>,
    /// The `transport` parameter, if there is one.
    pub transport: Option<Transport>,
    /// Whether it is a `sips:` URI.
    pub secure: bool,
    /// The transports that can be used.
    pub supported: &'a [Transport],
}

/// Finds the servers of a SIP URI by RFC 3263 §4; every target has a transport.
pub async fn locate_sip(dns: &dyn Dns, location: &SipLocation<'_>, limits: &Limits, draw: &mut Draw<'_>) -> Resolution {
    let mut lookup = Lookup::new(dns);
    let base = Name::from(location.host);
    let direct = location.port.is_some() || location.host.ip().is_some();
    let discovery = match (direct, location.explicit_transport()) {
        // RFC 3263 §4.2: with an address or a port there is nothing to discover.
        (true, _) => Discovery::Absent,
        (false, Some(transport)) => discover_transport(&mut lookup, &base, transport).await,
        (false, None) => discover(&mut lookup, &base, location.secure, location.supported).await,
    };
    let transport = location.explicit_transport().unwrap_or(location.default_transport());
    let port = location.port.unwrap_or(default_port(transport));
    let fallback = Candidate::implicit(base, port, Some(transport));
    let via = if direct { Via::Direct } else { Via::ImplicitSrv };
    locate(lookup, location.host, Protocol::SIP, discovery, (fallback, via), limits, draw).await
}

impl SipLocation<'_> {
    /// RFC 3263 §4.1: the parameter; in a SIPS URI it says what TLS runs over.
    fn explicit_transport(&self) -> Option<Transport> {
        match (self.secure, self.transport?) {
            (true, Transport::Udp | Transport::Tcp | Transport::Tls) => Some(Transport::Tls),
            (true, Transport::Ws | Transport::Wss) => Some(Transport::Wss),
            (false, transport) => Some(transport),
        }
    }

    /// RFC 3263 §4.1: UDP, or TLS over TCP for a SIPS URI; if that can't be used, the first that can.
    fn default_transport(&self) -> Transport {
        let usual = if self.secure { Transport::Tls } else { Transport::Udp };
        if self.secure || self.supported.contains(&usual) {
            return usual;
        }
        self.supported.first().copied().unwrap_or(usual)
    }
}

/// RFC 3263 §4.1: NAPTR says which transports there are, else an SRV lookup for each does.
pub(crate) async fn discover(lookup: &mut Lookup<'_>, base: &Name, secure: bool, supported: &[Transport]) -> Discovery {
    let usable = |transport: &Transport| supported.contains(transport) && (transport.is_secure() || !secure);
    let naptr = match lookup.naptr(base.clone(), "RFC 3263: which transports SIP has there").await {
        Found::Records(records) => records,
        Found::Nothing => Vec::new(),
        Found::Failed => return Discovery::Failed,
    };
    let mut outcome = Discovery::Absent;
    for (name, transport) in ordered_services(naptr, usable) {
        let found = lookup.srv(name, "RFC 3263: the service that NAPTR names").await;
        match Discovery::of_srv(found, Some(transport), None) {
            Discovery::Absent => {}
            found @ Discovery::Found(_) => return found,
            other @ (Discovery::NotOffered | Discovery::Failed) => outcome = other,
        }
    }
    if !matches!(outcome, Discovery::Absent) {
        return outcome;
    }
    for transport in PROBED.into_iter().filter(usable) {
        match discover_transport(lookup, base, transport).await {
            Discovery::Absent => {}
            found @ Discovery::Found(_) => return found,
            other @ (Discovery::NotOffered | Discovery::Failed) => outcome = other,
        }
    }
    outcome
}

async fn discover_transport(lookup: &mut Lookup<'_>, base: &Name, transport: Transport) -> Discovery {
    let found = lookup.srv(base.below(srv_labels(transport)), "RFC 3263: SIP servers for one transport").await;
    Discovery::of_srv(found, Some(transport), None)
}

/// RFC 3263 §4.1: the services that can be used, in the domain's order of preference.
fn ordered_services(mut naptr: Vec<Naptr>, usable: impl Fn(&Transport) -> bool) -> Vec<(Name, Transport)> {
    naptr.sort_by_key(|record| (record.order, record.preference));
    naptr
        .into_iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s"))
        .filter_map(|record| Some((record.replacement, transport_of(&record.service).filter(&usable)?)))
        .collect()
}

fn transport_of(service: &str) -> Option<Transport> {
    let known = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    known.into_iter().find(|transport| service.eq_ignore_ascii_case(naptr_service(*transport)))
}

/// Transports looked for without NAPTR, the safest first; WebSocket servers are for browsers, who are told the URL.
const PROBED: [Transport; 3] = [Transport::Tls, Transport::Tcp, Transport::Udp];

fn naptr_service(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "SIP+D2U",
        Transport::Tcp => "SIP+D2T",
        Transport::Tls => "SIPS+D2T",
        // RFC 7118 §6.
        Transport::Ws => "SIP+D2W",
        Transport::Wss => "SIPS+D2W",
    }
}

fn srv_labels(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    }
}

fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => DEFAULT_PORT,
        Transport::Tls => 5061,
        // RFC 7118 §4.
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}
