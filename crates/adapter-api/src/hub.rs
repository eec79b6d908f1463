//! The hub as an adapter sees it.

use crate::{Carries, Configuration, DomainPattern, Registration, Settle, settle_channel};
use impp_model::{Address, DispositionOperation, Operation, Outcome, domain::Domain};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The name of an adapter instance: the `NAME` of `[adapter.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceName(Arc<str>);

impl InstanceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for InstanceName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One message's trace through the gateway: sixteen hex digits in logs and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who sent an operation, and how that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The instance it came through.
    pub adapter: InstanceName,
    /// The peer: its domain or its address, never a user.
    pub peer: Arc<str>,
    /// How the peer was authenticated.
    pub proof: SourceProof,
    /// Whom the peer may name as a source.
    pub speaks_for: SpeaksFor,
    /// Whether the peer may have handed in the same before, with nothing to tell it by: what is sent on is flagged as a repeat.
    #[serde(default)]
    pub may_repeat: bool,
}

/// How a peer was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SourceProof {
    /// Not at all.
    None,
    /// Its network address is trusted by configuration.
    TrustedAddress,
    /// A shared secret on a link (XEP-0114).
    Secret,
    /// A bearer token.
    Token,
    /// It answers within a dialog that this gateway has begun with it.
    Dialog,
    /// A user name and password that never crossed the network (RFC 8760).
    Digest,
    /// A certificate for the domain, with the key to it (RFC 5922, RFC 6120 §13.7).
    Certificate,
    /// A key that the domain's own server knew (XEP-0220): as good as the name system.
    Dialback,
}

impl SourceProof {
    /// Whether a certificate proved the peer over TLS.
    pub fn is_tls(self) -> bool {
        match self {
            Self::Certificate => true,
            Self::None
            | Self::TrustedAddress
            | Self::Secret
            | Self::Token
            | Self::Dialog
            | Self::Digest
            | Self::Dialback => false,
        }
    }
}

/// Whom a peer may name as a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeaksFor {
    /// Nobody.
    Nobody,
    /// Exactly this user.
    Address(Address),
    /// All users of these domains.
    Domains(Arc<[Domain]>),
    /// All users of domains that match one of these, but for the local domains of other protocols.
    Patterns(Arc<[DomainPattern]>),
}

/// Whether a peer of an adapter can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// What an adapter keeps over restarts: opaque records under keys of its own, which hold no address in clear.
pub trait AdapterState: Send + Sync {
    /// Puts a record, or deletes it. Records of one instance take effect in the order of the calls. `done` is called once,
    /// when the change is durable or refused, perhaps on another thread: it must be short and must not wait.
    fn put(&self, instance: &InstanceName, key: &[u8], value: Option<Vec<u8>>, done: StateDone);

    /// Every record of the instance, in the order of keys. Waits for the disk: for starts.
    fn all(&self, instance: &InstanceName) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// Hears whether a change of [`AdapterState`], or a word that is owed, is durable.
pub type StateDone = Box<dyn FnOnce(bool) + Send>;

/// What stands behind a [`Hub`]; implemented by the gateway and by test kits.
///
/// No method has a body here: one that is passed on from a hub to another must not get lost on the way.
pub trait HubCore: Send + Sync {
    /// See [`Hub::submit`].
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId;
    /// See [`Hub::peer_changed`].
    fn peer_changed(&self, adapter: &InstanceName, peer: &str, state: PeerState);
    /// See [`Hub::translation_loss`].
    fn translation_loss(&self, adapter: &InstanceName, field: &str, how: Carries);
    /// See [`Hub::configuration`].
    fn configuration(&self) -> watch::Receiver<Arc<Configuration>>;
    /// See [`Hub::peer_proven`].
    fn peer_proven(&self, adapter: &InstanceName, peer: &str, proof: &str, protection: &str);
    /// See [`Hub::peer_registered`].
    fn peer_registered(&self, adapter: &InstanceName, peer: &str, registration: Registration);
    /// See [`Hub::keep`] and [`Hub::kept`]; none where nothing is kept.
    fn state(&self) -> Option<Arc<dyn AdapterState>>;
    /// See [`Hub::commit`].
    fn commit(&self);
    /// See [`Hub::owe`].
    fn owe(&self, adapter: &InstanceName, word: DispositionOperation, repeat: bool, done: StateDone);
    /// See [`Hub::listening`].
    fn listening(&self, adapter: &InstanceName, transport: &str, address: SocketAddr);
}

/// The way into the gateway, one for each adapter instance. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    core: Arc<dyn HubCore>,
    instance: InstanceName,
}

impl Hub {
    /// The hub as `instance` sees it.
    pub fn new(core: Arc<dyn HubCore>, instance: InstanceName) -> Self {
        Self { core, instance }
    }

    /// The adapter instance this handle belongs to.
    pub fn instance(&self) -> &InstanceName {
        &self.instance
    }

    /// Hands in what arrived. `settle` hears what became of it, perhaps before this returns.
    pub fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        self.core.submit(operation, provenance, settle)
    }

    /// A peer waits to hear that what it sent is safe (DESIGN A5, `ack_delay`): what is not settled goes to disk at once, and
    /// [`Settlement::kept`](crate::Settlement::kept) tells when it is there.
    pub fn commit(&self) {
        self.core.commit();
    }

    /// Gives back word of a failure, from the addressee to the sender, which this adapter was told and could not get through:
    /// it is delivered when it can be, over a restart too, or counted as told to nobody. It is a `repeat` if the sender may have
    /// heard it all the same. `done` hears whether it is on disk: until then nobody may forget the message that it is about.
    pub fn owe(&self, word: DispositionOperation, repeat: bool, done: StateDone) {
        self.core.owe(&self.instance, word, repeat, done);
    }

    /// Hands in what arrived and waits for what became of it.
    pub async fn submit_and_wait(&self, operation: Operation, provenance: Arc<Provenance>) -> (TraceId, Outcome) {
        let (settle, outcome) = settle_channel();
        let trace = self.submit(operation, provenance, settle);
        (trace, outcome.await.unwrap_or(Outcome::Indeterminant))
    }

    /// Tells that `peer` (a domain or hop address) can be reached, or can't; or, by its address, that a user can who has a way
    /// of its own: what waits for it is tried at once.
    pub fn peer_changed(&self, peer: &str, state: PeerState) {
        self.core.peer_changed(&self.instance, peer, state);
    }

    /// Tells how `peer` has proven itself, as `certificate` or `dialback`, and how the connection is protected, as `TLS 1.3`.
    pub fn peer_proven(&self, peer: &str, proof: &str, protection: &str) {
        self.core.peer_proven(&self.instance, peer, proof, protection);
    }

    /// Tells what became of a registration of ours at `peer`, a domain with a trunk.
    pub fn peer_registered(&self, peer: &str, registration: Registration) {
        self.core.peer_registered(&self.instance, peer, registration);
    }

    /// Tells that a listener is open: `udp`, `tcp` or `http`, at this address, with the port that was chosen for port 0.
    pub fn listening(&self, transport: &str, address: SocketAddr) {
        self.core.listening(&self.instance, transport, address);
    }

    /// Counts a field of an operation that this adapter could not carry whole.
    pub fn translation_loss(&self, field: &str, how: Carries) {
        self.core.translation_loss(&self.instance, field, how);
    }

    /// Puts a record that this instance finds again after a restart, or deletes it; see [`AdapterState::put`].
    pub fn keep(&self, key: &[u8], value: Option<Vec<u8>>, done: StateDone) {
        match self.core.state() {
            Some(state) => state.put(&self.instance, key, value, done),
            None => done(true),
        }
    }

    /// What this instance has kept; see [`AdapterState::all`].
    pub fn kept(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.core.state().map(|state| state.all(&self.instance)).unwrap_or_default()
    }

    /// The shared configuration, as it changes.
    pub fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.core.configuration()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Tells an adapter when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// The other end of [`Shutdown`].
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

impl Shutdown {
    /// A pair that has not been triggered.
    pub fn new() -> (ShutdownTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Self(receiver))
    }

    /// Waits until the gateway stops. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone: the gateway is, too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether the gateway is stopping.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

impl ShutdownTrigger {
    /// Tells every holder of the [`Shutdown`] to stop.
    pub fn shut_down(&self) {
        self.0.send_replace(true);
    }
}
