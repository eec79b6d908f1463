//! The gateway's side as the hub sees it.

use crate::config::Config;
use crate::connection;
use crate::listen::Listener;
use crate::mapping::{millis, short_millis, write_hop, write_operation};
use crate::session::{MAX_DELIVERIES, Session, link_down, settle_all};
use crate::wire::{self, from_gateway::Frame};
use crate::{MAX_FRAME, Reason, process};
use adapter_api::model::{Cause, Failure, Operation, Outcome, Side};
use adapter_api::{
    Adapter, AdapterError, Capabilities, Delivery, Examine, Findings, Full, Hub, InstanceName, Settlement, Shutdown,
    Tls, Token,
};
use parking_lot::Mutex;
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot, watch};

/// An adapter in another process.
pub struct ExternalAdapter {
    shared: Arc<Shared>,
}

/// What connections and the hub share.
pub(crate) struct Shared {
    pub(crate) me: Weak<Self>,
    pub(crate) instance: InstanceName,
    pub(crate) config: Config,
    /// What the gateway shows to adapters that connect over TLS.
    pub(crate) tls: Arc<Tls>,
    pub(crate) capabilities: Capabilities,
    pub(crate) hub: OnceLock<Hub>,
    pub(crate) state: Mutex<State>,
    /// Something is to be written.
    pub(crate) wake: Notify,
    /// Whether connections end.
    pub(crate) stop: watch::Sender<bool>,
    /// How many connections there are.
    pub(crate) connections: watch::Sender<usize>,
    /// Where adapters connect over TLS.
    address: watch::Sender<Option<SocketAddr>>,
    numbers: AtomicU64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) session: Option<Session>,
    /// Frames without number that wait to be written.
    pub(crate) controls: Vec<Frame>,
    pub(crate) examines: BTreeMap<u64, oneshot::Sender<Findings>>,
    /// Why the last connection was refused or cut; none after one that was welcomed.
    pub(crate) refused: Option<&'static str>,
    /// The connection whose session was ended because it takes nothing.
    flooded: Option<u64>,
    draining: bool,
}

impl State {
    /// The session, as long as this connection serves it; else why it does not.
    pub(crate) fn session_of(&mut self, connection: u64) -> Result<&mut Session, Reason> {
        let gone = if self.flooded == Some(connection) { Reason::Flood } else { Reason::Replaced };
        self.session.as_mut().filter(|session| session.connection == Some(connection)).ok_or(gone)
    }
}

/// How often deliveries and sessions are looked through for those whose time is over.
const SWEEP: Duration = Duration::from_millis(50);

/// How long the adapter may take to settle what is under way when the gateway stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long connections may take to end then.
const CLOSE: Duration = Duration::from_secs(1);

/// How long a dry run or a probe may take.
const EXAMINE: Duration = Duration::from_secs(5);

/// Questions that may wait for an answer.
const MAX_EXAMINES: usize = 16;

impl ExternalAdapter {
    /// Makes an instance; reads the file of capabilities, opens nothing. `tls` has what is shown where the adapter is elsewhere.
    pub fn new(instance: InstanceName, config: Config, tls: Arc<Tls>) -> Result<Self, AdapterError> {
        let capabilities = config.capabilities()?;
        let shared = Arc::new_cyclic(|me| Shared {
            me: me.clone(),
            instance,
            config,
            tls,
            capabilities,
            hub: OnceLock::new(),
            state: Mutex::default(),
            wake: Notify::new(),
            stop: watch::Sender::new(false),
            connections: watch::Sender::new(0),
            address: watch::Sender::new(None),
            numbers: AtomicU64::new(1),
        });
        Ok(Self { shared })
    }

    /// Where adapters connect over TLS, with the port that was chosen for port 0; waits until that is open.
    pub async fn listening_at(&self) -> Option<SocketAddr> {
        let mut address = self.shared.address.subscribe();
        address.wait_for(Option::is_some).await.ok().and_then(|address| *address)
    }
}

