//! From a document to the model.

use std::collections::BTreeSet;

use impp_model::DateTime;
use strict_xml::{Attr, Element, Fault, Node, SharedStr, XML_NS, XmlErrorKind, is_ncname, parse_document};

use crate::check;
use crate::component::{Device, Person};
use crate::decode::{Text, decode};
use crate::error::{ErrorKind, ParseError, Warning, WarningKind};
use crate::extension::{Context, Extension};
use crate::limits;
use crate::media::{Roots, content_type};
use crate::model::{Basic, Contact, Note, Presence, Spelling, Status, Tuple, lang};
use crate::namespace::{DATA_MODEL, PIDF, PIDF_DIFF};
use crate::priority::Priority;
use crate::warn::Warnings;

/// A document that was read, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub presence: Presence,
    /// Its faults, in document order; at most [`MAX_WARNINGS`](limits::MAX_WARNINGS) and the first of each kind.
    pub warnings: Vec<Warning>,
    /// RFC 5262 §3.1: the version of a `pidf-full` document.
    pub version: Option<u64>,
}

/// Reads a document of which no Content-Type is known.
///
/// What a receiver can make sense of is read, as RFC 3863 §4.4 wants it, and every departure listed; what has no sound
/// reading is an error. Who only passes a document on has no need to read it.
pub fn parse(octets: &[u8]) -> Result<Parsed, ParseError> {
    read(octets, Roots::Any, None)
}

/// Reads a document that came with this Content-Type.
pub fn parse_as(octets: &[u8], media_type: &str) -> Result<Parsed, ParseError> {
    let (roots, charset) = content_type(media_type).map_err(|kind| ParseError { kind, line: 1, octet: 0 })?;
    read(octets, roots, charset)
}

fn read(octets: &[u8], roots: Roots, charset: Option<&str>) -> Result<Parsed, ParseError> {
    // Before anything is copied: what is read as two octets a character is never longer as text.
    if octets.len() > limits::MAX_DOCUMENT {
        let kind = ErrorKind::Limit(XmlErrorKind::TooLong { limit: limits::MAX_DOCUMENT });
        return Err(ParseError { kind, line: 1, octet: limits::MAX_DOCUMENT });
    }
    let text = decode(octets, charset)?;
    let root = tree(&text)?;
    let at = offset(&root);
    let version = check_root(&root, roots).map_err(|kind| text.error(kind, at))?;
    let mut reader = Reader::default();
    if !text.has_declaration() {
        reader.warnings.at(WarningKind::NoXmlDeclaration, 0);
    }
    let presence = reader.presence(root).map_err(|kind| text.error(kind, at))?;
    Ok(Parsed { presence, warnings: reader.warnings.finish(&text), version })
}

/// The document as a tree of elements.
fn tree(text: &Text<'_>) -> Result<Element, ParseError> {
    let bytes = text.text.as_bytes();
    let limit = limits::MAX_TAGS;
    if let Some(at) = memchr::memchr_iter(b'<', bytes).nth(limit) {
        return Err(text.error(ErrorKind::TooManyTags { limit }, at));
    }
    parse_document(bytes, &limits::xml()).map_err(|error| {
        let rest = text.text.get(error.offset..).unwrap_or_default();
        let kind = match error.fault() {
            Fault::PolicyViolation => ErrorKind::Limit(error.kind),
            Fault::RestrictedXml if rest.starts_with("<!DOCTYPE") => ErrorKind::Doctype,
            Fault::RestrictedXml | Fault::NotWellFormed | Fault::UnsupportedEncoding => {
                ErrorKind::NotWellFormed(error.kind)
            }
        };
        text.error(kind, error.offset)
    })
}

/// Whether the root is one that holds a full state, and its version if it has one.
fn check_root(root: &Element, roots: Roots) -> Result<Option<u64>, ErrorKind> {
    match (root.ns.as_str(), root.name.as_str(), roots) {
        (PIDF, "presence", Roots::Any | Roots::Presence) => Ok(None),
        (PIDF_DIFF, "pidf-full", Roots::Any | Roots::Partial) => {
            Ok(root.attr("version").and_then(|version| version.trim().parse().ok()))
        }
        (PIDF_DIFF, "pidf-diff", Roots::Any | Roots::Partial) => Err(ErrorKind::Partial),
        (_, _, Roots::Any | Roots::Presence | Roots::Partial) => Err(ErrorKind::Root),
    }
}

