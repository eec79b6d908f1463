//! Receipts, typing and message/cpim over real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use adapter_api::model::{
    Cause, ComposingOperation, ComposingState, DateTime, Disposition, DispositionOperation, Endpoint, Failure,
    MaxForwards, Operation, Outcome, Proof, Side,
};
use adapter_api::{Adapter, Delivery, settle_channel};
use adapter_native::client::{Incoming, Received};
use common::{CAROL, Gateway, delivery};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;

const TO_CAROL: &str = "carol@native.example";

async fn post(gateway: &Gateway, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(gateway.url(path)).bearer_auth(CAROL).header("Content-Type", content_type);
    let response = request.body(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn post_json(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    post(gateway, path, "application/json", body.to_string()).await
}

fn end(text: &str) -> Endpoint {
    Endpoint::bare(text.parse().unwrap())
}

fn word(disposition: Disposition) -> Operation {
    Operation::Disposition(Box::new(DispositionOperation {
        source: end("romeo@sip.example.com"),
        destination: end(TO_CAROL),
        max_forwards: MaxForwards::INITIAL,
        message_id: Some("m1".into()),
        trans_id: "w1".into(),
        accepted: DateTime::from_epoch(0, 0).unwrap(),
        disposition,
        and_earlier: false,
        return_path: None,
    }))
}

// checks: CMP-022, IMDN-002
#[tokio::test]
async fn a_user_reports_what_became_of_a_message() {
    let gateway = Gateway::start().await;
    let report = json!({"to": "romeo@sip.example.com", "id": "34jk324j", "report": "display"});
    let (status, answer) = post_json(&gateway, "/v1/dispositions", &report).await;
    assert_eq!((status, &answer["status"]), (200, &json!("indeterminant")));
    let signals = gateway.signals();
    let [Operation::Disposition(told)] = signals.as_slice() else { panic!("{signals:?}") };
    assert_eq!((told.disposition.label(), told.message_id.clone()), ("displayed", Some("34jk324j".into())));
    assert_eq!(told.source.address.to_string(), TO_CAROL);
    for wrong in [
        json!({"to": "romeo@sip.example.com", "id": "x", "report": "failure"}),
        json!({"to": "romeo@sip.example.com", "id": "", "report": "display"}),
        json!({"to": "nobody", "id": "x", "report": "display"}),
        json!({"to": "romeo@sip.example.com", "report": "display"}),
    ] {
        assert_eq!(post_json(&gateway, "/v1/dispositions", &wrong).await.0, 400, "{wrong}");
    }
    gateway.stop().await;
}

// checks: CMP-024, IMDN-007
#[tokio::test]
async fn a_user_is_told_what_became_of_its_message() {
    let gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let mut events = client.events("main", None).await.unwrap();
    for (disposition, name, reason) in [
        (Disposition::Delivered, "delivered", None),
        (Disposition::Failed(Box::new(Failure::new(Side::Far, Cause::NotFound))), "failed", Some("item-not-found")),
    ] {
        let (settle, outcome) = settle_channel();
        let operation = Arc::new(word(disposition));
        gateway.adapter.deliver(Delivery { operation, ..delivery(TO_CAROL, "", settle) }).unwrap();
        let Received { id, event: Incoming::Other { kind, data } } = events.next().await.unwrap().unwrap() else {
            panic!("a message")
        };
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(
            (kind.as_str(), data["disposition"].as_str(), data["id"].as_str()),
            ("disposition", Some(name), Some("m1"))
        );
        assert_eq!(data["reason"].as_str(), reason);
        client.ack("main", id).await.unwrap();
        assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Recipient)));
    }
    gateway.stop().await;
}

fn composing(state: ComposingState) -> Operation {
    Operation::Composing(Box::new(ComposingOperation {
        source: end("romeo@sip.example.com"),
        destination: end(TO_CAROL),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "c1".into(),
        thread: None,
        state,
        refresh: None,
        content_type: None,
    }))
}

