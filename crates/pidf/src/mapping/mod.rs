//! Between PIDF and XMPP's presence (RFC 8048 §6, RFC 3922 §5.1 and §6.3), as pure functions and tables.
//!
//! What belongs to one adapter alone, such as stanza addresses and dialogs, is not here.

mod priority; // RFC 8048 §6.2
mod show; // RFC 8048 §6.2, RFC 3922 §5.1.5, RFC 4480 §3.2
mod state;

pub use crate::id::{device_name, tuple_id};
pub use priority::{from_pidf as xmpp_priority, to_pidf as contact_priority};
pub use show::Show;
pub use state::{DeviceState, States, vanished};
