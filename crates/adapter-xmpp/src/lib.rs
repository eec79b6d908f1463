//! XMPP: this gateway as a component of an existing server (XEP-0114), or as a server among servers ([`server`]).
//!
//! [`mapping`] turns stanzas into operations and back, by pure functions. The link under it coalesces what it writes
//! and lets the addressee's server prove each message by a barrier ([`xmpp_proto::barrier`]).

mod adapter;
mod capabilities;
mod config;
mod link; // XEP-0114, RFC 6120 §4
pub mod mapping; // RFC 7247, RFC 7572
mod presence; // RFC 6121 §3, §4, RFC 8048
mod queue;
pub mod server; // RFC 6120, XEP-0220, XEP-0198
mod timers;

pub use adapter::XmppComponent;
pub use capabilities::FIELDS;
pub use config::{Acknowledge, Config, Limits, SecretText};

use adapter_api::{Adapter, AdapterError, Context, InstanceName};
use std::sync::Arc;

/// Makes the adapter of one table `[adapter.NAME]` with `type = "xmpp-component"`; reads the secret's file.
pub fn new(instance: InstanceName, config: Config, context: Context) -> Result<Arc<dyn Adapter>, AdapterError> {
    Ok(Arc::new(XmppComponent::new(instance, &config, context)?))
}
