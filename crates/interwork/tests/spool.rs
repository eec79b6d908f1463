//! What can't be delivered at once: order, retries, expiry, refusal, restart; the equation after each.

#![allow(clippy::unwrap_used, reason = "a test's own data")]

mod common;

use adapter_api::{Delivery, HubCore, PeerState};
use common::{DELIVERED, PLENTY, Table, failure, from_sip, from_xmpp, next, one, text_of, world, world_on};
use impp_model::{Cause, DateTime, Failure, Operation, Outcome, Retry, Side};
use std::sync::Arc;
use std::time::Duration;
use store::{Limits, MemoryStore, SteadyClock};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// When a message says that it was sent.
fn sent(delivery: &Delivery) -> Option<DateTime> {
    let Operation::Message(message) = &*delivery.operation else { panic!("not a message") };
    message.message.sent.clone()
}

// checks: IM-11
#[tokio::test(start_paused = true)]
async fn what_may_pass_is_spooled_then_accepted_and_tried_again() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("1");
    let first = one(&world.xmpp);
    assert_eq!(sent(&first), None, "what goes on at once needs no time");
    first.settle(failure(Cause::Unconfirmed));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    assert_eq!(world.books(), [0, 0, 0, 0, 1]);
    let again = next(&world.xmpp).await;
    assert!(again.repeat, "the first may have arrived");
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let told = sent(&again).and_then(|sent| u64::try_from(sent.epoch_seconds()).ok()).unwrap();
    assert!(taken.abs_diff(told) < 3600, "the addressee is told when it was sent: {told}, not {taken}");
    again.settle(failure(Cause::LinkDown));
    let again = next(&world.xmpp).await;
    assert_eq!(text_of(&again), "1");
    again.settle(DELIVERED);
    assert_eq!(world.books(), [1, 0, 0, 0, 0]);
    assert_eq!(world.core.counters().repeats_total(), 2);
    sleep(Duration::from_secs(900)).await;
    assert!(world.xmpp.take().is_empty());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_final_is_told_at_once_and_never_kept() {
    let world = world(Table::new(0), PLENTY);
    for cause in [Cause::NotFound, Cause::RecipientUnavailable, Cause::PolicyViolation] {
        let outcome = world.sip_sends("1");
        one(&world.xmpp).settle(failure(cause));
        assert_eq!(outcome.await, Ok(failure(cause).into()));
    }
    assert_eq!(world.books(), [0, 3, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_a_pair_is_kept_between_live_and_spool() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcomes: Vec<_> = ["1", "2", "3"].map(|text| world.sip_sends(text)).into();
    let mut live = world.xmpp.take();
    let third = live.pop().unwrap();
    // The second fails first: it waits for the first.
    live.pop().unwrap().settle(failure(Cause::LinkDown));
    let fourth = world.sip_sends("4");
    assert!(world.xmpp.take().is_empty(), "it waits behind the second");
    live.pop().unwrap().settle(failure(Cause::LinkDown));
    assert_eq!(world.books()[4], 2);
    third.settle(failure(Cause::Unconfirmed));
    let other = world.submit("c@sip.example", "b@xmpp.example", "other", from_sip());
    one(&world.xmpp).settle(DELIVERED);
    assert_eq!(other.await, Ok(DELIVERED), "another pair is not held up");
    let fifth = world.sip_sends("5");
    for outcome in outcomes.into_iter().chain([fourth, fifth]) {
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let delivery = next(&world.xmpp).await;
        seen.push(text_of(&delivery));
        delivery.settle(DELIVERED);
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
    let live = world.sip_sends("6");
    one(&world.xmpp).settle(DELIVERED);
    assert_eq!(live.await, Ok(DELIVERED));
    assert_eq!(world.books(), [7, 0, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn behind_one_in_retry_a_hundred_wait_and_more_are_refused() {
    let world = world(Table::new(0), PLENTY);
    let first = world.sip_sends("0");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(first.await, Ok(Outcome::Indeterminant));
    for number in 1..=100 {
        assert_eq!(world.sip_sends(&number.to_string()).await, Ok(Outcome::Indeterminant));
    }
    let Ok(Outcome::Failure(refused)) = world.sip_sends("101").await else { panic!("accepted") };
    assert_eq!((refused.side, refused.cause), (Side::Ours, Cause::Overload));
    assert_eq!(world.books(), [0, 1, 0, 0, 101]);
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_returns_wakes_what_waits_for_it() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("1");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    for _ in 0..6 {
        next(&world.xmpp).await.settle(failure(Cause::LinkDown));
    }
    sleep(Duration::from_millis(100)).await;
    assert!(world.xmpp.take().is_empty());
    world.core.peer_changed(&"xmpp".into(), "sip.example", PeerState::Up);
    sleep(Duration::from_millis(100)).await;
    one(&world.xmpp).settle(DELIVERED);
    assert_eq!(world.books(), [1, 0, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_waits_too_long_expires_once() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("1");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    let (mut tries, mut notices) = (0, Vec::new());
    while notices.is_empty() {
        sleep(Duration::from_secs(10)).await;
        let (warnings, others): (Vec<_>, Vec<_>) =
            world.sip.take().into_iter().partition(|delivery| text_of(delivery).contains(" waits "));
        warnings.into_iter().for_each(|delivery| delivery.settle(DELIVERED));
        notices = others;
        for delivery in world.xmpp.take() {
            tries += 1;
            delivery.settle(failure(Cause::LinkDown));
        }
    }
    assert!((12..30).contains(&tries), "{tries} tries in half an hour");
    assert_eq!(notices.len(), 1);
    let notice = notices.remove(0);
    assert_eq!(notice.operation.source().address.to_string(), "gateway@gw.example");
    assert_eq!(notice.operation.destination().address.to_string(), "a@sip.example");
    let text = text_of(&notice);
    assert!(text.starts_with("Your message to b@xmpp.example of ") && text.contains("not delivered in time"), "{text}");
    notice.settle(DELIVERED);
    sleep(Duration::from_secs(900)).await;
    assert!(world.xmpp.take().is_empty() && world.sip.take().is_empty());
    assert_eq!(world.books(), [0, 0, 1, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_of_what_was_spooled_ends_it_once() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("1");
    one(&world.xmpp).settle(failure(Cause::RemoteTimeout));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    next(&world.xmpp).await.settle(failure(Cause::NotFound));
    assert_eq!(world.books(), [0, 1, 0, 0, 0]);
    // He who refuses the notice is not told: counted, and never a notice about a notice.
    next(&world.sip).await.settle(failure(Cause::Forbidden));
    sleep(Duration::from_secs(900)).await;
    assert_eq!(world.books(), [0, 1, 0, 1, 0]);
    assert!(world.xmpp.take().is_empty() && world.sip.take().is_empty());
    running.abort();
}

// checks: IM-013, ERR-007
#[tokio::test(start_paused = true)]
async fn a_protocol_with_a_form_for_it_tells_of_the_late_failure_in_its_own() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.xmpp_sends("m1");
    one(&world.sip).settle(failure(Cause::RemoteTimeout));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    next(&world.sip).await.settle(failure(Cause::NotFound));
    let told = next(&world.xmpp).await;
    let Operation::Disposition(word) = &*told.operation else { panic!("no disposition: {:?}", told.operation) };
    assert_eq!(word.message_id.as_ref().map(|id| id.as_str()), Some("m1"));
    assert_eq!(word.source.address.to_string(), "a@sip.example");
    assert_eq!(word.disposition.failure().map(|failure| failure.cause), Some(Cause::NotFound));
    told.settle(DELIVERED);
    sleep(Duration::from_secs(900)).await;
    assert_eq!(world.books(), [0, 1, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_ledger_refuses_and_keeps_what_it_has() {
    let full = Limits { records: 1, ..Limits::default() };
    let world = world_on(Table::new(0), PLENTY, Arc::new(MemoryStore::new()), SteadyClock::start(), full);
    for (from, reason) in [("a@sip.example", ""), ("c@sip.example", Cause::Overload.code())] {
        let outcome = world.submit(from, "b@xmpp.example", "1", from_sip());
        one(&world.xmpp).settle(failure(Cause::LinkDown));
        assert_eq!(outcome.await.map(|outcome| outcome.reason()), Ok(reason));
    }
    // What may have arrived keeps its own reason: a sender must not send it again without a thought.
    let outcome = world.submit("c@sip.example", "b@xmpp.example", "2", from_sip());
    one(&world.xmpp).settle(failure(Cause::Unconfirmed));
    assert_eq!(outcome.await.map(|outcome| outcome.reason()), Ok(Cause::Unconfirmed.code()));
    assert_eq!(world.books(), [0, 2, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_a_ledger_all_fails_with_its_own_reason() {
    let none = Limits { records: 0, ..Limits::default() };
    let world = world_on(Table::new(0), PLENTY, Arc::new(MemoryStore::new()), SteadyClock::start(), none);
    let outcome = world.sip_sends("1");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(failure(Cause::LinkDown).into()));
    assert_eq!(world.books(), [0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_accepted_before_the_disk_has_it_nor_when_the_disk_fails() {
    let world = world(Table::new(0), PLENTY);
    world.store.hold();
    let mut outcome = world.sip_sends("1");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert!(outcome.try_recv().is_err());
    assert_eq!(world.books()[4], 0);
    world.store.release();
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    world.store.fail();
    let outcome = world.submit("c@sip.example", "b@xmpp.example", "2", from_sip());
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await.map(|outcome| outcome.reason()), Ok(Cause::Overload.code()));
    assert_eq!(world.books(), [0, 1, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_what_waited_in_its_order() {
    let first = world(Table::new(0), PLENTY);
    let running = first.run();
    for text in ["1", "2", "3"] {
        let outcome = first.sip_sends(text);
        first.xmpp.take().into_iter().for_each(|delivery| delivery.settle(failure(Cause::LinkDown)));
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
    // Under way in the journal when it dies.
    let journalled = first.xmpp_sends("journalled");
    sleep(Duration::from_millis(40)).await;
    assert_eq!(first.books()[4], 4);
    running.abort();
    let store = Arc::new(first.store.reopen().unwrap().0);
    let world = world_on(Table::new(0), PLENTY, store, first.clock, Limits::default());
    drop((first, journalled));
    assert_eq!(world.books()[4], 4);
    let running = world.run();
    let again = next(&world.sip).await;
    assert!(again.repeat && text_of(&again) == "journalled");
    again.settle(DELIVERED);
    let fourth = world.sip_sends("4");
    assert_eq!(fourth.await, Ok(Outcome::Indeterminant));
    for text in ["1", "2", "3", "4"] {
        let delivery = next(&world.xmpp).await;
        assert_eq!(text_of(&delivery), text);
        delivery.settle(DELIVERED);
    }
    assert_eq!(world.books(), [5, 0, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_a_link_cannot_repeat_is_journalled_unless_it_ends_before() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let quick = world.xmpp_sends("quick");
    sleep(Duration::from_millis(10)).await;
    one(&world.sip).settle(DELIVERED);
    assert_eq!(quick.await, Ok(DELIVERED));
    let slow = world.xmpp_sends("slow");
    sleep(Duration::from_millis(15)).await;
    assert_eq!(world.books()[4], 0);
    sleep(Duration::from_millis(25)).await;
    assert_eq!(world.books(), [1, 0, 0, 0, 1]);
    one(&world.sip).settle(DELIVERED);
    assert_eq!(slow.await, Ok(DELIVERED));
    assert_eq!(world.books(), [2, 0, 0, 0, 0]);

    let failed = world.xmpp_sends("failed");
    sleep(Duration::from_millis(40)).await;
    one(&world.sip).settle(failure(Cause::NotFound));
    assert_eq!(failed.await, Ok(Outcome::Indeterminant), "it is told by a word of its own");
    is_told(next(&world.xmpp).await, "failed");
    assert_eq!(world.books(), [2, 1, 0, 0, 0]);

    let passing = world.xmpp_sends("passing");
    sleep(Duration::from_millis(40)).await;
    one(&world.sip).settle(failure(Cause::LinkDown));
    assert_eq!(passing.await, Ok(Outcome::Indeterminant));
    next(&world.sip).await.settle(DELIVERED);
    assert_eq!(world.books(), [3, 1, 0, 0, 0]);
    let trace = world.core.traces().find("passing").unwrap();
    let steps: Vec<_> = trace.events.iter().map(|event| (&*event.what, &*event.reason)).take(4).collect();
    let reason = Cause::LinkDown.code();
    assert_eq!(steps, [("routed", "sip"), ("journalled", ""), ("tried", reason), ("spooled", "")], "each step");
    running.abort();
}

/// Word of a failure that its sender takes.
fn is_told(word: Delivery, id: &str) {
    let Operation::Disposition(about) = &*word.operation else { panic!("{:?}", word.operation) };
    assert_eq!(about.message_id.as_ref().map(|id| id.as_str()), Some(id));
    assert_eq!(about.disposition.failure().map(|failure| failure.cause), Some(Cause::NotFound));
    word.settle(DELIVERED);
}

// checks: IM-013
#[tokio::test(start_paused = true)]
async fn what_was_journalled_and_failed_is_told_over_a_crash() {
    let first = world(Table::new(0), PLENTY);
    let running = first.run();
    let failed = first.xmpp_sends("m1");
    sleep(Duration::from_millis(40)).await;
    one(&first.sip).settle(failure(Cause::NotFound));
    assert_eq!(failed.await, Ok(Outcome::Indeterminant));
    running.abort();
    let store = Arc::new(first.store.reopen().unwrap().0);
    let world = world_on(Table::new(0), PLENTY, store, first.clock, Limits::default());
    drop(first);
    let running = world.run();
    is_told(next(&world.xmpp).await, "m1");
    sleep(Duration::from_secs(1)).await;
    // The count of what failed is of the last second, which a crash may take along.
    assert_eq!((world.books()[4], world.core.ledger().counts().entries), (0, 0));
    assert!(world.sip.take().is_empty());
    running.abort();
}

/// Word to b that a message to a has failed.
fn owed() -> impp_model::DispositionOperation {
    let end = |text: &str| impp_model::Endpoint::bare(text.parse().unwrap());
    impp_model::DispositionOperation {
        source: end("a@sip.example"),
        destination: end("b@xmpp.example"),
        max_forwards: impp_model::MaxForwards::INITIAL,
        message_id: Some("m1".into()),
        trans_id: "m1".into(),
        accepted: DateTime::from_epoch(0, 0).unwrap(),
        disposition: impp_model::Disposition::Failed(Box::new(failure(Cause::NotFound))),
        and_earlier: false,
        return_path: None,
    }
}

// checks: IM-013
#[tokio::test(start_paused = true)]
async fn who_owes_an_error_hears_when_no_crash_takes_it_along() {
    for written in [false, true] {
        let first = world(Table::new(0), PLENTY);
        first.store.hold();
        let (told, safe) = tokio::sync::oneshot::channel();
        first.core.owe(&"xmpp".into(), owed(), false, Box::new(move |is_kept| told.send(is_kept).unwrap_or_default()));
        let mut safe = safe;
        assert!(safe.try_recv().is_err(), "it is not on disk yet");
        if written {
            first.store.release();
            assert_eq!(safe.await, Ok(true));
        }
        let store = Arc::new(first.store.reopen().unwrap().0);
        let second = world_on(Table::new(0), PLENTY, store, first.clock, Limits::default());
        let running = second.run();
        sleep(Duration::from_secs(1)).await;
        let found = second.xmpp.take();
        assert_eq!(found.len(), usize::from(written), "who has not heard of it tells it again");
        found.into_iter().for_each(|delivery| is_told(delivery, "m1"));
        running.abort();
        std::mem::forget(first);
    }
}

// checks: IM-013
#[tokio::test(start_paused = true)]
async fn an_error_that_an_adapter_could_not_get_through_is_delivered_when_its_link_is_back() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    world.core.owe(&"xmpp".into(), owed(), false, Box::new(|_| ()));
    let first = next(&world.xmpp).await;
    assert!(!first.repeat);
    first.settle(failure(Cause::LinkDown));
    sleep(Duration::from_millis(100)).await;
    assert!(world.xmpp.take().is_empty());
    world.core.peer_changed(&"xmpp".into(), "sip.example", PeerState::Up);
    sleep(Duration::from_millis(50)).await;
    is_told(one(&world.xmpp), "m1");
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.books(), world.core.ledger().counts().entries), ([0; 5], 0));
    running.abort();
}

// checks: IM-013
#[tokio::test(start_paused = true)]
async fn an_error_that_its_sender_may_have_heard_goes_as_a_repeat() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    world.core.owe(&"xmpp".into(), owed(), true, Box::new(|_| ()));
    let again = next(&world.xmpp).await;
    assert!(again.repeat);
    is_told(again, "m1");
    assert_eq!(world.core.counters().repeats_total(), 1);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_that_may_hide_an_arrival_the_next_try_is_its_repeat() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("1");
    let first = one(&world.xmpp);
    let edition = first.edition;
    first.settle(failure(Cause::InternalError).with_doubt());
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    let again = next(&world.xmpp).await;
    assert_eq!((again.repeat, again.edition), (true, edition));
    again.settle(failure(Cause::InternalError));
    let again = next(&world.xmpp).await;
    assert_eq!((again.repeat, again.edition), (true, edition), "the first may still have arrived");
    again.settle(DELIVERED);
    let outcome = world.sip_sends("2");
    one(&world.xmpp).settle(failure(Cause::InternalError));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    let again = next(&world.xmpp).await;
    assert_eq!((again.repeat, again.edition > edition), (false, true), "a certain failure");
    again.settle(DELIVERED);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_user_who_comes_wakes_what_waits_for_that_user_alone() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let away = || failure(Cause::RecipientUnavailable).with_retry(impp_model::Retry::After(Duration::from_secs(30)));
    for (to, text) in [("b@xmpp.example", "1"), ("c@xmpp.example", "2")] {
        let outcome = world.submit("a@sip.example", to, text, from_sip());
        one(&world.xmpp).settle(away());
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
    world.core.peer_changed(&"xmpp".into(), "b@xmpp.example", PeerState::Up);
    sleep(Duration::from_millis(50)).await;
    let woken = one(&world.xmpp);
    assert_eq!(text_of(&woken), "1");
    woken.settle(DELIVERED);
    assert!(world.core.peers().is_empty(), "no metric names a user");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_the_disk_refuses_is_no_acceptance() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    world.store.hold();
    let mut outcome = world.xmpp_sends("1");
    sleep(Duration::from_millis(40)).await;
    one(&world.sip).settle(failure(Cause::LinkDown));
    assert!(outcome.try_recv().is_err(), "it is not on disk yet");
    world.store.fail();
    world.store.release();
    assert_eq!(outcome.await, Ok(failure(Cause::LinkDown).into()));
    assert_eq!(world.books(), [0, 1, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_broken_nothing_waits_on_it_and_when_it_is_mended_all_goes_on() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let waiting = world.sip_sends("waits");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(waiting.await, Ok(Outcome::Indeterminant));
    world.store.fail();
    assert!(world.core.store_refusal().is_some());
    let entry = world.core.ledger().list(None, 1).first().unwrap().seq;
    assert!(world.core.give_up(entry).is_err());
    sleep(Duration::from_secs(60)).await;
    assert!(world.xmpp.take().is_empty(), "tried without a note of it");
    let Ok(Outcome::Failure(refused)) = world.xmpp_sends("no journal").await else {
        panic!("accepted without a journal")
    };
    assert_eq!(refused.cause, Cause::Overload);
    assert!(world.sip.take().is_empty(), "sent on unjournalled");
    // Who waits for an answer needs no store; one of another pair, for this one waits.
    let live = world.submit("c@sip.example", "b@xmpp.example", "live", from_sip());
    one(&world.xmpp).settle(DELIVERED);
    assert_eq!(live.await, Ok(DELIVERED));
    world.store.mend();
    let again = next(&world.xmpp).await;
    assert_eq!(text_of(&again), "waits");
    again.settle(DELIVERED);
    let journalled = world.xmpp_sends("journalled");
    next(&world.sip).await.settle(DELIVERED);
    assert_eq!(journalled.await, Ok(DELIVERED));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.books(), [3, 0, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_disk_down_to_its_reserve_refuses_what_would_need_the_journal_and_empties_the_spool() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let waiting = world.sip_sends("waits");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(waiting.await, Ok(Outcome::Indeterminant));
    world.store.set_free(1000);
    let Ok(Outcome::Failure(refused)) = world.xmpp_sends("no journal").await else {
        panic!("accepted without a journal")
    };
    assert_eq!((refused.side, refused.cause), (Side::Ours, Cause::Overload));
    assert!(world.sip.take().is_empty(), "sent on unjournalled");
    // What is there comes to its end, which is what the reserve is for.
    let again = next(&world.xmpp).await;
    assert_eq!(text_of(&again), "waits");
    again.settle(DELIVERED);
    world.store.set_free(u64::MAX);
    assert!(world.core.store_refusal().is_none());
    let journalled = world.xmpp_sends("journalled");
    next(&world.sip).await.settle(DELIVERED);
    assert_eq!(journalled.await, Ok(DELIVERED));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_ledger_refuses_what_would_need_the_journal_and_journals_what_is_under_way() {
    let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
    let limits = Limits { records: 1, ..Limits::default() };
    let world = world_on(Table::new(0), PLENTY, store.clone(), clock, limits);
    let running = world.run();
    let _under_way = world.submit("d@xmpp.example", "e@sip.example", "under way", from_xmpp());
    let under_way = one(&world.sip);
    let waiting = world.sip_sends("waits");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(waiting.await, Ok(Outcome::Indeterminant));
    assert!(world.core.store_refusal().is_some(), "it is full");
    let Ok(Outcome::Failure(refused)) = world.xmpp_sends("no journal").await else {
        panic!("accepted without a journal")
    };
    assert_eq!((refused.side, refused.cause), (Side::Ours, Cause::Overload));
    assert!(world.sip.take().is_empty(), "sent on unjournalled");
    // What was sent on before it was full is journalled all the same.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.core.ledger().entries(), 2);
    under_way.settle(DELIVERED);
    next(&world.xmpp).await.settle(DELIVERED);
    sleep(Duration::from_millis(100)).await;
    assert!(world.core.store_refusal().is_none(), "there is room again");
    let journalled = world.xmpp_sends("journalled");
    next(&world.sip).await.settle(DELIVERED);
    assert_eq!(journalled.await, Ok(DELIVERED));
    assert_eq!(world.books(), [3, 0, 0, 0, 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_dead_hops_backlog_leaves_room_for_what_goes_to_others() {
    let limits = Limits { records: 4, ..Limits::default() };
    let world = world_on(Table::new(0), PLENTY, Arc::new(MemoryStore::new()), SteadyClock::start(), limits);
    let refused = async |outcome: oneshot::Receiver<Outcome>| {
        let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("taken") };
        assert!(matches!(failure.retry, Retry::After(_)), "{failure:?}");
        (failure.side, failure.cause)
    };
    for from in ["a@sip.example", "b@sip.example"] {
        let outcome = world.submit(from, "b@xmpp.example", "1", from_sip());
        one(&world.xmpp).settle(failure(Cause::LinkDown));
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
    let beyond = world.submit("c@sip.example", "b@xmpp.example", "1", from_sip());
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(refused(beyond).await, (Side::Ours, Cause::HopBacklog));
    // Live messages go there all the same; the way back and the ledger as a whole have room.
    let live = world.submit("d@sip.example", "b@xmpp.example", "1", from_sip());
    one(&world.xmpp).settle(DELIVERED);
    assert_eq!(live.await, Ok(DELIVERED));
    assert!(world.core.store_refusal().is_none());
    let back = world.xmpp_sends("1");
    one(&world.sip).settle(failure(Cause::LinkDown));
    assert_eq!(back.await, Ok(Outcome::Indeterminant));
    // That hop holds as much as is left now: what came over a link that can't repeat is refused before it is sent on.
    let unjournalled = world.submit("e@xmpp.example", "f@sip.example", "1", from_xmpp());
    assert_eq!(refused(unjournalled).await, (Side::Ours, Cause::HopBacklog));
    assert!(world.sip.take().is_empty(), "sent on unjournalled");
    assert_eq!(world.books(), [1, 1, 0, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_at_the_end_is_spooled() {
    let world = world(Table::new(0), PLENTY);
    let held = world.sip_sends("1");
    assert_eq!(world.core.drain(Duration::from_millis(50)).await, 1);
    one(&world.xmpp).settle(Failure::new(Side::Ours, Cause::ShuttingDown));
    assert_eq!(held.await, Ok(Outcome::Indeterminant));
    assert_eq!(world.books(), [0, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_fails_holds_nothing_up_for_good() {
    let world = world(Table { fails: true, ..Table::new(PLENTY) }, PLENTY);
    let outcome = world.submit("a@sip.example", "b@far.example", "1", from_sip());
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    assert_eq!(world.books(), [0, 0, 0, 0, 1]);
}
