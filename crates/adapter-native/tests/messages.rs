//! `POST /v1/messages` over real sockets: every status, ids, and input that means harm.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use adapter_api::model::{Cause, Failure, Outcome, Proof, Retry, Side};
use adapter_api::{SourceProof, SpeaksFor};
use adapter_native::client::ClientError;
use adapter_native::wire::{DeliveryStatus, Receipt, SendMessage};
use common::{CAROL, Gateway, text};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status, Retry-After and body of a `POST /v1/messages`.
async fn post(gateway: &Gateway, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Option<String>, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(gateway.url("/v1/messages")).bearer_auth(CAROL).header("Content-Type", content_type);
    let response = request.body(body).send().await.unwrap();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), retry_after, response.json().await.unwrap())
}

async fn post_json(gateway: &Gateway, body: &Value) -> (u16, Option<String>, Value) {
    post(gateway, "application/json", body.to_string()).await
}

fn hello() -> Value {
    json!({"to": "bob@example.com", "content_type": "text/plain", "body": "hello"})
}

// checks: IM-01, IM-02, IM-03
#[tokio::test]
async fn rfc3860_s3_1_a_message_reaches_the_hub_and_its_outcome_the_sender() {
    let mut gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let message = SendMessage {
        subject: Some("Zu Tisch".to_owned()),
        thread: Some("t/1".to_owned()),
        lang: Some("de".to_owned()),
        id: Some("m1".to_owned()),
        receipts: vec![Receipt::Delivery],
        ..text("Grüße 🦀")
    };
    let sent = tokio::spawn(async move { client.send(&message).await });
    let submitted = gateway.next_submitted().await;
    let operation = submitted.operation;
    assert_eq!(operation.source.address.to_string(), "carol@native.example");
    assert_eq!(operation.destination.address.to_string(), "bob@example.com");
    let message = operation.message;
    assert_eq!(message.content.as_text(), Some("Grüße 🦀"));
    assert_eq!(message.content.language, Some("de".into()));
    assert_eq!((message.subjects[0].text.as_str(), message.thread), ("Zu Tisch", Some("t/1".into())));
    assert_eq!((message.id, message.receipts.delivery, message.receipts.display), (Some("m1".into()), true, false));
    assert_eq!((submitted.provenance.proof, &*submitted.provenance.peer), (SourceProof::Token, "native.example"));
    assert!(matches!(&submitted.provenance.speaks_for, SpeaksFor::Address(a) if *a == operation.source.address));
    submitted.settle.settle(Outcome::Success(Proof::Recipient));
    let result = sent.await.unwrap().unwrap();
    assert_eq!((result.status, result.proof.as_deref()), (DeliveryStatus::Success, Some("recipient")));
    assert_eq!((result.trans_id.as_str(), result.trace.as_str()), (operation.trans_id.as_str(), "0000000000000001"));
    gateway.stop().await;
}

