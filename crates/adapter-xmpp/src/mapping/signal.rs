//! Stanzas that say something about messages: receipts (XEP-0184), markers (XEP-0333), chat states (XEP-0085).

use impp_model::{
    ComposingOperation, ComposingState, DateTime, Disposition, DispositionOperation, Endpoint, MaxForwards, MessageId,
    Operation, Receipts, Thread, TransId,
};
use strict_xml::{Element, SharedStr};
use xmpp_proto::jid::Jid;
use xmpp_proto::{ns, stanza};

use super::address::{AddressError, from_jid, to_jid};

/// The namespaces of what speaks about messages.
const SPEAKING: [&str; 3] = [ns::RECEIPTS, ns::CHAT_MARKERS, ns::CHAT_STATES];

/// Ids are echoed; longer ones are nobody's.
const MAX_ID: usize = 256;

/// Which reports the sender of a stanza wants.
pub(super) fn receipts(message: &stanza::Message) -> Receipts {
    // XEP-0184 §7: without an id there is nothing to refer to.
    let named = message.id().is_some_and(|id| !id.is_empty() && id.len() <= MAX_ID);
    let delivery = named && message.payload("request", ns::RECEIPTS).is_some();
    let display = named && message.payload("markable", ns::CHAT_MARKERS).is_some();
    // An error stanza would come unasked; a protocol that tells failures only when asked is asked with the rest.
    Receipts { delivery, display, failure: delivery || display, processing: false }
}

/// CMP-020: asks for reports.
pub(super) fn ask(mut out: stanza::Message, wanted: Receipts) -> stanza::Message {
    if wanted.delivery {
        out = out.with_payload(Element::new("request", ns::RECEIPTS));
    }
    if wanted.display {
        out = out.with_payload(Element::new("markable", ns::CHAT_MARKERS));
    }
    out
}

/// What a stanza reports about messages, and the state it tells unless it has a body; `at` is when it came.
///
/// What concerns a room, is malformed or comes from an address without counterpart is nothing.
pub fn from_stanza(
    message: &stanza::Message,
    from: &Jid,
    to: &Jid,
    trans_id: &TransId,
    at: impl FnOnce() -> Option<DateTime>,
) -> Vec<Operation> {
    if matches!(message.kind(), stanza::MessageType::Error | stanza::MessageType::Groupchat) {
        return Vec::new();
    }
    if !message.payloads().any(|payload| SPEAKING.contains(&payload.ns.as_str())) {
        return Vec::new();
    }
    let (Ok(source), Ok(destination)) = (from_jid(from), from_jid(to)) else { return Vec::new() };
    let Some(at) = &at() else { return Vec::new() };
    let signal = Signal { source, destination, trans_id, at };
    let mut found: Vec<Operation> =
        reports(message).map(|(id, what, earlier)| signal.report(id, what, earlier)).collect();
    if message.bodies().all(|body| body.text.is_empty()) {
        let states = message.payloads().filter(|payload| payload.ns == *ns::CHAT_STATES);
        // XEP-0085 §5.6: one state a stanza.
        let state = states.filter_map(|payload| state_of(&payload.name)).next();
        let thread = message.thread().map(|thread| Thread::from(thread.id.as_str()));
        found.extend(state.map(|state| signal.state(state, thread)));
    }
    found
}

struct Signal<'a> {
    source: Endpoint,
    destination: Endpoint,
    trans_id: &'a TransId,
    at: &'a DateTime,
}

impl Signal<'_> {
    fn report(&self, id: MessageId, disposition: Disposition, and_earlier: bool) -> Operation {
        Operation::Disposition(Box::new(DispositionOperation {
            source: self.source.clone(),
            destination: self.destination.clone(),
            max_forwards: MaxForwards::INITIAL,
            message_id: Some(id),
            trans_id: self.trans_id.clone(),
            accepted: self.at.clone(),
            disposition,
            and_earlier,
            return_path: None,
        }))
    }

    fn state(&self, state: ComposingState, thread: Option<Thread>) -> Operation {
        Operation::Composing(Box::new(ComposingOperation {
            source: self.source.clone(),
            destination: self.destination.clone(),
            max_forwards: MaxForwards::INITIAL,
            trans_id: self.trans_id.clone(),
            thread,
            state,
            refresh: None,
            content_type: None,
        }))
    }
}

/// Each message reported about, with what became of it and whether earlier ones share that.
fn reports(message: &stanza::Message) -> impl Iterator<Item = (MessageId, Disposition, bool)> {
    message.payloads().filter_map(|payload| {
        let id = payload.attr("id").filter(|id| !id.is_empty() && id.len() <= MAX_ID).map(MessageId::from)?;
        match (payload.name.as_str(), payload.ns.as_str()) {
            ("received", ns::RECEIPTS | ns::CHAT_MARKERS) => Some((id, Disposition::Delivered, false)),
            // XEP-0333 §4.2: a marker speaks of all messages before, too; what is acknowledged was seen.
            ("displayed" | "acknowledged", ns::CHAT_MARKERS) => Some((id, Disposition::Displayed, true)),
            _ => None,
        }
    })
}

fn state_of(name: &str) -> Option<ComposingState> {
    STATES.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
}

/// XEP-0085 §4.
const STATES: [(&str, ComposingState); 5] = [
    ("active", ComposingState::Active),
    ("composing", ComposingState::Composing),
    ("paused", ComposingState::Paused),
    ("inactive", ComposingState::Inactive),
    ("gone", ComposingState::Gone),
];

