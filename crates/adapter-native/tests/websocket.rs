//! The WebSocket over real sockets.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use adapter_api::model::{Cause, Failure, Operation, Outcome, Proof, Side};
use common::{CAROL, Gateway};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(gateway: &Gateway, token: &str, protocol: Option<&str>) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/v1/ws?device=phone", gateway.address).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("Authorization", http::HeaderValue::from_str(&format!("Bearer {token}"))?);
    if let Some(protocol) = protocol {
        headers.insert("Sec-WebSocket-Protocol", http::HeaderValue::from_str(protocol)?);
    }
    let (socket, response) = connect_async(request).await?;
    assert_eq!(response.headers().get("sec-websocket-protocol").is_some(), protocol.is_some());
    Ok(socket)
}

async fn open(gateway: &Gateway) -> Socket {
    connect(gateway, CAROL, Some("interlingua.v1")).await.unwrap()
}

async fn send(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next frame of JSON.
async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => panic!("{other:?}"),
        }
    }
}

/// The code with which the gateway closes.
async fn closed(socket: &mut Socket) -> CloseCode {
    loop {
        if let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() {
            return frame.code;
        }
    }
}

fn hello(reference: &str) -> Value {
    json!({"type": "message", "ref": reference, "data": {"to": "bob@example.com", "content_type": "text/plain", "body": "hello"}})
}

#[tokio::test]
async fn messages_go_both_ways_and_are_acknowledged() {
    let mut gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    send(&mut socket, hello("r1")).await;
    let submitted = gateway.next_submitted().await;
    assert_eq!(submitted.operation.source.device.as_ref().map(|device| device.as_str()), Some("phone"));
    let mut delivered = gateway.deliver("carol@native.example", "hello yourself");
    let event = next(&mut socket).await;
    assert_eq!((event["type"].as_str(), event["data"]["body"].as_str()), (Some("message"), Some("hello yourself")));
    assert!(delivered.try_recv().is_err());
    send(&mut socket, json!({"type": "ack", "ref": "r2", "id": event["id"]})).await;
    let acknowledged = json!({"type": "result", "ref": "r2", "status": 200, "data": {"id": event["id"]}});
    assert_eq!(next(&mut socket).await, acknowledged);
    assert_eq!(delivered.await, Ok(Outcome::Success(Proof::Recipient)));
    submitted.settle.settle(Outcome::Success(Proof::Server));
    let result = next(&mut socket).await;
    assert_eq!((&result["type"], &result["ref"], &result["status"]), (&json!("result"), &json!("r1"), &json!(200)));
    assert_eq!((&result["data"]["status"], &result["data"]["proof"]), (&json!("success"), &json!("server")));
    gateway.stop().await;
}

#[tokio::test]
async fn results_come_as_they_are_known_each_with_its_ref() {
    let mut gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    send(&mut socket, hello("first")).await;
    let first = gateway.next_submitted().await.settle;
    send(&mut socket, hello("second")).await;
    let second = gateway.next_submitted().await.settle;
    send(&mut socket, hello("third")).await;
    let third = next(&mut socket).await;
    assert_eq!((&third["ref"], &third["status"]), (&json!("third"), &json!(429)), "the bound of messages in flight");
    second.settle(Failure::new(Side::Far, Cause::NotFound));
    let result = next(&mut socket).await;
    assert_eq!((&result["ref"], &result["status"]), (&json!("second"), &json!(422)));
    assert_eq!(result["data"]["reason"], "item-not-found");
    first.settle(Outcome::Indeterminant);
    assert_eq!(next(&mut socket).await["ref"], "first");
    gateway.stop().await;
}

