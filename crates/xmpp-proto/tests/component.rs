//! The component machine against the server machine, and each against scripted peers, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use strict_xml::Element;
use xmpp_proto::component::{
    ComponentConfig, ComponentServer, ComponentStream, LinkConfig, LinkError, NotOpen, Output, Secret, ServerConfig,
    handshake_digest,
};
use xmpp_proto::stanza::{Message, MessageType, Stanza};
use xmpp_proto::stream::{StreamCondition, StreamError};

const DOMAIN: &str = "gateway.example.com";
const SECRET: &str = "test";
const STREAM_ID: &str = "3BF96D32";
const SERVER_HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns='jabber:component:accept' from='gateway.example.com' id='3BF96D32' xml:lang='de'>";
const COMPONENT_HEADER: &str = "<stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' to='Gateway.example.com'>";

#[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn component(now: Instant) -> ComponentStream {
    let config = ComponentConfig { domain: DOMAIN.into(), secret: Secret::new(SECRET), link: LinkConfig::default() };
    ComponentStream::new(config, now)
}

fn server(now: Instant) -> ComponentServer {
    let components = [(DOMAIN.to_owned(), Secret::new(SECRET))].into();
    ComponentServer::new(ServerConfig { components, link: LinkConfig::default() }, STREAM_ID.into(), now)
}

