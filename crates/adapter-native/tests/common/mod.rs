//! A native adapter on a loopback socket, with a hub that does what a test says.
#![allow(dead_code, reason = "each test program uses its own part")]

use adapter_api::model::{
    Address, Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Outcome,
};
use adapter_api::{
    Adapter, Carries, Configuration, Context, Delivery, Hop, Hub, HubCore, InstanceName, PeerState, Provenance, Settle,
    Shutdown, ShutdownTrigger, TraceId, settle_channel,
};
use adapter_native::NativeAdapter;
use adapter_native::client::{Client, Events, Incoming, Received};
use adapter_native::wire::{EventId, MessageEvent, SendMessage};
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What reached the hub, with the right to settle it.
pub(crate) struct Submitted {
    pub(crate) operation: MessageOperation,
    pub(crate) provenance: Arc<Provenance>,
    pub(crate) settle: Settle,
}

/// A hub that hands everything to the test, or answers at once.
struct FakeHub {
    submitted: mpsc::UnboundedSender<Submitted>,
    at_once: Mutex<Option<Outcome>>,
    traces: AtomicU64,
    losses: Mutex<Vec<String>>,
    signals: Mutex<Vec<Operation>>,
    configuration: watch::Sender<Arc<Configuration>>,
}

impl HubCore for FakeHub {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let trace = TraceId(self.traces.fetch_add(1, Ordering::Relaxed));
        let Operation::Message(operation) = operation else {
            self.signals.lock().push(operation);
            settle.settle(self.at_once.lock().clone().unwrap_or(Outcome::HandedOver));
            return trace;
        };
        let settle = match self.at_once.lock().clone() {
            Some(outcome) => {
                settle.settle(outcome);
                settle_channel().0
            }
            None => settle,
        };
        // A test that does not look at submissions may have ended.
        let _ = self.submitted.send(Submitted { operation: *operation, provenance, settle });
        trace
    }

    fn peer_changed(&self, _: &InstanceName, _: &str, _: PeerState) {}

    fn translation_loss(&self, _: &InstanceName, field: &str, _: Carries) {
        self.losses.lock().push(field.to_owned());
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.subscribe()
    }

    fn peer_proven(&self, _: &InstanceName, _: &str, _: &str, _: &str) {}

    fn peer_registered(&self, _: &InstanceName, _: &str, _: adapter_api::Registration) {}

    fn state(&self) -> Option<Arc<dyn adapter_api::AdapterState>> {
        None
    }

    fn commit(&self) {}

    fn owe(&self, _: &InstanceName, _: impp_model::DispositionOperation, _: bool, done: adapter_api::StateDone) {
        done(true);
    }

    fn listening(&self, _: &InstanceName, _: &str, _: SocketAddr) {}
}

/// A running adapter with its two users, Carol and Dave.
pub(crate) struct Gateway {
    pub(crate) adapter: Arc<NativeAdapter>,
    pub(crate) address: SocketAddr,
    pub(crate) submitted: mpsc::UnboundedReceiver<Submitted>,
    hub: Arc<FakeHub>,
    trigger: ShutdownTrigger,
    run: JoinHandle<()>,
}

pub(crate) const CAROL: &str = "c4r0l-token";
pub(crate) const DAVE: &str = "d4ve-token";

/// Limits small enough to reach.
const CONFIG: &str = r#"{"listen":"127.0.0.1:0",
    "user":[{"address":"carol@native.example","token":"c4r0l-token"},{"address":"dave@native.example","token":"d4ve-token"}],
    "limits":{"max_message":1000,"max_body":4000,"max_devices":3,"max_events":5,"max_in_flight":2}}"#;

