//! SIP syntax and transactions, without I/O.
//!
//! Bytes in, typed views and bytes out: nothing here owns a socket, a timer or a task. A [`message::Message`] is one
//! buffer and an index of spans; what a header means is parsed when it is asked for.
//!
//! Input is judged in three steps, each with its own error: [`framer`] cuts octets into messages, [`message`] accepts
//! the structure, [`message::Message::verify`] accepts the headers. What fails can still be answered through
//! [`message::Salvage`]. Then [`uas`] applies the policy of an element that answers requests.

/// RFC 3261 §7.3.1, §20: header field names and their compact forms.
pub mod header_id;
/// Bounds on what a peer may make us keep; local, not from a specification.
pub mod limits;
/// RFC 3261 §7.1: request methods, with those of RFC 3428, 3903, 6665 and others.
pub mod method;
/// RFC 3261 §7.2, §21: status codes and their reason phrases.
pub mod status;

/// RFC 3261 §19.1: SIP and SIPS URIs; RFC 3986 §3: other schemes; RFC 7247 §6: escapes of user parts.
pub mod uri;

/// RFC 3261 §20: typed header fields; RFC 3581 §3: `rport`.
pub mod header;

/// RFC 3261 §7: messages.
pub mod message;

/// RFC 3261 §8.1.1, §8.2.6: writing requests and responses.
pub mod build;

/// RFC 3261 §18.3: framing of datagrams and streams; RFC 5626 §3.5.1: keep-alives.
pub mod framer;

/// RFC 3261 §8.2: what a user agent server checks, in order.
pub mod uas;

/// RFC 3261 §22, RFC 7616, RFC 8760: digest authentication.
pub mod digest;

/// RFC 3261 §17.1.2, §17.2.2, RFC 4320: non-INVITE transactions.
pub mod transaction;

/// RFC 6665: what notifiers and subscribers decide.
pub mod event;

/// Entry points for fuzzing: each takes any octets and must return.
pub mod fuzz;

mod grammar;
