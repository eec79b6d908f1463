//! The 36 cases that tell XML readers apart, each inside a stanza of an authenticated stream and before authentication:
//! 34 that are no XMPP and end the stream, two beyond our limits, which are refused alone.

use std::fmt::Write as _;

use strict_xml::Limits;
use xmpp_proto::server::{Output, Security};
use xmpp_proto::stream::StreamCondition::{self, NotWellFormed, PolicyViolation, RestrictedXml};

use crate::support::*;

/// What stands where the body of a message would, and the stream error that answers it (RFC 6120 §4.9.3, §11.1).
fn cases() -> Vec<(String, StreamCondition)> {
    let fixed = [
        ("<!DOCTYPE a>", RestrictedXml),
        ("<!DOCTYPE a [<!ENTITY b \"c\">]>", RestrictedXml),
        ("<!ENTITY b SYSTEM 'file:///etc/passwd'>", RestrictedXml),
        ("<!ELEMENT a ANY>", RestrictedXml),
        ("&b;", RestrictedXml),
        ("&nbsp;", RestrictedXml),
        ("<a b='&xxe;'/>", RestrictedXml),
        ("<?pi x?>", RestrictedXml),
        ("<?xml version='1.0'?>", RestrictedXml),
        ("<!-- c -->", RestrictedXml),
        ("\u{1}", NotWellFormed),
        ("\u{fffe}", NotWellFormed),
        ("\u{ffff}", NotWellFormed),
        ("<a b='\u{b}'/>", NotWellFormed),
        ("&#0;", NotWellFormed),
        ("&#x1F;", NotWellFormed),
        ("&#xD800;", NotWellFormed),
        ("&#x110000;", NotWellFormed),
        ("&amp", NotWellFormed),
        ("& ", NotWellFormed),
        ("]]>", NotWellFormed),
        ("<a b='<'/>", NotWellFormed),
        ("<1a/>", NotWellFormed),
        ("<a:b:c/>", NotWellFormed),
        ("<a b='1'c='2'/>", NotWellFormed),
        ("<a b/>", NotWellFormed),
        ("<a b=1/>", NotWellFormed),
        ("<a b='1' b='2'/>", NotWellFormed),
        ("<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>", NotWellFormed),
        ("<p:a/>", NotWellFormed),
        ("<a p:b='1'/>", NotWellFormed),
        ("<a xmlns:p=''/>", NotWellFormed),
        ("<a xmlns:xml='u'/>", NotWellFormed),
        ("<a></b>", NotWellFormed),
    ];
    fixed.map(|(octets, condition)| (octets.to_owned(), condition)).into()
}

/// Well formed, and more than is taken of one stanza.
fn beyond_limits() -> [String; 2] {
    let deep = "<a>".repeat(1_000) + &"</a>".repeat(1_000);
    let many = (0..1_000).fold(String::from("<a"), |mut tag, number| {
        let _ = write!(tag, " b{number}=''");
        tag
    }) + "/>";
    [deep, many]
}

fn before_and_after(fault: &str) -> String {
    let stanza =
        |id: &str, inside: &str| format!("<message from='a@{CALLER}' to='b@{CALLED}' id='{id}'>{inside}</message>");
    stanza("bad", fault) + &stanza("after", "<body>smuggled</body>")
}

// checks: XST-020, XST-021
#[test]
fn rfc6120_s11_1_what_is_no_xmpp_ends_the_stream_wherever_it_is_cut() {
    let cases = cases();
    assert_eq!(cases.len() + beyond_limits().len(), 36);
    for (fault, condition) in cases {
        let octets = before_and_after(&fault);
        let shown = &fault[..fault.len().min(60)];
        for portion in [1, 7, octets.len()] {
            let now = origin();
            let mut stream = authenticated(plain(CALLED), now);
            octets.as_bytes().chunks(portion).for_each(|octets| stream.handle_bytes(octets, now));
            let (sent, events) = drained(|| stream.poll_output());
            assert_eq!(refusal(&events), Some(condition), "{shown} by {portion}");
            assert!(!events.iter().any(|event| matches!(event, Output::Stanza { .. })), "carried: {shown}");
            assert!(sent.ends_with("</stream:stream>") && sent.len() < 1_000, "{shown}: {sent}");
        }
    }
}

// checks: XST-021
#[test]
fn rfc6120_s13_12_a_stanza_beyond_the_limits_is_refused_alone() {
    for fault in beyond_limits() {
        let (now, octets) = (origin(), before_and_after(&fault));
        let mut stream = authenticated(plain(CALLED), now);
        octets.as_bytes().chunks(7).for_each(|octets| stream.handle_bytes(octets, now));
        let (sent, events) = drained(|| stream.poll_output());
        assert_eq!((refusal(&events), bodies(&events)), (None, vec!["smuggled".to_owned()]), "{sent}");
        // Who holds the stream answers it.
        let is_refused =
            |event: &Output| matches!(event, Output::Excess { element, .. } if element.attr("id") == Some("bad"));
        assert!(events.iter().any(is_refused), "{events:?}");
    }
}

// checks: XST-005
#[test]
fn rfc6120_s13_12_before_authentication_it_is_the_same() {
    for fault in cases().into_iter().map(|(fault, _)| fault).chain(beyond_limits()) {
        let now = origin();
        let mut stream = incoming(server(CALLED), Security::Plain, now);
        stream.handle_bytes(HEADER.as_bytes(), now);
        stream.handle_bytes(before_and_after(&fault).as_bytes(), now);
        let (sent, events) = drained(|| stream.poll_output());
        assert!(events.contains(&Output::Closed), "{fault}");
        assert!(!events.iter().any(|event| matches!(event, Output::Stanza { .. })), "carried: {fault}");
        assert!(sent.matches("<stream:error>").count() == 1, "{fault}: {sent}");
    }
}

#[test]
fn rfc6120_s13_12_a_stream_that_never_ends_a_tag_keeps_no_more_than_the_limit() {
    let now = origin();
    let mut stream = authenticated(plain(CALLED), now);
    let portion = "<message from='a@example.com' ".to_owned() + &"x".repeat(4_096);
    let mut fed = 0;
    while !stream.is_closed() && fed < 100 << 20 {
        stream.handle_bytes(portion.as_bytes(), now);
        fed += portion.len();
    }
    assert_eq!(refusal(&drained(|| stream.poll_output()).1), Some(PolicyViolation));
    assert!(fed <= Limits::default().bytes() + portion.len(), "{fed}");
}
