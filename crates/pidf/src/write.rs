//! From the model to a document.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, BytesMut};
use strict_xml::{
    Attr, Declaration, Element, ElementRef, Node, SharedStr, XML_NS, XMLNS_NS, escape_attr, escape_text, is_ncname,
};

use crate::check::rank_in_component;
use crate::component::{Device, Person};
use crate::error::EncodeError;
use crate::extension::Extension;
use crate::id;
use crate::limits::{MAX_ATTRIBUTES, MAX_DOCUMENT};
use crate::model::{Note, Presence, Status, Tuple, lang};
use crate::namespace::{CIPID, DATA_MODEL, PIDF, RPID, is_sound};

impl Presence {
    /// Writes the document: UTF-8 with declaration, elements in the order of the schemas, ids that are XML names.
    ///
    /// An id that is no XML name is replaced by one that is made from it, always the same. Extensions that were read
    /// come out in the characters they came in. A relay has no use for this: it sends the octets it got.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut encoder = Encoder::new(self);
        encoder.presence(self)?;
        Ok(encoder.out.into())
    }
}

struct Encoder<'a> {
    out: BytesMut,
    /// The prefixes that the root declares.
    prefixes: BTreeMap<&'a str, Declaration<'a>>,
    ids: BTreeSet<SharedStr>,
    /// The next number to try behind an id that is taken.
    numbers: BTreeMap<SharedStr, usize>,
}

/// The prefixes that are declared when they are needed and free.
const USUAL: [(&str, &str); 3] = [("dm", DATA_MODEL), ("rpid", RPID), ("cipid", CIPID)];

impl<'a> Encoder<'a> {
    fn new(presence: &'a Presence) -> Self {
        let read = presence.origin.0.iter().flat_map(|tree| tree.root().declarations());
        let read = read.filter(|declaration| !declaration.prefix.is_empty());
        let mut prefixes: BTreeMap<_, _> = read.map(|declaration| (declaration.prefix, declaration)).collect();
        for (prefix, ns) in USUAL {
            if uses(presence, ns) && !prefixes.values().any(|declaration| declaration.value == ns) {
                prefixes.entry(prefix).or_insert(Declaration::plain(prefix, ns));
            }
        }
        Self { out: BytesMut::with_capacity(USUAL_SIZE), prefixes, ids: BTreeSet::new(), numbers: BTreeMap::new() }
    }

    fn presence(&mut self, presence: &'a Presence) -> Result<(), EncodeError> {
        // RFC 3863 §4.1.1.
        if presence.entity.trim().is_empty() {
            return Err(EncodeError::EntityEmpty);
        }
        // RFC 3863 §4.1: the declaration is mandatory, its encoding recommended.
        self.out.put_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence");
        self.attribute("xmlns", PIDF);
        self.attribute("entity", &presence.entity);
        for declaration in self.prefixes.values() {
            declare(&mut self.out, declaration);
        }
        self.attributes(&presence.attributes, &["entity"], 1 + self.prefixes.len())?;
        self.out.put_u8(b'>');
        let inherited = lang(&presence.attributes).is_some_and(|lang| !lang.is_empty());
        for (number, tuple) in (1..).zip(&presence.tuples) {
            self.tuple(number, tuple, inherited)?;
        }
        self.notes(&presence.notes, inherited)?;
        for person in &presence.persons {
            self.person(person)?;
        }
        for (number, device) in (1..).zip(&presence.devices) {
            self.device(number, device)?;
        }
        self.extensions(&presence.extensions)?;
        self.out.put_slice(b"</presence>\n");
        if self.out.len() > MAX_DOCUMENT { Err(EncodeError::TooLong { limit: MAX_DOCUMENT }) } else { Ok(()) }
    }

