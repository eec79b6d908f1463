//! A document as PRESENCE INFORMATION.

use std::collections::BTreeMap;

use impp_model::address::MAX_PART_LEN;
use impp_model::{Basic, DateTime, Device, LangText, LanguageTag, Mapped, PresenceInfo, PresenceTuple, Show};

use super::{device_name, show_of_persons, show_of_status, xmpp_priority};
use crate::component::Person;
use crate::model::{Note, Presence, Tuple};
use crate::namespace::{IM_STATUS, JABBER_CLIENT, RPID};

/// What a document says of each device, and what of it has no place there; `now` leaves out activities of the past and
/// future.
///
/// A tuple without basic status says nothing of availability and is left out; see [`is_silent`]. The entity is not looked at: who sent the
/// document decides whose state it is. `pidf` is left for the caller, who has the octets. No tuple and no note means that
/// nobody is there (RFC 3922 §6.3.2); no tuple and notes tell nothing (RFC 3922 §5.2.11).
pub fn to_info(presence: &Presence, now: Option<&DateTime>) -> Mapped<PresenceInfo> {
    let hint = show_of_persons(presence, now);
    let known: Vec<_> = presence.tuples.iter().filter_map(|tuple| of_tuple(tuple, hint)).collect();
    let tuples = one_per_device(known);
    let told = tuples.len();
    let info = PresenceInfo { tuples, notes: notes(&presence.notes), pidf: None };
    let repeated = |given: &[Note]| notes(given).len() < given.len();
    let repeated = repeated(&presence.notes) || presence.tuples.iter().any(|tuple| repeated(&tuple.notes));
    let activities = |person: &Person| person.element("activities", RPID).is_some();
    let lost = [
        ("tuple", told < presence.tuples.len()),
        ("notes", repeated),
        ("device", !presence.devices.is_empty()),
        ("person", presence.persons.iter().any(|person| !activities(person))),
        ("extensions", !presence.extensions.is_empty() || presence.tuples.iter().any(has_extensions)),
    ];
    let degraded = if presence.persons.iter().any(activities) { vec!["person"] } else { Vec::new() };
    Mapped { degraded, ..Mapped::without(info, lost) }
}

/// Whether PRESENCE INFORMATION says nothing of availability: it has notes only, or all tuples of its document were
/// `dropped`. Nobody may take it for unavailable, as they may one that says nothing at all.
pub fn is_silent(info: &PresenceInfo, dropped: &[&str]) -> bool {
    info.tuples.is_empty() && (!info.notes.is_empty() || dropped.contains(&"tuple"))
}

/// The state that a tuple tells; `hint` is what the person's activities say.
pub fn of_tuple(tuple: &Tuple, hint: Option<Show>) -> Option<PresenceTuple> {
    let basic = tuple.status.basic?;
    let open = basic == Basic::Open;
    let contact = tuple.contact.as_ref();
    let priority = contact.and_then(|contact| contact.priority);
    Some(PresenceTuple {
        device: device(&tuple.id),
        basic,
        // RFC 6121 §4.7.1: an unavailable presence has no show.
        show: if open { show_of_status(&tuple.status).or(hint) } else { None },
        priority: priority.filter(|_| open).map(xmpp_priority),
        notes: notes(&tuple.notes),
        contact: contact.filter(|contact| !contact.uri.is_empty()).map(|contact| contact.uri.as_str().into()),
        since: tuple.timestamp.clone(),
        sealed: None,
    })
}

/// The device of a tuple id: what can't stand in a device's name is left out, always the same.
fn device(tuple_id: &str) -> Option<Device> {
    let name = device_name(tuple_id);
    Device::new(&name).ok().or_else(|| {
        let mut clean: String = name.chars().filter(|c| !c.is_control()).collect();
        clean.truncate(clean.floor_char_boundary(MAX_PART_LEN));
        Device::new(&clean).ok()
    })
}

/// The first note of each language: a device has one comment in each.
fn notes(notes: &[Note]) -> Vec<LangText> {
    let mut seen = std::collections::BTreeSet::new();
    let first = notes.iter().filter(|note| seen.insert(note.lang.as_deref().map(str::to_ascii_lowercase)));
    first
        .map(|note| LangText { language: note.lang.as_deref().map(LanguageTag::from), text: note.text.to_string() })
        .collect()
}

/// `ID-a` and `a` name the same device: the tuple that says it is there counts, else the first.
fn one_per_device(tuples: Vec<PresenceTuple>) -> Vec<PresenceTuple> {
    let mut places: BTreeMap<Option<Device>, usize> = BTreeMap::new();
    let mut told: Vec<PresenceTuple> = Vec::with_capacity(tuples.len());
    for tuple in tuples {
        match places.get(&tuple.device).and_then(|place| told.get_mut(*place)) {
            Some(known) if known.basic == Basic::Closed => *known = tuple,
            Some(_) => {}
            None => {
                places.insert(tuple.device.clone(), told.len());
                told.push(tuple);
            }
        }
    }
    told
}

