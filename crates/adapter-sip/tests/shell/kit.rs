//! A hub that only listens, a running adapter, and SIP peers on loopback sockets.

use adapter_api::testkit::Records;
use adapter_api::{
    Adapter, Carries, Configuration, Context, Delivery, DomainEntry, Hop, Hub, HubCore, InstanceName, PeerState,
    Provenance, Registration, Role, Settle, Shutdown, ShutdownTrigger, Tls, TraceId, settle_channel,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use impp_model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Outcome};
use impp_resolve::{Answer, Dns, DnsError, Name, RecordType};
use sip_proto::build::ResponseBuilder;
use sip_proto::framer::{Event, StreamFramer};
use sip_proto::message::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long a test waits for what must come; it fails then, so that it never takes so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the hub was handed.
pub struct Submitted {
    pub operation: MessageOperation,
    pub provenance: Arc<Provenance>,
    pub settle: Settle,
}

struct FakeHub {
    presence: mpsc::UnboundedSender<(Operation, Settle)>,
    submitted: mpsc::UnboundedSender<Submitted>,
    events: mpsc::UnboundedSender<String>,
    listening: mpsc::UnboundedSender<(String, SocketAddr)>,
    configuration: watch::Receiver<Arc<Configuration>>,
    kept: Arc<Records>,
}

impl HubCore for FakeHub {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let Operation::Message(operation) = operation else {
            self.presence.send((operation, settle)).unwrap();
            return TraceId(1);
        };
        self.submitted.send(Submitted { operation: *operation, provenance, settle }).unwrap();
        TraceId(1)
    }

    fn peer_changed(&self, _: &InstanceName, peer: &str, state: PeerState) {
        self.events.send(format!("{peer} {state:?}")).unwrap();
    }

    fn peer_registered(&self, _: &InstanceName, peer: &str, registration: Registration) {
        // The test may be over.
        let _ = self.events.send(format!("{peer} {registration:?}"));
    }

    fn translation_loss(&self, _: &InstanceName, field: &str, how: Carries) {
        self.events.send(format!("{field} {how:?}")).unwrap();
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.clone()
    }

    fn listening(&self, _: &InstanceName, transport: &str, address: SocketAddr) {
        self.listening.send((transport.to_owned(), address)).unwrap();
    }

    fn peer_proven(&self, _: &InstanceName, _: &str, _: &str, _: &str) {}

    fn state(&self) -> Option<Arc<dyn adapter_api::AdapterState>> {
        Some(self.kept.clone())
    }

    fn commit(&self) {}

    fn owe(&self, _: &InstanceName, _: impp_model::DispositionOperation, _: bool, done: adapter_api::StateDone) {
        done(true);
    }
}