    /// RFC 3863 §4.1.2: status, extensions, contact, notes, timestamp.
    fn tuple(&mut self, number: usize, tuple: &'a Tuple, inherited: bool) -> Result<(), EncodeError> {
        if tuple.id.is_empty() {
            return Err(EncodeError::TupleIdEmpty { number });
        }
        let id = id::sound(&tuple.id);
        if !self.ids.insert(id.clone()) {
            return Err(EncodeError::DuplicateTupleId { number });
        }
        self.out.put_slice(b"<tuple");
        self.attribute("id", &id);
        self.attributes(&tuple.attributes, &["id"], 0)?;
        self.out.put_u8(b'>');
        self.status(number, &tuple.status)?;
        self.extensions(&tuple.extensions)?;
        if let Some(contact) = &tuple.contact {
            self.out.put_slice(b"<contact");
            if let Some(priority) = contact.priority {
                self.attribute("priority", &priority.to_string());
            }
            self.attributes(&contact.attributes, &["priority"], 0)?;
            self.content(&contact.uri, "contact");
        }
        let inherited = lang(&tuple.attributes).map_or(inherited, |lang| !lang.is_empty());
        self.notes(&tuple.notes, inherited)?;
        if let Some(time) = &tuple.timestamp {
            // RFC 3863 §4.1.7: capital T and Z.
            self.out.put_slice(b"<timestamp");
            self.content(&time.as_str().to_ascii_uppercase(), "timestamp");
        }
        self.out.put_slice(b"</tuple>");
        Ok(())
    }

    /// RFC 3863 §4.1.3: basic, then extensions, and at least one of them.
    fn status(&mut self, number: usize, status: &'a Status) -> Result<(), EncodeError> {
        if status.basic.is_none() && status.extensions.is_empty() {
            return Err(EncodeError::EmptyStatus { number });
        }
        self.out.put_slice(b"<status");
        self.attributes(&status.attributes, &[], 0)?;
        self.out.put_u8(b'>');
        if let Some(basic) = status.basic {
            self.out.put_slice(b"<basic");
            self.content(basic.as_str(), "basic");
        }
        self.extensions(&status.extensions)?;
        self.out.put_slice(b"</status>");
        Ok(())
    }

    fn notes(&mut self, notes: &[Note], inherited: bool) -> Result<(), EncodeError> {
        for note in notes {
            self.out.put_slice(b"<note");
            match &note.lang {
                Some(lang) => self.attribute("xml:lang", lang),
                // XML 1.0 §2.12: an empty tag takes back what the note would inherit.
                None if inherited => self.attribute("xml:lang", ""),
                None => {}
            }
            self.attributes(&note.attributes, &["xml:lang"], 0)?;
            self.content(&note.text, "note");
        }
        Ok(())
    }

    fn person(&mut self, person: &'a Person) -> Result<(), EncodeError> {
        self.component("person", person.id.as_ref(), &person.attributes, &person.elements)
    }

    fn device(&mut self, number: usize, device: &'a Device) -> Result<(), EncodeError> {
        // RFC 4479 §5.1.
        if device.device_id().is_none() {
            return Err(EncodeError::NoDeviceId { number });
        }
        self.component("device", device.id.as_ref(), &device.attributes, &device.elements)
    }

    /// RFC 4479 §5.1: characteristics, deviceID, notes, timestamp.
    fn component(
        &mut self,
        name: &str,
        id: Option<&SharedStr>,
        attributes: &[Attr],
        elements: &'a [Extension],
    ) -> Result<(), EncodeError> {
        let id = self.component_id(name, id);
        let (name, declared) = self.qualified(name, DATA_MODEL);
        self.out.put_u8(b'<');
        self.out.put_slice(name.as_bytes());
        if !declared {
            self.attribute("xmlns", DATA_MODEL);
        }
        self.attribute("id", &id);
        self.attributes(attributes, &["id"], 1)?;
        self.out.put_u8(b'>');
        let default = if declared { PIDF } else { DATA_MODEL };
        let mut ordered: Vec<&Extension> = elements.iter().collect();
        ordered.sort_by_key(|extension| rank_in_component(extension.name(), extension.ns()));
        for extension in ordered {
            self.extension(extension, default)?;
        }
        self.close(&name);
        Ok(())
    }