// checks: IM-27
#[tokio::test]
async fn each_outcome_has_its_status() {
    let gateway = Gateway::start().await;
    let failure = |side, cause| Outcome::from(Failure::new(side, cause));
    let overload = Failure::new(Side::Ours, Cause::Overload).with_retry(Retry::After(Duration::from_millis(6500)));
    for (outcome, status, retry_after, label, reason) in [
        (Outcome::Success(Proof::Server), 200, None, "success", None),
        (Outcome::Indeterminant, 200, None, "indeterminant", None),
        (Outcome::HandedOver, 200, None, "indeterminant", None),
        (failure(Side::Far, Cause::NotFound), 422, None, "failure", Some("item-not-found")),
        (failure(Side::Far, Cause::Unconfirmed), 422, None, "failure", Some("unconfirmed")),
        (failure(Side::Far, Cause::TooLarge), 422, None, "failure", Some("too-large")),
        (overload.into(), 503, Some("7"), "failure", Some("overload")),
        (failure(Side::Ours, Cause::ShuttingDown), 503, Some("5"), "failure", Some("shutting-down")),
    ] {
        gateway.answer_at_once(outcome);
        let (code, retry, body) = post_json(&gateway, &hello()).await;
        assert_eq!((code, retry.as_deref()), (status, retry_after), "{body}");
        assert_eq!((body["status"].as_str(), body["reason"].as_str()), (Some(label), reason));
        assert!(body["trans_id"].is_string() && body["trace"].is_string());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn malformed_messages_are_refused_with_field_and_problem() {
    let mut gateway = Gateway::start().await;
    let with = |field: &str, value: Value| {
        let mut message = hello();
        message[field] = value;
        message
    };
    for (message, field) in [
        (with("to", json!("bob")), "to"),
        (with("to", json!("bob@example.com\r\nX: y")), "to"),
        (with("to", json!(7)), "to"),
        (with("content_type", json!("nonsense")), "content_type"),
        (with("subject", json!("a\nb")), "subject"),
        (with("lang", json!("??")), "lang"),
        (with("receipts", json!(["bogus"])), "receipts[0]"),
        (with("from", json!("eve@example.com")), "from"),
        (with("body", json!(null)), "body"),
    ] {
        let (status, _, body) = post_json(&gateway, &message).await;
        assert_eq!(
            (status, body["error"].as_str(), body["field"].as_str()),
            (400, Some("bad-request"), Some(field)),
            "{body}"
        );
        assert!(!body["problem"].as_str().unwrap().is_empty());
    }
    assert!(gateway.submitted.try_recv().is_err());
    gateway.stop().await;
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let mut gateway = Gateway::start().await;
    let deep = "[".repeat(3999);
    let nested = format!(r#"{{"to":{}"#, r#"{"a":"#.repeat(700));
    for body in [b"\xff\xfe{}".to_vec(), b"".to_vec(), b"{\"to\":\"\0\"}".to_vec(), deep.into(), nested.into()] {
        let (status, _, answer) = post(&gateway, "application/json", body).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("bad-request")));
    }
    let (status, _, body) = post(&gateway, "application/json", vec![b' '; 4001]).await;
    assert_eq!((status, body["error"].as_str()), (413, Some("too-large")));
    let endless = futures_util::stream::iter((0..5).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000])));
    let (status, _, body) = post(&gateway, "application/json", reqwest::Body::wrap_stream(endless)).await;
    assert_eq!((status, body["error"].as_str()), (413, Some("too-large")));
    let mut long = hello();
    long["body"] = "x".repeat(1001).into();
    let (status, _, body) = post_json(&gateway, &long).await;
    assert_eq!((status, body["field"].as_str()), (413, Some("body")));
    assert!(gateway.submitted.try_recv().is_err());
    gateway.stop().await;
}

