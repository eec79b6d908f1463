//! SIP/SIMPLE: MESSAGE over UDP and TCP (RFC 3261, RFC 3428, RFC 3581, RFC 7247, RFC 7572).

pub mod config; // the table [adapter.NAME]
pub mod ids; // RFC 3261 §8.1.1
pub mod mapping; // RFC 7247, RFC 7572

pub use config::Config;