/// Knows no name but those of its list.
pub struct FakeDns(pub Vec<(&'static str, impp_resolve::Record)>);

#[async_trait]
impl Dns for FakeDns {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        let found = |(known, record): &&(&str, impp_resolve::Record)| {
            *known == name.as_str() && record.record_type() == record_type
        };
        let records: Vec<_> = self.0.iter().filter(found).map(|(_, record)| record.clone()).collect();
        if records.is_empty() { Err(DnsError::NxDomain { ttl: None }) } else { Ok(Answer { records, ttl: PATIENCE }) }
    }
}

/// A running adapter.
pub struct Gateway {
    pub adapter: Arc<dyn Adapter>,
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    pub listeners: BTreeMap<String, SocketAddr>,
    pub submitted: mpsc::UnboundedReceiver<Submitted>,
    pub events: mpsc::UnboundedReceiver<String>,
    /// What else than messages was handed in.
    pub presence: mpsc::UnboundedReceiver<(Operation, Settle)>,
    /// What would be there after a restart.
    pub kept: Arc<Records>,
    pub ended: tokio::task::JoinHandle<()>,
    pub trigger: ShutdownTrigger,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with(serde_json::json!({}), FakeDns(Vec::new())).await
    }

    /// Starts with more keys than `listen`.
    pub async fn start_with(more: serde_json::Value, dns: FakeDns) -> Self {
        Self::start_in(more, dns, &["127.0.0.0/8"], Tls::none("gw.example.com".parse().unwrap())).await
    }

    /// Starts with these networks trusted for `example.net`, and with certificates.
    pub async fn start_in(more: serde_json::Value, dns: FakeDns, trusted: &[&str], tls: Tls) -> Self {
        let local = DomainEntry {
            name: "example.net".parse().unwrap(),
            own_name: None,
            role: Role::Local,
            adapter: Some("sip".into()),
            next_hop: None,
            trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
        };
        let configuration = Configuration::new("gw.example.com".parse().unwrap(), vec![local]);
        Self::start_as(more, dns, configuration, tls).await
    }

    /// Starts with this shared configuration.
    pub async fn start_as(more: serde_json::Value, dns: FakeDns, configuration: Configuration, tls: Tls) -> Self {
        let mut config = serde_json::json!({ "listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"] });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let configuration = watch::channel(Arc::new(configuration)).1;
        let context = Context { configuration: configuration.clone(), dns: Arc::new(dns), tls: Arc::new(tls) };
        let listens = config["listen"].as_array().unwrap().len();
        let adapter = adapter_sip::new("sip".into(), serde_json::from_value(config).unwrap(), context).unwrap();
        let (submitted, submitted_receiver) = mpsc::unbounded_channel();
        let (events, events_receiver) = mpsc::unbounded_channel();
        let (told, presence) = mpsc::unbounded_channel();
        let (listening, mut listening_receiver) = mpsc::unbounded_channel();
        let kept = Arc::new(Records::default());
        let fake = FakeHub { presence: told, submitted, events, listening, configuration, kept: kept.clone() };
        let hub = Hub::new(Arc::new(fake), "sip".into());
        let (trigger, shutdown) = Shutdown::new();
        let running = adapter.clone();
        let ended = tokio::spawn(async move { running.run(hub, shutdown).await.unwrap() });
        let mut listeners = BTreeMap::new();
        for _ in 0..listens {
            let (transport, address) = listening_receiver.recv().await.unwrap();
            listeners.insert(transport, address);
        }
        let (udp, tcp) = (listeners["udp"], listeners["tcp"]);
        let (submitted, events) = (submitted_receiver, events_receiver);
        Self { adapter, udp, tcp, listeners, submitted, events, presence, kept, ended, trigger }
    }

    /// The next operation of presence that was handed in.
    pub async fn told(&mut self) -> (Operation, Settle) {
        timeout(PATIENCE, self.presence.recv()).await.unwrap().unwrap()
    }

    /// The same, taken as the hub.
    pub async fn heard(&mut self) -> Operation {
        let (operation, settle) = self.told().await;
        settle.settle(Outcome::Success(impp_model::Proof::Server));
        operation
    }

    /// The next operation that was handed in.
    pub async fn next(&mut self) -> Submitted {
        timeout(PATIENCE, self.submitted.recv()).await.unwrap().unwrap()
    }

    /// Whether nothing more was handed in; ask behind an answer that proves that it would have been.
    pub fn is_quiet(&mut self) -> bool {
        self.submitted.try_recv().is_err()
    }

    /// Hands a message over; gives what becomes of it.
    pub fn deliver(&self, hop: Hop, change: impl FnOnce(&mut MessageOperation)) -> oneshot::Receiver<Outcome> {
        self.deliver_until(Instant::now() + PATIENCE, hop, change)
    }

    /// The same for one that an earlier try may have brought there.
    pub fn repeat(&self, hop: Hop, change: impl FnOnce(&mut MessageOperation)) -> oneshot::Receiver<Outcome> {
        self.hand_over(Instant::now() + PATIENCE, true, hop, message_of(true, change))
    }

    pub fn deliver_until(
        &self,
        deadline: Instant,
        hop: Hop,
        change: impl FnOnce(&mut MessageOperation),
    ) -> oneshot::Receiver<Outcome> {
        self.hand_over(deadline, false, hop, message_of(false, change))
    }

    pub fn hand_over(
        &self,
        deadline: Instant,
        repeat: bool,
        hop: Hop,
        operation: Operation,
    ) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        let (trace, operation) = (TraceId(2), Arc::new(operation));
        let delivery =
            Delivery { trace, operation, repeat, edition: 0, proven_only: false, hop: Arc::new(hop), deadline, settle };
        self.adapter.deliver(delivery).unwrap();
        outcome
    }
}

