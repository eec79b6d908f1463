use std::time::UNIX_EPOCH;

use impp_model::{Address, Endpoint, MaxForwards};
use strict_xml::{Limits, Scope, parse_element};

use super::*;
use xmpp_proto::ns;

fn stanza(xml: &str) -> stanza::Message {
    let scope = Scope::with_default(ns::CLIENT);
    let element = parse_element(xml.as_bytes(), &scope, &Limits::default()).unwrap();
    match stanza::Stanza::from_element(element).unwrap() {
        stanza::Stanza::Message(message) => message,
        other @ (stanza::Stanza::Presence(_) | stanza::Stanza::Iq(_)) => panic!("{other:?}"),
    }
}

fn read(xml: &str) -> Result<Option<MessageOperation>, Refusal> {
    let message = stanza(xml);
    let (from, to) = addresses(&message)?;
    Ok(from_stanza(&message, &from, &to, TransId::from("t1"))?.map(|mapped| mapped.value))
}

fn message(xml: &str) -> InstantMessage {
    read(xml).unwrap().expect("a message").message
}

fn operation(message: InstantMessage) -> MessageOperation {
    MessageOperation {
        source: Endpoint::bare(Address::parse_bare("romeo@example.net").unwrap()),
        destination: Endpoint::bare(Address::parse_bare("juliet@example.com").unwrap()),
        max_forwards: MaxForwards(69),
        trans_id: TransId::from("z9hG4bKkeskdgs677"),
        message,
    }
}

fn written(message: InstantMessage) -> Mapped<String> {
    let operation = operation(message);
    // 2026-11-22T12:00:00Z
    let now = UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    let stamp = Stamp { id: "i1", gateway: "gw.example.net", now };
    let mut out = bytes::BytesMut::new();
    let mapped = write(&mut out, &operation, stamp).unwrap().expect("a stanza");
    Mapped { value: String::from_utf8(out.to_vec()).unwrap(), degraded: mapped.degraded, dropped: mapped.dropped }
}

const HEAD: &str = "<message from='romeo@example.net' to='juliet@example.com' id='i1'";

#[test]
fn what_a_stanza_says_beside_the_operation_is_listed() {
    let losses = |head: &str, children: &str| {
        let message = stanza(&format!("<message from='a@b.example' to='c@d.example'{head}>{children}</message>"));
        let (from, to) = addresses(&message).unwrap();
        from_stanza(&message, &from, &to, TransId::from("t1")).unwrap().unwrap().dropped
    };
    let body = |rest: &str| format!("<body>x</body>{rest}");
    assert_eq!(losses("", &body("<foo xmlns='urn:x'/>")), ["extensions"]);
    assert_eq!(losses("", &body("<nick xmlns='http://jabber.org/protocol/nick'>n</nick>")), ["extensions"]);
    assert_eq!(losses("", &body("<active xmlns='http://jabber.org/protocol/chatstates'/>")), ["composing"]);
    assert_eq!(losses("", &body("<body>y</body>")), ["alternatives"]);
    assert_eq!(losses(" type='headline'", &body("")), ["type"]);
    assert_eq!(losses("", &body("<thread parent='p'>t</thread>")), ["thread.parent"]);
    assert_eq!(losses("", &body("<delay xmlns='urn:xmpp:delay' stamp='x'/>")), ["sent"]);
    let read = "<body xml:lang='cs'>y</body><no-store xmlns='urn:xmpp:hints'/><x xmlns='jabber:x:oob'><url>u</url></x>";
    assert_eq!(losses(" type='chat'", &body(read)), [""; 0]);
}

#[test]
fn xml_s2_2_characters_that_xml_lacks_are_listed() {
    let mut message = InstantMessage::new(Content::text("a\u{1}"));
    message.subjects = vec![LangText { language: None, text: "\u{2}".to_owned() }];
    assert_eq!(written(message).degraded, ["subjects", "content"]);
}

