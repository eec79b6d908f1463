//! The hub: takes operations from adapters, decides where they go and why, hands them on, and answers for them.
//!
//! Nothing here knows a wire protocol. The life of an operation (DESIGN A4) reads top to bottom in [`Core`]:
//! admission, routing, delivery, settlement. What can't be delivered at once goes on in `spool`.

mod admission; // RFC 3860 §3.4.1, steps 1 and 3
mod archive;
mod blocklist;
mod canary;
mod composing; // RFC 3994 §3.3, XEP-0085 §5.3
mod core; // RFC 3860 §3.4
mod counters;
mod deciding;
mod decisions;
mod dispatch;
mod dns;
mod ending;
mod explain;
mod flow;
mod inflight; // RFC 3860 §3.4.1: the answer follows the indication
mod journal;
mod live;
mod locate; // RFC 3861 §4, RFC 3263 §4, RFC 6120 §3.2
mod notice; // RFC 3860 §3.4.1: the indication that comes late
mod once;
mod onward;
mod order;
mod pace;
mod pace_book;
mod peers;
mod policy;
mod presence; // RFC 3859 §3.4
mod rates;
mod receipts; // RFC 5438 §7.2
mod retry;
mod routing; // RFC 3861 §4
mod rulebook;
mod setup;
mod spool;
mod sync;
#[cfg(test)]
mod testkit;
mod trace;
mod traces;
mod twins;
mod waiting;

pub use admission::Refusal;
pub use archive::{Archive, ArchiveEvent, Record, WhenAway};
pub use blocklist::{Blocklist, BlocklistError};
pub use canary::{CANARY, Canary, LastCanary};
pub use core::{Core, OTHER_PEERS};
pub use counters::{Counters, Direction, Histogram, OperationKey, PairKey};
pub use dns::{CountedDns, DnsCounts};
pub use explain::{Explanation, Probed, Sample};
pub use impp_resolve::Resolution;
pub use live::{Happening, MAX_VIEWERS, Missed, Passage, Viewer};
pub use peers::PeerProof;
pub use policy::{Action, Policy, Relay, Rule};
pub use presence::{PresenceLimits, Subscription, SubscriptionCounts};
pub use rates::RateLimits;
pub use routing::{Decision, Route, RoutingConfig, Via};
pub use rulebook::Rulebook;
pub use setup::{CoreConfig, DeliveryLimits, Instance, Storage};
pub use trace::{Event, Trace};
pub use traces::Traces;
