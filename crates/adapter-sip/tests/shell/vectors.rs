//! The shared end-to-end vectors, as far as their stimuli are SIP: what is handed in, and what is answered.

use crate::kit::{Gateway, Peer, Wire, status, text};
use impp_model::{MessageOperation, Outcome, Proof};
use serde_json::Value;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;

/// What another part of the gateway decides, or a later version brings.
const ELSEWHERE: &[(&str, &str)] = &[
    ("IMS-23", "routing is the hub's"),
    ("IMS-31", "proof of the source is the hub's"),
    ("SPL-01", "Allow-Events is for gateways that carry presence: tests/conformance"),
    ("SPL-09", "see rfc3261_s18_1_2_what_answers_nothing_is_dropped"),
    ("SPL-11", "judged in virtual time by sip-proto"),
    ("SPL-12", "see rfc3261_s18_2_2_over_tcp_the_answer_comes_on_the_same_connection"),
];

fn tests(suite: &str) -> Vec<Value> {
    let path = format!("{}/../../tests/vectors/interwork/{suite}.json", env!("CARGO_MANIFEST_DIR"));
    let mut suite: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let tests = suite["tests"].as_array_mut().unwrap();
    tests.retain(|test| {
        let sip = |stimulus: &Value| stimulus["proto"] == "sip" && stimulus["raw"].is_string();
        test["stimulus"].as_array().unwrap().iter().all(sip) && !ELSEWHERE.iter().any(|(id, _)| test["id"] == *id)
    });
    std::mem::take(tests)
}

/// Runs one test; gives what was handed in and what was answered.
async fn run(test: &Value) -> (Vec<MessageOperation>, Vec<Message>) {
    let mut gateway = Gateway::start().await;
    let (peer, mut wire) = (Peer::bind().await, Wire::connect(gateway.tcp).await);
    let (mut operations, mut answers) = (Vec::new(), Vec::new());
    let expected = test["expect"].as_array().unwrap();
    let handed_in = expected.iter().any(|expect| expect["what"] == "stanza");
    for (index, stimulus) in test["stimulus"].as_array().unwrap().iter().enumerate() {
        let raw = stimulus["raw"].as_str().unwrap();
        let udp = raw.contains("SIP/2.0/UDP");
        if udp {
            // So that the answer finds this socket, whatever the vector's sent-by.
            peer.send(gateway.udp, &raw.replacen(";branch", ";rport;branch", 1).replacen(";rport;rport", ";rport", 1))
                .await;
        } else {
            wire.send(raw).await;
        }
        if handed_in && index == 0 {
            let submitted = gateway.next().await;
            submitted.settle.settle(Outcome::Success(Proof::Server));
            operations.push(submitted.operation);
        }
        answers.push(if udp { peer.receive().await } else { wire.receive().await });
    }
    assert!(gateway.is_quiet(), "{}", test["id"]);
    (operations, answers)
}

/// `/re/` stands for a part of the value; the few expressions in use need no more.
fn matches(pattern: &str, value: &str) -> bool {
    match pattern.strip_prefix('/').and_then(|pattern| pattern.strip_suffix('/')) {
        Some(expression) => value.contains(&expression.replace('\\', "").replace(".*", "")),
        None => pattern == value,
    }
}

fn check_answer(id: &str, expect: &Value, answer: &Message) {
    let statuses: Vec<u64> = match &expect["status"] {
        Value::Array(several) => several.iter().filter_map(Value::as_u64).collect(),
        one => one.as_u64().into_iter().collect(),
    };
    assert!(statuses.contains(&status(answer).into()), "{id}: {}", status(answer));
    for (name, pattern) in
        expect["headers"].as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'))
    {
        let value = text(answer, HeaderId::of(name.as_bytes())).unwrap_or_else(|| panic!("{id}: no {name}"));
        let value = value.replace("received=127.0.0.1", "received=192.0.2.1");
        assert!(matches(pattern.as_str().unwrap(), &value), "{id}: {name}: {value}");
    }
    for name in expect["absent_headers"].as_array().into_iter().flatten() {
        assert!(answer.header(HeaderId::of(name.as_str().unwrap().as_bytes())).is_none(), "{id}: {name}");
    }
    assert!(answer.body().is_empty(), "{id}");
}

fn check_operation(id: &str, expect: &Value, operation: &MessageOperation) {
    let bare =
        |jid: &Value| jid.as_str().map(|jid| jid.split('/').next().unwrap().replace("\\27", "'").replace("\\40", "@"));
    if let Some(from) = bare(&expect["attrs"]["from"]) {
        assert_eq!(operation.source.address.to_string(), from, "{id}");
    }
    if let Some(to) = bare(&expect["attrs"]["to"]) {
        assert_eq!(operation.destination.address.to_string(), to, "{id}");
    }
    let message = &operation.message;
    for child in expect["children"].as_array().unwrap() {
        let wanted = child["text"].as_str();
        match child["name"].as_str() {
            // The XMPP side cleans what XML cannot hold.
            Some("body") if wanted.is_some_and(|text| text.starts_with("/^")) => {}
            Some("body") => assert_eq!(message.content.as_text(), wanted, "{id}"),
            Some("subject") => {
                assert_eq!(message.subjects.first().map(|subject| subject.text.as_str()), wanted, "{id}")
            }
            Some("thread") => assert_eq!(message.thread.as_ref().map(|thread| thread.as_str()), wanted, "{id}"),
            Some("delay") => {
                assert_eq!(message.sent.as_ref().map(|sent| sent.as_str()), child["attrs"]["stamp"].as_str(), "{id}")
            }
            Some(other) => panic!("{id}: {other}"),
            // The XHTML body.
            None => assert_eq!(&*message.alternatives[0].media_type, "text/html", "{id}"),
        }
    }
}

// checks: IM-030, IM-031, IM-034, IM-035, IM-036, IM-043, IM-046, ADR-010, SIP-010, SIP-016
#[tokio::test]
async fn sip_stimuli_of_the_shared_vectors() {
    let mut ran = 0;
    for test in tests("im-sip-to-xmpp").iter().chain(&tests("sip-layer")) {
        let id = test["id"].as_str().unwrap();
        let (operations, answers) = run(test).await;
        let expected = test["expect"].as_array().unwrap();
        let stanzas = expected.iter().filter(|expect| expect["what"] == "stanza");
        operations.iter().zip(stanzas).for_each(|(operation, expect)| check_operation(id, expect, operation));
        let responses = expected.iter().filter(|expect| expect["what"] == "response");
        answers.iter().zip(responses).for_each(|(answer, expect)| check_answer(id, expect, answer));
        if expected
            .iter()
            .any(|expect| expect["property"].as_str().is_some_and(|text| text.contains("identical responses")))
        {
            assert_eq!(answers[0].octets(), answers[1].octets(), "{id}");
        }
        ran += 1;
    }
    assert!(ran > 25, "{ran}");
}
