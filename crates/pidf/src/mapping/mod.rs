//! Between PIDF and PRESENCE INFORMATION as the hub has it (RFC 8048 §6, RFC 3922 §5 and §6.3), as pure functions and tables.
//!
//! Who hears of one device at a time keeps a [`PresenceInfo`](impp_model::PresenceInfo) and writes all of it with
//! [`to_document`]; who gets a document reads it with [`to_info`], which lists what has no place there, and finds the devices
//! that are gone with [`PresenceInfo::vanished`](impp_model::PresenceInfo::vanished). Stanzas, requests and JSON are the
//! adapters': each has a module `mapping::presence` between its own form and these types.
//!
//! ```
//! use impp_model::{Address, Basic, Device, PresenceInfo, PresenceTuple, Show};
//! use pidf::mapping::{to_document, to_info};
//!
//! let juliet = Address::parse_bare("juliet@example.com").unwrap();
//! let balcony = PresenceTuple {
//!     show: Some(Show::Away),
//!     priority: Some(13),
//!     contact: Some("im:juliet@example.com".into()),
//!     ..PresenceTuple::new(Device::new("balcony").ok(), Basic::Open)
//! };
//! let info = PresenceInfo { tuples: vec![balcony], ..PresenceInfo::default() };
//! let document = to_document(&juliet, &info, None).encode()?;
//! let text = std::str::from_utf8(&document).unwrap();
//! assert!(text.contains(r#"<contact priority="0.102">im:juliet@example.com</contact>"#));
//!
//! let presence = pidf::parse(&document).unwrap().presence;
//! assert_eq!(to_info(&presence, None).value, info);
//! # Ok::<(), pidf::EncodeError>(())
//! ```

mod document; // RFC 8048 §6.2, RFC 3922 §5.1
mod info; // RFC 8048 §6.3, RFC 3922 §5.2
mod priority; // RFC 8048 §6.2
mod show; // RFC 8048 §6.2, RFC 3922 §5.1.5, RFC 4480 §3.2

pub use crate::id::{device_name, tuple_id};
pub use document::{to_cpp_document, to_document, to_tuple};
pub use info::{is_silent, of_tuple, to_info};
pub use priority::{from_pidf as xmpp_priority, to_pidf as contact_priority};
pub use show::{im_extension, show_activities, show_extension, show_of_activity, show_of_persons, show_of_status};
