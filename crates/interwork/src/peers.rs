//! What adapters tell about their peers.

use std::collections::BTreeMap;
use std::time::SystemTime;

use adapter_api::{InstanceName, Registration};
use parking_lot::Mutex;
use serde::Serialize;

/// How a peer has proven itself last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerProof {
    /// The instance it speaks to.
    pub adapter: InstanceName,
    /// Its domain.
    pub peer: String,
    /// As `external`, `certificate`, `dialback`, `discovery`.
    pub proof: String,
    /// As `TLS 1.3`, or `clear`.
    pub protection: String,
    /// When that was.
    #[serde(skip)]
    pub at: SystemTime,
}

/// The proofs of peers, and how many there were of each kind.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    latest: BTreeMap<(InstanceName, String), PeerProof>,
    counts: BTreeMap<(InstanceName, String, String), u64>,
}

/// Peers that are shown; of more, those that came last are not.
const MAX_SHOWN: usize = 1000;

impl Proofs {
    pub(crate) fn add(&self, adapter: &InstanceName, peer: &str, proof: &str, protection: &str, at: SystemTime) {
        let mut table = self.0.lock();
        *table.counts.entry((adapter.clone(), proof.to_owned(), protection.to_owned())).or_default() += 1;
        let key = (adapter.clone(), peer.to_owned());
        if table.latest.len() < MAX_SHOWN || table.latest.contains_key(&key) {
            let (proof, protection) = (proof.to_owned(), protection.to_owned());
            let proof = PeerProof { adapter: adapter.clone(), peer: peer.to_owned(), proof, protection, at };
            table.latest.insert(key, proof);
        }
    }

    pub(crate) fn of(&self, adapter: &InstanceName, peer: &str) -> Option<PeerProof> {
        self.0.lock().latest.get(&(adapter.clone(), peer.to_owned())).cloned()
    }

    pub(crate) fn latest(&self) -> Vec<PeerProof> {
        self.0.lock().latest.values().cloned().collect()
    }

    pub(crate) fn counts(&self) -> Vec<((InstanceName, String, String), u64)> {
        self.0.lock().counts.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

/// The last word about the registration at each trunk's server, of which the configuration names few.
#[derive(Debug, Default)]
pub(crate) struct Registrations(Mutex<BTreeMap<(InstanceName, String), (Registration, SystemTime)>>);

impl Registrations {
    pub(crate) fn set(&self, adapter: &InstanceName, peer: &str, registration: Registration, at: SystemTime) {
        self.0.lock().insert((adapter.clone(), peer.to_owned()), (registration, at));
    }

    pub(crate) fn all(&self) -> Vec<(InstanceName, String, Registration, SystemTime)> {
        let all = self.0.lock();
        all.iter().map(|((adapter, peer), (last, at))| (adapter.clone(), peer.clone(), *last, *at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_proof_is_shown_and_all_are_counted() {
        let (proofs, xmpp) = (Proofs::default(), InstanceName::from("xmpp"));
        proofs.add(&xmpp, "a.example", "dialback", "clear", SystemTime::UNIX_EPOCH);
        proofs.add(&xmpp, "a.example", "external", "TLS 1.3", SystemTime::UNIX_EPOCH);
        let latest = proofs.latest();
        assert_eq!((latest.len(), latest[0].proof.as_str(), latest[0].protection.as_str()), (1, "external", "TLS 1.3"));
        assert_eq!(proofs.of(&xmpp, "a.example").as_ref(), latest.first());
        assert_eq!(proofs.of(&InstanceName::from("sip"), "a.example"), None);
        assert_eq!(proofs.counts().iter().map(|(_, count)| count).sum::<u64>(), 2);
    }
}
