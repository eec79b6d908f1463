//! The other side, for adapters in Rust: serves any [`Adapter`] to a gateway over a Unix socket or mutual TLS.

use crate::dial::Dial;
use crate::flow::{Inbox, Outbox};
use crate::mapping::{self, FrameError, read_hop, read_operation, read_outcome};
use crate::wire::gateway_client::GatewayClient;
use crate::wire::{self, FromAdapter, FromGateway, from_adapter::Frame, from_gateway};
use crate::{MAX_FRAME, MISSED_BEATS, Reason, VERSION};
use adapter_api::model::{Cause, DispositionOperation, Domain, Failure, Operation, Outcome, Side};
use adapter_api::{
    Adapter, AdapterError, AdapterState, Carries, Configuration, Delivery, Examine, Hop, Hub, HubCore, InstanceName,
    PeerState, Provenance, Settle, Settlement, Shutdown, StateDone, Token, TraceId,
};
use futures_util::stream;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tonic::Streaming;

/// Why an adapter can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The gateway refuses it for good.
    #[error("the gateway refuses this adapter: {reason} ({text})")]
    Refused {
        /// The code, as in [`Reason::code`].
        reason: String,
        /// In words.
        text: String,
    },
    /// The environment does not say where the gateway is.
    #[error("{variable}: {problem}")]
    Environment {
        /// Which variable.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The adapter itself failed.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

/// Where the gateway is, and as whom to connect.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the gateway is reached.
    pub gateway: Dial,
    /// The `NAME` of `[adapter.NAME]`.
    pub instance: InstanceName,
    /// The domains that the adapter serves.
    pub domains: Vec<Domain>,
}

/// The first pause before another try to connect, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// More than a welcome with all records has.
const MAX_RECEIVED: usize = 16 * MAX_FRAME;

/// Frames handed to a connection that it has not written.
const WRITE_QUEUE: usize = 64;

