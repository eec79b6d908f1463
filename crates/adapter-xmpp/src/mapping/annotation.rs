//! What stands beside the body of a message: what it refers to, hints, files, content that only the addressee can read.

use bytes::{Bytes, BytesMut};
use cpim::mapping::unseal;
use impp_model::{Content, Hints, InstantMessage, MessageId, OutOfBand, Relation, Sealed};
use strict_xml::{Element, Limits, SharedStr, parse_document, write_element};
use xmpp_proto::jid::Jid;
use xmpp_proto::{ns, stanza};

use super::address::{from_jid, to_jid};
use super::e2e;
use super::xhtml::XHTML_IM;

/// The schemes of sealed content that a stanza can carry: what XEP-0380 §3.2 lists, and RFC 3923.
pub const SEALS: &[&str] =
    &[OMEMO_LEGACY, OMEMO_1, OMEMO_2, "urn:xmpp:openpgp:0", "jabber:x:encrypted", cpim::mapping::SEAL, OTR];

const OMEMO_LEGACY: &str = "eu.siacs.conversations.axolotl";
const OMEMO_1: &str = "urn:xmpp:omemo:1";
const OMEMO_2: &str = "urn:xmpp:omemo:2";
/// XEP-0380 §3.2: text that only its beginning marks.
const OTR: &str = "urn:xmpp:otr:0";
const OTR_MARK: &str = "?OTR";
/// The media type of an element that is carried as it is.
const ELEMENT: &str = "application/xml";

/// References to longer ids are left out, for no message has one here.
const MAX_ID: usize = 256;
/// Reactions of one person to one message; clients offer a handful.
const MAX_REACTIONS: usize = 32;
/// Octets of one reaction: the longest sequence of code points that makes one character is far below.
const MAX_REACTION: usize = 64;
/// Files of one message.
const MAX_FILES: usize = 16;
/// Octets of a URL, and of the words about it.
const MAX_URL: usize = 4096;

/// What a stanza says about encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encryption {
    /// Content that cannot be read here.
    Content(Sealed),
    /// An exchange of keys between clients: nothing to show, and nobody to tell.
    KeysOnly,
}

/// The references of a stanza to earlier messages.
pub(super) fn relations(message: &stanza::Message) -> Vec<Relation> {
    let mut found = Vec::new();
    if let Some(id) = message.payload("replace", ns::CORRECTION).and_then(id_of) {
        found.push(Relation::Replaces { id });
    }
    if let Some((reply, id)) = message.payload("reply", ns::REPLY).and_then(|reply| Some((reply, id_of(reply)?))) {
        let author = reply.attr("to").and_then(|to| Jid::parse(to).ok()).and_then(|jid| from_jid(&jid).ok());
        let quoted = quoted(message);
        found.push(Relation::RepliesTo { id, author: author.map(|end| end.address), quoted });
    }
    if let Some((reactions, id)) = message.payload("reactions", ns::REACTIONS).and_then(|it| Some((it, id_of(it)?))) {
        let texts = reactions.children_named("reaction", ns::REACTIONS).map(|reaction| reaction.text().into_owned());
        let emojis = texts.filter(|text| !text.is_empty() && text.len() <= MAX_REACTION).take(MAX_REACTIONS).collect();
        found.push(Relation::Reacts { id, emojis });
    }
    if let Some(id) = message.payload("retract", ns::RETRACT).and_then(id_of) {
        found.push(Relation::Retracts { id });
    }
    found
}

fn id_of(element: &Element) -> Option<MessageId> {
    element.attr("id").filter(|id| !id.is_empty() && id.len() <= MAX_ID).map(MessageId::from)
}

/// XEP-0461 §3.1: the quotation at the beginning of the body.
fn quoted(message: &stanza::Message) -> usize {
    let mut fallbacks = message.payloads().filter(|payload| payload.is("fallback", ns::FALLBACK));
    let Some(fallback) = fallbacks.find(|fallback| fallback.attr("for") == Some(ns::REPLY)) else { return 0 };
    let body = fallback.child("body", ns::FALLBACK).filter(|body| body.attr("start") == Some("0"));
    body.and_then(|body| body.attr("end")?.parse().ok()).unwrap_or(0)
}

