//! The hub between two adapters that only remember what they were given.

#![allow(clippy::unwrap_used, reason = "a test's own data")]

use adapter_api::{
    Acknowledgement, Adapter, AdapterError, Capabilities, Configuration, Delivery, Dns, DomainEntry, DomainPattern,
    Examine, Findings, Full, Hop, Hub, HubCore, Provenance, Role, SendsAs, Shutdown, SourceProof, SpeaksFor,
    settle_channel,
};
use async_trait::async_trait;
use impp_model::{
    Address, Cause, Content, Domain, Endpoint, Failure, InstantMessage, Kind, MaxForwards, MessageOperation, Operation,
    Outcome, Proof, Side,
};
use impp_resolve::{Answer, DnsError, Name, Record, RecordType, Srv};
use interwork::{Core, CoreConfig, DeliveryLimits, Instance, Policy, RoutingConfig};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Keeps what it is asked to deliver, up to `room`.
struct Shelf {
    capabilities: Capabilities,
    room: usize,
    deliveries: Mutex<Vec<Delivery>>,
}

impl Shelf {
    fn new(protocol: &'static str, label: Option<&'static str>, standing_link: bool, room: usize) -> Arc<Self> {
        let capabilities = Capabilities {
            protocol: protocol.into(),
            srv_label: label.map(Into::into),
            standing_link,
            kinds: vec![Kind::Message],
            sends_as: SendsAs::Anyone,
            acknowledgement: Acknowledgement::Answer,
            answers_each: true,
            repeatable: true,
            max_content: None,
            fields: Vec::new(),
        };
        Arc::new(Self { capabilities, room, deliveries: Mutex::default() })
    }

