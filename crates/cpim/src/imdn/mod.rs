//! RFC 5438: disposition notifications (IMDN).

mod document; // RFC 5438 §11
mod headers; // RFC 5438 §6, §10
mod notify; // RFC 5438 §7.2, §12

pub use document::{Imdn, ImdnError, ImdnSubject, Notification, Status};
pub use headers::{Disposition, Dispositions, ImdnFault, ImdnHeaders};
pub use notify::{ImdnRequest, NotDue, Notice, Reported, forward};

/// The namespace of the headers (RFC 5438 §6.1).
pub const NAMESPACE: &str = "urn:ietf:params:imdn";
/// The namespace of the document's elements (RFC 5438 §11.1).
pub const XML_NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";
/// The media type of the document (RFC 5438 §11.1.8).
pub const MEDIA_TYPE: &str = "message/imdn+xml";
/// The prefix that is written, as in the examples of RFC 5438.
pub const PREFIX: &str = "imdn";
/// RFC 5438 §7.2.1.
pub const CONTENT_DISPOSITION: (&str, &str) = ("Content-Disposition", "notification");

/// Whether an entity is a disposition notification.
pub fn is_imdn(content: &crate::Entity<'_>) -> bool {
    content.is(MEDIA_TYPE)
}
