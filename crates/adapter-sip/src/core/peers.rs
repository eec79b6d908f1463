//! Which servers and domains answer.

use adapter_api::{Hub, PeerState};
use impp_model::Domain;
use impp_resolve::Reachability;
use std::collections::BTreeMap;

/// What the last try at each server and domain gave.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    states: BTreeMap<Domain, PeerState>,
    pub(crate) servers: Reachability,
}

/// Domains remembered.
const MAX_REMEMBERED: usize = 4096;

impl Peers {
    /// Notes whether `domain` could be reached, and tells the hub when that has changed.
    pub(crate) fn note(&mut self, hub: &Hub, domain: &Domain, state: PeerState) {
        if self.states.get(domain) == Some(&state) {
            return;
        }
        if self.states.len() >= MAX_REMEMBERED {
            self.states.clear();
        }
        self.states.insert(domain.clone(), state);
        match state {
            PeerState::Up => tracing::info!(instance = %hub.instance(), %domain, "answers"),
            PeerState::Down => tracing::warn!(instance = %hub.instance(), %domain, "does not answer"),
        }
        hub.peer_changed(domain.as_str(), state);
    }
}
