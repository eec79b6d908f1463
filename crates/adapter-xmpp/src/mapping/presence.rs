//! Presence stanzas and the states of devices (RFC 8048 §6, RFC 3922 §5, §6.3).
//!
//! A stanza tells the state of one resource, a presence document that of all of a PRESENTITY: who keeps the states of its
//! resources makes a document of them with [`pidf::mapping::to_document`], and [`from_document`] makes stanzas of one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use impp_model::{Address, DateTime, Device, Endpoint};
use pidf::mapping::{self, DeviceState, Losses, States};
use pidf::{Basic, Note};
use sha2::{Digest, Sha256};
use strict_xml::SharedStr;
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza;

use super::Mapped;
use super::address::{AddressError, to_jid};

/// The state that a presence stanza tells of the resource of `from`.
///
/// `None` for all that is no availability: subscriptions, probes and errors never become a NOTIFICATION (RFC 8048 §6.2).
pub fn from_stanza(presence: &stanza::Presence, from: &Jid) -> Option<Mapped<DeviceState>> {
    let basic = match presence.kind() {
        None if presence.element().attr("type").is_none() => Basic::Open,
        Some(stanza::PresenceType::Unavailable) => Basic::Closed,
        None | Some(_) => return None,
    };
    let open = basic == Basic::Open;
    let stated = presence.payload("priority", &presence.element().ns).map(|_| presence.priority());
    // RFC 8048 §6.2, note 6: a negative priority is not mapped.
    let priority = stated.filter(|priority| open && *priority >= 0);
    let state = DeviceState {
        device: from.resource().unwrap_or_default().to_owned(),
        basic,
        show: presence.show().filter(|_| open).map(from_show),
        priority,
        notes: notes(presence),
    };
    let mut dropped = Vec::new();
    if open && stated.is_some_and(|priority| priority < 0) {
        dropped.push("priority");
    }
    let own = &presence.element().ns;
    if presence.payloads().any(|payload| payload.ns != *own) {
        dropped.push("extensions");
    }
    Some(Mapped { value: state, degraded: Vec::new(), dropped })
}

/// The stanza that tells `to` the state of a device of `from`.
///
/// # Errors
///
/// An address without JID. A device name that makes no resource gets another, always the same.
pub fn to_stanza(state: &DeviceState, from: &Address, to: &Endpoint) -> Result<stanza::Presence, AddressError> {
    let to = to_jid(to)?;
    let from = resource_jid(from, &state.device)?;
    let kind = (state.basic == Basic::Closed).then_some(stanza::PresenceType::Unavailable);
    let mut out = addressed(kind, &from, &to);
    if let Some(show) = state.show {
        out = out.with_show(to_show(show));
    }
    for note in &state.notes {
        out = out.with_status(note.text.replace("\r\n", "\n").replace('\r', "\n"), note.lang.as_deref());
    }
    if let Some(priority) = state.priority {
        out = out.with_priority(priority);
    }
    Ok(out)
}

/// Unavailability without a device's name: of a PRESENTITY whose document has no tuple, or of which nothing is known any more.
pub fn unavailable(from: &Address, to: &Endpoint) -> Result<stanza::Presence, AddressError> {
    let from = to_jid(&Endpoint::bare(from.clone()))?;
    Ok(addressed(Some(stanza::PresenceType::Unavailable), &from, &to_jid(to)?))
}

/// The stanzas that tell `to` what a document says of `from`, one for each tuple whose availability is known; `now` leaves
/// out activities of the past and future.
///
/// The entity of the document is not looked at: who sent it decides whose state it is. What vanished since an earlier
/// document is told with [`mapping::vanished`] and [`to_stanza`].
pub fn from_document(
    document: &pidf::Presence,
    from: &Address,
    to: &Endpoint,
    now: Option<&DateTime>,
) -> Result<Mapped<Vec<stanza::Presence>>, AddressError> {
    let mut losses = Losses::of(document);
    let stanzas = match States::of(document, now) {
        States::Devices(states) => {
            let told = one_per_device(&states);
            if told.len() < states.len() && !losses.dropped.contains(&"tuple") {
                losses.dropped.push("tuple");
            }
            told.into_iter().map(|state| to_stanza(state, from, to)).collect::<Result<_, _>>()?
        }
        States::Unavailable => vec![unavailable(from, to)?],
        // RFC 3922 §5.2.11.
        States::NotMapped => Vec::new(),
    };
    Ok(Mapped { value: stanzas, degraded: losses.degraded, dropped: losses.dropped })
}

