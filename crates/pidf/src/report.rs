//! What `inspect pidf` prints: one document with its faults, in the names of the project's test vectors.
//!
//! ```
//! use pidf::report::PidfReport;
//!
//! let report = PidfReport::inspect(b"<presence xmlns='urn:ietf:params:xml:ns:pidf'/>", None);
//! assert_eq!((report.result, report.error), ("reject", Some("E_ENTITY_MISSING")));
//! assert_eq!(report.faults[0].position, 1);
//! ```

use impp_model::Basic;
use serde::Serialize;

use crate::component::{Device, Person};
use crate::error::{ParseError, Warning, WarningKind};
use crate::extension::Extension;
use crate::model::{Note, Presence, Tuple};
use crate::relay::RelayView;

/// One document as a translating gateway sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PidfReport {
    /// `accept` or `reject`.
    pub result: &'static str,
    /// The code of the error that refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The codes of its faults, each once, in document order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<&'static str>>,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    /// RFC 5262 §3: the version of a `pidf-full` document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What a relay does, for every document.
    pub relay: &'static str,
    /// The error or every fault, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultReport>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// The code.
    pub code: &'static str,
    /// The line, counted from 1; only of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Octets before it.
    pub position: usize,
    /// The fault in words.
    pub text: String,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReport {
    /// The PRESENTITY.
    pub entity: String,
    /// RFC 3863 §4.1.2.
    pub tuples: Vec<TupleReport>,
    /// RFC 4479 §3.2.
    pub persons: Vec<ComponentReport>,
    /// RFC 4479 §3.5.
    pub devices: Vec<DeviceReport>,
    /// Those of the root.
    pub notes: Vec<NoteReport>,
    /// Those of the root.
    pub ext: Vec<ElementReport>,
}

/// One tuple.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TupleReport {
    /// As written.
    pub id: String,
    /// `open`, `closed` or null.
    pub basic: Option<&'static str>,
    /// Other elements of the status.
    pub status_ext: Vec<ElementReport>,
    /// The URI.
    pub contact: Option<String>,
    /// As written.
    pub priority: Option<String>,
    /// In order.
    pub notes: Vec<NoteReport>,
    /// As written.
    pub timestamp: Option<String>,
    /// Other elements of the tuple.
    pub ext: Vec<ElementReport>,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// As written.
    pub id: Option<String>,
    /// All children.
    pub elements: Vec<ElementReport>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// As written.
    pub id: Option<String>,
    /// All children.
    pub elements: Vec<ElementReport>,
    /// The URN.
    pub device_id: Option<String>,
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoteReport {
    /// Its own or an inherited one.
    pub lang: Option<String>,
    /// The text.
    pub text: String,
}

/// The name of an element that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ElementReport {
    /// Its namespace.
    pub ns: String,
    /// Its local name.
    pub name: String,
    /// Present when it must be understood.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub must_understand: bool,
}

impl PidfReport {
    /// Reads a document and reports what was found.
    pub fn inspect(octets: &[u8], content_type: Option<&str>) -> Self {
        match RelayView::new(octets, content_type).read() {
            Ok(parsed) => Self {
                result: "accept",
                error: None,
                warnings: Some(codes(&parsed.warnings)),
                model: Some(ModelReport::of(&parsed.presence)),
                version: parsed.version,
                relay: RELAY,
                faults: parsed.warnings.iter().map(FaultReport::warning).collect(),
            },
            Err(error) => Self {
                result: "reject",
                error: Some(error.kind.code()),
                warnings: None,
                model: None,
                version: None,
                relay: RELAY,
                faults: vec![FaultReport::error(&error)],
            },
        }
    }
}

/// Whatever is in a document.
const RELAY: &str = "forward-octets-unchanged";

/// Each code once, where it first occurs.
fn codes(warnings: &[Warning]) -> Vec<&'static str> {
    let mut kinds: Vec<WarningKind> = Vec::new();
    for warning in warnings {
        if !kinds.contains(&warning.kind) {
            kinds.push(warning.kind);
        }
    }
    kinds.into_iter().map(WarningKind::code).collect()
}

impl FaultReport {
    fn warning(warning: &Warning) -> Self {
        Self { code: warning.kind.code(), line: None, position: warning.octet, text: warning.kind.to_string() }
    }

    fn error(error: &ParseError) -> Self {
        Self { code: error.kind.code(), line: Some(error.line), position: error.octet, text: error.kind.to_string() }
    }
}

impl ModelReport {
    /// What a document says.
    pub fn of(presence: &Presence) -> Self {
        Self {
            entity: presence.entity.to_string(),
            tuples: presence.tuples.iter().map(TupleReport::of).collect(),
            persons: presence.persons.iter().map(ComponentReport::of).collect(),
            devices: presence.devices.iter().map(DeviceReport::of).collect(),
            notes: presence.notes.iter().map(NoteReport::of).collect(),
            ext: elements(&presence.extensions),
        }
    }
}

impl TupleReport {
    fn of(tuple: &Tuple) -> Self {
        let contact = tuple.contact.as_ref();
        Self {
            id: tuple.id.to_string(),
            basic: tuple.status.basic.map(Basic::as_str),
            status_ext: elements(&tuple.status.extensions),
            contact: contact.map(|contact| contact.uri.to_string()),
            priority: contact.and_then(|contact| contact.priority).map(|priority| priority.to_string()),
            notes: tuple.notes.iter().map(NoteReport::of).collect(),
            timestamp: tuple.timestamp.as_ref().map(ToString::to_string),
            ext: elements(&tuple.extensions),
        }
    }
}

impl ComponentReport {
    fn of(person: &Person) -> Self {
        Self { id: person.id.as_ref().map(ToString::to_string), elements: elements(&person.elements) }
    }
}

impl DeviceReport {
    fn of(device: &Device) -> Self {
        Self {
            id: device.id.as_ref().map(ToString::to_string),
            elements: elements(&device.elements),
            device_id: device.device_id(),
        }
    }
}

impl NoteReport {
    fn of(note: &Note) -> Self {
        Self { lang: note.lang.as_ref().map(ToString::to_string), text: note.text.to_string() }
    }
}

fn elements(extensions: &[Extension]) -> Vec<ElementReport> {
    let report = |extension: &Extension| ElementReport {
        ns: extension.ns().to_string(),
        name: extension.name().to_owned(),
        must_understand: extension.must_understand(),
    };
    extensions.iter().map(report).collect()
}
