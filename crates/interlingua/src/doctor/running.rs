//! The doctor of a gateway that runs.

use std::sync::Arc;

use async_trait::async_trait;
use impp_model::domain::Domain;
use impp_resolve::Dns;
use parking_lot::Mutex;
use serde_json::{Value, json};
use transport::Tls;

use super::{Patient, examine};
use crate::reload::Reloader;

/// Looks at the gateway that it belongs to, for one caller at a time, and remembers what it found.
pub(crate) struct Practice {
    reloader: Arc<Reloader>,
    tls: Arc<Tls>,
    dns: Arc<dyn Dns>,
    /// Held while it looks.
    busy: tokio::sync::Mutex<()>,
    last: Mutex<Value>,
}

impl Practice {
    pub(crate) fn new(reloader: Arc<Reloader>, tls: Arc<Tls>, dns: Arc<dyn Dns>) -> Self {
        Self { reloader, tls, dns, busy: tokio::sync::Mutex::default(), last: Mutex::default() }
    }
}

#[async_trait]
impl ops::Doctor for Practice {
    fn last(&self) -> Value {
        self.last.lock().clone()
    }

    async fn examine(&self, domains: Vec<Domain>) -> Option<Value> {
        let _busy = self.busy.try_lock().ok()?;
        let config = self.reloader.running();
        let (core, tls, dns) = (self.reloader.core(), &*self.tls, &*self.dns);
        let patient = Patient { config: &config, core, tls, dns, runs: true };
        let report = examine(&patient, &domains, |_| {}).await;
        // Its parts can all be written as JSON.
        let mut report = serde_json::to_value(report).unwrap_or_default();
        if let Some(fields) = report.as_object_mut() {
            let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            fields.insert("gateway".to_owned(), json!(config.gateway.name));
            fields.insert("at".to_owned(), json!(at.as_secs()));
        }
        self.last.lock().clone_from(&report);
        Some(report)
    }
}