/// `ID-a` and `a` name the same device: the state that says it is there counts, else the first.
fn one_per_device(states: &[DeviceState]) -> Vec<&DeviceState> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut told: Vec<&DeviceState> = Vec::with_capacity(states.len());
    for state in states {
        match places.get(state.device.as_str()).and_then(|place| told.get_mut(*place)) {
            Some(known) if known.basic == Basic::Closed => *known = state,
            Some(_) => {}
            None => {
                places.insert(&state.device, told.len());
                told.push(state);
            }
        }
    }
    told
}

fn addressed(kind: Option<stanza::PresenceType>, from: &Jid, to: &Jid) -> stanza::Presence {
    stanza::Presence::new(kind).with_from(SharedStr::copy(from.as_str())).with_to(SharedStr::copy(to.as_str()))
}

/// The full JID of a device, the bare one when it has no name.
fn resource_jid(address: &Address, device: &str) -> Result<Jid, AddressError> {
    let bare = Endpoint::bare(address.clone());
    if device.is_empty() {
        return to_jid(&bare);
    }
    let named = |name: &str| to_jid(&Endpoint { device: Some(Device::new(name)?), ..bare.clone() });
    // RFC 7622 §3.4: a tuple id of another's making may hold what no resource can.
    named(device).or_else(|_| named(&substitute(device)))
}

/// Octets of the hash that stands for a name: enough for the devices of one person.
const SUBSTITUTE_LEN: usize = 8;

fn substitute(device: &str) -> String {
    Sha256::digest(device.as_bytes()).iter().take(SUBSTITUTE_LEN).fold(String::new(), |mut name, octet| {
        // Writing to a string can't fail.
        let _ = write!(name, "{octet:02x}");
        name
    })
}

/// RFC 6121 §4.7.2.2: one status for each language.
fn notes(presence: &stanza::Presence) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for status in presence.statuses().filter(|status| !status.text.is_empty()) {
        let lang = status.lang.filter(|lang| !lang.is_empty()).map(SharedStr::copy);
        if notes.iter().all(|known| known.lang != lang) {
            notes.push(Note::new(lang, status.text.into_owned()));
        }
    }
    notes
}

fn from_show(show: stanza::Show) -> mapping::Show {
    match show {
        stanza::Show::Away => mapping::Show::Away,
        stanza::Show::Chat => mapping::Show::Chat,
        stanza::Show::Dnd => mapping::Show::Dnd,
        stanza::Show::Xa => mapping::Show::Xa,
    }
}

