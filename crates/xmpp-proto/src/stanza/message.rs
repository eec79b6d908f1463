//! Messages (RFC 6121 §5.2).

use strict_xml::{Element, SharedStr};

use super::common::{LangText, lang_texts, push_text, stanza_common};
use crate::named::named;
use crate::ns;

named! {
    /// RFC 6121 §5.2.2.
    pub enum MessageType {
        /// One of a conversation.
        Chat => "chat",
        /// Another message failed.
        Error => "error",
        /// To or from a room.
        Groupchat => "groupchat",
        /// No reply is expected.
        Headline => "headline",
        /// A single message; also any type that is not known.
        Normal => "normal",
    }
}

/// A `<message/>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(super) element: Element,
}

/// RFC 6121 §5.2.5: the conversation a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Opaque identifier.
    pub id: SharedStr,
    /// The conversation this one branched from.
    pub parent: Option<SharedStr>,
}

stanza_common!(Message);

impl Message {
    /// A message of this type.
    pub fn new(kind: MessageType) -> Self {
        let mut element = Element::new("message", ns::CLIENT);
        // RFC 6121 §5.2.2: no type means normal.
        if kind != MessageType::Normal {
            element.set_attr("type", kind.as_str());
        }
        Self { element }
    }

    /// The type; RFC 6121 §5.2.2: an unknown one counts as normal.
    pub fn kind(&self) -> MessageType {
        self.element.attr("type").and_then(MessageType::parse).unwrap_or(MessageType::Normal)
    }

    /// RFC 6121 §5.2.3: the bodies by language.
    pub fn bodies(&self) -> impl Iterator<Item = LangText<'_>> {
        lang_texts(&self.element, "body")
    }

    /// The first body.
    pub fn body(&self) -> Option<LangText<'_>> {
        self.bodies().next()
    }

    /// RFC 6121 §5.2.4: the subjects by language.
    pub fn subjects(&self) -> impl Iterator<Item = LangText<'_>> {
        lang_texts(&self.element, "subject")
    }

    /// RFC 6121 §5.2.5.
    pub fn thread(&self) -> Option<Thread> {
        let thread = self.element.child("thread", &self.element.ns)?;
        let id = SharedStr::copy(thread.text().trim());
        (!id.is_empty()).then(|| Thread { id, parent: thread.attr("parent").map(SharedStr::copy) })
    }

    /// Adds a body in this language, or in the stanza's.
    #[must_use]
    pub fn with_body(mut self, text: impl Into<SharedStr>, lang: Option<&str>) -> Self {
        push_text(&mut self.element, "body", text.into(), lang);
        self
    }

    /// Adds a subject in this language, or in the stanza's.
    #[must_use]
    pub fn with_subject(mut self, text: impl Into<SharedStr>, lang: Option<&str>) -> Self {
        push_text(&mut self.element, "subject", text.into(), lang);
        self
    }

    /// Adds the conversation.
    #[must_use]
    pub fn with_thread(mut self, thread: &Thread) -> Self {
        let mut child = Element::new("thread", &self.element.ns).with_text(&thread.id);
        if let Some(parent) = &thread.parent {
            child.set_attr("parent", parent);
        }
        self.element = self.element.with_child(child);
        self
    }
}
