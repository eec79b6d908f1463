//! Why JSON of a user is not what it should be: the field, and what is wrong with it.

use super::cpim;
use super::object::ObjectError;
use impp_model::address::AddressError;
use impp_model::uri::UriError;
use impp_model::{Cause, Failure, Side};

/// Why JSON is not a message that can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not JSON, not of this form, or with a field that does not exist.
    #[error("{path}: not the expected JSON")]
    Json {
        /// The path of the field at fault, `.` for the whole.
        path: String,
        /// Which position, and what stands there.
        #[source]
        source: serde_json::Error,
    },
    /// `to` is not an address.
    #[error("to: {0}")]
    To(#[source] ToError),
    /// `content_type` is not a media type, or one that JSON text can't carry.
    #[error("content_type: {0}")]
    ContentType(#[source] ContentTypeError),
    /// Not a message/cpim object that can be sent.
    #[error("message/cpim: {0}")]
    Cpim(#[source] cpim::CpimError),
    /// `object` is none that can be sent.
    #[error("object: {0}")]
    Object(#[source] ObjectError),
    /// Text of a field breaks a bound.
    #[error("{field}: {problem}")]
    Text {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: TextProblem,
    },
}

/// Why text is not an addressee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ToError {
    /// Not `local@domain`.
    #[error(transparent)]
    Address(AddressError),
    /// Not an `im:` URI.
    #[error(transparent)]
    Uri(UriError),
    /// A URI of another scheme.
    #[error("only im: URIs and plain addresses name an inbox")]
    Scheme,
}

/// Why text is not a media type for a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// RFC 2045 §5.1: not `type/subtype`.
    #[error("not type/subtype")]
    Syntax,
    /// A parameter other than `charset=utf-8`, which would be lost.
    #[error("no parameter but charset=utf-8 can be carried")]
    Parameter,
    /// A composite type: its structure would be lost in a JSON string.
    #[error("composite types can't be sent as JSON")]
    Composite,
}

/// What is wrong with the text of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Nothing there; leave the field out instead.
    #[error("empty")]
    Empty,
    /// More than the field's bound.
    #[error("longer than {limit} octets")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// A control character, such as a line break.
    #[error("control character at octet {at}")]
    Control {
        /// Octets before it.
        at: usize,
    },
    /// Only `delivery` and `display` are reported by a user; failures are the gateway's to tell.
    #[error("only delivery and display can be reported")]
    NoReport,
    /// RFC 5646 §2.1: not letters, digits and hyphens.
    #[error("not a language tag")]
    Language,
    /// RFC 3339.
    #[error("not a date-time")]
    Time,
    /// Too long, or with characters that no device has.
    #[error("not a device")]
    Device,
}

impl Refusal {
    /// The field at fault, `None` when it is the document as a whole.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Json { path, .. } => (path != ".").then_some(path.as_str()),
            Self::To(_) => Some("to"),
            Self::ContentType(_) => Some("content_type"),
            Self::Object(_) => Some("object"),
            Self::Cpim(_) => None,
            Self::Text { field, .. } => Some(field),
        }
    }

    /// What is wrong, without the field's name.
    pub fn problem(&self) -> String {
        match self {
            Self::Json { source, .. } => source.to_string(),
            Self::To(error) => error.to_string(),
            Self::ContentType(error) => error.to_string(),
            Self::Object(error) => error.to_string(),
            Self::Cpim(error) => error.to_string(),
            Self::Text { problem, .. } => problem.to_string(),
        }
    }

    /// The same as a failure of the operation, for `translate`.
    pub fn to_failure(&self) -> Failure {
        let cause = match self {
            Self::To(_) => Cause::AddressMalformed,
            Self::ContentType(ContentTypeError::Parameter | ContentTypeError::Composite) => Cause::UnsupportedMedia,
            Self::Cpim(cpim::CpimError::Object(refusal)) => return refusal.failure(),
            Self::Cpim(cpim::CpimError::Content) => Cause::UnsupportedMedia,
            Self::Cpim(cpim::CpimError::From) => Cause::Forbidden,
            Self::Object(ObjectError::Readable | ObjectError::Presence) => Cause::UnsupportedMedia,
            Self::Json { .. }
            | Self::Object(ObjectError::Body | ObjectError::Base64 | ObjectError::ContentType)
            | Self::ContentType(ContentTypeError::Syntax)
            | Self::Text { .. }
            | Self::Cpim(cpim::CpimError::Recipients) => Cause::BadRequest,
        };
        let field = self.field().map(|field| format!("{field}: ")).unwrap_or_default();
        Failure::new(Side::Near, cause).with_text(field + &self.problem())
    }
}
