//! From a tree of elements to the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use impp_model::{Basic, DateTime};
use strict_xml::{Attr, AttrRef, ElementRef, NodeRef, SharedStr, Tree, XML_NS, is_ncname};

use crate::check;
use crate::component::{Device, Person};
use crate::error::{ErrorKind, WarningKind};
use crate::extension::Extension;
use crate::model::{Contact, Note, Origin, Presence, Status, Tuple};
use crate::namespace::{DATA_MODEL, PIDF, PIDF_DIFF};
use crate::priority::Priority;
use crate::warn::Warnings;

/// Takes a tree apart.
pub(crate) struct Reader<'t, 'w> {
    tree: &'t Arc<Tree>,
    warnings: &'w mut Warnings,
}

/// The language in force; an empty one takes it back (XML 1.0 §2.12).
fn language<'t>(element: ElementRef<'t>, inherited: Option<AttrRef<'t>>) -> Option<AttrRef<'t>> {
    element.find("lang", XML_NS).or(inherited).filter(|lang| !lang.value().is_empty())
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

impl<'t, 'w> Reader<'t, 'w> {
    /// A reader that tells every fault it finds.
    pub(crate) fn new(tree: &'t Arc<Tree>, warnings: &'w mut Warnings) -> Self {
        Self { tree, warnings }
    }

    /// The document.
    pub(crate) fn presence(&mut self) -> Result<Presence, ErrorKind> {
        let root = self.tree.root();
        // RFC 3863 §4.1.1; the type is anyURI, whose white space collapses.
        let entity = trimmed(root.find("entity", "").ok_or(ErrorKind::EntityMissing)?.shared());
        if entity.is_empty() {
            return Err(ErrorKind::EntityEmpty);
        }
        if !entity.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pres:")) {
            self.warnings.add(WarningKind::EntityNotPres, root);
        }
        let lang = language(root, None);
        let full = *root.ns() == *PIDF_DIFF;
        let mut presence = Presence {
            entity,
            attributes: others(root, |name| name == "entity" || (full && name == "version")),
            origin: Origin(Some(Arc::clone(self.tree))),
            ..Presence::default()
        };
        let mut ids = Ids::default();
        let mut sequence = Sequence::default();
        for child in self.elements(root) {
            let ns = child.ns().as_str();
            let rank = match (ns, child.name()) {
                (PIDF, "tuple") => 0,
                (PIDF, "note") => 1,
                (_, _) => 2,
            };
            if !sequence.takes(rank) {
                self.warnings.add(WarningKind::Order, child);
            }
            match (ns, child.name()) {
                (PIDF, "tuple") => presence.tuples.extend(self.tuple(child, lang, &mut ids)),
                (PIDF, "note") => presence.notes.push(note(child, lang)),
                (DATA_MODEL, "person") => presence.persons.push(self.person(child, &mut ids)),
                (DATA_MODEL, "device") => presence.devices.push(self.device(child, &mut ids)),
                (_, _) => {
                    check::presence_child(child, self.warnings);
                    presence.extensions.push(Extension::read(self.tree, child));
                }
            }
        }
        Ok(presence)
    }

    fn tuple(&mut self, element: ElementRef<'t>, lang: Option<AttrRef<'t>>, ids: &mut Ids<'t>) -> Option<Tuple> {
        let Some(id) = element.find("id", "").filter(|id| !id.value().is_empty()) else {
            self.warnings.add(WarningKind::TupleIdMissing, element);
            return None;
        };
        // RFC 3863 §4.1.2: ids are unique, so the later of two says nothing that could be followed.
        if !ids.tuples.insert(id.value()) {
            self.warnings.add(WarningKind::DuplicateTupleId, element);
            return None;
        }
        if !is_ncname(id.value()) {
            self.warnings.add(WarningKind::IdNotNcname, element);
        }
        let lang = language(element, lang);
        let mut parts = TupleParts::default();
        let mut sequence = Sequence::default();
        for child in self.elements(element) {
            let rank = rank_in_tuple(child);
            if !sequence.takes(rank) {
                self.warnings.add(WarningKind::Order, child);
            }
            self.tuple_child(child, rank, lang, &mut parts);
        }
        if parts.status.is_none() {
            self.warnings.add(WarningKind::NoStatus, element);
        }
        let tuple = Tuple {
            id: id.shared(),
            status: parts.status.unwrap_or_default(),
            extensions: parts.extensions,
            contact: parts.contact,
            notes: parts.notes,
            timestamp: parts.timestamp.flatten(),
            attributes: others(element, |name| name == "id"),
        };
        check::tuple(&tuple, self.warnings);
        Some(tuple)
    }

    fn tuple_child(&mut self, child: ElementRef<'t>, rank: u8, lang: Option<AttrRef<'t>>, parts: &mut TupleParts) {
        match rank {
            STATUS if parts.status.is_some() => self.warnings.add(WarningKind::MultipleStatus, child),
            STATUS => parts.status = Some(self.status(child)),
            CONTACT if parts.contact.is_some() => self.warnings.add(WarningKind::MultipleContact, child),
            CONTACT => parts.contact = Some(self.contact(child)),
            NOTE => parts.notes.push(note(child, lang)),
            TIMESTAMP if parts.timestamp.is_some() => self.warnings.add(WarningKind::MultipleTimestamp, child),
            TIMESTAMP => parts.timestamp = Some(self.timestamp(child)),
            _ => {
                check::tuple_child(child, self.warnings);
                parts.extensions.push(Extension::read(self.tree, child));
            }
        }
    }

    fn status(&mut self, element: ElementRef<'t>) -> Status {
        let mut basic = None;
        let mut extensions = Vec::new();
        for child in self.elements(element) {
            if !child.is("basic", PIDF) {
                check::status_child(child, self.warnings);
                extensions.push(Extension::read(self.tree, child));
            } else if basic.is_some() {
                self.warnings.add(WarningKind::MultipleBasic, child);
            } else {
                if !extensions.is_empty() {
                    self.warnings.add(WarningKind::Order, child);
                }
                basic = Some(self.basic(child));
            }
        }
        // RFC 3863 §4.1.3: at least one child, by the prose.
        if basic.is_none() && extensions.is_empty() {
            self.warnings.add(WarningKind::EmptyStatus, element);
        }
        Status { basic: basic.flatten(), extensions, attributes: others(element, |_| false) }
    }

    /// RFC 3863 §4.1.4: any other value leaves the availability unknown.
    fn basic(&mut self, element: ElementRef<'_>) -> Option<Basic> {
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

    fn contact(&mut self, element: ElementRef<'_>) -> Contact {
        let priority = element.attr("priority").map(Priority::parse);
        // RFC 3863 §4.1.5: as if it were absent.
        if matches!(priority, Some(Err(_))) {
            self.warnings.add(WarningKind::Priority, element);
        }
        Contact {
            uri: trimmed(element.shared_text()),
            priority: priority.and_then(Result::ok),
            attributes: others(element, |name| name == "priority"),
        }
    }

    /// RFC 3863 §4.1.7.
    fn timestamp(&mut self, element: ElementRef<'_>) -> Option<DateTime> {
        let time = DateTime::parse(element.text().trim_matches(SPACE)).ok().filter(DateTime::is_pidf);
        if time.is_none() {
            self.warnings.add(WarningKind::Timestamp, element);
        }
        time
    }

    fn person(&mut self, element: ElementRef<'t>, ids: &mut Ids<'t>) -> Person {
        let id = self.component_id(element, WarningKind::PersonIdMissing, ids);
        let elements = self.component(element, check::Parent::Person);
        Person { id, elements, attributes: others(element, |name| name == "id") }
    }

    fn device(&mut self, element: ElementRef<'t>, ids: &mut Ids<'t>) -> Device {
        let id = self.component_id(element, WarningKind::DeviceIdMissing, ids);
        let elements = self.component(element, check::Parent::Device);
        let device = Device { id, elements, attributes: others(element, |name| name == "id") };
        if device.device_id().is_none() {
            self.warnings.add(WarningKind::NoDeviceId, element);
        }
        device
    }

    fn component(&mut self, element: ElementRef<'t>, parent: check::Parent) -> Vec<Extension> {
        let mut sequence = Sequence::default();
        let mut elements = Vec::new();
        for child in self.elements(element) {
            if !sequence.takes(check::rank_in_component(child.name(), child.ns())) {
                self.warnings.add(WarningKind::Order, child);
            }
            check::component_child(child, parent, self.warnings);
            elements.push(Extension::read(self.tree, child));
        }
        check::siblings(&elements, self.warnings);
        elements
    }

    fn component_id(&mut self, element: ElementRef<'t>, missing: WarningKind, ids: &mut Ids<'t>) -> Option<SharedStr> {
        let Some(id) = element.find("id", "").filter(|id| !id.value().is_empty()) else {
            self.warnings.add(missing, element);
            return None;
        };
        if !is_ncname(id.value()) {
            self.warnings.add(WarningKind::IdNotNcname, element);
        }
        if ids.tuples.contains(id.value()) || !ids.components.insert(id.value()) {
            self.warnings.add(WarningKind::DuplicateId, element);
        }
        Some(id.shared())
    }

    /// The child elements; text between them says nothing, which is a fault of their parent.
    fn elements(&mut self, parent: ElementRef<'t>) -> impl Iterator<Item = ElementRef<'t>> + use<'t> {
        let space = |text: &str| text.bytes().all(|octet| matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
        let stray = |child| matches!(child, NodeRef::Text(text) if !space(text.as_str()));
        if parent.children().any(stray) {
            self.warnings.add(WarningKind::StrayText, parent);
        }
        parent.elements()
    }
}

/// The ids met so far.
#[derive(Default)]
struct Ids<'t> {
    tuples: BTreeSet<&'t str>,
    components: BTreeSet<&'t str>,
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
fn rank_in_tuple(child: ElementRef<'_>) -> u8 {
    match (child.ns().as_str(), child.name()) {
        (PIDF, "status") => STATUS,
        (PIDF, "contact") => CONTACT,
        (PIDF, "note") => NOTE,
        (PIDF, "timestamp") => TIMESTAMP,
        (_, _) => EXTENSION,
    }
}

fn note(element: ElementRef<'_>, inherited: Option<AttrRef<'_>>) -> Note {
    Note {
        lang: language(element, inherited).map(|lang| lang.shared()),
        text: element.shared_text(),
        attributes: element.attrs().filter(|attr| !attr.is("lang", XML_NS)).map(|attr| attr.to_attr()).collect(),
    }
}

/// The attributes but those without namespace that are read otherwise.
fn others(element: ElementRef<'_>, known: impl Fn(&str) -> bool) -> Vec<Attr> {
    let others = element.attrs().filter(|attr| !attr.ns().is_empty() || !known(attr.name()));
    others.map(|attr| attr.to_attr()).collect()
}

fn trimmed(text: SharedStr) -> SharedStr {
    let inner = text.trim_matches(SPACE);
    if inner.len() == text.len() { text } else { SharedStr::copy(inner) }
}

/// XML 1.0 §2.3.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parsed, limits, parse};

    const TUPLE: &str = "<tuple id='t'><status><basic>open</basic></status></tuple>";

    fn document(inside: &str) -> String {
        format!(
            "<?xml version='1.0'?><presence xmlns='{PIDF}' xmlns:d='{DATA_MODEL}' \
             xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:c='urn:ietf:params:xml:ns:pidf:cipid' \
             xmlns:s='urn:ietf:params:xml:ns:pidf:timed-status' xmlns:x='urn:x' entity='pres:a@b'>{inside}</presence>"
        )
    }

    fn read(inside: &str) -> Parsed {
        parse(document(inside).as_bytes()).unwrap()
    }

    /// The codes of the warnings, each with the local name at its place.
    fn warned(inside: &str) -> Vec<String> {
        let text = document(inside);
        let name = |at| text.get(at..).unwrap_or_default().split([' ', '>', '/']).next().unwrap_or_default().to_owned();
        read(inside).warnings.iter().map(|w| format!("{} {}", w.kind.code(), name(w.octet))).collect()
    }

    fn in_tuple(inside: &str) -> String {
        format!("<tuple id='t'><status><basic>open</basic></status>{inside}</tuple>")
    }

    // checks: PD-05, PD-06, PD-09
    #[test]
    fn rfc3863_s4_1_order_and_number_of_elements() {
        assert_eq!(warned(&format!("{TUPLE}<note/><x:y/>")), [""; 0]);
        assert_eq!(warned(&format!("<note/>{TUPLE}")), ["W_ORDER tuple"]);
        assert_eq!(warned("<x:y/><note/>"), ["W_ORDER note"]);
        assert_eq!(
            warned(&in_tuple("<x:y/><contact/><note/><note/><timestamp>2024-01-01T00:00:00Z</timestamp>")),
            [""; 0]
        );
        assert_eq!(warned(&in_tuple("<note/><contact/>")), ["W_ORDER contact"]);
        assert_eq!(warned(&in_tuple("<contact/><x:y/>")), ["W_ORDER y"]);
        assert_eq!(warned("<tuple id='t'/>"), ["W_NO_STATUS tuple"]);
        assert_eq!(warned(&in_tuple("<status><basic>closed</basic></status>")), ["W_MULTI_STATUS status"]);
        assert_eq!(
            warned("<tuple id='t'><status>open</status></tuple>"),
            ["W_EMPTY_STATUS status", "W_STRAY_TEXT status"]
        );
        let twice = "<tuple id='t'><status><x:y/><basic>open</basic><basic>closed</basic></status></tuple>";
        assert_eq!(warned(twice), ["W_ORDER basic", "W_MULTI_BASIC basic"]);
        assert_eq!(read(twice).presence.tuples[0].status.basic, Some(Basic::Open), "the first counts");
    }

    // checks: PD-13, X-12
    #[test]
    fn rfc3863_s4_1_7_timestamps_follow_rfc3339() {
        let time = |text: &str| {
            let parsed = read(&in_tuple(&format!("<timestamp>{text}</timestamp>")));
            (parsed.presence.tuples[0].timestamp.as_ref().map(ToString::to_string), parsed.warnings.len())
        };
        for good in ["2016-12-31T23:59:60Z", "2001-10-27T18:49:29.25+02:00", "2024-02-29T00:00:00-00:00"] {
            assert_eq!(time(good), (Some(good.to_owned()), 0));
        }
        assert_eq!(time("\n 2024-01-01T00:00:00Z "), (Some("2024-01-01T00:00:00Z".to_owned()), 0));
        for bad in ["", "2024-01-01T00:00:00z", "2024-01-01 00:00:00Z", "2023-02-29T00:00:00Z", "2024-01-01T00:00:00"] {
            assert_eq!(time(bad), (None, 1), "{bad}");
        }
        let two = "<timestamp>x</timestamp><timestamp>2024-01-01T00:00:00Z</timestamp>";
        assert_eq!(warned(&in_tuple(two)), ["W_TIMESTAMP timestamp", "W_MULTI_TIMESTAMP timestamp"]);
    }

    // checks: PD-07, PX-01, PX-02
    #[test]
    fn ids_are_unique_where_they_must_be() {
        let both = format!(
            "{TUPLE}<d:person id='t'/><d:person id='t'/><d:device id='1'><d:deviceID>urn:d</d:deviceID></d:device>"
        );
        assert_eq!(warned(&both), ["W_DUP_ID person", "W_DUP_ID person", "W_ID_NOT_NCNAME device"]);
        assert_eq!(read(&both).presence.persons.len(), 2);
        let before = format!("<d:person id='t'/>{TUPLE}");
        assert_eq!(read(&before).presence.tuples.len(), 1, "a person's id hides no tuple");
        assert_eq!(
            warned("<d:person/><d:device/>"),
            ["W_PERSON_ID_MISSING person", "W_DEVICE_ID_MISSING device", "W_NO_DEVICEID device"]
        );
        let device = "<d:device id='d'><r:class>x</r:class><d:deviceID> urn:d </d:deviceID><d:note/></d:device>";
        let parsed = read(device);
        assert_eq!((parsed.presence.devices[0].device_id().as_deref(), parsed.warnings.len()), (Some("urn:d"), 0));
        assert_eq!(warned("<tuple id=''><status><basic>open</basic></status></tuple>"), ["W_TUPLE_ID_MISSING tuple"]);
    }

    // checks: PD-20, PD-21, PD-23, X-13, REQ-3.1.4, REQ-3.1.5
    #[test]
    fn rfc3863_s4_2_3_what_is_not_known_is_kept_whole() {
        let inside = "<tuple id='t'><status><unknown><basic>closed</basic></unknown><x:y mustUnderstand='1'/></status>\
             <basic>open</basic></tuple><contact/>";
        let parsed = read(inside);
        let tuple = &parsed.presence.tuples[0];
        assert_eq!(tuple.status.basic, None);
        assert!(tuple.status.extensions[0].is("unknown", PIDF) && tuple.status.extensions[1].must_understand());
        assert!(tuple.extension("basic", PIDF).is_some() && parsed.presence.extensions[0].is("contact", PIDF));
        assert_eq!(parsed.warnings, []);
        assert_eq!(warned("<y:y xmlns:y='../y'/>"), ["W_NAMESPACE y"]);
        let outside = in_tuple("<x:y xmlns:p='urn:ietf:params:xml:ns:pidf' p:mustUnderstand='true'/>");
        assert_eq!(warned(&outside), ["W_MUST_UNDERSTAND_PLACEMENT y"]);
    }

    // checks: PX-04, PX-10, PX-11, PX-12
    #[test]
    fn rfc4480_s3_1_placement_and_bounds_of_rich_presence() {
        let person = |inside: &str| format!("<d:person id='p'>{inside}</d:person>");
        let placed = "<r:activities/><r:class/><r:mood/><r:place-is/><r:place-type/><r:privacy/><r:sphere/>\
             <r:status-icon/><r:time-offset/><r:user-input/>";
        assert_eq!(warned(&person(placed)), [""; 0]);
        let placed =
            "<r:class/><d:deviceID/><r:privacy/><r:relationship/><r:service-class/><r:status-icon/><r:user-input/>";
        assert_eq!(warned(&in_tuple(placed)), [""; 0]);
        assert_eq!(warned(&person("<r:relationship/>")), ["W_RPID_PLACEMENT relationship"]);
        assert_eq!(warned("<r:mood/>"), ["W_RPID_PLACEMENT mood"]);
        assert_eq!(warned("<tuple id='t'><status><r:class/></status></tuple>"), ["W_RPID_PLACEMENT class"]);
        assert_eq!(warned(&person("<r:class from='2024-01-01T00:00:00Z'/>")), ["W_RPID_FROM_UNTIL class"]);
        assert_eq!(warned(&person("<r:mood/><r:mood from='2024-01-01T00:00:00Z'/>")), [""; 0]);
        assert_eq!(warned(&person("<r:mood/><r:class/><r:mood/>")), ["W_RPID_REPEATED mood"]);
        let postal = |contact: &str| in_tuple(&format!("<r:service-class><r:postal/></r:service-class>{contact}"));
        assert_eq!(warned(&postal("<contact>im:a@b</contact>")), ["W_SERVICE_CLASS_CONTACT service-class"]);
        assert_eq!(warned(&postal("<contact/>")), [""; 0]);
        assert_eq!(warned(&person("<c:card/><c:card/>")), ["W_CIPID_REPEATED card"]);
        assert_eq!(warned(&person("<c:display-name/><c:display-name xml:lang='de'/>")), [""; 0]);
    }

    // checks: PX-30
    #[test]
    fn rfc4481_s3_a_timed_status_is_not_about_the_present() {
        let timed =
            |bounds: &str| in_tuple(&format!("<s:timed-status {bounds}/><timestamp>2024-06-01T00:00:00Z</timestamp>"));
        for other in ["from='2024-06-01T00:00:01Z'", "from='2024-01-01T00:00:00Z' until='2024-06-01T00:00:00Z'"] {
            assert_eq!(warned(&timed(other)), [""; 0], "{other}");
        }
        assert_eq!(warned(&timed("from='2024-01-01T00:00:00Z'")), ["W_TIMED_STATUS_PRESENT timed-status"]);
        assert_eq!(warned(&timed("from='soon'")), ["W_TIMED_STATUS_NO_FROM timed-status"]);
        assert_eq!(warned("<s:timed-status from='2024-01-01T00:00:00Z'/>"), ["W_TIMED_STATUS_PLACEMENT timed-status"]);
    }

    // checks: PD-27
    #[test]
    fn warnings_are_bounded_but_each_kind_is_told() {
        let many = "<contact priority='x'/>".repeat(500);
        let parsed = read(&in_tuple(&format!("{many}<r:mood/>")));
        assert!(parsed.warnings.len() <= limits::MAX_WARNINGS + 5);
        for kind in
            [WarningKind::MultipleContact, WarningKind::RpidPlacement, WarningKind::Priority, WarningKind::Order]
        {
            assert!(parsed.warnings.iter().any(|warning| warning.kind == kind), "{kind:?}");
        }
    }
}
