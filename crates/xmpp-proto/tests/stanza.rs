//! Stanzas read, made, answered and written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use bytes::BytesMut;
use strict_xml::{Element, Limits, Scope, SharedStr, parse_element};
use xmpp_proto::ns;
use xmpp_proto::stanza::{
    Condition, Iq, IqType, Message, MessageType, Presence, PresenceType, Show, Stanza, StanzaError, StanzaFault,
    Thread, encode,
};

fn element(text: &str) -> Element {
    parse_element(text.as_bytes(), &Scope::with_default(ns::SERVER), &Limits::default()).unwrap()
}

fn message(text: &str) -> Message {
    match Stanza::from_element(element(text)).unwrap() {
        Stanza::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn presence(text: &str) -> Presence {
    match Stanza::from_element(element(text)).unwrap() {
        Stanza::Presence(presence) => presence,
        other => panic!("{other:?}"),
    }
}

fn iq(text: &str) -> Iq {
    match Stanza::from_element(element(text)).unwrap() {
        Stanza::Iq(iq) => iq,
        other => panic!("{other:?}"),
    }
}

fn encoded(element: &Element) -> String {
    let mut out = BytesMut::new();
    encode(&mut out, element);
    String::from_utf8(out.to_vec()).unwrap()
}

// checks: XST-015, XEX-004
#[test]
fn a_full_message_is_read() {
    let message = message(
        "<message from='juliet@example.com/balcony' to='romeo@example.net' id='m1' type='chat' xml:lang='en'>\
         <subject>S</subject><subject xml:lang='cs'>T</subject><body>B &lt;</body><body xml:lang='cs'>C</body>\
         <thread parent='p0'> t1 </thread><delay xmlns='urn:xmpp:delay' from='example.com' stamp='2026-01-02T03:04:05Z'/>\
         <body xmlns='urn:other'>not a body</body></message>",
    );
    assert_eq!((message.from(), message.to()), (Some("juliet@example.com/balcony"), Some("romeo@example.net")));
    assert_eq!((message.id(), message.kind(), message.lang()), (Some("m1"), MessageType::Chat, Some("en")));
    let bodies: Vec<_> = message.bodies().map(|body| (body.lang.unwrap(), body.text.into_owned())).collect();
    assert_eq!(bodies, [("en", "B <".into()), ("cs", "C".into())]);
    let subjects: Vec<_> =
        message.subjects().map(|subject| (subject.lang.unwrap(), subject.text.into_owned())).collect();
    assert_eq!(subjects, [("en", "S".into()), ("cs", "T".into())]);
    assert_eq!(message.thread(), Some(Thread { id: "t1".into(), parent: Some("p0".into()) }));
    let delay = message.delay().unwrap();
    assert_eq!((delay.stamp, delay.from), ("2026-01-02T03:04:05Z", Some("example.com")));
    assert_eq!(message.payloads().count(), 2);
    assert_eq!(message.error(), None);
}

// checks: XST-023
#[test]
fn rfc6120_s11_4_what_no_schema_knows_is_passed_over() {
    let message = message(
        "<message from='a@b.example' to='c@d.example' novel='x' y:z='1' xmlns:y='urn:y'><mood/><body novel='x'>B</body>\
         between<x xmlns='urn:other'><body>no</body></x></message>",
    );
    assert_eq!(message.bodies().map(|body| body.text.into_owned()).collect::<Vec<_>>(), ["B"]);
    assert_eq!(presence("<presence><mood/><show novel='x'>away</show></presence>").show(), Some(Show::Away));
    assert_eq!(iq("<iq type='get' id='1' novel='x'><query xmlns='urn:other'/></iq>").kind(), IqType::Get);
}

#[test]
fn rfc6121_s5_2_2_an_unknown_type_is_normal() {
    for (text, kind) in [
        ("<message/>", MessageType::Normal),
        ("<message type='normal'/>", MessageType::Normal),
        ("<message type='CHAT'/>", MessageType::Normal),
        ("<message type='new'/>", MessageType::Normal),
        ("<message type='headline'/>", MessageType::Headline),
    ] {
        assert_eq!(message(text).kind(), kind, "{text}");
    }
}

#[test]
fn rfc6121_s4_7_presence_is_read() {
    let full = presence(
        "<presence><show>dnd</show><status>busy</status><status xml:lang='de'>besch\u{E4}ftigt</status>\
         <priority>-5</priority></presence>",
    );
    assert_eq!((full.kind(), full.show(), full.priority()), (None, Some(Show::Dnd), -5));
    assert_eq!(full.statuses().map(|status| status.lang).collect::<Vec<_>>(), [None, Some("de")]);
    let odd = presence("<presence type='unavailable'><show>gone</show><priority>200</priority></presence>");
    assert_eq!((odd.kind(), odd.show(), odd.priority()), (Some(PresenceType::Unavailable), None, 0));
}

// checks: XST-014, XST-041
#[test]
fn rfc6120_s8_2_3_malformed_stanzas_are_rejected_with_bad_request() {
    for (text, fault, answered) in [
        ("<iq type='get'><q xmlns='u'/></iq>", StanzaFault::IqId, true),
        ("<iq id='1'><q xmlns='u'/></iq>", StanzaFault::IqType, true),
        ("<iq id='1' type='put'><q xmlns='u'/></iq>", StanzaFault::IqType, true),
        ("<iq id='1' type='get'/>", StanzaFault::IqPayload, true),
        ("<iq id='1' type='set'><q xmlns='u'/><q xmlns='u'/></iq>", StanzaFault::IqPayload, true),
        ("<iq type='result'/>", StanzaFault::IqId, false),
        ("<presence type='here'/>", StanzaFault::PresenceType, true),
        ("<handshake/>", StanzaFault::Kind, false),
    ] {
        let rejected = Stanza::from_element(element(text)).unwrap_err();
        assert_eq!(rejected.fault, fault, "{text}");
        assert_eq!(rejected.reply().is_some(), answered, "{text}");
    }
    for text in ["<iq id='1' type='result'/>", "<iq id='1' type='error'/>", "<iq id='' type='get'><a xmlns='u'/></iq>"]
    {
        assert!(Stanza::from_element(element(text)).is_ok(), "{text}");
    }
}

#[test]
fn built_stanzas_are_read_back() {
    let thread = Thread { id: "t".into(), parent: Some("p".into()) };
    let made = Message::new(MessageType::Chat)
        .with_from("a@example.com")
        .with_to("b@example.net")
        .with_id("1")
        .with_lang("en")
        .with_subject("s", None)
        .with_body("Hello <you>", None)
        .with_body("Hallo", Some("de"))
        .with_thread(&thread)
        .with_delay("2026-01-02T03:04:05Z", "example.com")
        .with_payload(Element::new("request", ns::RECEIPTS));
    let read = message(&encoded(made.element()));
    assert_eq!(read.element().ns, ns::SERVER);
    assert_eq!(read.bodies().collect::<Vec<_>>(), made.bodies().collect::<Vec<_>>());
    assert_eq!((read.thread(), read.delay()), (Some(thread), made.delay()));
    assert!(read.payload("request", ns::RECEIPTS).is_some());
    let made = Presence::new(None).with_show(Show::Away).with_status("x", Some("en")).with_priority(7);
    let read = presence(&encoded(made.element()));
    assert_eq!((read.kind(), read.show(), read.priority()), (None, Some(Show::Away), 7));
    let made = Iq::request(IqType::Get, "7", Element::new("ping", ns::PING)).with_to("example.net");
    let read = iq(&encoded(made.element()));
    assert_eq!((read.kind(), read.id()), (IqType::Get, Some("7")));
    assert!(read.query().unwrap().is("ping", ns::PING));
}

// checks: XST-017
#[test]
fn rfc6120_s4_8_3_a_stanza_takes_the_namespace_of_its_new_stream() {
    let text = "<message><body>b</body><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></forwarded></message>";
    assert_eq!(encoded(&element(text)), text);
}

// checks: ERR-008
#[test]
fn rfc6120_s8_3_1_an_error_goes_back_with_the_same_id() {
    let request =
        message("<message from='a@example.com/r' to='b@example.net' id='m&amp;1' type='chat'><body>x</body></message>");
    let error = StanzaError::new(Condition::Gone)
        .with_address("xmpp:c@example.net")
        .with_text("moved")
        .with_by("gateway.example.net")
        .with_application(Element::new("too-many", "urn:example:app"));
    let reply = request.error_reply(&error).unwrap();
    assert_eq!(
        encoded(&reply),
        "<message from='b@example.net' to='a@example.com/r' id='m&amp;1' type='error'>\
         <error by='gateway.example.net' type='cancel'>\
         <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:c@example.net</gone>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>moved</text>\
         <too-many xmlns='urn:example:app'/></error></message>"
    );
    assert_eq!(message(&encoded(&reply)).error(), Some(error));
    let without_id = message("<message from='a@example.com'/>").error_reply(&Condition::BadRequest.into()).unwrap();
    assert_eq!(without_id.attr("id"), Some(""));
    assert_eq!((without_id.attr("to"), without_id.attr("from")), (Some("a@example.com"), None));
}

// checks: ERR-007
#[test]
fn rfc6120_s8_3_1_an_error_is_never_answered_by_an_error() {
    let error = StanzaError::new(Condition::ServiceUnavailable);
    assert_eq!(message("<message type='error' from='a' to='b'/>").error_reply(&error), None);
    assert_eq!(presence("<presence type='error' from='a' to='b'/>").error_reply(&error), None);
    for kind in ["error", "result"] {
        let iq = iq(&format!("<iq type='{kind}' id='1' from='a' to='b'/>"));
        assert_eq!(iq.error_reply(&error), None, "{kind}");
        assert_eq!(iq.result(None), None, "{kind}");
    }
}

#[test]
fn rfc6120_s8_3_1_an_error_element_counts_only_in_an_error_stanza() {
    let inside = "<error type='wait'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    assert_eq!(message(&format!("<message>{inside}</message>")).error(), None);
    let error = message(&format!("<message type='error'>{inside}</message>")).error().unwrap();
    // The type as sent, not the condition's usual one.
    assert_eq!((error.condition, error.kind.as_str()), (Condition::Conflict, "wait"));
}

#[test]
fn rfc6120_s8_3_2_unknown_conditions_are_undefined() {
    for inside in [
        "<error/>",
        "<error type='never'><flood xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        "<error type='cancel'><conflict xmlns='urn:other'/></error>",
        "<error type='cancel'><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>t</text></error>",
    ] {
        let error = message(&format!("<message type='error'>{inside}</message>")).error().unwrap();
        assert_eq!((error.condition, error.kind.as_str()), (Condition::UndefinedCondition, "cancel"), "{inside}");
    }
}

// checks: IM-044
#[test]
fn what_xml_cannot_hold_never_reaches_the_wire() {
    let body = SharedStr::from("a\0b\u{FFFF}c]]>".to_owned());
    let made = Message::new(MessageType::Normal).with_body(body, None);
    assert_eq!(encoded(made.element()), "<message><body>a\u{FFFD}b\u{FFFD}c]]&gt;</body></message>");
}
