//! What senders are told after acceptance: late errors, warnings, several notices in one; and what is counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own data")]

mod common;

use adapter_api::{Delivery, HubCore, settle_channel};
use common::{
    DELIVERED, PLENTY, Table, World, failure, from_sip, from_xmpp, message, next, one, text_of, tuned, world, world_on,
};
use impp_model::{
    Address, Cause, ComposingOperation, ComposingState, DateTime, Disposition, DispositionOperation, Domain, Endpoint,
    MaxForwards, Operation, Outcome, Proof, Receipts, Sealed,
};
use std::sync::Arc;
use std::time::Duration;
use store::{Limits, MemoryStore, SteadyClock};
use tokio::time::sleep;

impl World {
    /// An error stanza from one end about what the other sent as `id`; what its sender hears.
    async fn late_error(&self, from: &str, to: &str, id: &str) -> Outcome {
        let end = |text: &str| Endpoint::bare(Address::parse_bare(text).unwrap());
        let word = DispositionOperation {
            source: end(from),
            destination: end(to),
            max_forwards: MaxForwards::INITIAL,
            message_id: Some(id.into()),
            trans_id: "late".into(),
            accepted: DateTime::from_epoch(0, 0).unwrap(),
            disposition: Disposition::Failed(Box::new(failure(Cause::NotFound))),
            and_earlier: false,
            return_path: None,
        };
        let (settle, outcome) = settle_channel();
        self.core.submit(Operation::Disposition(Box::new(word)), from_xmpp(), settle);
        outcome.await.unwrap()
    }

    /// Delivers what a SIP sender sends by the word of the addressee's server.
    async fn delivered(&self, text: &str) {
        let outcome = self.sip_sends(text);
        one(&self.xmpp).settle(DELIVERED);
        assert_eq!(outcome.await, Ok(DELIVERED));
    }

    fn reversed(&self) -> u64 {
        self.core.ledger().totals().reversed
    }
}

fn ends(delivery: &Delivery) -> (String, String) {
    let operation = &delivery.operation;
    (operation.source().address.to_string(), operation.destination().address.to_string())
}

// checks: CMP-023, ERR-007
// checks: REQ-5.4.1
#[tokio::test(start_paused = true)]
async fn a_late_error_is_told_once_and_only_by_the_addressee() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    world.delivered("m1").await;
    let refused = |outcome| matches!(outcome, Outcome::Failure(_));
    assert!(refused(world.late_error("eve@xmpp.example", "a@sip.example", "m1").await));
    assert!(refused(world.late_error("b@xmpp.example", "a@sip.example", "m2").await));
    assert_eq!(world.reversed(), 0);
    assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", "m1").await, DELIVERED);
    assert_eq!((world.reversed(), world.books()), (1, [1, 0, 0, 0, 0]), "it stays counted as delivered");
    let notice = next(&world.sip).await;
    assert_eq!(ends(&notice), ("gateway@gw.example".into(), "a@sip.example".into()));
    assert!(text_of(&notice).contains("b@xmpp.example") && text_of(&notice).contains("item-not-found"));
    notice.settle(DELIVERED);
    assert!(refused(world.late_error("b@xmpp.example", "a@sip.example", "m1").await), "once");
    let trace = world.core.traces().find("m1").unwrap();
    let events: Vec<_> = trace.events.iter().map(|event| &*event.what).collect();
    assert_eq!(events, ["routed", "delivered", "reversed", "telling", "told"]);
    assert_eq!((trace.outcome, trace.decision.unwrap().why().contains("xmpp")), (Some(DELIVERED), true));
    // Its time is over.
    world.delivered("m3").await;
    sleep(Duration::from_secs(601)).await;
    assert!(refused(world.late_error("b@xmpp.example", "a@sip.example", "m3").await));
    assert_eq!((world.reversed(), world.sip.take().len()), (1, 0));
    running.abort();
}

/// Both networks call their domains otherwise than the hub and the other one do.
fn two_names_each(config: &mut interwork::CoreConfig) {
    let mut configuration = (*config.rules.configuration).clone();
    for entry in &mut configuration.domains {
        let shown = Domain::parse_host(&format!("shown-{}", entry.name)).unwrap();
        entry.own_name = Some(std::mem::replace(&mut entry.name, shown));
    }
    config.rules.configuration = Arc::new(configuration);
}

