//! Kinds of availability.

use impp_model::{DateTime, Show};
use strict_xml::Element;

use crate::activity::Activity;
use crate::extension::{Extension, may_interpret};
use crate::model::{Presence, Status};
use crate::namespace::{IM_STATUS, JABBER_CLIENT};
use crate::rpid;

/// `<show xmlns="jabber:client"/>`, to stand in a status (RFC 8048 §6.2, note 7).
pub fn show_extension(show: Show) -> Extension {
    Element::new("show", JABBER_CLIENT).with_text(show.as_str()).into()
}

/// `<im xmlns="urn:ietf:params:xml:ns:pidf:im"/>`, to stand in a status (RFC 3922 §5.1.5).
pub fn im_extension(show: Show) -> Extension {
    Element::new("im", IM_STATUS).with_text(show.as_str()).into()
}

/// What the person does in terms of RFC 4480, as a further hint beside the extension.
pub const fn show_activities(show: Show) -> &'static [Activity] {
    match show {
        Show::Chat => &[],
        Show::Away | Show::Xa => &[Activity::Away],
        Show::Dnd => &[Activity::Busy],
    }
}

/// What an activity says of availability; `None` when nothing.
pub const fn show_of_activity(activity: Activity) -> Option<Show> {
    use Activity as A;
    match activity {
        A::Away | A::Appointment | A::Breakfast | A::Lunch | A::Dinner | A::Meal | A::InTransit | A::Shopping => {
            Some(Show::Away)
        }
        A::Sleeping | A::Travel | A::Holiday | A::Vacation | A::PermanentAbsence => Some(Show::Xa),
        A::Busy | A::Meeting | A::Performance | A::Presentation | A::OnThePhone | A::Steering | A::Worship => {
            Some(Show::Dnd)
        }
        A::LookingForWork | A::Playing | A::Spectator | A::Tv | A::Working | A::Other | A::Unknown => None,
    }
}

/// What the extensions of a status say: RFC 8048's `<show/>`, else RFC 3922's `<im/>`.
///
/// The values of `<im/>` were never registered: XMPP's own are read, and `busy` as `dnd`.
pub fn show_of_status(status: &Status) -> Option<Show> {
    let value = |name: &str, ns: &str| {
        let element = status.extension(name, ns)?.element();
        may_interpret(element, &[]).then(|| element.text().trim().to_owned())
    };
    let show = value("show", JABBER_CLIENT).and_then(|text| Show::parse(&text));
    show.or_else(|| match value("im", IM_STATUS)?.as_str() {
        "busy" => Some(Show::Dnd),
        text => Show::parse(text),
    })
}

/// What the activities of the persons say, the least available of them; `now` leaves out past and future ones.
pub fn show_of_persons(presence: &Presence, now: Option<&DateTime>) -> Option<Show> {
    let activities = presence.persons.iter().flat_map(|person| rpid::activities(person, now));
    activities.filter_map(show_of_activity).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tuple;
    use impp_model::Basic;

    fn status(extensions: &[(&'static str, &'static str, &'static str)]) -> Status {
        let mut status = Tuple::new("t", Basic::Open).status;
        status.extensions =
            extensions.iter().map(|(name, ns, text)| Element::new(*name, *ns).with_text(*text).into()).collect();
        status
    }

    // checks: PRS-043
    #[test]
    fn rfc8048_s6_3_show_is_read_back_and_other_values_dropped() {
        for show in [Show::Chat, Show::Away, Show::Xa, Show::Dnd] {
            let mut status = status(&[]);
            status.extensions.push(show_extension(show));
            assert_eq!(show_of_status(&status), Some(show));
        }
        assert_eq!(show_of_status(&status(&[("show", JABBER_CLIENT, "online")])), None);
        assert_eq!(show_of_status(&status(&[("show", "urn:x", "away")])), None);
        assert_eq!(show_of_status(&status(&[("im", IM_STATUS, "busy")])), Some(Show::Dnd));
        let both = [("im", IM_STATUS, "away"), ("show", JABBER_CLIENT, "xa")];
        assert_eq!(show_of_status(&status(&both)), Some(Show::Xa));
    }

    // checks: PRS-053
    #[test]
    fn rfc3863_s4_2_3_a_show_with_something_that_must_be_understood_is_not_read() {
        let inner = Element::new("not", "urn:x").with_attr("mustUnderstand", "1");
        let show = Element::new("show", JABBER_CLIENT).with_text("away").with_child(inner);
        let status = Status { extensions: vec![show.into()], ..Status::default() };
        assert_eq!(show_of_status(&status), None);
    }
}
