//! The hub between two adapters that only remember what they were given, its ledger in memory.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "a test's own data; each test file uses a part")]

use adapter_api::{
    Acknowledgement, Adapter, AdapterError, Capabilities, Configuration, Delivery, Dns, DomainEntry, Examine, Findings,
    Full, Hub, HubCore, PresenceCapabilities, Provenance, Repetition, Role, SendsAs, Shutdown, SourceProof, SpeaksFor,
    TellsFailure, Transport, settle_channel,
};
use async_trait::async_trait;
use impp_model::{
    Address, Cause, Content, Domain, Endpoint, Failure, InstantMessage, Kind, MaxForwards, MessageOperation, Operation,
    Outcome, Proof, Side,
};
use impp_resolve::{Answer, DnsError, Name, Record, RecordType, Srv};
use interwork::{Core, CoreConfig, DeliveryLimits, Instance, Policy, PresenceLimits, RoutingConfig, Rulebook, Storage};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::{Ledger, Limits, MemoryStore, Shard, SteadyClock, TraceLimits, TraceLog};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Keeps what it is asked to deliver, up to `room`.
pub struct Shelf {
    pub capabilities: Capabilities,
    pub room: usize,
    pub deliveries: Mutex<Vec<Delivery>>,
}

impl Shelf {
    pub fn new(
        protocol: &'static str,
        label: Option<&'static str>,
        standing_link: bool,
        answers_each: bool,
        room: usize,
    ) -> Arc<Self> {
        let capabilities = Capabilities {
            protocol: protocol.into(),
            srv_label: label.map(Into::into),
            standing_link,
            proves_peers: protocol == "xmpp",
            kinds: vec![
                Kind::Message,
                Kind::Disposition,
                Kind::Composing,
                Kind::Subscribe,
                Kind::Notify,
                Kind::Authorize,
            ],
            transports: vec![Transport::Tcp, Transport::Udp],
            sends_as: SendsAs::Anyone,
            acknowledgement: Acknowledgement::Answer,
            acknowledgement_of: BTreeMap::new(),
            answers_each,
            // As in the field: who has no answer for each message has a form for a late error.
            tells_failure: if answers_each { TellsFailure::Never } else { TellsFailure::Always },
            seals: if protocol == "xmpp" { vec!["urn:example:seal".into()] } else { Vec::new() },
            repetition: Repetition::Repeatable,
            max_content: None,
            presence: Some(PresenceCapabilities {
                refreshed: answers_each,
                publishes: false,
                devices: !answers_each,
                checked: !answers_each,
            }),
            fields: Vec::new(),
        };
        Arc::new(Self { capabilities, room, deliveries: Mutex::default() })
    }

    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries.lock())
    }
}

#[async_trait]
impl Adapter for Shelf {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, _: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        shutdown.requested().await;
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        let mut deliveries = self.deliveries.lock();
        if deliveries.len() >= self.room {
            return Err(Full(Box::new(delivery)));
        }
        deliveries.push(delivery);
        Ok(())
    }

    async fn examine(&self, _: Examine) -> Findings {
        Findings::default()
    }
}

/// Answers from a table, each query only after a permit was given.
pub struct Table {
    pub answers: BTreeMap<(String, RecordType), Record>,
    pub permits: Semaphore,
    pub fails: bool,
}

impl Table {
    pub fn new(permits: usize) -> Self {
        let srv = Srv { priority: 0, weight: 0, port: 5269, target: Name::parse("host.far.example").unwrap() };
        let answers = BTreeMap::from([
            (("_im._xmpp.far.example".into(), RecordType::Srv), Record::Srv(srv)),
            (("host.far.example".into(), RecordType::A), Record::A([127, 0, 0, 1].into())),
        ]);
        Self { answers, permits: Semaphore::new(permits), fails: false }
    }
}

#[async_trait]
impl Dns for Table {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        self.permits.acquire().await.unwrap().forget();
        if self.fails {
            return Err(DnsError::Failure(impp_resolve::DnsFailure::ServFail));
        }
        match self.answers.get(&(name.as_str().to_owned(), record_type)) {
            Some(record) => Ok(Answer { records: vec![record.clone()], ttl: Duration::from_secs(60) }),
            None => Err(DnsError::NxDomain { ttl: None }),
        }
    }
}

