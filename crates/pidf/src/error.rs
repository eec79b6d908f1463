//! Why a document is refused, and what is wrong with one that is not.

use strict_xml::XmlErrorKind;

/// A document that cannot be translated; a relay passes it on nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, octet {octet}: {kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The line, counted from 1.
    pub line: usize,
    /// Octets before the fault, counted from the start of the document as it came.
    pub octet: usize,
}

/// What is wrong with a refused document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// RFC 3863 §5.1: the Content-Type names another format.
    #[error("not the media type of a presence document")]
    MediaType,
    /// RFC 3863 §4.1, §7: UTF-8 is read, and UTF-16, ISO-8859-1 and US-ASCII.
    #[error("the encoding is not supported: send UTF-8")]
    Encoding,
    /// RFC 3863 §4.1; XML 1.0 §2.1.
    #[error("not well-formed XML: {0}")]
    NotWellFormed(XmlErrorKind),
    /// RFC 3023 §10: it could include files and multiply text.
    #[error("a document type declaration is not accepted: remove it")]
    Doctype,
    /// A local limit, from [`limits`](crate::limits).
    #[error("{0}")]
    Limit(XmlErrorKind),
    /// A local limit: tags.
    #[error("more than {limit} tags")]
    TooManyTags {
        /// The limit.
        limit: usize,
    },
    /// RFC 3863 §4.1.1; RFC 5262 §3.
    #[error("the root is not <presence> in the namespace urn:ietf:params:xml:ns:pidf")]
    Root,
    /// RFC 5262 §3: changes, not a state.
    #[error("a partial document (pidf-diff) is not read without the full one before it")]
    Partial,
    /// RFC 3863 §4.1.1.
    #[error("the root has no entity attribute")]
    EntityMissing,
    /// RFC 3863 §4.1.1.
    #[error("the entity attribute is empty: it must name the presentity")]
    EntityEmpty,
}

impl ErrorKind {
    /// The code that the project's vectors and reports use.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MediaType => "E_MEDIA_TYPE",
            Self::Encoding => "E_ENCODING",
            Self::NotWellFormed(_) => "E_NOT_WELL_FORMED",
            Self::Doctype => "E_DOCTYPE",
            Self::Limit(_) | Self::TooManyTags { .. } => "E_LIMIT",
            Self::Root => "E_ROOT",
            Self::Partial => "E_PARTIAL",
            Self::EntityMissing => "E_ENTITY_MISSING",
            Self::EntityEmpty => "E_ENTITY_EMPTY",
        }
    }
}

/// A fault of a document that is read nevertheless (RFC 3863 §4.4, RFC 4479 §5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("octet {octet}: {kind}")]
pub struct Warning {
    /// What is wrong.
    pub kind: WarningKind,
    /// Octets before the name of the element at fault, counted from the start of the document as it came.
    pub octet: usize,
}

/// What is wrong with a document that is read nevertheless, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum WarningKind {
    /// RFC 3863 §4.1.
    #[error("the XML declaration is missing")]
    NoXmlDeclaration,
    /// RFC 3863 §4.1.1; RFC 4479 §3.1 allows it.
    #[error("the entity is not a pres: URI")]
    EntityNotPres,
    /// RFC 3863 §4.1.1, §4.1.2, §4.1.3; RFC 4479 §5.
    #[error("elements stand in another order than the format has")]
    Order,
    /// RFC 3863 §4.1.2: without it the tuple cannot be followed from document to document; it is dropped.
    #[error("a tuple without id is dropped")]
    TupleIdMissing,
    /// RFC 3863 §4.1.2: the first is kept.
    #[error("a tuple repeats the id of an earlier one and is dropped")]
    DuplicateTupleId,
    /// RFC 3863 §4.4: the schema's type is xs:ID.
    #[error("an id is not an XML name")]
    IdNotNcname,
    /// RFC 3863 §4.4: an xs:ID is unique in the whole document.
    #[error("a person or device repeats an id")]
    DuplicateId,
    /// RFC 3863 §4.1.2.
    #[error("a tuple has no status")]
    NoStatus,
    /// RFC 3863 §4.1.2: the first is kept.
    #[error("a tuple has a second status, which is dropped")]
    MultipleStatus,
    /// RFC 3863 §4.1.3.
    #[error("a status is empty")]
    EmptyStatus,
    /// RFC 3863 §4.1.3: the first is kept.
    #[error("a status has a second basic, which is dropped")]
    MultipleBasic,
    /// RFC 3863 §4.1.4: a string is not trimmed; it is read as if it were.
    #[error("white space around the value of basic")]
    BasicWhitespace,
    /// RFC 3863 §4.1.4: availability is unknown.
    #[error("basic is neither open nor closed")]
    BasicValue,
    /// RFC 3863 §4.1.2: the first is kept.
    #[error("a tuple has a second contact, which is dropped")]
    MultipleContact,
    /// RFC 3863 §4.1.5: as if absent.
    #[error("a priority is not 0 to 1 with at most three decimals, and is ignored")]
    Priority,
    /// RFC 3863 §4.1.7: as if absent.
    #[error("a timestamp is not a date-time of RFC 3339 with capital T and Z, and is ignored")]
    Timestamp,
    /// RFC 3863 §4.1.2: the first is kept.
    #[error("a tuple has a second timestamp, which is dropped")]
    MultipleTimestamp,
    /// RFC 3863 §4.2.3.
    #[error("mustUnderstand outside a status")]
    MustUnderstandPlacement,
    /// RFC 3863 §4.1: the formats have elements here.
    #[error("text between elements is dropped")]
    StrayText,
    /// RFC 3863 §4.2.2.
    #[error("the namespace of an element is not an absolute URI without fragment")]
    Namespace,
    /// RFC 4479 §5.1.
    #[error("a person has no id")]
    PersonIdMissing,
    /// RFC 4479 §5.1.
    #[error("a device has no id")]
    DeviceIdMissing,
    /// RFC 4479 §5.1.
    #[error("a device has no deviceID")]
    NoDeviceId,
    /// RFC 4480 §3.1, table 1: kept, not interpreted.
    #[error("an RPID element stands where it has no meaning")]
    RpidPlacement,
    /// RFC 4480 §3.1.
    #[error("an RPID element without from and until is repeated")]
    RpidRepeated,
    /// RFC 4480 §3.1, §3.3, §3.4.
    #[error("an RPID element has from or until, which it does not take")]
    RpidFromUntil,
    /// RFC 4480 §3.10.
    #[error("a service that is not electronic has a contact")]
    ServiceClassContact,
    /// RFC 4482 §3.
    #[error("a CIPID element is repeated")]
    CipidRepeated,
    /// RFC 4481 §3.
    #[error("a timed-status has no from, or one that is not a date-time")]
    TimedStatusNoFrom,
    /// RFC 4481 §3.
    #[error("a timed-status stands in a status")]
    TimedStatusInStatus,
    /// RFC 4481 §3.
    #[error("a timed-status stands outside a tuple")]
    TimedStatusPlacement,
    /// RFC 4481 §3: it speaks of the past or the future.
    #[error("a timed-status covers the time of its tuple")]
    TimedStatusPresent,
}