#[async_trait::async_trait]
impl Adapter for ExternalAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    async fn run(&self, hub: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        let shared = &self.shared;
        // Called once: there was none before.
        let _ = shared.hub.set(hub);
        let listener = Listener::open(shared)?;
        tracing::info!(adapter = %shared.instance, at = %listener, "waiting for the adapter");
        shared.address.send_replace(listener.address());
        let socket_file = listener.socket_file();
        let serve = connection::serve(Arc::clone(shared), listener);
        let supervise = process::supervise(shared.instance.clone(), &shared.config, shared.stop.subscribe());
        let stopping = async {
            shutdown.requested().await;
            shared.drain().await;
        };
        tokio::select! {
            () = serve => {}
            () = shared.sweep() => {}
            // The process ends after the last goodbye, by itself or not.
            ((), ()) = async { tokio::join!(stopping, supervise) } => {}
        }
        shared.end_session();
        // Somebody else may have made another one meanwhile; then it is theirs.
        let _ = socket_file.map(std::fs::remove_file);
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.shared.deliver(delivery)
    }

    async fn examine(&self, request: Examine) -> Findings {
        self.shared.examine(request).await.unwrap_or_else(|| {
            let mut findings = Findings::default();
            findings.add("adapter", "its process is not connected, or did not answer");
            if let Some(reason) = self.shared.state.lock().refused {
                findings.add("connection", format!("refused or cut: {reason}"));
            }
            findings
        })
    }
}

