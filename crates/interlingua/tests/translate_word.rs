//! `interlingua translate` of receipts and composing states: each form into each other.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use impp_model::Endpoint;
use interlingua::commands::translate::{Protocol, Setting, Translation, translate};

const SIP: &str = "MESSAGE sip:romeo@example.net SIP/2.0\r\nVia: SIP/2.0/TCP s.example.com;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\nFrom: <sip:juliet@example.com>;tag=1\r\nTo: <sip:romeo@example.net>\r\nCall-ID: c1\r\n\
    CSeq: 1 MESSAGE\r\nContent-Type: ";
const OBJECT: &str = "From: <im:juliet@example.com>\r\nTo: <im:romeo@example.net>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
    imdn.Message-ID: d834jied93rf\r\n\r\n";

fn run(from: Protocol, to: Protocol, input: &str) -> Translation {
    let end = |address: &str| Endpoint::bare(address.parse().unwrap());
    let setting = Setting {
        sender: end("juliet@example.com"),
        receiver: end("romeo@example.net"),
        gateway: "gw.example.com".to_owned(),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800),
    };
    translate(from, to, input.as_bytes(), &setting)
}

fn imdn(status: &str, kind: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\
         <message-id>m1</message-id><datetime>2026-11-22T12:16:49Z</datetime>\
         <recipient-uri>im:juliet@example.com</recipient-uri>\
         <{kind}-notification><status><{status}/></status></{kind}-notification></imdn>"
    )
}

fn composing(state: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\">\
         <state>{state}</state>{more}</isComposing>"
    )
}

fn in_object(media_type: &str, content: &str) -> String {
    format!("{OBJECT}Content-Type: {media_type}\r\nContent-Disposition: notification\r\n\r\n{content}")
}

