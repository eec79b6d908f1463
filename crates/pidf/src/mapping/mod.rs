//! Between PIDF and XMPP's presence (RFC 8048 §6, RFC 3922 §5.1 and §6.3), as pure functions and tables.
//!
//! A document is the complete state of a PRESENTITY; [`DeviceState`] is the state of one device, as XMPP and the native
//! protocol tell it. Who hears of one device at a time keeps a [`DeviceState`] for each and writes them all with
//! [`to_document`]; who gets a document reads them with [`States::of`], finds those that vanished with [`vanished`], and
//! counts what it could not take over with [`Losses::of`]. Stanzas, requests and JSON are the adapters': each has a module
//! `mapping::presence` between its own form and these types.
//!
//! ```
//! use pidf::mapping::{DeviceState, Show, States, to_document};
//! use pidf::{Basic, Note};
//!
//! let state = DeviceState {
//!     device: "balcony".to_owned(),
//!     basic: Basic::Open,
//!     show: Some(Show::Away),
//!     priority: Some(13),
//!     notes: vec![Note::new(Some("en".into()), "retired to the chamber")],
//! };
//! let juliet = impp_model::Address::parse_bare("juliet@example.com").unwrap();
//! let document = to_document(&juliet, std::slice::from_ref(&state), None).encode()?;
//! let text = std::str::from_utf8(&document).unwrap();
//! assert!(text.contains(r#"<contact priority="0.102">im:juliet@example.com</contact>"#));
//!
//! let presence = pidf::parse(&document).unwrap().presence;
//! assert_eq!(States::of(&presence, None), States::Devices(vec![state]));
//! # Ok::<(), pidf::EncodeError>(())
//! ```

mod document; // RFC 3856 §6.8, RFC 8048 §6.2
mod priority; // RFC 8048 §6.2
mod show; // RFC 8048 §6.2, RFC 3922 §5.1.5, RFC 4480 §3.2
mod state;

pub use crate::id::{device_name, tuple_id};
pub use document::{Losses, most_available, to_document};
pub use priority::{from_pidf as xmpp_priority, to_pidf as contact_priority};
pub use show::Show;
pub use state::{DeviceState, States, vanished};