impl Shared {
    /// A number that no other session or connection of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        let mut state = self.state.lock();
        let State { session, draining, .. } = &mut *state;
        let refusal = match session {
            _ if *draining => Some(Failure::new(Side::Ours, Cause::ShuttingDown)),
            None => Some(link_down()),
            Some(session) if session.waiting() >= MAX_DELIVERIES => return Err(Full(Box::new(delivery))),
            Some(_) => None,
        };
        let frame = refusal.map_or_else(|| self.frame(&delivery), Err);
        match (frame, session) {
            (Ok(frame), Some(session)) => {
                session.deliver(frame, delivery.deadline, delivery.settle);
                drop(state);
                self.wake.notify_one();
            }
            (Ok(_), None) => {
                drop(state);
                delivery.settle(link_down());
            }
            (Err(failure), _) => {
                drop(state);
                delivery.settle(failure);
            }
        }
        Ok(())
    }

    fn frame(&self, delivery: &Delivery) -> Result<wire::Deliver, Failure> {
        let unknown = || Failure::new(Side::Far, Cause::NotImplemented).with_text("not carried by this adapter");
        if !self.capabilities.carries(delivery.operation.kind()) {
            return Err(unknown());
        }
        let carried_id = match &*delivery.operation {
            Operation::Message(message) => message.carried_id().into_owned(),
            Operation::Disposition(_)
            | Operation::Composing(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => String::new(),
        };
        let frame = wire::Deliver {
            trace: delivery.trace.0,
            repeat: delivery.repeat,
            edition: delivery.edition,
            due: short_millis(delivery.deadline.saturating_duration_since(Instant::now())),
            hop: Some(write_hop(&delivery.hop)),
            operation: Some(write_operation(&delivery.operation).ok_or_else(unknown)?),
            carried_id,
        };
        if frame.encoded_len() + FRAME_ROOM > MAX_FRAME {
            let text = format!("a frame of more than {MAX_FRAME} octets");
            return Err(Failure::new(Side::Far, Cause::TooLarge).with_text(text));
        }
        Ok(frame)
    }

    /// Gives up what is due and sessions that nobody resumes; never returns.
    async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.give_up();
            if let Some(why) = self.dead() {
                tracing::warn!(adapter = %self.instance, "{why}: what was under way is unconfirmed");
                self.end_session();
            }
        }
    }

    /// Why the session is to end, if it is.
    fn dead(&self) -> Option<&'static str> {
        let mut state = self.state.lock();
        let session = state.session.as_ref()?;
        if session.overflows() {
            state.flooded = session.connection;
            return Some("the adapter takes nothing");
        }
        let waits = session.connection.is_none();
        (waits && session.detached.elapsed() >= self.config.resume_within).then_some("the adapter did not come back")
    }

    /// Ends the session and settles what it held.
    pub(crate) fn end_session(&self) {
        let mut state = self.state.lock();
        let ended = state.session.take().map(Session::end);
        state.examines.clear();
        drop(state);
        ended.into_iter().for_each(settle_all);
        self.wake.notify_one();
    }

    /// Lets the adapter settle what is under way, then ends its connections.
    async fn drain(&self) {
        self.begin_drain();
        let settled = async {
            let mut tick = tokio::time::interval(SWEEP);
            loop {
                tick.tick().await;
                if self.give_up() == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN, settled).await;
        self.stop.send_replace(true);
        let mut connections = self.connections.subscribe();
        let _ = tokio::time::timeout(CLOSE, connections.wait_for(|count| *count == 0)).await;
    }

    fn begin_drain(&self) {
        let mut state = self.state.lock();
        state.draining = true;
        state.controls.push(Frame::Drain(wire::Drain { within: short_millis(DRAIN) }));
        drop(state);
        self.wake.notify_one();
    }

    /// Gives up what is due; tells how much still waits.
    fn give_up(&self) -> usize {
        let mut state = self.state.lock();
        let Some(session) = &mut state.session else { return 0 };
        let (over, left) = (session.overdue(Instant::now()), session.waiting());
        drop(state);
        settle_all(over);
        left
    }

    async fn examine(&self, request: Examine) -> Option<Findings> {
        let id = self.number();
        let request = match request {
            Examine::DryRun { operation, hop } => wire::examine::Request::DryRun(wire::DryRun {
                operation: Some(write_operation(&operation)?),
                hop: Some(write_hop(&hop)),
            }),
            // The process finds the way by itself.
            Examine::Probe { domain, .. } => wire::examine::Request::Probe(domain.to_string()),
            _ => return None,
        };
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let connected = state.session.as_ref().is_some_and(|session| session.connection.is_some());
            if !connected || state.examines.len() >= MAX_EXAMINES {
                return None;
            }
            state.examines.insert(id, sender);
            state.controls.push(Frame::Examine(wire::Examine { id, request: Some(request) }));
        }
        self.wake.notify_one();
        let findings = tokio::time::timeout(EXAMINE, receiver).await;
        self.state.lock().examines.remove(&id);
        findings.ok()?.ok()
    }

    /// Tells the operator why a connection ended.
    pub(crate) fn ended(&self, reason: &Reason) {
        let (adapter, code) = (&self.instance, reason.code());
        self.state.lock().refused = Some(code);
        if matches!(reason, Reason::Left(_) | Reason::Shutdown | Reason::Replaced) {
            tracing::info!(%adapter, reason = code, "the adapter's connection ended");
        } else {
            tracing::warn!(%adapter, reason = code, text = %reason, "the adapter's connection ended");
        }
    }

    /// The frame that welcomes an adapter.
    pub(crate) fn welcome(&self, hub: &Hub, session: &mut Session, resumed: bool) -> wire::Welcome {
        let configuration = hub.configuration();
        let (gateway, hold) = {
            let configuration = configuration.borrow();
            (configuration.gateway.to_string(), configuration.hold_timeout)
        };
        wire::Welcome {
            session: session.id.clone(),
            resumed,
            received: session.inbox.taken(),
            allowed: session.inbox.tell(),
            max_frame: u32::try_from(MAX_FRAME).unwrap_or(u32::MAX),
            heartbeat: short_millis(self.config.heartbeat),
            gateway,
            hold_timeout: u32::try_from(millis(hold)).unwrap_or(u32::MAX),
            records: Vec::new(),
        }
    }
}

/// What a frame has around the delivery: its number and lengths.
const FRAME_ROOM: usize = 64;

/// Hears for one session what became of its submissions.
pub(crate) struct Answers {
    pub(crate) shared: Weak<Shared>,
    pub(crate) epoch: u64,
}

impl Settlement for Answers {
    fn settled(&self, of: Token, outcome: Outcome) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.state.lock();
        if let Some(session) = state.session.as_mut().filter(|session| session.epoch == self.epoch) {
            session.answer(of, &outcome);
            drop(state);
            shared.wake.notify_one();
        }
    }

    fn kept(&self, of: Token) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.state.lock();
        if let Some(session) = state.session.as_mut().filter(|session| session.epoch == self.epoch) {
            session.outbox.push(Frame::Safe(wire::Safe { of }));
            drop(state);
            shared.wake.notify_one();
        }
    }
}