// checks: CMP-023
#[tokio::test(start_paused = true)]
async fn a_late_error_finds_its_message_where_domains_are_shown_under_other_names() {
    let world = tuned(Table::new(0), two_names_each);
    let running = world.run();
    let outcome = world.submit("a@sip.example", "b@shown-xmpp.example", "m1", from_sip());
    let delivery = one(&world.xmpp);
    assert_eq!(ends(&delivery), ("a@shown-sip.example".into(), "b@xmpp.example".into()));
    delivery.settle(DELIVERED);
    assert_eq!(outcome.await, Ok(DELIVERED));
    assert_eq!(world.late_error("b@xmpp.example", "a@shown-sip.example", "m1").await, DELIVERED);
    assert_eq!((world.reversed(), world.books()), (1, [1, 0, 0, 0, 0]));
    let notice = next(&world.sip).await;
    assert_eq!(ends(&notice), ("gateway@gw.example".into(), "a@sip.example".into()));
    assert!(text_of(&notice).contains("b@shown-xmpp.example"), "the name that its sender knows");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_late_error_about_what_was_spooled_is_told_after_a_restart() {
    let first = world(Table::new(0), PLENTY);
    let running = first.run();
    let outcome = first.sip_sends("m1");
    one(&first.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    next(&first.xmpp).await.settle(DELIVERED);
    sleep(Duration::from_secs(1)).await;
    running.abort();
    let store = Arc::new(first.store.reopen().unwrap().0);
    let trace = first.core.traces().find("m1").unwrap().id.to_string();
    let world = world_on(Table::new(0), PLENTY, store, first.clock, Limits::default());
    drop(first);
    let running = world.run();
    assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", "m1").await, DELIVERED);
    next(&world.sip).await.settle(DELIVERED);
    let stored = world.core.trace(&trace).unwrap();
    assert_eq!(world.core.trace("m1").map(|found| found.id), Some(stored.id), "by the id its sender gave it");
    let events: Vec<_> = stored.events.iter().map(|event| &*event.what).collect();
    assert_eq!(events, ["routed", "tried", "spooled", "routed", "delivered", "reversed"], "of both lives");
    assert_eq!(stored.outcome, Some(DELIVERED));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn without_a_spool_a_late_error_is_told_at_once_or_counted() {
    let nothing = Limits { records: 0, ..Limits::default() };
    let world = world_on(Table::new(0), PLENTY, Arc::new(MemoryStore::new()), SteadyClock::start(), nothing);
    let running = world.run();
    for (text, answer, untold) in [("m1", DELIVERED, 0), ("m2", failure(Cause::NotFound).into(), 1)] {
        world.delivered(text).await;
        assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", text).await, DELIVERED);
        next(&world.sip).await.settle(answer);
        assert_eq!(world.books()[3], untold);
    }
    assert_eq!(world.reversed(), 2);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_is_answered_is_told_once_that_his_message_waits() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let (outcome, unasked) = (world.sip_sends("m1"), world.xmpp_sends("m2"));
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    one(&world.sip).settle(failure(Cause::LinkDown));
    assert_eq!((outcome.await, unasked.await), (Ok(Outcome::Indeterminant), Ok(Outcome::Indeterminant)));
    let mut warnings = Vec::new();
    for second in 0..1200 {
        sleep(Duration::from_secs(1)).await;
        world.xmpp.take().into_iter().for_each(|delivery| delivery.settle(failure(Cause::RemoteTimeout)));
        for delivery in world.sip.take() {
            if ends(&delivery).0 == "gateway@gw.example" {
                warnings.push((second, text_of(&delivery)));
                delivery.settle(DELIVERED);
            } else {
                delivery.settle(failure(Cause::LinkDown));
            }
        }
    }
    let [(second, text)] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!((298..=303).contains(second), "{second}");
    assert!(text.contains("b@xmpp.example") && text.contains("waits (remote-server-timeout)"), "{text}");
    assert_eq!(world.books(), [0, 0, 0, 0, 2]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn several_notices_about_a_pair_are_one_text_a_minute_later() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    for text in ["m1", "m2", "m3", "m4"] {
        world.delivered(text).await;
    }
    for text in ["m1", "m2", "m3"] {
        assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", text).await, DELIVERED);
    }
    let first = next(&world.sip).await;
    assert_eq!(text_of(&first).lines().count(), 1);
    first.settle(DELIVERED);
    sleep(Duration::from_secs(50)).await;
    assert!(world.sip.take().is_empty(), "not within a minute");
    sleep(Duration::from_secs(11)).await;
    let summary = one(&world.sip);
    assert_eq!(text_of(&summary).lines().count(), 2);
    // One that fails takes the others along, and each counts.
    summary.settle(failure(Cause::Forbidden));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.books()[3], world.core.ledger().counts().entries), (2, 0));
    assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", "m4").await, DELIVERED);
    sleep(Duration::from_secs(50)).await;
    assert!(world.sip.take().is_empty(), "a minute after the summary");
    sleep(Duration::from_secs(10)).await;
    one(&world.sip).settle(DELIVERED);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn with_notices_off_nobody_is_told_and_all_of_it_counted() {
    let world = tuned(Table::new(0), |config| config.delivery.notice = false);
    let running = world.run();
    world.delivered("m1").await;
    assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", "m1").await, DELIVERED);
    let outcome = world.sip_sends("m2");
    one(&world.xmpp).settle(failure(Cause::RemoteTimeout));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    for _ in 0..400 {
        sleep(Duration::from_secs(1)).await;
        world.xmpp.take().into_iter().for_each(|delivery| delivery.settle(failure(Cause::LinkDown)));
    }
    assert_eq!(world.books(), [1, 0, 0, 1, 1], "that it waits is no failure");
    let entry = world.core.ledger().list(None, 9)[0].seq;
    world.core.give_up(entry).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.books(), [1, 1, 0, 2, 0]);
    assert!(world.sip.take().is_empty());
    running.abort();
}

// checks: CMP-064, XEX-005
#[tokio::test(start_paused = true)]
async fn xep0334_s4_3_what_is_not_to_be_kept_fails_instead() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let mut operation = message("a@sip.example", "b@xmpp.example", "m1");
    if let Operation::Message(message) = &mut operation {
        message.message.hints.no_store = true;
    }
    let (settle, outcome) = settle_channel();
    world.core.submit(operation, from_sip(), settle);
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(failure(Cause::LinkDown).into()));
    assert_eq!(world.books(), [0, 1, 0, 0, 0]);
    running.abort();
}

