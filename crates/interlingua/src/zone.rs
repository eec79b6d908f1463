//! Name service: a master file or the network.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use impp_resolve::Zone;

use crate::config::Dns;

/// Reads a master file.
pub(crate) fn read(path: &Path) -> Result<Zone> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Zone::parse(&text).with_context(|| format!("{} is no master file", path.display()))
}

/// Name service as `[dns]` says.
pub(crate) fn dns(config: &Dns) -> Result<Arc<dyn impp_resolve::Dns>> {
    match &config.zone_file {
        Some(path) => Ok(Arc::new(read(path)?)),
        None => anyhow::bail!("not yet"),
    }
}
