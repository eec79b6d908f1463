//! A stream of XML in any portions, then each element it holds.

use bytes::BytesMut;
use strict_xml::{Frame, Framer, Limits, Scope, XmlError, XmlErrorKind, parse_document, parse_element, write_element};

/// Feeds `input` whole and in small portions: the frames must be the same, and bounded.
pub fn run(input: &[u8]) {
    let limits = Limits::default().with_bytes(LIMIT);
    let whole = frames(input, input.len().max(1), limits);
    for portion in PORTIONS {
        let same = frames(input, *portion, limits);
        assert_eq!(same.0, whole.0, "in portions of {portion}");
        assert!(
            agree(same.1.as_ref(), whole.1.as_ref()),
            "in portions of {portion}: {:?}, whole: {:?}",
            same.1,
            whole.1
        );
    }
    let mut scope = Scope::new();
    for frame in whole.0 {
        match frame {
            Frame::Open(tag) => scope = tag.scope,
            Frame::Element(octets) => element(&octets, &scope, limits),
            Frame::Whitespace | Frame::Close => {}
        }
    }
    let _ = parse_document(input, &limits);
}

/// All frames, and the error that ended them.
fn frames(input: &[u8], portion: usize, limits: Limits) -> (Vec<Frame>, Option<XmlError>) {
    let mut framer = Framer::new(limits);
    let mut found = Vec::new();
    for octets in input.chunks(portion) {
        framer.push(octets);
        loop {
            match framer.next_frame() {
                // How white space is cut is up to the portions.
                Ok(Some(Frame::Whitespace)) => {}
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(framer.buffered() <= LIMIT, "memory is bounded: {}", framer.buffered());
    }
    (found, None)
}

/// When an element is too long, how much of it was seen decides where that is noticed, and what else is noticed first.
fn agree(one: Option<&XmlError>, other: Option<&XmlError>) -> bool {
    let too_long = |error: &XmlError| matches!(error.kind, XmlErrorKind::TooLong { .. });
    match (one, other) {
        (Some(one), Some(other)) => one == other || too_long(one) || too_long(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn element(octets: &[u8], scope: &Scope, limits: Limits) {
    let Ok(element) = parse_element(octets, scope, &limits) else { return };
    let mut written = BytesMut::new();
    write_element(&mut written, &element, "");
    let again = parse_element(&written, &Scope::new(), &Limits::default().with_bytes(1 << 20).with_attributes(1000));
    assert_eq!(again.as_ref(), Ok(&element), "{}", String::from_utf8_lossy(&written));
}

/// Small, so that inputs reach it.
const LIMIT: usize = Limits::MIN_BYTES;
const PORTIONS: &[usize] = &[1, 7];
