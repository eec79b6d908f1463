//! The hub itself: admission, routing, delivery, settlement.

use crate::admission::Rules;
use crate::counters::{Counters, Direction, OperationKey};
use crate::decisions::Decisions;
use crate::inflight::{Held, InFlight};
use crate::locate::Locator;
use crate::policy::Policy;
use crate::routing::{Candidate, Choice, Decision, Router, RoutingConfig, carries};
use crate::trace::{Trace, Traces};
use crate::waiting::{Waiting, WaitingRoom};
use adapter_api::{
    Adapter, Carries, Configuration, Delivery, Full, Hub, HubCore, InstanceName, PeerState, Provenance, Settle,
    Settlement, Token, TraceId,
};
use impp_model::{Cause, Domain, Failure, Operation, Outcome, Side};
use impp_resolve::Dns;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// What the hub is made from.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// What adapters see, too.
    pub configuration: Arc<Configuration>,
    /// `[[route]]` and `[routing]`.
    pub routing: RoutingConfig,
    /// `[policy]`.
    pub policy: Policy,
    /// `[delivery]`.
    pub delivery: DeliveryLimits,
    /// Where this gateway listens itself: never a way to anybody else.
    pub own_listeners: Vec<std::net::SocketAddr>,
}

/// How long the hub waits for confirmations.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryLimits {
    /// For senders that wait for an answer to each message.
    pub hold_timeout: Duration,
    /// For senders that do not.
    pub unanswered: Duration,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        // RFC 3261 §17.1.2.2: a non-INVITE transaction may last 64 times T1.
        Self { hold_timeout: Duration::from_secs(2), unanswered: Duration::from_secs(32) }
    }
}

/// An adapter with its name.
#[derive(Clone)]
pub struct Instance {
    /// The `NAME` of `[adapter.NAME]`.
    pub name: InstanceName,
    /// The adapter.
    pub adapter: Arc<dyn Adapter>,
}

/// The hub. One for each process; adapters see it as [`Hub`].
pub struct Core {
    me: Weak<Self>,
    pub(crate) config: CoreConfig,
    pub(crate) adapters: Vec<Arc<dyn Adapter>>,
    pub(crate) candidates: Vec<Candidate>,
    configuration: watch::Sender<Arc<Configuration>>,
    pub(crate) locator: Locator,
    decisions: RwLock<Decisions>,
    waiting: Mutex<WaitingRoom>,
    /// How many pairs have somebody waiting; while none has, the lock above is not touched.
    waiting_pairs: AtomicU64,
    inflight: InFlight,
    counters: Counters,
    traces: Traces,
    peers: Mutex<BTreeMap<(InstanceName, String), (PeerState, SystemTime)>>,
    next_trace: AtomicU64,
    draining: AtomicBool,
    started: SystemTime,
}

/// What a decision depends on: the instance it came in through and both domains.
pub(crate) type PairOfDomains = (InstanceName, Domain, Domain);

/// `interlingua_peer_up` has at most so many peers (DESIGN B4).
const MAX_PEERS: usize = 200;
/// How often held operations are looked through for those whose adapter missed the deadline.
const SWEEP: Duration = Duration::from_millis(250);
/// How long past its deadline an adapter may take before the near side is answered without it.
const GRACE: Duration = Duration::from_secs(1);

