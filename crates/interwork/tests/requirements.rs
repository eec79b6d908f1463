//! Requirements of RFC 2779 that are about numbers, or about one service without the other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own data")]

mod common;

use adapter_api::{Configuration, DomainPattern, Provenance, SourceProof, SpeaksFor};
use common::{PLENTY, Shelf, Table, World, from_xmpp, tuned};
use impp_model::{
    Address, AuthorizeOperation, Basic, Cause, Device, Endpoint, Kind, News, NotifyOperation, Operation, Outcome,
    PresenceTuple, Proof, Standing, SubscribeOperation, Wish,
};
use interwork::{Action, Policy, Rule, Rulebook};
use std::sync::Arc;
use std::time::Duration;

const PRESENTITY: &str = "alice@sip.example";

/// Between what is handed in and what must have come of it, in virtual time.
const MOMENT: Duration = Duration::from_secs(1);

fn speaks_for_all(adapter: &str) -> Arc<Provenance> {
    Arc::new(Provenance {
        may_repeat: false,
        adapter: adapter.into(),
        peer: "peer".into(),
        proof: SourceProof::Secret,
        speaks_for: SpeaksFor::Patterns([DomainPattern::Any].into()),
    })
}

fn end(address: &str) -> Endpoint {
    Endpoint::bare(Address::parse_bare(address).unwrap())
}

fn subscribe(watcher: &str) -> Operation {
    Operation::Subscribe(Box::new(SubscribeOperation {
        watcher: end(watcher),
        target: end(PRESENTITY),
        wish: Wish::Watch(Duration::from_secs(3600)),
        subscript_id: "s".into(),
        trans_id: "t".into(),
    }))
}

fn allow(watcher: &str) -> Operation {
    let (target, watcher, trans_id) = (end(PRESENTITY), end(watcher), "a".into());
    Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow: true, trans_id }))
}

fn available(watcher: &str) -> Operation {
    Operation::Notify(Box::new(NotifyOperation {
        target: end(PRESENTITY),
        watcher: end(watcher),
        subscript_id: None,
        trans_id: "n".into(),
        standing: Standing::Active { expires: None },
        news: News::Device(Box::new(PresenceTuple::new(Some(Device::new("a").unwrap()), Basic::Open))),
    }))
}

async fn submit(world: &World, operation: Operation, by: Arc<Provenance>) -> Outcome {
    let hub = world.core.hub(by.adapter.clone());
    hub.submit_and_wait(operation, by).await.1
}

/// Confirms everything that an adapter was asked to do; returns the watchers that were told of a device that is there.
fn settle_all(shelf: &Shelf) -> Vec<String> {
    let deliveries = shelf.take();
    let told = |operation: &Operation| match operation {
        Operation::Notify(notify) => {
            let there = matches!(&notify.news, News::Device(tuple) if tuple.basic == Basic::Open);
            there.then(|| notify.watcher.address.to_string())
        }
        Operation::Message(_) | Operation::Disposition(_) | Operation::Composing(_) => None,
        Operation::Subscribe(_) | Operation::Authorize(_) | Operation::Publish(_) | _ => None,
    };
    let watchers = deliveries.iter().filter_map(|delivery| told(&delivery.operation)).collect();
    deliveries.into_iter().for_each(|delivery| delivery.settle(Outcome::Success(Proof::Server)));
    watchers
}

fn denying(kinds: &[Kind]) -> Policy {
    let rule = Rule {
        from: DomainPattern::Any,
        to: DomainPattern::Any,
        kinds: kinds.to_vec(),
        action: Action::Deny,
        max_content: None,
        require_tls: false,
        rate: None,
    };
    Policy { rules: vec![rule], ..Policy::default() }
}

// checks: MOD-16, REQ-2.1.1
#[tokio::test(start_paused = true)]
async fn rfc2779_s2_1_each_service_is_there_without_the_other() {
    for (denied, message_passes) in [(&[Kind::Message][..], false), (&[Kind::Subscribe, Kind::Notify][..], true)] {
        let world = tuned(Table::new(PLENTY), |config| config.rules.policy = denying(denied));
        let running = world.run();
        let message = world.xmpp_sends("hello");
        tokio::time::sleep(MOMENT).await;
        settle_all(&world.sip);
        let passed = matches!(message.await.unwrap(), Outcome::Success(_));
        let watched = submit(&world, subscribe("bob@xmpp.example"), from_xmpp()).await;
        let refused = matches!(&watched, Outcome::Failure(failure) if failure.cause == Cause::PolicyDenied);
        assert_eq!((passed, refused), (message_passes, message_passes), "{denied:?}: {watched:?}");
        running.abort();
    }
}

// checks: REQ-2.2.5, REQ-2.2.6
#[tokio::test(start_paused = true)]
async fn rfc2779_s2_2_hundreds_of_watchers_in_hundreds_of_domains_hear_of_one_presentity() {
    let watchers: Vec<_> = (0..500).map(|number| format!("bob@d{number}.example")).collect();
    let world = tuned(Table::new(PLENTY), |config| {
        let mut known = (*config.rules.configuration).clone();
        let to_xmpp = known.domains.iter().find(|entry| entry.name.as_str() == "xmpp.example").unwrap().clone();
        known.domains.extend((0..500).map(|number| {
            let name = impp_model::Domain::parse_host(&format!("d{number}.example")).unwrap();
            adapter_api::DomainEntry { name, ..to_xmpp.clone() }
        }));
        let configuration: Arc<Configuration> = Arc::new(known);
        config.rules = Rulebook { configuration, ..config.rules.clone() };
    });
    let running = world.run();
    for watcher in &watchers {
        submit(&world, subscribe(watcher), speaks_for_all("xmpp")).await;
        submit(&world, allow(watcher), speaks_for_all("sip")).await;
        tokio::time::sleep(MOMENT).await;
        settle_all(&world.sip);
        settle_all(&world.xmpp);
    }
    assert_eq!(world.core.subscriptions(None, PLENTY).await.0, watchers.len());
    for watcher in &watchers {
        submit(&world, available(watcher), speaks_for_all("sip")).await;
    }
    tokio::time::sleep(MOMENT).await;
    let told = settle_all(&world.xmpp);
    assert_eq!(told.len(), watchers.len());
    assert!(watchers.iter().all(|watcher| told.contains(watcher)));
    running.abort();
}
