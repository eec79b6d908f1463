//! Which servers and domains answer.

use adapter_api::{Hub, PeerState};
use impp_model::Domain;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the last try at each server and domain gave.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    states: BTreeMap<Domain, PeerState>,
    down_until: BTreeMap<SocketAddr, Instant>,
}

/// Domains and servers remembered.
const MAX_REMEMBERED: usize = 4096;

/// How long a server that did not answer is tried last.
const DOWN: Duration = Duration::from_secs(30);

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

    /// Notes that a server answers.
    pub(crate) fn up(&mut self, server: SocketAddr) {
        if !self.down_until.is_empty() {
            self.down_until.remove(&server);
        }
    }

    /// Notes that a server does not.
    pub(crate) fn down(&mut self, server: SocketAddr, now: Instant) {
        if self.down_until.len() >= MAX_REMEMBERED {
            self.down_until.clear();
        }
        self.down_until.insert(server, now + DOWN);
    }

    /// Whether a server is to be tried last.
    pub(crate) fn is_down(&self, server: SocketAddr, now: Instant) -> bool {
        self.down_until.get(&server).is_some_and(|until| *until > now)
    }
}