impl Core {
    /// Makes the hub. `seed` makes trace ids unlike those of an earlier process.
    pub fn new(config: CoreConfig, instances: Vec<Instance>, dns: Arc<dyn Dns>, seed: u64) -> Arc<Self> {
        let candidate = |instance: &Instance| Candidate {
            name: instance.name.clone(),
            capabilities: instance.adapter.capabilities().clone(),
        };
        let candidates = instances.iter().map(candidate).collect();
        let configuration = watch::Sender::new(config.configuration.clone());
        let own_listeners = config.own_listeners.clone();
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            config,
            adapters: instances.into_iter().map(|instance| instance.adapter).collect(),
            candidates,
            configuration,
            locator: Locator::new(dns, own_listeners, seed),
            decisions: RwLock::default(),
            waiting: Mutex::default(),
            waiting_pairs: AtomicU64::new(0),
            inflight: InFlight::default(),
            counters: Counters::default(),
            traces: Traces::default(),
            peers: Mutex::default(),
            next_trace: AtomicU64::new(seed),
            draining: AtomicBool::new(false),
            started: SystemTime::now(),
        })
    }

    /// The hub as the instance `name` sees it.
    pub fn hub(self: &Arc<Self>, name: InstanceName) -> Hub {
        Hub::new(self.clone(), name)
    }

    /// Answers for adapters that miss their deadlines. Runs until dropped.
    pub async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.sweep_once(Instant::now());
        }
    }

    fn sweep_once(&self, now: Instant) {
        let Some(limit) = now.checked_sub(GRACE) else { return };
        for (trace, from, to, since, near) in self.inflight.overdue(limit) {
            let failure = Failure::new(Side::Ours, Cause::Unconfirmed).with_text("the adapter did not settle in time");
            self.close(trace, &from, &to, since, near, failure.into());
        }
    }

    /// Refuses what is new and waits until nothing is held or looked up, at most `limit`; returns what is left.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.draining.store(true, Relaxed);
        let end = tokio::time::Instant::now() + limit;
        while self.is_busy() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.inflight.len() + self.waiting.lock().len()
    }

    /// Whether anybody waits: first for a lookup, then for the far side.
    fn is_busy(&self) -> bool {
        self.waiting_pairs.load(Relaxed) > 0 || self.inflight.len() > 0
    }

    /// What has happened, in numbers.
    pub fn counters(&self) -> &Counters {
        &self.counters
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

    /// The shared configuration.
    pub fn shared_configuration(&self) -> &Configuration {
        &self.config.configuration
    }

    /// The instances, with what each can do.
    pub fn instances(&self) -> impl Iterator<Item = (&InstanceName, &adapter_api::Capabilities)> {
        self.candidates.iter().map(|candidate| (&candidate.name, &candidate.capabilities))
    }

    /// Every peer that an adapter has spoken of, with its state and since when.
    pub fn peers(&self) -> Vec<(InstanceName, String, PeerState, SystemTime)> {
        let peers = self.peers.lock();
        peers.iter().map(|((adapter, peer), (state, since))| (adapter.clone(), peer.clone(), *state, *since)).collect()
    }

    pub(crate) fn router(&self) -> Router<'_> {
        Router {
            configuration: &self.config.configuration,
            routing: &self.config.routing,
            candidates: &self.candidates,
        }
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
        let rules = Rules {
            configuration: &self.config.configuration,
            policy: &self.config.policy,
            same_network: |a: &InstanceName, b: &InstanceName| self.same_network(a, b),
        };
        rules.admit(operation, provenance)
    }

    fn refuse(&self, waiting: Waiting, failure: Failure) {
        let Waiting { trace, operation, provenance, near, .. } = waiting;
        tracing::info!(trace = %trace, adapter = %provenance.adapter, peer = %provenance.peer,
            from = %operation.source().address.domain(), to = %operation.destination().address.domain(),
            reason = failure.cause.code(), "refused");
        self.counters.operation(OperationKey {
            adapter: provenance.adapter.clone(),
            direction: Direction::In,
            kind: operation.kind(),
            outcome: "refused",
            reason: failure.cause.code(),
        });
        let outcome = Outcome::from(failure);
        self.traces.update(trace, |record| record.outcome = Some(outcome.clone()));
        near.settle(outcome);
    }

    fn route(&self, waiting: Waiting) {
        let pair = waiting.pair();
        if self.waiting_pairs.load(Relaxed) == 0
            && let Some(decision) = self.known_decision(&pair)
        {
            return self.dispatch(waiting, &decision);
        }
        self.decide(pair, waiting);
    }

    fn known_decision(&self, pair: &PairOfDomains) -> Option<Arc<Decision>> {
        self.decisions.read().get(pair, Instant::now())
    }

    /// Decides at once where configuration suffices; else joins those who wait for DNS, behind earlier ones.
    fn decide(&self, pair: PairOfDomains, waiting: Waiting) {
        let mut room = self.waiting.lock();
        if room.is_waiting(&pair) {
            if let Err(waiting) = room.join(&pair, waiting) {
                drop(room);
                self.counters.queue_full();
                self.refuse(*waiting, Failure::new(Side::Ours, Cause::Overload));
            }
            return;
        }
        if let Some(decision) = self.known_decision(&pair).or_else(|| self.decide_now(&pair)) {
            drop(room);
            return self.dispatch(waiting, &decision);
        }
        let opened = room.open(pair.clone(), waiting);
        if opened.is_ok() {
            self.waiting_pairs.fetch_add(1, Relaxed);
        }
        drop(room);
        match (opened, self.me.upgrade()) {
            (Ok(()), Some(core)) => {
                tokio::spawn(async move { core.look_up(pair).await });
            }
            (Err(waiting), _) => {
                self.counters.queue_full();
                self.refuse(*waiting, Failure::new(Side::Ours, Cause::Overload));
            }
            (Ok(()), None) => {}
        }
    }

    fn decide_now(&self, pair: &PairOfDomains) -> Option<Arc<Decision>> {
        let (near, from, to) = pair;
        let mut steps = Vec::new();
        let result = match self.router().plan(near, from, to, &mut steps) {
            crate::routing::Plan::Ready(result) => result,
            crate::routing::Plan::Native(_) | crate::routing::Plan::Discover(_) => return None,
        };
        let result = result.map(|(index, hop)| self.choice(index, hop));
        Some(self.remember(pair.clone(), Decision { steps, result, valid_until: None }))
    }

    pub(crate) fn choice(&self, index: usize, hop: adapter_api::Hop) -> Choice {
        Choice { adapter: self.router().name(index).into(), index, hop: Arc::new(hop) }
    }

    fn remember(&self, pair: PairOfDomains, decision: Decision) -> Arc<Decision> {
        let decision = Arc::new(decision);
        self.decisions.write().put(pair, decision.clone(), Instant::now());
        decision
    }

    async fn look_up(&self, pair: PairOfDomains) {
        let decision = self.locate(&pair).await;
        self.counters.dns(match &decision.result {
            Ok(_) => "found",
            Err(failure) if failure.cause == Cause::DnsFailure => "failed",
            Err(_) => "not_found",
        });
        let decision = self.remember(pair.clone(), decision);
        // Those who came meanwhile go first; the pair is open again only when nobody is left.
        loop {
            let batch = self.waiting.lock().next_batch(&pair);
            if batch.is_empty() {
                self.waiting_pairs.fetch_sub(1, Relaxed);
                return;
            }
            for waiting in batch {
                self.dispatch(waiting, &decision);
            }
        }
    }

    fn dispatch(&self, waiting: Waiting, decision: &Arc<Decision>) {
        self.traces.update(waiting.trace, |record| record.decision = Some(decision.clone()));
        let choice = match &decision.result {
            Ok(choice) => choice,
            Err(failure) => return self.refuse(waiting, failure.clone()),
        };
        let carried = self.candidates.get(choice.index).is_some_and(|c| carries(c, waiting.operation.kind()));
        let (Some(adapter), Some(me), true) = (self.adapters.get(choice.index), self.me.upgrade(), carried) else {
            return self.refuse(waiting, Failure::new(Side::Ours, Cause::NotImplemented));
        };
        let deadline = waiting.since + self.hold_of(&waiting.provenance.adapter);
        if deadline <= Instant::now() {
            let failure = Failure::new(Side::Far, Cause::DnsFailure).with_text("the lookup took too long; not sent");
            return self.refuse(waiting, failure);
        }
        let Waiting { trace, operation, provenance, near, since } = waiting;
        let (from, to) = (provenance.adapter.clone(), choice.adapter.clone());
        self.counters.accepted();
        let token = self.inflight.hold(Held { trace, from, to, since, deadline, near: Some(near) });
        let settle = Settle::new(me, token);
        let delivery = Delivery { trace, operation, hop: choice.hop.clone(), deadline, settle };
        if let Err(Full(delivery)) = adapter.deliver(delivery) {
            self.counters.queue_full();
            delivery.settle(Failure::new(Side::Ours, Cause::Overload));
        }
    }

    fn hold_of(&self, near: &InstanceName) -> Duration {
        let answers = self.candidates.iter().find(|c| c.name == *near).is_some_and(|c| c.capabilities.answers_each);
        if answers { self.config.delivery.hold_timeout } else { self.config.delivery.unanswered }
    }

    fn close(
        &self,
        trace: TraceId,
        from: &InstanceName,
        to: &InstanceName,
        since: Instant,
        near: Settle,
        outcome: Outcome,
    ) {
        let took = since.elapsed();
        self.counters.settled(&outcome);
        self.counters.latency(from, to, took);
        for (adapter, direction) in [(from, Direction::In), (to, Direction::Out)] {
            let (outcome, reason) = (outcome.label(), outcome.reason());
            let kind = impp_model::Kind::Message;
            self.counters.operation(OperationKey { adapter: adapter.clone(), direction, kind, outcome, reason });
        }
        if let Outcome::Failure(failure) = &outcome {
            tracing::info!(trace = %trace, %from, %to, reason = failure.cause.code(), "not delivered");
        }
        self.traces.update(trace, |record| {
            record.outcome = Some(outcome.clone());
            record.took = Some(took);
        });
        near.settle(outcome);
    }
}

