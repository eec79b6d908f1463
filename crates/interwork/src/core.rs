//! The hub itself: admission, routing, delivery, settlement.

use crate::admission::Rules;
use crate::archive::Archive;
use crate::canary::Canaries;
use crate::composing::Composers;
use crate::counters::{Counters, Direction, OperationKey};
use crate::decisions::Decisions;
use crate::dispatch::hop_name;
use crate::dns::{CountedDns, DnsCounts};
use crate::inflight::InFlight;
use crate::journal::Young;
use crate::live::Live;
use crate::locate::Locator;
use crate::notice::NoticePace;
use crate::once::{AfterCrash, Repeats};
use crate::order::Order;
use crate::pace::Paces;
use crate::pace_book::PaceBook;
use crate::peers::{PeerProof, Proofs, Registrations};
use crate::presence::{Engine, KeptState, Presence, Subscription, SubscriptionCounts};
use crate::rates::Rates;
use crate::receipts::Asked;
use crate::routing::{Candidate, Router};
use crate::rulebook::Rulebook;
use crate::setup::{CoreConfig, Instance, Storage};
use crate::spool::{Parked, Retries};
use crate::traces::{Beginning, Traces};
use crate::waiting::{Owner, Waiting, WaitingRoom};
use adapter_api::{
    Adapter, AdapterState, Carries, Configuration, Hub, HubCore, InstanceName, PeerState, Provenance, Registration,
    Settle, Settlement, SourceProof, StateDone, Token, TraceId,
};
use arc_swap::ArcSwap;
use impp_model::{Address, Cause, DispositionOperation, Failure, Operation, Outcome, Side};
use impp_resolve::Dns;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};
use store::{Ledger, LedgerError, StoreError, Timestamp};
use tokio::sync::watch;

/// What all peers are called together that are no configured domain.
pub const OTHER_PEERS: &str = "other";

/// The hub. One for each process; adapters see it as [`Hub`].
pub struct Core {
    me: Weak<Self>,
    pub(crate) config: CoreConfig,
    pub(crate) adapters: Vec<Arc<dyn Adapter>>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) locator: Locator,
    pub(crate) rules: ArcSwap<Rulebook>,
    pub(crate) rates: ArcSwap<Rates>,
    pub(crate) decisions: RwLock<Decisions>,
    pub(crate) waiting: Mutex<WaitingRoom>,
    /// How many pairs have somebody waiting; while none has, the lock above is not touched.
    pub(crate) waiting_pairs: AtomicU64,
    pub(crate) inflight: InFlight,
    pub(crate) order: Order<Parked>,
    pub(crate) young: Young,
    pub(crate) asked: Asked,
    pub(crate) twins: Repeats,
    pub(crate) after_crash: AfterCrash,
    pub(crate) notices: NoticePace,
    pub(crate) paces: Paces,
    pub(crate) pace_book: PaceBook,
    pub(crate) composers: Composers,
    pub(crate) storage: Storage,
    pub(crate) retries: Retries,
    pub(crate) presence: Presence,
    pub(crate) counters: Counters,
    pub(crate) dns_counts: Arc<DnsCounts>,
    pub(crate) traces: Traces,
    pub(crate) live: Live,
    pub(crate) canaries: Canaries,
    pub(crate) archive: OnceLock<Arc<Archive>>,
    peers: Mutex<BTreeMap<(InstanceName, String), (PeerState, SystemTime)>>,
    pub(crate) proofs: Proofs,
    registrations: Registrations,
    next_trace: AtomicU64,
    draining: AtomicBool,
    started: SystemTime,
}

/// `interlingua_peer_up` has at most so many peers (DESIGN B4).
const MAX_PEERS: usize = 200;
/// How often held operations are looked through for those whose adapter missed the deadline.
const SWEEP: Duration = Duration::from_millis(250);
/// How long past its deadline an adapter may take before the near side is answered without it.
const GRACE: Duration = Duration::from_secs(1);