    /// An id that no other element has.
    fn component_id(&mut self, name: &str, id: Option<&SharedStr>) -> SharedStr {
        let wanted = id.filter(|id| !id.is_empty()).map_or_else(|| SharedStr::copy(name), id::sound);
        let mut id = wanted.clone();
        while !self.ids.insert(id.clone()) {
            let number = self.numbers.entry(wanted.clone()).or_insert(1);
            *number += 1;
            id = format!("{wanted}-{number}").into();
        }
        id
    }

    fn extensions(&mut self, extensions: &'a [Extension]) -> Result<(), EncodeError> {
        extensions.iter().try_for_each(|extension| self.extension(extension, PIDF))
    }

    /// An extension where `default` is the default namespace.
    fn extension(&mut self, extension: &'a Extension, default: &str) -> Result<(), EncodeError> {
        match extension.place() {
            Some(place) => self.verbatim(place, default),
            None => self.element(extension.element(), default),
        }
    }

    /// An element in the characters it came in, with the declarations it inherited there and does not inherit here.
    fn verbatim(&mut self, element: ElementRef<'a>, default: &str) -> Result<(), EncodeError> {
        let (name, rest) = element.source().split_at_checked(element.name_end()).unwrap_or_default();
        let mut inherited = BTreeMap::new();
        for declaration in element.inherited() {
            inherited.entry(declaration.prefix).or_insert(declaration);
        }
        // Without a default there, names without prefix have no namespace here either.
        if without_namespace(element) {
            inherited.entry("").or_insert(Declaration::plain("", ""));
        }
        inherited.retain(|prefix, declaration| {
            let known = match *prefix {
                "" => declaration.value == default,
                prefix => self.prefixes.get(prefix).is_some_and(|here| here.value == declaration.value),
            };
            let own = || element.declarations().any(|own| own.prefix == *prefix);
            !known && !own() && (prefix.is_empty() || mentions(name, prefix) || mentions(rest, prefix))
        });
        if element.declarations().count() + element.attrs().count() + inherited.len() > MAX_ATTRIBUTES {
            return Err(EncodeError::TooManyAttributes { limit: MAX_ATTRIBUTES });
        }
        self.out.put_slice(name.as_bytes());
        for declaration in inherited.values() {
            declare(&mut self.out, declaration);
        }
        self.out.put_slice(rest.as_bytes());
        Ok(())
    }

    /// An element of the caller's making.
    fn element(&mut self, element: &Element, default: &str) -> Result<(), EncodeError> {
        check_name(&element.name)?;
        let ns = element.ns.as_str();
        if !is_sound(ns) {
            return Err(EncodeError::Namespace { ns: ns.to_owned() });
        }
        let (name, prefixed) =
            if ns == default { (element.name.to_string(), true) } else { self.qualified(&element.name, ns) };
        self.out.put_u8(b'<');
        self.out.put_slice(name.as_bytes());
        if !prefixed {
            self.attribute("xmlns", ns);
        }
        self.attributes(&element.attrs, &[], 1)?;
        if element.children.is_empty() {
            self.out.put_slice(b"/>");
            return Ok(());
        }
        self.out.put_u8(b'>');
        for child in &element.children {
            match child {
                Node::Element(child) => self.element(child, if prefixed { default } else { ns })?,
                Node::Text(text) => escape_text(&mut self.out, text),
            }
        }
        self.close(&name);
        Ok(())
    }

    /// The name with the root's prefix for the namespace, or without and `false`.
    fn qualified(&self, name: &str, ns: &str) -> (String, bool) {
        if ns == XML_NS {
            return (format!("xml:{name}"), true);
        }
        match self.prefixes.values().find(|declaration| declaration.value == ns) {
            Some(declaration) => (format!("{}:{name}", declaration.prefix), true),
            None => (name.to_owned(), false),
        }
    }

