//! A hub that records, and an XMPP server of one component over loopback TCP.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(unreachable_pub, reason = "a module of tests")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter_api::{
    Adapter, Carries, Configuration, Context, Delivery, Hop, Hub, HubCore, InstanceName, PeerState, Provenance, Settle,
    Shutdown, ShutdownTrigger, TraceId, settle_channel,
};
use adapter_xmpp::Config;
use async_trait::async_trait;
use impp_model::{
    Address, Content, DispositionOperation, Domain, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation,
    Outcome, TransId,
};
use impp_resolve::{Answer, Dns, DnsError, Name, RecordType};
use strict_xml::{Element, Limits, Scope, parse_element};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xmpp_proto::component::{ComponentServer, Output, Secret, ServerConfig};
use xmpp_proto::ns;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Something came in through the hub.
pub struct Submitted {
    pub operation: MessageOperation,
    pub provenance: Arc<Provenance>,
    pub settle: Settle,
}

pub struct FakeHub {
    submitted: mpsc::UnboundedSender<Submitted>,
    peers: mpsc::UnboundedSender<(String, PeerState)>,
    pub losses: Mutex<Vec<(String, Carries)>>,
    /// What came in besides: states.
    pub signals: Mutex<Vec<Operation>>,
    /// Reports, and errors about no open message.
    pub words: Mutex<Vec<DispositionOperation>>,
    /// Words that the adapter gave back, and what hears that they are on disk.
    pub owed: Mutex<Vec<(DispositionOperation, adapter_api::StateDone)>>,
    configuration: watch::Receiver<Arc<Configuration>>,
}

impl HubCore for FakeHub {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        if let Operation::Disposition(word) = operation {
            self.words.lock().unwrap().push(*word);
            return TraceId(1);
        }
        let Operation::Message(operation) = operation else {
            self.signals.lock().unwrap().push(operation);
            return TraceId(1);
        };
        let _ = self.submitted.send(Submitted { operation: *operation, provenance, settle });
        TraceId(1)
    }
    fn peer_changed(&self, _: &InstanceName, peer: &str, state: PeerState) {
        let _ = self.peers.send((peer.to_owned(), state));
    }
    fn translation_loss(&self, _: &InstanceName, field: &str, how: Carries) {
        self.losses.lock().unwrap().push((field.to_owned(), how));
    }
    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.clone()
    }

    fn peer_proven(&self, _: &InstanceName, _: &str, _: &str, _: &str) {}

    fn peer_registered(&self, _: &InstanceName, _: &str, _: adapter_api::Registration) {}

    fn state(&self) -> Option<Arc<dyn adapter_api::AdapterState>> {
        None
    }

    fn commit(&self) {}

    fn owe(&self, _: &InstanceName, word: DispositionOperation, _: bool, done: adapter_api::StateDone) {
        self.owed.lock().unwrap().push((word, done));
    }

    fn listening(&self, _: &InstanceName, _: &str, _: std::net::SocketAddr) {}
}

struct NoDns;

#[async_trait]
impl Dns for NoDns {
    async fn query(&self, _: &Name, _: RecordType) -> Result<Answer, DnsError> {
        Err(DnsError::NxDomain { ttl: None })
    }
}

/// A running adapter.
pub struct Gateway {
    pub adapter: Arc<dyn Adapter>,
    pub hub: Arc<FakeHub>,
    pub submitted: mpsc::UnboundedReceiver<Submitted>,
    pub peers: mpsc::UnboundedReceiver<(String, PeerState)>,
    pub stop: ShutdownTrigger,
    pub running: JoinHandle<()>,
}

pub const DOMAIN: &str = "sip.example.com";