/// XEP-0334.
pub(super) fn hints(message: &stanza::Message) -> Hints {
    let has = |name| message.payload(name, ns::HINTS).is_some();
    Hints {
        no_store: has("no-store"),
        no_permanent_store: has("no-permanent-store"),
        no_copy: has("no-copy"),
        store: has("store"),
    }
}

/// Whether a mapping reads an element beside the body, or it is one hop's own.
pub(super) fn is_read(payload: &Element) -> bool {
    let ours = [ns::DELAY, ns::CHAT_STATES, ns::RECEIPTS, ns::CHAT_MARKERS, ns::HINTS, ns::STANZA_ID, ns::CORRECTION];
    let others = [ns::REPLY, ns::FALLBACK, ns::REACTIONS, ns::RETRACT, ns::ENCRYPTION, ns::SHIM, ns::OOB, ns::CARBONS];
    let namespace = payload.ns.as_str();
    ours.contains(&namespace) || others.contains(&namespace) || SEALS.contains(&namespace) || namespace == XHTML_IM
}

/// XEP-0066 §3.
pub(super) fn files(message: &stanza::Message) -> Vec<OutOfBand> {
    let elements = message.payloads().filter(|payload| payload.is("x", ns::OOB)).take(MAX_FILES);
    let file = |element: &Element| {
        let text = |name| element.child(name, ns::OOB).map(|child| child.text().trim().to_owned());
        let fits = |text: &String| !text.is_empty() && text.len() <= MAX_URL;
        Some(OutOfBand { url: text("url").filter(fits)?, description: text("desc").filter(fits) })
    };
    elements.filter_map(file).collect()
}

/// Content that only the addressee's client can read.
pub(super) fn encryption(message: &stanza::Message) -> Option<Encryption> {
    // RFC 3923 §3.1: the object as it was, its line ends restored.
    if let Some(sealed) = e2e::from_stanza(message) {
        return Some(Encryption::Content(sealed));
    }
    let hint = message.payload("encryption", ns::ENCRYPTION);
    let name = || hint.and_then(|hint| hint.attr("name")).map(str::to_owned);
    for payload in message.payloads() {
        let content = match (payload.name.as_str(), payload.ns.as_str()) {
            ("encrypted", OMEMO_LEGACY | OMEMO_1 | OMEMO_2) => {
                if payload.elements().all(|child| child.name != *"payload")
                    && hint.is_none()
                    && message.body().is_none()
                {
                    return Some(Encryption::KeysOnly);
                }
                payload
            }
            ("openpgp", "urn:xmpp:openpgp:0") | ("x", "jabber:x:encrypted") => payload,
            _ => continue,
        };
        let mut octets = BytesMut::new();
        write_element(&mut octets, content, "");
        return Some(sealed(&content.ns, name(), ELEMENT, octets.freeze()));
    }
    let body = message.bodies().find(|body| body.text.starts_with(OTR_MARK));
    let scheme =
        hint.map(|hint| hint.attr("namespace").unwrap_or_default()).or_else(|| body.is_some().then_some(OTR))?;
    let text = body.or_else(|| message.body()).map(|body| Bytes::copy_from_slice(body.text.as_bytes()));
    Some(sealed(scheme, name(), Content::TEXT, text.unwrap_or_default()))
}

fn sealed(scheme: &str, name: Option<String>, media_type: &str, octets: Bytes) -> Encryption {
    let payload = Content { media_type: media_type.into(), language: None, octets };
    Encryption::Content(Sealed { scheme: scheme.into(), name, payload })
}