fn to_show(show: mapping::Show) -> stanza::Show {
    match show {
        mapping::Show::Away => stanza::Show::Away,
        mapping::Show::Chat => stanza::Show::Chat,
        mapping::Show::Dnd => stanza::Show::Dnd,
        mapping::Show::Xa => stanza::Show::Xa,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strict_xml::{Limits, Scope, parse_element};
    use xmpp_proto::ns;
    use xmpp_proto::stanza::Stanza;

    fn presence(text: &str) -> (stanza::Presence, Jid) {
        let element = parse_element(text.as_bytes(), &Scope::with_default(ns::CLIENT), &Limits::default()).unwrap();
        let Ok(Stanza::Presence(presence)) = Stanza::from_element(element) else { panic!("{text}") };
        let from = Jid::parse(presence.from().unwrap()).unwrap();
        (presence, from)
    }

    fn read(text: &str) -> Option<Mapped<DeviceState>> {
        let (presence, from) = presence(text);
        from_stanza(&presence, &from)
    }

    fn written(document: &str) -> Mapped<Vec<String>> {
        let text = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:romeo@example.net'>{document}</presence>"
        );
        let document = pidf::parse(text.as_bytes()).unwrap().presence;
        let [from, to] = ["romeo@example.net", "juliet@example.com"].map(|text| text.parse().unwrap());
        let mapped = from_document(&document, &from, &Endpoint::bare(to), None).unwrap();
        let text = |stanza: stanza::Presence| {
            let mut out = bytes::BytesMut::new();
            stanza::encode(&mut out, stanza.element());
            String::from_utf8(out.to_vec()).unwrap()
        };
        Mapped {
            value: mapped.value.into_iter().map(text).collect(),
            degraded: mapped.degraded,
            dropped: mapped.dropped,
        }
    }

    const ROMEO: &str = "from='romeo@example.net' to='juliet@example.com'";

    // checks: PRS-040, PRS-042, PRS-043, PRS-045, PRS-046, XM-11, XM-12
    #[test]
    fn rfc8048_s6_2_a_stanza_tells_the_state_of_its_resource() {
        let mapped = read(
            "<presence from='j@example.com/balcony' xml:lang='en'><show>away</show><status>out</status>\
             <status xml:lang='cs'>venku</status><status>again</status><priority>13</priority>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
        )
        .unwrap();
        assert_eq!(mapped.dropped, ["extensions"]);
        let state = mapped.value;
        assert_eq!(
            (state.device.as_str(), state.basic, state.show),
            ("balcony", Basic::Open, Some(mapping::Show::Away))
        );
        assert_eq!(state.priority, Some(13));
        assert_eq!(state.notes, [Note::new(Some("en".into()), "out"), Note::new(Some("cs".into()), "venku")]);
        let negative =
            read("<presence from='j@example.com/b'><priority>-5</priority><show>online</show></presence>").unwrap();
        assert_eq!((negative.value.priority, negative.value.show), (None, None));
        assert_eq!(negative.dropped, ["priority"]);
        let gone = read("<presence from='j@example.com/b' type='unavailable'><show>dnd</show></presence>").unwrap();
        assert_eq!((gone.value.basic, gone.value.show), (Basic::Closed, None));
    }

    // checks: PRS-040
    #[test]
    fn rfc8048_s6_2_subscriptions_probes_and_errors_tell_no_state() {
        for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"] {
            assert_eq!(read(&format!("<presence from='j@example.com' type='{kind}'/>")), None, "{kind}");
        }
    }

    // checks: PRS-041, PRS-044, PRS-054, XM-13, XM-14, XM-15
    #[test]
    fn rfc3922_s6_3_1_each_tuple_makes_a_stanza() {
        let mapped = written(
            "<tuple id='ID-a_x0020_b'><status><basic>open</basic><show xmlns='jabber:client'>xa</show></status>\
             <contact priority='0.5'>im:romeo@example.net</contact><note xml:lang='it'>ciao&#13;\n!</note>\
             <timestamp>2024-01-01T00:00:00Z</timestamp></tuple>\
             <tuple id='street'><status><basic>closed</basic></status></tuple>\
             <tuple id='ID-street'><status><basic>open</basic></status></tuple>\
             <tuple id='none'><status><x xmlns='urn:x'/></status></tuple>",
        );
        assert_eq!(
            mapped.value,
            [
                "<presence from='romeo@example.net/a b' to='juliet@example.com'><show>xa</show>\
                 <status xml:lang='it'>ciao\n!</status><priority>64</priority></presence>"
                    .to_owned(),
                "<presence from='romeo@example.net/street' to='juliet@example.com'/>".to_owned(),
            ]
        );
        assert_eq!(mapped.dropped, ["tuple", "contact", "timestamp", "extensions"]);
        assert_eq!(written("").value, [format!("<presence type='unavailable' {ROMEO}/>")]);
        assert_eq!(written("<note>In Tokyo</note>").value, [""; 0], "notes alone tell nothing");
    }

    #[test]
    fn a_tuple_id_that_makes_no_resource_gets_a_name_that_stays() {
        let odd = |id: &str| written(&format!("<tuple id='{id}'><status><basic>open</basic></status></tuple>")).value;
        assert_eq!(odd("ID-"), [format!("<presence {ROMEO}/>")], "a device without name");
        let long = odd(&"a".repeat(1100));
        assert_eq!(long, odd(&"a".repeat(1100)));
        assert!(long[0].contains("from='romeo@example.net/") && long[0].len() < 100, "{long:?}");
    }
}