#[tokio::test]
async fn other_formats_are_refused_with_the_reason() {
    let gateway = Gateway::start().await;
    for content_type in ["message/cpimx", "text/plain", "application/jsonx", ""] {
        let (status, _, body) = post(&gateway, content_type, "x").await;
        assert_eq!((status, body["error"].as_str()), (415, Some("unsupported-media")), "{content_type}");
    }
    let (status, _, body) = post(&gateway, "Message/CPIM; charset=utf-8", "x").await;
    assert_eq!((status, body["error"].as_str()), (400, Some("bad-request")), "an object that is none");
    gateway.answer_at_once(Outcome::Indeterminant);
    let (status, _, _) = post(&gateway, "Application/JSON; charset=utf-8", hello().to_string()).await;
    assert_eq!(status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn rfc6750_s3_without_a_users_token_there_is_a_challenge() {
    let gateway = Gateway::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (authorization, challenge) in [
        (None, "Bearer"),
        (Some("Basic YTpi"), "Bearer"),
        (Some("Bearer nobodys"), "Bearer error=\"invalid_token\""),
        (Some("Bearer "), "Bearer"),
    ] {
        for path in ["/v1/messages", "/v1/composing", "/v1/events/ack"] {
            let mut request = http.post(gateway.url(path)).json(&hello());
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status().as_u16(), 401);
            assert_eq!(response.headers()["www-authenticate"], challenge);
            assert_eq!(response.json::<Value>().await.unwrap()["error"], "not-authorized");
        }
    }
    let any_case = http.post(gateway.url("/v1/composing")).header("Authorization", format!("bearer  {CAROL}"));
    assert_eq!(any_case.send().await.unwrap().status().as_u16(), 415);
    gateway.stop().await;
}

#[tokio::test]
async fn the_same_id_sends_once_also_while_the_first_is_in_flight() {
    let mut gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let message = SendMessage { id: Some("m1".to_owned()), ..text("hello") };
    let send = |client: &adapter_native::client::Client| {
        let (client, message) = (client.clone(), message.clone());
        tokio::spawn(async move { client.send(&message).await.unwrap() })
    };
    let (first, second) = (send(&client), send(&client));
    let submitted = gateway.next_submitted().await;
    submitted.settle.settle(Outcome::Success(Proof::Server));
    let (first, second, third) = (first.await.unwrap(), second.await.unwrap(), send(&client).await.unwrap());
    assert_eq!((&first, &first), (&second, &third));
    assert!(gateway.submitted.try_recv().is_err(), "sent once");
    let other_user = send(&gateway.client(common::DAVE));
    gateway.next_submitted().await.settle.settle(Outcome::Success(Proof::Server));
    assert_ne!(other_user.await.unwrap().trans_id, first.trans_id, "ids belong to a user");
    gateway.stop().await;
}

#[tokio::test]
async fn an_abandoned_call_is_carried_out_and_its_id_gives_the_result() {
    let mut gateway = Gateway::start().await;
    let client = gateway.client(CAROL);
    let message = SendMessage { id: Some("m1".to_owned()), ..text("hello") };
    let abandoned = tokio::spawn({
        let (client, message) = (client.clone(), message.clone());
        async move { client.send(&message).await }
    });
    let submitted = gateway.next_submitted().await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    submitted.settle.settle(Outcome::Success(Proof::Recipient));
    assert_eq!(client.send(&message).await.unwrap().status, DeliveryStatus::Success);
    gateway.stop().await;
}

#[tokio::test]
async fn messages_in_flight_are_bounded() {
    let mut gateway = Gateway::start().await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let client = gateway.client(CAROL);
        let sent = tokio::spawn(async move { client.send(&text("hello")).await });
        waiting.push((sent, gateway.next_submitted().await.settle));
    }
    match gateway.client(CAROL).send(&text("one more")).await {
        Err(ClientError::Refused { status: 429, retry_after: Some(_), .. }) => {}
        other => panic!("{other:?}"),
    }
    for (sent, settle) in waiting {
        drop(settle);
        assert_eq!(sent.await.unwrap().unwrap().status, DeliveryStatus::Indeterminant);
    }
    gateway.answer_at_once(Outcome::Indeterminant);
    assert!(gateway.client(CAROL).send(&text("room again")).await.is_ok());
    gateway.stop().await;
}

#[tokio::test]
async fn calls_without_json_are_answered_with_415_and_unknown_ones_with_404_or_405() {
    let gateway = Gateway::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (method, path, status) in [
        ("PUT", "/v1/presence", 415),
        ("POST", "/v1/subscriptions", 415),
        ("DELETE", "/v1/subscriptions/1", 404),
        ("POST", "/v1/authorizations", 415),
        ("POST", "/v1/composing", 415),
        ("POST", "/v1/dispositions", 415),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/messages", 405),
        ("OPTIONS", "/v1/messages", 405),
    ] {
        let method = method.parse().unwrap();
        let response =
            http.request(method, gateway.url(path)).bearer_auth(CAROL).header("Origin", "http://evil.example");
        let response = response.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control")), "CORS is off");
        assert!(response.json::<Value>().await.unwrap()["problem"].is_string());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_openapi_document_lists_every_call_that_exists() {
    let gateway = Gateway::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let document: Value = http.get(gateway.url("/v1/openapi.json")).send().await.unwrap().json().await.unwrap();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    for path in [
        "/v1/messages",
        "/v1/events",
        "/v1/events/ack",
        "/v1/ws",
        "/v1/openapi.json",
        "/v1/dispositions",
        "/v1/composing",
    ] {
        assert!(paths.iter().any(|other| other == path), "{path}");
    }
    assert_eq!(paths.len(), 11);
    let schema = &document["components"]["schemas"]["SendMessage"];
    assert!(schema["properties"]["content_type"].is_object());
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    gateway.stop().await;
}

#[tokio::test]
async fn rfc9112_hostile_heads_end_the_connection_and_no_other() {
    let gateway = Gateway::start().await;
    let many = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let long = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(1_000_000));
    let chunked =
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}".to_owned();
    let negative = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned();
    for hostile in [many, long, chunked, negative, "\0\0\0\0\r\n\r\n".to_owned()] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(hostile.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    gateway.answer_at_once(Outcome::Indeterminant);
    assert!(gateway.client(CAROL).send(&text("still there")).await.is_ok());
    gateway.stop().await;
}