/// Adds what stands beside the body to a stanza.
pub(super) fn write(mut out: stanza::Message, message: &InstantMessage) -> stanza::Message {
    for relation in &message.relations {
        out = write_relation(out, relation);
    }
    for file in &message.files {
        let url = Element::new("url", ns::OOB).with_text(SharedStr::copy(&file.url));
        let desc = file.description.as_deref();
        let desc = desc.map(|text| Element::new("desc", ns::OOB).with_text(SharedStr::copy(text)));
        let x = Element::new("x", ns::OOB).with_child(url);
        out = out.with_payload(desc.into_iter().fold(x, Element::with_child));
    }
    if let Some(sealed) = &message.sealed {
        out = write_sealed(out, sealed);
    }
    let Hints { no_store, no_permanent_store, no_copy, store } = message.hints;
    // XEP-0334 §4.4: what has no body asks to be kept.
    let store = store || (!no_store && message.content.octets.is_empty());
    let hints =
        [(no_store, "no-store"), (no_permanent_store, "no-permanent-store"), (no_copy, "no-copy"), (store, "store")];
    for (_, name) in hints.into_iter().filter(|(wanted, _)| *wanted) {
        out = out.with_payload(Element::new(name, ns::HINTS));
    }
    out
}

fn write_relation(out: stanza::Message, relation: &Relation) -> stanza::Message {
    let named = |name: &'static str, ns: &'static str, id: &MessageId| {
        Element::new(name, ns).with_attr("id", SharedStr::copy(id.as_str()))
    };
    match relation {
        Relation::Replaces { id } => out.with_payload(named("replace", ns::CORRECTION, id)),
        Relation::Retracts { id } => out.with_payload(named("retract", ns::RETRACT, id)),
        Relation::Reacts { id, emojis } => {
            let reaction = |text: &String| Element::new("reaction", ns::REACTIONS).with_text(SharedStr::copy(text));
            out.with_payload(
                emojis.iter().map(reaction).fold(named("reactions", ns::REACTIONS, id), Element::with_child),
            )
        }
        Relation::RepliesTo { id, author, quoted } => {
            let mut reply = named("reply", ns::REPLY, id);
            let author = author.clone().map(impp_model::Endpoint::bare);
            if let Some(jid) = author.and_then(|author| to_jid(&author).ok()) {
                reply.set_attr("to", SharedStr::copy(jid.as_str()));
            }
            let out = out.with_payload(reply);
            if *quoted == 0 {
                return out;
            }
            let span = Element::new("body", ns::FALLBACK).with_attr("start", "0").with_attr("end", quoted.to_string());
            out.with_payload(Element::new("fallback", ns::FALLBACK).with_attr("for", ns::REPLY).with_child(span))
        }
        // An open set: what has no form here is not written, and counted by its name.
        _ => out,
    }
}