impl HubCore for Core {
    fn submit(&self, mut operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let trace = TraceId(self.next_trace.fetch_add(1, Relaxed));
        self.traces.add(new_trace(trace, &operation, &provenance));
        let admitted = self.admit(&mut operation, &provenance);
        let waiting = Waiting { trace, operation, provenance, near: settle, since: Instant::now() };
        match admitted {
            Ok(()) => self.route(waiting),
            Err(failure) => self.refuse(waiting, failure),
        }
        trace
    }

    fn peer_changed(&self, adapter: &InstanceName, peer: &str, state: PeerState) {
        let known = self.config.configuration.domains.iter().any(|entry| entry.name.as_str() == peer);
        let peer = if known { peer } else { "other" };
        let mut peers = self.peers.lock();
        let key = (adapter.clone(), peer.to_owned());
        let same = peers.get(&key).is_some_and(|(old, _)| *old == state);
        if !same && (peers.len() < MAX_PEERS || peers.contains_key(&key)) {
            tracing::info!(%adapter, peer, ?state, "peer");
            peers.insert(key, (state, SystemTime::now()));
        }
    }

    fn translation_loss(&self, adapter: &InstanceName, field: &str, how: Carries) {
        self.counters.loss(adapter, field, how);
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.subscribe()
    }
}

