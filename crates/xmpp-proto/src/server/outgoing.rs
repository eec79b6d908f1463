//! The server that connects.

use std::sync::Arc;
use std::time::Instant;

use strict_xml::{Element, SharedStr, XmlWriter};

use super::features::Features;
use super::link::{Link, unproven};
use super::pairs::{Pair, Proof};
use super::{
    Flow, Output, PeerIdentity, Refusal, Security, ServerConfig, Session, StreamFailure, Verdict, stream_common,
};
use crate::dialback::{DialbackCondition, Packet};
use crate::jid::Domain;
use crate::ns;
use crate::sasl;
use crate::stream::{Incoming, Phase, StreamCondition, StreamError, StreamHeader, Version};

mod dialback; // XEP-0220 §2.1
mod management; // XEP-0198
mod verify; // XEP-0220 §2.1.2

use verify::Questions;

/// What an outgoing stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Stanzas of its pair; verifications, too.
    Stanzas,
    /// Verifications alone: nothing is proven, and the stream is closed after the last verdict (XEP-0220 §2.1.2).
    Verification,
}

/// Why a further pair is not asked for on this stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// The stream is not negotiated yet, or closing.
    #[error("stream is not open")]
    NotOpen,
    /// The peer has no dialback, or none may serve with it.
    #[error("no dialback with this peer")]
    NoDialback,
    /// XEP-0220 §2.6.2: another target is for peers that know dialback errors.
    #[error("peer does not know dialback errors")]
    NoErrors,
    /// The peer is not proven to be this target, and nothing but a certificate will do.
    #[error("peer is not proven to serve the domain")]
    Unproven,
    /// [`MAX_PAIRS`](super::MAX_PAIRS).
    #[error("too many pairs on this stream")]
    Full,
}

/// A stream to another server.
///
/// Performs no I/O and reads no clock. After every `handle_*` call and every command, drain
/// [`poll_output`](Self::poll_output), then re-arm from [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct OutgoingStream {
    link: Link,
    pair: Pair,
    purpose: Purpose,
    state: State,
    /// The peer's name for the stream.
    id: SharedStr,
    /// What is wrong with the peer's header, unless a stream error follows.
    header_fault: Option<StreamCondition>,
    /// RFC 6120 §4.7.5: whether the peer sends features.
    has_features: bool,
    features: Features,
    is_authenticated: bool,
    /// The receiver refused our certificate, for this reason.
    sasl_refusal: Option<sasl::SaslCondition>,
    /// The first pair was refused: when no question is open, the stream is of no use.
    is_refused: bool,
    /// To be resumed, once authenticated.
    session: Option<Session>,
    questions: Questions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Our header is sent.
    Header,
    /// The peer's came.
    Features,
    /// `<starttls/>` is sent.
    Proceed,
    /// TLS has the connection.
    Handshake,
    /// `<auth/>` is sent.
    Sasl,
    /// The key of the first pair is sent.
    Dialback,
    /// `<enable/>` or `<resume/>` is sent.
    Management,
    /// Negotiated.
    Ready,
}

stream_common!(OutgoingStream);

impl OutgoingStream {
    /// Begins on a fresh connection to a server of `pair.to`; the header is the first output.
    pub fn new(config: Arc<ServerConfig>, pair: Pair, purpose: Purpose, security: Security, now: Instant) -> Self {
        let mut stream = Self {
            link: Link::new(config, security, now),
            pair,
            purpose,
            state: State::Header,
            id: SharedStr::EMPTY,
            header_fault: None,
            has_features: false,
            features: Features::default(),
            is_authenticated: false,
            sasl_refusal: None,
            is_refused: false,
            session: None,
            questions: Questions::default(),
        };
        stream.begin(now);
        stream
    }

    /// Begins in order to resume a session; if the peer has forgotten it, what was not acknowledged is told as lost and
    /// a new stream goes on.
    pub fn resuming(config: Arc<ServerConfig>, session: Session, security: Security, now: Instant) -> Self {
        let pair = session.pair.clone();
        let mut stream = Self::new(config, pair, Purpose::Stanzas, security, now);
        if session.is_initiator {
            stream.session = Some(session);
        } else {
            stream.forget_session(session);
        }
        stream
    }

    /// The pair of the stream's header.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Whether the peer took our certificate (SASL EXTERNAL), so that dialback was of no use to it.
    pub fn is_external(&self) -> bool {
        self.is_authenticated
    }

