//! Whatever comes in, what goes out is sound.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

use std::time::UNIX_EPOCH;

use adapter_xmpp::mapping::message::{Stamp, addresses, from_stanza, stanza_id, write};
use adapter_xmpp::mapping::xhtml;
use bytes::BytesMut;
use impp_model::{
    Address, Content, Device, Domain, Endpoint, InstantMessage, LangText, MaxForwards, MessageId, MessageOperation,
    Thread, TransId,
};
use proptest::prelude::*;
use strict_xml::{Element, Limits, Scope, parse_element};
use xmpp_proto::stanza::{Message, Stanza};

fn operation(
    local: &str,
    device: Option<&str>,
    text: &str,
    subject: &str,
    thread: Option<&str>,
    id: Option<&str>,
) -> Option<MessageOperation> {
    let domain = Domain::parse("sip.example.com").unwrap();
    let mut message = InstantMessage::new(Content::text(text));
    message.subjects = vec![LangText { language: None, text: subject.to_owned() }];
    message.thread = thread.map(Thread::from);
    message.id = id.map(MessageId::from);
    Some(MessageOperation {
        source: Endpoint {
            address: Address::new(local, domain).ok()?,
            device: device.map(Device::new).transpose().ok()?,
        },
        destination: Endpoint::bare(Address::parse_bare("juliet@example.com").unwrap()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: TransId::from("t1"),
        message,
    })
}

/// The operation as a stanza, over the wire, and back.
fn there_and_back(operation: &MessageOperation) -> Option<MessageOperation> {
    let id = stanza_id(operation);
    let stamp = Stamp { id: &id, gateway: "sip.example.com", now: UNIX_EPOCH };
    let mut octets = BytesMut::new();
    write(&mut octets, operation, stamp).ok()??;
    let scope = Scope::with_default("jabber:client");
    let element = parse_element(&octets, &scope, &Limits::default()).expect("sound XML");
    let message: Message = match Stanza::from_element(element).unwrap() {
        Stanza::Message(message) => message,
        other => panic!("{other:?}"),
    };
    let (from, to) = addresses(&message).unwrap();
    from_stanza(&message, &from, &to, TransId::from("t1")).unwrap().map(|mapped| mapped.value)
}

fn names(element: &Element, found: &mut Vec<String>) {
    for child in element.elements() {
        found.push(child.name.to_string());
        found.extend(child.attrs.iter().map(|attr| format!("@{}", attr.name)));
        names(child, found);
    }
}

proptest! {
    // checks: IM-001, IM-030, IM-044
    #[test]
    fn any_message_becomes_sound_xml(
        local in any::<String>(), device in proptest::option::of(any::<String>()), text in any::<String>(),
        subject in any::<String>(), thread in any::<String>(), id in any::<String>(),
    ) {
        if let Some(operation) = operation(&local, device.as_deref(), &text, &subject, Some(&thread), Some(&id)) {
            there_and_back(&operation);
        }
    }

    #[test]
    fn a_message_without_odd_characters_comes_back_whole(
        local in "[a-z\"&'/:<>@\\\\0-9]{1,20}", device in "[ -~]{1,20}", text in "[ -~\nä€👋]{1,80}",
        subject in "[ -~]{1,20}", thread in "[!-~]{1,40}", id in "[!-~]{1,40}",
    ) {
        prop_assume!(!text.starts_with("?OTR"));
        let operation = operation(&local, Some(&device), &text, &subject, Some(&thread), Some(&id)).unwrap();
        let back = there_and_back(&operation).unwrap();
        prop_assert_eq!(back, operation);
    }

    // checks: CMP-040
    #[test]
    fn any_html_becomes_harmless_xhtml(html in "(<[/a-z!? ='\"]{0,8}>?|&[#a-z0-9]{0,6};?|[ -~]{0,6}){0,30}") {
        let payload = xhtml::wrap(xhtml::sanitize(&xhtml::parse(&html)));
        let mut octets = BytesMut::new();
        strict_xml::write_element(&mut octets, &payload, "");
        let parsed = parse_element(&octets, &Scope::new(), &Limits::default()).expect("sound XML");
        let mut found = Vec::new();
        names(&parsed, &mut found);
        for name in found {
            prop_assert!(!["script", "style", "img", "iframe", "@onclick", "@src"].contains(&name.as_str()), "{}", name);
        }
    }

    #[test]
    fn any_text_is_read_as_html(html in any::<String>()) {
        let content = xhtml::sanitize(&xhtml::parse(&html));
        prop_assert!(xhtml::to_text(&content).len() <= 4 * html.len() + 1);
    }
}
