//! SIP requests, URIs and status codes as operations, addresses and failures, and back: pure functions.

pub mod address; // RFC 7247 §6
pub mod content; // RFC 7572 §7, RFC 3261 §7.4
pub mod cpim; // RFC 3862, RFC 5438
pub mod error; // RFC 7247 §7
pub mod message; // RFC 7572 §4, §5, RFC 3428
pub mod presence; // RFC 3856, RFC 8048 §6
pub mod signal; // RFC 3994, RFC 5438
pub mod thread; // RFC 7572 §4, RFC 3261 §25.1

/// What came of a mapping, with the fields of the model that did not arrive whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped<T> {
    /// The result.
    pub value: T,
    /// Fields that arrived in a poorer form.
    pub degraded: Vec<&'static str>,
    /// Fields that did not arrive.
    pub dropped: Vec<&'static str>,
}

impl<T> Mapped<T> {
    /// A result without losses.
    pub fn whole(value: T) -> Self {
        Self { value, degraded: Vec::new(), dropped: Vec::new() }
    }
}
