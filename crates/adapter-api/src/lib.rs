//! What an adapter author needs: the [`Adapter`] trait, the [`Hub`] it talks to, and what passes between them.
//!
//! An adapter turns one protocol's wire into [`Operation`](model::Operation)s and back. It submits what arrives with [`Hub::submit`] and
//! carries out what the hub hands to [`Adapter::deliver`]. It never talks to another adapter.

mod capabilities;
mod configuration;
mod delivery;
pub mod duration;
mod examine;
mod hub;
mod pattern;
mod settle;
#[cfg(feature = "testkit")]
#[allow(clippy::wildcard_enum_match_arm, reason = "cases look for one kind of operation and pass over all others")]
pub mod testkit;
mod trunk;
mod users;

pub use capabilities::{
    Acknowledgement, Capabilities, Carries, FieldSupport, PresenceCapabilities, Repetition, SendsAs, TellsFailure,
};
pub use configuration::{Configuration, Context, DomainEntry, Problem, Role};
pub use delivery::{Delivery, Full, Hop, Target};
pub use examine::{Check, Examine, Finding, Findings, Verdict};
pub use hub::{
    AdapterState, Hub, HubCore, InstanceName, PeerState, Provenance, Shutdown, ShutdownTrigger, SourceProof, SpeaksFor,
    StateDone, TraceId,
};
pub use impp_model as model;
pub use impp_resolve::{Dns, Transport};
pub use pattern::{DomainPattern, PatternError};
pub use settle::{Keeper, Settle, Settlement, Token, settle_channel};
pub use transport::Tls;
pub use trunk::{Credentials, Registration, Trunk};
pub use users::UserChanges;

use async_trait::async_trait;

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// One protocol instance: a table `[adapter.NAME]` of the configuration.
#[async_trait]
pub trait Adapter: Send + Sync {
    /// What this protocol can carry; read by the hub, shown to operators, fixed for the life of the process.
    fn capabilities(&self) -> &Capabilities;

    /// Serves the network side until `shutdown`, submitting what arrives through `hub`.
    ///
    /// Called once. Returns after a clean end; an error ends the gateway's start, or later marks the adapter as failed.
    async fn run(&self, hub: Hub, shutdown: Shutdown) -> Result<(), AdapterError>;

    /// Takes one operation to carry out.
    ///
    /// Returns at once, keeps the order of calls, and settles the delivery exactly once, at the latest at its deadline.
    /// A delivery that is dropped unsettled is a failure to the hub, unconfirmed: it may have arrived, so it is kept and tried
    /// again, or its sender told. [`Full`] gives it back: the queue has no room.
    fn deliver(&self, delivery: Delivery) -> Result<(), Full>;

    /// A dry run of one operation, or a live probe of one peer: mapping, transport, TLS, acknowledgement, size path.
    async fn examine(&self, request: Examine) -> Findings;
}

/// Why an adapter could not be made, or stopped serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A listener could not be opened.
    #[error("cannot listen on {listen}")]
    Listen {
        /// As configured.
        listen: String,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// A configured value can't be used; `check` finds these before.
    #[error("{key}: {problem}")]
    Config {
        /// The key below `[adapter.NAME]`.
        key: String,
        /// What is wrong, with the remedy.
        problem: String,
    },
}
