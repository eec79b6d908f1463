//! Next hops and protocols of routes, and the users of native adapters.

use std::net::{IpAddr, SocketAddr};

use impp_model::Address;
use serde_json::Value;
use sip_proto::uri::{Scheme, SipUri};

use super::super::problem::Key;
use super::Check;
use super::tables::is_label;
use crate::gateway;

/// The RFC 3861 label of each type of adapter that has one.
const LABELS: [(&str, &str); 3] = [("sip", "_sip"), ("xmpp", "_xmpp"), ("xmpp-component", "_xmpp")];

impl Check<'_> {
    /// A next hop for the adapter `name`.
    pub(super) fn next_hop(&mut self, key: Key, next_hop: &str, adapter: Option<&str>) {
        let Some(adapter) = adapter else { return self.free_hop(key, next_hop) };
        match self.type_of(adapter) {
            Some("sip") => self.sip_hop(key, next_hop),
            Some("xmpp") => self.xmpp_hop(key, next_hop),
            Some(other) => {
                let problem = format!("an adapter of type {other} has no next hops");
                self.problem(key, problem, "remove it; the adapter reaches all it can reach by its own link");
            }
            // That adapter has a problem of its own.
            None => {}
        }
    }

    /// A next hop that finds its adapter by its scheme.
    fn free_hop(&mut self, key: Key, next_hop: &str) {
        if next_hop.starts_with("sip:") || next_hop.starts_with("sips:") {
            self.sip_hop(key.clone(), next_hop);
            self.some_adapter(key, "sip");
        } else if next_hop.starts_with("xmpp:") {
            self.xmpp_hop(key.clone(), next_hop);
            self.some_adapter(key, "xmpp");
        } else {
            let remedy = "write a sip:, sips: or xmpp: next hop, as \"sip:192.0.2.1:5060\" or \"xmpp:192.0.2.1:5269\"";
            self.problem(key, "no protocol that this gateway speaks", remedy);
        }
    }

    fn xmpp_hop(&mut self, key: Key, next_hop: &str) {
        if !adapter_xmpp::server::is_next_hop(next_hop) {
            let remedy = "write address and port, as \"xmpp:192.0.2.1:5269\" or \"xmpp:192.0.2.1:5270;transport=tls\"";
            self.problem(key, "no next hop of XMPP", remedy);
        } else if let Some((host, port)) =
            next_hop.trim_start_matches("xmpp:").split(';').next().and_then(|hop| hop.rsplit_once(':'))
        {
            self.not_ourselves(key, host, port.parse().unwrap_or_default());
        }
    }

    /// What goes to one of our own listeners comes back.
    fn not_ourselves(&mut self, key: Key, host: &str, port: u16) {
        let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return };
        let is_it = |own: &SocketAddr| {
            own.port() == port
                && (own.ip() == ip || own.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
        };
        if let Some(own) = gateway::own_listeners(self.config).into_iter().find(is_it) {
            let problem = format!("leads back to this gateway: it listens at {own} itself");
            self.problem(key, problem, "write the address and port of the server that is meant");
        }
    }

    fn sip_hop(&mut self, key: Key, next_hop: &str) {
        let form = "write host, port and transport, as \"sip:192.0.2.1:5060;transport=tcp\"";
        match SipUri::parse(next_hop) {
            Err(error) => self.problem(key, format!("no SIP URI: {error}"), form),
            Ok(uri) => {
                let secure = uri.scheme == Scheme::Sips
                    || uri.transport().is_some_and(|transport| transport.eq_ignore_ascii_case("tls"));
                let port = uri.port.unwrap_or(if secure { 5061 } else { 5060 });
                self.not_ourselves(key.clone(), &uri.host.to_string(), port);
                self.sip_transport(key, &uri);
            }
        }
    }

    fn sip_transport(&mut self, key: Key, uri: &SipUri<'_>) {
        let is = |transport: &str, known: &[&str]| known.iter().any(|known| transport.eq_ignore_ascii_case(known));
        let secure = uri.scheme == Scheme::Sips;
        match uri.transport() {
            Some(transport) if !is(transport, &["udp", "tcp", "tls", "ws", "wss"]) => {
                self.problem(key, format!("transport {transport} is unknown"), "write udp, tcp, tls, ws or wss");
            }
            Some(transport) if secure && is(transport, &["udp"]) => {
                self.problem(key, "sips: goes over TLS, never over UDP", "leave the transport out");
            }
            // RFC 5922 §7.3: an address has no domain to compare a certificate with, so the destination's own counts.
            transport => {
                let tls = secure || transport.is_some_and(|transport| is(transport, &["tls", "wss"]));
                if tls && self.config.tls.trust.is_empty() {
                    let remedy = "write tls.trust = [\"system\"], or name a file with the server's authority";
                    self.problem(key, "nobody's signature counts: the server cannot be proven", remedy);
                }
            }
        }
    }

    pub(super) fn protocol(&mut self, key: Key, label: &str) {
        if !is_label(label) {
            self.problem(key, "not a protocol label", "write it with its underscore, as \"_sip\" or \"_xmpp\"");
            return;
        }
        match LABELS.iter().find(|(_, known)| *known == label) {
            Some(_) if self.speaks(label) => {}
            Some((kind, _)) => self.some_adapter(key, kind),
            None => self.problem(key, "no adapter of this gateway speaks it", "write \"_sip\" or \"_xmpp\""),
        }
    }

    /// Whether an adapter speaks the protocol of this label.
    pub(super) fn speaks(&self, label: &str) -> bool {
        LABELS.iter().any(|(kind, known)| *known == label && self.has_type(kind))
    }

    fn has_type(&self, kind: &str) -> bool {
        self.config.adapter.keys().any(|name| self.type_of(name) == Some(kind))
    }

    /// Reports the key if no adapter is of the type it needs.
    fn some_adapter(&mut self, key: Key, kind: &str) {
        if !self.has_type(kind) {
            let remedy = format!("add a table [adapter.NAME] with type = \"{kind}\"");
            self.problem(key, format!("there is no adapter of type {kind} to use for it"), remedy);
        }
    }

    /// What sends to a native user must know the domain.
    pub(super) fn native_users(&mut self) {
        for (name, configured) in self.adapters {
            let table = self.config.adapter.get(name).filter(|_| configured.type_name() == "native");
            let users = table.and_then(|table| table.get("user")).and_then(Value::as_array);
            for (index, user) in users.into_iter().flatten().enumerate() {
                let address =
                    user.get("address").and_then(Value::as_str).and_then(|text| Address::parse_bare(text).ok());
                let Some(domain) = address.as_ref().map(Address::domain) else { continue };
                let served =
                    |table: &super::super::DomainTable| table.name == *domain && table.adapter.as_ref() == Some(name);
                if !self.config.domain.iter().any(served) {
                    let key = Key::parse("adapter").name(name).name("user").index(index).name("address");
                    let remedy = format!("add a [[domain]] with name = \"{domain}\" and adapter = \"{name}\"");
                    self.warning(key, format!("no [[domain]] leads to {domain}: nobody reaches this user"), remedy);
                }
            }
        }
    }

    /// The `type` of an adapter's table, be the rest of it right or not.
    pub(super) fn type_of(&self, adapter: &str) -> Option<&str> {
        self.adapter_text(adapter, "type")
    }
}
