//! The server that accepts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use strict_xml::{Element, SharedStr, XmlWriter};

use super::features::{Features, Required};
use super::link::{Link, Managed};
use super::pairs::{Pair, Proof};
use super::{
    Flow, MAX_AUTH_ATTEMPTS, MAX_KEY_BYTES, MAX_PENDING, Output, PeerIdentity, PeerPolicy, Security, ServerConfig,
    Session, Verdict, Verification, stream_common,
};
use crate::dialback::{Content, DialbackCondition, Packet, PacketKind};
use crate::jid::Domain;
use crate::management::{Management, Nonza};
use crate::ns;
use crate::sasl;
use crate::secret::hex;
use crate::stanza::Condition;
use crate::stream::{Incoming, Phase, StreamCondition, StreamError, StreamHeader, Version};

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

    /// The TLS handshake is done, with this peer.
    pub fn handle_tls(&mut self, identity: PeerIdentity, now: Instant) {
        if self.link.in_handshake {
            self.link.handle_tls(identity, now);
            self.link.bidi = false;
            self.expect_header();
        }
    }

    /// The authoritative server has judged a key of this stream; a verdict that nobody waits for is dropped.
    pub fn handle_verdict(&mut self, pair: &Pair, verdict: Verdict, now: Instant) {
        if self.is_closed() || !self.link.receiving.settle(pair) {
            return;
        }
        let is_first = self.link.receiving.is_empty() && self.link.receiving.pending() == 0;
        let content = match verdict {
            Verdict::Valid => Content::Valid,
            // XEP-0220 §2.2.1: a stream that carries others is spared.
            Verdict::Invalid if is_first => Content::Invalid,
            Verdict::Invalid => Content::Error(DialbackCondition::Forbidden),
            Verdict::Failed(condition) => Content::Error(condition),
        };
        let ends = content == Content::Invalid;
        let is_valid = content == Content::Valid;
        self.answer_result(pair, content, now);
        if is_valid {
            self.prove(pair.clone(), Proof::Dialback);
        }
        if ends {
            self.link.close(now);
        }
    }

    /// Answers `Resume` with the session of that id, or none. A session that is not this peer's is given back.
    pub fn handle_session(&mut self, session: Option<Session>, now: Instant) -> Result<(), Box<Session>> {
        let Some((id, h)) = self.resuming.take() else { return session.map_or(Ok(()), |session| Err(session.into())) };
        let (ours, foreign) = match session {
            Some(session) if self.may_resume(&session, &id, now) => (Some(session), None),
            other => (None, other),
        };
        match ours {
            Some(session) => {
                self.link.send_nonza(&Nonza::Resumed { previd: id, h: session.management.h() }, now);
                self.link.adopt(session, h, now);
            }
            None => self.failed(Condition::ItemNotFound, now),
        }
        self.run(now);
        foreign.map_or(Ok(()), |session| Err(session.into()))
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
            && let Some(incoming) = self.link.wire.next(now)
        {
            match incoming {
                Incoming::Header(_) if self.link.wire.phase() == Phase::Closing => {}
                Incoming::Header(header) => self.handle_header(&header, now),
                Incoming::Element(element) => self.handle_element(element, now),
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

    fn handle_packet(&mut self, element: &Element, now: Instant) {
        let Ok(packet) = Packet::read(element) else {
            return self.link.wire.refuse(StreamCondition::ImproperAddressing.into(), now);
        };
        match (packet.kind, &packet.content) {
            (PacketKind::Result, Content::Key(key)) => self.handle_key(&packet, key, now),
            (PacketKind::Verify, Content::Key(key)) => self.link.answer_verify(&packet, key, now),
            // XEP-0220 §3.1: nothing was asked on this stream (XEP-0288 §2.2: keys least of all), so nothing is answered.
            (PacketKind::Result | PacketKind::Verify, _) => {}
        }
    }

    fn handle_key(&mut self, packet: &Packet, key: &SharedStr, now: Instant) {
        match self.judge_key(packet, key) {
            Ok(Judged::Proven(pair)) => {
                self.link.send_packet(&packet.answer(Content::Valid), now);
                if !self.link.receiving.is_proven(&pair) {
                    self.prove(pair, Proof::Certificate);
                }
            }
            Ok(Judged::Pending) => {}
            Ok(Judged::Ask(pair)) => {
                self.link.receiving.await_verdict(pair.clone(), now + self.link.config.times.dialback);
                let question = Verification { pair, id: self.id.clone(), key: key.clone() };
                self.link.events.push_back(Output::Verify(question));
            }
            Err(condition) => self.link.send_packet(&packet.answer(Content::Error(condition)), now),
        }
    }

    fn judge_key(&self, packet: &Packet, key: &str) -> Result<Judged, DialbackCondition> {
        let config = &self.link.config;
        // XEP-0220 §2.2.1: a domain that is not ours is no stream error.
        let to = Domain::parse(&packet.to).ok().filter(|to| config.hosts.contains(to));
        let to = to.ok_or(DialbackCondition::ItemNotFound)?;
        let from = Domain::parse(&packet.from).map_err(|_| DialbackCondition::NotAcceptable)?;
        if config.hosts.contains(&from) || key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(DialbackCondition::NotAcceptable);
        }
        if self.link.tls.is_none() && config.policy_for(Some(&from)).require_tls {
            return Err(DialbackCondition::PolicyViolation);
        }
        let is_certified = self.link.certified(&from);
        let has_dialback = config.dialback_with(Some(&from)).is_some();
        let pair = Pair { from, to };
        if self.link.receiving.is_proven(&pair) {
            return Ok(Judged::Proven(pair));
        }
        if self.link.receiving.is_pending(&pair) {
            return Ok(Judged::Pending);
        }
        if self.link.receiving.is_full() {
            return Err(DialbackCondition::ResourceConstraint);
        }
        match (is_certified, has_dialback) {
            // XEP-0344 §2: what the certificate proves needs no calling back.
            (true, _) => Ok(Judged::Proven(pair)),
            (false, true) if self.link.receiving.pending() >= MAX_PENDING => Err(DialbackCondition::ResourceConstraint),
            (false, true) => Ok(Judged::Ask(pair)),
            (false, false) => Err(DialbackCondition::NotAuthorized),
        }
    }

    fn answer_result(&mut self, pair: &Pair, content: Content, now: Instant) {
        let question = Packet::ask(PacketKind::Result, pair.from.as_str(), pair.to.as_str(), None, "");
        self.link.send_packet(&question.answer(content), now);
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

    fn handle_nonza(&mut self, element: &Element, now: Instant) {
        let Ok(nonza) = Nonza::read(element) else {
            return self.link.wire.refuse(StreamCondition::BadFormat.into(), now);
        };
        match self.link.handle_nonza(nonza, now) {
            Some(Nonza::Enable { resume, max }) => self.handle_enable(resume, max, now),
            Some(Nonza::Resume { previd, h }) => self.handle_resume(previd, h, now),
            // The receiver's own words, or counts of what is not counted.
            Some(_) => self.link.wire.refuse(StreamCondition::UnsupportedStanzaType.into(), now),
            None => {}
        }
    }

    fn handle_enable(&mut self, resume: bool, max: Option<Duration>, now: Instant) {
        if self.link.managed.is_some() {
            // XEP-0198 §3: once.
            return self.link.wire.refuse(StreamCondition::PolicyViolation.into(), now);
        }
        let Some(config) = self.link.config.management else {
            return self.failed(Condition::FeatureNotImplemented, now);
        };
        if self.pair.is_none() {
            // XEP-0198 §3: not before authentication.
            return self.failed(Condition::UnexpectedRequest, now);
        }
        let ours = config.resume_for.filter(|_| resume);
        let resume_for = ours.unwrap_or_default().min(max.unwrap_or(Duration::MAX));
        let id = ours.map(|_| self.next_name());
        let max = ours.map(|_| resume_for);
        self.link.send_nonza(&Nonza::Enabled { id: id.clone(), max }, now);
        self.link.events.push_back(Output::Managed { is_resumable: id.is_some() });
        self.link.managed = Some(Managed { management: Management::new(config), id, resume_for });
    }

    fn handle_resume(&mut self, id: SharedStr, h: u32, now: Instant) {
        if self.pair.is_none() || self.link.managed.is_some() {
            return self.failed(Condition::UnexpectedRequest, now);
        }
        if self.link.config.management.is_none_or(|config| config.resume_for.is_none()) {
            return self.failed(Condition::FeatureNotImplemented, now);
        }
        self.link.events.push_back(Output::Resume { id: id.clone() });
        self.resuming = Some((id, h));
    }

    /// A session is known by its name, and belongs to whoever proves the pair that it was begun for.
    fn may_resume(&self, session: &Session, id: &str, now: Instant) -> bool {
        !session.is_initiator
            && session.id() == id
            && self.pair.as_ref() == Some(session.pair())
            && now < session.deadline()
    }

    fn failed(&mut self, condition: Condition, now: Instant) {
        self.link.send_nonza(&Nonza::Failed { h: None, condition }, now);
    }
}

/// What is to be done about a key.
enum Judged {
    /// The pair is proven without it.
    Proven(Pair),
    /// It is being verified.
    Pending,
    /// Its server is to be asked.
    Ask(Pair),
}