fn asking(id: &str, receipts: Receipts) -> Operation {
    let mut operation = message("a@sip.example", "b@xmpp.example", id);
    if let Operation::Message(message) = &mut operation {
        message.message.receipts = receipts;
    }
    operation
}

impl World {
    /// What a SIP sender who wants word sends, and what its server says.
    async fn asks(&self, id: &str, said: impl Into<Outcome>) -> Outcome {
        let (settle, outcome) = settle_channel();
        let receipts = Receipts { delivery: true, display: true, failure: true, processing: true };
        self.core.submit(asking(id, receipts), from_sip(), settle);
        one(&self.xmpp).settle(said);
        outcome.await.unwrap()
    }

    /// The addressee's own word.
    async fn says(&self, id: &str, disposition: Disposition) -> Outcome {
        let end = |text: &str| Endpoint::bare(Address::parse_bare(text).unwrap());
        let word = DispositionOperation {
            source: end("b@xmpp.example"),
            destination: end("a@sip.example"),
            max_forwards: MaxForwards::INITIAL,
            message_id: Some(id.into()),
            trans_id: "word".into(),
            accepted: DateTime::from_epoch(0, 0).unwrap(),
            disposition,
            and_earlier: false,
            return_path: None,
        };
        let (settle, outcome) = settle_channel();
        self.core.submit(Operation::Disposition(Box::new(word)), from_xmpp(), settle);
        tokio::task::yield_now().await;
        for delivery in self.sip.take() {
            delivery.settle(DELIVERED);
        }
        outcome.await.unwrap()
    }
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failure(_))
}

// checks: IMDN-007, CMP-023
#[tokio::test(start_paused = true)]
async fn rfc5438_s12_1_3_1_no_word_comes_after_a_refusal_and_none_of_failure_after_the_addressees_own() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    assert!(is_refused(&world.asks("m1", failure(Cause::NotFound)).await));
    assert!(is_refused(&world.late_error("b@xmpp.example", "a@sip.example", "m1").await), "a second device's error");
    assert_eq!(world.says("m1", Disposition::Delivered).await, Outcome::HandedOver, "nobody waits for it");
    assert_eq!(world.asks("m2", DELIVERED).await, DELIVERED);
    assert_eq!(world.says("m2", Disposition::Delivered).await, DELIVERED);
    assert!(is_refused(&world.late_error("b@xmpp.example", "a@sip.example", "m2").await), "it has the message");
    assert_eq!((world.reversed(), world.sip.take().len()), (0, 0));
    running.abort();
}