/// The stanza of good news about a message; `None` for what XMPP has no form for, and for bad news, which is an error stanza.
pub fn to_report(word: &DispositionOperation) -> Result<Option<stanza::Message>, AddressError> {
    let (name, ns) = match word.disposition {
        Disposition::Delivered => ("received", ns::RECEIPTS),
        Disposition::Displayed => ("displayed", ns::CHAT_MARKERS),
        Disposition::Failed(_) | Disposition::Expired | Disposition::Processed | Disposition::Stored | _ => {
            return Ok(None);
        }
    };
    let Some(id) = &word.message_id else { return Ok(None) };
    let (from, to) = (to_jid(&word.source)?, to_jid(&word.destination)?);
    let payload = Element::new(name, ns).with_attr("id", SharedStr::copy(id.as_str()));
    let out = stanza::Message::new(stanza::MessageType::Chat)
        .with_from(from.shared())
        .with_to(to.shared())
        // The same for a repeat, and unlike the id of the message itself.
        .with_id(format!("{name}-{id}"))
        .with_payload(payload);
    // XEP-0184 §5.5: kept for a user who is away.
    Ok(Some(out.with_payload(Element::new("store", ns::HINTS))))
}

/// The stanza of a chat state.
// XEP-0085 §5.6: type chat, without a body.
pub fn to_chat_state(told: &ComposingOperation) -> Result<stanza::Message, AddressError> {
    let (from, to) = (to_jid(&told.source)?, to_jid(&told.destination)?);
    let mut out = stanza::Message::new(stanza::MessageType::Chat).with_from(from.shared()).with_to(to.shared());
    if let Some(thread) = &told.thread {
        out = out.with_thread(&stanza::Thread { id: SharedStr::copy(thread.as_str()), parent: None });
    }
    let out = out.with_payload(Element::new(told.state.label(), ns::CHAT_STATES));
    // XEP-0334 §4.2: worth nothing later.
    Ok(out.with_payload(Element::new("no-store", ns::HINTS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use strict_xml::{Limits, parse_document};

    fn parse(attributes: &str, children: &str) -> Vec<Operation> {
        let text = format!(
            "<message xmlns='jabber:client' from='juliet@example.com/b' to='romeo@example.net' {attributes}>{children}</message>"
        );
        let element = parse_document(text.as_bytes(), &Limits::default()).unwrap();
        let stanza::Stanza::Message(message) = stanza::Stanza::from_element(element).unwrap() else {
            panic!("no message")
        };
        let jid = |text: &str| Jid::parse(text).unwrap();
        let at = || DateTime::from_epoch(0, 0);
        from_stanza(&message, &jid("juliet@example.com/b"), &jid("romeo@example.net"), &"t".into(), at)
    }

    fn shown(operation: &Operation) -> String {
        if let Operation::Disposition(word) = operation {
            return format!("{} {} {}", word.disposition.label(), word.message_id.as_ref().unwrap(), word.and_earlier);
        }
        let Operation::Composing(told) = operation else { panic!("{operation:?}") };
        told.state.label().to_owned()
    }

    // checks: CMP-022, CMP-001, CMP-002, XEX-002, XEX-003
    #[test]
    fn xep0184_xep0333_xep0085_stanzas_without_a_body_are_reports_and_states() {
        let read = |children: &str| parse("type='chat'", children).iter().map(shown).collect::<Vec<_>>();
        assert_eq!(read("<received xmlns='urn:xmpp:receipts' id='m1'/>"), ["delivered m1 false"]);
        assert_eq!(read("<received xmlns='urn:xmpp:chat-markers:0' id='m1'/>"), ["delivered m1 false"]);
        let seen = "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/><active xmlns='http://jabber.org/protocol/chatstates'/>";
        assert_eq!(read(seen), ["displayed m1 true", "active"]);
        for (name, state) in STATES {
            assert_eq!(read(&format!("<{name} xmlns='http://jabber.org/protocol/chatstates'/>")), [state.label()]);
        }
        assert_eq!(read("<body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/>").len(), 0);
        assert_eq!(read("<received xmlns='urn:xmpp:receipts'/>").len(), 0);
        assert_eq!(parse("type='error'", "<received xmlns='urn:xmpp:receipts' id='m1'/>"), []);
        assert_eq!(parse("type='groupchat'", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"), []);
    }

    // checks: CMP-024, CMP-002, IMDN-002, XEX-002, XEX-003
    #[test]
    fn reports_and_states_are_written_without_a_body_and_ask_for_nothing() {
        let written = |children: &str| {
            let operation = parse("type='chat'", children).remove(0);
            let message = if let Operation::Disposition(word) = &operation {
                to_report(word).unwrap().unwrap()
            } else {
                let Operation::Composing(told) = &operation else { panic!("{operation:?}") };
                to_chat_state(told).unwrap()
            };
            assert_eq!(
                (message.kind(), message.body(), receipts(&message)),
                (stanza::MessageType::Chat, None, Receipts::default())
            );
            let payload = message.payloads().next().unwrap();
            format!("{} {} {}", payload.name, payload.ns, payload.attr("id").unwrap_or_default())
        };
        assert_eq!(written("<received xmlns='urn:xmpp:receipts' id='m1'/>"), "received urn:xmpp:receipts m1");
        assert_eq!(
            written("<acknowledged xmlns='urn:xmpp:chat-markers:0' id='m1'/>"),
            "displayed urn:xmpp:chat-markers:0 m1"
        );
        let composing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        assert_eq!(written(composing), "composing http://jabber.org/protocol/chatstates ");
    }
}
