//! `[policy.rates]` and the rate of a rule over the wire: what each protocol's sender hears who sends too much.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serving::{CAROL, Gateway, HEAD, native};

/// Stands behind [`HEAD`].
const REST: &str = r#"
[adapter.office]
type = "xmpp-component"
connect = "OFFICE"
domain = "native.example"
secret = "x"
[[domain]]
name = "native.example"
adapter = "native"
[[domain]]
name = "sip.example"
adapter = "sip"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "xmpp.example"
adapter = "office"
[policy.rates]
"#;

/// Sent without a pause, at a limit of one a second: a machine would have to need a second for each to be within it.
const SENT: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// The users that send: one, or as many as there are messages.
#[derive(Clone, Copy)]
struct Senders(usize);

impl Senders {
    fn name(self, number: usize) -> String {
        format!("user{}", number % self.0)
    }
}

/// Final responses to `SENT` requests of SIP.
fn over_sip(address: &str, senders: Senders) -> Vec<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let own = socket.local_addr().unwrap();
    for number in 0..SENT {
        let from = senders.name(number);
        let request = format!(
            "MESSAGE sip:nobody@native.example SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{own}-{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{from}@sip.example>;tag=t{number}\r\nTo: <sip:nobody@native.example>\r\n\
             Call-ID: {number}@{own}\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
        );
        socket.send_to(request.as_bytes(), address).unwrap();
    }
    let mut buffer = [0; 65536];
    let mut next = || {
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    (0..SENT).map(|_| next()).collect()
}

/// The error stanzas that `SENT` messages over a component link get.
fn over_xmpp(listener: &TcpListener, senders: Senders) -> Vec<String> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='native.example' id='1'>").unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 65536]);
    let mut until = |stream: &mut TcpStream, text: &str, count: usize| {
        while seen.matches(text).count() < count {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the link was closed: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        seen.clone()
    };
    until(&mut stream, "</handshake>", 1);
    let messages: String = (0..SENT)
        .map(|number| {
            let from = senders.name(number);
            format!("<message from='{from}@xmpp.example/r' to='nobody@native.example' id='{number}'><body>x</body></message>")
        })
        .collect();
    write!(stream, "<handshake/>{messages}").unwrap();
    let errors = until(&mut stream, "</message>", SENT);
    errors.split("</message>").take(SENT).map(ToOwned::to_owned).collect()
}

/// The answers to `SENT` messages of a native user.
fn over_http(address: &str) -> Vec<String> {
    let body = r#"{"to":"nobody@native.example","content_type":"text/plain","body":"x"}"#;
    (0..SENT).map(|_| native(address, CAROL, "POST /v1/messages", body)).collect()
}

/// Some are served, and all others told that they may come again.
fn assert_limited(answers: &[String], served: &str, refused: &[&str]) {
    let is_refused = |answer: &&String| refused.iter().all(|text| answer.contains(text));
    let (refusals, rest): (Vec<_>, Vec<_>) = answers.iter().partition(is_refused);
    assert!(!refusals.is_empty() && !rest.is_empty(), "{answers:?}");
    assert!(rest.iter().all(|answer| answer.contains(served)), "{rest:?}");
}

fn limited(rates: &str, senders: Senders) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let office = listener.local_addr().unwrap().to_string();
    let mut gateway = Gateway::start(&([HEAD, REST].concat().replace("OFFICE", &office) + rates));
    gateway.until("listening; ready when each component link has been up");
    let errors = over_xmpp(&listener, senders);
    assert_limited(&errors, "item-not-found", &["resource-constraint", "type='wait'"]);
    let answers = over_sip(&gateway.address("listening", "adapter_sip"), senders);
    assert_limited(&answers, "SIP/2.0 604", &["SIP/2.0 503", "Retry-After: "]);
    let answers = over_http(&gateway.address("listening", "adapter_native"));
    assert_limited(&answers, "HTTP/1.1 422", &["HTTP/1.1 503", "retry-after: "]);
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
}

// checks: SEC-005
#[test]
fn one_sender_is_limited_in_each_protocol() {
    limited("per_source = 1\n", Senders(1));
}

// checks: SEC-005
#[test]
fn what_a_rule_lets_pass_is_limited_in_each_protocol() {
    limited("[[policy.rule]]\naction = \"allow\"\nrate = 1\n", Senders(SENT));
}

// checks: SEC-005
#[test]
fn all_senders_of_a_domain_together_are_limited_in_each_protocol() {
    limited("per_domain = 1\n", Senders(SENT));
}