fn write_sealed(out: stanza::Message, sealed: &Sealed) -> stanza::Message {
    // It stands in a stanza alone (`e2e::write`).
    if unseal(sealed).is_some() {
        return out;
    }
    let payload = &sealed.payload;
    let element =
        (*payload.media_type == *ELEMENT).then(|| parse_document(&payload.octets, &Limits::default()).ok()).flatten();
    let mut hint = Element::new("encryption", ns::ENCRYPTION).with_attr("namespace", SharedStr::copy(&sealed.scheme));
    if let Some(name) = &sealed.name {
        hint.set_attr("name", SharedStr::copy(name));
    }
    element.into_iter().fold(out, stanza::Message::with_payload).with_payload(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::message::{Stamp, from_stanza, to_stanza};
    use std::time::SystemTime;

    fn parse(children: &str) -> stanza::Message {
        let text = format!(
            "<message xmlns='jabber:client' from='juliet@example.com/x' to='romeo@example.net' id='a1' type='chat'>{children}</message>"
        );
        let element = parse_document(text.as_bytes(), &Limits::default()).unwrap();
        let stanza::Stanza::Message(message) = stanza::Stanza::from_element(element).unwrap() else {
            panic!("no message")
        };
        message
    }

    fn read(children: &str) -> Option<InstantMessage> {
        let message = parse(children);
        let jid = |text: &str| Jid::parse(text).unwrap();
        let mapped =
            from_stanza(&message, &jid("juliet@example.com/x"), &jid("romeo@example.net"), "t".into()).unwrap();
        mapped.map(|mapped| mapped.value.message)
    }

    fn back(message: InstantMessage) -> stanza::Message {
        let end = |text: &str| impp_model::Endpoint::bare(text.parse().unwrap());
        let operation = impp_model::MessageOperation {
            source: end("romeo@example.net"),
            destination: end("juliet@example.com"),
            max_forwards: impp_model::MaxForwards::INITIAL,
            trans_id: "t".into(),
            message,
        };
        let stamp = Stamp { id: "a1", gateway: "gw.example", now: SystemTime::UNIX_EPOCH };
        to_stanza(&operation, stamp).unwrap().unwrap().value
    }

    // checks: CMP-060, CMP-061, CMP-062, CMP-063, CMP-064, CMP-065, XEX-006, XEX-007, XEX-008, XEX-013
    #[test]
    fn what_stands_beside_a_body_comes_back_as_it_went() {
        for children in [
            "<body>a</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>",
            "<body>&gt; b\na</body><reply xmlns='urn:xmpp:reply:0' id='m1' to='romeo@example.net'/><fallback \
             xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='4'/></fallback>",
            "<reactions xmlns='urn:xmpp:reactions:0' id='m1'><reaction>x</reaction><reaction>y</reaction></reactions>\
             <store xmlns='urn:xmpp:hints'/>",
            "<reactions xmlns='urn:xmpp:reactions:0' id='m1'/><store xmlns='urn:xmpp:hints'/>",
            "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/><store xmlns='urn:xmpp:hints'/>",
            "<body>https://a.example/b</body><x xmlns='jabber:x:oob'><url>https://a.example/b</url><desc>b</desc></x>",
            "<body>a</body><no-store xmlns='urn:xmpp:hints'/><no-copy xmlns='urn:xmpp:hints'/>",
            "<body>no key</body><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>AA</payload>\
             </encrypted><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl' name='OMEMO'/>",
        ] {
            let message = back(read(children).unwrap());
            assert_eq!(message.element().children, parse(children).element().children, "{children}");
        }
    }

    // checks: CMP-070
    #[test]
    fn xep0380_s3_encrypted_content_is_no_text() {
        let sealed = |children: &str| read(children).and_then(|message| message.sealed).map(|sealed| sealed.scheme);
        assert_eq!(sealed("<body>?OTR:AAMC</body>").as_deref(), Some("urn:xmpp:otr:0"));
        assert_eq!(sealed("<body>a</body>"), None);
        let marked = "<body>a</body><encryption xmlns='urn:xmpp:eme:0' namespace='urn:example:x'/>";
        assert_eq!(sealed(marked).as_deref(), Some("urn:example:x"));
        assert_eq!(read("<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/></encrypted>"), None);
    }

    // checks: XE-04, XE-06, CMP-073
    #[test]
    fn rfc3923_s8_a_protected_object_is_taken_out_whole() {
        let object = "Content-Type: application/pkcs7-mime\n\nMIIB";
        let e2e = format!("<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'><![CDATA[{object}]]></e2e>");
        let sealed = read(&e2e).unwrap().sealed.unwrap();
        let carried = cpim::mapping::unseal(&sealed).map(|octets| String::from_utf8_lossy(octets).into_owned());
        assert_eq!(carried, Some(object.replace('\n', "\r\n")));
    }

    // checks: CMP-066, CMP-064, XEX-012, XEX-009
    #[test]
    fn forwarded_and_private_wrappers_are_not_opened() {
        let forwarded =
            "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>x</body></message></forwarded>";
        assert_eq!(read(forwarded), None);
        let message = back(
            read("<body>a</body><private xmlns='urn:xmpp:carbons:2'/><origin-id xmlns='urn:xmpp:sid:0' id='o'/>")
                .unwrap(),
        );
        assert_eq!(message.payloads().count(), 0);
    }

    #[test]
    fn references_without_an_id_or_with_an_endless_one_are_left_out() {
        let long = "x".repeat(MAX_ID + 1);
        assert_eq!(read("<body>a</body><replace xmlns='urn:xmpp:message-correct:0'/>").unwrap().relations, []);
        let children = format!("<body>a</body><replace xmlns='urn:xmpp:message-correct:0' id='{long}'/>");
        assert_eq!(read(&children).unwrap().relations, []);
    }
}