// checks: CMP-001, CMP-003
#[tokio::test]
async fn typing_is_told_to_who_listens_and_ends_by_itself() {
    let gateway = Gateway::start().await;
    let deliver = |state| {
        let (settle, outcome) = settle_channel();
        let operation = Arc::new(composing(state));
        gateway.adapter.deliver(Delivery { operation, ..delivery(TO_CAROL, "", settle) }).unwrap();
        outcome
    };
    assert_eq!(deliver(ComposingState::Composing).await, Ok(Outcome::HandedOver), "nobody listens");
    let client = gateway.client(CAROL);
    let mut events = client.events("main", None).await.unwrap();
    assert_eq!(deliver(ComposingState::Paused).await, Ok(Outcome::HandedOver));
    let Received { event: Incoming::Other { kind, data }, .. } = events.next().await.unwrap().unwrap() else {
        panic!("a message")
    };
    assert_eq!((kind.as_str(), data.contains("\"paused\"")), ("composing", true), "{data}");
    let told = json!({"to": "romeo@sip.example.com", "state": "composing", "refresh": 1});
    assert_eq!(post_json(&gateway, "/v1/composing", &told).await.0, 200);
    let states = || {
        let signals = gateway.signals().into_iter();
        signals
            .filter_map(|it| if let Operation::Composing(told) = it { Some(told.state) } else { None })
            .collect::<Vec<_>>()
    };
    for _ in 0..600 {
        if states().len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(states(), [ComposingState::Composing, ComposingState::Active], "it lapsed after a second");
    drop(events);
    gateway.stop().await;
}

const OBJECT: &str = "From: <im:carol@native.example>\r\nTo: <im:bob@example.com>\r\nSubject:;lang=de Zu Tisch\r\n\
    NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\nDateTime: 2026-11-22T12:16:49Z\r\n\
    imdn.Disposition-Notification: positive-delivery, display\r\n\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nHello World";

// checks: CPM-001, CPM-003, CPM-006
#[tokio::test]
async fn rfc3862_an_object_is_sent_as_it_is() {
    let mut gateway = Gateway::start().await;
    gateway.answer_at_once(Outcome::Success(Proof::Recipient));
    let (status, _) = post(&gateway, "/v1/messages", "message/cpim", OBJECT).await;
    assert_eq!(status, 200);
    let message = gateway.next_submitted().await.operation.message;
    assert_eq!((message.content.as_text(), message.id), (Some("Hello World"), Some("34jk324j".into())));
    assert_eq!((message.receipts.delivery, message.receipts.display, message.receipts.failure), (true, true, false));
    assert_eq!(message.subjects[0].language, Some("de".into()));
    for (from, to) in [
        ("im:carol@native", "im:ceo@native"),
        ("To: <im:bob@example.com>", "To: <im:bob@example.com>\r\nTo: <im:eve@example.com>"),
        ("text/plain", "image/png; x=y"),
        ("NS: imdn", "NS: x <urn:x>\r\nRequire: x.y\r\nNS: imdn"),
        ("\r\n\r\n", "\r\n"),
    ] {
        let (status, body) = post(&gateway, "/v1/messages", "message/cpim", OBJECT.replacen(from, to, 1)).await;
        assert_eq!(status, 400, "{from}: {body}");
    }
    gateway.stop().await;
}

// checks: CMP-060, CMP-061, CMP-062, CMP-063
#[tokio::test]
async fn what_stands_beside_a_body_is_read() {
    let mut gateway = Gateway::start().await;
    gateway.answer_at_once(Outcome::Success(Proof::Recipient));
    let body = json!({"to": "bob@example.com", "content_type": "text/plain", "body": "", "replaces": "m0",
        "reply_to": {"id": "m1", "author": "bob@example.com"}, "reactions": {"id": "m2", "emojis": ["x"]}, "retracts": "m3",
        "files": [{"url": "https://a.example/b"}], "no_store": true, "receipts": ["delivery"]});
    assert_eq!(post_json(&gateway, "/v1/messages", &body).await.0, 200);
    let operation = gateway.next_submitted().await.operation;
    let fields: Vec<_> = operation.message.relations.iter().map(|relation| relation.field()).collect();
    assert_eq!(fields, ["correction", "reply", "reaction", "retraction"]);
    assert!(operation.message.hints.no_store && operation.message.files.len() == 1);
    assert_eq!(operation.message.id.unwrap().as_str(), operation.trans_id.as_str(), "a report needs an id");
    gateway.stop().await;
}

// checks: PR-05
#[tokio::test]
async fn a_subscription_that_stands_is_one_and_what_does_not_exist_is_not_ended() {
    let gateway = Gateway::start().await;
    gateway.answer_at_once(Outcome::Success(Proof::Server));
    let ask = async |wanted: Value| {
        let (status, answer) = post_json(&gateway, "/v1/subscriptions", &wanted).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    let standing = json!({"target": "romeo@sip.example.com"});
    let for_a_time = json!({"target": "romeo@sip.example.com", "duration": 600});
    let (first, second) = (ask(standing.clone()).await, ask(standing).await);
    assert_eq!(first, second);
    let (third, fourth) = (ask(for_a_time.clone()).await, ask(for_a_time).await);
    assert!(third != first && third != fourth);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let end = async |id: &str| {
        let path = format!("/v1/subscriptions/{id}");
        http.delete(gateway.url(&path)).bearer_auth(CAROL).send().await.unwrap().status().as_u16()
    };
    assert_eq!(end(&first).await, 200);
    gateway.answer_at_once(Outcome::from(Failure::new(Side::Near, Cause::NotFound)));
    assert_eq!((end(&first).await, end("made-up").await), (404, 404));
    gateway.stop().await;
}
