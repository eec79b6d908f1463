//! What a server is and demands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strict_xml::Limits;

use crate::jid::Domain;
use crate::management::ManagementConfig;
use crate::secret::Secret;

/// This server, as all its streams see it; shared between them.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// RFC 6120 §4.9.1.3: the name in the header to those who ask for a domain that is not served.
    pub name: Domain,
    /// The domains served here; no peer may speak for them.
    pub hosts: BTreeSet<Domain>,
    /// Whether a certificate is at hand, so that STARTTLS can be offered.
    pub starttls: bool,
    /// XEP-0185: makes dialback keys, the same on all machines that serve these domains; none does without dialback.
    pub dialback_secret: Option<Secret>,
    /// Whether streams may be used both ways (XEP-0288).
    pub bidi: bool,
    /// Stream management (XEP-0198); none does without.
    pub management: Option<ManagementConfig>,
    /// Whether something else than its certificate may vouch for a peer that called, as DNSSEC does (RFC 7712 §5.1): then
    /// [`Output::Vouch`](super::Output::Vouch) asks.
    pub vouching: bool,
    /// What holds for peers not listed in `peers`.
    pub policy: PeerPolicy,
    /// What holds for single domains.
    pub peers: BTreeMap<Domain, PeerPolicy>,
    /// Patience.
    pub times: Times,
    /// Bounds on one element once the peer is proven; before, [`UNPROVEN_BYTES`].
    pub limits: Limits,
}

/// What is demanded of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Nothing but STARTTLS goes in clear.
    pub require_tls: bool,
    /// A peer whose certificate proves nothing may be proven by dialback; ours to it likewise.
    pub dialback: bool,
}

impl Default for PeerPolicy {
    /// RFC 7590 §3: TLS, and proof by certificate or, where that fails, by dialback.
    fn default() -> Self {
        Self { require_tls: true, dialback: true }
    }
}

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From connection to the first proven pair of domains.
    pub open: Duration,
    /// From a dialback key to the verdict.
    pub dialback: Duration,
    /// From our end tag to the peer's.
    pub close: Duration,
    /// After this long without a sign of the peer it is asked for one; none never asks.
    pub keepalive: Option<Duration>,
    /// From asking to giving up.
    pub answer: Duration,
    /// After this long without a stanza the stream is closed; none keeps it.
    pub idle: Option<Duration>,
}

impl Times {
    /// Two handshakes and a dialback over satellites and sleepy servers; a slow peer holds a connection no longer.
    pub const OPEN: Duration = Duration::from_secs(60);
    /// The authoritative server may have to be looked up and connected to.
    pub const DIALBACK: Duration = Duration::from_secs(40);
    /// Enough for a peer to finish writing.
    pub const CLOSE: Duration = Duration::from_secs(5);
    /// Shorter than the idle limits of middleboxes, commonly five minutes.
    pub const KEEPALIVE: Duration = Duration::from_secs(60);
    /// As long as other answers may take.
    pub const ANSWER: Duration = crate::management::ACK_TIMEOUT;
    /// Other servers close after five minutes to an hour.
    pub const IDLE: Duration = Duration::from_secs(30 * 60);
}

impl Default for Times {
    fn default() -> Self {
        Self {
            open: Self::OPEN,
            dialback: Self::DIALBACK,
            close: Self::CLOSE,
            keepalive: Some(Self::KEEPALIVE),
            answer: Self::ANSWER,
            idle: Some(Self::IDLE),
        }
    }
}

/// Octets of one element of a peer that has proven nothing: RFC 6120 §13.12 allows no less.
pub const UNPROVEN_BYTES: usize = Limits::MIN_BYTES;

/// Pairs of domains that one stream may carry in one direction, proven or being proven: more than any host has.
pub const MAX_PAIRS: usize = 1024;

/// Pairs of one incoming stream that are being verified: each may cost a look-up and a connection.
pub const MAX_PENDING: usize = 32;

/// Attempts at SASL on one stream: RFC 6120 §6.4.5 asks for two at least and five at most.
pub const MAX_AUTH_ATTEMPTS: u32 = 2;

/// Octets of a dialback key: four times the one of XEP-0185.
pub const MAX_KEY_BYTES: usize = 256;

impl ServerConfig {
    /// A server that demands and offers everything; without dialback until a secret is set.
    pub fn new(name: Domain, hosts: impl IntoIterator<Item = Domain>) -> Self {
        Self {
            name,
            hosts: hosts.into_iter().collect(),
            starttls: true,
            dialback_secret: None,
            bidi: true,
            management: Some(ManagementConfig::default()),
            vouching: false,
            policy: PeerPolicy::default(),
            peers: BTreeMap::new(),
            times: Times::default(),
            limits: Limits::default(),
        }
    }

    /// What is demanded of a domain; of one that is not known yet, what is demanded of all others.
    pub fn policy_for(&self, peer: Option<&Domain>) -> PeerPolicy {
        peer.and_then(|peer| self.peers.get(peer)).copied().unwrap_or(self.policy)
    }

    /// Whether dialback may serve with this peer.
    pub(super) fn dialback_with(&self, peer: Option<&Domain>) -> Option<&Secret> {
        self.dialback_secret.as_ref().filter(|_| self.policy_for(peer).dialback)
    }
}
