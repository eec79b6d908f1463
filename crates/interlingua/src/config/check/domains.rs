//! `[[domain]]` and `[[route]]`.

use std::collections::BTreeMap;

use super::super::problem::Key;
use super::super::{DomainTable, Role};
use super::Check;

impl Check<'_> {
    pub(super) fn domains(&mut self) {
        let mut first = BTreeMap::new();
        for (index, domain) in self.config.domain.iter().enumerate() {
            let key = Key::parse("domain").index(index);
            let seen_as = domain.seen_as();
            if let Some(earlier) = first.get(seen_as) {
                self.twice(&key, domain, *earlier);
            } else {
                first.insert(seen_as, index);
            }
            self.later_keys(&key, domain);
            self.reached_by(&key, domain);
            self.trusted(&key, domain);
            self.provable(&key, domain);
            if let Some(next_hop) = &domain.next_hop {
                self.next_hop(key.name("next_hop"), next_hop, domain.adapter.as_deref());
            }
        }
        if !self.config.domain.iter().any(|domain| domain.role == Role::Local) {
            let remedy = "add a [[domain]] with role = \"local\" for each domain this gateway speaks for";
            self.warning(Key::parse("domain"), "no domain is local: every message will be refused", remedy);
        }
        self.component_domains();
    }

    fn twice(&mut self, key: &Key, domain: &DomainTable, earlier: usize) {
        let other = self.config.domain.get(earlier).and_then(|other| other.adapter.as_ref());
        let name = domain.seen_as();
        let (problem, remedy) = if other == domain.adapter.as_ref() {
            (format!("domain[{earlier}] has the same name"), "remove one of the two".to_owned())
        } else {
            let problem = format!("domain[{earlier}] is {name} too, and has another adapter: who is meant?");
            (problem, format!("set shown_as in one of the two: the name under which other networks see {name} there"))
        };
        self.problem(key.name(if domain.shown_as.is_some() { "shown_as" } else { "name" }), problem, remedy);
    }

    fn later_keys(&mut self, key: &Key, domain: &DomainTable) {
        if domain.shown_as.is_some() && (domain.role != Role::Local || domain.adapter.is_none()) {
            let remedy = "remove it, or make the domain a local one with an adapter";
            self.problem(key.name("shown_as"), "only what a local network calls itself can be shown otherwise", remedy);
        }
        if domain.certificate.is_some() {
            self.problem(key.name("certificate"), "TLS is not in this version", "remove it");
        }
    }

    fn reached_by(&mut self, key: &Key, domain: &DomainTable) {
        match (&domain.adapter, domain.role) {
            (Some(adapter), _) => self.known_adapter(key.name("adapter"), adapter),
            (None, Role::Local) => {
                self.problem(
                    key.name("adapter"),
                    "missing: nobody serves this local domain",
                    "name the adapter that reaches its users",
                );
            }
            (None, Role::Remote) if domain.next_hop.is_none() => {
                self.warning(
                    key.clone(),
                    "no effect: neither adapter nor next_hop",
                    "set one of them, or remove the table",
                );
            }
            (None, Role::Remote) => {}
        }
    }

    // RFC 3261 §26.2.4: the source address of a datagram can be anything outside one's own network.
    fn trusted(&mut self, key: &Key, domain: &DomainTable) {
        let over_udp = domain.adapter.as_ref().is_some_and(|adapter| self.listens_on_udp(adapter));
        for (index, network) in domain.trusted.iter().enumerate() {
            if over_udp && !network.is_private() {
                let remedy = "trust loopback or private networks only, or take the adapter's udp: listener away";
                let problem = "over UDP a source address outside loopback and private networks proves nothing";
                self.problem(key.name("trusted").index(index), problem, remedy);
            }
        }
    }

    /// In this version a trusted address is the one proof that a SIP peer can give.
    fn provable(&mut self, key: &Key, domain: &DomainTable) {
        let sip = domain.adapter.as_deref().and_then(|adapter| self.type_of(adapter)) == Some("sip");
        if sip && domain.trusted.is_empty() {
            let remedy = "list the addresses of the proxies or users that send for this domain";
            self.warning(key.name("trusted"), "nobody is trusted: no message from this domain is taken", remedy);
        }
    }

    /// What a component sends must come from its domain, so that domain should be a local one.
    fn component_domains(&mut self) {
        self.component_twice();
        for (name, configured) in self.adapters {
            let Some(domain) = self.adapter_text(name, "domain").filter(|_| configured.type_name() == "xmpp-component")
            else {
                continue;
            };
            let local = |table: &&DomainTable| {
                table.role == Role::Local && table.seen_as().as_str().eq_ignore_ascii_case(domain)
            };
            if self.config.domain.iter().find(local).is_none() {
                let problem = format!("{domain} is no local [[domain]]: nobody can send over this link");
                let remedy = format!("add a [[domain]] with name = \"{domain}\" and the adapter that serves its users");
                self.warning(Key::parse("adapter").name(name).name("domain"), problem, remedy);
            }
        }
    }

    fn component_twice(&mut self) {
        let mut taken: BTreeMap<(String, String), String> = BTreeMap::new();
        for (name, _) in self.adapters {
            let text = |key| self.adapter_text(name, key).map(str::to_ascii_lowercase);
            let (Some(connect), Some(domain)) = (text("connect"), text("domain")) else { continue };
            if let Some(other) = taken.insert((connect, domain), name.clone()) {
                let problem = format!("adapter.{other} is the same component of the same server, which takes it once");
                self.problem(Key::parse("adapter").name(name).name("domain"), problem, "remove one of the two");
            }
        }
    }

    pub(super) fn routes(&mut self) {
        for (index, route) in self.config.route.iter().enumerate() {
            let key = Key::parse("route").index(index);
            let ways = [route.adapter.is_some(), route.protocol.is_some(), route.next_hop.is_some()];
            if ways.into_iter().filter(|set| *set).count() != 1 {
                self.problem(key.clone(), "not exactly one of adapter, protocol and next_hop", "keep one of them");
            }
            if let Some(adapter) = &route.adapter {
                self.known_adapter(key.name("adapter"), adapter);
            }
            if let Some(protocol) = &route.protocol {
                self.protocol(key.name("protocol"), protocol);
            }
            if let Some(next_hop) = &route.next_hop {
                self.next_hop(key.name("next_hop"), next_hop, None);
            }
            let covers = |earlier: &&super::super::RouteTable| earlier.from == route.from && earlier.to == route.to;
            if let Some(earlier) = self.config.route.iter().take(index).position(|route| covers(&route)) {
                self.warning(key, format!("never used: route[{earlier}] matches the same"), "remove one of the two");
            }
        }
    }
}
