//! PRESENCE INFORMATION as a document.

use impp_model::{Address, Basic, DateTime, Device, LangText, LanguageTag, PresenceInfo, PresenceTuple, Show};
use strict_xml::SharedStr;

use super::{contact_priority, device_name, im_extension, show_activities, show_extension, tuple_id};
use crate::component::Person;
use crate::model::{Contact, Note, Presence, Tuple};
use crate::rpid;
use strict_xml::is_ncname;

/// The document that tells the state of a PRESENTITY, as RFC 8048 §6.2 writes it.
///
/// What is protected is left out: nobody but its reader could say it again. Each tuple has its own contact, else the PRESENTITY's `im:` URI. `timestamp`, for which [`Stamps`](crate::Stamps) is,
/// stands in each tuple; without it the time since when its state holds. When no device is more available than away, a
/// person says so in terms of RFC 4480, too: SIP clients show that.
pub fn to_document(presentity: &Address, info: &PresenceInfo, timestamp: Option<&DateTime>) -> Presence {
    document(presentity, info, |tuple, contact| to_tuple(tuple, contact, timestamp))
}

/// The same as RFC 3922 §5.1 writes it: the device's name itself is the tuple's id where it can be, and `<im/>` beside
/// `<show/>` says how it is there.
pub fn to_cpp_document(presentity: &Address, info: &PresenceInfo, timestamp: Option<&DateTime>) -> Presence {
    document(presentity, info, |state, contact| {
        let mut tuple = to_tuple(state, contact, timestamp);
        let name = state.device.as_ref().map_or("", Device::as_str);
        if is_ncname(name) && device_name(name) == name {
            tuple.id = SharedStr::copy(name);
        }
        tuple.status.extensions.extend(shown(state).map(im_extension));
        tuple
    })
}

fn document(
    presentity: &Address,
    info: &PresenceInfo,
    to_tuple: impl Fn(&PresenceTuple, Option<&str>) -> Tuple,
) -> Presence {
    let inbox = presentity.to_im_uri();
    let tuples = info.readable().map(|tuple| to_tuple(tuple, Some(tuple.contact.as_deref().unwrap_or(&inbox))));
    let mut presence = Presence::new(presentity.to_pres_uri()).with_tuples(tuples.collect());
    presence.notes = info.notes.iter().map(to_note).collect();
    presence.persons.extend(person(info));
    presence
}

/// The tuple that tells the state of one device, with `contact` as the address to reach it.
pub fn to_tuple(state: &PresenceTuple, contact: Option<&str>, timestamp: Option<&DateTime>) -> Tuple {
    let mut tuple = Tuple::new(tuple_id(state.device.as_ref().map_or("", Device::as_str)), state.basic);
    tuple.status.extensions.extend(shown(state).map(show_extension));
    let priority = state.priority.filter(|_| state.basic == Basic::Open).and_then(contact_priority);
    tuple.contact = contact.map(|uri| Contact::new(uri.to_owned(), priority));
    tuple.notes = state.notes.iter().map(to_note).collect();
    tuple.timestamp = timestamp.or(state.since.as_ref()).cloned();
    tuple
}

fn shown(state: &PresenceTuple) -> Option<Show> {
    state.show.filter(|_| state.basic == Basic::Open)
}

fn to_note(note: &LangText) -> Note {
    Note::new(note.language.as_ref().map(LanguageTag::as_str).map(SharedStr::copy), note.text.clone())
}

/// PRS-057: never where one device says nothing of the kind, for the hint would be read as that device's state.
fn person(info: &PresenceInfo) -> Option<Person> {
    let activities = show_activities(info.most_available().and_then(shown)?);
    let elements = vec![rpid::activities_element(activities)];
    (!activities.is_empty()).then(|| Person { elements, ..Person::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::to_info;

    fn tuple(device: &str, basic: Basic, show: Option<Show>) -> PresenceTuple {
        let contact = Some("im:juliet@example.com".into());
        PresenceTuple { show, contact, ..PresenceTuple::new(Device::new(device).ok(), basic) }
    }

    fn juliet() -> Address {
        Address::parse_bare("juliet@example.com").unwrap()
    }

    fn info() -> PresenceInfo {
        let note = LangText { language: Some("cs".into()), text: "ahoj".to_owned() };
        let away = PresenceTuple { priority: Some(13), ..tuple("Büro PC", Basic::Open, Some(Show::Away)) };
        let tuples = vec![
            PresenceTuple { notes: vec![note], ..away },
            tuple("ID-x", Basic::Open, Some(Show::Dnd)),
            tuple("balcony", Basic::Closed, None),
            tuple("", Basic::Closed, None),
        ];
        PresenceInfo { tuples, ..PresenceInfo::default() }
    }

    // checks: PRS-040, PRS-041, PRS-043, PRS-044, PRS-045, PRS-046, PRS-047, PRS-048, XM-14
    // checks: MOD-06, PX-05, REQ-3.1.2, REQ-3.1.3, AMB-06
    #[test]
    fn rfc3856_s6_8_all_devices_stand_in_one_document_and_come_back() {
        let at = DateTime::parse("2026-11-22T12:00:00Z").unwrap();
        let mut sent = info();
        for write in [to_document, to_cpp_document] {
            let document = write(&juliet(), &sent, Some(&at));
            assert_eq!((document.entity.as_str(), document.tuples.len()), ("pres:juliet@example.com", 4));
            let read = crate::parse(&document.encode().unwrap()).unwrap();
            assert_eq!(read.warnings, []);
            let mapped = to_info(&read.presence, None);
            assert_eq!((mapped.degraded, mapped.dropped), (vec!["person"], vec![]));
            let mut back = mapped.value;
            assert!(back.tuples.iter_mut().all(|tuple| tuple.since.take().as_ref() == Some(&at)));
            assert_eq!(back, sent);
        }
        sent.tuples[2].since = Some(at.clone());
        assert_eq!(to_document(&juliet(), &sent, None).tuples[2].timestamp, Some(at));
    }

    // checks: XM-10, XM-11, XM-12
    #[test]
    fn rfc3922_s5_1_a_resource_is_the_id_of_its_tuple() {
        let document = to_cpp_document(&juliet(), &info(), None);
        let ids: Vec<_> = document.tuples.iter().map(|tuple| tuple.id.as_str()).collect();
        assert_eq!(ids, ["ID-B\u{fc}ro_x0020_PC", "ID-ID-x", "balcony", "ID-"]);
        let names: Vec<_> = document.tuples[0].status.extensions.iter().map(|e| e.element().name.to_string()).collect();
        assert_eq!(names, ["show", "im"]);
        let negative = PresenceTuple { priority: Some(-1), ..tuple("a", Basic::Open, None) };
        let document = to_cpp_document(&juliet(), &PresenceInfo { tuples: vec![negative], ..info() }, None);
        assert_eq!(document.tuples[0].contact.as_ref().and_then(|contact| contact.priority), None);
    }

    // checks: PRS-057, PD-25
    #[test]
    fn rfc4480_s3_2_a_person_is_away_when_no_device_is_more_available() {
        let activities = |info: &PresenceInfo| {
            let document = to_document(&juliet(), info, None);
            document.persons.iter().flat_map(|person| rpid::activities(person, None)).collect::<Vec<_>>()
        };
        assert_eq!(activities(&info()), [crate::Activity::Away]);
        let mut open = info();
        open.tuples.push(tuple("hall", Basic::Open, None));
        assert_eq!(activities(&open), [], "somebody is there");
        assert_eq!(activities(&PresenceInfo::default()), []);
    }
}
