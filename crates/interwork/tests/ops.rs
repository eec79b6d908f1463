//! Every case of `tests/vectors/ops.json`: the decisions of RFC 3859 and RFC 3860, at the hub between two adapters that only listen.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own data")]

mod common;

use adapter_api::{Configuration, Delivery, DomainEntry, Provenance, Role, SourceProof, SpeaksFor, settle_channel};
use common::{PLENTY, Shelf, Table, World, failure, tuned};
use impp_model::{
    Address, AuthorizeOperation, Basic, Cause, Content, Device, Domain, Endpoint, InstantMessage, MaxForwards,
    MessageOperation, News, NotifyOperation, Operation, Outcome, PresenceTuple, Proof, Standing, SubscribeOperation,
    Wish,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Cases that the hub decides otherwise than the vector says.
const DEVIATES: &[(&str, &str)] = &[("op-015", "MaxForwards::INITIAL: SIP's 70 and one, not above one hundred")];

/// Between what is handed in and what must have come of it, in virtual time.
const MOMENT: Duration = Duration::from_secs(1);

/// A hub for example.com, where `near` listens, and example.org, where `far` does.
fn hub(resolves: bool) -> World {
    let entry = |name: &str, adapter: &str, next_hop: Option<&str>| DomainEntry {
        name: Domain::parse_host(name).unwrap(),
        own_name: None,
        role: Role::Local,
        adapter: Some(adapter.into()),
        next_hop: next_hop.map(Into::into),
        trusted: Vec::new(),
    };
    let mut domains = vec![entry("example.com", "sip", Some("sip:192.0.2.1"))];
    domains.extend(resolves.then(|| entry("example.org", "xmpp", None)));
    let configuration = Configuration::new(Domain::parse_host("gw.example").unwrap(), domains);
    tuned(Table::new(PLENTY), |config| config.rules.configuration = Arc::new(configuration))
}

fn by(adapter: &str, domain: &str) -> Arc<Provenance> {
    Arc::new(Provenance {
        may_repeat: false,
        adapter: adapter.into(),
        peer: "peer".into(),
        proof: SourceProof::Secret,
        speaks_for: SpeaksFor::Domains([Domain::parse_host(domain).unwrap()].into()),
    })
}

/// None when it is no address at all: then the adapter refuses, and the hub is not asked.
fn end(uri: &Value) -> Option<Endpoint> {
    let uri = uri.as_str().unwrap();
    let parse = if uri.starts_with("im:") { Address::from_im_uri } else { Address::from_pres_uri };
    parse(uri).ok().map(Endpoint::bare)
}

fn vectors() -> Vec<Value> {
    let path = format!("{}/../../tests/vectors/ops.json", env!("CARGO_MANIFEST_DIR"));
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    std::mem::take(file["vectors"].as_array_mut().unwrap())
}

fn status_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success(_) => "success",
        Outcome::HandedOver | Outcome::Indeterminant => "indeterminant",
        Outcome::Failure(_) => "failure",
    }
}

// checks: IM-01, IM-08, IM-10, IM-12, INV-02, INV-03
#[tokio::test(start_paused = true)]
async fn rfc3860_s3_4_each_decision_about_a_message() {
    let cases: Vec<_> = vectors().into_iter().filter(|case| case["op"] == "message").collect();
    assert_eq!(cases.len(), 16);
    for case in &cases {
        check_message(case).await;
    }
}

async fn check_message(case: &Value) {
    let (id, given, expect) = (case["id"].as_str().unwrap(), &case["given"], &case["expect"]);
    let world = hub(given["resolution"] != "failure");
    let (Some(source), Some(destination)) = (end(&given["source"]), end(&given["destination"])) else {
        assert_eq!((&expect["response"]["status"], &expect["forwarded"]), (&"failure".into(), &false.into()), "{id}");
        return;
    };
    let trans_id = given["trans_id"].as_str().unwrap();
    let max_forwards =
        given["max_forwards"].as_u64().map_or(MaxForwards::INITIAL, |count| MaxForwards(count.try_into().unwrap()));
    let operation = Operation::Message(Box::new(MessageOperation {
        source,
        destination,
        max_forwards,
        trans_id: trans_id.into(),
        message: InstantMessage { id: Some(trans_id.into()), ..InstantMessage::new(Content::text("hi")) },
    }));
    let proven = by("sip", if given["acl"] == "deny" { "other.example" } else { "example.com" });
    let (mut answers, mut deliveries) = (Vec::new(), Vec::new());
    for _ in 0..given["repeat"].as_u64().unwrap_or(1) {
        let (settle, answer) = settle_channel();
        adapter_api::HubCore::submit(&*world.core, operation.clone(), proven.clone(), settle);
        tokio::time::sleep(MOMENT).await;
        answers.push(answer);
        deliveries.extend(world.xmpp.take());
    }
    let forwarded = !deliveries.is_empty();
    if let Some(wanted) = expect["forwarded"].as_bool() {
        assert_eq!(forwarded, wanted, "{id}");
    }
    if let Some(count) = expect["deliveries"].as_u64() {
        assert_eq!(deliveries.len() as u64, count, "{id}");
    }
    for delivery in deliveries {
        assert!(answers[0].try_recv().is_err(), "{id}: nothing is said before the next hop has spoken");
        check_forwarded(id, expect, trans_id, &delivery);
        delivery.settle(match (given["delivery"].as_str(), given["indication"].as_str()) {
            (Some("delivered"), _) | (_, Some("delivered")) => Outcome::Success(Proof::Server),
            (Some(_), _) | (_, Some("failed")) => failure(Cause::NotFound).into(),
            // Nothing comes, and the adapter says so, or nothing was promised.
            (None, _) => Outcome::Indeterminant,
        });
    }
    for answer in answers {
        assert_eq!(expect["response"]["status"], status_of(&answer.await.unwrap()), "{id}");
    }
}

