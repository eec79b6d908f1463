//! What RFC 4479 to RFC 4482 ask of extension elements; nothing found here changes how a document is read.

use std::collections::BTreeSet;

use impp_model::DateTime;
use strict_xml::ElementRef;

use crate::error::WarningKind;
use crate::extension::{Extension, bears_must_understand};
use crate::model::Tuple;
use crate::namespace::{CIPID, DATA_MODEL, RPID, TIMED_STATUS, is_sound};
use crate::rpid;
use crate::warn::Warnings;

/// What an extension element stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// RFC 4479 §3.2.
    Person,
    /// RFC 3863 §4.1.2.
    Tuple,
    /// RFC 4479 §3.5.
    Device,
}

/// A child of the root.
pub(crate) fn presence_child(child: ElementRef<'_>, warnings: &mut Warnings) {
    outside_status(child, warnings);
    // RFC 4480 §3.1: table 1 has no column for it.
    if *child.ns() == *RPID {
        warnings.add(WarningKind::RpidPlacement, child);
    }
    if child.is("timed-status", TIMED_STATUS) {
        warnings.add(WarningKind::TimedStatusPlacement, child);
    }
}

/// An extension in a tuple.
pub(crate) fn tuple_child(child: ElementRef<'_>, warnings: &mut Warnings) {
    outside_status(child, warnings);
    rpid_child(child, Parent::Tuple, warnings);
    // RFC 4481 §3: from is required.
    if child.is("timed-status", TIMED_STATUS) && time(child, "from").is_none() {
        warnings.add(WarningKind::TimedStatusNoFrom, child);
    }
}

/// An extension in a status.
pub(crate) fn status_child(child: ElementRef<'_>, warnings: &mut Warnings) {
    namespace(child, warnings);
    // RFC 4479 §3.7: attributes of the data model stand in the tuple.
    if *child.ns() == *RPID {
        warnings.add(WarningKind::RpidPlacement, child);
    }
    if child.is("timed-status", TIMED_STATUS) {
        warnings.add(WarningKind::TimedStatusInStatus, child);
    }
}

/// A child of a person or device.
pub(crate) fn component_child(child: ElementRef<'_>, parent: Parent, warnings: &mut Warnings) {
    outside_status(child, warnings);
    rpid_child(child, parent, warnings);
    if child.is("timed-status", TIMED_STATUS) {
        warnings.add(WarningKind::TimedStatusPlacement, child);
    }
}

/// RFC 4479 §5.1: the place in the sequence of a person or device.
pub(crate) fn rank_in_component(name: &str, ns: &str) -> u8 {
    match (ns, name) {
        (DATA_MODEL, "deviceID") => 1,
        (DATA_MODEL, "note") => 2,
        (DATA_MODEL, "timestamp") => 3,
        (_, _) => 0,
    }
}

/// What a tuple's parts ask of each other.
pub(crate) fn tuple(tuple: &Tuple, warnings: &mut Warnings) {
    siblings(&tuple.extensions, warnings);
    for extension in &tuple.extensions {
        let Some(element) = extension.place() else { continue };
        if element.is("service-class", RPID) && tuple.contact.as_ref().is_some_and(|contact| !contact.uri.is_empty()) {
            service_class(element, warnings);
        }
        if element.is("timed-status", TIMED_STATUS) && tuple.timestamp.as_ref().is_some_and(|now| covers(element, now))
        {
            warnings.add(WarningKind::TimedStatusPresent, element);
        }
    }
}

/// What elements of one parent ask of each other.
pub(crate) fn siblings(elements: &[Extension], warnings: &mut Warnings) {
    // Of one alone nothing is repeated.
    if elements.len() < 2 {
        return;
    }
    let mut seen = BTreeSet::new();
    for element in elements.iter().filter_map(Extension::place) {
        let kind = match element.ns().as_str() {
            RPID if !timed(element) => WarningKind::RpidRepeated,
            CIPID => WarningKind::CipidRepeated,
            _ => continue,
        };
        // RFC 4482 §3.2: one display-name for each language.
        if !seen.insert((element.ns().as_str(), element.name(), element.xml_lang())) {
            warnings.add(kind, element);
        }
    }
}

fn outside_status(child: ElementRef<'_>, warnings: &mut Warnings) {
    namespace(child, warnings);
    // RFC 3863 §4.2.3: only within a status.
    if bears_must_understand(child) {
        warnings.add(WarningKind::MustUnderstandPlacement, child);
    }
}

fn namespace(child: ElementRef<'_>, warnings: &mut Warnings) {
    if !is_sound(child.ns()) {
        warnings.add(WarningKind::Namespace, child);
    }
}

fn rpid_child(child: ElementRef<'_>, parent: Parent, warnings: &mut Warnings) {
    let Some(rule) = rpid::rule(child.name(), child.ns()) else { return };
    if !rule.parents.contains(&parent) {
        warnings.add(WarningKind::RpidPlacement, child);
    }
    if !rule.timed && timed(child) {
        warnings.add(WarningKind::RpidFromUntil, child);
    }
}

/// RFC 4480 §3.10: other services than electronic ones have no URI.
fn service_class(element: ElementRef<'_>, warnings: &mut Warnings) {
    let physical = ["courier", "freight", "in-person", "postal"];
    if element.elements().any(|child| *child.ns() == *RPID && physical.contains(&child.name())) {
        warnings.add(WarningKind::ServiceClassContact, element);
    }
}

fn timed(element: ElementRef<'_>) -> bool {
    element.attr("from").is_some() || element.attr("until").is_some()
}

fn time(element: ElementRef<'_>, name: &str) -> Option<DateTime> {
    DateTime::parse(element.attr(name)?.trim()).ok()
}

/// Whether a timed-status speaks of this time.
fn covers(element: ElementRef<'_>, now: &DateTime) -> bool {
    let from = time(element, "from").is_some_and(|from| from.cmp_instant(now).is_le());
    from && time(element, "until").is_none_or(|until| until.cmp_instant(now).is_gt())
}