// checks: IM-001, IM-002, IM-003, IM-004, IM-006, IM-007
#[test]
fn rfc7572_s4_every_field_of_table_1_is_taken() {
    let operation = read(
        "<message from='juliet@example.com/yn0' to='romeo@example.net' id='a786hjs2' xml:lang='cs'>\
         <subject>Romeo?</subject><thread>29377446-0CBB</thread><body>Proč &lt;?</body></message>",
    )
    .unwrap()
    .unwrap();
    assert_eq!(operation.source.device.as_ref().map(|d| d.as_str()), Some("yn0"));
    assert_eq!(operation.destination, Endpoint::bare(Address::parse_bare("romeo@example.net").unwrap()));
    assert_eq!((operation.trans_id.as_str(), operation.max_forwards), ("t1", MaxForwards::INITIAL));
    let message = operation.message;
    assert_eq!(message.id.as_ref().map(|id| id.as_str()), Some("a786hjs2"));
    assert_eq!(message.thread.as_ref().map(|thread| thread.as_str()), Some("29377446-0CBB"));
    assert_eq!(message.subjects, [LangText { language: Some("cs".into()), text: "Romeo?".into() }]);
    assert_eq!(message.content.as_text(), Some("Proč <?"));
    assert_eq!(message.content.language, Some("cs".into()));
    assert_eq!(message.alternatives, []);
}

// checks: IM-010, ERR-007, XSU-017
#[test]
fn rfc7572_s4_types_decide_whether_a_message_is_taken() {
    let of_type = |kind| {
        read(&format!("<message type='{kind}' from='a@example.com' to='b@example.net'><body>x</body></message>"))
    };
    for kind in ["chat", "headline", "normal", "unheard-of"] {
        assert!(of_type(kind).unwrap().is_some(), "{kind}");
    }
    assert_eq!(of_type("error"), Ok(None));
    assert_eq!(of_type("groupchat"), Err(Refusal::Groupchat));
    assert_eq!(Refusal::Groupchat.failure().cause, Cause::ServiceUnavailable);
}

// checks: IM-011, CMP-064, CMP-066, XEX-012
#[test]
fn stanzas_without_a_body_deliver_nothing() {
    for payload in [
        "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='x'/>",
        "<subject>only</subject>",
        "<body/>",
        "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>\
         <body>inner</body></message></forwarded></received>",
    ] {
        let xml = format!("<message from='a@example.com' to='b@example.net'>{payload}</message>");
        assert_eq!(read(&xml), Ok(None), "{payload}");
    }
}

// checks: IM-012
#[test]
fn rfc6121_s5_2_3_the_body_of_the_stanzas_language_is_the_content() {
    let message = message(
        "<message from='a@example.com' to='b@example.net' xml:lang='en'><body xml:lang='de'>Hallo</body><body>Hi</body>\
         <body>again</body><subject xml:lang='de'>S-de</subject><subject>S-en</subject></message>",
    );
    assert_eq!((message.content.as_text(), &message.content.language), (Some("Hi"), &Some("en".into())));
    assert_eq!(message.alternatives.len(), 1);
    assert_eq!(message.alternatives[0].as_text(), Some("Hallo"));
    assert_eq!(message.subjects.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(), ["S-en", "S-de"]);
}

// checks: CMP-070
#[test]
fn encrypted_content_is_marked_and_an_exchange_of_keys_is_nothing() {
    let with = |payload: &str| read(&format!("<message from='a@example.com' to='b@example.net'>{payload}</message>"));
    for payload in [
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header/><payload>x</payload></encrypted><body>[OMEMO]</body>",
        "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>",
        "<x xmlns='jabber:x:encrypted'>x</x><body>encrypted</body>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:other'/><body>b</body>",
        "<body>?OTRv23?</body>",
    ] {
        let sealed = with(payload).unwrap().and_then(|operation| operation.message.sealed);
        assert_eq!(sealed.map(|sealed| sealed.refusal().cause), Some(Cause::NotAcceptable), "{payload}");
    }
    assert_eq!(with("<encrypted xmlns='urn:xmpp:omemo:2'><header/></encrypted>"), Ok(None));
}

