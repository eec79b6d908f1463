//! Wrong hellos, frames that make no sense, floods: each refused or cut with its reason, and what was under way settled.

use crate::gate::{Gate, PATIENCE, hello, settled, submit};
use adapter_api::model::{Address, Cause, Operation, Outcome};
use adapter_api::{Adapter, SpeaksFor, settle_channel};
use adapter_external::wire::{self, from_adapter::Frame, from_gateway};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

async fn refusal(change: impl FnOnce(&mut wire::Hello)) -> String {
    let gate = Gate::open().await;
    let mut said = hello();
    change(&mut said);
    let from_gateway::Frame::Goodbye(goodbye) = gate.dial().await.hello(said).await else { panic!("welcome") };
    gate.stop().await;
    goodbye.reason
}

#[tokio::test]
async fn a_wrong_hello_is_refused_with_its_reason() {
    assert_eq!(refusal(|hello| hello.version = 2).await, "version");
    assert_eq!(refusal(|hello| hello.instance = "other".to_owned()).await, "instance");
    assert_eq!(refusal(|hello| hello.domains = vec!["bank.example".to_owned()]).await, "domains");
    assert_eq!(refusal(|hello| hello.domains.push("..".to_owned())).await, "domains");
    assert_eq!(refusal(|hello| hello.domains.clear()).await, "domains");
    assert_eq!(refusal(|hello| hello.capabilities.as_mut().unwrap().kinds.push(4)).await, "capabilities");
    assert_eq!(refusal(|hello| hello.capabilities.as_mut().unwrap().kinds.push(99)).await, "malformed");
    assert_eq!(refusal(|hello| hello.capabilities = None).await, "malformed");
}

/// What a welcomed adapter is cut for when it sends these frames, with a delivery under way.
async fn cut(frames: Vec<(u64, Frame)>) -> String {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    let outcome = gate.deliver("under way", PATIENCE);
    assert_eq!(raw.numbered().await.0, 1);
    let sending = async {
        for (number, frame) in frames {
            raw.send(number, frame).await;
        }
    };
    sending.await;
    let reason = raw.goodbye().await;
    // It was written, so it may have arrived; nobody waits for it any longer.
    let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("a failure") };
    assert_eq!(failure.cause, Cause::Unconfirmed);
    // Another one is served as ever.
    let mut next = gate.dial().await;
    assert!(!next.welcome(hello()).await.resumed);
    gate.stop().await;
    reason
}

#[tokio::test]
async fn frames_that_make_no_sense_cut_the_stream() {
    let peer = |name: &str| Frame::Peer(wire::Peer { name: name.to_owned(), up: true });
    assert_eq!(cut(vec![(1, settled(2))]).await, "unsolicited");
    assert_eq!(cut(vec![(0, Frame::Received(wire::Received { number: 9, allowed: 9 }))]).await, "unsolicited");
    assert_eq!(cut(vec![(0, Frame::Hello(hello()))]).await, "malformed");
    assert_eq!(cut(vec![(0, settled(1))]).await, "malformed");
    assert_eq!(cut(vec![(7, submit("user@raw.example", "gap"))]).await, "malformed");
    assert_eq!(cut(vec![(1, peer("user@raw.example"))]).await, "malformed");
    assert_eq!(cut(vec![(1, Frame::Settled(wire::Settled { of: 1, outcome: None }))]).await, "malformed");
    assert_eq!(cut(vec![(2000, peer("raw.example"))]).await, "flood");
    let large = Frame::Keep(wire::Keep { key: vec![0; 2 * 1024 * 1024].into(), value: None });
    assert_eq!(cut(vec![(1, large)]).await, "frame-too-large");
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_unsolicited() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    let outcome = gate.deliver("once", PATIENCE);
    assert_eq!(raw.numbered().await.0, 1);
    raw.send(1, settled(1)).await;
    assert!(matches!(outcome.await, Ok(Outcome::Success(_))));
    raw.send(2, settled(1)).await;
    assert_eq!(raw.goodbye().await, "unsolicited");
    gate.stop().await;
}

#[tokio::test]
async fn a_second_adapter_is_refused_while_one_is_connected_and_a_mute_one_at_all_times() {
    let gate = Gate::open().await;
    let mut first = gate.dial().await;
    first.welcome(hello()).await;
    let from_gateway::Frame::Goodbye(goodbye) = gate.dial().await.hello(hello()).await else { panic!("welcome") };
    assert_eq!(goodbye.reason, "busy");
    // The first is as it was.
    let outcome = gate.deliver("still there", PATIENCE);
    assert_eq!(first.numbered().await.0, 1);
    first.send(1, settled(1)).await;
    assert!(matches!(outcome.await, Ok(Outcome::Success(_))));
    gate.stop().await;
}

#[tokio::test]
async fn whoever_is_silent_for_three_heartbeats_is_cut() {
    let gate = Gate::open_with(|config| config.heartbeat = Duration::from_millis(100)).await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    assert_eq!(raw.goodbye().await, "silent");
    gate.stop().await;
}

#[tokio::test]
async fn a_source_is_spoken_for_only_within_the_claimed_domains() {
    let mut gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    raw.send(1, submit("ceo@bank.example", "forged")).await;
    let submitted = gate.submitted.recv().await.unwrap();
    assert_eq!(submitted.operation.source().address, "ceo@bank.example".parse::<Address>().unwrap());
    let SpeaksFor::Domains(domains) = &submitted.provenance.speaks_for else { panic!("domains") };
    assert_eq!(domains.iter().map(ToString::to_string).collect::<Vec<_>>(), ["raw.example"]);
    // An operation that can't be read is refused, and costs nothing else.
    raw.send(2, Frame::Submit(wire::Submit { operation: None, peer: String::new() })).await;
    assert_eq!(raw.numbered().await.0, 1);
    let (number, frame) = raw.numbered().await;
    let from_gateway::Frame::Settled(wire::Settled { of: 2, outcome: Some(outcome) }) = frame else {
        panic!("{frame:?}")
    };
    assert!(
        matches!(outcome.outcome, Some(wire::outcome::Outcome::Failure(failure)) if failure.cause == "bad-request")
    );
    assert_eq!(number, 2);
    gate.stop().await;
}

