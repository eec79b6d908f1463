//! Broken connections, restarts and the end: nothing lost, nothing twice.

use crate::gate::{Gate, PATIENCE, Raw, body_of, hello, settled, submit};
use adapter_api::Adapter;
use adapter_api::model::{Cause, Operation, Outcome};
use adapter_external::wire::{self, from_adapter::Frame, from_gateway};
use std::time::Duration;

async fn resume(gate: &Gate, session: &str, received: u64) -> (Raw, wire::Welcome) {
    let mut raw = gate.dial().await;
    let said = wire::Hello { resume: Some(wire::Resume { session: session.to_owned(), received }), ..hello() };
    let welcome = raw.welcome(said).await;
    (raw, welcome)
}

#[tokio::test]
async fn a_session_goes_on_over_another_connection_without_loss_or_duplicate() {
    let mut gate = Gate::open().await;
    let mut raw = gate.dial().await;
    let welcome = raw.welcome(hello()).await;
    let first = gate.deliver("one", PATIENCE);
    let second = gate.deliver("two", PATIENCE);
    let (number, frame) = raw.numbered().await;
    assert_eq!((number, body_of(&frame)), (1, "one".to_owned()));
    raw.send(1, submit("user@raw.example", "in-1")).await;
    raw.send(2, submit("user@raw.example", "in-2")).await;
    for _ in 0..2 {
        gate.submitted.recv().await.unwrap();
    }
    // The connection breaks: the adapter has the first delivery, the gateway both submissions.
    drop(raw);
    let third = gate.deliver("three", PATIENCE);
    let (mut raw, again) = resume(&gate, &welcome.session, 1).await;
    assert!(again.resumed && again.session == welcome.session && again.received == 2, "{again:?}");
    // A frame that the gateway has taken counts once.
    raw.send(2, submit("user@raw.example", "in-2")).await;
    raw.send(3, settled(1)).await;
    raw.send(4, submit("user@raw.example", "in-3")).await;
    let Operation::Message(message) = gate.submitted.recv().await.unwrap().operation else { panic!("a message") };
    assert_eq!(message.message.content.as_text(), Some("in-3"));
    assert!(matches!(first.await, Ok(Outcome::Success(_))));
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let (number, frame) = raw.numbered().await;
        if let from_gateway::Frame::Deliver(_) = &frame {
            bodies.push(body_of(&frame));
            raw.send(4 + bodies.len() as u64, settled(number)).await;
        }
    }
    assert_eq!(bodies, ["two", "three"]);
    for outcome in [second, third] {
        assert!(matches!(outcome.await, Ok(Outcome::Success(_))));
    }
    gate.stop().await;
}

#[tokio::test]
async fn another_process_begins_anew_and_what_was_under_way_is_unconfirmed() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    let welcome = raw.welcome(hello()).await;
    let written = gate.deliver("written", PATIENCE);
    raw.numbered().await;
    // What the adapter keeps it finds again.
    raw.send(1, Frame::Keep(wire::Keep { key: "k".into(), value: Some("v".into()) })).await;
    let (_, kept) = raw.numbered().await;
    assert_eq!(kept, from_gateway::Frame::Kept(wire::Kept { of: 1, durable: true, refused: String::new() }));
    drop(raw);
    let (_raw, other) = {
        let mut raw = gate.dial().await;
        // The gateway may not know yet that the old connection is gone.
        let welcome = loop {
            match raw.hello(hello()).await {
                from_gateway::Frame::Welcome(welcome) => break welcome,
                other => assert!(matches!(&other, from_gateway::Frame::Goodbye(goodbye) if goodbye.reason == "busy")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        (raw, welcome)
    };
    assert!(!other.resumed && other.session != welcome.session);
    assert_eq!(other.records, [wire::Record { key: "k".into(), value: "v".into() }]);
    let Ok(Outcome::Failure(failure)) = written.await else { panic!("a failure") };
    assert_eq!(failure.cause, Cause::Unconfirmed);
    gate.stop().await;
}

#[tokio::test]
async fn who_asks_for_a_session_that_is_over_finds_what_was_kept() {
    let gate = Gate::open_with(|config| config.resume_within = Duration::from_millis(50)).await;
    let mut raw = gate.dial().await;
    let welcome = raw.welcome(hello()).await;
    raw.send(1, Frame::Keep(wire::Keep { key: "k".into(), value: Some("v".into()) })).await;
    raw.numbered().await;
    drop(raw);
    while !gate
        .deliver("is it over?", PATIENCE)
        .await
        .is_ok_and(|outcome| matches!(outcome, Outcome::Failure(failure) if failure.cause == Cause::LinkDown))
    {}
    let (mut raw, other) = resume(&gate, &welcome.session, 1).await;
    assert!(!other.resumed && other.session != welcome.session);
    assert_eq!(other.records, [wire::Record { key: "k".into(), value: "v".into() }]);
    // They count still.
    raw.send(1, Frame::Keep(wire::Keep { key: "k".into(), value: None })).await;
    raw.numbered().await;
    gate.stop().await;
}

#[tokio::test]
async fn without_an_adapter_messages_stay_with_the_hub() {
    let gate = Gate::open_with(|config| config.resume_within = Duration::from_millis(50)).await;
    let Ok(Outcome::Failure(failure)) = gate.deliver("nobody", PATIENCE).await else { panic!("a failure") };
    assert_eq!(failure.cause, Cause::LinkDown);
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    drop(raw);
    // Nobody resumes: then it is as before.
    let waiting = gate.deliver("waits for a while", PATIENCE);
    let Ok(Outcome::Failure(failure)) = waiting.await else { panic!("a failure") };
    assert!([Cause::LinkDown, Cause::Unconfirmed].contains(&failure.cause));
    gate.stop().await;
}

#[tokio::test]
async fn the_end_lets_the_adapter_settle_what_it_has() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    let outcome = gate.deliver("last", PATIENCE);
    raw.numbered().await;
    gate.begin_stop();
    while !matches!(raw.next().await.unwrap().frame, Some(from_gateway::Frame::Drain(_))) {}
    raw.send(1, settled(1)).await;
    assert!(matches!(outcome.await, Ok(Outcome::Success(_))));
    assert_eq!(raw.goodbye().await, "shutdown");
    let Ok(Outcome::Failure(failure)) = gate.deliver("too late", PATIENCE).await else { panic!("a failure") };
    assert_eq!(failure.cause, Cause::ShuttingDown);
    let socket = gate.socket();
    gate.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_question_is_answered_by_the_adapter_or_said_to_be_open() {
    let gate = Gate::open().await;
    let probe = || adapter_api::Examine::Probe {
        domain: "raw.example".parse().unwrap(),
        source: "gw.example".parse().unwrap(),
        hop: std::sync::Arc::new(adapter_api::Hop::Link),
    };
    assert_eq!(gate.adapter.examine(probe()).await.findings[0].what, "adapter");
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    let answering = async {
        loop {
            let Some(from_gateway::Frame::Examine(question)) = raw.next().await.unwrap().frame else { continue };
            let findings = vec![wire::Finding { what: "answers".to_owned(), value: "yes".to_owned() }];
            raw.send(0, Frame::Findings(wire::Findings { id: question.id, findings, ..Default::default() })).await;
            return;
        }
    };
    let (found, ()) = tokio::join!(gate.adapter.examine(probe()), answering);
    assert_eq!((found.findings[0].what.as_str(), found.findings[0].value.as_str()), ("answers", "yes"));
    gate.stop().await;
}