impl WarningKind {
    /// The code that the project's vectors and reports use.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoXmlDeclaration => "W_NO_XML_DECL",
            Self::EntityNotPres => "W_ENTITY_NOT_PRES",
            Self::Order => "W_ORDER",
            Self::TupleIdMissing => "W_TUPLE_ID_MISSING",
            Self::DuplicateTupleId => "W_DUP_TUPLE_ID",
            Self::IdNotNcname => "W_ID_NOT_NCNAME",
            Self::DuplicateId => "W_DUP_ID",
            Self::NoStatus => "W_NO_STATUS",
            Self::MultipleStatus => "W_MULTI_STATUS",
            Self::EmptyStatus => "W_EMPTY_STATUS",
            Self::MultipleBasic => "W_MULTI_BASIC",
            Self::BasicWhitespace => "W_BASIC_WHITESPACE",
            Self::BasicValue => "W_BASIC_VALUE",
            Self::MultipleContact => "W_MULTI_CONTACT",
            Self::Priority => "W_PRIORITY",
            Self::Timestamp => "W_TIMESTAMP",
            Self::MultipleTimestamp => "W_MULTI_TIMESTAMP",
            Self::MustUnderstandPlacement => "W_MUST_UNDERSTAND_PLACEMENT",
            Self::StrayText => "W_STRAY_TEXT",
            Self::Namespace => "W_NAMESPACE",
            Self::PersonIdMissing => "W_PERSON_ID_MISSING",
            Self::DeviceIdMissing => "W_DEVICE_ID_MISSING",
            Self::NoDeviceId => "W_NO_DEVICEID",
            Self::RpidPlacement => "W_RPID_PLACEMENT",
            Self::RpidRepeated => "W_RPID_REPEATED",
            Self::RpidFromUntil => "W_RPID_FROM_UNTIL",
            Self::ServiceClassContact => "W_SERVICE_CLASS_CONTACT",
            Self::CipidRepeated => "W_CIPID_REPEATED",
            Self::TimedStatusNoFrom => "W_TIMED_STATUS_NO_FROM",
            Self::TimedStatusInStatus => "W_TIMED_STATUS_IN_STATUS",
            Self::TimedStatusPlacement => "W_TIMED_STATUS_PLACEMENT",
            Self::TimedStatusPresent => "W_TIMED_STATUS_PRESENT",
        }
    }
}

/// Why a model cannot be written as a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// RFC 3863 §4.1.1.
    #[error("the entity is empty")]
    EntityEmpty,
    /// RFC 3863 §4.1.2.
    #[error("tuple {number} has no id")]
    TupleIdEmpty {
        /// Which, counted from 1.
        number: usize,
    },
    /// RFC 3863 §4.1.2.
    #[error("tuple {number} repeats the id of an earlier one")]
    DuplicateTupleId {
        /// Which, counted from 1.
        number: usize,
    },
    /// RFC 3863 §4.1.3: at least one child.
    #[error("tuple {number} has an empty status")]
    EmptyStatus {
        /// Which, counted from 1.
        number: usize,
    },
    /// RFC 4479 §5.1.
    #[error("device {number} has no deviceID")]
    NoDeviceId {
        /// Which, counted from 1.
        number: usize,
    },
    /// XML 1.0 §2.3: an element or attribute made by the caller.
    #[error("{name:?} is not an XML name")]
    Name {
        /// The name.
        name: String,
    },
    /// RFC 3863 §4.2.2: an element made by the caller.
    #[error("the namespace {ns:?} is not an absolute URI without fragment")]
    Namespace {
        /// The namespace.
        ns: String,
    },
    /// [`MAX_ATTRIBUTES`](crate::limits::MAX_ATTRIBUTES): an element that keeps its namespace declarations needs more.
    #[error("more than {limit} attributes on one element")]
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
    /// [`MAX_DOCUMENT`](crate::limits::MAX_DOCUMENT).
    #[error("longer than {limit} octets")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}
