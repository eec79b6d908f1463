//! The one mapping between XMPP and the common form: pure functions, both directions side by side.

pub mod address; // RFC 7247 §6
pub mod e2e; // RFC 3923
pub mod error; // RFC 7247 §7
pub mod message; // RFC 7572, RFC 3922
pub mod presence; // RFC 8048 §6, RFC 3922 §5
pub mod xhtml; // XEP-0071

pub use impp_model::Mapped;