    /// Attributes beside those of the names in `taken` and so many declarations.
    fn attributes(&mut self, attributes: &[Attr], taken: &[&str], declared: usize) -> Result<(), EncodeError> {
        if attributes.is_empty() {
            return Ok(());
        }
        let mut names: BTreeSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
        let mut count = declared + names.len() + attributes.len();
        let mut next_prefix = 0;
        for attr in attributes {
            check_name(&attr.name)?;
            let name = match self.attribute_name(attr) {
                Some(name) => name,
                None => {
                    count += 1;
                    let prefix = self.free_prefix(&mut next_prefix);
                    self.attribute(&format!("xmlns:{prefix}"), &attr.ns);
                    format!("{prefix}:{}", attr.name)
                }
            };
            // XML 1.0 §3.1; a declaration in disguise would change what other names mean.
            if name == "xmlns" || attr.ns == XMLNS_NS || !names.insert(name.clone()) {
                return Err(EncodeError::Name { name });
            }
            self.attribute(&name, &attr.value);
        }
        if count > MAX_ATTRIBUTES { Err(EncodeError::TooManyAttributes { limit: MAX_ATTRIBUTES }) } else { Ok(()) }
    }

    /// The name under which the attribute can be written without a declaration of its own.
    fn attribute_name(&self, attr: &Attr) -> Option<String> {
        if attr.ns.is_empty() {
            return Some(attr.name.to_string());
        }
        let (name, prefixed) = self.qualified(&attr.name, &attr.ns);
        prefixed.then_some(name)
    }

    /// The next prefix that nothing inside relies on.
    fn free_prefix(&self, next: &mut usize) -> String {
        loop {
            let prefix = format!("ns{next}");
            *next += 1;
            if !self.prefixes.contains_key(prefix.as_str()) {
                return prefix;
            }
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.put_u8(b' ');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"=\"");
        escape_attr(&mut self.out, value);
        self.out.put_u8(b'"');
    }

    /// Ends the open start tag, writes text and the end tag.
    fn content(&mut self, text: &str, name: &str) {
        self.out.put_u8(b'>');
        escape_text(&mut self.out, text);
        self.close(name);
    }

    fn close(&mut self, name: &str) {
        self.out.put_slice(b"</");
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b'>');
    }
}

fn declare(out: &mut BytesMut, declaration: &Declaration<'_>) {
    out.put_slice(format!(" {declaration}").as_bytes());
}

/// Octets of a usual document, so that the buffer seldom grows.
const USUAL_SIZE: usize = 1024;

fn check_name(name: &str) -> Result<(), EncodeError> {
    if is_ncname(name) { Ok(()) } else { Err(EncodeError::Name { name: name.to_owned() }) }
}

/// Whether the writer has to spell names of this namespace.
fn uses(presence: &Presence, ns: &str) -> bool {
    let components = !presence.persons.is_empty() || !presence.devices.is_empty();
    let parts = presence.tuples.iter().flat_map(|tuple| tuple.extensions.iter().chain(&tuple.status.extensions));
    let parts = parts.chain(&presence.extensions);
    let parts = parts.chain(presence.persons.iter().flat_map(|person| &person.elements));
    let mut parts = parts.chain(presence.devices.iter().flat_map(|device| &device.elements));
    (ns == DATA_MODEL && components) || parts.any(|part| part.place().is_none() && *part.ns() == *ns)
}

/// Whether the prefix may occur, in a name or in content that holds names.
fn mentions(text: &str, prefix: &str) -> bool {
    text.match_indices(':').any(|(at, _)| text.get(..at).is_some_and(|before| before.ends_with(prefix)))
}