pub const PLENTY: usize = 1_000;
pub const EXPIRY: Duration = Duration::from_secs(1800);

static SEED: AtomicU64 = AtomicU64::new(1);

pub struct World {
    pub core: Arc<Core>,
    pub sip: Arc<Shelf>,
    pub xmpp: Arc<Shelf>,
    pub dns: Arc<Table>,
    pub store: Arc<MemoryStore>,
    pub clock: SteadyClock,
}

pub fn world(dns: Table, room: usize) -> World {
    world_on(dns, room, Arc::new(MemoryStore::new()), SteadyClock::start(), Limits::default())
}

/// SIP senders are answered each, XMPP senders are not.
pub fn world_on(dns: Table, room: usize, store: Arc<MemoryStore>, clock: SteadyClock, limits: Limits) -> World {
    world_with(dns, room, store, clock, limits, DeliveryLimits { expiry: EXPIRY, ..DeliveryLimits::default() })
}

pub fn world_with(
    dns: Table,
    room: usize,
    store: Arc<MemoryStore>,
    clock: SteadyClock,
    limits: Limits,
    delivery: DeliveryLimits,
) -> World {
    build(dns, room, store, clock, limits, |config| config.delivery = delivery)
}

/// A world that differs in its configuration.
pub fn tuned(dns: Table, tune: impl FnOnce(&mut CoreConfig)) -> World {
    build(dns, PLENTY, Arc::new(MemoryStore::new()), SteadyClock::start(), Limits::default(), tune)
}

fn build(
    dns: Table,
    room: usize,
    store: Arc<MemoryStore>,
    clock: SteadyClock,
    limits: Limits,
    tune: impl FnOnce(&mut CoreConfig),
) -> World {
    let sip = Shelf::new("sip", Some("_sip"), false, true, room);
    let xmpp = Shelf::new("xmpp", Some("_xmpp"), true, false, room);
    build_of([sip, xmpp], dns, store, clock, limits, tune)
}

/// A world whose operator has exempted xmpp.example from confirming.
pub fn exempting() -> World {
    let sip = Shelf::new("sip", Some("_sip"), false, true, PLENTY);
    let mut xmpp = Shelf::new("xmpp", Some("_xmpp"), true, false, PLENTY);
    let exempt = (Domain::parse_host("xmpp.example").unwrap(), Acknowledgement::None);
    Arc::get_mut(&mut xmpp).unwrap().capabilities.acknowledgement_of = BTreeMap::from([exempt]);
    let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
    build_of([sip, xmpp], Table::new(PLENTY), store, clock, Limits::default(), |_| {})
}

/// A world where the users of the one network are the gateway's own, and publish.
pub fn publishing() -> World {
    let mut native = Shelf::new("native", None, false, true, PLENTY);
    Arc::get_mut(&mut native).unwrap().capabilities.presence =
        Some(PresenceCapabilities { refreshed: false, publishes: true, devices: false, checked: false });
    let xmpp = Shelf::new("xmpp", Some("_xmpp"), true, false, PLENTY);
    let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
    build_of([native, xmpp], Table::new(0), store, clock, Limits::default(), |_| {})
}

