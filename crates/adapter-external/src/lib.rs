//! Adapters in other processes and languages: the contract of [`adapter_api`] over one gRPC stream.
//!
//! [`ExternalAdapter`] is the gateway's side: it listens on a Unix socket or for mutual TLS, may start and supervise the process,
//! and stands in the hub as any other adapter does. [`client`] is the other side for adapters in Rust. The schema is `proto/`; [`mapping`] is pure.

mod adapter; // what the hub calls
pub mod client; // the other side, in Rust
mod config;
mod connection; // one stream
mod dial; // how an adapter reaches its gateway
mod flow; // numbers, credits, resumption
mod kept; // records, counted
mod link; // one connection
mod listen; // the socket, or mutual TLS
pub mod mapping; // schema to model and back
mod process; // the process that the gateway starts
mod reader; // what comes over a stream
mod reason;
mod session; // what outlives a connection

pub use adapter::ExternalAdapter;
pub use config::Config;
pub use dial::{Dial, DialError};
pub use reason::Reason;

use adapter_api::{Adapter, AdapterError, Context, InstanceName};
use std::sync::Arc;

/// The schema as Rust types.
#[allow(missing_docs, clippy::all, reason = "generated; the schema explains itself")]
pub mod wire {
    tonic::include_proto!("interlingua.adapter.v1");
}

/// The version of the schema.
pub const VERSION: u32 = 1;

/// The longest frame in octets: a message of 64 KB in several forms, with an object beside it.
pub const MAX_FRAME: usize = 1024 * 1024;

/// How many heartbeats may fail to come, to either side.
const MISSED_BEATS: u32 = 3;

/// Makes the adapter of one table `[adapter.NAME]` with `type = "external"`; reads the file of capabilities.
pub fn new(instance: InstanceName, config: Config, context: Context) -> Result<Arc<dyn Adapter>, AdapterError> {
    Ok(Arc::new(ExternalAdapter::new(instance, config, context.tls)?))
}
