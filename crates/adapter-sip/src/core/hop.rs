//! Next hops: from what the hub says to the servers to try.

use super::route::Place;
use adapter_api::{Hop, Target, Transport};
use impp_model::{Cause, Domain, Failure, Side};
use impp_resolve::{Dns, Limits, Outcome, SipLocation, locate_sip};
use sip_proto::uri::{Scheme, SipUri};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The transports to send over, best first.
pub(crate) const SUPPORTED: &[Transport] =
    &[Transport::Tls, Transport::Udp, Transport::Tcp, Transport::Wss, Transport::Ws];

/// A next hop as configured: `sip:host:port;transport=tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FixedHop {
    host: Domain,
    port: Option<u16>,
    transport: Option<Transport>,
    /// RFC 3261 §26.2.2: written as `sips:`.
    secure: bool,
    /// RFC 3261 §8.1.2: written with `lr`, as an outbound proxy, which stands in Route.
    pub(crate) route: bool,
}

impl FixedHop {
    /// Parses a next hop; `None` when it is no SIP URI or wants an unknown transport.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri = SipUri::parse(text).ok()?;
        let secure = uri.scheme == Scheme::Sips;
        let transport = match uri.transport() {
            None => None,
            Some(name) => Some(*SUPPORTED.iter().find(|known| name.eq_ignore_ascii_case(word(**known)))?),
        };
        // RFC 3261 §26.2.2: sips: says how the transport is protected.
        let transport = match (secure, transport) {
            (true, Some(Transport::Udp)) => return None,
            (true, Some(Transport::Tcp)) => Some(Transport::Tls),
            (true, Some(Transport::Ws)) => Some(Transport::Wss),
            (_, transport) => transport,
        };
        let route = uri.params().any(|param| param.name.eq_ignore_ascii_case("lr"));
        Some(Self { host: Domain::parse_host(uri.host.as_str()).ok()?, port: uri.port, transport, secure, route })
    }

    /// Whom its server must prove to be (RFC 5922 §7.3): the host as it is written, or the domain it is the way to.
    pub(crate) fn peer(&self, domain: &Domain) -> Arc<[Domain]> {
        let host = self.host.ip().is_none().then(|| self.host.clone());
        host.into_iter().chain([domain.clone()]).collect()
    }

    /// The server itself, when the hop is an address (RFC 3263 §4.2).
    pub(crate) fn place(&self) -> Option<Place> {
        let transport = self.transport.unwrap_or(if self.secure { Transport::Tls } else { Transport::Udp });
        let address = SocketAddr::new(self.host.ip()?, self.port.unwrap_or(default_port(transport)));
        Some(Place { address, transport, server: 0 })
    }

    /// Finds the servers in DNS, with how long they may be remembered.
    pub(crate) async fn locate(&self, dns: &dyn Dns, limits: &Limits) -> Located {
        let location = SipLocation {
            host: &self.host,
            port: self.port,
            transport: self.transport,
            secure: self.secure,
            supported: SUPPORTED,
        };
        let mut draw = |max: u32| rand::random_range(0..=max);
        let found = locate_sip(dns, &location, limits, &mut draw).await;
        let places: Arc<[Place]> = found
            .targets
            .iter()
            .zip(0..)
            .flat_map(|(target, server)| {
                let transport = target.transport.unwrap_or(Transport::Udp);
                target.socket_addrs().map(move |address| Place { address, transport, server })
            })
            .collect();
        let result = match found.outcome {
            Outcome::Deliver if !places.is_empty() => Ok(places),
            Outcome::TemporaryFailure => Err(Cause::DnsFailure),
            Outcome::Deliver | Outcome::Local | Outcome::Failure => Err(Cause::RemoteNotFound),
        };
        Located { result, ttl: found.ttl.clamp(MIN_TTL, MAX_TTL) }
    }
}

/// What DNS said of a hop.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) result: Result<Arc<[Place]>, Cause>,
    pub(crate) ttl: Duration,
}

