//! Server-to-server XMPP (RFC 6120): this gateway as the server of its local domains.
//!
//! The machines of [`xmpp_proto::server`] negotiate; one task owns them all (`core`), and each connection has one of its
//! own for octets and TLS (`connection`).

mod adapter;
mod config;
mod connection;
mod core;
mod probe;

pub use adapter::XmppServer;
pub use config::{Config, PeerTable};

use adapter_api::{Adapter, AdapterError, Context, InstanceName};
use std::sync::Arc;

/// Whether text names a next hop, as `xmpp:192.0.2.1:5269`.
pub fn is_next_hop(text: &str) -> bool {
    core::is_next_hop(text)
}

/// Makes the adapter of one table `[adapter.NAME]` with `type = "xmpp"`.
pub fn new(instance: InstanceName, config: Config, context: Context) -> Result<Arc<dyn Adapter>, AdapterError> {
    Ok(Arc::new(XmppServer::new(instance, &config, context)?))
}
