//! What one protocol brought as every other carries it: each form is sound, and can be read.

use std::time::UNIX_EPOCH;

use adapter_external::mapping::{read_operation, write_operation};
use adapter_sip::ids::RequestIds;
use adapter_sip::mapping::message::{Form, is_carried, to_request, unsayable};
use adapter_sip::mapping::presence::Document;
use adapter_xmpp::mapping::message::{Stamp, stanza_id, write};
use bytes::BytesMut;
use impp_model::{DateTime, Endpoint, MaxForwards, MessageOperation, Operation, PresenceInfo};
use sip_proto::build::TopVia;
use sip_proto::limits::MAX_HEAD;
use sip_proto::message::Message;
use strict_xml::{Element, Limits, Scope, SharedStr, parse_element};
use xmpp_proto::ns;
use xmpp_proto::stanza::{Stanza, encode};

/// Carries a message everywhere.
pub(crate) fn message(message: &MessageOperation) {
    over_sip(message);
    let stamp = Stamp { id: &stanza_id(message), gateway: "gw.example.com", now: UNIX_EPOCH };
    let mut octets = BytesMut::new();
    if let Ok(Some(_)) = write(&mut octets, message, stamp) {
        readable(&octets, ns::CLIENT);
    }
    if let Ok(mapped) = adapter_native::mapping::to_event(message, None) {
        let json = serde_json::to_vec(&mapped.event).expect("texts can be written");
        assert_eq!(serde_json::from_slice(&json).ok(), Some(mapped.event), "an event reads back");
    }
    operation(&Operation::Message(Box::new(message.clone())));
}

/// Carries an operation to an adapter in another process.
pub(crate) fn operation(operation: &Operation) {
    let Some(frame) = write_operation(operation) else { return };
    let read = read_operation(Some(frame.clone())).expect("what was written can be read");
    // That no hop is left is not said in a frame.
    if operation.clone().max_forwards_mut().is_none_or(|hops| *hops != MaxForwards(0)) {
        assert_eq!(write_operation(&read), Some(frame), "a frame reads back");
    }
}

/// Tells everybody a state.
pub(crate) fn presence(info: &PresenceInfo, presentity: &Endpoint, watcher: &Endpoint) {
    if let Ok(mapped) = Document::of_info(info, &presentity.address, None) {
        let _ = mapped.value.to_info(None);
    }
    if let Ok(mapped) = adapter_xmpp::mapping::presence::to_stanzas(info, &presentity.address, watcher) {
        mapped.value.iter().for_each(|stanza| sound(stanza.element()));
    }
    let event = adapter_native::mapping::presence::to_event(info, &presentity.address, &watcher.address).value;
    let json = serde_json::to_vec(&event).expect("texts can be written");
    assert_eq!(serde_json::from_slice(&json).ok(), Some(event), "an event reads back");
}

fn over_sip(message: &MessageOperation) {
    if unsayable(message).is_some() || !is_carried(&message.message) {
        return;
    }
    let ids = RequestIds::of_message(message, 0);
    let branch = ids.branch(0);
    let via = TopVia { transport: "TCP", sent_by: "gw.example.com", branch: &branch, rport: false, alias: false };
    let now = DateTime::parse("2026-11-22T12:00:00Z").expect("a constant time");
    for form in [Form::Plain, Form::Wrapped(&now), Form::Unwrapped] {
        let octets = to_request(message, &ids, &ids.call_id(), form).value.encode(&via);
        match Message::parse(octets.clone()) {
            Ok(request) => assert!(request.verify().is_ok(), "{:?}: {octets:?}", request.verify()),
            Err(error) => assert!(octets.len() > MAX_HEAD, "{error}: {octets:?}"),
        }
    }
}

fn sound(stanza: &Element) {
    let mut octets = BytesMut::new();
    encode(&mut octets, stanza);
    readable(&octets, stanza.ns.as_str());
}

/// A stanza that was written can be read where `ns` is the default namespace.
fn readable(octets: &[u8], ns: &str) {
    let roomy = Limits::default().with_bytes(1 << 24).with_attributes(1000);
    let mut scope = Scope::new();
    scope.declare("", SharedStr::copy(ns));
    let element = parse_element(octets, &scope, &roomy);
    let read = element.map(Stanza::from_element);
    assert!(matches!(read, Ok(Ok(_))), "{read:?}: {}", String::from_utf8_lossy(octets));
}