/// Everything a machine puts out: its octets as text, and the rest.
fn drained(mut poll: impl FnMut() -> Option<Output>) -> (String, Vec<Output>) {
    let (mut octets, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = poll() {
        match output {
            Output::Send(bytes) => octets.extend_from_slice(&bytes),
            Output::Opened | Output::Stanza(_) | Output::Failed(_) | Output::Closed => events.push(output),
        }
    }
    (String::from_utf8(octets).unwrap(), events)
}

/// Passes octets between the two, one at a time, until neither has any; returns their events.
fn exchange(client: &mut ComponentStream, server: &mut ComponentServer, now: Instant) -> [Vec<Output>; 2] {
    let mut events = [Vec::new(), Vec::new()];
    loop {
        let (to_server, at_client) = drained(|| client.poll_output());
        to_server.as_bytes().chunks(1).for_each(|octet| server.handle_bytes(octet, now));
        let (to_client, at_server) = drained(|| server.poll_output());
        to_client.as_bytes().chunks(1).for_each(|octet| client.handle_bytes(octet, now));
        events[0].extend(at_client);
        events[1].extend(at_server);
        if to_server.is_empty() && to_client.is_empty() {
            return events;
        }
    }
}

fn open_pair(now: Instant) -> (ComponentStream, ComponentServer) {
    let (mut client, mut server) = (component(now), server(now));
    assert_eq!(exchange(&mut client, &mut server, now), [vec![Output::Opened], vec![Output::Opened]]);
    assert!(client.is_open() && server.is_open());
    (client, server)
}

/// A component with an open stream to a scripted peer.
fn open_component(now: Instant) -> ComponentStream {
    let mut client = component(now);
    client.handle_bytes(SERVER_HEADER.as_bytes(), now);
    client.handle_bytes(b"<handshake/>", now);
    assert_eq!(drained(|| client.poll_output()).1, [Output::Opened]);
    client
}

fn message(from: &str, body: &'static str) -> Element {
    Message::new(MessageType::Chat)
        .with_from(from.to_owned())
        .with_to("romeo@example.net")
        .with_id("m1")
        .with_body(body, None)
        .into_element()
}

fn refusal(events: &[Output]) -> Option<StreamCondition> {
    match events {
        [.., Output::Failed(LinkError::Refused(error)), Output::Closed] => Some(error.condition),
        _ => None,
    }
}

// checks: CMPN-001, CMPN-002
#[test]
fn xep0114_s3_header_then_handshake() {
    let now = origin();
    let mut client = component(now);
    let (header, events) = drained(|| client.poll_output());
    assert_eq!(
        header,
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
         xmlns:stream='http://etherx.jabber.org/streams' to='gateway.example.com'>"
    );
    assert!(events.is_empty());
    client.handle_bytes(SERVER_HEADER.as_bytes(), now);
    let (handshake, _) = drained(|| client.poll_output());
    assert_eq!(handshake, "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>");
    assert!(!client.is_open());
    client.handle_bytes(b"<handshake xmlns='jabber:component:accept'></handshake>", now);
    assert_eq!(drained(|| client.poll_output()), (String::new(), vec![Output::Opened]));
}

// checks: CMPN-001
#[test]
fn xep0114_s3_server_answers_with_from_and_id() {
    let now = origin();
    let mut server = server(now);
    server.handle_bytes(COMPONENT_HEADER.as_bytes(), now);
    let (header, events) = drained(|| server.poll_output());
    assert!(header.ends_with(" from='Gateway.example.com' id='3BF96D32'>"), "{header}");
    assert!(events.is_empty() && server.domain().is_none());
}

#[test]
fn stanzas_flow_both_ways_in_order() {
    let now = origin();
    let (mut client, mut server) = open_pair(now);
    assert_eq!(server.domain(), Some(DOMAIN));
    for body in ["1", "2 < 3", "4 &amp; \u{1F600}"] {
        client.send(&message("juliet@gateway.example.com/balcony", body), now).unwrap();
        server.send(&message("romeo@example.net/orchard", body), now).unwrap();
    }
    for events in exchange(&mut client, &mut server, now) {
        let bodies: Vec<_> = events
            .iter()
            .map(|event| match event {
                Output::Stanza(element) => {
                    element.child("body", "jabber:component:accept").unwrap().text().into_owned()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(bodies, ["1", "2 < 3", "4 &amp; \u{1F600}"]);
    }
}

// checks: XST-015
#[test]
fn rfc6120_s8_1_5_stream_language_is_the_default_and_never_replaces() {
    let now = origin();
    let mut client = open_component(now);
    client.handle_bytes(b"<message><body>a</body></message><message xml:lang='fr'><body>b</body></message>", now);
    let langs: Vec<_> = drained(|| client.poll_output())
        .1
        .into_iter()
        .map(|event| match event {
            Output::Stanza(element) => match Stanza::from_element(element).unwrap() {
                Stanza::Message(message) => message.body().unwrap().lang.map(str::to_owned),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(langs, [Some("de".to_owned()), Some("fr".to_owned())]);
}

// checks: XST-017
#[test]
fn rfc6120_s8_4_content_namespace_is_that_of_the_stream() {
    let now = origin();
    let mut client = open_component(now);
    client.send(&message("juliet@gateway.example.com", "hi"), now).unwrap();
    let (octets, _) = drained(|| client.poll_output());
    assert!(!octets.contains("jabber:client"), "{octets}");
    assert!(octets.ends_with("<body>hi</body></message>"), "{octets}");
}

#[test]
fn several_stanzas_leave_in_one_write() {
    let now = origin();
    let mut client = open_component(now);
    for _ in 0..3 {
        client.send_encoded(b"<presence/>", now).unwrap();
    }
    assert!(matches!(client.poll_output(), Some(Output::Send(bytes)) if bytes.len() == 33));
    assert_eq!(client.poll_output(), None);
}

// checks: CMPN-004
#[test]
fn xep0114_s3_wrong_secret_is_not_authorized() {
    let now = origin();
    let config = ComponentConfig { domain: DOMAIN.into(), secret: Secret::new("wrong"), link: LinkConfig::default() };
    let (mut client, mut server) = (ComponentStream::new(config, now), server(now));
    let [at_client, at_server] = exchange(&mut client, &mut server, now);
    assert_eq!(refusal(&at_server), Some(StreamCondition::NotAuthorized));
    let told = StreamError::new(StreamCondition::NotAuthorized);
    assert_eq!(at_client, [Output::Failed(LinkError::Peer(told)), Output::Closed]);
}

// checks: CMPN-004, XST-004
#[test]
fn xep0114_s3_unknown_component_gets_a_header_and_host_unknown() {
    let now = origin();
    let mut server = server(now);
    server.handle_bytes(COMPONENT_HEADER.replace("Gateway", "other").as_bytes(), now);
    let (octets, events) = drained(|| server.poll_output());
    assert_eq!(refusal(&events), Some(StreamCondition::HostUnknown));
    let (header, rest) = octets.split_once("<stream:error>").unwrap();
    assert!(header.contains("<stream:stream "), "{octets}");
    assert_eq!(rest, "<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>");
}

// checks: XST-004, XST-010
#[test]
fn rfc6120_s4_9_1_2_faults_in_the_header_are_answered_with_a_header() {
    let now = origin();
    for (header, condition) in [
        (COMPONENT_HEADER.replace("component:accept", "client"), StreamCondition::InvalidNamespace),
        (COMPONENT_HEADER.replace("etherx.jabber.org", "example.org"), StreamCondition::InvalidNamespace),
        (COMPONENT_HEADER.replace("xmlns:stream", "xmlns:other"), StreamCondition::BadNamespacePrefix),
        (COMPONENT_HEADER.replace("<stream:stream", "<stream:flow"), StreamCondition::BadFormat),
        (COMPONENT_HEADER.replace("to=", "version='x' to="), StreamCondition::UnsupportedVersion),
        ("<!DOCTYPE a><a/>".into(), StreamCondition::RestrictedXml),
        ("<?xml version='1.0' encoding='latin1'?>".into(), StreamCondition::UnsupportedEncoding),
        ("\0\0\0".into(), StreamCondition::NotWellFormed),
    ] {
        let mut server = server(now);
        server.handle_bytes(header.as_bytes(), now);
        let (octets, events) = drained(|| server.poll_output());
        assert_eq!(refusal(&events), Some(condition), "{header}");
        assert!(octets.contains("<stream:stream ") && octets.ends_with("</stream:error></stream:stream>"), "{octets}");
        server.handle_bytes(COMPONENT_HEADER.as_bytes(), now);
        assert_eq!(server.poll_output(), None);
    }
}

// checks: XST-005
#[test]
fn rfc6120_s13_12_no_stanza_before_the_handshake() {
    let now = origin();
    let mut server = server(now);
    server.handle_bytes(COMPONENT_HEADER.as_bytes(), now);
    server.handle_bytes(b"<message from='a@gateway.example.com' to='b@example.net'/>", now);
    assert_eq!(refusal(&drained(|| server.poll_output()).1), Some(StreamCondition::NotAuthorized));
    let mut client = component(now);
    client.handle_bytes(SERVER_HEADER.as_bytes(), now);
    client.handle_bytes(b"<message/>", now);
    assert_eq!(refusal(&drained(|| client.poll_output()).1), Some(StreamCondition::NotAuthorized));
    assert_eq!(client.send(&message("a@b", "c"), now), Err(NotOpen));
}

// checks: CMPN-003
#[test]
fn xep0114_s3_addresses_of_a_component_are_checked() {
    for (stanza, condition) in [
        ("<message to='a@b'/>", StreamCondition::ImproperAddressing),
        ("<message from='a@gateway.example.com'/>", StreamCondition::ImproperAddressing),
        ("<message from='a@example.org' to='a@b'/>", StreamCondition::InvalidFrom),
        ("<message from='gateway.example.com@example.org' to='a@b'/>", StreamCondition::InvalidFrom),
        ("<message from='example.org/a@gateway.example.com' to='a@b'/>", StreamCondition::InvalidFrom),
    ] {
        let now = origin();
        let (_, mut server) = open_pair(now);
        server.handle_bytes(stanza.as_bytes(), now);
        assert_eq!(refusal(&drained(|| server.poll_output()).1), Some(condition), "{stanza}");
    }
    let now = origin();
    let (_, mut server) = open_pair(now);
    server.handle_bytes(b"<message from='Any@GATEWAY.example.com/r' to='a@b'/>", now);
    assert!(matches!(drained(|| server.poll_output()).1[..], [Output::Stanza(_)]));
}

// checks: XST-010, XST-011, XST-020, XST-021, XST-022, XST-030
#[test]
fn rfc6120_s4_9_3_faults_in_an_open_stream_end_it() {
    let now = origin();
    let long = format!("<message><body>{}</body></message>", "x".repeat(300_000));
    for (octets, condition) in [
        (&b"<query/>"[..], StreamCondition::UnsupportedStanzaType),
        (b"<message xmlns='jabber:server'/>", StreamCondition::InvalidNamespace),
        (b"<message><body>&nbsp;</body></message>", StreamCondition::RestrictedXml),
        (b"<message><!-- --></message>", StreamCondition::RestrictedXml),
        (b"<message><a></b></message>", StreamCondition::NotWellFormed),
        (b"<message><p:a/></message>", StreamCondition::NotWellFormed),
        (b"<message>\xC3\x28</message>", StreamCondition::UnsupportedEncoding),
        (b"text", StreamCondition::NotWellFormed),
        (long.as_bytes(), StreamCondition::PolicyViolation),
    ] {
        let mut client = open_component(now);
        client.handle_bytes(octets, now);
        let (sent, events) = drained(|| client.poll_output());
        let shown = String::from_utf8_lossy(&octets[..octets.len().min(60)]);
        assert_eq!(refusal(&events), Some(condition), "{shown}");
        assert!(sent.starts_with("<stream:error>") && sent.ends_with("</stream:stream>"), "{sent}");
        assert_eq!(client.poll_timeout(), None);
    }
}

// checks: XST-033
#[test]
fn rfc6120_s4_4_both_ends_close() {
    let now = origin();
    let (mut client, mut server) = open_pair(now);
    server.send(&message("a@b", "last"), now).unwrap();
    client.close(now);
    assert_eq!(client.send(&message("a@b", "late"), now), Err(NotOpen));
    let [at_client, at_server] = exchange(&mut client, &mut server, now);
    assert!(matches!(at_client[..], [Output::Stanza(_), Output::Closed]), "{at_client:?}");
    assert_eq!(at_server, [Output::Closed]);
}

// checks: XST-033
#[test]
fn rfc6120_s4_4_a_peer_that_does_not_close_is_not_waited_for() {
    let now = origin();
    let mut client = open_component(now);
    client.close(now);
    assert_eq!(drained(|| client.poll_output()), ("</stream:stream>".into(), vec![]));
    let deadline = client.poll_timeout().unwrap();
    assert_eq!(deadline, now + LinkConfig::CLOSE_TIMEOUT);
    client.handle_timeout(deadline);
    assert_eq!(drained(|| client.poll_output()), (String::new(), vec![Output::Closed]));
}

// checks: XST-011
#[test]
fn rfc6120_s4_9_1_1_the_peers_error_ends_the_stream() {
    let now = origin();
    let mut client = open_component(now);
    client.handle_bytes(
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text \
          xmlns='urn:ietf:params:xml:ns:xmpp-streams'>two</text></stream:error></stream:stream>",
        now,
    );
    let (sent, events) = drained(|| client.poll_output());
    assert_eq!(sent, "</stream:stream>");
    let error = StreamError::new(StreamCondition::Conflict).with_text("two");
    assert_eq!(events, [Output::Failed(LinkError::Peer(error)), Output::Closed]);
}

#[test]
fn an_end_of_connection_within_the_stream_is_a_failure() {
    let now = origin();
    let mut client = open_component(now);
    client.handle_bytes(b"<message>", now);
    client.handle_eof();
    assert_eq!(drained(|| client.poll_output()).1, [Output::Failed(LinkError::Eof), Output::Closed]);
    client.handle_eof();
    assert_eq!(client.poll_output(), None);
}

#[test]
fn a_stream_that_does_not_open_in_time_fails() {
    let now = origin();
    let mut client = component(now);
    drained(|| client.poll_output());
    let deadline = client.poll_timeout().unwrap();
    client.handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(client.poll_output(), None);
    client.handle_timeout(deadline);
    let (sent, events) = drained(|| client.poll_output());
    assert_eq!(sent, "</stream:stream>");
    assert_eq!(events, [Output::Failed(LinkError::Timeout), Output::Closed]);
}

// checks: XST-032
#[test]
fn rfc6120_s4_6_1_white_space_keeps_an_idle_stream_alive() {
    let now = origin();
    let mut client = open_component(now);
    let sent_at = now + Duration::from_secs(20);
    client.send_encoded(b"<presence/>", sent_at).unwrap();
    drained(|| client.poll_output());
    let due = client.poll_timeout().unwrap();
    assert_eq!(due, sent_at + LinkConfig::KEEPALIVE);
    client.handle_timeout(due);
    assert_eq!(drained(|| client.poll_output()), (" ".into(), vec![]));
    assert_eq!(client.poll_timeout(), Some(due + LinkConfig::KEEPALIVE));
    client.handle_bytes(b" \n ", due);
    assert_eq!(client.poll_output(), None);
}

#[test]
fn a_header_without_id_is_refused() {
    let now = origin();
    let mut client = component(now);
    client.handle_bytes(SERVER_HEADER.replace(" id='3BF96D32'", "").as_bytes(), now);
    assert_eq!(drained(|| client.poll_output()).1, vec![]);
    client.handle_bytes(b"<handshake/>", now);
    assert_eq!(refusal(&drained(|| client.poll_output()).1), Some(StreamCondition::BadFormat));
}

// checks: CMPN-004
#[test]
fn a_servers_refusal_is_heard_behind_a_header_with_an_empty_id() {
    let now = origin();
    let mut client = component(now);
    client.handle_bytes(SERVER_HEADER.replace("3BF96D32", "").as_bytes(), now);
    client.handle_bytes(
        b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
        now,
    );
    let heard = drained(|| client.poll_output()).1;
    assert!(
        heard.iter().any(|output| matches!(output, Output::Failed(LinkError::Peer(error)) if error.condition == StreamCondition::HostUnknown)),
        "{heard:?}"
    );
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", component(origin())).contains(SECRET));
    assert_eq!(handshake_digest("", &Secret::new("")).len(), 40);
}

#[test]
fn a_header_that_trickles_in_gains_no_time_at_either_end() {
    let begun = origin();
    let (mut client, mut server) = (component(begun), server(begun));
    drained(|| client.poll_output());
    let deadline = begun + LinkConfig::OPEN_TIMEOUT;
    let step = LinkConfig::OPEN_TIMEOUT / 100;
    for (number, (to_client, to_server)) in (1..).zip(SERVER_HEADER.bytes().zip(COMPONENT_HEADER.bytes())).take(99) {
        let now = begun + number * step;
        client.handle_bytes(&[to_client], now);
        server.handle_bytes(&[to_server], now);
        assert_eq!((client.poll_timeout(), server.poll_timeout()), (Some(deadline), Some(deadline)));
    }
    client.handle_timeout(deadline);
    server.handle_timeout(deadline);
    for events in [drained(|| client.poll_output()).1, drained(|| server.poll_output()).1] {
        assert_eq!(events, [Output::Failed(LinkError::Timeout), Output::Closed]);
    }
}
