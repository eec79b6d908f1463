//! Documents about messages: disposition notifications, composing states, end-to-end objects in XML.

use bytes::BytesMut;
use cpim::composing::IsComposing;
use cpim::e2e;
use cpim::imdn::{Imdn, Status};
use strict_xml::{Limits, Scope, parse_element};

/// Reads `input` as each of them.
pub fn run(input: &[u8]) {
    if let Ok(imdn) = Imdn::parse(input) {
        match imdn.encode() {
            Some(octets) => assert_eq!(Imdn::parse(&octets), Ok(imdn), "a notification reads back"),
            None => assert!(matches!(imdn.status, Status::Extension(_)), "only extensions are not written"),
        }
    }
    if let Ok(status) = IsComposing::parse(input) {
        let again = IsComposing::parse(&status.encode()).expect("a status reads back");
        assert_eq!((again.state, again.refresh), (status.state, status.refresh), "a status keeps its meaning");
        assert_eq!(again.content_type, status.content_type, "a status keeps its type");
    }
    carried(input);
}

/// What XML can carry comes out as it went in.
fn carried(input: &[u8]) {
    let mut out = BytesMut::new();
    if e2e::wrap(&mut out, input).is_err() {
        assert!(out.is_empty(), "nothing is written of what cannot be carried");
        return;
    }
    let limits = Limits::default().with_bytes(out.len() + Limits::MIN_BYTES);
    let element = parse_element(&out, &Scope::new(), &limits).expect("a wrapped object is XML");
    assert_eq!(e2e::unwrap(&element).as_deref(), Some(input), "a wrapped object comes out whole");
}