fn check_forwarded(id: &str, expect: &Value, trans_id: &str, delivery: &Delivery) {
    let Operation::Message(message) = &*delivery.operation else { panic!("{id}: no message") };
    assert_eq!(message.trans_id.as_str(), trans_id, "{id}");
    let left = u64::from(message.max_forwards.0);
    if let Some(wanted) = expect["forwarded_max_forwards"].as_u64() {
        assert_eq!(left, wanted, "{id}");
    }
    if let Some(least) = expect["forwarded_max_forwards_min"].as_u64() {
        assert_ne!(left >= least, DEVIATES.iter().any(|(deviates, _)| *deviates == id), "{id}: {left}");
    }
}

// checks: PR-01, PR-02, PR-03, PR-08, INV-02
#[tokio::test(start_paused = true)]
async fn rfc3859_s3_4_each_decision_about_a_subscription() {
    let cases: Vec<_> = vectors().into_iter().filter(|case| case["op"] != "message").collect();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        check_presence(case).await;
    }
}

/// What the watcher's side was told, everything being settled as done on both sides.
fn told(world: &World) -> usize {
    let settled = |shelf: &Shelf| {
        let deliveries = shelf.take();
        let told = deliveries.iter().filter(|delivery| matches!(*delivery.operation, Operation::Notify(_))).count();
        deliveries.into_iter().for_each(|delivery| delivery.settle(Outcome::Success(Proof::Server)));
        told
    };
    settled(&world.xmpp);
    settled(&world.sip)
}

async fn submit(world: &World, operation: Operation, by: Arc<Provenance>) -> Outcome {
    let hub = world.core.hub(by.adapter.clone());
    let outcome = hub.submit_and_wait(operation, by).await.1;
    tokio::time::sleep(MOMENT).await;
    outcome
}

async fn check_presence(case: &Value) {
    let (id, given, expect) = (case["id"].as_str().unwrap(), &case["given"], &case["expect"]);
    let world = hub(true);
    let running = world.run();
    let (Some(watcher), Some(target)) = (end(&given["watcher"]), end(&given["target"])) else {
        assert_eq!((&expect["response"]["status"], &expect["notify_immediately"]), (&"failure".into(), &0.into()));
        return running.abort();
    };
    let subscribe = |name: &str, seconds: u64| {
        Operation::Subscribe(Box::new(SubscribeOperation {
            watcher: watcher.clone(),
            target: target.clone(),
            wish: Wish::Watch(Duration::from_secs(seconds)),
            subscript_id: name.into(),
            trans_id: "T".into(),
        }))
    };
    let authorize = |allow| {
        let (target, watcher, trans_id) = (target.clone(), watcher.clone(), "A".into());
        Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow, trans_id }))
    };
    let change = || {
        let tuple = PresenceTuple::new(Some(Device::new("a").unwrap()), Basic::Open);
        Operation::Notify(Box::new(NotifyOperation {
            target: target.clone(),
            watcher: watcher.clone(),
            subscript_id: None,
            trans_id: "N1".into(),
            standing: Standing::Active { expires: None },
            news: News::Device(Box::new(tuple)),
        }))
    };
    let (near, far) = (|| by("sip", "example.com"), || by("xmpp", "example.org"));
    if let Some(existing) = given["existing"].as_str() {
        assert_eq!(status_of(&submit(&world, subscribe(existing, 3600), near()).await), "success", "{id}");
        told(&world);
    }
    if case["op"] == "notify" {
        // The presentity's side learns that the hub has it, and nothing comes back from the watcher.
        submit(&world, change(), far()).await;
        assert!(expect["response"].is_null() && world.xmpp.take().is_empty() && world.sip.take().is_empty(), "{id}");
        return running.abort();
    }
    let proven = if given["acl"] == "deny" { by("sip", "other.example") } else { near() };
    let seconds = given["granted"].as_u64().or_else(|| given["duration"].as_u64()).unwrap();
    let mut operation = subscribe(given["subscript_id"].as_str().unwrap(), seconds);
    assert!(operation.max_forwards_mut().is_none(), "{id}");
    let status = status_of(&submit(&world, operation, proven).await);
    if let Some(wanted) = expect["response"]["status"].as_str() {
        assert_eq!(status, wanted, "{id}");
    }
    if let Some(statuses) = expect["statuses"].as_array() {
        assert!(statuses.contains(&status.into()), "{id}");
    }
    let at_once = told(&world);
    if let Some(count) = expect["notify_immediately"].as_u64() {
        assert_eq!(at_once as u64, count, "{id}");
    }
    let left: usize = world.core.subscriptions(None, PLENTY).await.1.iter().map(|pair| pair.subscriptions).sum();
    match (expect["continues"].as_bool(), expect["existing_subscription"].as_str()) {
        (Some(true), _) | (_, Some("unaffected")) => assert_eq!(left, 1, "{id}"),
        (Some(false), _) | (_, Some("cancelled")) => assert_eq!(left, 0, "{id}"),
        (None, _) => {}
    }
    if let Some(count) = expect["notify_on_change"].as_u64() {
        submit(&world, authorize(true), far()).await;
        match given["event"].as_str() {
            Some("change at +61 s") => tokio::time::sleep(Duration::from_secs(61)).await,
            Some("acl revoked, then change") => drop(submit(&world, authorize(false), far()).await),
            other => panic!("{id}: {other:?}"),
        }
        told(&world);
        submit(&world, change(), far()).await;
        assert_eq!(told(&world) as u64, count, "{id}");
    }
    running.abort();
}