// checks: ADR-036
#[test]
fn addresses_that_do_not_map_are_refused() {
    let to = |to: &str| read(&format!("<message from='a@example.com' to='{to}'><body>x</body></message>")).unwrap_err();
    assert_eq!(to("\\20bob@example.net").failure().cause, Cause::AddressMalformed);
    assert_eq!(to("example.net").failure().cause, Cause::AddressMalformed);
    assert_eq!(to("b@@example.net").failure().cause, Cause::AddressMalformed);
    assert_eq!(read("<message to='b@example.net'/>"), Err(Refusal::NoAddress { attribute: "from" }));
}

// checks: CMP-050
#[test]
fn receipts_and_the_time_of_sending_are_noted() {
    let message = message(
        "<message from='a@example.com' to='b@example.net' id='1'><body>x</body><request xmlns='urn:xmpp:receipts'/>\
         <markable xmlns='urn:xmpp:chat-markers:0'/><delay xmlns='urn:xmpp:delay' stamp='2020-11-22T10:00:00Z'/></message>",
    );
    assert_eq!(message.receipts, Receipts { delivery: true, display: true, failure: true, processing: false });
    assert_eq!(message.sent.as_ref().map(DateTime::as_str), Some("2020-11-22T10:00:00Z"));
}

// checks: CMP-041
#[test]
fn xhtml_im_becomes_an_html_alternative() {
    let message = message(
        "<message from='a@example.com' to='b@example.net'><body>x</body><html xmlns='http://jabber.org/protocol/xhtml-im'>\
         <body xmlns='http://www.w3.org/1999/xhtml'><p>x<img src='http://e/'/></p></body></html></message>",
    );
    assert_eq!(message.alternatives.len(), 1);
    assert_eq!((&*message.alternatives[0].media_type, &*message.alternatives[0].octets), (HTML, &b"<p>x</p>"[..]));
}

// checks: IM-030, IM-033, IM-034, IM-035, IM-036, CPX-006
#[test]
fn rfc7572_s5_every_field_of_table_2_is_written() {
    let mut message = InstantMessage::new(Content::text("Neither,\r\nfair saint"));
    assert_eq!(written(message.clone()).value, format!("{HEAD}><body>Neither,\nfair saint</body></message>"));
    message.content.language = Some("en".into());
    message.thread = Some("9E97FB43".into());
    message.subjects = vec![
        LangText { language: Some("en".into()), text: "Hi!".into() },
        LangText { language: Some("cs".into()), text: "Ahoj!".into() },
    ];
    message.alternatives = vec![Content { language: Some("de".into()), ..Content::text("Auch nicht") }];
    let mapped = written(message);
    assert_eq!(
        mapped.value,
        format!(
            "{HEAD} xml:lang='en'><subject>Hi!</subject><subject xml:lang='cs'>Ahoj!</subject>\
             <body>Neither,\nfair saint</body><body xml:lang='de'>Auch nicht</body><thread>9E97FB43</thread></message>"
        )
    );
    assert_eq!((mapped.degraded, mapped.dropped), (vec![], vec![]));
}

// checks: IM-032, IM-038, ADR-011
#[test]
fn rfc6121_s5_2_4_one_subject_for_each_language() {
    let subject = |language: Option<&str>, text: &str| LangText {
        language: language.map(LanguageTag::from),
        text: text.to_owned(),
    };
    let mut message = InstantMessage::new(Content::text("a"));
    message.subjects = vec![
        subject(Some("cs"), "1"),
        subject(Some("CS"), "2"),
        subject(None, "3"),
        subject(None, "4"),
        subject(Some("en"), "5"),
    ];
    let Mapped { value, degraded, dropped } = written(message.clone());
    let subjects = "<subject xml:lang='cs'>1</subject><subject>3</subject>";
    assert_eq!(value, format!("{HEAD}>{subjects}<subject xml:lang='en'>5</subject><body>a</body></message>"));
    assert_eq!((degraded, dropped), (vec!["subjects"], vec![]));
    message.content.language = Some("en".into());
    assert!(
        written(message).value.contains(&format!("{subjects}<body>")),
        "a subject without language has the stanza's"
    );
}

