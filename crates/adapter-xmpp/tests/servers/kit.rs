//! Gateways of different organisations on loopback, their name system, and peers that speak raw XML.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter_api::{
    Adapter, Carries, Configuration, Context, Delivery, DomainEntry, Examine, Hop, Hub, HubCore, InstanceName,
    PeerState, Provenance, Role, Settle, Shutdown, ShutdownTrigger, Target, Tls, TraceId, settle_channel,
};
use adapter_xmpp::server::Config;
use async_trait::async_trait;
use impp_model::{
    Address, Basic, Cause, Content, Disposition, DispositionOperation, Domain, Endpoint, Failure, InstantMessage,
    MaxForwards, MessageOperation, News, NotifyOperation, Operation, Outcome, PresenceTuple, Proof, Side, Standing,
    TransId,
};
use impp_resolve::{Answer, Dns, DnsError, Name, Record, RecordType, Srv};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transport::dane::{DaneError, SecureDns, Secured, Tlsa};
use transport::tls::testkit::{Authority, Issued, San, Variant};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for what must not happen to have happened.
pub const A_MOMENT: Duration = Duration::from_millis(300);

/// The host that every domain's SRV record names.
pub const SRV_TARGET: &str = "host.test";

/// Where each domain is served, and whether TLS begins at once.
#[derive(Default)]
pub struct Names {
    domains: Mutex<BTreeMap<String, (u16, bool)>>,
    /// The one host has an IPv6 address alone.
    is_ipv6: bool,
    /// What is signed: nothing, or SRV and addresses with these TLSA records, or all with wrong signatures.
    pub signed: Mutex<Signed>,
}

/// What DNSSEC says of every name.
#[derive(Default)]
pub enum Signed {
    #[default]
    Nothing,
    All(Vec<Tlsa>),
    Wrongly,
}

impl Names {
    fn secured<T>(&self, records: Vec<T>) -> Result<Secured<T>, DaneError> {
        match &*self.signed.lock().unwrap() {
            Signed::Nothing => Ok(Secured { records, is_secure: false }),
            Signed::All(_) => Ok(Secured { records, is_secure: true }),
            Signed::Wrongly => Err(DaneError::Bogus("it".to_owned())),
        }
    }
}

#[async_trait]
impl SecureDns for Names {
    async fn srv(&self, name: &str) -> Result<Secured<(String, u16)>, DaneError> {
        let (service, domain) = name.split_once("._tcp.").unwrap();
        let known = self.domains.lock().unwrap().get(domain).copied();
        let wanted = known.filter(|(_, direct)| *direct == (service == "_xmpps-server"));
        self.secured(wanted.map(|(port, _)| (format!("{SRV_TARGET}."), port)).into_iter().collect())
    }
    async fn addresses(&self, _: &str) -> Result<Secured<IpAddr>, DaneError> {
        self.secured(vec![self.address()])
    }
    async fn tlsa(&self, name: &str) -> Result<Secured<Tlsa>, DaneError> {
        assert!(name.ends_with(&format!("._tcp.{SRV_TARGET}")), "{name}");
        let records = match &*self.signed.lock().unwrap() {
            Signed::All(records) => records.clone(),
            Signed::Nothing | Signed::Wrongly => vec![],
        };
        self.secured(records)
    }
}

impl Names {
    /// A name system that knows IPv6 alone.
    pub fn ipv6() -> Self {
        Self { is_ipv6: true, ..Self::default() }
    }

