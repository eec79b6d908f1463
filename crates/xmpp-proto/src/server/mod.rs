//! Streams between servers (RFC 6120), both ends, with every way in which domains prove themselves.
//!
//! [`OutgoingStream`] is the server that connects, [`IncomingStream`] the one that accepts. Both perform no I/O and
//! read no clock. After every `handle_*` call and every command, drain `poll_output`, then re-arm from `poll_timeout`.
//!
//! A stream carries pairs of domains ([`Pair`]), each proven for itself; a stanza passes only under a proven pair.
//! The first pair is that of the stream's header, proven by SASL EXTERNAL or by dialback; further ones by dialback.
//! What certificates prove is judged by the caller after the handshake and handed in as [`PeerIdentity`].

mod config;
mod features; // RFC 6120 §4.3.2
mod identity; // RFC 6120 §13.7, RFC 6125 §6.4
mod incoming; // the receiving entity
mod inquiry; // RFC 6120 §4.3.2
mod link;
mod liveness; // RFC 6120 §4.6
mod outgoing; // the initiating entity
mod pairs; // XEP-0220 §1.3
mod session; // XEP-0198 §5

use bytes::Bytes;
use strict_xml::{Element, SharedStr};

pub use config::{
    MAX_AUTH_ATTEMPTS, MAX_KEY_BYTES, MAX_PAIRS, MAX_PENDING, PeerPolicy, ServerConfig, Times, UNPROVEN_BYTES,
};
pub use identity::PeerIdentity;
pub use incoming::{Entropy, IncomingStream};
pub use inquiry::{Inquiry, InquiryOutput, Offered};
pub use outgoing::{AuthorizeError, OutgoingStream, Purpose};
pub use pairs::{Pair, Proof};
pub use session::Session;

pub use crate::secret::Secret;
pub use crate::stream::LinkError;

use crate::dialback::DialbackCondition;
use crate::jid::Domain;
use crate::management::Token;
use crate::sasl::SaslCondition;

/// What a machine wants done or has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Octets for the peer, to be written in this order.
    Send(Bytes),
    /// Begin TLS on the connection, as client on an outgoing and as server on an incoming stream, once all octets are
    /// written; then call `handle_tls` or `handle_tls_failed`, and nothing else but timeouts before.
    StartTls,
    /// A peer that called says to be a server of this domain, which its certificate does not prove by itself: call
    /// [`IncomingStream::handle_vouched`] with what is found out. Until then the stream heeds nothing that it is fed.
    Vouch(Domain),
    /// Stanzas of the pair may flow.
    Proven {
        /// Which domains.
        pair: Pair,
        /// Which way.
        flow: Flow,
        /// How the peer is proven to be its end of the pair.
        by: Proof,
    },
    /// Stanzas of the pair may not be sent: XEP-0220 §2.1.1 has them returned to their senders.
    Refused {
        /// Which domains.
        pair: Pair,
        /// Why.
        reason: Refusal,
    },
    /// A key is to be verified: hand this to [`OutgoingStream::verify`] on a stream to the domain `pair.from`, and its
    /// verdict to [`IncomingStream::handle_verdict`] of this stream.
    Verify(Verification),
    /// The authoritative server's verdict, for the incoming stream of this id; dropped when that is gone.
    Verified {
        /// The question.
        question: Verification,
        /// Its answer.
        verdict: Verdict,
    },
    /// A message, presence or iq of a proven pair; its language is the stream's, if it had none of its own.
    Stanza {
        /// The stanza.
        element: Element,
        /// On managed streams: for `handle_settled`.
        number: Option<u64>,
    },
    /// A stanza of a proven pair that exceeds a limit other than that of octets, by its start tag alone: to be answered
    /// by `policy-violation`. One user's stanza does not end the stream of all.
    Excess {
        /// Its name and attributes.
        element: Element,
        /// On managed streams: for `handle_settled`.
        number: Option<u64>,
    },
    /// The stream is managed: stanzas sent from here on are told `Acked` or `Lost`.
    Managed {
        /// Whether it may be resumed after a break.
        is_resumable: bool,
    },
    /// The peer wants to go on with a session: call [`IncomingStream::handle_session`] at once.
    Resume {
        /// The session's [`id`](Session::id).
        id: SharedStr,
    },
    /// The session goes on, with the pairs it had; what was not acknowledged is sent again.
    Resumed {
        /// The session's [`id`](Session::id).
        id: SharedStr,
    },
    /// The peer waits for an acknowledgement: settle, by committing it, what is not.
    Settle,
    /// The peer has taken responsibility for the stanza.
    Acked(Token),
    /// The stanza was not acknowledged, and the stream will not go on: nobody knows whether it arrived.
    Lost(Token),
    /// The stream failed; `Closed` follows.
    Failed(StreamFailure),
    /// The stream is over: close the connection. Nothing follows. See `take_session`.
    Closed,
}

/// Which way the stanzas of a pair flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// To the peer.
    Sending,
    /// From the peer.
    Receiving,
}