/// Octets of the text before an element's name.
pub(crate) fn offset(element: &Element) -> usize {
    element.name.origin().map_or(0, |(_, at)| at)
}

#[derive(Default)]
struct Reader {
    warnings: Warnings,
}

/// What an element inherits from those around it.
#[derive(Clone)]
struct Around {
    context: Context,
    lang: Option<SharedStr>,
}

impl Around {
    fn root(root: &Element) -> Self {
        let context = [root.name.clone(), SharedStr::EMPTY, SharedStr::EMPTY];
        Self { context, lang: language(&root.attrs, None) }
    }

    /// What the children of `element` inherit, at this level below the root.
    fn inside(&self, element: &Element, level: usize) -> Self {
        let mut inner = Self { context: self.context.clone(), lang: language(&element.attrs, self.lang.as_ref()) };
        if let Some(name) = inner.context.get_mut(level) {
            *name = element.name.clone();
        }
        inner
    }
}

/// The language in force; an empty one takes it back (XML 1.0 §2.12).
fn language(attributes: &[Attr], inherited: Option<&SharedStr>) -> Option<SharedStr> {
    lang(attributes).or(inherited).filter(|lang| !lang.is_empty()).cloned()
}

/// Whether elements stand in the order of a schema's sequence.
#[derive(Default)]
struct Sequence(u8);

impl Sequence {
    /// Whether an element of this rank may follow what came.
    fn takes(&mut self, rank: u8) -> bool {
        let in_order = rank >= self.0;
        self.0 = self.0.max(rank);
        in_order
    }
}