    fn take(&self) -> Vec<Delivery> {
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
struct Table {
    answers: BTreeMap<(String, RecordType), Record>,
    permits: Semaphore,
    fails: bool,
}

impl Table {
    fn new(permits: usize) -> Self {
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

const PLENTY: usize = 1_000;

struct World {
    core: Arc<Core>,
    sip: Arc<Shelf>,
    xmpp: Arc<Shelf>,
    dns: Arc<Table>,
}

fn world(dns: Table, room: usize) -> World {
    world_with(dns, room, DeliveryLimits::default())
}

fn world_with(dns: Table, room: usize, delivery: DeliveryLimits) -> World {
    let (sip, xmpp) = (Shelf::new("sip", Some("_sip"), false, room), Shelf::new("xmpp", Some("_xmpp"), true, room));
    let entry = |name: &str, adapter: &str, next_hop: Option<&str>| DomainEntry {
        name: Domain::parse_host(name).unwrap(),
        role: Role::Local,
        adapter: Some(adapter.into()),
        next_hop: next_hop.map(Into::into),
        trusted: Vec::new(),
    };
    let configuration = Configuration {
        gateway: Domain::parse_host("gw.example").unwrap(),
        domains: vec![entry("sip.example", "sip", Some("sip:192.0.2.1")), entry("xmpp.example", "xmpp", None)],
    };
    let config = CoreConfig {
        configuration: Arc::new(configuration),
        routing: RoutingConfig { routes: Vec::new(), supported: vec!["_sip".into(), "_xmpp".into()] },
        policy: Policy::default(),
        delivery,
        own_listeners: Vec::new(),
    };
    let dns = Arc::new(dns);
    let instances = vec![
        Instance { name: "sip".into(), adapter: sip.clone() },
        Instance { name: "xmpp".into(), adapter: xmpp.clone() },
    ];
    World { core: Core::new(config, instances, dns.clone(), 1), sip, xmpp, dns }
}

fn message(from: &str, to: &str, text: &str) -> Operation {
    let end = |address: &str| Endpoint::bare(Address::parse_bare(address).unwrap());
    Operation::Message(Box::new(MessageOperation {
        source: end(from),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        trans_id: text.into(),
        message: InstantMessage { id: Some(text.into()), ..InstantMessage::new(Content::text(text)) },
    }))
}

fn text_of(delivery: &Delivery) -> String {
    match &delivery.operation {
        Operation::Message(message) => message.message.content.as_text().unwrap().to_owned(),
        other => panic!("not a message: {other:?}"),
    }
}

fn from_sip() -> Arc<Provenance> {
    Arc::new(Provenance {
        adapter: "sip".into(),
        peer: "127.0.0.1".into(),
        proof: SourceProof::TrustedAddress,
        speaks_for: SpeaksFor::Domains([Domain::parse_host("sip.example").unwrap()].into()),
    })
}

// checks: IM-08, IM-10, IM-12
#[tokio::test]
async fn rfc3860_s3_4_1_the_answer_waits_for_the_far_sides_indication() {
    let world = world(Table::new(0), PLENTY);
    let (settle, mut outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "hi"), from_sip(), settle);
    assert!(outcome.try_recv().is_err());
    assert_eq!(world.core.held(), 1);
    let delivery = world.xmpp.take().pop().unwrap();
    assert_eq!(*delivery.hop, Hop::Link);
    delivery.settle(Outcome::Success(Proof::Server));
    assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
    let totals = world.core.counters().ledger();
    assert_eq!((totals.accepted, totals.delivered, totals.pending()), (1, 1, 0));
    let trace = world.core.traces().find("hi").unwrap();
    assert!(trace.decision.unwrap().why().contains("adapter xmpp"));
    assert!(world.sip.take().is_empty());
}

// checks: SEC-001, IM-07
#[tokio::test]
async fn what_may_not_pass_is_refused_before_any_lookup() {
    let world = world(Table::new(0), PLENTY);
    let cases = [
        ("a@xmpp.example", "b@far.example", Cause::SourceNotProven),
        ("a@other.example", "b@xmpp.example", Cause::SourceNotProven),
    ];
    for (from, to, cause) in cases {
        let (settle, outcome) = settle_channel();
        world.core.submit(message(from, to, "x"), from_sip(), settle);
        let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("{from} to {to} was not refused") };
        assert_eq!(failure.cause, cause, "{from} to {to}");
    }
    assert_eq!(world.core.counters().ledger().accepted, 0);
}

#[tokio::test]
async fn there_is_no_open_relay() {
    let world = world(Table::new(PLENTY), PLENTY);
    let stranger = Arc::new(Provenance {
        adapter: "xmpp".into(),
        peer: "server.example".into(),
        proof: SourceProof::Secret,
        speaks_for: SpeaksFor::Patterns([DomainPattern::Any].into()),
    });
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@one.example", "b@two.example", "x"), stranger, settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("relayed") };
    assert_eq!(failure.cause, Cause::RelayDenied);
}

// checks: AR-03, AR-06, IM-16
#[tokio::test]
async fn rfc3861_s4_those_who_wait_for_a_lookup_keep_their_order() {
    let world = world(Table::new(0), PLENTY);
    let mut outcomes = Vec::new();
    for number in 0..20 {
        let (settle, outcome) = settle_channel();
        world.core.submit(message("a@sip.example", "b@far.example", &number.to_string()), from_sip(), settle);
        outcomes.push(outcome);
    }
    assert!(world.xmpp.take().is_empty());
    world.dns.permits.add_permits(PLENTY);
    let mut seen = Vec::new();
    while seen.len() < 20 {
        tokio::task::yield_now().await;
        for delivery in world.xmpp.take() {
            seen.push(text_of(&delivery));
            delivery.settle(Outcome::Success(Proof::Server));
        }
    }
    assert_eq!(seen, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
    }
}

// checks: AR-16, AR-17
#[tokio::test]
async fn a_dns_failure_is_told_as_one_and_absence_as_absence() {
    for (fails, cause) in [(true, Cause::DnsFailure), (false, Cause::RemoteNotFound)] {
        let world = world(Table { fails, ..Table::new(PLENTY) }, PLENTY);
        let (settle, outcome) = settle_channel();
        world.core.submit(message("a@sip.example", "b@nowhere.example", "x"), from_sip(), settle);
        let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("not refused") };
        assert_eq!(failure.cause, cause);
    }
}

#[tokio::test]
async fn a_full_adapter_is_overload_and_a_dropped_delivery_is_told_as_unconfirmed() {
    let world = world(Table::new(0), 1);
    let (settle, first) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "1"), from_sip(), settle);
    let (settle, second) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "2"), from_sip(), settle);
    let Ok(Outcome::Failure(failure)) = second.await else { panic!("accepted without room") };
    assert_eq!((failure.side, failure.cause), (Side::Ours, Cause::Overload));
    drop(world.xmpp.take());
    // Nothing keeps the message, so its sender must not hear that it was accepted.
    let Ok(Outcome::Failure(failure)) = first.await else { panic!("accepted and lost") };
    assert_eq!((failure.side, failure.cause), (Side::Ours, Cause::Unconfirmed));
    let totals = world.core.counters().ledger();
    assert_eq!((totals.failed, totals.pending()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_the_new_and_waits_for_the_held() {
    let world = world(Table::new(0), PLENTY);
    let (settle, held) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "1"), from_sip(), settle);
    let core = world.core.clone();
    let drained = tokio::spawn(async move { core.drain(Duration::from_secs(5)).await });
    while !world.core.is_draining() {
        tokio::task::yield_now().await;
    }
    let (settle, late) = settle_channel();
    world.core.submit(message("a@sip.example", "b@xmpp.example", "2"), from_sip(), settle);
    assert_eq!(late.await, Ok(Failure::new(Side::Ours, Cause::ShuttingDown).into()));
    world.xmpp.take().pop().unwrap().settle(Outcome::Success(Proof::Server));
    assert_eq!(drained.await.unwrap(), 0);
    assert_eq!(held.await, Ok(Outcome::Success(Proof::Server)));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_those_who_wait_for_a_lookup() {
    let world = world(Table::new(0), PLENTY);
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "1"), from_sip(), settle);
    let core = world.core.clone();
    let drained = tokio::spawn(async move { core.drain(Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!drained.is_finished(), "its sender has not been answered");
    world.dns.permits.add_permits(PLENTY);
    while world.core.held() == 0 {
        tokio::task::yield_now().await;
    }
    world.xmpp.take().pop().unwrap().settle(Outcome::Success(Proof::Server));
    assert_eq!(drained.await.unwrap(), 0);
    assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_of_those_who_still_wait_for_a_lookup() {
    let world = world(Table::new(0), PLENTY);
    for text in ["1", "2"] {
        let (settle, _) = settle_channel();
        world.core.submit(message("a@sip.example", "b@far.example", text), from_sip(), settle);
    }
    assert_eq!(world.core.drain(Duration::from_secs(1)).await, 2);
}

#[tokio::test]
async fn what_was_looked_up_too_late_is_not_sent_and_its_sender_told() {
    let limits = DeliveryLimits { hold_timeout: Duration::from_millis(20), ..DeliveryLimits::default() };
    let world = world_with(Table::new(0), PLENTY, limits);
    let (settle, outcome) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "1"), from_sip(), settle);
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.dns.permits.add_permits(PLENTY);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("not told") };
    assert_eq!(failure.cause, Cause::DnsFailure);
    assert!(world.xmpp.take().is_empty(), "its sender may send it again");
    // The answer came all the same: the next message is sent at once.
    let (settle, _) = settle_channel();
    world.core.submit(message("a@sip.example", "b@far.example", "2"), from_sip(), settle);
    assert_eq!(world.xmpp.take().len(), 1);
}

#[tokio::test]
async fn explain_takes_the_same_decision_and_sends_nothing() {
    let world = world(Table::new(PLENTY), PLENTY);
    let address = |text: &str| Address::parse_bare(text).unwrap();
    let told = world.core.explain(address("a@sip.example"), address("b@far.example")).await;
    assert_eq!(told.verdict, "delivered-if-confirmed");
    assert!(told.steps.iter().any(|step| step.contains("_im._xmpp.far.example SRV")), "{:?}", told.steps);
    assert_eq!(told.decision.unwrap().result.unwrap().adapter.as_str(), "xmpp");
    let told = world.core.explain(address("a@far.example"), address("b@nowhere.example")).await;
    assert_eq!(told.verdict, Cause::RelayDenied.code());
    assert!(world.xmpp.take().is_empty());
}
