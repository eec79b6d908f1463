//! Stanzas, and the streams of components that carry them.

use std::time::Instant;

use bytes::BytesMut;
use strict_xml::{Element, Limits, Scope, parse_element};
use xmpp_proto::component::{
    ComponentConfig, ComponentServer, ComponentStream, LinkConfig, Output, Secret, ServerConfig,
};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{Condition, Stanza, StanzaError, encode, error_reply};

/// Reads `input` as one stanza, then as what either end of a component stream receives.
pub fn run(input: &[u8]) {
    if let Ok(element) = parse_element(input, &Scope::with_default("jabber:server"), &Limits::default()) {
        stanza(element);
    }
    let now = Instant::now();
    let link = LinkConfig { limits: Limits::default().with_bytes(Limits::MIN_BYTES), ..LinkConfig::default() };
    let secret = Secret::new("secret");
    let config = ComponentConfig { domain: "gw.example".to_owned(), secret: secret.clone(), link };
    let mut component = ComponentStream::new(config, now);
    let mut server = ComponentServer::new(
        ServerConfig { components: [("gw.example".to_owned(), secret)].into(), link },
        "1".to_owned(),
        now,
    );
    for octets in input.chunks(PORTION) {
        component.handle_bytes(octets, now);
        while let Some(output) = component.poll_output() {
            received(output);
        }
        server.handle_bytes(octets, now);
        while let Some(output) = server.poll_output() {
            received(output);
        }
    }
    component.handle_eof();
    server.handle_eof();
    assert!(!component.is_open() && !server.is_open(), "a stream does not outlive its connection");
}

fn received(output: Output) {
    match output {
        Output::Stanza(element) => stanza(element),
        Output::Send(_) | Output::Opened | Output::Failed(_) | Output::Closed => {}
    }
}

fn stanza(element: Element) {
    let reply = error_reply(&element, &StanzaError::new(Condition::BadRequest));
    if let Some(reply) = &reply {
        // RFC 6120 §8.3.1: an error is never answered by an error.
        assert_eq!(error_reply(reply, &StanzaError::new(Condition::BadRequest)), None);
        encodes(reply);
    }
    match Stanza::from_element(element) {
        Ok(stanza) => {
            read(&stanza);
            encodes(stanza.element());
        }
        Err(rejected) => assert_eq!(rejected.reply(), reply),
    }
}

fn encodes(element: &Element) {
    let mut octets = BytesMut::new();
    encode(&mut octets, element);
    let mut scope = Scope::new();
    scope.declare("", element.ns.clone());
    let again = parse_element(&octets, &scope, &Limits::default().with_bytes(1 << 24).with_attributes(1000));
    assert_eq!(again.as_ref(), Ok(element), "{}", String::from_utf8_lossy(&octets));
}

/// Reads every typed view; each may find nothing and none may panic.
fn read(stanza: &Stanza) {
    match stanza {
        Stanza::Message(message) => {
            let _ = (message.kind(), message.body(), message.bodies().count(), message.subjects().count());
            let _ = (message.thread(), message.delay(), message.error(), message.lang(), message.id());
        }
        Stanza::Presence(presence) => {
            let _ = (presence.kind(), presence.show(), presence.statuses().count(), presence.priority());
            let _ = (presence.error(), presence.delay());
        }
        Stanza::Iq(iq) => {
            let _ = (iq.query(), iq.error(), iq.result(None));
        }
    }
    for address in ["to", "from"].iter().filter_map(|name| stanza.element().attr(name)) {
        let _ = Jid::parse(address);
    }
}

/// Odd, so that tags are cut anywhere.
const PORTION: usize = 13;