impl Reader {
    fn presence(&mut self, root: Element) -> Result<Presence, ErrorKind> {
        // RFC 3863 §4.1.1; the type is anyURI, whose white space collapses.
        let entity = root.attrs.iter().find(|attr| attr.name == "entity" && attr.ns.is_empty());
        let entity = trimmed(&entity.ok_or(ErrorKind::EntityMissing)?.value);
        if entity.is_empty() {
            return Err(ErrorKind::EntityEmpty);
        }
        if !entity.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pres:")) {
            self.warnings.add(WarningKind::EntityNotPres, &root);
        }
        let around = Around::root(&root);
        let at = offset(&root);
        let full = root.ns == PIDF_DIFF;
        let mut presence = Presence {
            entity,
            attributes: others(root.attrs, |name| name == "entity" || (full && name == "version")),
            spelling: Spelling { root: root.name },
            ..Presence::default()
        };
        let mut ids = Ids::default();
        let mut sequence = Sequence::default();
        for child in self.elements(root.children, at) {
            let rank = match (child.ns.as_str(), child.name.as_str()) {
                (PIDF, "tuple") => 0,
                (PIDF, "note") => 1,
                (_, _) => 2,
            };
            if !sequence.takes(rank) {
                self.warnings.add(WarningKind::Order, &child);
            }
            match (child.ns.as_str(), child.name.as_str()) {
                (PIDF, "tuple") => presence.tuples.extend(self.tuple(child, &around, &mut ids)),
                (PIDF, "note") => presence.notes.push(note(child, &around)),
                (DATA_MODEL, "person") => presence.persons.push(self.person(child, &around, &mut ids)),
                (DATA_MODEL, "device") => presence.devices.push(self.device(child, &around, &mut ids)),
                (_, _) => {
                    check::presence_child(&child, &mut self.warnings);
                    presence.extensions.push(Extension::read(child, around.context.clone()));
                }
            }
        }
        Ok(presence)
    }

    fn tuple(&mut self, element: Element, around: &Around, ids: &mut Ids) -> Option<Tuple> {
        let Some(id) =
            element.attrs.iter().find(|attr| attr.name == "id" && attr.ns.is_empty() && !attr.value.is_empty())
        else {
            self.warnings.add(WarningKind::TupleIdMissing, &element);
            return None;
        };
        let id = id.value.clone();
        // RFC 3863 §4.1.2: ids are unique, so the later of two says nothing that could be followed.
        if !ids.tuples.insert(id.clone()) {
            self.warnings.add(WarningKind::DuplicateTupleId, &element);
            return None;
        }
        if !is_ncname(&id) {
            self.warnings.add(WarningKind::IdNotNcname, &element);
        }
        let inner = around.inside(&element, 1);
        let at = offset(&element);
        let mut parts = TupleParts::default();
        let mut sequence = Sequence::default();
        for child in self.elements(element.children, at) {
            let rank = rank_in_tuple(&child);
            if !sequence.takes(rank) {
                self.warnings.add(WarningKind::Order, &child);
            }
            self.tuple_child(child, rank, &inner, &mut parts);
        }
        if parts.status.is_none() {
            self.warnings.at(WarningKind::NoStatus, at);
        }
        let tuple = Tuple {
            id,
            status: parts.status.unwrap_or_default(),
            extensions: parts.extensions,
            contact: parts.contact,
            notes: parts.notes,
            timestamp: parts.timestamp.flatten(),
            attributes: others(element.attrs, |name| name == "id"),
        };
        check::tuple(&tuple, &mut self.warnings);
        Some(tuple)
    }

    fn tuple_child(&mut self, child: Element, rank: u8, around: &Around, parts: &mut TupleParts) {
        match rank {
            STATUS if parts.status.is_some() => self.warnings.add(WarningKind::MultipleStatus, &child),
            STATUS => parts.status = Some(self.status(child, around)),
            CONTACT if parts.contact.is_some() => self.warnings.add(WarningKind::MultipleContact, &child),
            CONTACT => parts.contact = Some(self.contact(child)),
            NOTE => parts.notes.push(note(child, around)),
            TIMESTAMP if parts.timestamp.is_some() => self.warnings.add(WarningKind::MultipleTimestamp, &child),
            TIMESTAMP => parts.timestamp = Some(self.timestamp(&child)),
            _ => {
                check::tuple_child(&child, &mut self.warnings);
                parts.extensions.push(Extension::read(child, around.context.clone()));
            }
        }
    }

    fn status(&mut self, element: Element, around: &Around) -> Status {
        let inner = around.inside(&element, 2);
        let at = offset(&element);
        let mut basic = None;
        let mut extensions = Vec::new();
        for child in self.elements(element.children, at) {
            if !child.is("basic", PIDF) {
                check::status_child(&child, &mut self.warnings);
                extensions.push(Extension::read(child, inner.context.clone()));
            } else if basic.is_some() {
                self.warnings.add(WarningKind::MultipleBasic, &child);
            } else {
                if !extensions.is_empty() {
                    self.warnings.add(WarningKind::Order, &child);
                }
                basic = Some(self.basic(&child));
            }
        }
        // RFC 3863 §4.1.3: at least one child, by the prose.
        if basic.is_none() && extensions.is_empty() {
            self.warnings.at(WarningKind::EmptyStatus, at);
        }
        Status { basic: basic.flatten(), extensions, attributes: element.attrs }
    }

    /// RFC 3863 §4.1.4: any other value leaves the availability unknown.
    fn basic(&mut self, element: &Element) -> Option<Basic> {
        let text = element.text();
        let value = text.trim_matches(SPACE);
        let basic = Basic::parse(value);
        match basic {
            None => self.warnings.add(WarningKind::BasicValue, element),
            Some(_) if value.len() != text.len() => self.warnings.add(WarningKind::BasicWhitespace, element),
            Some(_) => {}
        }
        basic
    }

    fn contact(&mut self, element: Element) -> Contact {
        let priority = element.attr("priority").map(Priority::parse);
        // RFC 3863 §4.1.5: as if it were absent.
        if matches!(priority, Some(Err(_))) {
            self.warnings.add(WarningKind::Priority, &element);
        }
        Contact {
            uri: trimmed(&whole_text(&element)),
            priority: priority.and_then(Result::ok),
            attributes: others(element.attrs, |name| name == "priority"),
        }
    }

    /// RFC 3863 §4.1.7.
    fn timestamp(&mut self, element: &Element) -> Option<DateTime> {
        let time = DateTime::parse(element.text().trim_matches(SPACE)).ok().filter(DateTime::is_pidf);
        if time.is_none() {
            self.warnings.add(WarningKind::Timestamp, element);
        }
        time
    }

    fn person(&mut self, element: Element, around: &Around, ids: &mut Ids) -> Person {
        let id = self.component_id(&element, WarningKind::PersonIdMissing, ids);
        let inner = around.inside(&element, 1);
        let at = offset(&element);
        let elements = self.component(element.children, check::Parent::Person, at, &inner);
        Person { id, elements, attributes: others(element.attrs, |name| name == "id") }
    }

    fn device(&mut self, element: Element, around: &Around, ids: &mut Ids) -> Device {
        let id = self.component_id(&element, WarningKind::DeviceIdMissing, ids);
        let inner = around.inside(&element, 1);
        let at = offset(&element);
        let elements = self.component(element.children, check::Parent::Device, at, &inner);
        let device = Device { id, elements, attributes: others(element.attrs, |name| name == "id") };
        if device.device_id().is_none() {
            self.warnings.at(WarningKind::NoDeviceId, at);
        }
        device
    }

    fn component(&mut self, children: Vec<Node>, parent: check::Parent, at: usize, around: &Around) -> Vec<Extension> {
        let mut sequence = Sequence::default();
        let mut elements = Vec::new();
        for child in self.elements(children, at) {
            if !sequence.takes(check::rank_in_component(&child)) {
                self.warnings.add(WarningKind::Order, &child);
            }
            check::component_child(&child, parent, &mut self.warnings);
            elements.push(Extension::read(child, around.context.clone()));
        }
        check::siblings(&elements, &mut self.warnings);
        elements
    }

    fn component_id(&mut self, element: &Element, missing: WarningKind, ids: &mut Ids) -> Option<SharedStr> {
        let id = element.attrs.iter().find(|attr| attr.name == "id" && attr.ns.is_empty() && !attr.value.is_empty());
        let Some(id) = id else {
            self.warnings.add(missing, element);
            return None;
        };
        if !is_ncname(&id.value) {
            self.warnings.add(WarningKind::IdNotNcname, element);
        }
        if ids.tuples.contains(&id.value) || !ids.components.insert(id.value.clone()) {
            self.warnings.add(WarningKind::DuplicateId, element);
        }
        Some(id.value.clone())
    }

    /// The elements among the children of the element at `parent`; text between them says nothing.
    fn elements(&mut self, children: Vec<Node>, parent: usize) -> Vec<Element> {
        let mut stray = false;
        let elements: Vec<Element> = children
            .into_iter()
            .filter_map(|child| match child {
                Node::Element(element) => Some(element),
                Node::Text(text) => {
                    stray |= !text.trim_matches(SPACE).is_empty();
                    None
                }
            })
            .collect();
        if stray {
            self.warnings.at(WarningKind::StrayText, parent);
        }
        elements
    }
}