impl Core {
    /// Makes the hub. `seed` makes trace ids unlike those of an earlier process. Waits for the disk.
    pub fn new(
        config: CoreConfig,
        instances: Vec<Instance>,
        dns: Arc<dyn Dns>,
        storage: Storage,
        seed: u64,
    ) -> Arc<Self> {
        let candidate = |instance: &Instance| Candidate {
            name: instance.name.clone(),
            capabilities: instance.adapter.capabilities().clone(),
        };
        let candidates = instances.iter().map(candidate).collect();
        let discovery = config.discovery.clone();
        let traces = Traces::new(config.traces);
        let dns = CountedDns::new(dns);
        let dns_counts = dns.counts();
        let now = now();
        let time = storage.clock.at(now);
        let asked = Asked::open(storage.ledger.store().clone(), time);
        let paces = PaceBook::open(&**storage.ledger.store());
        let composers = Composers::open(&**storage.ledger.store(), time);
        let after_crash = AfterCrash::new(storage.ledger.begin(time), now);
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            rates: ArcSwap::from_pointee(Rates::new(config.rules.rates, &config.rules.policy.rules)),
            rules: ArcSwap::from_pointee(config.rules.clone()),
            config,
            adapters: instances.into_iter().map(|instance| instance.adapter).collect(),
            candidates,
            locator: Locator::new(Arc::new(dns), discovery, seed),
            decisions: RwLock::default(),
            waiting: Mutex::default(),
            waiting_pairs: AtomicU64::new(0),
            inflight: InFlight::default(),
            order: Order::default(),
            young: Young::default(),
            asked,
            twins: Repeats::default(),
            after_crash,
            notices: NoticePace::default(),
            paces,
            pace_book: PaceBook::default(),
            composers,
            storage,
            retries: Retries::new(seed),
            presence: Presence::new(),
            counters: Counters::default(),
            dns_counts,
            traces,
            live: Live::default(),
            canaries: Canaries::default(),
            archive: OnceLock::new(),
            peers: Mutex::default(),
            proofs: Proofs::default(),
            registrations: Registrations::default(),
            next_trace: AtomicU64::new(seed),
            draining: AtomicBool::new(false),
            started: SystemTime::now(),
        })
    }

    /// The hub as the instance `name` sees it.
    pub fn hub(self: &Arc<Self>, name: InstanceName) -> Hub {
        Hub::new(self.clone(), name)
    }

    /// Does what is due: journals, tries again, and answers for adapters that miss their deadlines. Runs until dropped.
    pub async fn run(&self) {
        tokio::join!(self.sweep(), self.write_ahead(), self.try_again(), self.watch());
    }

    async fn watch(&self) {
        if let Some(engine) = Engine::new(self, self.config.presence) {
            engine.run().await;
        }
    }

    async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.sweep_once(now());
            self.end_composing();
        }
    }

    fn sweep_once(&self, now: Instant) {
        self.sweep_archive();
        let Some(limit) = now.checked_sub(GRACE) else { return };
        for held in self.inflight.overdue(limit) {
            let failure = Failure::new(Side::Ours, Cause::Unconfirmed).with_text("the adapter did not settle in time");
            self.ended(held, failure.into());
        }
    }

    /// Refuses what is new and waits until nothing is held or looked up, at most `limit`; returns what is left.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.draining.store(true, Relaxed);
        let end = tokio::time::Instant::now() + limit;
        while self.is_busy() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.keep_paces(true);
        self.inflight.len() + self.waiting.lock().len()
    }

    /// Whether anybody waits: first for a lookup, then for the far side.
    fn is_busy(&self) -> bool {
        self.waiting_pairs.load(Relaxed) > 0 || self.inflight.len() > 0 || self.waits_for_archive()
    }

    /// What has happened, in numbers.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was accepted and has not ended.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.storage.ledger
    }

    /// Why nothing can be written at present, ends and tries included.
    pub(crate) fn store_failure(&self) -> Option<StoreError> {
        self.storage.ledger.store().failure()
    }

    /// Why nothing new can be stored at present: the store has failed, its disk is down to the reserve,
    /// more waits for it than may, or the ledger is full.
    pub fn store_refusal(&self) -> Option<LedgerError> {
        self.storage.ledger.refuses()
    }

    /// The ledger's time.
    pub fn timestamp(&self) -> Timestamp {
        self.storage.clock.at(now())
    }

    /// Where recent operations went.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// How many operations wait for the far side.
    pub fn held(&self) -> usize {
        self.inflight.len()
    }

    /// Whether new operations are refused because the gateway is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// When this hub was made.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The instances, with what each can do.
    pub fn instances(&self) -> impl Iterator<Item = (&InstanceName, &adapter_api::Capabilities)> {
        self.candidates.iter().map(|candidate| (&candidate.name, &candidate.capabilities))
    }

    /// How peers have proven themselves, at most one proof for each and the latest.
    pub fn proofs(&self) -> Vec<PeerProof> {
        self.proofs.latest()
    }

    /// What became of the registrations at trunks' servers, and when.
    pub fn registrations(&self) -> Vec<(InstanceName, String, Registration, SystemTime)> {
        self.registrations.all()
    }

    /// How often peers of an instance have proven themselves in this way under this protection.
    pub fn proof_counts(&self) -> Vec<((InstanceName, String, String), u64)> {
        self.proofs.counts()
    }

    /// How many pairs of WATCHER and PRESENTITY there are, and the first of them, or of those with this address.
    pub async fn subscriptions(&self, of: Option<Address>, limit: usize) -> (usize, Vec<Subscription>) {
        self.presence.list(of, limit).await
    }

    /// How many pairs there are of each kind.
    pub async fn subscription_counts(&self) -> SubscriptionCounts {
        self.presence.count().await
    }

    /// Every peer that an adapter has spoken of, with its state and since when.
    pub fn peers(&self) -> Vec<(InstanceName, String, PeerState, SystemTime)> {
        let peers = self.peers.lock();
        peers.iter().map(|((adapter, peer), (state, since))| (adapter.clone(), peer.clone(), *state, *since)).collect()
    }

    pub(crate) fn me(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    pub(crate) fn router<'a>(&'a self, book: &'a Rulebook) -> Router<'a> {
        Router { configuration: &book.configuration, routing: &book.routing, candidates: &self.candidates }
    }

    /// The instance at this place.
    pub(crate) fn name_of(&self, index: usize) -> InstanceName {
        self.candidates.get(index).map_or_else(|| InstanceName::from(""), |candidate| candidate.name.clone())
    }

    pub(crate) fn same_network(&self, a: &InstanceName, b: &InstanceName) -> bool {
        let protocol =
            |name: &InstanceName| self.candidates.iter().find(|c| c.name == *name).map(|c| &c.capabilities.protocol);
        a == b || protocol(a).is_some_and(|found| Some(found) == protocol(b))
    }

    fn admit(&self, operation: &mut Operation, provenance: &Provenance) -> Result<(), Failure> {
        if self.draining.load(Relaxed) {
            return Err(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        let book = self.rules.load();
        let rules = Rules {
            configuration: &book.configuration,
            policy: &book.policy,
            same_network: |a: &InstanceName, b: &InstanceName| self.same_network(a, b),
        };
        rules.admit(operation, provenance)?;
        if provenance.proof == SourceProof::Dialog {
            // It answers a subscription of ours, one at a time: refused, it would leave the watcher with an older state.
            return Ok(());
        }
        self.rates.load().count(operation, book.policy.rated(operation), now())
    }

    /// Refuses what was admitted.
    pub(crate) fn refuse(&self, waiting: Waiting, failure: Failure) {
        self.refuse_as(waiting, failure, true);
    }

    /// Refuses what the archive was not told of when it came: a flood of it must not fill the archive.
    pub(crate) fn turn_away(&self, waiting: Waiting, failure: Failure) {
        self.refuse_as(waiting, failure, false);
    }

    fn refuse_as(&self, waiting: Waiting, failure: Failure, admitted: bool) {
        let Waiting { trace, operation, near: adapter, peer, owner, once, .. } = waiting;
        let settle = match owner {
            Owner::Sender(settle) => settle,
            Owner::Ledger(attempt) => return self.tried(trace, attempt, failure.into()),
            Owner::Nobody => return self.storage.ledger.count_untold(),
            Owner::Canary => return self.canary_arrived(trace, &failure.into()),
        };
        tracing::info!(trace = %trace, %adapter, %peer,
            from = %operation.source().address.domain(), to = %operation.destination().address.domain(),
            reason = failure.cause.code(), "refused");
        self.counters.operation(OperationKey {
            adapter,
            direction: Direction::In,
            kind: operation.kind(),
            outcome: "refused",
            reason: failure.cause.code(),
        });
        let outcome = Outcome::from(failure);
        self.archive_end(trace, "refused", &outcome, &operation, admitted);
        self.note_end(trace, "refused", &outcome, Some(&operation));
        settle.settle(outcome.clone());
        if let Some(once) = once {
            self.forget_failed(&operation, &outcome);
            self.storage.ledger.withdraw(once);
            self.answer_twins(Some(once), &outcome);
        }
    }

    /// Carries on what is no message: presence, or a composing state of the gateway's own; nothing of it is ever in the ledger.
    pub(crate) fn carry(&self, operation: Operation, near: InstanceName, settle: Settle) {
        let trace = self.new_trace_id();
        let (peer, owner) = (Arc::from(""), Owner::Sender(settle));
        self.route(Waiting {
            trace,
            operation: Arc::new(operation),
            near,
            peer,
            owner,
            since: now(),
            once: None,
            repeat: false,
        });
    }

    /// A user who has a way of its own can be reached: neither a metric nor a log names it.
    fn user_changed(&self, adapter: &InstanceName, user: &Address, state: PeerState) {
        if state == PeerState::Up {
            let woken = self.storage.ledger.wake_for(user, self.timestamp());
            tracing::debug!(%adapter, woken, "messages that waited for a user are tried");
            self.retries.look();
        }
    }

    pub(crate) fn new_trace_id(&self) -> TraceId {
        TraceId(self.next_trace.fetch_add(1, Relaxed))
    }

    /// A number that no other operation of this process has.
    pub(crate) fn next_trans(&self) -> u64 {
        self.next_trace.load(Relaxed)
    }

    /// Hands an operation of presence to those who know who watches whom.
    fn submit_presence(&self, trace: TraceId, operation: Operation, near: &InstanceName, settle: Settle) {
        let refused = self.presence.submit(trace, Box::new(operation), near.clone(), settle);
        let Err((operation, settle, cause)) = refused else { return };
        if cause == Cause::Overload {
            self.counters.queue_full();
        }
        let outcome = Outcome::from(Failure::new(Side::Ours, cause));
        self.presence_done(trace, &operation, near, &outcome);
        settle.settle(outcome);
    }

    /// Counts, archives and traces what became of an operation of presence on its way in.
    pub(crate) fn presence_done(&self, trace: TraceId, operation: &Operation, near: &InstanceName, outcome: &Outcome) {
        let (label, reason, kind) = (outcome.label(), outcome.reason(), operation.kind());
        let (adapter, direction) = (near.clone(), Direction::In);
        self.counters.operation(OperationKey { adapter, direction, kind, outcome: label, reason });
        self.archive_end(trace, label, outcome, operation, true);
        self.note_end(trace, label, outcome, None);
    }
}

/// The runtime's own time, which tests can turn.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl HubCore for Core {
    fn submit(&self, mut operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let trace = self.new_trace_id();
        let Provenance { adapter, peer, proof, .. } = &*provenance;
        let (at, proof) = (SystemTime::now(), Some(*proof));
        self.traces.begin(&Beginning { id: trace, at, adapter, peer, proof, operation: &operation });
        let admitted = self.admit(&mut operation, &provenance);
        if admitted.is_ok() && self.is_for_canary(&operation) {
            settle.settle(self.canary_heard(trace, &operation, &provenance));
            return trace;
        }
        if admitted.is_ok() {
            self.archive_other(trace, &operation, &provenance);
        }
        if admitted.is_ok() && operation.kind().is_presence() {
            self.submit_presence(trace, operation, adapter, settle);
            return trace;
        }
        let waiting = Waiting {
            trace,
            operation: Arc::new(operation),
            near: provenance.adapter.clone(),
            peer: provenance.peer.clone(),
            owner: Owner::Sender(settle),
            since: now(),
            once: None,
            repeat: provenance.may_repeat,
        };
        match (admitted, &*waiting.operation) {
            (Ok(()), Operation::Message(_)) => {
                if let Some(waiting) = self.enter(waiting) {
                    if let Operation::Message(message) = &*waiting.operation {
                        self.asked.note(message, self.timestamp());
                    }
                    self.archive_and_route(waiting);
                }
            }
            (Ok(()), Operation::Disposition(_)) => self.hear(waiting),
            (Ok(()), _) => self.route(waiting),
            (Err(failure), operation) => {
                if failure.cause == Cause::Overload {
                    self.presence.missed(operation);
                }
                self.turn_away(waiting, failure);
            }
        }
        trace
    }

    fn peer_changed(&self, adapter: &InstanceName, peer: &str, state: PeerState) {
        if let Ok(user) = Address::parse_bare(peer) {
            return self.user_changed(adapter, &user, state);
        }
        if state == PeerState::Up {
            let ledger = &self.storage.ledger;
            let mut woken = ledger.wake(Some(&hop_name(adapter, peer)), self.timestamp());
            if self.candidates.iter().any(|found| found.name == *adapter && found.capabilities.standing_link) {
                woken += ledger.wake_words(self.timestamp());
            }
            tracing::debug!(%adapter, peer, woken, "messages that waited for it are tried");
            self.retries.look();
        }
        self.presence.peer_changed(adapter, peer, state);
        let known = self.rules.load().configuration.domains.iter().any(|entry| entry.name.as_str() == peer);
        let peer = if known { peer } else { OTHER_PEERS };
        let mut peers = self.peers.lock();
        let key = (adapter.clone(), peer.to_owned());
        let same = peers.get(&key).is_some_and(|(old, _)| *old == state);
        if !same && (peers.len() < MAX_PEERS || peers.contains_key(&key)) {
            tracing::info!(%adapter, peer, ?state, "peer");
            peers.insert(key, (state, SystemTime::now()));
            drop(peers);
            self.peer_told(adapter, peer, state);
        }
    }

    fn peer_proven(&self, adapter: &InstanceName, peer: &str, proof: &str, protection: &str) {
        self.proofs.add(adapter, peer, proof, protection, SystemTime::now());
    }

    fn peer_registered(&self, adapter: &InstanceName, peer: &str, registration: Registration) {
        self.registrations.set(adapter, peer, registration, SystemTime::now());
    }

    fn translation_loss(&self, adapter: &InstanceName, field: &str, how: Carries) {
        self.counters.loss(adapter, field, how);
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.config.configuration.subscribe()
    }

    fn commit(&self) {
        self.commit_young();
    }

    fn owe(&self, _: &InstanceName, word: DispositionOperation, repeat: bool, done: StateDone) {
        self.take_over(word, repeat, done);
    }

    fn listening(&self, _: &InstanceName, _: &str, _: SocketAddr) {}

    fn state(&self) -> Option<Arc<dyn AdapterState>> {
        Some(Arc::new(KeptState(self.storage.ledger.store().clone())))
    }
}

impl Settlement for Core {
    // RFC 3860 §3.4.1: the near side is answered once the far side's indication is there.
    fn settled(&self, token: Token, outcome: Outcome) {
        let Some(held) = self.inflight.release(token) else { return };
        if held.owner.is_some() {
            self.ended(held, outcome);
        } else {
            tracing::warn!(trace = %held.trace, to = %held.to, outcome = outcome.label(), "settled too late");
        }
    }
}
