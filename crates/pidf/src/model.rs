//! PRESENCE INFORMATION as RFC 3863 has it.

use std::sync::Arc;

use impp_model::{Basic, DateTime};
use strict_xml::{Attr, SharedStr, Tree, XML_NS};

use crate::component::{Device, Person};
use crate::extension::Extension;
use crate::priority::Priority;

/// A presence document: the complete PRESENCE INFORMATION of one PRESENTITY (RFC 3863 §4.1.1).
///
/// Text of a document that was read is shared with that document's whole text, which stays in memory as long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    /// The PRESENTITY's URI: `pres:` by RFC 3863, any by RFC 4479 §3.1.
    pub entity: SharedStr,
    /// The tuples, their ids unique.
    pub tuples: Vec<Tuple>,
    /// Notes on the PRESENTITY as a whole.
    pub notes: Vec<Note>,
    /// RFC 4479 §3.2: one, or several that contradict each other.
    pub persons: Vec<Person>,
    /// RFC 4479 §3.5.
    pub devices: Vec<Device>,
    /// Other elements of the root.
    pub extensions: Vec<Extension>,
    /// Other attributes of the root, such as `xml:lang`.
    pub attributes: Vec<Attr>,
    pub(crate) origin: Origin,
}

/// The document that was read, which knows how its names were spelled; two spellings say the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin(pub(crate) Option<Arc<Tree>>);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

impl Presence {
    /// A document without tuples.
    pub fn new(entity: impl Into<SharedStr>) -> Self {
        Self { entity: entity.into(), ..Self::default() }
    }

    /// Sets the tuples, builder style.
    #[must_use]
    pub fn with_tuples(mut self, tuples: Vec<Tuple>) -> Self {
        self.tuples = tuples;
        self
    }

    /// The tuple of this id.
    pub fn tuple(&self, id: &str) -> Option<&Tuple> {
        self.tuples.iter().find(|tuple| tuple.id == *id)
    }

    /// The latest timestamp of any tuple, by instant.
    pub fn newest_timestamp(&self) -> Option<&DateTime> {
        self.tuples.iter().filter_map(|tuple| tuple.timestamp.as_ref()).max_by(|a, b| a.cmp_instant(b))
    }
}

/// A PRESENCE TUPLE (RFC 3863 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuple {
    /// Names the tuple from document to document.
    pub id: SharedStr,
    /// STATUS.
    pub status: Status,
    /// Other elements, in their order.
    pub extensions: Vec<Extension>,
    /// COMMUNICATION ADDRESS.
    pub contact: Option<Contact>,
    /// Comments, in their order.
    pub notes: Vec<Note>,
    /// When the tuple's status changed or was confirmed.
    pub timestamp: Option<DateTime>,
    /// Other attributes, such as `xml:lang`.
    pub attributes: Vec<Attr>,
}

impl Tuple {
    /// A tuple of this id and basic status.
    pub fn new(id: impl Into<SharedStr>, basic: Basic) -> Self {
        Self { id: id.into(), status: Status { basic: Some(basic), ..Status::default() }, ..Self::default() }
    }

    /// The first extension of this name and namespace.
    pub fn extension(&self, name: &str, ns: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.is(name, ns))
    }
}

/// A STATUS (RFC 3863 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether the INSTANT INBOX takes messages; `None` when unknown, which is never to be taken for open.
    pub basic: Option<Basic>,
    /// Other status values, in their order.
    pub extensions: Vec<Extension>,
    /// Other attributes.
    pub attributes: Vec<Attr>,
}

impl Status {
    /// The first extension of this name and namespace.
    pub fn extension(&self, name: &str, ns: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.is(name, ns))
    }
}

/// A CONTACT ADDRESS (RFC 3863 §4.1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The address; may be empty (RFC 4480 §3.10).
    pub uri: SharedStr,
    /// `None` is the lowest.
    pub priority: Option<Priority>,
    /// Other attributes.
    pub attributes: Vec<Attr>,
}

impl Contact {
    /// An address with its priority.
    pub fn new(uri: impl Into<SharedStr>, priority: Option<Priority>) -> Self {
        Self { uri: uri.into(), priority, attributes: Vec::new() }
    }
}

/// A comment for people (RFC 3863 §4.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its language, inherited ones resolved.
    pub lang: Option<SharedStr>,
    /// The text.
    pub text: SharedStr,
    /// Other attributes.
    pub attributes: Vec<Attr>,
}

impl Note {
    /// A note in a language.
    pub fn new(lang: Option<SharedStr>, text: impl Into<SharedStr>) -> Self {
        Self { lang, text: text.into(), attributes: Vec::new() }
    }
}

/// The language that these attributes set: none of their own, an empty one, or a tag.
pub(crate) fn lang(attributes: &[Attr]) -> Option<&SharedStr> {
    attributes.iter().find(|attr| attr.name == "lang" && attr.ns == XML_NS).map(|attr| &attr.value)
}
