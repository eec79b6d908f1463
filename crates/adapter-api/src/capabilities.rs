//! What a protocol can carry, as data.

use impp_model::{Kind, domain::Domain};
use impp_resolve::Transport;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What one adapter instance can do; differences between protocols are values here, never optional traits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Capabilities {
    /// The protocol's name, as `sip`, `xmpp`, `native`.
    pub protocol: Cow<'static, str>,
    /// Its RFC 3861 label, as `_sip`; none for protocols without one.
    pub srv_label: Option<Cow<'static, str>>,
    /// Whether it reaches everybody over links of its own, so that there is nothing to discover in DNS.
    pub standing_link: bool,
    /// Whether it keeps [`Delivery::proven_only`](crate::Delivery::proven_only), whatever way it takes. What others send
    /// goes only by ways that begin with TLS where that is wanted.
    #[serde(default)]
    pub proves_peers: bool,
    /// What it can send over, best first: discovery looks for these alone. For XMPP TLS means from the first octet on.
    pub transports: Vec<Transport>,
    /// The kinds of operation it carries.
    pub kinds: Vec<Kind>,
    /// Whom it can speak as on the wire.
    pub sends_as: SendsAs,
    /// Who confirms what it sends.
    pub acknowledgement: Acknowledgement,
    /// The same for the peers whose configuration differs.
    pub acknowledgement_of: BTreeMap<Domain, Acknowledgement>,
    /// Whether a sender on this side waits for an answer to each message (SIP, native) or not (XMPP).
    pub answers_each: bool,
    /// Whether peers repeat what was not confirmed when a link breaks.
    pub repetition: Repetition,
    /// When a sender on this side is told of a failure in the protocol's own form; else by a text message from the gateway.
    pub tells_failure: TellsFailure,
    /// The schemes of [`Sealed`](impp_model::Sealed) content it carries as they are; messages sealed otherwise are refused.
    pub seals: Vec<Cow<'static, str>>,
    /// The largest content it carries in octets, where there is such a limit.
    pub max_content: Option<usize>,
    /// How presence works there; none where it is not carried.
    pub presence: Option<PresenceCapabilities>,
    /// Each field of an INSTANT MESSAGE and how it fares.
    pub fields: Vec<FieldSupport>,
}

impl Capabilities {
    /// Whether operations of this kind are carried.
    pub fn carries(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Who confirms what is sent to `peer`.
    pub fn acknowledgement_of(&self, peer: &Domain) -> Acknowledgement {
        self.acknowledgement_of.get(peer).copied().unwrap_or(self.acknowledgement)
    }
}

/// How presence works in a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceCapabilities {
    /// Whether a subscription to a PRESENTITY there must be refreshed (SIP) or lasts until it is cancelled (XMPP).
    pub refreshed: bool,
    /// Whether its PRESENTITIES publish to the gateway, which answers WATCHERS for them (native), or notify each WATCHER.
    pub publishes: bool,
    /// Whether its WATCHERS are told of one device at a time (XMPP) rather than of all at once (PIDF).
    pub devices: bool,
    /// Whether its WATCHERS should be looked for before a subscription is refreshed for them (RFC 8048 §8.1).
    pub checked: bool,
}

/// How one field fares on the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSupport {
    /// The field's name in the model.
    pub field: Cow<'static, str>,
    /// What becomes of it.
    pub support: Carries,
    /// How, in a few words; empty when there is nothing to say.
    pub note: Cow<'static, str>,
}

impl FieldSupport {
    /// One row of the table; `const`, so that an adapter's README can be checked against it.
    pub const fn new(field: &'static str, support: Carries, note: &'static str) -> Self {
        Self { field: Cow::Borrowed(field), support, note: Cow::Borrowed(note) }
    }
}

/// Whether a field arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carries {
    /// Whole.
    Carried,
    /// In a poorer form.
    Degraded,
    /// Not at all.
    Dropped,
}

/// Whom an instance can name as the source on its wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendsAs {
    /// Anybody.
    Anyone,
    /// Users of these domains only: the far side would close the link over any other.
    Domains(Vec<Domain>),
}

impl SendsAs {
    /// Whether a user of `domain` can be the source.
    pub fn allows(&self, domain: &Domain) -> bool {
        match self {
            Self::Anyone => true,
            Self::Domains(domains) => domains.contains(domain),
        }
    }
}

/// When a protocol has a form of its own for word of a late failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TellsFailure {
    /// Always (XMPP's error stanzas).
    Always,
    /// When the message asked for it (IMDN's negative-delivery).
    WhenAsked,
    /// Never.
    Never,
}

/// Who confirms what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledgement {
    /// The far side's final answer to each message.
    Answer,
    /// An IQ that the addressee's server must answer in order (DESIGN A5).
    Barrier,
    /// The addressee's device.
    Device,
    /// Nobody: an operator chose so for this peer.
    None,
}

/// Whether the peers of a link send again what was not confirmed (DESIGN A5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repetition {
    /// Always: each message has an answer, or its sender keeps it.
    Repeatable,
    /// Those that use stream management (XEP-0198); links of the others are `unrepeatable`.
    WhereManaged,
    /// Never: what a crash finds in memory is lost.
    Unrepeatable,
}
