//! A toy line protocol over TCP: the worked example of an adapter, judged by the conformance kit like every other.

mod adapter; // what the hub calls, and how a delivery ends
mod config;
mod line; // the codec
mod link; // one connection
mod mapping; // lines to operations and back

pub use adapter::LineAdapter;
pub use config::Config;
pub use line::{Line, LineError};

use adapter_api::{Adapter, AdapterError, Context, InstanceName};
use std::sync::Arc;

/// Makes the adapter of one table `[adapter.NAME]`.
pub fn new(_: InstanceName, config: Config, _: Context) -> Result<Arc<dyn Adapter>, AdapterError> {
    Ok(Arc::new(LineAdapter::new(config)))
}
