//! Persons and devices (RFC 4479).

use impp_model::DateTime;
use strict_xml::{Attr, Element, SharedStr};

use crate::extension::Extension;
use crate::namespace::DATA_MODEL;

/// What is said of the person behind the PRESENTITY (RFC 4479 §3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// Its `xs:ID`; made up on output when missing.
    pub id: Option<SharedStr>,
    /// All child elements: characteristics, notes, the timestamp.
    pub elements: Vec<Extension>,
    /// Other attributes.
    pub attributes: Vec<Attr>,
}

/// What is said of one device (RFC 4479 §3.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Its `xs:ID`, valid in this document only; made up on output when missing.
    pub id: Option<SharedStr>,
    /// All child elements: characteristics, the deviceID, notes, the timestamp.
    pub elements: Vec<Extension>,
    /// Other attributes.
    pub attributes: Vec<Attr>,
}

impl Person {
    /// The first child of this name and namespace.
    pub fn element(&self, name: &str, ns: &str) -> Option<&Element> {
        find(&self.elements, name, ns)
    }

    /// When this was known to be so.
    pub fn timestamp(&self) -> Option<DateTime> {
        timestamp(&self.elements)
    }
}

impl Device {
    /// The first child of this name and namespace.
    pub fn element(&self, name: &str, ns: &str) -> Option<&Element> {
        find(&self.elements, name, ns)
    }

    /// The URN that names the device everywhere.
    pub fn device_id(&self) -> Option<String> {
        let id = extension(&self.elements, "deviceID", DATA_MODEL)?.text();
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// When this was known to be so.
    pub fn timestamp(&self) -> Option<DateTime> {
        timestamp(&self.elements)
    }
}

fn find<'a>(elements: &'a [Extension], name: &str, ns: &str) -> Option<&'a Element> {
    extension(elements, name, ns).map(Extension::element)
}

fn extension<'a>(elements: &'a [Extension], name: &str, ns: &str) -> Option<&'a Extension> {
    elements.iter().find(|element| element.is(name, ns))
}

fn timestamp(elements: &[Extension]) -> Option<DateTime> {
    let text = extension(elements, "timestamp", DATA_MODEL)?.text();
    DateTime::parse(text.trim()).ok().filter(DateTime::is_pidf)
}