// checks: IMDN-003, IMDN-012
#[tokio::test(start_paused = true)]
async fn what_a_stranger_sends_under_the_senders_name_takes_no_word_from_the_sender() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    assert_eq!(world.asks("m1", DELIVERED).await, DELIVERED);
    let (settle, outcome) = settle_channel();
    world.core.submit(asking("m1", Receipts::default()), from_xmpp(), settle);
    assert!(is_refused(&outcome.await.unwrap()), "it speaks for another domain");
    assert_eq!(world.says("m1", Disposition::Displayed).await, DELIVERED);
    running.abort();
}

// checks: IMDN-008, IMDN-009, CMP-027, IM-014, MSG-004
#[tokio::test(start_paused = true)]
async fn rfc5438_s12_2_the_gateway_makes_no_word_of_its_own_of_an_acceptance() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    for (id, proof) in [("m1", Proof::Server), ("m2", Proof::Recipient)] {
        let delivered = Outcome::Success(proof);
        assert_eq!(world.asks(id, delivered.clone()).await, delivered);
    }
    let (settle, outcome) = settle_channel();
    let all = Receipts { delivery: true, display: true, failure: true, processing: true };
    world.core.submit(asking("m3", all), from_sip(), settle);
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant), "spooled");
    next(&world.xmpp).await.settle(DELIVERED);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.sip.take().len(), 0, "no report of delivery, none of processing");
    assert_eq!(world.says("m3", Disposition::Delivered).await, DELIVERED, "only what the addressee says is passed on");
    running.abort();
}

// checks: CMP-070, CMP-073, AMB-10, IM-050
#[tokio::test(start_paused = true)]
async fn what_only_the_addressee_can_read_goes_only_where_its_scheme_is_known() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    for (scheme, from, to, taken) in [
        ("urn:example:seal", "a@sip.example", "b@xmpp.example", true),
        ("urn:example:other", "a@sip.example", "b@xmpp.example", false),
        ("urn:example:seal", "b@xmpp.example", "a@sip.example", false),
    ] {
        let mut operation = message(from, to, scheme);
        if let Operation::Message(message) = &mut operation {
            let payload = message.message.content.clone();
            message.message.sealed = Some(Sealed { scheme: scheme.into(), name: None, payload });
        }
        let (settle, outcome) = settle_channel();
        let provenance = if from.ends_with("sip.example") { from_sip() } else { from_xmpp() };
        world.core.submit(operation, provenance, settle);
        if taken {
            one(&world.xmpp).settle(DELIVERED);
            assert_eq!(outcome.await, Ok(DELIVERED));
        } else {
            let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("{scheme} {from}") };
            assert_eq!(failure.cause, Cause::NotAcceptable);
        }
    }
    assert_eq!((world.sip.take().len(), world.xmpp.take().len()), (0, 0));
    running.abort();
}

// checks: CMP-023
#[tokio::test(start_paused = true)]
async fn a_notice_outlives_its_turn_however_soon_messages_expire() {
    let world = tuned(Table::new(0), |config| config.delivery.expiry = Duration::from_secs(5));
    let running = world.run();
    for text in ["m1", "m2"] {
        world.delivered(text).await;
        assert_eq!(world.late_error("b@xmpp.example", "a@sip.example", text).await, DELIVERED);
    }
    next(&world.sip).await.settle(DELIVERED);
    sleep(Duration::from_secs(61)).await;
    one(&world.sip).settle(failure(Cause::LinkDown));
    sleep(Duration::from_secs(30)).await;
    one(&world.sip).settle(DELIVERED);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.books()[3], world.core.ledger().counts().entries), (0, 0));
    running.abort();
}

// checks: CMP-023
#[tokio::test(start_paused = true)]
async fn a_notice_that_waits_for_its_turn_holds_none_about_another_addressee() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    for (to, text) in [("b", "m1"), ("b", "m2"), ("c", "m3")] {
        let outcome = world.submit("a@sip.example", &format!("{to}@xmpp.example"), text, from_sip());
        one(&world.xmpp).settle(DELIVERED);
        assert_eq!(outcome.await, Ok(DELIVERED));
        assert_eq!(world.late_error(&format!("{to}@xmpp.example"), "a@sip.example", text).await, DELIVERED);
        if text != "m2" {
            let notice = next(&world.sip).await;
            assert!(text_of(&notice).contains(&format!("{to}@xmpp.example")));
            notice.settle(DELIVERED);
        }
    }
    assert_eq!(world.core.ledger().counts().entries, 1, "the second about b waits");
    sleep(Duration::from_secs(60)).await;
    one(&world.sip).settle(DELIVERED);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn no_warning_is_given_of_what_has_ended() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("m1");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    let warning = loop {
        sleep(Duration::from_secs(1)).await;
        world.xmpp.take().into_iter().for_each(|delivery| delivery.settle(failure(Cause::LinkDown)));
        if let Some(warning) = world.sip.take().pop() {
            break warning;
        }
    };
    warning.settle(failure(Cause::LinkDown));
    let entry = world.core.ledger().list(None, 9)[0].seq;
    world.core.retry(entry).unwrap();
    next(&world.xmpp).await.settle(DELIVERED);
    sleep(Duration::from_secs(600)).await;
    assert!(world.sip.take().is_empty(), "it does not wait any longer");
    assert_eq!((world.books(), world.core.ledger().counts().entries), ([1, 0, 0, 0, 0], 0));
    running.abort();
}

