//! Next hops: from what the hub says to the servers to try.

use super::route::Place;
use adapter_api::{Hop, Transport};
use impp_model::{Cause, Domain, Failure, Side};
use impp_resolve::{Dns, Limits, Outcome, SipLocation, locate_sip};
use sip_proto::uri::{Scheme, SipUri};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The transports that this version sends over.
pub(crate) const SUPPORTED: &[Transport] = &[Transport::Udp, Transport::Tcp, Transport::Ws];

/// A next hop as configured: `sip:host:port;transport=tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FixedHop {
    host: Domain,
    port: Option<u16>,
    transport: Option<Transport>,
}

impl FixedHop {
    /// Parses a next hop; `None` when it is no `sip:` URI or wants a transport that is not there.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri = SipUri::parse(text).ok().filter(|uri| uri.scheme == Scheme::Sip)?;
        let transport = match uri.transport() {
            None => None,
            Some(name) => Some(*SUPPORTED.iter().find(|known| name.eq_ignore_ascii_case(word(**known)))?),
        };
        Some(Self { host: Domain::parse_host(uri.host.as_str()).ok()?, port: uri.port, transport })
    }

    /// The server itself, when the hop is an address (RFC 3263 §4.2).
    pub(crate) fn place(&self) -> Option<Place> {
        let address = SocketAddr::new(self.host.ip()?, self.port.unwrap_or(DEFAULT_PORT));
        Some(Place { address, transport: self.transport.unwrap_or(Transport::Udp) })
    }

    /// Finds the servers in DNS, with how long they may be remembered.
    pub(crate) async fn locate(&self, dns: &dyn Dns, limits: &Limits) -> Located {
        let location = SipLocation {
            host: &self.host,
            port: self.port,
            transport: self.transport,
            secure: false,
            supported: SUPPORTED,
        };
        let mut draw = |max: u32| rand::random_range(0..=max);
        let found = locate_sip(dns, &location, limits, &mut draw).await;
        let places: Arc<[Place]> = found
            .targets
            .iter()
            .flat_map(|target| {
                target.socket_addrs().map(|address| (address, target.transport.unwrap_or(Transport::Udp)))
            })
            .map(|(address, transport)| Place { address, transport })
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

/// RFC 3261 §19.1.2.
const DEFAULT_PORT: u16 = 5060;

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

/// The servers that the hub's routing found, without those that this version can't reach.
pub(crate) fn located_places(hop: &Hop) -> Result<Arc<[Place]>, Box<Failure>> {
    let Hop::Located { targets, .. } = hop else {
        // A SIP network is always reached by a next hop.
        return Err(Box::new(Failure::new(Side::Ours, Cause::NoRoute).with_text("no SIP next hop")));
    };
    let places: Arc<[Place]> = targets
        .iter()
        .map(|target| Place { address: target.address, transport: target.transport.unwrap_or(Transport::Udp) })
        .filter(|place| SUPPORTED.contains(&place.transport))
        .collect();
    if places.is_empty() {
        let failure =
            Failure::new(Side::Ours, Cause::NoRoute).with_text("the domain's SIP servers take neither UDP nor TCP");
        return Err(Box::new(failure));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: LOC-001, LOC-004
    #[test]
    fn rfc3263_s4_2_an_address_needs_no_discovery() {
        let place = |text| FixedHop::parse(text).and_then(|hop| hop.place());
        let expected = |address: &str, transport| Some(Place { address: address.parse().unwrap(), transport });
        assert_eq!(place("sip:192.0.2.1:5070;transport=TCP"), expected("192.0.2.1:5070", Transport::Tcp));
        assert_eq!(place("sip:[2001:db8::1]"), expected("[2001:db8::1]:5060", Transport::Udp));
        assert_eq!(place("sip:proxy.example.net"), None);
        for text in ["sips:192.0.2.1", "192.0.2.1", "sip:192.0.2.1;transport=tls", "sip:"] {
            assert_eq!(FixedHop::parse(text), None, "{text}");
        }
    }
}
