//! What the gateway's own address answers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use strict_xml::{Element, Limits, Scope, parse_element};
use xmpp_proto::gateway::{EntityTime, GatewayInfo, Software};
use xmpp_proto::ns;
use xmpp_proto::stanza::{Condition, Stanza, StanzaError};

const TIME: EntityTime<'static> = EntityTime { utc: "2026-01-02T03:04:05Z", tzo: "+00:00" };

fn info() -> GatewayInfo {
    let software = Software { name: "Interlingua".into(), version: "0.0.0".into() };
    GatewayInfo { features: vec![ns::RECEIPTS.into()], software: Some(software), ..GatewayInfo::simple("SIP users") }
}

/// The answer to an iq of this type with this payload, from a user to the gateway.
fn answer(info: &GatewayInfo, kind: &str, payload: &str) -> Option<Element> {
    let text = format!("<iq type='{kind}' id='q1' from='a@example.com/r' to='gw.example.com'>{payload}</iq>");
    let scope = Scope::with_default(ns::COMPONENT_ACCEPT);
    let element = parse_element(text.as_bytes(), &scope, &Limits::default()).unwrap();
    let Stanza::Iq(iq) = Stanza::from_element(element).unwrap() else { panic!("not an iq") };
    let answer = info.answer(&iq, TIME)?;
    assert_eq!((answer.attr("from"), answer.attr("to")), (Some("gw.example.com"), Some("a@example.com/r")));
    assert_eq!(answer.attr("id"), Some("q1"));
    Some(answer)
}

fn result(kind: &str, payload: &str) -> Element {
    let answer = answer(&info(), kind, payload).unwrap();
    assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
    answer
}

fn condition(info: &GatewayInfo, kind: &str, payload: &str) -> Condition {
    let answer = answer(info, kind, payload).unwrap();
    assert_eq!(answer.attr("type"), Some("error"), "{answer:?}");
    StanzaError::read(answer.child("error", ns::COMPONENT_ACCEPT).unwrap()).condition
}

// checks: DSC-001, DSC-002, DSC-003, ADR-037
#[test]
fn xep0030_s3_1_identity_and_features() {
    let answer = result("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    let identity = query.child("identity", ns::DISCO_INFO).unwrap();
    let parts = ["category", "type", "name"].map(|name| identity.attr(name).unwrap());
    assert_eq!(parts, ["gateway", "simple", "SIP users"]);
    let features: Vec<_> =
        query.children_named("feature", ns::DISCO_INFO).map(|feature| feature.attr("var").unwrap()).collect();
    assert_eq!(
        features,
        [
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/disco#items",
            "jid\\20escaping",
            "urn:xmpp:ping",
            "urn:xmpp:time",
            "jabber:iq:version",
            "urn:xmpp:receipts",
        ]
    );
}

#[test]
fn xep0030_s4_no_items_and_no_nodes() {
    let answer = result("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>");
    assert_eq!(answer.child("query", ns::DISCO_ITEMS).unwrap().children, []);
    for ns in [ns::DISCO_INFO, ns::DISCO_ITEMS] {
        let payload = format!("<query xmlns='{ns}' node='x'/>");
        assert_eq!(condition(&info(), "get", &payload), Condition::ItemNotFound);
    }
}

// checks: DSC-005
#[test]
fn xep0115_s6_2_the_node_of_the_hash_is_described() {
    let caps = info().caps("https://gw.example.com");
    let node = format!("{}#{}", caps.attr("node").unwrap(), caps.attr("ver").unwrap());
    let answer = result("get", &format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>"));
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    assert_eq!(query.attr("node"), Some(node.as_str()));
    assert!(query.child("identity", ns::DISCO_INFO).is_some());
}

// checks: DSC-006
#[test]
fn ping_version_and_time_are_answered() {
    assert_eq!(result("get", "<ping xmlns='urn:xmpp:ping'/>").children, []);
    let version = result("get", "<query xmlns='jabber:iq:version'/>");
    let version = version.child("query", ns::VERSION).unwrap();
    let text = |element: &Element, name: &str| element.child(name, &element.ns).unwrap().text().into_owned();
    assert_eq!((text(version, "name"), text(version, "version")), ("Interlingua".into(), "0.0.0".into()));
    let time = result("get", "<time xmlns='urn:xmpp:time'/>");
    let time = time.child("time", ns::TIME).unwrap();
    assert_eq!((text(time, "utc"), text(time, "tzo")), (TIME.utc.into(), TIME.tzo.into()));
}

// checks: XST-041
#[test]
fn rfc6121_s8_5_everything_else_is_service_unavailable() {
    for (kind, payload) in [
        ("get", "<query xmlns='jabber:iq:roster'/>"),
        ("set", "<ping xmlns='urn:xmpp:ping'/>"),
        ("set", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        ("get", "<ping xmlns='urn:xmpp:time'/>"),
        ("get", "<query/>"),
    ] {
        assert_eq!(condition(&info(), kind, payload), Condition::ServiceUnavailable, "{kind} {payload}");
    }
    let silent = GatewayInfo { software: None, ..info() };
    assert_eq!(condition(&silent, "get", "<query xmlns='jabber:iq:version'/>"), Condition::ServiceUnavailable);
}

// checks: XST-041
#[test]
fn rfc6120_s8_2_3_results_and_errors_are_not_answered() {
    assert_eq!(answer(&info(), "result", ""), None);
    assert_eq!(answer(&info(), "error", "<error/>"), None);
}
