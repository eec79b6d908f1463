//! What is legal and does nothing, and what is legal and unwise.

use std::net::IpAddr;
use std::time::Duration;

use adapter_api::DomainPattern;
use serde_json::Value;

use super::super::problem::Key;
use super::super::{DomainTable, Notice, Routing, StoreLimits};
use super::Check;

/// A message that waits longer is news to nobody, and its sender has long asked again.
const LONG_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

impl Check<'_> {
    pub(super) fn effects(&mut self) {
        self.store_limits();
        self.unused_labels();
        self.unused_certificates();
        self.shadowed_rules();
        self.shadowed_routes();
        self.unused_trust();
    }

    pub(super) fn unwise(&mut self) {
        self.notice_and_expiry();
        self.unacknowledged();
        self.trust_over_udp();
        self.clear_links();
    }

    fn store_limits(&mut self) {
        if self.config.gateway.data_dir.is_some() {
            return;
        }
        let (limits, usual) = (self.config.gateway.limits, StoreLimits::default());
        let changed = [
            ("messages", limits.messages != usual.messages && limits.messages != 0),
            ("octets", limits.octets != usual.octets && limits.octets != 0),
            ("disk_reserve", limits.disk_reserve != usual.disk_reserve),
        ];
        for (name, _) in changed.into_iter().filter(|(_, changed)| *changed) {
            let key = Key::parse("gateway.limits").name(name);
            self.warning(
                key,
                "no effect: nothing is stored without gateway.data_dir",
                "set gateway.data_dir, or remove it",
            );
        }
    }

    fn unused_labels(&mut self) {
        let supported = &self.config.routing.supported;
        if *supported == Routing::default().supported {
            return;
        }
        for (index, label) in supported.iter().enumerate() {
            if !self.speaks(label) {
                let key = Key::parse("routing.supported").index(index);
                let problem = format!("no effect: no adapter of this gateway speaks {label}");
                self.warning(key, problem, "remove it, or add an adapter for it");
            }
        }
    }

    fn unused_certificates(&mut self) {
        let secured = ["sip", "xmpp"];
        let uses =
            self.config.adapter.keys().any(|name| self.type_of(name).is_some_and(|kind| secured.contains(&kind)));
        let over_tls = |(_, listen): (Key, String)| listen.starts_with("tls:") || listen.starts_with("wss:");
        let uses = uses || self.all_listens().into_iter().any(over_tls);
        if !uses && !self.config.tls.certificates.is_empty() {
            let remedy = "remove them, or add an adapter that listens over TLS";
            self.warning(Key::parse("tls.certificates"), "no effect: no adapter shows a certificate", remedy);
        }
    }

    fn shadowed_rules(&mut self) {
        let rules = &self.config.policy.rule;
        for (index, rule) in rules.iter().enumerate() {
            let covers = |earlier: &&super::super::PolicyRule| {
                covers(&earlier.from.0, &rule.from.0)
                    && covers(&earlier.to.0, &rule.to.0)
                    && (earlier.kinds.is_empty()
                        || !rule.kinds.is_empty() && rule.kinds.iter().all(|kind| earlier.kinds.contains(kind)))
            };
            if let Some(earlier) = rules.iter().take(index).position(|earlier| covers(&earlier)) {
                let key = Key::parse("policy.rule").index(index);
                let problem = format!("never used: policy.rule[{earlier}] decides about all that it matches");
                self.warning(key, problem, "put it before that one, or remove it");
            }
        }
    }

    fn shadowed_routes(&mut self) {
        let routes = &self.config.route;
        for (index, route) in routes.iter().enumerate() {
            let key = Key::parse("route").index(index);
            let is_wider = |earlier: &&super::super::RouteTable| {
                covers(&earlier.from.0, &route.from.0) && covers(&earlier.to.0, &route.to.0)
            };
            let earlier = routes.iter().take(index).position(|earlier| is_wider(&earlier));
            let listed = |table: &DomainTable| {
                (table.adapter.is_some() || table.next_hop.is_some())
                    && matches!(&route.to.0, DomainPattern::Exactly(domain) if domain == table.seen_as())
            };
            if let Some(earlier) = earlier {
                let problem = format!("never used: route[{earlier}] matches all that it does");
                self.warning(key, problem, "put it before that one, or remove it");
            } else if let Some(domain) = self.config.domain.iter().position(listed) {
                let problem = format!("never used: domain[{domain}] says how this domain is reached");
                self.warning(key, problem, "remove one of the two");
            }
        }
    }

    /// Only SIP takes an address for a proof.
    fn unused_trust(&mut self) {
        for (index, domain) in self.config.domain.iter().enumerate().filter(|(_, domain)| !domain.trusted.is_empty()) {
            let Some(kind) = domain.adapter.as_deref().and_then(|adapter| self.type_of(adapter)) else { continue };
            if kind != "sip" {
                let problem = format!("no effect: an adapter of type {kind} takes no address for a proof");
                self.warning(Key::parse("domain").index(index).name("trusted"), problem, "remove it");
            }
        }
    }

    fn notice_and_expiry(&mut self) {
        let (delivery, key) = (&self.config.delivery, Key::parse("delivery"));
        if delivery.notice == Notice::Off {
            let remedy = "write \"text\", or watch interlingua_untold_total";
            self.warning(key.name("notice"), "senders who were told of acceptance hear of no failure", remedy);
        }
        if self.config.gateway.data_dir.is_none() {
            return;
        }
        if delivery.expiry.is_zero() {
            let remedy = "write how long delivery is tried, as \"24h\"";
            self.warning(key.name("expiry"), "what is stored expires at once: it is never tried again", remedy);
        } else if delivery.expiry > LONG_EXPIRY {
            let long = adapter_api::duration::format(delivery.expiry);
            let problem = format!("practically no expiry: senders hear of a failure only after {long}");
            self.warning(key.name("expiry"), problem, "write at most \"7d\"; \"24h\" is the default");
        }
    }

    fn unacknowledged(&mut self) {
        let mut found = Vec::new();
        for (name, table) in &self.config.adapter {
            let key = Key::parse("adapter").name(name);
            let is_none = |table: &Value| table.get("acknowledge").and_then(Value::as_str) == Some("none");
            found.extend(is_none(table).then(|| key.name("acknowledge")));
            let peers = table.get("peer").and_then(Value::as_array).into_iter().flatten().enumerate();
            found.extend(
                peers
                    .filter(|(_, peer)| is_none(peer))
                    .map(|(index, _)| key.name("peer").index(index).name("acknowledge")),
            );
        }
        for key in found {
            let remedy = "leave it out, so that delivery is proven; with \"none\" messages end as handed_over";
            self.warning(key, "what this peer loses nobody hears of", remedy);
        }
    }

    /// RFC 3261 §26.2.4: on a network that others share, a source address is as good as their manners.
    fn trust_over_udp(&mut self) {
        for (index, domain) in self.config.domain.iter().enumerate() {
            let Some(adapter) = domain.adapter.as_deref().filter(|adapter| self.type_of(adapter) == Some("sip")) else {
                continue;
            };
            if !self.listens_on_udp(adapter) {
                continue;
            }
            for (number, network) in domain.trusted.iter().enumerate() {
                if network.is_private() && !network.is_loopback() {
                    let key = Key::parse("domain").index(index).name("trusted").index(number);
                    let problem = "over UDP whoever can send with such an address speaks for the domain";
                    self.warning(
                        key,
                        problem,
                        "keep others out of that network, or take datagrams from no one: listen on tcp: or tls:",
                    );
                }
            }
        }
    }

    /// XEP-0114 §4: the protocol of components has no TLS.
    fn clear_links(&mut self) {
        for (name, table) in &self.config.adapter {
            let Some(connect) = table.get("connect").and_then(Value::as_str) else { continue };
            let Some((host, _)) = connect.rsplit_once(':') else { continue };
            let host = host.trim_matches(['[', ']']);
            let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            if self.type_of(name) == Some("xmpp-component") && !is_here {
                let problem =
                    "a component link has no TLS: whoever is on the way there reads and changes what it carries";
                let remedy =
                    "let the gateway stand beside the server, or lead the link through a tunnel to an address here";
                self.warning(Key::parse("adapter").name(name).name("connect"), problem, remedy);
            }
        }
    }
}

/// Whether `wide` matches all that `narrow` does.
fn covers(wide: &DomainPattern, narrow: &DomainPattern) -> bool {
    match (wide, narrow) {
        (DomainPattern::Any, _) => true,
        (_, DomainPattern::Exactly(domain)) => wide.matches(domain),
        (DomainPattern::Below(parent), DomainPattern::Below(child)) => parent == child || wide.matches(child),
        (DomainPattern::Exactly(_) | DomainPattern::Below(_), _) => false,
    }
}