fn has_extensions(tuple: &Tuple) -> bool {
    let is_read = |name: &str, ns: &str| matches!((name, ns), ("show", JABBER_CLIENT) | ("im", IM_STATUS));
    let mut of_status = tuple.status.extensions.iter().map(|extension| extension.element());
    !tuple.extensions.is_empty() || of_status.any(|element| !is_read(&element.name, &element.ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str) -> Mapped<PresenceInfo> {
        let text =
            format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b.example'>{inside}</presence>");
        to_info(&crate::parse(text.as_bytes()).unwrap().presence, None)
    }

    fn devices(info: &PresenceInfo) -> Vec<(&str, Basic)> {
        info.tuples.iter().map(|tuple| (tuple.device.as_ref().map_or("", Device::as_str), tuple.basic)).collect()
    }

    // checks: PD-10, PD-25, XM-13, XM-15, PRS-054, MOD-07, MOD-08, REQ-4.4.1, REQ-4.4.2
    #[test]
    fn rfc3922_s5_2_what_is_not_known_is_never_taken_for_open() {
        let Mapped { value: info, dropped, .. } = read(
            "<tuple id='a'><status><basic>busy</basic></status></tuple><tuple id='b'><status><x xmlns='urn:x'/></status></tuple>",
        );
        assert!(is_silent(&info, &dropped));
        assert_eq!((info.tuples, dropped), (vec![], vec!["tuple", "extensions"]));
        let Mapped { value: info, dropped, .. } = read("<note>In Tokyo</note>");
        assert_eq!((info.tuples.len(), info.notes.len(), dropped.len()), (0, 1, 0));
        assert!(is_silent(&info, &[]) && !is_silent(&PresenceInfo::default(), &[]));
        assert_eq!(read("").value, PresenceInfo::default());
    }

    // checks: PRS-041, PRS-043, PRS-045, PX-03
    #[test]
    fn rfc8048_s6_3_a_tuple_tells_the_state_of_a_device() {
        let Mapped { value: info, degraded, dropped } = read(
            "<tuple id='ID-a_x0020_b'><status><basic>open</basic><show xmlns='jabber:client'>dnd</show></status>\
             <contact priority='0.5'>im:a@b.example</contact><note xml:lang='en'>one</note><note xml:lang='EN'>two</note>\
             <note>three</note><timestamp>2024-01-01T00:00:00Z</timestamp></tuple>",
        );
        assert_eq!((degraded, dropped), (vec![], vec!["notes"]), "two are of one language");
        let tuple = &info.tuples[0];
        assert_eq!((tuple.device.as_ref().map(Device::as_str), tuple.show), (Some("a b"), Some(Show::Dnd)));
        assert_eq!((tuple.priority, tuple.contact.as_deref()), (Some(64), Some("im:a@b.example")));
        assert_eq!(tuple.since.as_ref().map(DateTime::as_str), Some("2024-01-01T00:00:00Z"));
        let notes: Vec<_> = tuple.notes.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(notes, ["one", "three"]);
    }

    #[test]
    fn one_state_for_each_device() {
        let tuple = |id: &str, basic: &str| format!("<tuple id='{id}'><status><basic>{basic}</basic></status></tuple>");
        let Mapped { value: info, dropped, .. } =
            read(&[tuple("a", "closed"), tuple("ID-", "open"), tuple("ID-a", "open")].concat());
        assert_eq!(devices(&info), [("a", Basic::Open), ("", Basic::Open)]);
        assert_eq!(dropped, ["tuple"]);
        let Mapped { value: long, .. } = read(&tuple(&"\u{fc}".repeat(600), "open"));
        assert_eq!(devices(&long)[0].0.len(), MAX_PART_LEN - 1);
    }

    // checks: PRS-053, PRS-057
    #[test]
    fn rfc4480_s3_2_activities_tell_how_somebody_is_there_unless_a_tuple_does() {
        let person = "<p:person xmlns:p='urn:ietf:params:xml:ns:pidf:data-model' id='p'><r:activities \
            xmlns:r='urn:ietf:params:xml:ns:pidf:rpid'><r:meeting/></r:activities></p:person>";
        let Mapped { value: info, degraded, dropped } = read(&format!(
            "<tuple id='a'><status><basic>open</basic></status></tuple><tuple id='b'><status><basic>open</basic>\
             <show xmlns='jabber:client'>chat</show></status></tuple><tuple id='c'><status><basic>closed</basic></status>\
             </tuple>{person}"
        ));
        let shows: Vec<_> = info.tuples.iter().map(|tuple| tuple.show).collect();
        assert_eq!(shows, [Some(Show::Dnd), Some(Show::Chat), None]);
        assert_eq!((degraded, dropped), (vec!["person"], vec![]));
    }
}
