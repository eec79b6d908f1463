//! A hub that hands everything to the kit, and keeps records as the store does.

use crate::{
    AdapterState, Carries, Configuration, DomainEntry, HubCore, InstanceName, PeerState, Provenance, Role, Settle,
    StateDone, TraceId,
};
use impp_model::{DispositionOperation, Domain, Operation, Outcome, Proof};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// What the adapter handed in.
#[derive(Debug)]
pub struct Submitted {
    /// The operation.
    pub operation: Operation,
    /// Who sent it, as the adapter says.
    pub provenance: Arc<Provenance>,
    /// The answer, if [`KitHub::answers`] is none; else it has been given.
    pub settle: Option<Settle>,
}

/// Word of a failure that the adapter gave back.
#[derive(Debug, Clone, PartialEq)]
pub struct Owed {
    /// The word.
    pub word: DispositionOperation,
    /// Whether the sender may have heard it.
    pub repeat: bool,
}

/// A hub for tests: what is submitted comes out of the receiver that [`KitHub::new`] gives.
pub struct KitHub {
    submitted: mpsc::UnboundedSender<Submitted>,
    answers: Mutex<Option<Outcome>>,
    traces: AtomicU64,
    losses: Mutex<Vec<(String, Carries)>>,
    owed: watch::Sender<Vec<Owed>>,
    proofs: Mutex<Vec<[String; 3]>>,
    commits: watch::Sender<u64>,
    records: Arc<Records>,
    listening: watch::Sender<Option<SocketAddr>>,
    configuration: watch::Sender<Arc<Configuration>>,
}

impl KitHub {
    /// A hub whose adapter `instance` serves `domain`, with the records of an earlier life.
    pub fn new(
        instance: &InstanceName,
        domain: &Domain,
        records: Arc<Records>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Submitted>) {
        let (submitted, receiver) = mpsc::unbounded_channel();
        let entry = DomainEntry {
            name: domain.clone(),
            own_name: None,
            role: Role::Local,
            adapter: Some(instance.clone()),
            next_hop: None,
            trusted: Vec::new(),
        };
        let mut configuration = Configuration::new(domain.clone(), vec![entry]);
        configuration.hold_timeout = Duration::from_secs(2);
        let hub = Self {
            submitted,
            answers: Mutex::new(Some(Outcome::Success(Proof::Recipient))),
            traces: AtomicU64::new(1),
            losses: Mutex::default(),
            owed: watch::Sender::default(),
            proofs: Mutex::default(),
            commits: watch::Sender::new(0),
            records,
            listening: watch::Sender::new(None),
            configuration: watch::Sender::new(Arc::new(configuration)),
        };
        (Arc::new(hub), receiver)
    }

    /// From here on each submission is answered like this at once; none leaves the answer to whoever reads the submission.
    pub fn answers(&self, outcome: Option<Outcome>) {
        *lock(&self.answers) = outcome;
    }

    /// The fields that the adapter counted as lost.
    pub fn losses(&self) -> Vec<(String, Carries)> {
        lock(&self.losses).clone()
    }

    /// The words that the adapter gave back.
    pub fn owed(&self) -> Vec<Owed> {
        self.owed.borrow().clone()
    }

    /// The first of them, once there is one. Cancel-safe.
    pub async fn first_owed(&self) -> Option<Owed> {
        let mut owed = self.owed.subscribe();
        owed.wait_for(|owed| !owed.is_empty()).await.ok().and_then(|owed| owed.first().cloned())
    }

    /// Peers with their proofs and protections.
    pub fn proofs(&self) -> Vec<[String; 3]> {
        lock(&self.proofs).clone()
    }

    /// Waits until the adapter has asked for so many commits.
    pub async fn commits(&self, count: u64) {
        let mut commits = self.commits.subscribe();
        // The sender lives as long as this hub.
        let _ = commits.wait_for(|found| *found >= count).await;
    }

    /// The first address at which the adapter listens. Cancel-safe.
    pub async fn listening_at(&self) -> Option<SocketAddr> {
        let mut listening = self.listening.subscribe();
        listening.wait_for(Option::is_some).await.ok().and_then(|address| *address)
    }
}

impl HubCore for KitHub {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let trace = TraceId(self.traces.fetch_add(1, Ordering::Relaxed));
        let answer = lock(&self.answers).clone();
        let settle = match answer {
            Some(outcome) => {
                settle.settle(outcome);
                None
            }
            None => Some(settle),
        };
        // A test that no longer looks has ended.
        let _ = self.submitted.send(Submitted { operation, provenance, settle });
        trace
    }

    fn peer_changed(&self, _: &InstanceName, _: &str, _: PeerState) {}

    fn translation_loss(&self, _: &InstanceName, field: &str, how: Carries) {
        lock(&self.losses).push((field.to_owned(), how));
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.subscribe()
    }

    fn state(&self) -> Option<Arc<dyn AdapterState>> {
        Some(Arc::clone(&self.records) as _)
    }

    fn listening(&self, _: &InstanceName, _: &str, address: SocketAddr) {
        self.listening.send_if_modified(|first| first.is_none() && first.replace(address).is_none());
    }

    fn peer_proven(&self, _: &InstanceName, peer: &str, proof: &str, protection: &str) {
        lock(&self.proofs).push([peer, proof, protection].map(str::to_owned));
    }

    fn peer_registered(&self, _: &InstanceName, _: &str, _: crate::Registration) {}

    fn commit(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    fn owe(&self, _: &InstanceName, word: DispositionOperation, repeat: bool, done: StateDone) {
        self.owed.send_modify(|owed| owed.push(Owed { word, repeat }));
        done(true);
    }
}

/// The records of adapters, in memory: they outlive a [`KitHub`] as a disk outlives a process.
#[derive(Debug, Default)]
pub struct Records(Mutex<Kept>);

/// By instance and key.
type Kept = BTreeMap<(InstanceName, Vec<u8>), Vec<u8>>;

impl AdapterState for Records {
    fn put(&self, instance: &InstanceName, key: &[u8], value: Option<Vec<u8>>, done: StateDone) {
        let key = (instance.clone(), key.to_vec());
        match value {
            Some(value) => lock(&self.0).insert(key, value),
            None => lock(&self.0).remove(&key),
        };
        done(true);
    }

    fn all(&self, instance: &InstanceName) -> Vec<(Vec<u8>, Vec<u8>)> {
        let records = lock(&self.0);
        let own = records.iter().filter(|((owner, _), _)| owner == instance);
        own.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// What a test holds while it panics is still worth showing.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
