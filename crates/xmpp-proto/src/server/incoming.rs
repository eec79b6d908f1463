//! The server that accepts.

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use strict_xml::{Element, SharedStr, XmlWriter};

use super::features::{Features, Required};
use super::link::Link;
use super::pairs::{Pair, Proof};
use super::{
    Flow, MAX_AUTH_ATTEMPTS, Output, PeerIdentity, PeerPolicy, Security, ServerConfig, Session, stream_common,
};
use crate::dialback::{Content, DialbackCondition};
use crate::jid::Domain;
use crate::ns;
use crate::sasl;
use crate::secret::hex;
use crate::stream::{Incoming, Phase, StreamCondition, StreamError, StreamHeader, Version};

mod dialback; // XEP-0220 §2.2
mod management; // XEP-0198

/// Random octets of one stream, from which its names are made; never used for another.
#[derive(Clone)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// From a generator that cannot be predicted.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// RFC 6120 §4.7.3, XEP-0198 §5: a name that nobody can guess, another for each number.
    fn name(&self, number: u32) -> SharedStr {
        let digest = Sha256::new().chain_update(self.0).chain_update(number.to_be_bytes()).finalize();
        let (half, _) = digest.split_at(digest.len() / 2);
        SharedStr::from(hex(half))
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// A stream from another server.
///
/// Performs no I/O and reads no clock. After every `handle_*` call and every command, drain
/// [`poll_output`](Self::poll_output), then re-arm from [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct IncomingStream {
    link: Link,
    entropy: Entropy,
    /// Names given so far.
    names: u32,
    /// Our name for the stream.
    id: SharedStr,
    /// Whom the header says the peer is, and calls.
    from: Option<Domain>,
    to: Option<Domain>,
    is_authenticated: bool,
    auth_attempts: u32,
    /// The pair that was proven first.
    pair: Option<Pair>,
    /// The session to resume, and what the peer has handled of it.
    resuming: Option<(SharedStr, u32)>,
    vouching: Vouching,
}

/// Whether anything vouches for the domain that the peer's certificate does not prove by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouching {
    Unasked,
    /// No element is read until it is answered; then features are sent, where the peer knows them.
    Asked {
        has_features: bool,
    },
    Answered,
}

stream_common!(IncomingStream);

impl IncomingStream {
    /// Begins on a connection that was accepted.
    pub fn new(config: Arc<ServerConfig>, entropy: Entropy, security: Security, now: Instant) -> Self {
        let mut stream = Self {
            link: Link::new(config, security, now),
            entropy,
            names: 0,
            id: SharedStr::EMPTY,
            from: None,
            to: None,
            is_authenticated: false,
            auth_attempts: 0,
            pair: None,
            resuming: None,
            vouching: Vouching::Unasked,
        };
        stream.expect_header();
        stream
    }

    /// Our name for the stream, which dialback keys are made for.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pair that was proven first: the one to find a stream by.
    pub fn pair(&self) -> Option<&Pair> {
        self.pair.as_ref()
    }

    /// By which name the peer may resume the stream elsewhere, if it may.
    pub fn session_name(&self) -> Option<&str> {
        self.link.managed.as_ref()?.id.as_deref()
    }

    /// The fate of a received stanza is ours: delivered, answered by an error, or kept durably.
    pub fn handle_settled(&mut self, number: u64, now: Instant) {
        self.link.handle_settled(number, now);
    }

    /// The TLS handshake is done, with this peer.
    pub fn handle_tls(&mut self, identity: PeerIdentity, now: Instant) {
        if self.link.in_handshake {
            self.link.handle_tls(identity, now);
            self.link.bidi = false;
            self.expect_header();
        }
    }

    /// Answers `Vouch`: this is what the peer is proven to be, all told.
    pub fn handle_vouched(&mut self, identity: PeerIdentity, now: Instant) {
        if let Vouching::Asked { has_features } = self.vouching {
            self.vouching = Vouching::Answered;
            self.link.tls = Some(identity);
            self.offer(has_features, now);
            self.run(now);
        }
    }

