//! The native protocol: messages and acknowledgements over HTTP, server-sent events and WebSocket, in JSON.
//!
//! A bearer token stands for one user. What its devices send goes to the hub; what the hub delivers is appended to
//! the user's event log, and counts as delivered when any device has acknowledged it. Every length, count and time is
//! bounded. [`mapping`] is pure and serves `translate`, too; [`client`] is the other end, for the shell and the demo.

mod adapter; // RFC 3860 §3.1: deliveries to native users
mod capabilities;
pub mod client;
mod config;
mod deadlines;
mod http; // RFC 9112, RFC 6750, RFC 6455, WHATWG server-sent events
mod mailbox;
pub mod mapping; // RFC 3860 §3.1
mod typing; // RFC 3994 §3.3
mod users; // RFC 6750
mod window;
pub mod wire; // the JSON documents

pub use adapter::{NativeAdapter, NextUsers};
pub use config::{Config, Limits, Secret, TokenError, UserConfig};

use adapter_api::{AdapterError, Context, InstanceName};
use std::sync::Arc;

/// Makes the adapter of one table `[adapter.NAME]` with `type = "native"`; reads the token files.
pub fn new(instance: InstanceName, config: Config, context: Context) -> Result<Arc<NativeAdapter>, AdapterError> {
    Ok(Arc::new(NativeAdapter::new(instance, config, context)?))
}