// checks: CMP-064
#[tokio::test(start_paused = true)]
async fn what_is_worth_nothing_later_or_not_to_be_kept_does_not_stand_behind_what_waits() {
    let world = world(Table::new(0), PLENTY);
    let running = world.run();
    let outcome = world.sip_sends("m1");
    one(&world.xmpp).settle(failure(Cause::LinkDown));
    assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    let end = |text: &str| Endpoint::bare(Address::parse_bare(text).unwrap());
    let state = ComposingOperation {
        source: end("a@sip.example"),
        destination: end("b@xmpp.example"),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "state".into(),
        thread: None,
        state: ComposingState::Composing,
        refresh: None,
        content_type: None,
    };
    let (settle, outcome) = settle_channel();
    world.core.submit(Operation::Composing(Box::new(state)), from_sip(), settle);
    assert_eq!(outcome.await, Ok(Outcome::HandedOver));
    let mut operation = message("a@sip.example", "b@xmpp.example", "m2");
    if let Operation::Message(message) = &mut operation {
        message.message.hints.no_store = true;
    }
    let (settle, outcome) = settle_channel();
    world.core.submit(operation, from_sip(), settle);
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!() };
    assert_eq!(failure.cause, Cause::RecipientUnavailable);
    assert_eq!(world.books(), [0, 0, 0, 0, 1]);
    running.abort();
}

fn composing(state: ComposingState) -> Operation {
    let end = |address: &str| Endpoint::bare(address.parse().unwrap());
    Operation::Composing(Box::new(ComposingOperation {
        source: end("a@sip.example"),
        destination: end("b@xmpp.example"),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "c".into(),
        thread: None,
        state,
        refresh: None,
        content_type: None,
    }))
}

fn state_of(delivery: &Delivery) -> ComposingState {
    let Operation::Composing(told) = &*delivery.operation else { panic!("{:?}", delivery.operation) };
    told.state
}

// checks: ISC-003, CMP-003
#[tokio::test(start_paused = true)]
async fn rfc3994_s3_3_who_composed_when_the_gateway_was_killed_is_told_to_have_stopped() {
    let mut lives = world(Table::new(0), PLENTY);
    // Told that he composes; that he stopped; that he composes, and sent his message: only the first is left behind.
    for (states, message, left) in [
        (vec![ComposingState::Composing], false, true),
        (vec![ComposingState::Composing, ComposingState::Paused], false, false),
        (vec![ComposingState::Composing], true, false),
    ] {
        let running = lives.run();
        for state in states {
            lives.core.submit(composing(state), from_sip(), settle_channel().0);
            next(&lives.xmpp).await.settle(Outcome::HandedOver);
        }
        if message {
            let outcome = lives.sip_sends("done");
            next(&lives.xmpp).await.settle(DELIVERED);
            assert_eq!(outcome.await, Ok(DELIVERED));
        }
        sleep(Duration::from_secs(1)).await;
        running.abort();
        let store = Arc::new(lives.store.reopen().unwrap().0);
        lives = world_on(Table::new(0), PLENTY, store, lives.clock, Limits::default());
        let running = lives.run();
        if left {
            // Its link is not up at once.
            next(&lives.xmpp).await.settle(failure(Cause::LinkDown));
            let ended = next(&lives.xmpp).await;
            assert_eq!(state_of(&ended), ComposingState::Active);
            ended.settle(Outcome::HandedOver);
        }
        sleep(Duration::from_secs(60)).await;
        assert!(lives.xmpp.take().is_empty(), "nothing is left");
        assert_eq!(lives.books()[1..], [0, 0, 0, 0]);
        running.abort();
    }
}
