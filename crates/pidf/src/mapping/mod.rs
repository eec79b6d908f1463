//! Between PIDF and XMPP's presence (RFC 8048 §6, RFC 3922 §5.1 and §6.3), as pure functions and tables.
//!
//! What belongs to one adapter alone, such as stanza addresses and dialogs, is not here.
//!
//! ```
//! use pidf::mapping::{DeviceState, Show, States};
//! use pidf::{Basic, Note, Presence};
//!
//! let state = DeviceState {
//!     device: "balcony".to_owned(),
//!     basic: Basic::Open,
//!     show: Some(Show::Away),
//!     priority: Some(13),
//!     notes: vec![Note::new(Some("en".into()), "retired to the chamber")],
//! };
//! let tuple = state.to_tuple(Some("im:juliet@example.com"), None);
//! let document = Presence::new("pres:juliet@example.com").with_tuples(vec![tuple]).encode()?;
//! let text = std::str::from_utf8(&document).unwrap();
//! assert!(text.contains(r#"<contact priority="0.102">im:juliet@example.com</contact>"#));
//!
//! let presence = pidf::parse(&document).unwrap().presence;
//! assert_eq!(States::of(&presence, None), States::Devices(vec![state]));
//! # Ok::<(), pidf::EncodeError>(())
//! ```

mod priority; // RFC 8048 §6.2
mod show; // RFC 8048 §6.2, RFC 3922 §5.1.5, RFC 4480 §3.2
mod state;

pub use crate::id::{device_name, tuple_id};
pub use priority::{from_pidf as xmpp_priority, to_pidf as contact_priority};
pub use show::Show;
pub use state::{DeviceState, States, vanished};
