//! Which protocol serves an address, and where: RFC 3861 with the native discovery of SIP and XMPP behind it.
//!
//! Nothing here sends a query: DNS is the [`Dns`] trait, random numbers and time are arguments.
//! A failure of DNS is never taken for the absence of a record.

mod dns; // RFC 1034 §3.6
mod lookup; // RFC 1034 §3.6.2
mod order; // RFC 2782
mod plan; // RFC 3861 §6
mod protocol; // RFC 3861 §8
mod reachability; // RFC 3263 §4.3
mod resolution;
mod resolve; // RFC 3861 §4
mod sip; // RFC 3263 §4
mod xmpp; // RFC 6120 §3.2, XEP-0368
mod zone; // RFC 1035 §5

pub use dns::{Answer, Dns, DnsError, DnsFailure, Name, NameError, Naptr, Record, RecordType, Srv};
pub use order::{Draw, order_by_weight};
pub use plan::Limits;
pub use protocol::{Protocol, ProtocolError, Service};
pub use reachability::Reachability;
pub use resolution::{Outcome, Reason, Resolution, Step, Target, Transport, TransportError, Via};
pub use resolve::{AliasCheck, Options, Resolver};
pub use sip::{SipLocation, locate_sip};
pub use xmpp::locate_xmpp;
pub use zone::{Zone, ZoneError, ZoneProblem};
