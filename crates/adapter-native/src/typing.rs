//! When a user's composing ends without another word (RFC 3994 §3.3).

use adapter_api::{Hub, Provenance};
use cpim::composing::{DEFAULT_ACTIVE, MAX_ACTIVE};
use impp_model::{Address, ComposingOperation, ComposingState, Operation};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Conversations in which users of this instance compose at once.
const MAX_COMPOSING: usize = 4096;

/// Who composes for whom, each with the timer that ends it.
#[derive(Debug, Default)]
pub(crate) struct Typing(Arc<Mutex<Timers>>);

type Timers = BTreeMap<(Address, Address), AbortHandle>;

impl Typing {
    /// A user told a state; `composing` ends by itself.
    pub(crate) fn told(&self, told: &ComposingOperation, hub: &Hub, provenance: &Arc<Provenance>) {
        let conversation = (told.source.address.clone(), told.destination.address.clone());
        let mut timers = self.0.lock();
        if let Some(timer) = timers.remove(&conversation) {
            timer.abort();
        }
        if !told.state.is_composing() || timers.len() >= MAX_COMPOSING {
            return;
        }
        let after = told.refresh.unwrap_or(DEFAULT_ACTIVE).min(MAX_ACTIVE);
        let over = ComposingOperation { state: ComposingState::Active, refresh: None, ..told.clone() };
        let (hub, provenance, mine, shared) =
            (hub.clone(), Arc::clone(provenance), conversation.clone(), Arc::clone(&self.0));
        let timer = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            {
                let mut timers = shared.lock();
                // Another state may have come at this very moment.
                if timers.get(&mine).is_none_or(|timer| timer.id() != tokio::task::id()) {
                    return;
                }
                timers.remove(&mine);
            }
            // Nobody waits for what becomes of it.
            let _ = hub.submit_and_wait(Operation::Composing(Box::new(over)), provenance).await;
        });
        timers.insert(conversation, timer.abort_handle());
    }

    /// A message went: composing ended with it.
    pub(crate) fn ended(&self, source: &Address, destination: &Address) {
        if let Some(timer) = self.0.lock().remove(&(source.clone(), destination.clone())) {
            timer.abort();
        }
    }
}
