//! What every XMPP stream has (RFC 6120 §4): headers, errors, the end tag.

mod error; // RFC 6120 §4.9
mod header; // RFC 6120 §4.7
mod wire; // RFC 6120 §4.3, §4.4

pub use error::{StreamCondition, StreamError};
pub use header::{StreamHeader, Version};
pub use wire::LinkError;
pub(crate) use wire::{End, Incoming, Phase, Wire, WireConfig, is_stanza_name};

/// Ends a stream whose prefix is `stream` (RFC 6120 §4.4).
pub const STREAM_END: &[u8] = b"</stream:stream>";
