//! The states of devices as a whole document, and what a document loses as states.

use impp_model::{Address, DateTime};

use super::{DeviceState, Show, States};
use crate::component::Person;
use crate::model::{Basic, Presence};
use crate::namespace::{IM_STATUS, JABBER_CLIENT, RPID};
use crate::rpid;

/// The document that tells the states of all devices of a PRESENTITY (RFC 3856 §6.8: a document is the complete state).
///
/// Each tuple has the PRESENTITY's `im:` URI as its contact and `timestamp`, for which [`Stamps`](crate::Stamps) is.
/// When no device is more available than away, a person says so in terms of RFC 4480, too: SIP clients show that.
pub fn to_document(presentity: &Address, states: &[DeviceState], timestamp: Option<&DateTime>) -> Presence {
    let contact = presentity.to_im_uri();
    let tuples = states.iter().map(|state| state.to_tuple(Some(&contact), timestamp.cloned())).collect();
    let mut presence = Presence::new(presentity.to_pres_uri()).with_tuples(tuples);
    presence.persons.extend(person(states));
    presence
}

/// PRS-057: never where one device says nothing of the kind, for the hint would be read as that device's state.
fn person(states: &[DeviceState]) -> Option<Person> {
    let best = most_available(states).filter(|state| state.basic == Basic::Open)?;
    let activities = best.show?.activities();
    let hint = !activities.is_empty();
    hint.then(|| Person { elements: vec![rpid::activities_element(activities)], ..Person::default() })
}

/// The state to show where there is room for one: the most available, and of equals the one of highest priority.
pub fn most_available(states: &[DeviceState]) -> Option<&DeviceState> {
    let rank = |state: &DeviceState| {
        let show = match state.show {
            Some(Show::Chat) => 4,
            None => 3,
            Some(Show::Away) => 2,
            Some(Show::Xa) => 1,
            Some(Show::Dnd) => 0,
        };
        (state.basic, show, state.priority.unwrap_or_default())
    };
    // Of equal ones the first.
    states.iter().rev().max_by_key(|state| rank(state))
}

/// What does not arrive whole when a document is read as [`States`], by the names of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// What arrives in a poorer form.
    pub degraded: Vec<&'static str>,
    /// What does not arrive.
    pub dropped: Vec<&'static str>,
}

impl Losses {
    /// Compares a document with what [`States::of`] takes from it.
    pub fn of(presence: &Presence) -> Self {
        let mut losses = Self::default();
        let states = States::of(presence, None);
        let known = match &states {
            States::Devices(states) => states.len(),
            States::Unavailable | States::NotMapped => 0,
        };
        losses.drop_if("tuple", known < presence.tuples.len());
        losses.drop_if("contact", presence.tuples.iter().any(|tuple| tuple.contact.is_some()));
        losses.drop_if("timestamp", presence.tuples.iter().any(|tuple| tuple.timestamp.is_some()));
        // RFC 3922 §5.2.11: notes on the whole have no place in a device's state.
        losses.drop_if("notes", !presence.notes.is_empty());
        losses.drop_if("device", !presence.devices.is_empty());
        let activities = |person: &Person| person.element("activities", RPID).is_some();
        losses.drop_if("person", presence.persons.iter().any(|person| !activities(person)));
        if presence.persons.iter().any(activities) {
            losses.degraded.push("person");
        }
        let of_tuples = presence.tuples.iter().any(|tuple| {
            let read =
                |name: &str, ns: &str| (name == "show" && ns == JABBER_CLIENT) || (name == "im" && ns == IM_STATUS);
            let unread =
                tuple.status.extensions.iter().filter(|found| !read(&found.element().name, &found.element().ns));
            !tuple.extensions.is_empty() || unread.count() > 0
        });
        losses.drop_if("extensions", of_tuples || !presence.extensions.is_empty());
        losses
    }

    fn drop_if(&mut self, what: &'static str, lost: bool) {
        if lost {
            self.dropped.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Note, Tuple};

    fn state(device: &str, basic: Basic, show: Option<Show>) -> DeviceState {
        DeviceState { device: device.to_owned(), basic, show, priority: None, notes: Vec::new() }
    }

    fn juliet() -> Address {
        Address::parse_bare("juliet@example.com").unwrap()
    }

    // checks: PRS-047, PRS-048, PRS-049, PRS-057, PD-25, XM-14
    #[test]
    fn rfc3856_s6_8_all_devices_stand_in_one_document_and_come_back() {
        let at = DateTime::parse("2026-11-22T12:00:00Z").unwrap();
        let states = vec![
            state("balcony", Basic::Open, Some(Show::Away)),
            state("chamber", Basic::Open, Some(Show::Dnd)),
            state("garden", Basic::Closed, None),
        ];
        let presence = to_document(&juliet(), &states, Some(&at));
        assert_eq!((presence.entity.as_str(), presence.tuples.len()), ("pres:juliet@example.com", 3));
        assert!(presence.tuples.iter().all(|tuple| tuple.timestamp.as_ref() == Some(&at) && tuple.contact.is_some()));
        let activities: Vec<_> = rpid::activities(&presence.persons[0], None).collect();
        assert_eq!(activities, [crate::Activity::Away], "the most available counts");
        let read = crate::parse(&presence.encode().unwrap()).unwrap();
        assert_eq!((read.warnings, States::of(&read.presence, None)), (vec![], States::Devices(states.clone())));
        let open = [states, vec![state("hall", Basic::Open, None)]].concat();
        assert_eq!(to_document(&juliet(), &open, None).persons, [], "somebody is there");
        assert_eq!(most_available(&open).map(|state| state.device.as_str()), Some("hall"));
        assert_eq!(to_document(&juliet(), &[], None).tuples, []);
    }

    // checks: PD-25, XM-13, XM-15
    #[test]
    fn what_a_state_has_no_place_for_is_listed() {
        let text = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b.example'><tuple id='t'><status>\
            <basic>open</basic><show xmlns='jabber:client'>dnd</show></status></tuple></presence>";
        let mut presence = crate::parse(text.as_bytes()).unwrap().presence;
        assert_eq!(Losses::of(&presence), Losses::default());
        presence.notes.push(Note::new(None, "n"));
        presence.tuples.push(Tuple { status: crate::Status::default(), ..Tuple::new("u", Basic::Open) });
        presence.tuples[0].contact = Some(crate::Contact::new("im:a@b.example", None));
        presence.persons.push(Person { elements: vec![rpid::activities_element(&[])], ..Person::default() });
        presence.extensions.push(Show::Away.to_extension());
        let losses = Losses::of(&presence);
        assert_eq!(losses.degraded, ["person"]);
        assert_eq!(losses.dropped, ["tuple", "contact", "notes", "extensions"]);
    }
}
