//! Entry points for fuzzers: any octets in, broken promises panic.

mod server; // RFC 6120

use std::time::Instant;

use bytes::BytesMut;
use strict_xml::{Limits, Scope, parse_element};

use crate::component::{ComponentConfig, ComponentStream, LinkConfig, Output, Secret};
use crate::ns;
use crate::stanza::{Stanza, encode, error_reply};

pub use server::{Peer, incoming_stream, outgoing_stream};

/// Feeds a component stream: `input` is its peer's octets, in portions of `portion`.
///
/// Checks that nothing follows `Closed`, and that what is sent is UTF-8.
pub fn component_stream(input: &[u8], portion: usize, now: Instant) {
    let config = ComponentConfig { domain: "c.example".into(), secret: Secret::new("s"), link: LinkConfig::default() };
    let mut stream = ComponentStream::new(config, now);
    let mut closed = false;
    for octets in input.chunks(portion.max(1)) {
        stream.handle_bytes(octets, now);
        while let Some(output) = stream.poll_output() {
            assert!(!closed, "output after the end: {output:?}");
            match output {
                Output::Send(sent) => assert!(std::str::from_utf8(&sent).is_ok(), "sent what is not UTF-8"),
                Output::Closed => closed = true,
                Output::Stanza(element) => drop(Stanza::from_element(element)),
                Output::Opened | Output::Failed(_) => {}
            }
        }
    }
    assert!(!closed || stream.poll_timeout().is_none(), "a timer after the end");
}

/// Parses one stanza; what is accepted is written, read back equal, and answered.
pub fn stanza(input: &[u8]) {
    let scope = Scope::with_default(ns::CLIENT);
    let limits = Limits::default().with_bytes(input.len());
    let Ok(element) = parse_element(input, &scope, &limits) else { return };
    let mut written = BytesMut::new();
    encode(&mut written, &element);
    let inherited = Scope::with_default(ns::CLIENT);
    // Escaping makes text longer.
    let roomy = limits.with_bytes(input.len().saturating_mul(64));
    if element.ns == *ns::CLIENT {
        let read = parse_element(&written, &inherited, &roomy);
        assert_eq!(read.as_ref(), Ok(&element), "written and read back");
    }
    let accepted = Stanza::from_element(element.clone());
    let error = match &accepted {
        Ok(stanza) => error_reply(stanza.element(), &crate::stanza::Condition::ServiceUnavailable.into()),
        Err(rejected) => rejected.reply(),
    };
    let answered =
        error.is_some_and(|error| error_reply(&error, &crate::stanza::Condition::BadRequest.into()).is_some());
    assert!(!answered, "an error was answered by an error");
}
