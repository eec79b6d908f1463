//! Kinds of availability.

use impp_model::DateTime;
use strict_xml::Element;

use crate::activity::Activity;
use crate::extension::{Extension, may_interpret};
use crate::model::{Presence, Status};
use crate::namespace::{IM_STATUS, JABBER_CLIENT};
use crate::rpid;

/// The values of XMPP's `<show/>` (RFC 6121 §4.7.2.1), from most to least available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Show {
    /// Wants to talk.
    Chat,
    /// Away for a while.
    Away,
    /// Away for long.
    Xa,
    /// Does not want to be disturbed.
    Dnd,
}

impl Show {
    /// The value as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Away => "away",
            Self::Xa => "xa",
            Self::Dnd => "dnd",
        }
    }

    /// The value of this exact text; others are dropped (RFC 6121 §4.7.2.1).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Chat, Self::Away, Self::Xa, Self::Dnd].into_iter().find(|show| show.as_str() == text)
    }

    /// `<show xmlns="jabber:client"/>`, to stand in a status (RFC 8048 §6.2, note 7).
    pub fn to_extension(self) -> Extension {
        Element::new("show", JABBER_CLIENT).with_text(self.as_str()).into()
    }

    /// What the person does in terms of RFC 4480, as a further hint beside the extension.
    pub const fn activities(self) -> &'static [Activity] {
        match self {
            Self::Chat => &[],
            Self::Away | Self::Xa => &[Activity::Away],
            Self::Dnd => &[Activity::Busy],
        }
    }

    /// What an activity says of availability; `None` when nothing.
    pub const fn of_activity(activity: Activity) -> Option<Self> {
        use Activity as A;
        match activity {
            A::Away | A::Appointment | A::Breakfast | A::Lunch | A::Dinner | A::Meal | A::InTransit | A::Shopping => {
                Some(Self::Away)
            }
            A::Sleeping | A::Travel | A::Holiday | A::Vacation | A::PermanentAbsence => Some(Self::Xa),
            A::Busy | A::Meeting | A::Performance | A::Presentation | A::OnThePhone | A::Steering | A::Worship => {
                Some(Self::Dnd)
            }
            A::LookingForWork | A::Playing | A::Spectator | A::Tv | A::Working | A::Other | A::Unknown => None,
        }
    }

    /// What the extensions of a status say: RFC 8048's `<show/>`, else RFC 3922's `<im/>`.
    ///
    /// The values of `<im/>` were never registered: XMPP's own are read, and `busy` as `dnd`.
    pub fn of_status(status: &Status) -> Option<Self> {
        let value = |name: &str, ns: &str| {
            let element = status.extension(name, ns)?.element();
            may_interpret(element, &[]).then(|| element.text().trim().to_owned())
        };
        let show = value("show", JABBER_CLIENT).and_then(|text| Self::parse(&text));
        show.or_else(|| match value("im", IM_STATUS)?.as_str() {
            "busy" => Some(Self::Dnd),
            text => Self::parse(text),
        })
    }

    /// What the activities of the persons say, the least available of them; `now` leaves out past and future ones.
    pub fn of_persons(presence: &Presence, now: Option<&DateTime>) -> Option<Self> {
        let activities = presence.persons.iter().flat_map(|person| rpid::activities(person, now));
        activities.filter_map(Self::of_activity).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Basic, Tuple};

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
            status.extensions.push(show.to_extension());
            assert_eq!(Show::of_status(&status), Some(show));
        }
        assert_eq!(Show::of_status(&status(&[("show", JABBER_CLIENT, "online")])), None);
        assert_eq!(Show::of_status(&status(&[("show", "urn:x", "away")])), None);
        assert_eq!(Show::of_status(&status(&[("im", IM_STATUS, "busy")])), Some(Show::Dnd));
        let both = [("im", IM_STATUS, "away"), ("show", JABBER_CLIENT, "xa")];
        assert_eq!(Show::of_status(&status(&both)), Some(Show::Xa));
    }

    // checks: PRS-053
    #[test]
    fn rfc3863_s4_2_3_a_show_with_something_that_must_be_understood_is_not_read() {
        let inner = Element::new("not", "urn:x").with_attr("mustUnderstand", "1");
        let show = Element::new("show", JABBER_CLIENT).with_text("away").with_child(inner);
        let status = Status { extensions: vec![show.into()], ..Status::default() };
        assert_eq!(Show::of_status(&status), None);
    }
}
