//! Whether the gateway can do its work.

use interwork::Core;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::LedgerError;

/// How it calls a ledger that takes nothing new.
const FULL: &str = "the ledger, which is full: see gateway.limits";
/// How it calls a store that can't be written to.
const STORE: &str = "the store, which cannot write: its disk is full, broken or too slow";

/// What has still to happen before the gateway is ready. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    awaited: Arc<Mutex<BTreeSet<String>>>,
}

impl Readiness {
    /// Adds something to wait for, as `listener sip`.
    pub fn awaits(&self, what: impl Into<String>) {
        self.awaited.lock().insert(what.into());
    }

    /// Takes it off the list.
    pub fn reached(&self, what: &str) {
        self.awaited.lock().remove(what);
    }

    /// What is still awaited.
    pub fn missing(&self) -> Vec<String> {
        self.awaited.lock().iter().cloned().collect()
    }

    /// What is still awaited, a store that works among it.
    pub(crate) fn reasons(&self, core: &Core) -> Vec<String> {
        let mut reasons = self.missing();
        reasons.extend(core.store_refusal().map(|refusal| {
            let full = matches!(refusal, LedgerError::Full { .. });
            if full { FULL } else { STORE }.to_owned()
        }));
        reasons
    }

    /// Whether nothing is awaited and the hub takes operations.
    pub fn is_ready(&self, core: &Core) -> bool {
        self.reasons(core).is_empty() && !core.is_draining()
    }
}