fn build_of(
    [sip, xmpp]: [Arc<Shelf>; 2],
    dns: Table,
    store: Arc<MemoryStore>,
    clock: SteadyClock,
    limits: Limits,
    tune: impl FnOnce(&mut CoreConfig),
) -> World {
    let entry = |name: &str, adapter: &str, next_hop: Option<&str>| DomainEntry {
        name: Domain::parse_host(name).unwrap(),
        own_name: None,
        role: Role::Local,
        adapter: Some(adapter.into()),
        next_hop: next_hop.map(Into::into),
        trusted: Vec::new(),
    };
    let configuration = Configuration::new(
        Domain::parse_host("gw.example").unwrap(),
        vec![entry("sip.example", "sip", Some("sip:192.0.2.1")), entry("xmpp.example", "xmpp", None)],
    );
    let rules = Rulebook {
        configuration: Arc::new(configuration),
        routing: RoutingConfig { routes: Vec::new(), supported: vec!["_sip".into(), "_xmpp".into()] },
        policy: Policy::default(),
        rates: interwork::RateLimits::default(),
    };
    let mut config = CoreConfig {
        configuration: tokio::sync::watch::Sender::new(rules.configuration.clone()),
        rules,
        presence: PresenceLimits::default(),
        delivery: DeliveryLimits::default(),
        discovery: impp_resolve::Limits::default(),
        traces: 1_000,
    };
    tune(&mut config);
    let dns = Arc::new(dns);
    let instances = vec![
        Instance { name: "sip".into(), adapter: sip.clone() },
        Instance { name: "xmpp".into(), adapter: xmpp.clone() },
    ];
    let now = clock.at(tokio::time::Instant::now().into_std());
    let (ledger, _) = Ledger::open(store.clone(), Shard::all(), limits, now).unwrap();
    let traces = TraceLog::open(store.clone(), TraceLimits::default()).unwrap();
    let storage = Storage { ledger, clock, traces };
    // As in the field, no trace has the id of one in an earlier life.
    let seed = SEED.fetch_add(1 << 32, Ordering::Relaxed);
    World { core: Core::new(config, instances, dns.clone(), storage, seed), sip, xmpp, dns, store, clock }
}

pub fn message(from: &str, to: &str, text: &str) -> Operation {
    let end = |address: &str| Endpoint::bare(Address::parse_bare(address).unwrap());
    Operation::Message(Box::new(MessageOperation {
        source: end(from),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        trans_id: text.into(),
        message: InstantMessage { id: Some(text.into()), ..InstantMessage::new(Content::text(text)) },
    }))
}

pub fn text_of(delivery: &Delivery) -> String {
    let Operation::Message(message) = &*delivery.operation else { panic!("not a message: {:?}", delivery.operation) };
    message.message.content.as_text().unwrap().to_owned()
}

pub fn from_sip() -> Arc<Provenance> {
    Arc::new(Provenance {
        may_repeat: false,
        adapter: "sip".into(),
        peer: "127.0.0.1".into(),
        proof: SourceProof::TrustedAddress,
        speaks_for: SpeaksFor::Domains([Domain::parse_host("sip.example").unwrap()].into()),
    })
}

pub fn from_xmpp() -> Arc<Provenance> {
    Arc::new(Provenance {
        may_repeat: false,
        adapter: "xmpp".into(),
        peer: "127.0.0.1".into(),
        proof: SourceProof::Secret,
        speaks_for: SpeaksFor::Domains([Domain::parse_host("xmpp.example").unwrap()].into()),
    })
}

pub const DELIVERED: Outcome = Outcome::Success(Proof::Server);

impl World {
    pub fn run(&self) -> JoinHandle<()> {
        let core = self.core.clone();
        tokio::spawn(async move { core.run().await })
    }

    pub fn submit(&self, from: &str, to: &str, text: &str, by: Arc<Provenance>) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        self.core.submit(message(from, to, text), by, settle);
        outcome
    }

    pub fn sip_sends(&self, text: &str) -> oneshot::Receiver<Outcome> {
        self.submit("a@sip.example", "b@xmpp.example", text, from_sip())
    }

    pub fn xmpp_sends(&self, text: &str) -> oneshot::Receiver<Outcome> {
        self.submit("b@xmpp.example", "a@sip.example", text, from_xmpp())
    }

    /// Delivered, failed, expired, untold, pending.
    pub fn books(&self) -> [u64; 5] {
        let totals = self.core.ledger().totals();
        assert_eq!(totals.accepted(), totals.settled() + totals.pending);
        [totals.delivered, totals.failed, totals.expired, totals.untold, totals.pending]
    }
}

pub fn failure(cause: Cause) -> Failure {
    Failure::new(Side::Far, cause)
}

pub async fn next(shelf: &Shelf) -> Delivery {
    loop {
        let mut taken = shelf.take();
        assert!(taken.len() < 2, "one at a time");
        if let Some(delivery) = taken.pop() {
            return delivery;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

pub fn one(shelf: &Shelf) -> Delivery {
    let mut taken = shelf.take();
    assert_eq!(taken.len(), 1);
    taken.pop().unwrap()
}
