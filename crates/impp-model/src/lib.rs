//! The common form: RFC 2778's nouns, the operations of RFC 3859 and RFC 3860 and what becomes of them.
//!
//! Every adapter maps its protocol to and from these types and no other. The crate performs no I/O and reads no clock.
//!
//! ```
//! use impp_model::{Address, Content, DateTime, Endpoint, InstantMessage, MaxForwards, MessageOperation, TransId};
//!
//! let address = |uri| Address::from_im_uri(uri).map(Endpoint::bare);
//! let operation = MessageOperation {
//!     source: address("im:juliet@example.com")?,
//!     destination: address("im:romeo%27s@example.net")?,
//!     max_forwards: MaxForwards::INITIAL,
//!     trans_id: TransId::from("t1"),
//!     message: InstantMessage { sent: DateTime::parse("2026-11-22T12:16:49Z").ok(), ..InstantMessage::new(Content::text("Hi")) },
//! };
//! assert_eq!(operation.destination.address.to_string(), "romeo's@example.net");
//!
//! let error = Address::from_im_uri("im:romeo@[::1]").unwrap_err();
//! assert_eq!((error.code(), error.position()), ("E_CHAR", 9));
//! # Ok::<(), impp_model::uri::UriError>(())
//! ```

pub mod address; // RFC 2778 §3
pub mod annotation; // XEP-0308, XEP-0334, XEP-0444, XEP-0461
pub mod composing; // RFC 3994, XEP-0085
pub mod datetime; // RFC 3339
pub mod disposition; // RFC 5438
pub mod domain; // RFC 5890, RFC 3861 §3
mod identity; // RFC 3860 §3.1, RFC 5438 §6.3
mod mapped;
pub mod message; // RFC 3860 §3.1
pub mod outcome; // RFC 3860 §3.4.1
pub mod passed; // RFC 7247 §8
pub mod presence; // RFC 3859 §3
pub mod uri; // RFC 3859 §A, RFC 3860 §A, RFC 5122

pub use address::{Address, Device};
pub use annotation::{Hints, OutOfBand, Relation, Sealed};
pub use composing::{ComposingOperation, ComposingState};
pub use datetime::DateTime;
pub use disposition::{Disposition, DispositionOperation, Receipts, Report, ReturnPath};
pub use domain::{Domain, DomainError};
pub use identity::hex;
pub use mapped::Mapped;
pub use message::{
    Content, Endpoint, InstantMessage, Kind, LangText, LanguageTag, MaxForwards, MessageId, MessageOperation,
    Operation, Thread, TransId,
};
pub use outcome::{Cause, Failure, NativeCode, Outcome, Proof, Retry, Side};
pub use passed::{Mark, PassError, Passed};
pub use presence::{
    AuthorizeOperation, Basic, EndReason, News, NotifyOperation, PresenceInfo, PresenceTuple, PublishOperation, Show,
    Standing, SubscribeOperation, SubscriptId, Wish,
};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
