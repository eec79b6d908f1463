//! What this instance is called in Via.

use super::datagrams::can_reach;
use super::route::Place;
use crate::config::{Config, Listen};
use adapter_api::Transport;
use sip_proto::header::Via;
use std::net::SocketAddr;

/// The `sent-by` values of all listeners.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    listeners: Vec<Listener>,
}

#[derive(Debug, Clone)]
struct Listener {
    transport: Transport,
    local: SocketAddr,
    host: String,
    port: u16,
    sent_by: String,
}

impl Names {
    /// Pairs each bound address with the advertised one of its transport and place in order, if there is one.
    pub(crate) fn new(config: &Config, bound: &[(Transport, SocketAddr)]) -> Self {
        let advertised = config.advertised();
        let mut seen = Vec::new();
        let listeners = bound.iter().map(|(transport, local)| {
            let index = seen.iter().filter(|other| *other == transport).count();
            seen.push(*transport);
            let of_transport: Vec<&Listen> =
                advertised.iter().filter(|listen| listen.transport == *transport).collect();
            match of_transport.get(index).or(of_transport.last()) {
                Some(listen) => Listener::new(*transport, *local, listen.host.clone(), listen.port),
                None => Listener::new(*transport, *local, host_of(*local), local.port()),
            }
        });
        Self { listeners: listeners.collect() }
    }

    /// Whether a Via was written by this instance.
    pub(crate) fn is_ours(&self, via: &Via<'_>) -> bool {
        self.listeners.iter().any(|listener| via.sent_by_is(&listener.host, listener.port))
    }

    /// What to put into Via towards `peer`.
    pub(crate) fn sent_by(&self, transport: Transport, peer: SocketAddr) -> Option<&str> {
        let fitting = |of: Transport| {
            self.listeners.iter().find(move |listener| listener.transport == of && can_reach(listener.local, peer))
        };
        let any = || self.listeners.iter().find(|listener| can_reach(listener.local, peer));
        // An instance that listens on one transport alone still sends over others.
        let listener = fitting(transport).or_else(|| fitting(Transport::Udp)).or_else(any);
        listener.map(|listener| listener.sent_by.as_str())
    }

    /// RFC 8305 §4: the other addresses of a server, among those still to be tried, that requests can go out to.
    pub(crate) fn others(&self, place: Place, places: &[Place]) -> Vec<SocketAddr> {
        let is_other = |other: &&Place| other.server == place.server && other.address != place.address;
        let can_send = |address: &SocketAddr| self.sent_by(place.transport, *address).is_some();
        places.iter().filter(is_other).map(|other| other.address).filter(can_send).collect()
    }

    /// Whether peers can connect to this instance over `transport`.
    pub(crate) fn listens(&self, transport: Transport) -> bool {
        self.listeners.iter().any(|listener| listener.transport == transport)
    }

    /// Where requests in a dialog of ours come, marked as one place (RFC 5627 §3.1).
    pub(crate) fn contact(&self, mark: &str) -> String {
        let udp = self.listeners.iter().find(|listener| listener.transport == Transport::Udp);
        match udp.or(self.listeners.first()) {
            Some(listener) if listener.transport == Transport::Udp => format!("sip:{};gr={mark}", listener.sent_by),
            Some(listener) => format!("sip:{};transport=tcp;gr={mark}", listener.sent_by),
            None => format!("sip:localhost;gr={mark}"),
        }
    }

    /// The name in Warning headers.
    pub(crate) fn agent(&self) -> String {
        self.listeners.first().map_or_else(|| "localhost".to_owned(), |listener| listener.host.clone())
    }
}

impl Listener {
    fn new(transport: Transport, local: SocketAddr, host: String, port: u16) -> Self {
        let sent_by = format!("{host}:{port}");
        Self { transport, local, host, port, sent_by }
    }
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: SIP-015
    #[test]
    fn rfc3261_s18_1_2_our_own_via_is_known_by_its_sent_by() {
        let config: Config = serde_json::from_value(serde_json::json!({
            "listen": ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060", "udp:[::]:5060"],
            "advertise": ["udp:gw.example.net:5060"],
        }))
        .unwrap();
        let bound = [
            (Transport::Udp, "0.0.0.0:5060".parse().unwrap()),
            (Transport::Tcp, "192.0.2.1:5062".parse().unwrap()),
            (Transport::Udp, "[::]:5060".parse().unwrap()),
        ];
        let names = Names::new(&config, &bound);
        let ours = |text| names.is_ours(&Via::parse(text).unwrap());
        assert!(ours("SIP/2.0/UDP GW.example.net;branch=z9hG4bK1") && ours("SIP/2.0/TCP 192.0.2.1:5062"));
        assert!(!ours("SIP/2.0/UDP gw.example.net:5061") && !ours("SIP/2.0/UDP other.example.net"));
        assert_eq!(names.sent_by(Transport::Tcp, "192.0.2.9:5060".parse().unwrap()), Some("192.0.2.1:5062"));
        assert_eq!(names.sent_by(Transport::Udp, "[2001:db8::1]:5060".parse().unwrap()), Some("gw.example.net:5060"));
    }
}
