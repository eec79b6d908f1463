//! Typed header fields, each parsed from the text of one value.
//!
//! Views borrow from the text they were parsed from and allocate only where an escape must be resolved.

mod content;
mod cseq;
mod date;
mod list;
mod name_addr;
mod numbers;
mod params;
mod via;
mod warning;

pub use content::{ContentDisposition, MediaType};
pub use cseq::{CSEQ_END, CSeq, CallId};
pub use date::Date;
pub use list::{Tokens, elements, tokens};
pub use name_addr::{NameAddr, quote};
pub use numbers::{RetryAfter, delta_seconds, max_forwards};
pub use params::{Param, Params};
pub use via::{MAGIC_COOKIE, ResponseTarget, Via};
pub use warning::Warning;

use crate::header_id::HeaderId;

/// Why a header value is not what its field demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(HeaderId),
    /// A field that may occur once occurs again.
    #[error("{0} occurs more than once")]
    Repeated(HeaderId),
    /// The value does not follow the grammar of its field.
    #[error("{0} is malformed")]
    Syntax(HeaderId),
    /// The value is well formed, but its number is out of range.
    #[error("{0} is out of range")]
    Range(HeaderId),
    /// The octets are not UTF-8 (RFC 3261 §7).
    #[error("{0} is not UTF-8")]
    Utf8(HeaderId),
    /// More values than the local limit.
    #[error("more than {limit} values of {id}")]
    TooMany {
        /// The field.
        id: HeaderId,
        /// The limit that was passed.
        limit: usize,
    },
    /// RFC 3261 §8.1.1.5: the method of CSeq is not that of the request.
    #[error("CSeq names another method than the request line")]
    MethodMismatch,
    /// The Request-URI is no URI, or has parts that a Request-URI may not have (RFC 3261 §19.1.1).
    #[error("Request-URI is malformed")]
    RequestUri,
}
