//! One SIP message: structure, headers, and the answer to it, even when it is broken.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use sip_proto::build::{ResponseBuilder, put_header};
use sip_proto::header_id::HeaderId;
use sip_proto::limits::{MAX_BODY, MAX_HEAD, MAX_HEADERS};
use sip_proto::message::{Message, Salvage};

/// Parses `input` as a datagram.
pub fn run(input: &[u8]) {
    let octets = Bytes::copy_from_slice(input);
    match Message::parse(octets.clone()) {
        Ok(message) => sound(&message),
        Err(error) => {
            if let Some(salvage) = Salvage::of(&octets) {
                answer(salvage.request(), error.status(), false);
            }
        }
    }
}

fn sound(message: &Message) {
    assert!(message.all_headers().count() <= MAX_HEADERS && message.body().len() <= MAX_BODY, "limits hold");
    assert!(message.octets().len() - message.body().len() <= MAX_HEAD + SLACK, "limits hold");
    let again = Message::parse(message.octets().clone());
    assert!(again.is_ok_and(|again| again.body() == message.body()), "what was accepted is accepted again");
    read(message);
    rewrite(message);
    let verified = message.verify().is_ok();
    if message.is_request() {
        answer(message, if verified { 200 } else { 400 }, verified);
    }
}

/// Reads every typed view; each may fail and none may panic.
fn read(message: &Message) {
    let _ = (message.request_uri(), message.reason(), message.is_version_2(), message.content_type());
    let _ = (message.only(HeaderId::Subject), message.max_forwards(), message.vias().count());
    for id in [HeaderId::Contact, HeaderId::Route, HeaderId::RecordRoute] {
        let _ = message.addresses(id).count();
    }
}

/// Headers written anew read the same, and are as many.
fn rewrite(message: &Message) {
    let mut out = BytesMut::from(&b"MESSAGE sip:a@example.com SIP/2.0\r\n"[..]);
    let kept = || message.all_headers().filter(|header| header.id != HeaderId::ContentLength);
    for header in kept() {
        put_header(&mut out, header.name(), header.display().as_bytes());
    }
    out.put_slice(b"\r\n");
    // Quoted pairs may hold controls, which are left out: the value may then be malformed, never longer or more.
    let Ok(again) = Message::parse(out.freeze()) else { return };
    assert_eq!(again.all_headers().count(), kept().count(), "no header begins another");
}

/// The answer parses, has the status, echoes each Via line, and is sound when the request is.
fn answer(request: &Message, status: u16, verified: bool) {
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
    let octets = ResponseBuilder::new(request, status).source(source).to_tag("tag").encode();
    if octets.len() > MAX_HEAD {
        // What it echoes was as long as a head may be.
        return;
    }
    let answer = Message::parse(octets.clone());
    assert!(answer.is_ok(), "{answer:?}: {octets:?}");
    let Ok(answer) = answer else { return };
    assert_eq!(answer.status().map(|status| status.code()), Some(status));
    assert_eq!(answer.headers(HeaderId::Via).count(), request.headers(HeaderId::Via).count());
    assert!(answer.body().is_empty());
    assert!(answer.verify().is_ok() || !verified, "the answer to a sound request is sound: {octets:?}");
}

/// The empty lines that may stand in front of a message.
const SLACK: usize = 64;
