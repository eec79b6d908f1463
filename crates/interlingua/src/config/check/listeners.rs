//! Listeners: transports of later versions, and addresses given twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::super::problem::Key;
use super::Check;

/// Transports of the contract that later versions bring.
const LATER: [&str; 2] = ["ws:", "wss:"];

impl Check<'_> {
    pub(super) fn listeners(&mut self) {
        let mut taken: BTreeMap<(Layer, SocketAddr), Key> = BTreeMap::new();
        taken.insert((Layer::Stream, self.config.admin.listen), Key::parse("admin.listen"));
        for (key, listen) in self.all_listens() {
            if let Some(transport) = LATER.iter().find(|later| listen.starts_with(**later)) {
                self.later(key, transport);
                continue;
            }
            if listen.starts_with("tls:") && self.config.tls.certificates.is_empty() {
                let remedy = "add certificates = [{ certificate = \"FILE\", private_key = \"FILE\" }] to [tls]";
                self.problem(key.clone(), "TLS without a certificate", remedy);
            }
            let Some((layer, address)) = parse(&listen) else {
                continue;
            };
            if address.port() == 0 {
                continue;
            }
            match taken.get(&(layer, address)) {
                Some(other) => {
                    let problem = format!("{other} has the same address and port");
                    self.problem(key, problem, "give each listener a port of its own");
                }
                None => {
                    taken.insert((layer, address), key);
                }
            }
        }
    }

    /// Says it once: the adapter may have found the same.
    fn later(&mut self, key: Key, transport: &str) {
        if self.problems.iter().any(|problem| problem.key == key) {
            return;
        }
        let problem = format!("{transport} listeners are not in this version");
        self.problem(key, problem, "use udp: and tcp:, and a TLS proxy in front where the network is not closed");
    }

    fn all_listens(&self) -> Vec<(Key, String)> {
        let mut all = Vec::new();
        for (name, table) in &self.config.adapter {
            let key = Key::parse("adapter").name(name).name("listen");
            match table.get("listen") {
                Some(Value::String(one)) => all.push((key, one.clone())),
                Some(Value::Array(several)) => {
                    let texts = several
                        .iter()
                        .enumerate()
                        .filter_map(|(i, one)| Some((key.index(i), one.as_str()?.to_owned())));
                    all.extend(texts);
                }
                Some(_) | None => {}
            }
        }
        all
    }

    /// Whether the adapter takes datagrams.
    pub(super) fn listens_on_udp(&self, adapter: &str) -> bool {
        let prefix = Key::parse("adapter").name(adapter);
        self.all_listens().iter().any(|(key, listen)| key.is_within(&prefix) && listen.starts_with("udp:"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Datagram,
    Stream,
}

fn parse(listen: &str) -> Option<(Layer, SocketAddr)> {
    let (layer, address) = match listen.split_once(':') {
        Some(("udp", address)) => (Layer::Datagram, address),
        Some(("tcp" | "tls", address)) => (Layer::Stream, address),
        _ => (Layer::Stream, listen),
    };
    Some((layer, address.parse().ok()?))
}