/// Whether an element in it has no namespace.
fn without_namespace(element: ElementRef<'_>) -> bool {
    element.ns().is_empty() || element.elements().any(without_namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use impp_model::Basic;

    fn written(presence: &Presence) -> String {
        String::from_utf8(presence.encode().unwrap()).unwrap()
    }

    fn rewritten(document: &str) -> String {
        written(&parse(document.as_bytes()).unwrap().presence)
    }

    // checks: PD-01, PD-02, PD-03, PD-05, PD-06, PRS-048
    #[test]
    fn rfc3863_s4_1_elements_are_written_in_order() {
        let mut tuple = Tuple::new("t", Basic::Open);
        tuple.status.extensions.push(Element::new("x", "urn:x").into());
        tuple.extensions.push(Element::new("class", RPID).with_text("a").into());
        tuple.contact = Some(crate::Contact::new("im:a@example.com", crate::Priority::from_thousandths(800)));
        tuple.notes.push(Note::new(Some("en".into()), "<hi>"));
        tuple.timestamp = impp_model::DateTime::parse("2026-11-22t12:00:00z").ok();
        let mut presence = Presence::new("pres:a@example.com").with_tuples(vec![tuple]);
        presence.notes.push(Note::new(None, "n"));
        presence.persons.push(Person::default());
        let expected = concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:a@example.com\" ",
            "xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid'>",
            "<tuple id=\"t\"><status><basic>open</basic><x xmlns=\"urn:x\"/></status><rpid:class>a</rpid:class>",
            "<contact priority=\"0.800\">im:a@example.com</contact><note xml:lang=\"en\">&lt;hi&gt;</note>",
            "<timestamp>2026-11-22T12:00:00Z</timestamp></tuple><note>n</note><dm:person id=\"person\"></dm:person></presence>\n",
        );
        assert_eq!(written(&presence), expected);
    }

    // checks: PD-20, PD-24, PD-25, INV-07
    #[test]
    fn rfc3863_s4_2_unknown_elements_keep_their_characters() {
        let kept = "<e:a  k = 'e:q'><!-- c -->\r\n<![CDATA[<]]><f:b/><?p i?></e:a >";
        let document = format!(
            "<p:presence xmlns:p='{PIDF}' xmlns:e='urn:e' xmlns:f=\"urn:'f\" entity='pres:a@example.com'>\
             <p:tuple id='t' xmlns:e='urn:inner'><p:status><p:basic>open</p:basic>{kept}</p:status>{kept}</p:tuple>{kept}\
             </p:presence>"
        );
        let output = rewritten(&document);
        assert_eq!(
            output.matches("  k = 'e:q'><!-- c -->\r\n<![CDATA[<]]><f:b/><?p i?></e:a >").count(),
            3,
            "{output}"
        );
        assert_eq!(output.matches("<e:a xmlns:e='urn:inner'  k").count(), 2, "the tuple's declaration goes with them");
        assert!(output.contains("xmlns:e='urn:e' xmlns:f=\"urn:'f\""), "the root's declarations stay there: {output}");
        let (first, second) = (parse(document.as_bytes()).unwrap(), parse(output.as_bytes()).unwrap());
        assert_eq!(first.presence, second.presence);
    }

    #[test]
    fn elements_without_namespace_stay_without() {
        let document = format!(
            "<p:presence xmlns:p='{PIDF}' entity='pres:a@example.com'><a><p:b/></a><c xmlns='urn:c'/></p:presence>"
        );
        let output = rewritten(&document);
        assert!(output.contains("<a xmlns=''><p:b/></a><c xmlns='urn:c'/>"), "{output}");
    }

    // checks: PD-12
    #[test]
    fn xml_s2_12_a_note_without_language_inherits_none() {
        let document =
            format!("<presence xmlns='{PIDF}' xml:lang='de' entity='pres:a@example.com'><note>Hallo</note></presence>");
        let mut presence = parse(document.as_bytes()).unwrap().presence;
        presence.notes.push(Note::new(None, "?"));
        let output = written(&presence);
        assert!(output.contains("<note xml:lang=\"de\">Hallo</note><note xml:lang=\"\">?</note>"), "{output}");
        assert_eq!(parse(output.as_bytes()).unwrap().presence, presence);
    }

    // checks: PD-07, PX-01, PX-02
    #[test]
    fn rfc4479_s5_1_persons_and_devices_get_ids_of_their_own() {
        let mut presence = Presence::new("pres:a@example.com").with_tuples(vec![Tuple::new("p", Basic::Open)]);
        presence.persons = [Some("p"), Some("1"), None, None]
            .map(|id| Person { id: id.map(SharedStr::from), ..Person::default() })
            .into();
        let output = written(&presence);
        for id in ["<tuple id=\"p\"", "person id=\"p-2\"", "person id=\"ID-1\"", "id=\"person\"", "id=\"person-2\""] {
            assert!(output.contains(id), "{id} in {output}");
        }
        let elements = [("timestamp", DATA_MODEL), ("note", DATA_MODEL), ("deviceID", DATA_MODEL), ("class", RPID)];
        let elements = elements.map(|(name, ns)| Element::new(name, ns).with_text("x").into());
        presence.devices.push(Device { elements: elements.into(), ..Device::default() });
        let output = written(&presence);
        let order = ["<rpid:class", "<dm:deviceID", "<dm:note", "<dm:timestamp"].map(|name| output.find(name));
        assert!(order.is_sorted() && order.iter().all(Option::is_some), "{output}");
    }

    // checks: PD-04, PD-07, PD-09, PD-23, PD-27
    #[test]
    fn what_breaks_the_format_is_not_written() {
        let sound = || Presence::new("pres:a@example.com").with_tuples(vec![Tuple::new("t", Basic::Open)]);
        let error = |change: fn(&mut Presence)| {
            let mut presence = sound();
            change(&mut presence);
            presence.encode().unwrap_err()
        };
        assert_eq!(error(|presence| presence.entity = " ".into()), EncodeError::EntityEmpty);
        assert_eq!(error(|presence| presence.tuples[0].id = "".into()), EncodeError::TupleIdEmpty { number: 1 });
        let twice = error(|presence| presence.tuples.push(Tuple::new("t", Basic::Closed)));
        assert_eq!(twice, EncodeError::DuplicateTupleId { number: 2 });
        assert_eq!(error(|presence| presence.tuples[0].status.basic = None), EncodeError::EmptyStatus { number: 1 });
        assert_eq!(error(|presence| presence.devices.push(Device::default())), EncodeError::NoDeviceId { number: 1 });
        let name = error(|presence| presence.extensions.push(Element::new("a b", "urn:x").into()));
        assert_eq!(name, EncodeError::Name { name: "a b".into() });
        let relative = error(|presence| presence.extensions.push(Element::new("a", "x").into()));
        assert_eq!(relative, EncodeError::Namespace { ns: "x".into() });
        let taken = error(|presence| presence.tuples[0].attributes.push(attr("id", "", "2")));
        assert_eq!(taken, EncodeError::Name { name: "id".into() });
        let disguised = error(|presence| presence.attributes.push(attr("xmlns", "", "urn:x")));
        assert_eq!(disguised, EncodeError::Name { name: "xmlns".into() });
        let long = error(|presence| presence.notes.push(Note::new(None, "&".repeat(MAX_DOCUMENT / 4))));
        assert_eq!(long, EncodeError::TooLong { limit: MAX_DOCUMENT });
        let many = error(|presence| {
            presence.attributes = (0..MAX_ATTRIBUTES).map(|number| attr(format!("a{number}"), "", "")).collect();
        });
        assert_eq!(many, EncodeError::TooManyAttributes { limit: MAX_ATTRIBUTES });
        assert!(sound().encode().is_ok());
    }

    #[test]
    fn attributes_of_other_namespaces_get_prefixes_that_are_free() {
        let document = format!("<presence xmlns='{PIDF}' xmlns:ns0='urn:0' entity='pres:a@example.com'/>");
        let mut presence = parse(document.as_bytes()).unwrap().presence;
        let mut element = Element::new("x", "urn:x").with_child(Element::new("y", "urn:0"));
        element.attrs = vec![attr("a", "urn:a", "1"), attr("a", "urn:b", "2"), attr("a", "urn:0", "3")];
        presence.extensions.push(element.into());
        let output = written(&presence);
        assert_eq!(parse(output.as_bytes()).unwrap().presence, presence, "{output}");
    }

    fn attr(name: impl Into<SharedStr>, ns: &'static str, value: &'static str) -> Attr {
        Attr { name: name.into(), ns: ns.into(), value: value.into() }
    }
}