/// The ids met so far.
#[derive(Default)]
struct Ids {
    tuples: BTreeSet<SharedStr>,
    components: BTreeSet<SharedStr>,
}

/// A tuple's children while they are gathered.
#[derive(Default)]
struct TupleParts {
    status: Option<Status>,
    extensions: Vec<Extension>,
    contact: Option<Contact>,
    notes: Vec<Note>,
    /// Present, though perhaps not readable.
    timestamp: Option<Option<DateTime>>,
}

const STATUS: u8 = 0;
const EXTENSION: u8 = 1;
const CONTACT: u8 = 2;
const NOTE: u8 = 3;
const TIMESTAMP: u8 = 4;

/// RFC 3863 §4.1.2: the place in a tuple's sequence.
fn rank_in_tuple(child: &Element) -> u8 {
    match (child.ns.as_str(), child.name.as_str()) {
        (PIDF, "status") => STATUS,
        (PIDF, "contact") => CONTACT,
        (PIDF, "note") => NOTE,
        (PIDF, "timestamp") => TIMESTAMP,
        (_, _) => EXTENSION,
    }
}

fn note(element: Element, around: &Around) -> Note {
    let text = whole_text(&element);
    let lang = language(&element.attrs, around.lang.as_ref());
    let attributes = element.attrs.into_iter().filter(|attr| attr.ns != XML_NS || attr.name != "lang").collect();
    Note { lang, text, attributes }
}

/// The attributes but those without namespace that are read otherwise.
fn others(attributes: Vec<Attr>, known: impl Fn(&str) -> bool) -> Vec<Attr> {
    attributes.into_iter().filter(|attr| !attr.ns.is_empty() || !known(&attr.name)).collect()
}

/// The element's own text, shared when it is in one piece.
fn whole_text(element: &Element) -> SharedStr {
    match element.children.as_slice() {
        [] => SharedStr::EMPTY,
        [Node::Text(text)] => text.clone(),
        _ => SharedStr::copy(&element.text()),
    }
}

fn trimmed(text: &SharedStr) -> SharedStr {
    let inner = text.trim_matches(SPACE);
    if inner.len() == text.len() { text.clone() } else { SharedStr::copy(inner) }
}

/// XML 1.0 §2.3.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
