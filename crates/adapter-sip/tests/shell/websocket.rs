//! RFC 7118.

use crate::kit::{FakeDns, Gateway, PATIENCE, request, status};
use adapter_api::Hop;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use impp_model::{Outcome, Proof};
use sip_proto::build::ResponseBuilder;
use sip_proto::message::Message as SipMessage;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

const LISTEN: [&str; 3] = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "ws:127.0.0.1:0"];

async fn gateway() -> Gateway {
    Gateway::start_with(serde_json::json!({ "listen": LISTEN }), FakeDns(Vec::new())).await
}

async fn open(to: SocketAddr, protocol: &'static str) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{to}/").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    let (socket, response) = client_async(request, TcpStream::connect(to).await.unwrap()).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "sip");
    Ok(socket)
}

async fn receive(socket: &mut WebSocketStream<TcpStream>) -> Message {
    timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
}

fn message(branch: &str, body: &str) -> String {
    let via = "WS df7jal23ls0d.invalid;rport";
    request("MESSAGE", "sip:juliet@example.com", via, branch, "Content-Type: text/plain\r\n", body)
}

// checks: WSS-001, WSS-002, WSS-003, WSS-004, WSS-005
#[tokio::test]
async fn rfc7118_s5_one_sip_message_in_each_websocket_message() {
    let mut gateway = gateway().await;
    let mut socket = open(gateway.listeners["ws"], "sip").await.unwrap();
    // RFC 7118 §5: the length is that of the WebSocket message.
    let text = message("1", "hi").replace("Content-Length: 2\r\n", "");
    socket.send(Message::Text(text.into())).await.unwrap();
    let submitted = gateway.next().await;
    assert_eq!(submitted.operation.message.content.as_text(), Some("hi"));
    submitted.settle.settle(Outcome::Success(Proof::Recipient));
    let Message::Text(answer) = receive(&mut socket).await else { panic!() };
    let answer = SipMessage::parse(Bytes::from(answer)).unwrap();
    assert_eq!((status(&answer), answer.top_via().unwrap().transport), (200, "WS"));
    socket.send(Message::Binary(message("2", "ho").into())).await.unwrap();
    gateway.next().await.settle.settle(Outcome::Success(Proof::Server));
    let Message::Text(answer) = receive(&mut socket).await else { panic!() };
    assert!(answer.starts_with("SIP/2.0 202"));
}

// checks: WSS-002, WSS-006
#[tokio::test]
async fn rfc7118_s6_keep_alives_are_answered_and_rubbish_does_no_harm() {
    let gateway = gateway().await;
    let mut socket = open(gateway.listeners["ws"], "sip").await.unwrap();
    socket.send(Message::Text("\r\n\r\n".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Message::Text("\r\n".into()));
    socket.send(Message::Ping(Bytes::from_static(b"x"))).await.unwrap();
    assert_eq!(receive(&mut socket).await, Message::Pong(Bytes::from_static(b"x")));
    let broken = request("OPTIONS", "sip:gw.example.com", "WS a.invalid", "3", "From: x\r\n", "");
    socket.send(Message::Text(broken.into())).await.unwrap();
    let Message::Text(answer) = receive(&mut socket).await else { panic!() };
    assert!(answer.starts_with("SIP/2.0 400"), "{answer}");
    // RFC 7118 §4.2: what is not UTF-8 comes back in a binary frame.
    let odd = request("OPTIONS", "sip:gw.example.com", "WS a.invalid", "4", "", "");
    let (head, tail) = odd.split_once("<sip:juliet").unwrap();
    let octets = [head.as_bytes(), b"\"\xff\" <sip:juliet", tail.as_bytes()].concat();
    socket.send(Message::Binary(octets.into())).await.unwrap();
    assert!(matches!(receive(&mut socket).await, Message::Binary(octets) if octets.starts_with(b"SIP/2.0 400")));
}

// checks: WSS-001
#[tokio::test]
async fn rfc7118_s4_1_other_subprotocols_are_refused() {
    let gateway = gateway().await;
    let Err(Error::Http(refused)) = open(gateway.listeners["ws"], "xmpp").await else { panic!() };
    assert_eq!(refused.status(), 400);
}

// checks: WSS-001, WSS-004
#[tokio::test]
#[allow(clippy::result_large_err, reason = "the error is the library's own")]
async fn rfc7118_s4_1_a_next_hop_can_be_a_websocket_server() {
    let gateway = gateway().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = format!("sip:{};transport=ws", listener.local_addr().unwrap());
    let outcome = gateway.deliver(Hop::Fixed(hop.into()), |_| {});
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let echo = |request: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", request.headers()["sec-websocket-protocol"].clone());
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, echo).await.unwrap();
    let Message::Text(request) = receive(&mut socket).await else { panic!() };
    let request = SipMessage::parse(Bytes::from(request)).unwrap();
    assert_eq!(request.top_via().unwrap().transport, "WS");
    let answer = ResponseBuilder::new(&request, 200).to_tag("p").encode();
    socket.send(Message::Binary(answer)).await.unwrap();
    assert_eq!(crate::kit::outcome(outcome).await, Outcome::Success(Proof::Recipient));
}