    fn address(&self) -> IpAddr {
        if self.is_ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    pub fn set(&self, domain: &str, port: u16, direct: bool) {
        self.domains.lock().unwrap().insert(domain.to_owned(), (port, direct));
    }

    /// A domain has no server.
    fn forget(&self, domain: &str) {
        self.domains.lock().unwrap().remove(domain);
    }
}

#[async_trait]
impl Dns for Names {
    async fn query(&self, name: &Name, of: RecordType) -> Result<Answer, DnsError> {
        let ttl = Duration::from_secs(1);
        let records = match of {
            RecordType::A if !self.is_ipv6 => vec![Record::A(Ipv4Addr::LOCALHOST)],
            RecordType::Aaaa if self.is_ipv6 => vec![Record::Aaaa(Ipv6Addr::LOCALHOST)],
            RecordType::Srv => {
                let (service, domain) = name.as_str().split_once("._tcp.").unwrap_or_default();
                let known = self.domains.lock().unwrap().get(domain.trim_end_matches('.')).copied();
                let wanted = known.filter(|(_, direct)| *direct == (service == "_xmpps-server"));
                let target = Name::parse(SRV_TARGET).unwrap();
                wanted.map(|(port, _)| Record::Srv(Srv { priority: 0, weight: 0, port, target })).into_iter().collect()
            }
            RecordType::A | RecordType::Aaaa | RecordType::Naptr | RecordType::Cname => vec![],
        };
        if records.is_empty() {
            return Err(DnsError::NoRecords { ttl: Some(ttl) });
        }
        Ok(Answer { records, ttl })
    }
}

/// Something came in through the hub.
pub struct Submitted {
    pub body: String,
    pub from: String,
    pub provenance: Arc<Provenance>,
    pub settle: Settle,
}

pub struct TestHub {
    submitted: mpsc::UnboundedSender<Submitted>,
    listening: mpsc::UnboundedSender<(String, SocketAddr)>,
    pub proofs: Mutex<Vec<[String; 3]>>,
    /// Words that the adapter gave back, and what hears that they are on disk.
    pub owed: Mutex<Vec<(DispositionOperation, adapter_api::StateDone)>>,
    configuration: watch::Receiver<Arc<Configuration>>,
}

impl HubCore for TestHub {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        let from = operation.source().address.to_string();
        let body = match operation {
            Operation::Message(message) => message.message.content.as_text().unwrap_or_default().to_owned(),
            // Word about a message: which, and why it failed.
            Operation::Disposition(word) => {
                let reason = word.disposition.failure().map(|failure| failure.cause.code());
                format!("{} {}", word.message_id.as_ref().unwrap(), reason.unwrap_or_default())
            }
            _ => return TraceId(1),
        };
        let _ = self.submitted.send(Submitted { body, from, provenance, settle });
        TraceId(1)
    }
    fn peer_changed(&self, _: &InstanceName, _: &str, _: PeerState) {}
    fn translation_loss(&self, _: &InstanceName, _: &str, _: Carries) {}
    fn peer_proven(&self, _: &InstanceName, peer: &str, proof: &str, protection: &str) {
        self.proofs.lock().unwrap().push([peer, proof, protection].map(str::to_owned));
    }
    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.clone()
    }
    fn listening(&self, _: &InstanceName, transport: &str, address: SocketAddr) {
        let _ = self.listening.send((transport.to_owned(), address));
    }

    fn peer_registered(&self, _: &InstanceName, _: &str, _: adapter_api::Registration) {}

    fn state(&self) -> Option<Arc<dyn adapter_api::AdapterState>> {
        None
    }

    fn commit(&self) {}

    fn owe(&self, _: &InstanceName, word: DispositionOperation, _: bool, done: adapter_api::StateDone) {
        self.owed.lock().unwrap().push((word, done));
    }
}

/// A gateway of one organisation, for one domain.
pub struct Org {
    pub domain: String,
    pub adapter: Arc<dyn Adapter>,
    pub hub: Arc<TestHub>,
    pub submitted: mpsc::UnboundedReceiver<Submitted>,
    pub plain: SocketAddr,
    pub direct: SocketAddr,
    pub stop: ShutdownTrigger,
    pub running: JoinHandle<()>,
    names: Arc<Names>,
    _place: Place,
}

/// The certificate of an organisation.
pub fn certificate(authority: &Authority, domain: &str, variant: &Variant) -> Issued {
    authority.issue_variant(&[San::Dns(domain)], variant)
}

/// What a gateway of an organisation is made with, and what that stands on.
pub struct Place {
    pub context: Context,
    _folder: TempDir,
    _configuration: watch::Sender<Arc<Configuration>>,
}

pub fn place(domain: &str, own: &Issued, ca: &Authority, names: &Arc<Names>) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Domain::parse("gw.example.net").unwrap();
    let tls = Tls::load(ca.settings(folder.path(), &[("own", own)]), gateway.clone()).unwrap();
    let tls = tls.with_dnssec(names.clone());
    let entry = DomainEntry {
        name: Domain::parse(domain).unwrap(),
        own_name: None,
        role: Role::Local,
        adapter: Some("sip".into()),
        next_hop: None,
        trusted: vec![],
    };
    let (sender, configuration) = watch::channel(Arc::new(Configuration::new(gateway, vec![entry])));
    let context = Context { configuration, dns: names.clone(), tls: Arc::new(tls) };
    Place { context, _folder: folder, _configuration: sender }
}

