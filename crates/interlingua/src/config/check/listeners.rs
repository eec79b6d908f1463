//! Listeners: TLS without a certificate, and addresses given twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::super::AdminListen;
use super::super::problem::Key;
use super::Check;

impl Check<'_> {
    pub(super) fn listeners(&mut self) {
        let mut taken: BTreeMap<(Layer, SocketAddr), Key> = BTreeMap::new();
        if let AdminListen::Network(address) = self.config.admin.listen {
            taken.insert((Layer::Stream, address), Key::parse("admin.listen"));
        }
        for (key, listen) in self.all_listens() {
            if (listen.starts_with("tls:") || listen.starts_with("wss:")) && self.has_no_certificate() {
                let remedy = "name a certificate and its key in [tls]: certificates = [{ certificate = \"gw.pem\", \
                              private_key = \"gw.key\" }], or order one with [tls.acme]";
                self.problem(key.clone(), "TLS without a certificate to show", remedy);
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

    fn has_no_certificate(&self) -> bool {
        self.config.tls.certificates.is_empty() && self.config.tls.acme.is_none()
    }

    pub(super) fn all_listens(&self) -> Vec<(Key, String)> {
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
        Some(("tcp" | "tls" | "ws" | "wss", address)) => (Layer::Stream, address),
        _ => (Layer::Stream, listen),
    };
    Some((layer, address.parse().ok()?))
}
