//! The stream tests among the shared end-to-end vectors.

use serde_json::Value;
use xmpp_proto::component::{self, ComponentServer, LinkConfig, handshake_digest};
use xmpp_proto::dialback::{dialback_key, is_dialback_key};
use xmpp_proto::server::{Output, PeerIdentity, Secret, Security, ServerConfig};

use crate::support::*;

fn vector(id: &str) -> Value {
    let file: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/interwork/xmpp-layer.json")).unwrap();
    let tests = file["tests"].as_array().unwrap();
    tests.iter().find(|test| test["id"] == id).unwrap_or_else(|| panic!("{id} is there")).clone()
}

fn raw(test: &Value) -> &str {
    test["stimulus"][0]["raw"].as_str().unwrap()
}

/// The conditions of the stream error that a test expects.
fn conditions(test: &Value) -> Vec<&str> {
    match &test["expect"][0]["condition"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        other => panic!("{other}"),
    }
}

// checks: XST-010, XST-013, XST-020, XST-021
#[test]
fn stream_errors_of_an_authenticated_stream() {
    for id in ["XML-04", "XML-08", "XML-11", "XML-12"] {
        let (test, now) = (vector(id), origin());
        let mut stream = authenticated(server(CALLED), now);
        stream.handle_bytes(raw(&test).as_bytes(), now);
        let events = drained(|| stream.poll_output()).1;
        let condition = refusal(&events).unwrap_or_else(|| panic!("{id}: {events:?}"));
        assert!(conditions(&test).contains(&condition.as_str()), "{id}: {condition}");
        assert!(bodies(&events).is_empty(), "{id}: nothing is carried");
    }
}

// checks: XST-020
#[test]
fn xml_09_a_document_type_before_the_stream() {
    let (test, now) = (vector("XML-09"), origin());
    let mut stream = incoming(server(CALLED), Security::Plain, now);
    stream.handle_bytes(raw(&test).as_bytes(), now);
    let condition = refusal(&drained(|| stream.poll_output()).1).unwrap();
    assert!(conditions(&test).contains(&condition.as_str()), "{condition}");
}

// checks: XST-030
#[test]
fn xml_13_and_14_octets_of_a_stanza() {
    let message = |id: &str, length: usize| {
        let (start, end) = (
            format!("<message from='juliet@example.com/x' to='romeo@example.net' id='{id}'><body>"),
            "</body></message>",
        );
        format!("{start}{}{end}", "a".repeat(length - start.len() - end.len()))
    };
    let now = origin();
    assert!(
        raw(&vector("XML-13")).contains("300000") && vector("XML-14")["given"][0].as_str().unwrap().contains("10000")
    );
    let mut stream = authenticated(server(CALLED), now);
    stream.handle_bytes(message("b1", 300_000).as_bytes(), now);
    assert_eq!(refusal(&drained(|| stream.poll_output()).1).unwrap().as_str(), "policy-violation");
    let mut config: ServerConfig = server(CALLED);
    config.limits = config.limits.with_bytes(0);
    let mut stream = authenticated(config, now);
    let whole = message("b2", 10_000);
    assert_eq!(whole.len(), 10_000);
    stream.handle_bytes(whole.as_bytes(), now);
    assert!(matches!(drained(|| stream.poll_output()).1[..], [Output::Stanza { .. }]));
}

// checks: DBK-001
#[test]
fn xml_15_the_key_of_xep0185() {
    let test = vector("XML-15");
    let key = test["expect"][0]["contains"].as_str().unwrap();
    let secret = Secret::new("s3cr3tf0rd14lb4ck");
    assert_eq!(dialback_key(&secret, "xmpp.example.com", "example.org", "D60000229F"), key);
    assert!(is_dialback_key(&secret, "xmpp.example.com", "example.org", "D60000229F", key));
}

// checks: DBK-003
#[test]
fn xml_16_and_17_answers_of_the_authoritative_server() {
    for id in ["XML-16", "XML-17"] {
        let (test, now) = (vector(id), origin());
        let mut config = server("example.org");
        config.dialback_secret = Some(Secret::new("s3cr3tf0rd14lb4ck"));
        let mut stream = incoming(config, Security::Tls(PeerIdentity::default()), now);
        stream.handle_bytes(HEADER.replace("to='example.net'", "to='example.org'").as_bytes(), now);
        drained(|| stream.poll_output());
        stream.handle_bytes(raw(&test).as_bytes(), now);
        let (octets, events) = drained(|| stream.poll_output());
        assert!(octets.starts_with("<db:verify ") && events.is_empty(), "{id}: {octets}");
        for (name, value) in test["expect"][0]["attrs"].as_object().unwrap() {
            assert!(octets.contains(&format!(" {name}='{}'", value.as_str().unwrap())), "{id}: {octets}");
        }
    }
}

// checks: DBK-005
#[test]
fn xml_18_a_domain_that_is_not_hosted() {
    let (test, now) = (vector("XML-18"), origin());
    let mut stream = incoming(server(CALLED), Security::Tls(PeerIdentity::default()), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    stream.handle_bytes(raw(&test).as_bytes(), now);
    let (octets, events) = drained(|| stream.poll_output());
    assert!(octets.contains("<error type='cancel'><item-not-found ") && events.is_empty(), "{octets}");
    for (name, value) in test["expect"][0]["attrs"].as_object().unwrap() {
        assert!(octets.contains(&format!(" {name}='{}'", value.as_str().unwrap())), "{octets}");
    }
}

// checks: EXT-001, EXT-002
#[test]
fn xml_19_sasl_external() {
    let (test, now) = (vector("XML-19"), origin());
    let mut stream = incoming(server(CALLED), Security::Tls(certificate(CALLER)), now);
    stream.handle_bytes(HEADER.as_bytes(), now);
    drained(|| stream.poll_output());
    stream.handle_bytes(raw(&test).as_bytes(), now);
    assert_eq!(drained(|| stream.poll_output()).0, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
}

// checks: CMPN-002
#[test]
fn xml_26_the_handshake_of_a_component() {
    let test = vector("XML-26");
    let digest = handshake_digest("3BF96D32", &Secret::new("test"));
    assert_eq!(test["expect"][0]["contains"], format!("<handshake>{digest}</handshake>"));
}

// checks: CMPN-003
#[test]
fn xml_27_a_component_speaks_for_its_domain_alone() {
    let (test, now) = (vector("XML-27"), origin());
    let components = [("gw.example.com".to_owned(), Secret::new("test"))].into();
    let config = component::ServerConfig { components, link: LinkConfig::default() };
    let mut server = ComponentServer::new(config, "3BF96D32".into(), now);
    let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
        to='gw.example.com'><handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>";
    server.handle_bytes(header.as_bytes(), now);
    assert!(server.is_open());
    server.handle_bytes(raw(&test).as_bytes(), now);
    let mut outputs = Vec::new();
    while let Some(output) = server.poll_output() {
        outputs.push(output);
    }
    assert!(!outputs.iter().any(|output| matches!(output, component::Output::Stanza(_))), "{outputs:?}");
    assert!(!server.is_open());
}
