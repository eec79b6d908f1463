//! A whole document as the states of devices.

use impp_model::DateTime;

use super::{Show, contact_priority, device_name, tuple_id, xmpp_priority};
use crate::model::{Basic, Contact, Note, Presence, Tuple};

/// The state of one device, as XMPP's presence has it of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// The resource.
    pub device: String,
    /// Whether it is available.
    pub basic: Basic,
    /// How it is available.
    pub show: Option<Show>,
    /// From -128 to 127, negative ones not to be carried by PIDF.
    pub priority: Option<i8>,
    /// Comments, one for each language.
    pub notes: Vec<Note>,
}

/// What a document says to a protocol that has a state for each device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum States {
    /// The state of each device of which one is known.
    Devices(Vec<DeviceState>),
    /// No tuple at all: the PRESENTITY is unavailable, without a device's name.
    Unavailable,
    /// Notes without tuples, which are not to be mapped.
    NotMapped,
}

impl States {
    /// Reads the states out of a document; `now` leaves out activities of the past and future.
    ///
    /// A tuple without basic status says nothing of availability and is left out.
    pub fn of(presence: &Presence, now: Option<&DateTime>) -> Self {
        match (presence.tuples.is_empty(), presence.notes.is_empty()) {
            (false, _) => {
                let hint = Show::of_persons(presence, now);
                Self::Devices(presence.tuples.iter().filter_map(|tuple| DeviceState::of(tuple, hint)).collect())
            }
            // RFC 3922 §6.3.2.
            (true, true) => Self::Unavailable,
            // RFC 3922 §5.2.11.
            (true, false) => Self::NotMapped,
        }
    }
}

impl DeviceState {
    /// The state that a tuple tells; `hint` is what the person's activities say.
    pub fn of(tuple: &Tuple, hint: Option<Show>) -> Option<Self> {
        let basic = tuple.status.basic?;
        let open = basic == Basic::Open;
        let priority = tuple.contact.as_ref().and_then(|contact| contact.priority);
        Some(Self {
            device: device_name(&tuple.id),
            basic,
            // RFC 6121 §4.7.1: an unavailable presence has no show.
            show: if open { Show::of_status(&tuple.status).or(hint) } else { None },
            priority: priority.filter(|_| open).map(xmpp_priority),
            notes: first_of_each_language(&tuple.notes),
        })
    }

    /// The tuple that tells the state, with `contact` as the address to reach the device.
    pub fn to_tuple(&self, contact: Option<&str>, timestamp: Option<DateTime>) -> Tuple {
        let mut tuple = Tuple::new(tuple_id(&self.device), self.basic);
        let open = self.basic == Basic::Open;
        tuple.status.extensions.extend(self.show.filter(|_| open).map(Show::to_extension));
        let priority = self.priority.filter(|_| open).and_then(contact_priority);
        tuple.contact = contact.map(|uri| Contact::new(uri.to_owned(), priority));
        tuple.notes.clone_from(&self.notes);
        tuple.timestamp = timestamp;
        tuple
    }
}

/// The ids of tuples that were there and are no longer: a document is the complete state (RFC 3856 §6.8).
pub fn vanished<'a>(before: &'a Presence, after: &'a Presence) -> impl Iterator<Item = &'a Tuple> {
    before.tuples.iter().filter(|tuple| after.tuple(&tuple.id).is_none())
}

/// A stanza has one status for each language: the first counts.
fn first_of_each_language(notes: &[Note]) -> Vec<Note> {
    let mut seen = std::collections::BTreeSet::new();
    notes.iter().filter(|note| seen.insert(note.lang.as_deref().map(str::to_ascii_lowercase))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priority::Priority;

    // checks: PRS-040, PRS-041, PRS-045, PRS-046, PRS-048, PRS-049
    #[test]
    fn rfc8048_s6_a_device_makes_a_tuple_and_comes_back() {
        let state = DeviceState {
            device: "Büro PC".to_owned(),
            basic: Basic::Open,
            show: Some(Show::Dnd),
            priority: Some(13),
            notes: vec![Note::new(Some("en".into()), "hi"), Note::new(Some("cs".into()), "ahoj")],
        };
        let tuple = state.to_tuple(Some("im:a@example.com"), None);
        assert_eq!(tuple.contact.as_ref().and_then(|contact| contact.priority), Priority::parse("0.102").ok());
        assert_eq!(DeviceState::of(&tuple, Some(Show::Away)), Some(state.clone()), "an explicit show wins");
        let closed = DeviceState { basic: Basic::Closed, ..state.clone() }.to_tuple(Some("im:a@example.com"), None);
        let back = DeviceState::of(&closed, Some(Show::Away)).unwrap();
        assert_eq!((back.basic, back.show, back.priority), (Basic::Closed, None, None));
        let negative = DeviceState { priority: Some(-1), ..state }.to_tuple(Some("im:a@example.com"), None);
        assert_eq!(negative.contact.and_then(|contact| contact.priority), None);
    }

    // checks: PD-10, PRS-047, PRS-054
    #[test]
    fn documents_without_tuples_and_tuples_that_vanish() {
        let mut presence = Presence::new("pres:a@example.com");
        assert_eq!(States::of(&presence, None), States::Unavailable);
        presence.notes.push(Note::new(None, "In Tokyo"));
        assert_eq!(States::of(&presence, None), States::NotMapped);
        let before = Presence { tuples: ["a", "b"].map(|id| Tuple::new(id, Basic::Open)).into(), ..presence.clone() };
        presence.tuples = vec![Tuple { status: crate::Status::default(), ..Tuple::new("a", Basic::Open) }];
        assert_eq!(States::of(&presence, None), States::Devices(Vec::new()), "never a default of open");
        assert_eq!(vanished(&before, &presence).map(|tuple| tuple.id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
