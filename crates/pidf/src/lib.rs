//! Presence documents: PIDF (RFC 3863) with its data model (RFC 4479), RPID (RFC 4480) and CIPID (RFC 4482).
//!
//! Three ways to deal with a document:
//! - [`RelayView`]: passes it on octet for octet, whatever it holds.
//! - [`parse`] and [`parse_as`]: read it as RFC 3863 §4.4 asks, taking what can be taken and listing every departure as a
//!   [`Warning`] with its code and place; only what has no sound reading is a [`ParseError`].
//! - [`Presence::encode`]: writes one, strictly: order, ids, declaration. Elements that are not known here are kept
//!   when a document is read, changed and written, in the very characters they came in. Timed status (RFC 4481) and
//!   location objects (RFC 4119) are such elements.
//!
//! [`rpid`] and [`cipid`] look into extensions; [`mapping`] has the tables between PIDF and XMPP's presence as pure
//! functions; [`Stamps`] and [`Freshness`] keep documents in order of time; [`report`] is for inspection.
//!
//! The crate performs no I/O and reads no clock; every bound is in [`limits`].
//!
//! ```
//! use pidf::{Basic, WarningKind};
//!
//! let document = br#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:juliet@example.com">
//!   <tuple id="balcony">
//!     <status><basic>open</basic><x:mood xmlns:x="urn:example:x">wistful</x:mood></status>
//!     <contact priority="0.8">im:juliet@example.com</contact>
//!   </tuple>
//! </presence>"#;
//! let parsed = pidf::parse(document)?;
//! assert_eq!(parsed.warnings.iter().map(|w| w.kind).collect::<Vec<_>>(), [WarningKind::NoXmlDeclaration]);
//!
//! let mut presence = parsed.presence;
//! presence.tuples[0].status.basic = Some(Basic::Closed);
//! let written = presence.encode().expect("a sound model");
//! let expected = r#"<status><basic>closed</basic><x:mood xmlns:x="urn:example:x">wistful</x:mood></status>"#;
//! assert!(String::from_utf8(written).unwrap().contains(expected));
//! # Ok::<(), pidf::ParseError>(())
//! ```

mod activity; // RFC 4480 §3.2
mod check; // RFC 4479 §3, RFC 4480 §3.1, RFC 4481 §3, RFC 4482 §3
pub mod cipid; // RFC 4482
mod component; // RFC 4479
mod decode; // RFC 3863 §4.1
mod error;
mod extension; // RFC 3863 §4.2
mod id; // RFC 3863 §4.1.2, RFC 8048 §6.2
pub mod limits;
pub mod mapping; // RFC 8048 §6, RFC 3922 §5.1, §6.3
mod media; // RFC 3863 §5.1
mod model; // RFC 3863 §4.1
pub mod namespace;
mod priority; // RFC 3863 §4.1.5
mod read; // RFC 3863 §4
mod reader; // RFC 3863 §4.1, RFC 4479 §5
mod relay; // RFC 3859 §3.3
pub mod report;
pub mod rpid; // RFC 4480
mod timeline; // RFC 3863 §4.1.7, §6
mod warn;
mod write; // RFC 3863 §4.4

pub use activity::Activity;
pub use component::{Device, Person};
pub use decode::to_utf8;
pub use error::{EncodeError, ErrorKind, ParseError, Warning, WarningKind};
pub use extension::{Extension, may_interpret, must_understand};
pub use impp_model::Basic;
pub use media::{DIFF_MEDIA_TYPE, MEDIA_TYPE};
pub use model::{Contact, Note, Presence, Status, Tuple};
pub use priority::{Priority, PriorityError};
pub use read::{Parsed, parse, parse_as};
pub use relay::RelayView;
pub use strict_xml::{Attr, Element, SharedStr};
pub use timeline::{Freshness, Stamps};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