/// Serves `adapter` to the gateway until `shutdown`, the gateway's goodbye, or the adapter's own end; connects again after
/// broken connections and goes on with the session.
pub async fn serve(adapter: Arc<dyn Adapter>, settings: Settings, mut shutdown: Shutdown) -> Result<(), ClientError> {
    let far = Far::new(settings);
    let (trigger, adapter_shutdown) = Shutdown::new();
    // Dropped with this future, as a crash of the process would drop it.
    let mut running = JoinSet::new();
    let mut started = false;
    let mut pause = FIRST_PAUSE;
    let ended = loop {
        let connection = async {
            let (streaming, sender, written) = far.connect(&*adapter).await?;
            pause = FIRST_PAUSE;
            if !std::mem::replace(&mut started, true) {
                let (adapter, hub) = (Arc::clone(&adapter), Hub::new(far.clone(), far.settings.instance.clone()));
                let shutdown = adapter_shutdown.clone();
                running.spawn(async move { adapter.run(hub, shutdown).await });
            }
            far.talk(&*adapter, streaming, sender, written).await
        };
        let ended = tokio::select! {
            ended = connection => ended,
            () = shutdown.requested() => break Ok(()),
        };
        match ended {
            Ok(()) => break Ok(()),
            Err(End::Refused(refused)) => break Err(refused),
            Err(End::Broken) => {}
        }
        if let Some(ended) = running.try_join_next() {
            // It ended without being told to: its error says why.
            break ended.unwrap_or(Ok(())).map_err(Into::into);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => break Ok(()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    trigger.shut_down();
    if let Some(stopped) = running.join_next().await {
        stopped.unwrap_or(Ok(()))?;
    }
    ended
}

enum End {
    Broken,
    Refused(ClientError),
}

impl From<Reason> for End {
    fn from(_: Reason) -> Self {
        Self::Broken
    }
}

impl From<FrameError> for End {
    fn from(_: FrameError) -> Self {
        Self::Broken
    }
}

/// The gateway, as this process sees it.
struct Far {
    me: Weak<Self>,
    settings: Settings,
    state: Mutex<State>,
    wake: Notify,
    records: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    traces: AtomicU64,
    configuration: watch::Sender<Arc<Configuration>>,
}

struct State {
    session: Option<String>,
    outbox: Outbox<Frame>,
    inbox: Inbox,
    controls: Vec<Frame>,
    /// What the hub owes answers to.
    submissions: BTreeMap<u64, Settle>,
    keeps: BTreeMap<u64, StateDone>,
    /// Deliveries of an earlier session: nobody waits for their outcomes.
    epoch: u64,
    /// How long the gateway may be silent.
    patience: Duration,
}

impl State {
    fn new(epoch: u64) -> Self {
        Self {
            session: None,
            outbox: Outbox::new(0),
            inbox: Inbox::new(),
            controls: Vec::new(),
            submissions: BTreeMap::new(),
            keeps: BTreeMap::new(),
            epoch,
            patience: Duration::MAX,
        }
    }
}

type Attached = (Streaming<FromGateway>, mpsc::Sender<FromAdapter>, u64);

impl Far {
    fn new(settings: Settings) -> Arc<Self> {
        let gateway = settings
            .domains
            .first()
            .cloned()
            .unwrap_or_else(|| Domain::parse("localhost.invalid").expect("a constant domain is valid"));
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            settings,
            state: Mutex::new(State::new(1)),
            wake: Notify::new(),
            records: Mutex::default(),
            traces: AtomicU64::new(1),
            configuration: watch::Sender::new(Arc::new(Configuration::new(gateway, Vec::new()))),
        })
    }

    async fn connect(&self, adapter: &dyn Adapter) -> Result<Attached, End> {
        let channel = self.settings.gateway.open().await.map_err(|error| {
            tracing::info!(gateway = %self.settings.gateway, %error, "not connected");
            End::Broken
        })?;
        let mut client =
            GatewayClient::new(channel).max_decoding_message_size(MAX_RECEIVED).max_encoding_message_size(MAX_FRAME);
        let (sender, mut receiver) = mpsc::channel(WRITE_QUEUE);
        let resume = {
            let state = self.state.lock();
            let received = state.inbox.taken();
            state.session.clone().map(|session| wire::Resume { session, received })
        };
        let hello = wire::Hello {
            version: VERSION,
            instance: self.settings.instance.to_string(),
            capabilities: Some(mapping::write_capabilities(adapter.capabilities())),
            domains: self.settings.domains.iter().map(ToString::to_string).collect(),
            resume,
        };
        let hello = FromAdapter { number: 0, frame: Some(Frame::Hello(hello)) };
        sender.send(hello).await.map_err(|_| End::Broken)?;
        let outgoing = stream::poll_fn(move |context| receiver.poll_recv(context));
        let mut streaming = client.attach(outgoing).await.map_err(|_| End::Broken)?.into_inner();
        let first = streaming.message().await.map_err(|_| End::Broken)?;
        match first.and_then(|first| first.frame) {
            Some(from_gateway::Frame::Welcome(welcome)) => Ok((streaming, sender, self.welcomed(welcome))),
            Some(from_gateway::Frame::Goodbye(goodbye)) => Err(refused(goodbye)),
            _ => Err(End::Broken),
        }
    }

    /// Takes up the session, or begins anew; gives the number of the last frame that the gateway has.
    fn welcomed(&self, welcome: wire::Welcome) -> u64 {
        let mut state = self.state.lock();
        let mut left = BTreeMap::new();
        if !welcome.resumed {
            let epoch = state.epoch + 1;
            left = std::mem::replace(&mut *state, State::new(epoch)).submissions;
            *self.records.lock() =
                welcome.records.into_iter().map(|record| (record.key.into(), record.value.into())).collect();
        }
        state.session = Some(welcome.session);
        if welcome.heartbeat != 0 {
            state.patience = Duration::from_millis(welcome.heartbeat.into()) * MISSED_BEATS;
        }
        // What the gateway has taken was written.
        let _ = state.outbox.received(welcome.received, welcome.allowed);
        drop(state);
        // Whoever waited hears that it is not known; the hub knows a repeat by its id.
        drop(left);
        if let Ok(gateway) = Domain::parse(&welcome.gateway) {
            let mut configuration = Configuration::new(gateway, Vec::new());
            configuration.hold_timeout = Duration::from_millis(welcome.hold_timeout.into());
            self.configuration.send_replace(Arc::new(configuration));
        }
        self.wake.notify_one();
        welcome.received
    }

    /// Serves a connection; `Ok` after the gateway's goodbye.
    async fn talk(
        &self,
        adapter: &dyn Adapter,
        mut streaming: Streaming<FromGateway>,
        sender: mpsc::Sender<FromAdapter>,
        mut written: u64,
    ) -> Result<(), End> {
        let patience = self.state.lock().patience;
        let reading = async {
            loop {
                let next = tokio::time::timeout(patience, streaming.message());
                let frame = next.await.map_err(|_| End::Broken)?.map_err(|_| End::Broken)?.ok_or(End::Broken)?;
                if self.handle(adapter, frame).await? {
                    return Ok(());
                }
            }
        };
        let writing = async {
            loop {
                self.wake.notified().await;
                self.write_all(&sender, &mut written).await?;
            }
        };
        tokio::select! {
            ended = reading => ended,
            ended = writing => ended,
        }
    }

    async fn write_all(&self, sender: &mpsc::Sender<FromAdapter>, written: &mut u64) -> Result<(), End> {
        loop {
            let (controls, told, next) = {
                let mut state = self.state.lock();
                let told = state.inbox.wants_to_tell().then(|| self.tell(&mut state));
                (std::mem::take(&mut state.controls), told, state.outbox.next(*written))
            };
            for frame in controls.into_iter().chain(told) {
                sender.send(FromAdapter { number: 0, frame: Some(frame) }).await.map_err(|_| End::Broken)?;
            }
            let Some((number, frame)) = next else { return Ok(()) };
            sender.send(FromAdapter { number, frame: Some(frame) }).await.map_err(|_| End::Broken)?;
            *written = number;
        }
    }

    fn tell(&self, state: &mut State) -> Frame {
        let number = state.inbox.taken();
        Frame::Received(wire::Received { number, allowed: state.inbox.tell() })
    }

    /// Takes one frame; true after the gateway's goodbye.
    async fn handle(&self, adapter: &dyn Adapter, FromGateway { number, frame }: FromGateway) -> Result<bool, End> {
        use from_gateway::Frame as In;
        if number != 0 && !self.state.lock().inbox.take(number)? {
            return Ok(false);
        }
        match frame {
            Some(In::Deliver(deliver)) => self.deliver(adapter, number, deliver),
            Some(In::Settled(settled)) => {
                let waiting = self.state.lock().submissions.remove(&settled.of);
                let outcome = read_outcome(settled.outcome)?;
                if let Some(settle) = waiting {
                    settle.settle(outcome);
                }
            }
            Some(In::Kept(kept)) => {
                let waiting = self.state.lock().keeps.remove(&kept.of);
                if !kept.refused.is_empty() {
                    tracing::warn!(reason = kept.refused, "the gateway does not keep a record");
                }
                if let Some(done) = waiting {
                    done(kept.durable);
                }
            }
            Some(In::Safe(safe)) => {
                let keeper = self.state.lock().submissions.get(&safe.of).map(Settle::keeper);
                if let Some(keeper) = keeper {
                    keeper.kept();
                }
            }
            Some(In::Examine(question)) => self.examine(adapter, question).await?,
            Some(In::Received(received)) => self.state.lock().outbox.received(received.number, received.allowed)?,
            Some(In::Beat(_)) => {
                let mut state = self.state.lock();
                let told = self.tell(&mut state);
                state.controls.extend([Frame::Beat(wire::Beat {}), told]);
            }
            Some(In::Drain(_)) | None => {}
            Some(In::Goodbye(goodbye)) if goodbye.reason == Reason::Shutdown.code() => return Ok(true),
            Some(In::Goodbye(goodbye)) => return Err(refused(goodbye)),
            Some(In::Welcome(_)) => return Err(End::Broken),
        }
        self.wake.notify_one();
        Ok(false)
    }

    fn deliver(&self, adapter: &dyn Adapter, number: u64, deliver: wire::Deliver) {
        let epoch = self.state.lock().epoch;
        let settle = Settle::new(Arc::new(Delivered { far: self.me.clone(), epoch }), number);
        let operation = read_operation(deliver.operation).and_then(|read| Ok((read, read_hop(deliver.hop)?)));
        let (operation, hop) = match operation {
            Ok(read) => read,
            Err(error) => {
                let failure = Failure::new(Side::Ours, Cause::InternalError).with_text(error.to_string());
                return settle.settle(failure);
            }
        };
        let delivery = Delivery {
            trace: TraceId(deliver.trace),
            operation: Arc::new(operation),
            repeat: deliver.repeat,
            edition: deliver.edition,
            proven_only: false,
            hop: Arc::new(hop),
            deadline: Instant::now() + Duration::from_millis(deliver.due.into()),
            settle,
        };
        if let Err(full) = adapter.deliver(delivery) {
            full.0.settle(Failure::new(Side::Far, Cause::ResourceConstraint));
        }
    }

    async fn examine(&self, adapter: &dyn Adapter, question: wire::Examine) -> Result<(), End> {
        let request = match question.request {
            Some(wire::examine::Request::DryRun(dry)) => Examine::DryRun {
                operation: Box::new(read_operation(dry.operation)?),
                hop: Arc::new(read_hop(dry.hop)?),
            },
            Some(wire::examine::Request::Probe(domain)) => {
                let domain = Domain::parse(&domain).map_err(|_| End::Broken)?;
                Examine::Probe { source: domain.clone(), domain, hop: Arc::new(Hop::Link) }
            }
            None => return Err(End::Broken),
        };
        let findings = adapter.examine(request).await;
        self.state.lock().controls.push(Frame::Findings(mapping::write_findings(question.id, &findings)));
        Ok(())
    }

    /// Sends a frame that Kept answers.
    fn keep_frame(&self, frame: Frame, done: StateDone) {
        let mut state = self.state.lock();
        let number = state.outbox.push(frame);
        state.keeps.insert(number, done);
        drop(state);
        self.wake.notify_one();
    }

    fn push(&self, frame: Frame) -> u64 {
        let number = self.state.lock().outbox.push(frame);
        self.wake.notify_one();
        number
    }
}

/// These may pass; all other refusals are for good.
fn refused(goodbye: wire::Goodbye) -> End {
    let passing =
        [Reason::Broken.code(), Reason::Busy.code(), Reason::Silent(Duration::ZERO).code(), Reason::Replaced.code()];
    if passing.contains(&goodbye.reason.as_str()) {
        return End::Broken;
    }
    End::Refused(ClientError::Refused { reason: goodbye.reason, text: goodbye.text })
}

/// Tells the gateway what became of a delivery.
struct Delivered {
    far: Weak<Far>,
    epoch: u64,
}

impl Settlement for Delivered {
    fn settled(&self, of: Token, outcome: Outcome) {
        let Some(far) = self.far.upgrade() else { return };
        let mut state = far.state.lock();
        if state.epoch == self.epoch {
            let outcome = Some(mapping::write_outcome(&outcome));
            state.outbox.push(Frame::Settled(wire::Settled { of, outcome }));
            drop(state);
            far.wake.notify_one();
        }
    }
}

impl HubCore for Far {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let trace = TraceId(self.traces.fetch_add(1, Ordering::Relaxed));
        let Some(operation) = mapping::write_operation(&operation) else {
            settle.settle(Failure::new(Side::Near, Cause::NotImplemented));
            return trace;
        };
        let mut state = self.state.lock();
        if state.submissions.len() >= crate::session::MAX_SUBMISSIONS {
            drop(state);
            settle.settle(Failure::new(Side::Ours, Cause::Overload));
            return trace;
        }
        let submit = wire::Submit { operation: Some(operation), peer: provenance.peer.to_string() };
        let number = state.outbox.push(Frame::Submit(submit));
        state.submissions.insert(number, settle);
        drop(state);
        self.wake.notify_one();
        trace
    }

    fn peer_changed(&self, _: &InstanceName, peer: &str, state: PeerState) {
        self.push(Frame::Peer(wire::Peer { name: peer.to_owned(), up: state == PeerState::Up }));
    }

    fn translation_loss(&self, _: &InstanceName, field: &str, how: Carries) {
        self.push(Frame::Loss(wire::Loss { field: field.to_owned(), how: mapping::write_loss(how).into() }));
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.subscribe()
    }

    fn state(&self) -> Option<Arc<dyn AdapterState>> {
        self.me.upgrade().map(|far| far as _)
    }

    fn listening(&self, _: &InstanceName, transport: &str, address: SocketAddr) {
        self.push(Frame::Listening(wire::Listening { transport: transport.to_owned(), address: address.to_string() }));
    }

    fn peer_proven(&self, _: &InstanceName, peer: &str, proof: &str, protection: &str) {
        let [name, proof, protection] = [peer, proof, protection].map(str::to_owned);
        self.push(Frame::Proven(wire::Proven { name, proof, protection }));
    }

    fn peer_registered(&self, _: &InstanceName, _: &str, _: adapter_api::Registration) {}

    fn commit(&self) {
        self.push(Frame::Commit(wire::Commit {}));
    }

    fn owe(&self, _: &InstanceName, word: DispositionOperation, repeat: bool, done: StateDone) {
        let Some(word) = mapping::write_disposition(&word) else { return done(false) };
        self.keep_frame(Frame::Owe(wire::Owe { word: Some(word), repeat }), done);
    }
}

impl AdapterState for Far {
    fn put(&self, _: &InstanceName, key: &[u8], value: Option<Vec<u8>>, done: StateDone) {
        match value.clone() {
            Some(value) => self.records.lock().insert(key.to_vec(), value),
            None => self.records.lock().remove(key),
        };
        self.keep_frame(Frame::Keep(wire::Keep { key: key.to_vec().into(), value: value.map(Into::into) }), done);
    }

    fn all(&self, _: &InstanceName) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.records.lock().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