fn in_sip(media_type: &str, content: &str) -> String {
    format!("{SIP}{media_type}\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

/// Each form of the same word, and what any other form of it holds.
fn forms(sip: String, cpim: String, xmpp: &str, event: &str) -> [(Protocol, String); 4] {
    [
        (Protocol::Sip, sip),
        (Protocol::Cpim, cpim),
        (Protocol::Xmpp, format!("<message from='juliet@example.com' to='romeo@example.net' {xmpp}")),
        (Protocol::Native, event.to_owned()),
    ]
}

/// Translates each form into each, but for the pairs that say nothing.
fn assert_every_pair(forms: &[(Protocol, String); 4], expected: [&[&str]; 4], silent: &[(Protocol, Protocol)]) {
    for (from, input) in forms {
        for ((to, _), holds) in forms.iter().zip(expected) {
            if silent.contains(&(*from, *to)) {
                assert!(matches!(run(*from, *to, input), Translation::Nothing { .. }), "{from:?} to {to:?}");
                continue;
            }
            let Translation::Translated { output, dropped, .. } = run(*from, *to, input) else {
                panic!("{from:?} to {to:?}: {:?}", run(*from, *to, input));
            };
            for piece in holds {
                assert!(output.contains(piece), "{from:?} to {to:?}: no {piece} in {output}");
            }
            assert!(dropped.iter().all(|field| ["and_earlier", "thread", "refresh"].contains(field)), "{dropped:?}");
        }
    }
}

// checks: CMP-022, CMP-024, IMDN-004, IMDN-006
#[test]
fn receipts_come_through_every_form() {
    for (status, kind, xmpp) in [
        ("delivered", "delivery", "<received xmlns='urn:xmpp:receipts' id='m1'/>"),
        ("displayed", "display", "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>"),
    ] {
        let object = in_object("message/imdn+xml", &imdn(status, kind));
        let event = format!(
            r#"{{"from":"juliet@example.com","id":"m1","disposition":"{status}","sent":"2026-11-22T12:16:49Z"}}"#
        );
        let stanza = format!("type='chat' id='r1'>{xmpp}</message>");
        let forms = forms(in_sip("message/cpim", &object), object.clone(), &stanza, &event);
        let (element, disposition) = (format!("<{status}/>"), format!(r#""disposition":"{status}""#));
        let receipt = if status == "delivered" { "urn:xmpp:receipts" } else { "urn:xmpp:chat-markers:0" };
        let cpim: &[&str] =
            &["<message-id>m1</message-id>", &element, "imdn.Message-ID: ", "Content-Type: message/imdn+xml"];
        assert_every_pair(&forms, [cpim, cpim, &["id='m1'", receipt], &[r#""id":"m1""#, &disposition]], &[]);
    }
}

// checks: CMP-023, CMP-024
#[test]
fn failures_come_through_every_form() {
    let object = in_object("message/imdn+xml", &imdn("forbidden", "delivery"));
    let event = r#"{"from":"juliet@example.com","id":"m1","disposition":"failed","reason":"forbidden",
        "sent":"2026-11-22T12:16:49Z"}"#;
    let stanza = "type='error' id='m1'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    let forms = forms(in_sip("message/cpim", &object), object.clone(), stanza, event);
    let cpim: &[&str] = &["<message-id>m1</message-id>", "<delivery-notification><status><forbidden/>"];
    assert_every_pair(
        &forms,
        [cpim, cpim, &["type='error'", "id='m1'", "<forbidden"], &[r#""reason":"forbidden""#, r#""id":"m1""#]],
        // RFC 6120 §8.3.1: an error answers a stanza of the link's own; it is never forwarded.
        &[Protocol::Sip, Protocol::Cpim, Protocol::Xmpp, Protocol::Native].map(|to| (Protocol::Xmpp, to)),
    );
}

// checks: CMP-001, CMP-002, CMP-005, ISC-001
#[test]
fn composing_states_come_through_every_form() {
    let active = composing("active", "<refresh>90</refresh>");
    let media = "application/im-iscomposing+xml";
    let forms_of = |content: &str, chat_state: &str, state: &str| {
        let stanza = format!("type='chat'><{chat_state} xmlns='http://jabber.org/protocol/chatstates'/></message>");
        let event = format!(r#"{{"from":"juliet@example.com","state":"{state}"}}"#);
        forms(in_sip(media, content), in_object(media, content), &stanza, &event)
    };
    let expected = |rfc: &'static [&'static str], xmpp: &'static [&'static str], native| [rfc, rfc, xmpp, native];
    assert_every_pair(
        &forms_of(&active, "composing", "composing"),
        expected(&["<state>active</state>"], &["<composing", "type='chat'"], &[r#""state":"composing""#]),
        &[],
    );
    let idle = composing("idle", "");
    assert_every_pair(
        &forms_of(&idle, "active", "active"),
        expected(&["<state>idle</state>"], &["<active"], &[r#""state":"active""#]),
        &[(Protocol::Xmpp, Protocol::Sip), (Protocol::Xmpp, Protocol::Cpim)],
    );
}

// checks: CMP-001, CMP-020
#[test]
fn what_a_form_has_no_place_for_is_named() {
    let stanza = |inside: &str| {
        format!("<message from='juliet@example.com' to='romeo@example.net' type='chat' id='r1'>{inside}</message>")
    };
    let lost = |from, to, input: &str| match run(from, to, input) {
        Translation::Translated { degraded, dropped, .. } => (degraded, dropped),
        other @ (Translation::Nothing { .. } | Translation::Refused { .. }) => panic!("{other:?}"),
    };
    let gone = stanza("<gone xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>");
    assert_eq!(lost(Protocol::Xmpp, Protocol::Cpim, &gone), (vec!["state"], vec!["thread"]));
    let active = composing("active", "<contenttype>text/plain</contenttype><refresh>90</refresh>");
    let status = in_sip("application/im-iscomposing+xml", &active);
    assert_eq!(lost(Protocol::Sip, Protocol::Xmpp, &status), (vec![], vec!["content_type", "refresh"]));
    assert_eq!(lost(Protocol::Sip, Protocol::Native, &status), (vec![], vec!["content_type"]));
    let seen = stanza("<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>");
    assert_eq!(lost(Protocol::Xmpp, Protocol::Sip, &seen), (vec![], vec!["and_earlier"]));

    let stored = in_object("message/imdn+xml", &imdn("stored", "processing"));
    assert!(matches!(run(Protocol::Cpim, Protocol::Xmpp, &stored), Translation::Nothing { .. }));
    assert!(matches!(run(Protocol::Cpim, Protocol::Native, &stored), Translation::Translated { .. }));
    let refused = in_object("message/imdn+xml", &imdn("forbidden", "display"));
    assert!(matches!(run(Protocol::Cpim, Protocol::Xmpp, &refused), Translation::Nothing { .. }));
    assert!(matches!(run(Protocol::Cpim, Protocol::Pidf, &stored), Translation::Refused { .. }));
    let broken = in_object("message/imdn+xml", "<imdn/>");
    assert!(matches!(run(Protocol::Cpim, Protocol::Xmpp, &broken), Translation::Refused { sip_status: 400, .. }));
}

#[test]
fn native_requests_are_read_like_their_events() {
    let report = r#"{"to":"romeo@example.net","id":"m1","report":"display"}"#;
    let state = r#"{"to":"romeo@example.net","state":"composing","refresh":60}"#;
    for (input, holds) in [(report, "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>"), (state, "<composing")] {
        let Translation::Translated { output, .. } = run(Protocol::Native, Protocol::Xmpp, input) else {
            panic!("{:?}", run(Protocol::Native, Protocol::Xmpp, input));
        };
        assert!(output.contains(holds) && output.contains("from='juliet@example.com'"), "{output}");
    }
    let wrong = r#"{"to":"romeo@example.net","id":"m1","report":"failure"}"#;
    assert!(matches!(run(Protocol::Native, Protocol::Xmpp, wrong), Translation::Refused { .. }));
}