impl Settlement for Core {
    // RFC 3860 §3.4.1: the near side is answered once the far side's indication is there.
    fn settled(&self, token: Token, outcome: Outcome) {
        let Some(held) = self.inflight.release(token) else { return };
        let outcome = match outcome {
            // DESIGN A5: "accepted" is for what is confirmed or kept. An adapter that has no word keeps nothing.
            Outcome::Indeterminant => Failure::new(Side::Ours, Cause::Unconfirmed)
                .with_text("the adapter ended without a word; the message may have arrived")
                .into(),
            Outcome::Success(_) | Outcome::HandedOver | Outcome::Failure(_) => outcome,
        };
        match held.near {
            Some(near) => self.close(held.trace, &held.from, &held.to, held.since, near, outcome),
            None => tracing::warn!(trace = %held.trace, to = %held.to, outcome = outcome.label(), "settled too late"),
        }
    }
}

fn new_trace(id: TraceId, operation: &Operation, provenance: &Provenance) -> Trace {
    let message_id = match operation {
        Operation::Message(message) => message.message.id.clone(),
        _ => None,
    };
    Trace {
        id,
        at: SystemTime::now(),
        kind: operation.kind(),
        adapter: provenance.adapter.clone(),
        peer: provenance.peer.clone(),
        message_id,
        from: operation.source().address.domain().clone(),
        to: operation.destination().address.domain().clone(),
        decision: None,
        outcome: None,
        took: None,
    }
}