#[tokio::test]
async fn malformed_requests_are_answered_and_the_socket_stays() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    let mut bad = hello("r");
    bad["data"]["to"] = "bob".into();
    for (frame, status, field) in [
        (bad, 400, json!("to")),
        (json!({"type": "message", "ref": "r"}), 400, json!("data")),
        (json!({"type": "ack", "ref": "r"}), 400, json!("id")),
        (json!({"type": "ack", "ref": "r", "id": "999"}), 200, json!(null)),
        (json!({"type": "presence", "ref": "r"}), 400, json!("data")),
        (json!({"type": "subscription", "ref": "r", "data": {"target": "bob"}}), 400, json!("target")),
        (json!({"type": "unsubscription", "ref": "r", "data": {"id": "zz"}}), 404, json!(null)),
        (json!({"type": "nonsense", "ref": "r"}), 400, json!("type")),
    ] {
        send(&mut socket, frame.clone()).await;
        let answer = next(&mut socket).await;
        assert_eq!((&answer["type"], &answer["ref"]), (&json!("result"), &json!("r")), "{frame}");
        assert_eq!((&answer["status"], &answer["data"]["field"]), (&json!(status), &field), "{frame}");
    }
    for text in ["", "{", "[]", "{\"type\":\"ack\",\"extra\":1}", &"[".repeat(4000)] {
        socket.send(Message::text(text)).await.unwrap();
        let answer = next(&mut socket).await;
        assert_eq!((&answer["ref"], &answer["status"]), (&json!(null), &json!(400)), "{text:.20}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_text_or_too_large_closes_the_socket() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    socket.send(Message::binary(vec![0])).await.unwrap();
    assert_eq!(closed(&mut socket).await, CloseCode::Unsupported);
    let mut socket = open(&gateway).await;
    socket.send(Message::text("x".repeat(4001))).await.unwrap();
    let answer = socket.next().await;
    assert!(!matches!(answer, Some(Ok(Message::Text(_)))), "{answer:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn rfc6455_s4_2_2_the_upgrade_needs_a_token_and_our_protocol_or_none() {
    let gateway = Gateway::start().await;
    let status = |error: Error| {
        let Error::Http(response) = error else { panic!("{error:?}") };
        response.status().as_u16()
    };
    assert_eq!(status(connect(&gateway, "nobodys", Some("interlingua.v1")).await.unwrap_err()), 401);
    assert_eq!(status(connect(&gateway, CAROL, Some("other.v1, other.v2")).await.unwrap_err()), 400);
    assert!(connect(&gateway, CAROL, Some("other.v1, interlingua.v1")).await.is_ok());
    assert!(connect(&gateway, CAROL, None).await.is_ok());
    let plain = reqwest::Client::builder().no_proxy().build().unwrap().get(gateway.url("/v1/ws")).bearer_auth(CAROL);
    assert_eq!(plain.send().await.unwrap().status().as_u16(), 400);
    gateway.stop().await;
}

#[tokio::test]
async fn shutdown_closes_the_socket_with_going_away() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    gateway.begin_stop();
    assert_eq!(closed(&mut socket).await, CloseCode::Away);
    gateway.stop().await;
}

#[tokio::test]
async fn presence_is_told_asked_for_and_decided_over_the_socket() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway).await;
    let call = |kind: &str, data: serde_json::Value| json!({"type": kind, "ref": kind, "data": data});
    for (frame, status) in [
        (call("presence", json!({"basic": "open", "note": "here"})), 200),
        (call("subscription", json!({"target": "bob@example.com"})), 201),
        (call("authorization", json!({"watcher": "bob@example.com", "allow": true})), 200),
    ] {
        send(&mut socket, frame.clone()).await;
        let answer = next(&mut socket).await;
        assert_eq!((&answer["ref"], &answer["status"]), (&frame["type"], &json!(status)), "{answer}");
        assert_eq!(answer["data"]["status"], "success");
        if frame["type"] == "subscription" {
            send(&mut socket, call("unsubscription", json!({"id": answer["data"]["id"]}))).await;
            assert_eq!(next(&mut socket).await["status"], 200);
        }
    }
    let wishes: Vec<_> = gateway.signals().iter().map(|operation| format!("{:?}", operation.kind())).collect();
    assert_eq!(wishes, ["Publish", "Subscribe", "Subscribe", "Authorize"]);
    let Operation::Publish(told) = &gateway.signals()[0] else { panic!() };
    assert_eq!(told.source.device.as_ref().map(|device| device.as_str()), Some("phone"));
    gateway.stop().await;
}
