//! Bodies of SIP messages by their types: texts, HTML, multiparts, objects.

use adapter_sip::mapping::content::from_body;
use adapter_xmpp::mapping::xhtml;
use bytes::{Bytes, BytesMut};
use impp_model::{Address, Endpoint, InstantMessage, MaxForwards, MessageOperation, TransId};
use sip_proto::header::MediaType;
use strict_xml::{Limits, Scope, parse_element, write_element};

use crate::carried;

/// The first line of `input` is the type, the rest the body.
pub fn run(input: &[u8]) {
    let mut halves = input.splitn(2, |octet| *octet == b'\n');
    let (head, body) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(body) {
        markup(text);
    }
    let Ok(media) = std::str::from_utf8(head).map(str::trim_end).map(MediaType::parse) else { return };
    let Ok(media) = media else { return };
    let Ok(read) = from_body(&media, Bytes::copy_from_slice(body), None) else { return };
    let read = read.value;
    assert!(read.content.as_text().is_some(), "what is shown is text");
    let end = |text| Endpoint::bare(Address::parse_bare(text).expect("a constant address"));
    let message =
        InstantMessage { alternatives: read.alternatives, files: read.files, ..InstantMessage::new(read.content) };
    carried::message(&MessageOperation {
        source: end("a@example.com"),
        destination: end("b@example.net"),
        max_forwards: MaxForwards::INITIAL,
        trans_id: TransId::from("t"),
        message,
    });
}

/// Whatever somebody calls HTML becomes harmless XHTML, and text that is not much longer.
fn markup(text: &str) {
    let content = xhtml::sanitize(&xhtml::parse(text));
    assert!(xhtml::to_text(&content).len() <= 4 * text.len() + 1, "text does not grow");
    let mut octets = BytesMut::new();
    write_element(&mut octets, &xhtml::wrap(content), "");
    let roomy = Limits::default().with_bytes(1 << 24).with_attributes(1000);
    assert!(parse_element(&octets, &Scope::new(), &roomy).is_ok(), "{}", String::from_utf8_lossy(&octets));
}
