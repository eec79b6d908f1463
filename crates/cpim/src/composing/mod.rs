//! RFC 3994: who is composing a message.

mod composer; // RFC 3994 §3.2
mod document; // RFC 3994 §6
mod watch; // RFC 3994 §3.3

pub use composer::{Composer, ComposerConfig};
pub use document::{IsComposing, IsComposingError, State};
pub use watch::{Change, ComposingWatch};

use std::time::Duration;

/// The namespace of the document (RFC 3994 §6).
pub const XML_NAMESPACE: &str = "urn:ietf:params:xml:ns:im-iscomposing";
/// The media type of the document (RFC 3994 §8.1).
pub const MEDIA_TYPE: &str = "application/im-iscomposing+xml";
/// RFC 3994 §3.2: no refresh interval should be shorter.
pub const MIN_REFRESH: Duration = Duration::from_secs(60);
/// RFC 3994 §3.3: how long "active" holds without a refresh interval.
pub const DEFAULT_ACTIVE: Duration = Duration::from_secs(120);
/// RFC 3994 §3.2: how long after the last key "active" ends, unless configured.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(15);
/// A local limit: how long "active" holds at most, whatever interval a peer promises that may have crashed since.
pub const MAX_ACTIVE: Duration = Duration::from_secs(3600);
