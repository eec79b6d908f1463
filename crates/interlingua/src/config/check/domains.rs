//! `[[domain]]` and `[[route]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::problem::Key;
use super::super::{DomainTable, Role};
use super::Check;

/// Shorter than the time in which an unanswered request is given up and its server tried again.
const MIN_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// As long as a canary may take.
const MIN_CANARY: Duration = crate::canaries::PATIENCE;

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
            self.trunk(&key, domain);
            self.echo(&key, domain);
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
            let remedy = "remove it: the certificate whose names contain the domain is shown";
            self.problem(key.name("certificate"), "choosing a certificate by hand is not in this version", remedy);
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

    /// A SIP peer proves itself by its address, a password or a certificate; without any way in, nothing comes.
    fn provable(&mut self, key: &Key, domain: &DomainTable) {
        let Some(adapter) = domain.adapter.as_deref().filter(|adapter| self.type_of(adapter) == Some("sip")) else {
            return;
        };
        let table = self.config.adapter.get(adapter);
        let has = |key: &str| table.and_then(|table| table.get(key)).and_then(Value::as_array);
        let users = has("user").is_some_and(|users| !users.is_empty());
        let listens = has("listen").into_iter().flatten().filter_map(Value::as_str);
        let tls = listens.into_iter().any(|listen| listen.starts_with("tls:") || listen.starts_with("wss:"));
        if domain.trusted.is_empty() && !users && !tls {
            let remedy = "list the addresses of the proxies or users that send for this domain, give them passwords in \
                          [[adapter.NAME.user]], or listen on tls: for their certificates";
            self.warning(key.name("trusted"), "nobody is trusted: no message from this domain is taken", remedy);
        }
    }

    fn trunk(&mut self, key: &Key, domain: &DomainTable) {
        let Some(trunk) = &domain.trunk else { return };
        let key = key.name("trunk");
        if domain.adapter.as_deref().and_then(|adapter| self.type_of(adapter)) != Some("sip") {
            self.problem(key.clone(), "only an adapter of type sip has trunks", "remove the table");
        }
        let password = match trunk.read_password() {
            Ok(password) => password.is_some(),
            Err((name, problem)) => {
                let remedy = "name a file that holds the password that the server knows";
                self.problem(key.name(name), problem, remedy);
                true
            }
        };
        if trunk.username.is_none() && (password || trunk.register) {
            self.problem(key.name("username"), "missing", "write the name by which the server knows this gateway");
        }
        if trunk.username.is_some() && !password && !trunk.register {
            self.problem(key.name("password_file"), "missing", "name the file that holds the password of username");
        }
        if let Some(every) = trunk.keep_alive.filter(|every| *every < MIN_KEEP_ALIVE) {
            let remedy = format!("write at least \"{}\"", adapter_api::duration::format(MIN_KEEP_ALIVE));
            let problem = format!("{} is a flood, not a keep-alive", adapter_api::duration::format(every));
            self.problem(key.name("keep_alive"), problem, remedy);
        }
    }

    fn echo(&mut self, key: &Key, domain: &DomainTable) {
        let Some(echo) = &domain.echo else {
            if domain.canary_every.is_some() {
                let remedy = "name an address that sends back what it gets in echo, or remove it";
                self.warning(key.name("canary_every"), "no effect without echo", remedy);
            }
            return;
        };
        let name = domain.seen_as();
        match domain.echo_address() {
            Some(address) if address.domain() == name && address.local() != interwork::CANARY => {}
            Some(address) if address.domain() == name => {
                let remedy = "name a user that sends back what it gets";
                self.problem(key.name("echo"), "this is where the gateway's own canaries come from", remedy);
            }
            Some(_) | None => {
                let problem = format!("{echo} is no address of {name}");
                self.problem(key.name("echo"), problem, format!("write it as \"echo@{name}\""));
            }
        }
        if let Some(every) = domain.canary_every.filter(|every| *every < MIN_CANARY) {
            let remedy = format!("write at least \"{}\"", adapter_api::duration::format(MIN_CANARY));
            let problem = format!("{} leaves a canary no time to come back", adapter_api::duration::format(every));
            self.problem(key.name("canary_every"), problem, remedy);
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
        }
    }
}