#[test]
fn rfc7572_s5_devices_become_resources() {
    let mut operation = operation(InstantMessage::new(Content::text("x")));
    operation.source = from_jid(&Jid::parse("o\\27malley@example.net/dr4 hcr").unwrap()).unwrap();
    let stamp = Stamp { id: "i", gateway: "g", now: UNIX_EPOCH };
    let stanza = to_stanza(&operation, stamp).unwrap().unwrap().value;
    assert_eq!(stanza.from(), Some("o\\27malley@example.net/dr4 hcr"));
}

// checks: IM-044
#[test]
fn xml_cannot_be_broken_by_content() {
    let text = "</body><iq/> & ]]> 'q' \"q\" a\u{1}b\u{1f}c\u{fffe}";
    let xml = written(InstantMessage::new(Content::text(text))).value;
    let body = stanza(&xml).body().unwrap().text.into_owned();
    assert_eq!(body, text.replace(['\u{1}', '\u{1f}', '\u{fffe}'], "\u{fffd}"));
}

// checks: IM-040, IM-041, IM-046, CMP-040, CPX-008
#[test]
fn rfc7572_s7_html_is_written_beside_plain_text() {
    let html = |html: &'static str| Content { media_type: HTML.into(), language: None, octets: html.into() };
    let payload = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>\
                   <strong>html</strong></body></html>";
    let mut message = InstantMessage::new(Content::text("plain"));
    message.alternatives = vec![html("<b>html</b>")];
    let mapped = written(message);
    assert_eq!(mapped.value, format!("{HEAD}><body>plain</body>{payload}</message>"));
    assert_eq!(mapped.degraded, ["alternatives"]);
    let alone = written(InstantMessage::new(html("<b>html</b>")));
    assert_eq!(alone.value, format!("{HEAD}><body>html</body>{payload}</message>"));
    let binary = Content { media_type: "image/png".into(), language: None, octets: Bytes::from_static(b"x") };
    let refused = operation(InstantMessage::new(binary.clone()));
    let stamp = Stamp { id: "i", gateway: "g", now: UNIX_EPOCH };
    assert_eq!(to_stanza(&refused, stamp), Err(Unwritable::NoText));
    let mut message = InstantMessage::new(Content::text("see"));
    message.alternatives = vec![binary.clone(), binary];
    message.receipts.delivery = true;
    // Under another id there is nothing that a report could name.
    assert_eq!(written(message.clone()).dropped, ["alternatives", "receipts"]);
    message.id = Some("i1".into());
    assert_eq!(written(message).dropped, ["alternatives"]);
}

// checks: IM-045
#[test]
fn rfc3428_s9_an_empty_message_is_no_stanza() {
    let empty = operation(InstantMessage::new(Content::text("")));
    assert_eq!(to_stanza(&empty, Stamp { id: "i", gateway: "g", now: UNIX_EPOCH }), Ok(None));
}

// checks: CMP-050
#[test]
fn xep0203_only_old_messages_carry_a_delay() {
    let sent_at = |stamp: &str| {
        let mut message = InstantMessage::new(Content::text("x"));
        message.sent = Some(DateTime::parse(stamp).unwrap());
        written(message).value
    };
    assert!(sent_at("2020-11-22T11:00:00+01:00").ends_with(
        "<body>x</body><delay xmlns='urn:xmpp:delay' from='gw.example.net' stamp='2020-11-22T10:00:00Z'/></message>"
    ));
    assert!(!sent_at("2026-11-22T11:59:30Z").contains("delay"));
    assert!(!sent_at("2036-11-22T12:00:00Z").contains("delay"));
}

// checks: IM-037, CMP-021
#[test]
fn rfc7572_s5_a_stanza_has_the_senders_id_or_one_that_a_repeat_gets_again() {
    let mut first = operation(InstantMessage::new(Content::text("x")));
    assert_eq!(stanza_id(&first), stanza_id(&first.clone()));
    assert_eq!(stanza_id(&first).len(), 32);
    let mut other = first.clone();
    other.trans_id = TransId::from("z9hG4bKother");
    assert_ne!(stanza_id(&first), stanza_id(&other));
    first.message.id = Some("Ab-1@imdn".into());
    assert_eq!(stanza_id(&first), "Ab-1@imdn");
    first.message.id = Some("a\nb".into());
    assert_eq!(stanza_id(&first).len(), 32);
}
