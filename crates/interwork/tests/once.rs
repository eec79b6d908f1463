//! Each message once; what is sent ahead of the disk; how fast a hop that returns is given what waited.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own data")]

mod common;

use adapter_api::{Delivery, HubCore, Settle, Settlement, Token, settle_channel};
use common::{
    DELIVERED, PLENTY, Table, World, failure, from_sip, from_xmpp, message, next, one, text_of, tuned, world, world_on,
};
use impp_model::{Cause, Operation, Outcome};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use store::Limits;
use tokio::time::{Instant, sleep};

// checks: IM-02
// checks: REQ-5.4.2
#[tokio::test(start_paused = true)]
async fn what_is_handed_in_again_is_answered_as_the_first_and_sent_once() {
    let world = world(Table::new(0), PLENTY);
    let (first, early) = (world.sip_sends("m1"), world.sip_sends("m1"));
    let delivery = one(&world.xmpp);
    delivery.settle(DELIVERED);
    let late = world.sip_sends("m1");
    for outcome in [first, early, late] {
        assert_eq!(outcome.await, Ok(DELIVERED));
    }
    assert!(world.xmpp.take().is_empty());
    assert_eq!((world.books(), world.core.counters().duplicates_total()), ([1, 0, 0, 0, 0], 2));
    // What failed may come again, from the one who was told so.
    let (first, twin) = (world.sip_sends("m2"), world.sip_sends("m2"));
    one(&world.xmpp).settle(failure(Cause::NotFound));
    for outcome in [first, twin] {
        assert_eq!(outcome.await, Ok(failure(Cause::NotFound).into()));
    }
    let again = world.sip_sends("m2");
    one(&world.xmpp).settle(DELIVERED);
    assert_eq!(again.await, Ok(DELIVERED));
    // The window ends.
    sleep(Duration::from_secs(601)).await;
    let _fresh = world.sip_sends("m1");
    assert_eq!(world.xmpp.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_another_text_or_addressee_is_no_repeat() {
    let world = world(Table::new(0), PLENTY);
    let send = |to: &str, text: &str| {
        let mut operation = common::message("a@sip.example", to, text);
        if let impp_model::Operation::Message(message) = &mut operation {
            message.message.id = Some("1".into());
        }
        let (settle, outcome) = adapter_api::settle_channel();
        world.core.submit(operation, from_sip(), settle);
        outcome
    };
    let _outcomes = [send("b@xmpp.example", "hi"), send("b@xmpp.example", "ho"), send("c@xmpp.example", "hi")];
    assert_eq!(world.xmpp.take().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_spooled_is_recognised_after_a_restart() {
    let first = world(Table::new(0), PLENTY);
    let outcome = first.sip_sends("m1");
    one(&first.xmpp).settle(failure(Cause::Unconfirmed));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    assert_eq!(first.sip_sends("m1").await, Ok(Outcome::Indeterminant));
    let store = Arc::new(first.store.reopen().unwrap().0);
    let world = world_on(Table::new(0), PLENTY, store, first.clock, Limits::default());
    drop(first);
    let running = world.run();
    assert_eq!(world.sip_sends("m1").await, Ok(Outcome::Indeterminant));
    let again = next(&world.xmpp).await;
    assert_eq!((again.repeat, again.edition), (true, 0));
    again.settle(DELIVERED);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.sip_sends("m1").await, Ok(DELIVERED));
    assert_eq!(world.books(), [1, 0, 0, 0, 0]);
    assert!(world.xmpp.take().is_empty());
    running.abort();
}

/// An adapter's hold on a message, which dies with it.
fn forgotten(delivery: Delivery) -> (bool, u32) {
    let flags = (delivery.repeat, delivery.edition);
    std::mem::forget(delivery);
    flags
}

/// The next process on what the last one's leaves on disk.
fn restarted(last: World) -> World {
    let store = Arc::new(last.store.reopen().unwrap().0);
    world_on(Table::new(0), PLENTY, store, last.clock, Limits::default())
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_crash_may_be_a_repeat_and_is_flagged() {
    let first = world(Table::new(0), PLENTY);
    let _unanswered = first.sip_sends("m1");
    assert_eq!(forgotten(one(&first.xmpp)), (false, 0), "nobody was there before");
    let world = restarted(first);
    let outcome = world.sip_sends("m1");
    let again = one(&world.xmpp);
    assert_eq!((again.repeat, again.edition, world.core.counters().repeats_total()), (true, 0, 1));
    let trace = world.core.traces().find("m1").unwrap();
    assert!(trace.events.iter().any(|event| event.what == "may be a repeat"), "{trace:?}");
    again.settle(DELIVERED);
    assert_eq!((outcome.await, world.sip_sends("m1").await), (Ok(DELIVERED), Ok(DELIVERED)));
    // RFC 3261 §17.1.2.2: nobody repeats for longer than 64 times T1.
    sleep(Duration::from_secs(32)).await;
    let _outcome = world.sip_sends("m2");
    assert!(!one(&world.xmpp).repeat);
    assert_eq!((world.core.counters().repeats_total(), world.core.counters().duplicates_total()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_a_repeat_after_an_end_in_order() {
    let first = world(Table::new(0), PLENTY);
    let _outcome = first.sip_sends("m1");
    one(&first.xmpp).settle(DELIVERED);
    first.core.ledger().end(first.core.timestamp());
    let second = restarted(first);
    let _outcome = second.sip_sends("m2");
    assert_eq!(forgotten(one(&second.xmpp)), (false, 0));
    // This one crashes before it has counted anything.
    let third = restarted(second);
    let _outcome = third.sip_sends("m2");
    assert_eq!(forgotten(one(&third.xmpp)), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_possible_repeat_stays_one_whatever_its_tries_prove() {
    let first = world(Table::new(0), PLENTY);
    let _unanswered = [first.sip_sends("m1"), first.xmpp_sends("m2")];
    for shelf in [&first.xmpp, &first.sip] {
        assert_eq!(forgotten(one(shelf)), (false, 0));
    }
    let world = restarted(first);
    let running = world.run();
    let outcomes = [world.sip_sends("m1"), world.xmpp_sends("m2")];
    sleep(Duration::from_millis(100)).await;
    for shelf in [&world.xmpp, &world.sip] {
        one(shelf).settle(failure(Cause::LinkDown));
        let again = next(shelf).await;
        assert_eq!((again.repeat, again.edition), (true, 0), "the earlier process may have sent it");
        again.settle(DELIVERED);
    }
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_try_after_a_certain_failure_is_of_a_new_series() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("m1");
    let mut tries = Vec::new();
    for (cause, reached) in [(Cause::ResourceConstraint, 1), (Cause::Unconfirmed, 2), (Cause::ResourceConstraint, 3)] {
        let delivery = next(&world.xmpp).await;
        tries.push((delivery.repeat, delivery.edition));
        delivery.settle(failure(cause));
        assert_eq!(tries.len(), reached);
    }
    let last = next(&world.xmpp).await;
    tries.push((last.repeat, last.edition));
    assert_eq!(tries, [(false, 0), (false, 1), (true, 1), (true, 1)]);
    drop(outcome);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn write_ahead_after_zero_commits_before_it_sends() {
    let world = tuned(Table::new(0), |config| config.delivery.write_ahead_after = Duration::ZERO);
    let running = world.run();
    world.store.hold();
    let outcomes = ["1", "2"].map(|text| world.xmpp_sends(text));
    sleep(Duration::from_millis(100)).await;
    assert!(world.sip.take().is_empty(), "not on disk");
    world.store.release();
    sleep(Duration::from_millis(10)).await;
    let sent = world.sip.take();
    assert_eq!(sent.iter().map(text_of).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(world.books(), [0, 0, 0, 0, 2]);
    sent.into_iter().for_each(|delivery| delivery.settle(DELIVERED));
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(DELIVERED));
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(world.books(), [2, 0, 0, 0, 0]);
    world.store.fail();
    let Ok(Outcome::Failure(refused)) = world.xmpp_sends("3").await else { panic!("accepted without a disk") };
    assert_eq!(refused.cause, Cause::Overload);
    assert!(world.sip.take().is_empty());
    running.abort();
}

/// A near side that hears what is on disk, and what ended.
#[derive(Default)]
struct Near {
    kept: Mutex<Vec<Token>>,
    settled: Mutex<Vec<(Token, Outcome)>>,
}

impl Settlement for Near {
    fn settled(&self, token: Token, outcome: Outcome) {
        self.settled.lock().push((token, outcome));
    }
    fn kept(&self, token: Token) {
        self.kept.lock().push(token);
    }
}

#[tokio::test(start_paused = true)]
async fn a_near_side_hears_when_a_message_is_on_disk_and_at_once_if_its_peer_waits() {
    let world = tuned(Table::new(0), |config| config.delivery.write_ahead_after = Duration::from_secs(5));
    let running = world.run();
    let near = Arc::new(Near::default());
    let send = |token, text| {
        let settle = Settle::new(near.clone(), token);
        world.core.submit(message("b@xmpp.example", "a@sip.example", text), from_xmpp(), settle);
    };
    send(1, "1");
    sleep(Duration::from_millis(50)).await;
    assert!(near.kept.lock().is_empty());
    world.store.hold();
    world.core.commit();
    sleep(Duration::from_millis(100)).await;
    assert!(near.kept.lock().is_empty(), "not on disk");
    world.store.release();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(*near.kept.lock(), [1]);
    assert!(near.settled.lock().is_empty(), "it is still under way");
    assert_eq!(world.books(), [0, 0, 0, 0, 1]);
    one(&world.sip).settle(failure(Cause::RemoteNotFound));
    sleep(Duration::from_millis(10)).await;
    let ended = near.settled.lock().clone();
    assert_eq!(ended, [(1, Outcome::Indeterminant)], "the error is a word of its own");
    let word = common::next(&world.xmpp).await;
    assert!(matches!(&*word.operation, Operation::Disposition(_)), "{:?}", word.operation);
    word.settle(DELIVERED);
    send(2, "2");
    sleep(Duration::from_millis(4_900)).await;
    assert_eq!(*near.kept.lock(), [1]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(*near.kept.lock(), [1, 2], "by itself");
    one(&world.sip).settle(DELIVERED);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(near.settled.lock().last(), Some(&(2, DELIVERED)));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_returns_is_drained_at_twice_its_rate_while_live_messages_pass() {
    let world = world(Table::new(0), 100_000);
    let running = world.run();
    let send =
        |user: u64, text: &str| world.submit(&format!("u{user}@sip.example"), "b@xmpp.example", text, from_sip());
    // Forty a second for ten seconds.
    for number in 0..400 {
        let outcome = send(number % 50, &format!("before {number}"));
        one(&world.xmpp).settle(DELIVERED);
        assert_eq!(outcome.await, Ok(DELIVERED));
        sleep(Duration::from_millis(25)).await;
    }
    // An outage: a thousand wait, of two hundred senders.
    for number in 0..1000 {
        let outcome = send(number % 200, &format!("{:04}", number));
        world.xmpp.take().into_iter().for_each(|delivery| delivery.settle(failure(Cause::LinkDown)));
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
    assert_eq!(world.books()[4], 1000);
    world.core.peer_changed(&"xmpp".into(), "sip.example", adapter_api::PeerState::Up);
    let (start, mut drained, mut slowest) = (Instant::now(), Vec::new(), Duration::ZERO);
    let mut live = 0;
    while drained.len() < 1000 {
        live += 1;
        let (sent, outcome) = (Instant::now(), send(1000 + live, &format!("live {live}")));
        for delivery in world.xmpp.take() {
            let text = text_of(&delivery);
            if !text.starts_with("live") {
                drained.push((Instant::now(), delivery.operation.source().address.to_string(), text));
            }
            delivery.settle(DELIVERED);
        }
        assert_eq!(outcome.await, Ok(DELIVERED));
        slowest = slowest.max(sent.elapsed());
        sleep(Duration::from_millis(25)).await;
    }
    let took = start.elapsed().as_secs_f64();
    assert!((11.0..16.0).contains(&took), "a thousand in {took} s where eighty a second are right");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let most = (0..drained.len()).map(|from| {
        drained[from..].iter().take_while(|(at, ..)| *at - drained[from].0 < Duration::from_secs(1)).count()
    });
    assert!(most.max().unwrap() <= 100, "no second has much more than eighty");
    for user in 0..200 {
        let name = format!("u{user}@sip.example");
        let texts: Vec<_> = drained.iter().filter(|(_, from, _)| *from == name).map(|(.., text)| text).collect();
        assert!(texts.len() == 5 && texts.is_sorted(), "{texts:?}");
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_its_peer_may_have_sent_before_is_flagged() {
    let world = world(Table::new(0), PLENTY);
    for (may_repeat, nameless) in [(true, true), (true, false), (false, true)] {
        let by = Arc::new(adapter_api::Provenance { may_repeat, ..(*from_xmpp()).clone() });
        let text = format!("{may_repeat} {nameless}");
        let mut operation = message("b@xmpp.example", "a@sip.example", &text);
        if let Operation::Message(message) = &mut operation
            && nameless
        {
            message.message.id = None;
        }
        let (settle, outcome) = settle_channel();
        world.core.submit(operation, by, settle);
        let delivery = one(&world.sip);
        // Without an id it has ids that no earlier try had: the far side can't know it for a copy.
        assert_eq!(delivery.repeat, may_repeat && !nameless, "{text}");
        delivery.settle(DELIVERED);
        assert_eq!(outcome.await, Ok(DELIVERED));
    }
    assert_eq!(world.core.counters().repeats_total(), 2);
}