pub async fn org(domain: &str, own: &Issued, ca: &Authority, names: &Arc<Names>, config: serde_json::Value) -> Org {
    let place = place(domain, own, ca, names);
    let (context, configuration) = (place.context.clone(), place.context.configuration.clone());
    let listen = ["tcp", "tls"].map(|transport| format!("{transport}:{}", SocketAddr::new(names.address(), 0)));
    let mut given = serde_json::json!({"listen": listen});
    given.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(given).unwrap();
    let adapter = adapter_xmpp::server::new("xmpp".into(), config, context).unwrap();
    let (submitted_sender, submitted) = mpsc::unbounded_channel();
    let (listening, mut listeners) = mpsc::unbounded_channel();
    let hub = Arc::new(TestHub {
        submitted: submitted_sender,
        listening,
        proofs: Mutex::default(),
        owed: Mutex::default(),
        configuration,
    });
    let (stop, shutdown) = Shutdown::new();
    let running = {
        let (adapter, hub) = (Arc::clone(&adapter), Hub::new(Arc::clone(&hub) as Arc<dyn HubCore>, "xmpp".into()));
        tokio::spawn(async move { adapter.run(hub, shutdown).await.unwrap() })
    };
    let plain = listeners.recv().await.unwrap().1;
    let direct = listeners.recv().await.unwrap().1;
    names.set(domain, plain.port(), false);
    let names = Arc::clone(names);
    Org { domain: domain.to_owned(), adapter, hub, submitted, plain, direct, stop, running, names, _place: place }
}

impl Org {
    /// Sends a text to somebody at `other`, where the name system says that is.
    pub fn send(&self, other: &str, body: &str) -> oneshot::Receiver<Outcome> {
        self.deliver(other, self.text(other, body))
    }

    fn text(&self, other: &str, body: &str) -> Operation {
        let message = InstantMessage { id: Some(body.into()), ..InstantMessage::new(Content::text(body)) };
        Operation::Message(Box::new(MessageOperation {
            source: endpoint(&self.domain, "romeo"),
            destination: endpoint(other, "juliet"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: TransId::from(body),
            message,
        }))
    }

    /// Tells somebody at `other` that a message was not delivered after all.
    pub fn tell_failure(&self, other: &str, id: &str, cause: Cause) -> oneshot::Receiver<Outcome> {
        let word = DispositionOperation {
            source: endpoint(&self.domain, "romeo"),
            destination: endpoint(other, "juliet"),
            max_forwards: MaxForwards::INITIAL,
            message_id: Some(id.into()),
            trans_id: TransId::from("late"),
            accepted: "2026-11-22T12:00:00Z".parse().unwrap(),
            disposition: Disposition::Failed(Box::new(Failure::new(Side::Far, cause))),
            and_earlier: false,
            return_path: None,
        };
        self.deliver(other, Operation::Disposition(Box::new(word)))
    }

    /// Tells somebody at `other` that nobody is there.
    pub fn tell_unavailable(&self, other: &str) -> oneshot::Receiver<Outcome> {
        let operation = Operation::Notify(Box::new(NotifyOperation {
            target: endpoint(&self.domain, "romeo"),
            watcher: endpoint(other, "juliet"),
            subscript_id: None,
            trans_id: TransId::from("state"),
            standing: Standing::Active { expires: None },
            news: News::Device(Box::new(PresenceTuple::new(None, Basic::Closed))),
        }));
        self.deliver(other, operation)
    }

    /// What a dry run of a text to somebody at `other` finds.
    pub async fn explained(&self, other: &str, what: &str) -> Option<String> {
        let operation = Box::new(self.text(other, "hello"));
        let findings = self.adapter.examine(Examine::DryRun { operation, hop: Arc::new(self.hop(other)) }).await;
        findings.findings.into_iter().find(|finding| finding.what == what).map(|finding| finding.value)
    }

    /// Where the name system says that `other` is.
    fn hop(&self, other: &str) -> Hop {
        let (port, direct) = self.names.domains.lock().unwrap()[other];
        let transport = if direct { transport::Transport::Tls } else { transport::Transport::Tcp };
        let address = SocketAddr::from((self.names.address(), port));
        let target = Target { host: SRV_TARGET.into(), address, transport: Some(transport) };
        Hop::Located { domain: Domain::parse(other).unwrap(), targets: vec![target] }
    }

    /// Sends a text to somebody at `other` by the first of these ports that is of use.
    pub fn send_by(&self, other: &str, body: &str, ports: &[u16]) -> oneshot::Receiver<Outcome> {
        let Hop::Located { domain, targets } = self.hop(other) else { unreachable!("it is looked up") };
        let at = |port| Target { address: (targets[0].address.ip(), port).into(), ..targets[0].clone() };
        let targets = ports.iter().map(|port| at(*port)).collect();
        self.deliver_by(Hop::Located { domain, targets }, self.text(other, body), false)
    }

    /// Sends a text to somebody at `other`, and to nobody unless a certificate proves that server.
    pub fn send_proven(&self, other: &str, body: &str) -> oneshot::Receiver<Outcome> {
        self.deliver_by(self.hop(other), self.text(other, body), true)
    }

    fn deliver(&self, other: &str, operation: Operation) -> oneshot::Receiver<Outcome> {
        self.deliver_by(self.hop(other), operation, false)
    }

    fn deliver_by(&self, hop: Hop, operation: Operation, proven_only: bool) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        let delivery = Delivery {
            trace: TraceId(1),
            operation: Arc::new(operation),
            repeat: false,
            edition: 0,
            proven_only,
            hop: Arc::new(hop),
            deadline: Instant::now() + PATIENCE,
            settle,
        };
        self.adapter.deliver(delivery).unwrap();
        outcome
    }

