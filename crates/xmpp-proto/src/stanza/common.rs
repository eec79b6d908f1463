//! What messages, presence and iq have in common.

use std::borrow::Cow;

use strict_xml::{Element, Node, SharedStr};

/// Text in one of several languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LangText<'a> {
    /// Its own language, or the stanza's.
    pub lang: Option<&'a str>,
    /// The text.
    pub text: Cow<'a, str>,
}

/// XEP-0203: when a stanza was first sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay<'a> {
    /// XEP-0082 date-time, as written.
    pub stamp: &'a str,
    /// Who delayed it.
    pub from: Option<&'a str>,
}

/// The stanza's children of this name, by language.
pub(crate) fn lang_texts<'a>(stanza: &'a Element, name: &'a str) -> impl Iterator<Item = LangText<'a>> {
    // RFC 6120 §8.1.5: the stanza's language is the default of its children's.
    stanza
        .children_named(name, &stanza.ns)
        .map(|child| LangText { lang: child.xml_lang().or_else(|| stanza.xml_lang()), text: child.text() })
}

/// Adds a child of the stanza's own namespace that holds text.
pub(crate) fn push_text(stanza: &mut Element, name: &'static str, text: SharedStr, lang: Option<&str>) {
    let mut child = Element::new(name, &stanza.ns).with_text(text);
    if let Some(lang) = lang {
        child.set_xml_lang(SharedStr::copy(lang));
    }
    stanza.children.push(Node::Element(child));
}

/// Implements what the three kinds of stanza share, on a struct with one field `element`.
macro_rules! stanza_common {
    ($name:ident) => {
        impl $name {
            /// RFC 6120 §8.1.1: the addressee, as written.
            pub fn to(&self) -> Option<&str> {
                self.element.attr("to")
            }

            /// RFC 6120 §8.1.2: the sender, as written.
            pub fn from(&self) -> Option<&str> {
                self.element.attr("from")
            }

            /// RFC 6120 §8.1.3.
            pub fn id(&self) -> Option<&str> {
                self.element.attr("id")
            }

            /// RFC 6120 §8.1.5. The stream machines put the stream's default on stanzas without a language.
            pub fn lang(&self) -> Option<&str> {
                self.element.xml_lang()
            }

            /// The `<error/>` of a stanza of type `error`.
            pub fn error(&self) -> Option<$crate::stanza::StanzaError> {
                // RFC 6120 §8.3.1: no error element counts under another type.
                let error = self.element.child("error", &self.element.ns);
                error.filter(|_| self.element.attr("type") == Some("error")).map($crate::stanza::StanzaError::read)
            }

            /// Children that belong to extensions.
            pub fn payloads(&self) -> impl Iterator<Item = &strict_xml::Element> {
                self.element.elements().filter(|child| child.ns != self.element.ns)
            }

            /// The first child of this name and namespace.
            pub fn payload(&self, name: &str, ns: &str) -> Option<&strict_xml::Element> {
                self.element.child(name, ns)
            }

            /// The element.
            pub fn element(&self) -> &strict_xml::Element {
                &self.element
            }

            /// The element, taken out.
            pub fn into_element(self) -> strict_xml::Element {
                self.element
            }

            /// Sets the addressee.
            #[must_use]
            pub fn with_to(mut self, to: impl Into<strict_xml::SharedStr>) -> Self {
                self.element.set_attr("to", to);
                self
            }

            /// Sets the sender.
            #[must_use]
            pub fn with_from(mut self, from: impl Into<strict_xml::SharedStr>) -> Self {
                self.element.set_attr("from", from);
                self
            }

            /// Sets the id.
            #[must_use]
            pub fn with_id(mut self, id: impl Into<strict_xml::SharedStr>) -> Self {
                self.element.set_attr("id", id);
                self
            }

            /// Sets the language.
            #[must_use]
            pub fn with_lang(mut self, lang: impl Into<strict_xml::SharedStr>) -> Self {
                self.element.set_xml_lang(lang);
                self
            }

            /// Adds an extension's element.
            #[must_use]
            pub fn with_payload(mut self, payload: strict_xml::Element) -> Self {
                self.element = self.element.with_child(payload);
                self
            }

            /// The error stanza that answers this one, or `None` where none may be sent.
            pub fn error_reply(&self, error: &$crate::stanza::StanzaError) -> Option<strict_xml::Element> {
                $crate::stanza::error_reply(&self.element, error)
            }

            /// XEP-0203: when the stanza was first sent, if it was delayed.
            pub fn delay(&self) -> Option<$crate::stanza::Delay<'_>> {
                let delay = self.element.child("delay", $crate::ns::DELAY)?;
                Some($crate::stanza::Delay { stamp: delay.attr("stamp")?, from: delay.attr("from") })
            }

            /// XEP-0203: adds when the stanza was first sent and by whom it was delayed.
            #[must_use]
            pub fn with_delay(
                self,
                stamp: impl Into<strict_xml::SharedStr>,
                from: impl Into<strict_xml::SharedStr>,
            ) -> Self {
                let delay = strict_xml::Element::new("delay", $crate::ns::DELAY);
                self.with_payload(delay.with_attr("from", from).with_attr("stamp", stamp))
            }
        }
    };
}

pub(crate) use stanza_common;