    /// The time asked for by [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(pair) = self.link.receiving.overdue(now) {
            self.answer_result(&pair, Content::Error(DialbackCondition::RemoteServerTimeout), now);
        }
        self.link.handle_timeout(now);
    }

    /// What can be resumed of the stream, once; a living one ends by it. Ask when the peer wants to resume it
    /// elsewhere, and after `Closed`.
    pub fn take_session(&mut self, now: Instant) -> Option<Session> {
        self.pair.as_ref().and_then(|pair| self.link.take_session(pair, false, now))
    }

    /// What is to be done next; `None` until the next call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.link.poll_output()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    /// Prepares for a header, and for having to answer an error in its place.
    fn expect_header(&mut self) {
        self.id = self.next_name();
        self.link.wire.set_fallback(StreamHeader {
            // RFC 6120 §4.9.1.3: our own name where none was asked for.
            from: Some(SharedStr::copy(self.link.config.name.as_str())),
            id: Some(self.id.clone()),
            version: Some(Version::V1_0),
            ..StreamHeader::default()
        });
    }

    fn next_name(&mut self) -> SharedStr {
        self.names += 1;
        self.entropy.name(self.names)
    }

    fn run(&mut self, now: Instant) {
        while !self.link.in_handshake
            && self.resuming.is_none()
            && !matches!(self.vouching, Vouching::Asked { .. })
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
        let has_features = header.version.is_some_and(|version| version >= Version::V1_0);
        let to = header.to.as_deref().and_then(|to| Domain::parse(to).ok());
        let to = to.filter(|to| self.link.config.hosts.contains(to));
        let own = to.as_ref().unwrap_or(&self.link.config.name);
        let answer = StreamHeader {
            from: Some(SharedStr::copy(own.as_str())),
            to: header.from.clone(),
            id: Some(self.id.clone()),
            lang: None,
            version: has_features.then_some(Version::V1_0),
        };
        self.link.wire.send_header(&answer, now);
        if let Err(condition) = self.take_names(header, to) {
            return self.link.wire.refuse(condition.into(), now);
        }
        if let Some(domain) = self.to_be_vouched_for() {
            self.vouching = Vouching::Asked { has_features };
            return self.link.events.push_back(Output::Vouch(domain));
        }
        self.offer(has_features, now);
    }

    /// The domain that the peer says to be a server of, where its certificate does not prove that by itself: asked once.
    fn to_be_vouched_for(&self) -> Option<Domain> {
        let is_due = self.link.config.vouching && self.vouching == Vouching::Unasked && !self.is_authenticated;
        let domain = self.from.as_ref().filter(|_| is_due && self.link.tls.is_some())?;
        (!self.link.certified(domain)).then(|| domain.clone())
    }

    /// Says how the stream may go on.
    fn offer(&mut self, has_features: bool, now: Instant) {
        if has_features {
            let features = self.features();
            self.link.send_with(now, |out| features.write(out));
        }
        if self.is_authenticated
            && let (Some(from), Some(to)) = (self.from.clone(), self.to.clone())
        {
            self.prove(Pair { from, to }, Proof::External);
        }
    }

    /// Takes over who calls whom, or refuses.
    fn take_names(&mut self, header: &StreamHeader, to: Option<Domain>) -> Result<(), StreamCondition> {
        let to = to.ok_or(StreamCondition::HostUnknown)?;
        let from = header.from.as_deref().map(Domain::parse).transpose().map_err(|_| StreamCondition::InvalidFrom)?;
        // Nobody speaks for our own domains, a connection to ourselves included.
        if from.as_ref().is_some_and(|from| self.link.config.hosts.contains(from)) {
            return Err(StreamCondition::InvalidFrom);
        }
        if self.is_authenticated {
            // RFC 6120 §6.3.2: the new stream is between those who negotiated it.
            if from.as_ref().is_some_and(|from| Some(from) != self.from.as_ref()) {
                return Err(StreamCondition::InvalidFrom);
            }
            if Some(&to) != self.to.as_ref() {
                return Err(StreamCondition::HostUnknown);
            }
            return Ok(());
        }
        (self.from, self.to) = (from, Some(to));
        Ok(())
    }

    fn policy(&self) -> PeerPolicy {
        self.link.config.policy_for(self.from.as_ref())
    }

    fn features(&self) -> Features {
        let config = &self.link.config;
        let is_protected = self.link.tls.is_some();
        let is_open = is_protected || !self.policy().require_tls;
        let dialback = is_open && config.dialback_with(self.from.as_ref()).is_some();
        // XEP-0178 §3: where the header's name is one that the certificate proves.
        let external = !self.is_authenticated && self.from.as_ref().is_some_and(|from| self.link.certified(from));
        Features {
            starttls: (!is_protected && config.starttls).then_some(Required(self.policy().require_tls)),
            external,
            dialback_errors: dialback,
            bidi: config.bidi && !self.is_authenticated,
            // XEP-0198 §5: offered where stanzas come next; after dialback no further features are sent.
            management: config.management.is_some() && (self.is_authenticated || (dialback && !external)),
        }
    }

    fn handle_element(&mut self, element: Element, now: Instant) {
        if StreamError::is_error(&element) {
            return self.link.wire.peer_error(StreamError::read(&element));
        }
        if self.link.wire.phase() == Phase::Closing {
            return self.link.late(element, now);
        }
        match (element.name.as_str(), element.ns.as_str()) {
            ("starttls", ns::TLS) => self.handle_starttls(now),
            ("auth", ns::SASL) => self.handle_auth(&element, now),
            ("bidi", ns::BIDI) => self.handle_bidi(now),
            (_, ns::DIALBACK) if self.link.config.dialback_secret.is_some() => self.handle_packet(&element, now),
            (_, ns::MANAGEMENT) => self.handle_nonza(&element, now),
            _ => self.link.stanza(element, now),
        }
    }

    fn handle_starttls(&mut self, now: Instant) {
        if self.link.tls.is_some() || !self.link.receiving.is_empty() || !self.link.config.starttls {
            // RFC 6120 §5.4.2.2: not here; the stream ends.
            self.link.send_with(now, |out| {
                XmlWriter::new(out).start("failure").attr("xmlns", ns::TLS).end("failure");
            });
            return self.link.close(now);
        }
        self.link.send_with(now, |out| {
            XmlWriter::new(out).start("proceed").attr("xmlns", ns::TLS).end("proceed");
        });
        self.link.start_tls();
    }

    fn handle_auth(&mut self, auth: &Element, now: Instant) {
        if self.is_authenticated || !self.link.receiving.is_empty() {
            // RFC 6120 §6.3.2: once is enough; further domains come by dialback or by another stream.
            return self.link.wire.refuse(StreamCondition::PolicyViolation.into(), now);
        }
        self.auth_attempts += 1;
        let judged = sasl::judge_external(auth, self.link.tls.as_ref(), self.from.as_ref());
        let judged = judged.and_then(|domain| match self.link.config.hosts.contains(&domain) {
            true => Err(sasl::SaslCondition::InvalidAuthzid),
            false => Ok(domain),
        });
        match judged {
            Ok(domain) => {
                self.from = Some(domain);
                self.is_authenticated = true;
                self.link.send_with(now, sasl::write_success);
                // RFC 6120 §6.4.6: a new stream follows.
                self.link.wire.restart();
                self.expect_header();
            }
            Err(condition) => {
                self.link.send_with(now, |out| sasl::write_failure(out, condition));
                let may_go_on = self.link.config.dialback_with(self.from.as_ref()).is_some();
                if !may_go_on || self.auth_attempts >= MAX_AUTH_ATTEMPTS {
                    self.link.close(now);
                }
            }
        }
    }

    fn handle_bidi(&mut self, now: Instant) {
        let is_late = self.is_authenticated || !self.link.receiving.is_empty() || self.link.receiving.pending() > 0;
        if is_late || !self.link.config.bidi {
            return self.link.wire.refuse(StreamCondition::PolicyViolation.into(), now);
        }
        // COMPAT Prosody 0.12: without a demand for TLS it asks before TLS, too; what was said in clear is forgotten then.
        self.link.bidi = true;
    }

    /// The peer may send stanzas of the pair, and we those of its inverse if the stream goes both ways.
    fn prove(&mut self, pair: Pair, by: Proof) {
        if self.link.receiving.is_empty() {
            self.link.opened();
            self.pair = Some(pair.clone());
        }
        let inverse = pair.inverse();
        self.link.prove(Flow::Receiving, pair, by);
        if self.link.bidi {
            // XEP-0288 §2.2: the authenticated pair alone.
            self.link.prove(Flow::Sending, inverse, by);
        }
    }
}