pub fn config(port: u16, more: serde_json::Value) -> Config {
    let mut config = serde_json::json!({"connect": format!("127.0.0.1:{port}"), "domain": DOMAIN, "secret": "s3cret"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

pub fn start(config: Config) -> Gateway {
    let configuration = Arc::new(Configuration::new(Domain::parse("gw.example.net").unwrap(), vec![]));
    let configuration = watch::channel(configuration).1;
    let tls = Arc::new(adapter_api::Tls::none(Domain::parse("gw.example.net").unwrap()));
    let context = Context { configuration: configuration.clone(), dns: Arc::new(NoDns), tls };
    let adapter = adapter_xmpp::new("office".into(), config, context).unwrap();
    let (submitted_sender, submitted) = mpsc::unbounded_channel();
    let (peers_sender, peers) = mpsc::unbounded_channel();
    let hub = Arc::new(FakeHub {
        submitted: submitted_sender,
        peers: peers_sender,
        losses: Mutex::default(),
        signals: Mutex::default(),
        words: Mutex::default(),
        owed: Mutex::default(),
        configuration,
    });
    let (stop, shutdown) = Shutdown::new();
    let running = {
        let (adapter, hub) = (Arc::clone(&adapter), Hub::new(Arc::clone(&hub) as Arc<dyn HubCore>, "office".into()));
        tokio::spawn(async move { adapter.run(hub, shutdown).await.unwrap() })
    };
    Gateway { adapter, hub, submitted, peers, stop, running }
}

impl Gateway {
    /// Delivers a text to juliet@example.com and gives the outcome to come.
    pub fn deliver(&self, text: &str, hold: Duration) -> oneshot::Receiver<Outcome> {
        self.deliver_operation(operation(text), hold)
    }

    pub fn deliver_operation(&self, operation: MessageOperation, hold: Duration) -> oneshot::Receiver<Outcome> {
        self.deliver_any(Operation::Message(Box::new(operation)), hold)
    }

    pub fn deliver_any(&self, operation: Operation, hold: Duration) -> oneshot::Receiver<Outcome> {
        self.try_again(operation, hold, false)
    }

    /// The same, of which an earlier try may have arrived if it is a repeat.
    pub fn try_again(&self, operation: Operation, hold: Duration, repeat: bool) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        let delivery = Delivery {
            trace: TraceId(7),
            operation: Arc::new(operation),
            repeat,
            edition: 0,
            proven_only: false,
            hop: Arc::new(Hop::Link),
            deadline: Instant::now() + hold,
            settle,
        };
        if let Err(full) = self.adapter.deliver(delivery) {
            drop(full);
        }
        outcome
    }

    pub async fn peer(&mut self) -> PeerState {
        timeout(PATIENCE, self.peers.recv()).await.expect("a change of peer").unwrap().1
    }

    pub async fn submitted(&mut self) -> Submitted {
        timeout(PATIENCE, self.submitted.recv()).await.expect("a submitted message").unwrap()
    }
}

pub fn operation(text: &str) -> MessageOperation {
    MessageOperation {
        source: Endpoint::bare(Address::parse_bare("romeo@sip.example.com").unwrap()),
        destination: Endpoint::bare(Address::parse_bare("juliet@example.com").unwrap()),
        max_forwards: MaxForwards(70),
        trans_id: TransId::from(format!("t-{text}")),
        message: InstantMessage::new(Content::text(text)),
    }
}

pub async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Outcome {
    timeout(PATIENCE, receiver).await.expect("an outcome").unwrap()
}

/// A listener that accepts one component at a time.
pub struct Server {
    listener: TcpListener,
}

/// One accepted component.
pub struct Peer {
    socket: TcpStream,
    machine: ComponentServer,
    stanzas: std::collections::VecDeque<Element>,
    opened: bool,
    pub closed: bool,
}

impl Server {
    pub async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// On a port that was free a moment ago.
    pub async fn bind_to(port: u16) -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Accepts a component whose handshake fails, and reads to the end of its stream.
    pub async fn refuse(&self) {
        let mut peer = self.connection().await;
        while peer.read().await {}
        assert!(!peer.opened, "the handshake was good");
    }

    /// Accepts a connection, says this, and waits for the component to leave.
    pub async fn babble(&self, octets: &[u8]) {
        let (mut socket, _) = timeout(PATIENCE, self.listener.accept()).await.expect("a connection").unwrap();
        socket.write_all(octets).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the component leaves");
    }

    /// Accepts a component and its handshake.
    pub async fn accept(&self) -> Peer {
        let mut peer = self.connection().await;
        while !peer.machine.is_open() {
            assert!(peer.read().await, "the stream opens");
        }
        peer
    }

    async fn connection(&self) -> Peer {
        let (socket, _) = timeout(PATIENCE, self.listener.accept()).await.expect("a connection").unwrap();
        let mut config = ServerConfig::default();
        config.components.insert(DOMAIN.into(), Secret::new("s3cret"));
        let machine = ComponentServer::new(config, "stream-1".into(), Instant::now());
        Peer { socket, machine, stanzas: Default::default(), opened: false, closed: false }
    }
}

impl Peer {
    /// Sends a stanza written in XML.
    pub async fn send(&mut self, xml: &str) {
        let scope = Scope::with_default(ns::COMPONENT_ACCEPT);
        let stanza = parse_element(xml.as_bytes(), &scope, &Limits::default()).unwrap();
        self.machine.send(&stanza, Instant::now()).unwrap();
        self.drain().await;
    }

    /// The next stanza.
    pub async fn next(&mut self) -> Element {
        loop {
            if let Some(stanza) = self.stanzas.pop_front() {
                return stanza;
            }
            assert!(self.read().await, "connection ended while a stanza was awaited");
        }
    }

    /// The next stanza of this name.
    pub async fn next_named(&mut self, name: &str) -> Element {
        loop {
            let stanza = self.next().await;
            if stanza.name == *name {
                return stanza;
            }
        }
    }

    /// Answers one ping.
    pub async fn answer(&mut self, ping: &Element) {
        let (from, to, id) = (ping.attr("to").unwrap(), ping.attr("from").unwrap(), ping.attr("id").unwrap());
        let answer = format!("<iq type='result' from='{from}' to='{to}' id='{id}'/>");
        self.send(&answer).await;
    }

    /// Answers pings until there is an outcome.
    pub async fn prove(&mut self, mut receiver: oneshot::Receiver<Outcome>) -> Outcome {
        loop {
            tokio::select! {
                biased;
                outcome = &mut receiver => return outcome.unwrap(),
                stanza = self.next() => if stanza.name == *"iq" {
                    self.answer(&stanza).await;
                },
            }
        }
    }

    /// Reads until the component closes its stream.
    pub async fn until_closed(&mut self) {
        while self.read().await {}
    }

    /// Sends octets as they are.
    pub async fn send_octets(&mut self, octets: &[u8]) {
        self.socket.write_all(octets).await.unwrap();
    }

    /// Says this in place of stanzas, and waits for the component to leave.
    pub async fn babble(&mut self, octets: &[u8]) {
        self.send_octets(octets).await;
        self.until_closed().await;
    }

    pub fn abort(self) {
        drop(self);
    }

    async fn read(&mut self) -> bool {
        let mut buffer = [0; 8192];
        let count = timeout(PATIENCE, self.socket.read(&mut buffer)).await.expect("octets").unwrap_or(0);
        if count == 0 {
            return false;
        }
        self.machine.handle_bytes(&buffer[..count], Instant::now());
        self.drain().await;
        !self.closed
    }

    async fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send(octets) => self.socket.write_all(&octets).await.unwrap(),
                Output::Stanza(stanza) => self.stanzas.push_back(stanza),
                Output::Closed => self.closed = true,
                Output::Opened => self.opened = true,
                Output::Failed(_) => {}
            }
        }
    }
}