/// What the connection is made of when the stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// A bare connection; STARTTLS may follow.
    Plain,
    /// XEP-0368: TLS was there from the start.
    Tls(PeerIdentity),
}

/// Whether a domain is who it says, by its dialback key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The domain to be verified, whose server is asked, and the one here that it wants to send to.
    pub pair: Pair,
    /// The id of the stream that the key came by.
    pub id: SharedStr,
    /// The key.
    pub key: SharedStr,
}

/// What became of a [`Verification`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The key is right.
    Valid,
    /// It is not.
    Invalid,
    /// There is no answer; `RemoteConnectionFailed` when nobody could be asked.
    Failed(DialbackCondition),
}

/// Why a pair may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The peer holds the key for forged.
    #[error("dialback key refused")]
    Invalid,
    /// The peer could not judge the key, or did not.
    #[error("dialback failed: {0}")]
    Dialback(DialbackCondition),
    /// No verdict came in time.
    #[error("no verdict within the time allowed")]
    Timeout,
    /// The stream ended before the verdict.
    #[error("stream ended before the verdict")]
    Ended,
}

/// Why a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFailure {
    /// What every stream may fail by.
    #[error(transparent)]
    Link(LinkError),
    /// TLS is required, and the peer does not do it.
    #[error("peer does not offer TLS")]
    NoTls,
    /// The handshake failed, or octets were mixed into it.
    #[error("TLS failed")]
    Tls,
    /// The peer's certificate does not prove its domain, and dialback may not serve.
    #[error("peer is not proven")]
    Unproven,
    /// The peer offers no way of proving ourselves that we may take.
    #[error("peer offers no authentication in common")]
    NoMechanism,
    /// The peer does not accept our certificate, and dialback may not serve.
    #[error("peer refused our certificate: {0}")]
    Sasl(SaslCondition),
}

/// Why a stanza was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The stream is not open, or closing.
    #[error("stream is not open")]
    NotOpen,
    /// Its domains are not proven on this stream.
    #[error("domains are not proven on this stream")]
    Unproven,
    /// Too many stanzas wait for acknowledgement.
    #[error("too many stanzas wait for acknowledgement")]
    Full,
}

/// Implements what both ends share, on a struct with a field `link` and a method `run`.
macro_rules! stream_common {
    ($name:ident) => {
        impl $name {
            /// Whether TLS protects the stream.
            pub fn is_encrypted(&self) -> bool {
                self.link.tls.is_some()
            }

            /// Whether the stream is acknowledged (XEP-0198); otherwise use [`barrier`](crate::barrier).
            pub fn is_managed(&self) -> bool {
                self.link.managed.is_some()
            }

            /// Whether the stream is over.
            pub fn is_closed(&self) -> bool {
                self.link.wire.phase() == $crate::stream::Phase::Closed
            }

            /// Whether one more stanza may be sent.
            pub fn has_room(&self) -> bool {
                self.link.has_room()
            }

            /// The proven pairs, with how the peer is proven.
            pub fn pairs(&self, flow: $crate::server::Flow) -> impl Iterator<Item = ($crate::server::Pair, Proof)> {
                self.link.pairs(flow).iter()
            }

            /// Stanzas received on a managed stream and not settled; who lets them grow stops reading.
            pub fn unsettled(&self) -> u64 {
                self.link.unsettled()
            }

            /// Takes octets from the peer.
            pub fn handle_bytes(&mut self, octets: &[u8], now: Instant) {
                self.link.push(octets, now);
                self.run(now);
            }

            /// The TLS handshake failed.
            pub fn handle_tls_failed(&mut self) {
                self.link.fail($crate::server::StreamFailure::Tls);
            }

            /// The connection ended.
            pub fn handle_eof(&mut self) {
                self.link.wire.handle_eof();
            }

            /// Sends a stanza whose domains are proven. On managed streams `token` comes back with its fate.
            pub fn send(
                &mut self,
                stanza: &strict_xml::Element,
                token: Option<$crate::management::Token>,
                now: Instant,
            ) -> Result<(), $crate::server::NotSent> {
                self.link.send(stanza, token, now)
            }

            /// Sends a stanza of a proven pair that is encoded already; on streams without management several in one piece.
            pub fn send_encoded(
                &mut self,
                pair: &$crate::server::Pair,
                octets: &[u8],
                token: Option<$crate::management::Token>,
                now: Instant,
            ) -> Result<(), $crate::server::NotSent> {
                self.link.send_encoded(pair, octets, token, now)
            }

            /// Ends the stream in order; what the peer still sends is yielded.
            pub fn close(&mut self, now: Instant) {
                self.link.close(now);
            }

            /// Ends the stream with an error, such as `system-shutdown` or `host-gone`.
            pub fn refuse(&mut self, error: $crate::stream::StreamError, now: Instant) {
                self.link.refuse(error, now);
            }
        }
    };
}

use stream_common;
