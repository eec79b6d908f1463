//! SIP/SIMPLE: MESSAGE over UDP, TCP, TLS and WebSocket (RFC 3261, RFC 3428, RFC 3581, RFC 5922, RFC 7118, RFC 7247, RFC 7572).

mod adapter;
pub mod config; // the table [adapter.NAME]
mod core; // RFC 3261 §8, §17, §18
pub mod ids; // RFC 3261 §8.1.1
pub mod mapping; // RFC 7247, RFC 7572
mod probe; // RFC 3261 §11
mod users; // RFC 3261 §22

pub use adapter::{SipAdapter, capabilities, new};
pub use config::Config;
pub use users::NextUsers;