#[tokio::test]
async fn an_adapter_that_takes_nothing_is_back_pressure_and_then_unconfirmed() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    let mut outcomes = Vec::new();
    let full = loop {
        let (settle, outcome) = settle_channel();
        match gate.adapter.deliver(crate::gate::delivery("more", Duration::from_millis(200), settle)) {
            Ok(()) => outcomes.push(outcome),
            Err(full) => break full,
        }
        assert!(outcomes.len() <= 4096);
    };
    assert!(matches!(&*full.0.operation, Operation::Message(_)));
    drop(full);
    for outcome in outcomes {
        let Ok(Outcome::Failure(failure)) = outcome.await else { panic!("a failure") };
        // Beyond the window nothing was written: those did not arrive for certain.
        assert!([Cause::Unconfirmed, Cause::LinkDown].contains(&failure.cause), "{failure}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn records_beyond_the_bound_are_refused_with_a_reason_and_nothing_else_ends() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    let value = vec![0; 256 * 1024];
    let keep = |key: u8, value: Option<Vec<u8>>| {
        Frame::Keep(wire::Keep { key: vec![key].into(), value: value.map(Into::into) })
    };
    let mut answers = Vec::new();
    for number in 1..=33 {
        raw.send(number, keep(u8::try_from(number).unwrap(), Some(value.clone()))).await;
        let from_gateway::Frame::Kept(kept) = raw.numbered().await.1 else { panic!("an answer") };
        assert_eq!((kept.of, kept.durable), (number, kept.refused.is_empty()));
        answers.push(kept.refused);
    }
    assert_eq!(answers.iter().filter(|refused| refused.is_empty()).count(), 31);
    assert!(answers.ends_with(&["records-too-large".to_owned(), "records-too-large".to_owned()]));
    // One that goes makes room.
    raw.send(34, keep(1, None)).await;
    raw.send(35, keep(40, Some(value))).await;
    for _ in 0..2 {
        let from_gateway::Frame::Kept(kept) = raw.numbered().await.1 else { panic!("an answer") };
        assert!(kept.durable, "{kept:?}");
    }
    drop(raw);
    // All of it comes back in one welcome.
    let mut next = gate.dial().await;
    let welcome = loop {
        match next.hello(hello()).await {
            from_gateway::Frame::Welcome(welcome) => break welcome,
            from_gateway::Frame::Goodbye(goodbye) => assert_eq!(goodbye.reason, "busy"),
            other => panic!("{other:?}"),
        }
        next = gate.dial().await;
    };
    assert_eq!(welcome.records.len(), 31);
    gate.stop().await;
}

#[tokio::test]
async fn frames_that_move_nothing_on_are_a_flood_when_they_do_not_end() {
    let beat = || (0, Frame::Beat(wire::Beat {}));
    assert_eq!(cut(std::iter::repeat_with(beat).take(5000).collect()).await, "flood");
    let receipt = || (0, Frame::Received(wire::Received { number: 0, allowed: 1 }));
    assert_eq!(cut(std::iter::repeat_with(receipt).take(5000).collect()).await, "flood");
}

#[tokio::test]
async fn who_tells_of_many_peers_at_once_waits_and_is_not_cut() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    let mut allowed = raw.welcome(hello()).await.allowed;
    let mut number = 0;
    // More than `MAX_SIGNALS` are taken when so many are allowed.
    while number < 6_000 {
        while number < allowed.min(6_000) {
            number += 1;
            raw.send(number, Frame::Peer(wire::Peer { name: format!("p{number}.raw.example"), up: true })).await;
        }
        match raw.next().await.unwrap().frame.unwrap() {
            from_gateway::Frame::Received(received) => allowed = received.allowed,
            from_gateway::Frame::Goodbye(goodbye) => panic!("cut: {}", goodbye.reason),
            _ => {}
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn whoever_submits_without_end_and_takes_no_answer_is_cut() {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    let mut allowed = raw.welcome(hello()).await.allowed;
    let mut number = 0;
    let reason = loop {
        while number < allowed {
            number += 1;
            raw.send(number, submit("user@raw.example", "more")).await;
        }
        match raw.next().await.unwrap().frame.unwrap() {
            // Answers come as far as this one allows, and are never acknowledged.
            from_gateway::Frame::Received(received) => allowed = received.allowed,
            from_gateway::Frame::Goodbye(goodbye) => break goodbye.reason,
            _ => {}
        }
    };
    assert_eq!(reason, "flood");
    assert!(!gate.dial().await.welcome(hello()).await.resumed);
    gate.stop().await;
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_stream_are_bounded_and_end() {
    let gate = Gate::open().await;
    let mut idle = Vec::new();
    while idle.len() < 16 {
        match UnixStream::connect(gate.socket()).await {
            Ok(stream) => idle.push(stream),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    let mut more = UnixStream::connect(gate.socket()).await.unwrap();
    assert_eq!(more.read(&mut [0; 64]).await.unwrap_or(0), 0, "refused at once");
    // Nobody says anything: each ends in time, and there is room again.
    for mut stream in idle {
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets).await;
    }
    gate.stop().await;
}
