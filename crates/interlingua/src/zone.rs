//! Name service: a master file or the network.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use impp_resolve::Zone;
use transport::dane::{DnssecDns, SecureDns};
use transport::{DnsSettings, HickoryDns};

use crate::config::Dns;

/// Reads a master file.
pub(crate) fn read(path: &Path) -> Result<Zone> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Zone::parse(&text).with_context(|| format!("{} is no master file", path.display()))
}

/// Name service as `[dns]` says; to be called within a runtime.
pub(crate) fn dns(config: &Dns) -> Result<Arc<dyn impp_resolve::Dns>> {
    if let Some(path) = &config.zone_file {
        return Ok(Arc::new(read(path)?));
    }
    let dns = HickoryDns::new(&settings(config)).map_err(|error| {
        let remedy = error.remedy();
        anyhow::Error::new(error).context(format!("dns: {remedy}"))
    })?;
    Ok(Arc::new(dns))
}

/// Name service that checks signatures, where `[dns]` wants it; to be called within a runtime.
pub(crate) fn secure(config: &Dns) -> Result<Option<Arc<dyn SecureDns>>> {
    if !config.dnssec || config.zone_file.is_some() {
        return Ok(None);
    }
    let dns = DnssecDns::new(&settings(config), config.trust_anchor_file.as_deref()).context("dns.dnssec")?;
    Ok(Some(Arc::new(dns)))
}

fn settings(config: &Dns) -> DnsSettings {
    DnsSettings { nameservers: config.nameservers.clone(), ..DnsSettings::default() }
}