    /// Whether a key can be asked about here: the stream neither ends nor has ended.
    pub fn takes_questions(&self) -> bool {
        matches!(self.link.wire.phase(), Phase::Opening | Phase::Open)
    }

    /// By which name the stream may be resumed elsewhere, if it may, or is being resumed.
    pub fn session_name(&self) -> Option<&str> {
        let managed = || self.link.managed.as_ref()?.id.as_deref();
        self.session.as_ref().map(Session::id).or_else(managed)
    }

    /// The fate of a received stanza is ours: delivered, answered by an error, or kept durably; of one that came before the
    /// break, too, when the stream is to be resumed.
    pub fn handle_settled(&mut self, number: u64, now: Instant) {
        match &mut self.session {
            Some(session) => session.handle_settled(number),
            None => self.link.handle_settled(number, now),
        }
    }

    /// The TLS handshake is done, with this peer.
    pub fn handle_tls(&mut self, identity: PeerIdentity, now: Instant) {
        if self.state == State::Handshake {
            self.link.handle_tls(identity, now);
            self.begin(now);
        }
    }

    /// The time asked for by [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(pair) = self.link.sending.overdue(now) {
            self.refused(pair, Refusal::Timeout, now);
        }
        while let Some(question) = self.questions.overdue(now) {
            self.verified(question, Verdict::Failed(DialbackCondition::RemoteServerTimeout), now);
        }
        self.link.handle_timeout(now);
    }

    /// What can be resumed of the stream, once; a living one ends by it. Ask after `Closed`.
    pub fn take_session(&mut self, now: Instant) -> Option<Session> {
        match self.session.take() {
            Some(waiting) => {
                self.link.close(now);
                Some(waiting)
            }
            None => self.link.take_session(&self.pair, true, now),
        }
    }

    /// What is to be done next; `None` until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.is_closed() {
            // XEP-0220 §2.1.2: what was not answered has failed.
            let verdict = Verdict::Failed(DialbackCondition::RemoteServerTimeout);
            let open = self.questions.take();
            self.link.events.extend(open.map(|question| Output::Verified { question, verdict }));
        }
        self.link.poll_output()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let questions = self.questions.next_deadline().filter(|_| !self.is_closed());
        [questions, self.link.poll_timeout()].into_iter().flatten().min()
    }

    fn begin(&mut self, now: Instant) {
        let header = StreamHeader {
            // RFC 6120 §4.7.1, §4.7.2: both, before TLS and after.
            from: Some(SharedStr::copy(self.pair.from.as_str())),
            to: Some(SharedStr::copy(self.pair.to.as_str())),
            version: Some(Version::V1_0),
            ..StreamHeader::default()
        };
        self.link.wire.send_header(&header, now);
        self.state = State::Header;
    }

    fn run(&mut self, now: Instant) {
        while !self.link.in_handshake
            && let Some(incoming) = self.link.wire.next(now)
        {
            match incoming {
                Incoming::Header(_) if self.link.wire.phase() == Phase::Closing => {}
                Incoming::Header(header) => self.handle_header(&header, now),
                Incoming::Element(element) => self.handle_element(element, now),
                Incoming::Excess(tag) => self.link.excess(tag, now),
                Incoming::Close => self.link.wire.peer_closed(),
            }
        }
        self.link.acknowledge(now);
    }

    fn handle_header(&mut self, header: &StreamHeader, now: Instant) {
        self.id = header.id.clone().unwrap_or_default();
        let from = header.from.as_deref().map(Domain::parse);
        self.header_fault = if self.id.is_empty() {
            Some(StreamCondition::BadFormat)
        } else {
            // RFC 6120 §4.7.1: the peer answers under the name that it was called by.
            from.filter(|from| from.as_ref() != Ok(&self.pair.to)).map(|_| StreamCondition::InvalidFrom)
        };
        self.has_features = header.version.is_some_and(|version| version >= Version::V1_0);
        self.features = Features::default();
        self.state = State::Features;
        if !self.has_features && self.header_fault.is_none() {
            self.negotiate(now);
        }
    }

    fn handle_element(&mut self, element: Element, now: Instant) {
        if StreamError::is_error(&element) {
            return self.link.wire.peer_error(StreamError::read(&element));
        }
        // COMPAT Prosody 0.12: a header without id, or under another name, may stand before the error that explains it.
        if let Some(fault) = self.header_fault {
            return self.link.wire.refuse(fault.into(), now);
        }
        if self.link.wire.phase() == Phase::Closing {
            return self.link.late(element, now);
        }
        match (element.name.as_str(), element.ns.as_str()) {
            ("features", ns::STREAMS) if self.state == State::Features && self.has_features => {
                self.features = Features::read(&element);
                self.negotiate(now);
            }
            ("proceed", ns::TLS) if self.state == State::Proceed => {
                self.state = State::Handshake;
                self.link.start_tls();
            }
            ("failure", ns::TLS) if self.state == State::Proceed => self.link.fail(StreamFailure::NoTls),
            ("success", ns::SASL) if self.state == State::Sasl => {
                // RFC 6120 §6.4.6: a new stream follows.
                self.is_authenticated = true;
                self.link.wire.restart();
                self.begin(now);
            }
            ("failure", ns::SASL) if self.state == State::Sasl => {
                // XEP-0178 §3: dialback may follow.
                self.sasl_refusal = Some(sasl::read_failure(&element));
                self.authenticate(now);
            }
            (_, ns::DIALBACK) if self.link.config.dialback_secret.is_some() => self.handle_packet(&element, now),
            (_, ns::MANAGEMENT) => self.handle_nonza(&element, now),
            _ => self.link.stanza(element, now),
        }
    }

    /// Goes on after the features, or without them where there are none.
    fn negotiate(&mut self, now: Instant) {
        let policy = self.link.config.policy_for(Some(&self.pair.to));
        if self.link.tls.is_none() {
            // RFC 7590 §3.1: where TLS is required it is asked for even if it is not offered.
            if self.features.starttls.is_some() || (policy.require_tls && self.has_features) {
                self.state = State::Proceed;
                return self.link.send_with(now, |out| {
                    XmlWriter::new(out).start("starttls").attr("xmlns", ns::TLS).end("starttls");
                });
            }
            if policy.require_tls {
                return self.link.fail(StreamFailure::NoTls);
            }
        }
        // RFC 6120 §13.7.2.1: whom we meant to call, or whom the name system says so if that will do.
        if !policy.dialback && !self.link.certified(&self.pair.to) {
            return self.link.fail(StreamFailure::Unproven);
        }
        match self.purpose {
            Purpose::Verification => self.ready(now),
            Purpose::Stanzas if self.is_authenticated => self.manage(now),
            Purpose::Stanzas => {
                self.ask_both_ways(now);
                self.authenticate(now);
            }
        }
    }

    /// XEP-0288 §2.2: after TLS, before anything is proven.
    fn ask_both_ways(&mut self, now: Instant) {
        if self.link.config.bidi && self.features.bidi {
            self.link.bidi = true;
            self.link.send_with(now, |out| {
                XmlWriter::new(out).start("bidi").attr("xmlns", ns::BIDI).end("bidi");
            });
        }
    }

    fn authenticate(&mut self, now: Instant) {
        // RFC 6120 §6.3.4: EXTERNAL goes over TLS only.
        if self.link.tls.is_some() && self.features.external && self.sasl_refusal.is_none() {
            self.state = State::Sasl;
            let domain = self.pair.from.clone();
            return self.link.send_with(now, |out| sasl::write_auth(out, &domain));
        }
        self.state = State::Dialback;
        if !self.ask(self.pair.clone(), now) {
            let failure = self.sasl_refusal.map_or(StreamFailure::NoMechanism, StreamFailure::Sasl);
            return self.link.fail(failure);
        }
        self.ask_questions(now);
    }

    /// How the peer is proven to serve a domain.
    fn proof(&self, domain: &Domain) -> Proof {
        if self.link.certified(domain) { Proof::Certificate } else { Proof::Discovery }
    }

    fn ready(&mut self, now: Instant) {
        self.state = State::Ready;
        if let Some(session) = self.session.take() {
            self.forget_session(session);
        }
        match self.purpose {
            Purpose::Stanzas => self.link.opened(),
            // Nothing is proven, so the narrow bounds stay.
            Purpose::Verification => self.link.wire.opened(unproven(self.link.config.limits)),
        }
        if self.purpose == Purpose::Stanzas && !self.link.sending.is_proven(&self.pair) {
            self.link.prove(Flow::Sending, self.pair.clone(), self.proof(&self.pair.to));
        }
        self.ask_questions(now);
    }
}

/// The pair that an answer is about: it names it the other way.
fn answered_pair(packet: &Packet) -> Option<Pair> {
    let domain = |text: &str| Domain::parse(text).ok();
    Some(Pair { from: domain(&packet.to)?, to: domain(&packet.from)? })
}