/// RFC 3261 §19.1.2, RFC 7118 §5.2.
fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

/// A name that changes with every answer must not cost a query for every message.
const MIN_TTL: Duration = Duration::from_secs(1);

/// A hop that moved is found again within this time, whatever its records promise.
const MAX_TTL: Duration = Duration::from_secs(300);

/// The name of a transport in `transport=` (RFC 3261 §19.1.1).
fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

/// The name of a transport in Via (RFC 3261 §20.42).
pub(crate) fn via_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Ws => "WS",
        Transport::Wss => "WSS",
    }
}

/// Whether nothing goes in clear on a way.
pub(crate) fn is_secure(hop: &Hop) -> bool {
    match hop {
        Hop::Fixed(text) => {
            FixedHop::parse(text).is_some_and(|hop| hop.secure || hop.transport.is_some_and(Transport::is_secure))
        }
        Hop::Located { targets, .. } => targets.iter().all(|target| target.transport.is_some_and(Transport::is_secure)),
        Hop::Link => false,
    }
}

/// The servers that the hub's routing found, without those that this version can't reach.
pub(crate) fn located_places(hop: &Hop) -> Result<Arc<[Place]>, Box<Failure>> {
    let Hop::Located { targets, .. } = hop else {
        // A SIP network is always reached by a next hop.
        return Err(Box::new(Failure::new(Side::Ours, Cause::NoRoute).with_text("no SIP next hop")));
    };
    let is_same =
        |a: &Target, b: &Target| (&a.host, a.address.port(), a.transport) == (&b.host, b.address.port(), b.transport);
    let places: Arc<[Place]> = targets
        .chunk_by(is_same)
        .zip(0..)
        .flat_map(|(addresses, server)| addresses.iter().map(move |target| (target, server)))
        .map(|(target, server)| Place {
            address: target.address,
            transport: target.transport.unwrap_or(Transport::Udp),
            server,
        })
        .filter(|place| SUPPORTED.contains(&place.transport))
        .collect();
    if places.is_empty() {
        let failure =
            Failure::new(Side::Ours, Cause::NoRoute).with_text("the domain's SIP servers take no known transport");
        return Err(Box::new(failure));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: LOC-005, INV-06
    #[test]
    fn rfc5922_s7_3_the_server_must_be_the_host_as_written_or_the_domain_itself() {
        let (domain, hop) = ("partner.example".parse().unwrap(), |text| FixedHop::parse(text).unwrap());
        let names = |text| hop(text).peer(&domain).iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(names("sips:sbc.example.net"), ["sbc.example.net", "partner.example"]);
        assert_eq!(names("sips:192.0.2.1"), ["partner.example"]);
        assert!(hop("sip:a.example;lr").route && !hop("sip:a.example").route);
    }

    // checks: LOC-001, LOC-004
    #[test]
    fn rfc3263_s4_2_an_address_needs_no_discovery() {
        let place = |text| FixedHop::parse(text).and_then(|hop| hop.place());
        let expected =
            |address: &str, transport| Some(Place { address: address.parse().unwrap(), transport, server: 0 });
        assert_eq!(place("sip:192.0.2.1:5070;transport=TCP"), expected("192.0.2.1:5070", Transport::Tcp));
        assert_eq!(place("sip:[2001:db8::1]"), expected("[2001:db8::1]:5060", Transport::Udp));
        assert_eq!(place("sip:proxy.example.net"), None);
        assert_eq!(place("sips:192.0.2.1"), expected("192.0.2.1:5061", Transport::Tls));
        assert_eq!(place("sips:192.0.2.1;transport=tcp"), place("sip:192.0.2.1;transport=tls"));
        assert_eq!(place("sip:192.0.2.1;transport=wss"), expected("192.0.2.1:443", Transport::Wss));
        for text in ["192.0.2.1", "sip:192.0.2.1;transport=sctp", "sips:192.0.2.1;transport=udp", "sip:"] {
            assert_eq!(FixedHop::parse(text), None, "{text}");
        }
    }
}
