//! Canaries: there and back between two adapters, counted nowhere, answered by nobody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "a test's own data")]

mod common;

use adapter_api::{HubCore, settle_channel};
use common::{DELIVERED, PLENTY, Table, World, failure, from_xmpp, message, next, one, text_of, world};
use impp_model::{
    Address, AuthorizeOperation, Cause, Domain, Endpoint, Operation, Outcome, Proof, SubscribeOperation, Wish,
};
use interwork::{CANARY, Canary, Sample};
use std::time::Duration;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(10);
const ECHO: &str = "echo@xmpp.example";

fn fly(world: &World, kind: Sample) -> JoinHandle<Canary> {
    let (core, echo) = (world.core.clone(), Address::parse_bare(ECHO).unwrap());
    tokio::spawn(async move { core.canary(&Domain::parse_host("sip.example").unwrap(), &echo, kind, LIMIT).await })
}

fn own() -> String {
    format!("{CANARY}@sip.example")
}

fn submit(world: &World, operation: Operation) -> tokio::sync::oneshot::Receiver<Outcome> {
    let (settle, outcome) = settle_channel();
    world.core.submit(operation, from_xmpp(), settle);
    outcome
}

/// Nothing was counted as users' traffic, and nothing waits.
fn assert_nothing_counted(world: &World) {
    assert_eq!(world.books(), [0; 5]);
    assert_eq!(world.core.ledger().totals().handed_over, 0);
    assert!(world.core.counters().operations().is_empty());
    assert!(world.core.counters().latencies().is_empty());
    assert_eq!((world.core.counters().queue_full_total(), world.core.held()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_and_counts_nowhere() {
    let world = world(Table::new(PLENTY), PLENTY);
    let flight = fly(&world, Sample::Message);
    let sent = next(&world.xmpp).await;
    let text = text_of(&sent);
    assert_eq!(sent.operation.source().address.to_string(), own());
    sent.settle.settle(DELIVERED);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let heard = submit(&world, message(ECHO, &own(), &format!("you wrote: {text}")));
    assert_eq!(heard.await.unwrap(), Outcome::Success(Proof::Recipient));
    let canary = flight.await.unwrap();
    let took = canary.result.unwrap();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(1), "{took:?}");
    assert_nothing_counted(&world);
    assert!(world.sip.take().is_empty() && world.xmpp.take().is_empty(), "nothing is answered");
    let trace = world.core.trace(&canary.trace.to_string()).unwrap();
    let what: Vec<_> = trace.events.iter().map(|event| event.what.as_ref()).collect();
    assert_eq!(what, ["routed", "delivered", "came back"]);
    let last = world.core.canaries();
    assert_eq!(last.len(), 1);
    assert_eq!(
        (last[0].peer.as_str(), last[0].kind.label(), last[0].returned, last[0].lost),
        ("xmpp.example", "message", 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_back_says_how_far_it_came() {
    let world = world(Table::new(PLENTY), PLENTY);
    let refused = fly(&world, Sample::Message);
    next(&world.xmpp).await.settle(failure(Cause::NotFound));
    assert_eq!(refused.await.unwrap().result.unwrap_err().cause, Cause::NotFound);
    // What users' messages would wait for in the spool is lost here.
    let away = fly(&world, Sample::Message);
    next(&world.xmpp).await.settle(failure(Cause::LinkDown));
    assert_eq!(away.await.unwrap().result.unwrap_err().cause, Cause::LinkDown);
    let swallowed = fly(&world, Sample::Message);
    next(&world.xmpp).await.settle.settle(DELIVERED);
    let failure = swallowed.await.unwrap().result.unwrap_err();
    assert_eq!(failure.cause, Cause::RemoteTimeout);
    assert!(failure.to_string().contains("not sent back in time"), "{failure}");
    let unheard = fly(&world, Sample::Message);
    let kept = next(&world.xmpp).await;
    assert_eq!(unheard.await.unwrap().result.unwrap_err().cause, Cause::Unconfirmed);
    kept.settle.settle(DELIVERED);
    assert_nothing_counted(&world);
    assert_eq!(world.core.canaries()[0].lost, 4);
    assert_eq!(world.core.canaries()[0].result, Err("unconfirmed"));
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_addressed_to_a_canary_is_answered_or_passed_on() {
    let world = world(Table::new(PLENTY), PLENTY);
    // Of another gateway, or of an echo that is late: without a canary that waits for it.
    for text in ["canary 00000000000000ff: a gateway tries its way to you", "hello"] {
        let heard = submit(&world, message(ECHO, &own(), text)).await.unwrap();
        assert!(matches!(&heard, Outcome::Failure(failure) if failure.cause == Cause::NotFound), "{heard:?}");
    }
    // Only the echo brings a canary back, not who has seen it.
    let flight = fly(&world, Sample::Message);
    let sent = next(&world.xmpp).await;
    let text = text_of(&sent);
    sent.settle.settle(DELIVERED);
    let heard = submit(&world, message("mallory@xmpp.example", &own(), &text)).await.unwrap();
    assert!(matches!(heard, Outcome::Failure(_)));
    let back = || submit(&world, message(ECHO, &own(), &text));
    assert!(matches!(back().await.unwrap(), Outcome::Success(_)));
    assert!(matches!(back().await.unwrap(), Outcome::Failure(_)), "the second time nobody waits");
    assert!(flight.await.unwrap().result.is_ok());
    assert!(world.sip.take().is_empty() && world.xmpp.take().is_empty());
    assert_nothing_counted(&world);
}

#[tokio::test(start_paused = true)]
async fn nobody_can_watch_a_canary_or_let_it_watch_him_unasked() {
    let world = world(Table::new(PLENTY), PLENTY);
    let end = |address: &str| Endpoint::bare(Address::parse_bare(address).unwrap());
    let refused = |outcome| matches!(outcome, Outcome::Failure(failure) if failure.cause == Cause::NotFound);
    for wish in [Wish::Watch(LIMIT), Wish::Extend(LIMIT), Wish::Fetch, Wish::Pause, Wish::Cancel] {
        let (watcher, target) = (end(ECHO), end(&own()));
        let (subscript_id, trans_id) = ("s".into(), "1".into());
        let asked = SubscribeOperation { watcher, target, wish, subscript_id, trans_id };
        assert!(refused(submit(&world, Operation::Subscribe(Box::new(asked))).await.unwrap()), "{wish:?}");
    }
    for allow in [true, false] {
        let (target, watcher) = (end(ECHO), end(&own()));
        let word = AuthorizeOperation { target, watcher, allow, trans_id: "2".into() };
        // The end of a subscription may come after its canary has ended.
        assert_eq!(refused(submit(&world, Operation::Authorize(Box::new(word))).await.unwrap()), allow);
    }
    assert!(world.sip.take().is_empty() && world.xmpp.take().is_empty());
    assert_nothing_counted(&world);
}

#[tokio::test(start_paused = true)]
async fn presence_is_asked_for_answered_and_given_back() {
    let world = world(Table::new(PLENTY), PLENTY);
    for allow in [true, false] {
        let flight = fly(&world, Sample::Presence);
        let asked = next(&world.xmpp).await;
        let Operation::Subscribe(subscribe) = &*asked.operation else { panic!("{:?}", asked.operation) };
        assert!(matches!(subscribe.wish, Wish::Watch(_)));
        let (target, watcher) = (subscribe.target.clone(), Endpoint::bare(Address::parse_bare(&own()).unwrap()));
        asked.settle.settle(DELIVERED);
        let trans_id = "1".into();
        let word = Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow, trans_id }));
        submit(&world, word).await.unwrap();
        assert_eq!(flight.await.unwrap().result.is_ok(), allow);
        let end = one(&world.xmpp);
        assert!(matches!(&*end.operation, Operation::Subscribe(end) if end.wish == Wish::Cancel));
        end.settle.settle(DELIVERED);
    }
    assert_nothing_counted(&world);
    assert_eq!(world.core.subscriptions(None, 10).await.0, 0);
}
