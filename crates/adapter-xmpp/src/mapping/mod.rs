//! The one mapping between XMPP and the common form: pure functions, both directions side by side.

pub mod address; // RFC 7247 §6
pub mod annotation; // XEP-0066, XEP-0308, XEP-0334, XEP-0380, XEP-0424, XEP-0444, XEP-0461
pub mod e2e; // RFC 3923
pub mod error; // RFC 7247 §7
pub(crate) mod hops; // XEP-0131
pub mod message; // RFC 7572, RFC 3922
pub mod presence; // RFC 8048 §6, RFC 3922 §5
pub mod signal; // XEP-0085, XEP-0184, XEP-0333
pub mod xhtml; // XEP-0071

pub use impp_model::Mapped;
