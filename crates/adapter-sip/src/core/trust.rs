//! Whom a peer may speak for (SEC-001).

use super::Core;
use super::auth::speaks_for;
use super::route::{Channel, ConnectionId, Source};
use super::streams::CLEAR;
use adapter_api::{Configuration, InstanceName, Provenance, SourceProof, SpeaksFor, Transport};
use impp_model::{Address, Domain};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use transport::tls::PeerIdentity;

/// What the configuration says of each peer's address, remembered until it changes.
pub(crate) struct Trust {
    instance: InstanceName,
    configuration: watch::Receiver<Arc<Configuration>>,
    known: BTreeMap<(IpAddr, Transport), Arc<Provenance>>,
    proven: Proven,
    shown: Shown,
}

/// The proof that each domain last came with, as the hub knows it.
type Shown = BTreeMap<Domain, (SourceProof, &'static str)>;

/// What a certificate has proven, for each connection and domain that it was asked about.
type Proven = BTreeMap<(ConnectionId, Domain), Arc<Provenance>>;

/// Peers remembered; a flood of forged addresses must not fill the memory.
const MAX_KNOWN: usize = 4096;

impl Trust {
    pub(crate) fn new(instance: InstanceName, configuration: watch::Receiver<Arc<Configuration>>) -> Self {
        Self { instance, configuration, known: BTreeMap::new(), proven: Proven::new(), shown: Shown::new() }
    }

    /// The proof that a message from `peer` comes with.
    pub(crate) fn provenance(&mut self, peer: IpAddr, transport: Transport) -> Arc<Provenance> {
        let peer = peer.to_canonical();
        if self.configuration.has_changed().unwrap_or(false) {
            self.configuration.mark_unchanged();
            self.known.clear();
        }
        if let Some(known) = self.known.get(&(peer, transport)) {
            return known.clone();
        }
        let provenance = Arc::new(self.judge(peer, transport));
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert((peer, transport), provenance.clone());
        provenance
    }

    /// RFC 5922 §7.4: the proof for `domain` that the certificate of a connection's peer gives.
    pub(crate) fn certificate(
        &mut self,
        connection: ConnectionId,
        identity: &PeerIdentity,
        domain: &Domain,
    ) -> Option<Arc<Provenance>> {
        let key = (connection, domain.clone());
        if let Some(proven) = self.proven.get(&key) {
            return Some(proven.clone());
        }
        identity.sip(domain).ok()?;
        let provenance = Arc::new(Provenance {
            may_repeat: false,
            adapter: self.instance.clone(),
            peer: domain.as_str().into(),
            proof: SourceProof::Certificate,
            speaks_for: SpeaksFor::Domains(Arc::from([domain.clone()])),
        });
        if self.proven.len() >= MAX_KNOWN {
            self.proven.clear();
        }
        self.proven.insert(key, provenance.clone());
        Some(provenance)
    }

    /// Whether a domain comes with another proof than before.
    fn is_news(&mut self, domain: &Domain, proof: SourceProof, protection: &'static str) -> bool {
        if self.shown.get(domain) == Some(&(proof, protection)) {
            return false;
        }
        if self.shown.len() >= MAX_KNOWN {
            self.shown.clear();
        }
        self.shown.insert(domain.clone(), (proof, protection));
        true
    }

    fn judge(&self, peer: IpAddr, transport: Transport) -> Provenance {
        let configuration = self.configuration.borrow();
        let domains: Arc<[Domain]> = if transport == Transport::Udp && !is_private(peer) {
            // The source of a datagram is easily forged unless the network is our own.
            Arc::default()
        } else {
            configuration.trusted_for(&self.instance, peer).cloned().collect()
        };
        let (proof, speaks_for) = if domains.is_empty() {
            (SourceProof::None, SpeaksFor::Nobody)
        } else {
            (SourceProof::TrustedAddress, SpeaksFor::Domains(domains))
        };
        Provenance {
            may_repeat: false,
            adapter: self.instance.clone(),
            peer: peer.to_string().into(),
            proof,
            speaks_for,
        }
    }
}

impl Core {
    /// What the way proves that a request came by: a certificate for `domain`, else its address.
    pub(super) fn provenance(&mut self, source: Source, domain: &Domain) -> Arc<Provenance> {
        let by_certificate = match source.channel {
            Channel::Connection(connection) => self
                .streams
                .identity(connection)
                .and_then(|identity| self.trust.certificate(connection, identity, domain)),
            Channel::Socket(_) => None,
        };
        by_certificate.unwrap_or_else(|| self.trust.provenance(source.peer.ip(), source.transport))
    }

    /// Tells the hub how a domain has proven itself, when that is news.
    pub(super) fn show_proof(&mut self, provenance: &Provenance, source: &Address, channel: Channel) {
        let protection = match channel {
            Channel::Connection(connection) => self.streams.protection(connection),
            Channel::Socket(_) => CLEAR,
        };
        let proof = match provenance.proof {
            SourceProof::TrustedAddress => "trusted-address",
            SourceProof::Digest => "digest",
            SourceProof::Certificate => "certificate",
            // Others prove nothing, or are not SIP's; a dialog was begun by us.
            SourceProof::None
            | SourceProof::Secret
            | SourceProof::Token
            | SourceProof::Dialback
            | SourceProof::Dialog
            | _ => {
                return;
            }
        };
        let domain = source.domain();
        if speaks_for(provenance, source) && self.trust.is_news(domain, provenance.proof, protection) {
            self.hub.peer_proven(domain.as_str(), proof, protection);
        }
    }

    /// Whether a datagram comes from where strangers may write, so that its source may be forged.
    pub(super) fn is_stranger(&mut self, source: Source) -> bool {
        source.transport == Transport::Udp
            && self.trust.provenance(source.peer.ip(), source.transport).proof == SourceProof::None
    }
}

/// Loopback and private ranges (RFC 1918, RFC 4193, RFC 3927, RFC 4291 §2.5.6).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::{DomainEntry, Role};

    fn configuration(trusted: &[&str]) -> Arc<Configuration> {
        let entry = DomainEntry {
            name: "sip.example".parse().unwrap(),
            own_name: None,
            role: Role::Local,
            adapter: Some("sip".into()),
            next_hop: None,
            trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
        };
        Arc::new(Configuration::new("gw.example".parse().unwrap(), vec![entry]))
    }

    fn proof(trust: &mut Trust, peer: &str, transport: Transport) -> SourceProof {
        trust.provenance(peer.parse().unwrap(), transport).proof
    }

    // checks: SEC-001
    #[test]
    fn only_configured_networks_are_trusted_and_udp_only_at_home() {
        let (sender, receiver) = watch::channel(configuration(&["127.0.0.0/8", "192.0.2.0/24"]));
        let mut trust = Trust::new("sip".into(), receiver);
        assert_eq!(proof(&mut trust, "127.0.0.1", Transport::Udp), SourceProof::TrustedAddress);
        assert_eq!(proof(&mut trust, "::ffff:127.0.0.1", Transport::Udp), SourceProof::TrustedAddress);
        assert_eq!(proof(&mut trust, "10.0.0.1", Transport::Udp), SourceProof::None);
        assert_eq!(proof(&mut trust, "192.0.2.9", Transport::Tcp), SourceProof::TrustedAddress);
        assert_eq!(proof(&mut trust, "192.0.2.9", Transport::Udp), SourceProof::None);
        sender.send_replace(configuration(&[]));
        assert_eq!(proof(&mut trust, "127.0.0.1", Transport::Udp), SourceProof::None);
        let other = &mut Trust::new("other".into(), sender.subscribe());
        assert_eq!(proof(other, "127.0.0.1", Transport::Udp), SourceProof::None);
    }
}