impl Gateway {
    pub(crate) async fn start() -> Self {
        let gateway = Configuration::new("gw.example.net".parse().unwrap(), vec![]);
        let configuration = watch::Sender::new(Arc::new(gateway));
        let tls = Arc::new(adapter_api::Tls::none("gw.example.net".parse().unwrap()));
        let context = Context { configuration: configuration.subscribe(), dns: Arc::new(NoDns), tls };
        let config = serde_json::from_str(CONFIG).unwrap();
        let adapter = Arc::new(NativeAdapter::new("native".into(), config, context).unwrap());
        let (sender, submitted) = mpsc::unbounded_channel();
        let hub = Arc::new(FakeHub {
            submitted: sender,
            at_once: Mutex::new(None),
            traces: AtomicU64::new(1),
            losses: Mutex::default(),
            signals: Mutex::default(),
            configuration,
        });
        let (trigger, shutdown) = Shutdown::new();
        let run = tokio::spawn({
            let (adapter, hub) = (Arc::clone(&adapter), Hub::new(Arc::clone(&hub) as _, "native".into()));
            async move { adapter.run(hub, shutdown).await.unwrap() }
        });
        let address = adapter.local_addr().await;
        Self { adapter, address, submitted, hub, trigger, run }
    }

    /// From here on the hub answers at once.
    pub(crate) fn answer_at_once(&self, outcome: impl Into<Outcome>) {
        *self.hub.at_once.lock() = Some(outcome.into());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        Client::new(&self.url("/"), token).unwrap()
    }

    /// What reaches the hub next.
    pub(crate) async fn next_submitted(&mut self) -> Submitted {
        self.submitted.recv().await.unwrap()
    }

    /// What reached the hub that is no message.
    #[allow(dead_code, reason = "not every test of this module's users")]
    pub(crate) fn signals(&self) -> Vec<Operation> {
        self.hub.signals.lock().clone()
    }

    pub(crate) fn losses(&self) -> Vec<String> {
        self.hub.losses.lock().clone()
    }

    /// Hands the adapter a message for `to`; gives the wait for its outcome.
    pub(crate) fn deliver(&self, to: &str, body: &str) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        self.adapter.deliver(delivery(to, body, settle)).unwrap();
        outcome
    }

    /// Stops the adapter and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.trigger.shut_down();
        self.run.await.unwrap();
    }

    /// Tells the adapter to stop.
    pub(crate) fn begin_stop(&self) {
        self.trigger.shut_down();
    }
}

/// A delivery with more time than any test takes.
pub(crate) fn delivery(to: &str, body: &str, settle: Settle) -> Delivery {
    let end = |address: &str| Endpoint::bare(Address::parse_bare(address).unwrap());
    let operation = MessageOperation {
        source: end("romeo@sip.example.com"),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t1".into(),
        message: InstantMessage::new(Content::text(body)),
    };
    Delivery {
        trace: TraceId(7),
        operation: Arc::new(Operation::Message(Box::new(operation))),
        repeat: false,
        edition: 0,
        proven_only: false,
        hop: Arc::new(Hop::Link),
        deadline: Instant::now() + Duration::from_secs(600),
        settle,
    }
}

/// Text for Bob.
pub(crate) fn text(body: &str) -> SendMessage {
    SendMessage {
        to: "bob@example.com".to_owned(),
        content_type: "text/plain".to_owned(),
        body: body.to_owned(),
        ..SendMessage::default()
    }
}

/// The next event, which is a message.
pub(crate) async fn next_message(events: &mut Events) -> (EventId, MessageEvent) {
    match events.next().await.unwrap().unwrap() {
        Received { id, event: Incoming::Message(message) } => (id, *message),
        Received { event, .. } => panic!("{event:?}"),
    }
}

struct NoDns;

#[async_trait::async_trait]
impl impp_resolve::Dns for NoDns {
    async fn query(
        &self,
        _: &impp_resolve::Name,
        _: impp_resolve::RecordType,
    ) -> Result<impp_resolve::Answer, impp_resolve::DnsError> {
        Err(impp_resolve::DnsError::NoRecords { ttl: None })
    }
}