    /// The name system says that this domain has no server.
    pub fn is_unheard_of(&self) {
        self.names.forget(&self.domain);
    }

    /// The name system says that `other` is served with TLS from the first octet.
    pub fn names_direct(&self, other: &Self) {
        self.names.set(&other.domain, other.direct.port(), true);
    }

    /// The name system says that `domain` is served at this port.
    pub fn names_at(&self, domain: &str, port: u16) {
        self.names.set(domain, port, false);
    }

    /// What came in next.
    pub async fn received(&mut self) -> Submitted {
        timeout(PATIENCE, self.submitted.recv()).await.expect("something comes in").unwrap()
    }

    /// Takes over what comes in and confirms it: the bodies in their order, each once, as the hub knows a repeat by its id.
    pub fn arrivals(&mut self, count: usize) -> JoinHandle<Vec<String>> {
        let mut submitted = std::mem::replace(&mut self.submitted, mpsc::unbounded_channel().1);
        tokio::spawn(async move {
            let mut bodies = Vec::new();
            while bodies.len() < count {
                let Submitted { body, settle, .. } =
                    timeout(PATIENCE, submitted.recv()).await.expect("something comes in").unwrap();
                settle.settle(Outcome::Success(Proof::Recipient));
                if !bodies.contains(&body) {
                    bodies.push(body);
                }
            }
            bodies
        })
    }

    /// Asserts that nothing came in.
    pub async fn received_nothing(&mut self) {
        let came = timeout(A_MOMENT, self.submitted.recv()).await;
        assert!(came.is_err(), "carried: {:?}", came.unwrap().map(|submitted| submitted.from));
    }

    /// The ways in which `peer` has proven itself.
    pub fn proofs(&self, peer: &str) -> Vec<(String, String)> {
        let proofs = self.hub.proofs.lock().unwrap();
        proofs.iter().filter(|[known, ..]| known == peer).map(|[_, by, on]| (by.clone(), on.clone())).collect()
    }
}

fn endpoint(domain: &str, user: &str) -> Endpoint {
    Endpoint { address: Address::parse_bare(&format!("{user}@{domain}")).unwrap(), device: None }
}

pub async fn outcome(outcome: oneshot::Receiver<Outcome>) -> Outcome {
    timeout(PATIENCE, outcome).await.expect("settled in time").unwrap()
}

/// Carries connections to a server until it is told to sever them.
pub struct Relay {
    pub port: u16,
    sever: watch::Sender<()>,
}

impl Relay {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sever, severed) = watch::channel(());
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut severed = severed.clone();
                severed.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = severed.changed() => {}
                    }
                });
            }
        });
        Self { port, sever }
    }

    /// Neither side hears of an end of its stream.
    pub fn sever(&self) {
        self.sever.send_replace(());
    }
}

/// A peer that says what it likes.
pub struct Raw {
    socket: TcpStream,
    pub heard: String,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.unwrap(), heard: String::new() }
    }

    pub fn over(socket: TcpStream) -> Self {
        Self { socket, heard: String::new() }
    }

    pub async fn say(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `text` was heard, or the end of the connection; whether it was heard.
    pub async fn hears(&mut self, text: &str) -> bool {
        self.hears_times(text, 1).await
    }

    /// The same of a text that comes several times.
    pub async fn hears_times(&mut self, text: &str, times: usize) -> bool {
        let mut octets = [0; 4096];
        while self.heard.matches(text).count() < times {
            match timeout(PATIENCE, self.socket.read(&mut octets)).await.expect("heard in time") {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.heard.push_str(&String::from_utf8_lossy(&octets[..count])),
            }
        }
        true
    }

    /// The header of a stream between servers.
    pub async fn header(&mut self, from: &str, to: &str) {
        self.say(&format!(
            "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='{from}' to='{to}'>"
        ))
        .await;
    }
}
