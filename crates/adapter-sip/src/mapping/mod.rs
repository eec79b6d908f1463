//! SIP requests, URIs and status codes as operations, addresses and failures, and back: pure functions.

pub mod address; // RFC 7247 §6
pub mod content; // RFC 7572 §7, RFC 3261 §7.4
pub mod cpim; // RFC 3862, RFC 5438
pub mod error; // RFC 7247 §7
pub mod message; // RFC 7572 §4, §5, RFC 3428
pub mod presence; // RFC 3856, RFC 8048 §6
pub mod signal; // RFC 3994, RFC 5438
pub mod thread; // RFC 7572 §4, RFC 3261 §25.1

pub use ::cpim::mapping::sealed; // RFC 3261 §23, RFC 3862 §5
pub use impp_model::Mapped;
