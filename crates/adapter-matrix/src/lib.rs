//! Matrix: this gateway is an application service of one homeserver, and everybody elsewhere is a user of it there.
//!
//! Whoever writes to a Matrix user does so as a *ghost*, a user in the namespace that the homeserver has reserved for this
//! gateway, in a room of the two. `mapping` is pure; what a ghost does goes through `homeserver`, what users do comes
//! in by `service`.

mod adapter; // what the hub calls
mod arrive; // from a transaction of the homeserver to the hub
mod carry; // from the hub to the homeserver
mod config;
pub mod fuzz;
mod homeserver; // Matrix client-server API, as ghosts
mod mapping; // addresses, events, errors
mod pairs; // what waits, in order for each pair
mod presence; // whom ghosts are shown to
mod rooms; // which room is whose
mod service; // Matrix application service API

pub use adapter::MatrixAdapter;
pub use config::Config;

use adapter_api::{Adapter, AdapterError, Context, InstanceName};
use std::sync::Arc;

/// Makes the adapter of one table `[adapter.NAME]` with `type = "matrix"`; reads the token files.
pub fn new(instance: InstanceName, config: Config, _: Context) -> Result<Arc<dyn Adapter>, AdapterError> {
    Ok(Arc::new(MatrixAdapter::new(instance, config)?))
}
