//! What is on disk before it is settled, words that are owed, proofs of peers.

use crate::gate::{Gate, Raw, hello, submit};
use adapter_api::model::{Cause, Disposition, DispositionOperation, Endpoint, Failure, MaxForwards, Operation, Side};
use adapter_external::mapping;
use adapter_external::wire::{self, from_adapter::Frame, from_gateway, operation};

fn word(to: &str) -> wire::Disposition {
    let end = |text: &str| Endpoint::bare(text.parse().unwrap());
    let word = Operation::Disposition(Box::new(DispositionOperation {
        source: end("juliet@kit.example"),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        message_id: Some("m1".into()),
        trans_id: "m1".into(),
        accepted: "2026-11-23T12:00:00Z".parse().unwrap(),
        disposition: Disposition::Failed(Box::new(Failure::new(Side::Far, Cause::NotFound))),
        and_earlier: false,
        return_path: None,
    }));
    match mapping::write_operation(&word).and_then(|word| word.operation) {
        Some(operation::Operation::Disposition(word)) => word,
        other => panic!("{other:?}"),
    }
}

fn owe(to: &str) -> Frame {
    Frame::Owe(wire::Owe { word: Some(word(to)), repeat: true })
}

async fn begin() -> (Gate, Raw) {
    let gate = Gate::open().await;
    let mut raw = gate.dial().await;
    raw.welcome(hello()).await;
    (gate, raw)
}

#[tokio::test]
async fn a_submission_is_safe_before_it_is_settled() {
    let (mut gate, mut raw) = begin().await;
    gate.hub.answers(None);
    raw.send(1, submit("user@raw.example", "in-1")).await;
    raw.send(2, Frame::Commit(wire::Commit {})).await;
    gate.hub.commits(1).await;
    let settle = gate.submitted.recv().await.unwrap().settle.unwrap();
    settle.keeper().kept();
    assert_eq!(raw.numbered().await.1, from_gateway::Frame::Safe(wire::Safe { of: 1 }));
    settle.settle(Failure::new(Side::Far, Cause::NotFound));
    let (_, from_gateway::Frame::Settled(settled)) = raw.numbered().await else { panic!("not settled") };
    assert_eq!(settled.of, 1);
    gate.stop().await;
}

#[tokio::test]
async fn word_of_a_failure_is_taken_over_for_those_whom_the_adapter_serves() {
    let (gate, mut raw) = begin().await;
    raw.send(1, owe("user@raw.example")).await;
    assert_eq!(
        raw.numbered().await.1,
        from_gateway::Frame::Kept(wire::Kept { of: 1, durable: true, refused: String::new() })
    );
    let owed = gate.hub.owed();
    let addressees: Vec<_> = owed.iter().map(|owed| owed.word.destination.address.to_string()).collect();
    assert_eq!(addressees, ["user@raw.example"]);
    assert_eq!(owed[0].word.disposition.failure().map(|failure| failure.cause), Some(Cause::NotFound));
    raw.send(2, owe("user@other.example")).await;
    assert_eq!(raw.goodbye().await, "malformed");
    assert_eq!(gate.hub.owed().len(), 1);
    gate.stop().await;
}

#[tokio::test]
async fn what_is_no_failure_is_owed_to_nobody() {
    let (gate, mut raw) = begin().await;
    let read = wire::Disposition { disposition: "displayed".to_owned(), failure: None, ..word("user@raw.example") };
    raw.send(1, Frame::Owe(wire::Owe { word: Some(read), repeat: false })).await;
    assert_eq!(raw.goodbye().await, "malformed");
    gate.stop().await;
}

#[tokio::test]
async fn proofs_of_peers_reach_the_hub_and_never_a_user() {
    let (gate, mut raw) = begin().await;
    let proven = |name: &str| {
        let [name, proof, protection] = [name, "certificate", "TLS 1.3"].map(str::to_owned);
        Frame::Proven(wire::Proven { name, proof, protection })
    };
    raw.send(1, proven("peer.example")).await;
    raw.send(2, proven("user@peer.example")).await;
    assert_eq!(raw.goodbye().await, "malformed");
    assert_eq!(gate.hub.proofs(), [["peer.example", "certificate", "TLS 1.3"].map(str::to_owned)]);
    gate.stop().await;
}
