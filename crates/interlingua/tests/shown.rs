//! One domain that lives in two networks (`shown_as`), from socket to socket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use common::text;
use serde_json::{Value, json};
use serving::{CAROL, Gateway, HEAD};

/// Long enough for a loaded machine; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// example.com has native users and phones; elsewhere the phones are those of phones.example.com.
fn config(proxy: SocketAddr) -> String {
    let domains = format!(
        r#"
[[domain]]
name = "example.com"
adapter = "native"
[[domain]]
name = "example.com"
adapter = "sip"
shown_as = "phones.example.com"
next_hop = "sip:{proxy};transport=udp"
trusted = ["127.0.0.1/32"]
"#
    );
    HEAD.replace("carol@native.example", "carol@example.com") + &domains
}

/// The proxy of the phones, and the gateway.
struct World {
    _gateway: Gateway,
    proxy: UdpSocket,
    sip: SocketAddr,
    native: String,
}

fn world() -> World {
    let proxy = UdpSocket::bind("127.0.0.1:0").unwrap();
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut gateway = Gateway::start(&config(proxy.local_addr().unwrap()));
    gateway.until("ready");
    let is_udp = |entry: &&Value| text(entry, "message") == "listening" && text(entry, "transport") == "udp";
    let sip = text(gateway.seen.iter().find(is_udp).unwrap(), "address").parse().unwrap();
    let native = gateway.address("listening", "adapter_native");
    World { _gateway: gateway, proxy, sip, native }
}

impl World {
    fn phone_sends(&self, from: &str, to: &str, body: &str) {
        let via = self.proxy.local_addr().unwrap();
        let request = format!(
            "MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{body}\r\nMax-Forwards: 70\r\n\
             From: <sip:{from}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {body}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.proxy.send_to(request.as_bytes(), self.sip).unwrap();
    }

    /// The next datagram that is no provisional answer.
    fn phones_hear(&self) -> String {
        let mut buffer = [0; 65_535];
        loop {
            let (length, _) = self.proxy.recv_from(&mut buffer).unwrap();
            let heard = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if !heard.starts_with("SIP/2.0 1") {
                return heard;
            }
        }
    }

    fn call(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.native).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = &self.native;
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {CAROL}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    /// The data of events for carol.
    fn events(&self) -> impl Iterator<Item = Value> {
        let lines = BufReader::new(self.call("GET /v1/events", "")).lines().map(Result::unwrap);
        lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
    }
}

// checks: REQ-2.1.4
#[test]
fn each_network_has_its_own_name_for_its_users_and_the_other_for_the_others() {
    let world = world();
    let mut events = world.events();
    world.phone_sends("alice@example.com", "carol@example.com", "hello");
    let event = events.next().unwrap();
    assert_eq!((text(&event, "from"), text(&event, "body")), ("alice@phones.example.com", "hello"));
    let sent = world.call(
        "POST /v1/messages",
        &json!({
            "to": "alice@phones.example.com", "content_type": "text/plain", "body": "back"
        })
        .to_string(),
    );
    // The hold of the first may have ended meanwhile.
    let request = std::iter::repeat_with(|| world.phones_hear()).find(|heard| heard.starts_with("MESSAGE")).unwrap();
    assert!(request.starts_with("MESSAGE sip:alice@example.com SIP/2.0\r\n"), "{request}");
    assert!(request.contains("From: <sip:carol@example.com>") && request.ends_with("back"), "{request}");
    let answer: String = request
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let answer = answer.replace("\r\nCall-ID", ";tag=2\r\nCall-ID");
    world.proxy.send_to(format!("SIP/2.0 200 OK\r\n{answer}Content-Length: 0\r\n\r\n").as_bytes(), world.sip).unwrap();
    let mut told = String::new();
    let mut reader = BufReader::new(sent);
    reader.read_line(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
}

// checks: SEC-001
#[test]
fn nobody_takes_the_shown_name_for_his_own() {
    let world = world();
    // What others call the phones is no name of theirs, and so nothing that their proxy vouches for.
    world.phone_sends("alice@phones.example.com", "carol@example.com", "forged");
    let answer = world.phones_hear();
    assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
    let mut events = world.events();
    world.phone_sends("alice@example.com", "carol@example.com", "honest");
    assert_eq!(text(&events.next().unwrap(), "body"), "honest", "nothing else was carried");
}
