//! Presence (RFC 6121 §4.7).

use strict_xml::{Element, SharedStr};

use super::common::{LangText, lang_texts, push_text, stanza_common};
use crate::named::named;
use crate::ns;

named! {
    /// RFC 6121 §4.7.1. Presence without a type is availability.
    pub enum PresenceType {
        /// Another presence stanza failed.
        Error => "error",
        /// A server asks for current presence.
        Probe => "probe",
        /// Asks for a subscription.
        Subscribe => "subscribe",
        /// Grants one.
        Subscribed => "subscribed",
        /// No longer available.
        Unavailable => "unavailable",
        /// Ends one's own subscription.
        Unsubscribe => "unsubscribe",
        /// Refuses or revokes the other's.
        Unsubscribed => "unsubscribed",
    }
}

named! {
    /// RFC 6121 §4.7.2.1.
    pub enum Show {
        /// For the moment.
        Away => "away",
        /// Wants to talk.
        Chat => "chat",
        /// Busy.
        Dnd => "dnd",
        /// For longer.
        Xa => "xa",
    }
}

/// A `<presence/>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    pub(super) element: Element,
}

stanza_common!(Presence);

impl Presence {
    /// Presence of this type; `None` is availability.
    pub fn new(kind: Option<PresenceType>) -> Self {
        let mut element = Element::new("presence", ns::CLIENT);
        if let Some(kind) = kind {
            element.set_attr("type", kind.as_str());
        }
        Self { element }
    }

    /// The type; `None` is availability.
    pub fn kind(&self) -> Option<PresenceType> {
        self.element.attr("type").and_then(PresenceType::parse)
    }

    /// RFC 6121 §4.7.2.1: a value that is not known counts as absent.
    pub fn show(&self) -> Option<Show> {
        self.element.child("show", &self.element.ns).and_then(|show| Show::parse(show.text().trim()))
    }

    /// RFC 6121 §4.7.2.2: the statuses by language.
    pub fn statuses(&self) -> impl Iterator<Item = LangText<'_>> {
        lang_texts(&self.element, "status")
    }

    /// RFC 6121 §4.7.2.3: absent or malformed is 0.
    pub fn priority(&self) -> i8 {
        let priority = self.element.child("priority", &self.element.ns);
        priority.and_then(|priority| priority.text().trim().parse().ok()).unwrap_or(0)
    }

    /// Adds what the entity is up to.
    #[must_use]
    pub fn with_show(mut self, show: Show) -> Self {
        push_text(&mut self.element, "show", SharedStr::constant(show.as_str()), None);
        self
    }

    /// Adds a status in this language, or in the stanza's.
    #[must_use]
    pub fn with_status(mut self, text: impl Into<SharedStr>, lang: Option<&str>) -> Self {
        push_text(&mut self.element, "status", text.into(), lang);
        self
    }

    /// Adds the priority.
    #[must_use]
    pub fn with_priority(mut self, priority: i8) -> Self {
        push_text(&mut self.element, "priority", SharedStr::from(priority.to_string()), None);
        self
    }
}
