//! message/cpim (RFC 3862), with disposition notifications (RFC 5438) and composing indications (RFC 3994).
//!
//! Three ways to look at an object, none of which copies it:
//! - [`RelayView`]: as a relay that may change nothing; takes anything, checks nothing, allocates nothing.
//! - [`Message::parse`]: by the letter of RFC 3862 and of a [`Profile`]; the first difference is an error with its code,
//!   line and octet. Where RFC 3862 contradicts itself, NS follows its examples (§3.4: a space behind the prefix) and a
//!   formal name its grammar (§3.6: words with a space behind each, or a quoted string).
//! - [`Message::interpret`]: as a gateway that has to translate; what has one defensible reading is read and listed as
//!   a [`Deviation`], the rest is refused.
//!
//! [`Package`] looks at the MIME headers an object travels under and says whether it is plain, signed or opaque; a
//! signed one is not taken apart unless policy says so. Objects are written with [`Writer`] or composed with [`Draft`];
//! an existing object is never edited but put inside a new one with [`Draft::around`]. [`mapping`] goes between objects and
//! the hub's message operation.
//!
//! The crate performs no I/O and reads no clock; every bound is in [`limits`].
//!
//! ```
//! use cpim::{Message, Profile};
//!
//! let octets = "From: Juliet <im:juliet@example.com>\r\n\
//!     To: <im:romeo@example.net>\r\n\
//!     Subject:;lang=fr le balcon\r\n\
//!     \r\n\
//!     Content-Type: text/plain; charset=utf-8\r\n\
//!     \r\n\
//!     Wherefore art thou?";
//! let message = Message::parse(octets.as_bytes(), Profile::Gateway)?;
//! assert_eq!(message.from().map(|from| from.uri.into_owned()).as_deref(), Some("im:juliet@example.com"));
//! assert_eq!(message.subject(Some("fr")).map(|subject| subject.text).as_deref(), Some("le balcon"));
//! assert_eq!(message.content().body(), b"Wherefore art thou?");
//!
//! let error = Message::parse(b"From: <im:juliet@example.com>\nTo: x", Profile::Base).unwrap_err();
//! assert_eq!((error.kind.code(), error.line, error.octet), ("E_NOT_CRLF", 1, 29));
//! # Ok::<(), cpim::ParseError>(())
//! ```

mod chars; // RFC 3862 §3.6
pub mod composing; // RFC 3994
mod draft; // RFC 3862 §6
pub mod e2e; // RFC 3923
mod error;
mod escape; // RFC 3862 §2.3
pub mod file; // RCS: files over HTTP
mod header; // RFC 3862 §3, §4
pub mod imdn; // RFC 5438
pub mod limits;
mod mailbox; // RFC 3862 §4.1
pub mod mapping; // RFC 3860 §3.1, RFC 3922 §4
mod media; // RFC 2045 §5
mod message; // RFC 3862 §2
mod mime; // RFC 2045 §3
pub mod namespace; // RFC 3862 §3.4
mod object; // RFC 3862 §5, RFC 1847
mod profile; // RFC 3862 §6, RFC 4975 §13
mod read;
mod relay; // RFC 3862 §2.2
pub mod report;
mod transfer; // RFC 2045 §6
mod uri; // RFC 2396 §3
mod write;

pub use draft::{Draft, MEDIA_TYPE, OtherHeader, OtherValue, QualifiedName};
pub use error::{Deviation, ErrorKind, ParseError, Remedy};
pub use escape::{escape_string, escape_value, unescape};
pub use header::{CoreHeader, Header, Param};
pub use mailbox::Mailbox;
pub use media::MediaType;
pub use message::{Message, Requirement, Subject};
pub use mime::{Entity, MimeHeader};
pub use namespace::NamespaceDeclaration;
pub use object::{Class, Package, SignedPart, SignedPolicy, Untranslatable};
pub use profile::Profile;
pub use relay::RelayView;
pub use write::{WriteError, Writer, representable};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