/// A message to Romeo; repeats are of one and the same.
pub fn message_of(repeat: bool, change: impl FnOnce(&mut MessageOperation)) -> Operation {
    let end = |text: &str| Endpoint::bare(text.parse().unwrap());
    let mut operation = MessageOperation {
        source: end("juliet@example.com"),
        destination: end("romeo@example.net"),
        max_forwards: MaxForwards(70),
        trans_id: if repeat { 0 } else { NEXT.fetch_add(1, Ordering::Relaxed) }.to_string().into(),
        message: InstantMessage::new(Content::text("hi")),
    };
    change(&mut operation);
    Operation::Message(Box::new(operation))
}

/// Makes each message of a test one of its own.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What became of a delivery.
pub async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Outcome {
    timeout(PATIENCE, receiver).await.unwrap().unwrap()
}

/// The cause of a failure.
pub async fn cause(receiver: oneshot::Receiver<Outcome>) -> impp_model::Cause {
    match outcome(receiver).await {
        Outcome::Failure(failure) => failure.cause,
        other => panic!("{other:?}"),
    }
}

/// A SIP element on a UDP socket.
pub struct Peer {
    pub socket: UdpSocket,
    pub address: SocketAddr,
}

impl Peer {
    pub async fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// This element as a next hop.
    pub fn hop(&self) -> Hop {
        Hop::Fixed(format!("sip:{};transport=udp", self.address).into())
    }

    pub async fn send(&self, to: SocketAddr, text: &str) {
        self.socket.send_to(text.as_bytes(), to).await.unwrap();
    }

    pub async fn receive(&self) -> Message {
        self.receive_from().await.0
    }

    pub async fn receive_from(&self) -> (Message, SocketAddr) {
        let mut buffer = vec![0; 65_535];
        let (len, from) = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        (Message::parse(Bytes::copy_from_slice(&buffer[..len])).unwrap(), from)
    }

    /// Answers a request that came from the gateway.
    pub async fn answer(&self, to: SocketAddr, request: &Message, status: u16) {
        let response = ResponseBuilder::new(request, status).to_tag("peer").encode();
        self.socket.send_to(&response, to).await.unwrap();
    }
}

/// A request with these lines besides the mandatory ones, which `branch` makes unique.
pub fn request(method: &str, uri: &str, via: &str, branch: &str, lines: &str, body: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\nTo: <sip:juliet@example.com>\r\n\
         From: <sip:romeo@example.net>;tag=v\r\nCall-ID: c{branch}\r\nCSeq: 1 {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A MESSAGE of plain text from this peer.
pub fn message(peer: &Peer, branch: &str, body: &str) -> String {
    let via = format!("UDP {}", peer.address);
    request("MESSAGE", "sip:juliet@example.com", &via, branch, "Content-Type: text/plain\r\n", body)
}

pub fn status(message: &Message) -> u16 {
    message.status().unwrap().code()
}

pub fn text(message: &Message, id: sip_proto::header_id::HeaderId) -> Option<String> {
    message.header(id).map(|header| header.display().into_owned())
}

/// A SIP element's end of a connection.
pub struct Wire<S = TcpStream> {
    stream: S,
    framer: StreamFramer,
    buffer: BytesMut,
}

impl Wire {
    pub async fn connect(to: SocketAddr) -> Self {
        Self::new(TcpStream::connect(to).await.unwrap())
    }

    pub async fn accept(listener: &TcpListener) -> Self {
        Self::new(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, framer: StreamFramer::default(), buffer: BytesMut::new() }
    }

    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).await.unwrap();
    }

    /// The next thing the gateway wrote; `None` when it has closed the connection.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.framer.poll(&mut self.buffer).unwrap() {
                return Some(event);
            }
            if timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.unwrap().unwrap() == 0 {
                return None;
            }
        }
    }

    /// Whether the gateway closes the connection without a SIP message.
    pub async fn is_closed_unused(&mut self) -> bool {
        loop {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.unwrap() {
                Ok(0) | Err(_) => return !self.buffer.windows(4).any(|octets| octets == b"SIP/"),
                Ok(_) => {}
            }
        }
    }

    pub async fn receive(&mut self) -> Message {
        match self.event().await {
            Some(Event::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    pub async fn answer(&mut self, request: &Message, status: u16) {
        self.send(ResponseBuilder::new(request, status).to_tag("peer").encode()).await;
    }
}
