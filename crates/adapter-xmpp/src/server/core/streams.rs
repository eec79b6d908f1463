//! One stream: its machine, its connection, and what its machine asks for.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use adapter_api::{PeerState, Target};
use transport::tls::{CertificateDer, IdentityFault, PeerIdentity, Vouched};
use xmpp_proto::jid;
use xmpp_proto::server::{
    self, Flow, IncomingStream, NotSent, OutgoingStream, Output, Pair, Proof, Purpose, Session, Verification,
};

use super::super::connection::{Command, Handle, Happened, Secured};
use super::verify::Callback;
use super::{ConnectionId, Core, Event, Timer, to_domain};
use crate::link::{HIGH_WATER, Inbound};

/// A stream of either direction.
pub(super) struct Stream {
    pub(super) machine: Machine,
    pub(super) handle: Handle,
    pub(super) address: Option<SocketAddr>,
    /// It only asks about keys.
    pub(super) callback: Option<Callback>,
    /// What TLS told of the peer.
    pub(super) peer: Option<PeerIdentity>,
    /// What the peer showed, until the name system is asked about it.
    certificate: Option<CertificateDer<'static>>,
    /// The name system is being asked, and the peer is not read from.
    is_vouching: bool,
    tls_version: &'static str,
    /// The ways in, by pair.
    pub(super) inbound: BTreeMap<Pair, Inbound>,
    /// Stanzas handed in and not settled, or answered with what is not safe yet.
    pub(super) open: usize,
    /// A stanza has come.
    pub(super) has_spoken: bool,
    /// It was of use for sending.
    has_carried: bool,
    /// Stanzas are acknowledged.
    pub(super) was_managed: bool,
    /// Octets came that are dealt with, and the peer is not read from.
    is_held: bool,
    /// Why the stream failed, for those who wait for it.
    pub(super) fault: Option<String>,
    is_over: bool,
}

/// The protocol's side of a stream.
pub(super) enum Machine {
    /// Waiting for its connection.
    Calling(Box<Call>),
    /// Accepted, and not known to be open yet.
    Called,
    In(Box<IncomingStream>),
    Out(Box<OutgoingStream>),
}

/// What an outgoing stream will be.
pub(super) struct Call {
    pub(super) pair: Pair,
    /// It is to ask about keys alone.
    pub(super) callback: Option<Callback>,
    /// To be resumed.
    pub(super) session: Option<Session>,
    /// To be asked.
    pub(super) questions: Vec<Verification>,
    /// Where else to call.
    pub(super) targets: VecDeque<Target>,
}

impl Call {
    pub(super) fn purpose(&self) -> Purpose {
        if self.callback.is_some() { Purpose::Verification } else { Purpose::Stanzas }
    }
}

/// Stanzas of one stream that are not settled, beyond which the peer is not read from.
const MAX_UNSETTLED: usize = 4096;

/// Broken streams of one pair that may be resumed: a server has few, whose connections may all break at once.
const MAX_SESSIONS_OF_PAIR: usize = 8;

/// The same of all pairs: each is kept for minutes, and whoever has a domain may break as many streams as it likes.
const MAX_SESSIONS: usize = 4_096;

/// Octets kept for a peer that does not read, beyond which it is not read from: deliveries stop long before.
const MAX_UNREAD: usize = 4 * HIGH_WATER;

/// Does the same with either machine, or nothing before there is one.
macro_rules! either {
    ($machine:expr, $stream:ident => $action:expr) => {
        match &mut $machine {
            Machine::Calling(_) | Machine::Called => None,
            Machine::In($stream) => Some($action),
            Machine::Out($stream) => Some($action),
        }
    };
}

impl Stream {
    pub(super) fn new(machine: Machine, handle: Handle, address: Option<SocketAddr>) -> Self {
        let callback = match &machine {
            Machine::Calling(call) => call.callback,
            Machine::Called | Machine::In(_) | Machine::Out(_) => None,
        };
        Self {
            machine,
            handle,
            address,
            callback,
            peer: None,
            certificate: None,
            is_vouching: false,
            tls_version: "",
            inbound: BTreeMap::new(),
            open: 0,
            has_spoken: false,
            has_carried: false,
            was_managed: false,
            is_held: false,
            fault: None,
            is_over: false,
        }
    }

    pub(super) fn secured(&mut self, secured: Secured) -> server::PeerIdentity {
        self.tls_version = secured.version;
        self.certificate = secured.certificate;
        self.judged(secured.peer)
    }

    /// Takes over who the peer is proven to be, for the machine.
    fn judged(&mut self, peer: PeerIdentity) -> server::PeerIdentity {
        let names = peer.xmpp_domains();
        self.peer = Some(peer);
        server::PeerIdentity::proving(names.iter().map(String::as_str))
    }

    /// Why the peer's certificate does not prove `domain`, if it does not.
    pub(super) fn certificate_fault(&self, domain: &jid::Domain) -> Option<IdentityFault> {
        let domain = to_domain(domain)?;
        self.peer.as_ref().map_or(Some(IdentityFault::NoCertificate), |peer| peer.xmpp(&domain).err())
    }

    /// Whether the peer's certificate proves `domain`.
    pub(super) fn proves(&self, domain: &jid::Domain) -> bool {
        to_domain(domain).zip(self.peer.as_ref()).is_some_and(|(domain, peer)| peer.xmpp(&domain).is_ok())
    }

    /// How the stream is protected, for people.
    pub(super) fn protection(&self) -> &'static str {
        if self.peer.is_some() { self.tls_version } else { "clear" }
    }

    pub(super) fn send_encoded(
        &mut self,
        pair: &Pair,
        octets: &[u8],
        token: Option<u64>,
        now: Instant,
    ) -> Result<(), NotSent> {
        either!(self.machine, stream => stream.send_encoded(pair, octets, token, now)).unwrap_or(Err(NotSent::NotOpen))
    }

    pub(super) fn is_managed(&self) -> bool {
        match &self.machine {
            Machine::Calling(_) | Machine::Called => false,
            Machine::In(stream) => stream.is_managed(),
            Machine::Out(stream) => stream.is_managed(),
        }
    }

    /// By which name the peer may resume it elsewhere, if it may.
    pub(super) fn session_name(&self) -> Option<&str> {
        match &self.machine {
            Machine::Calling(_) | Machine::Called => None,
            Machine::In(stream) => stream.session_name(),
            Machine::Out(stream) => stream.session_name(),
        }
    }

    /// The pairs that it may carry from here.
    pub(super) fn sending(&self) -> Vec<Pair> {
        match &self.machine {
            Machine::Calling(_) | Machine::Called => Vec::new(),
            Machine::In(stream) => stream.pairs(Flow::Sending).map(|(pair, _)| pair).collect(),
            Machine::Out(stream) => stream.pairs(Flow::Sending).map(|(pair, _)| pair).collect(),
        }
    }

    /// The fate of a stanza that came in is ours.
    pub(super) fn settled(&mut self, number: u64, now: Instant) {
        either!(self.machine, stream => stream.handle_settled(number, now));
    }

    /// The same of a stanza that came over an earlier connection of the session `name`.
    pub(super) fn settled_of(&mut self, name: &str, number: u64, now: Instant) {
        match &mut self.machine {
            Machine::Calling(call) => {
                if let Some(session) = call.session.as_mut().filter(|session| session.id() == name) {
                    session.handle_settled(number);
                }
            }
            Machine::In(stream) if stream.session_name() == Some(name) => stream.handle_settled(number, now),
            Machine::Out(stream) if stream.session_name() == Some(name) => stream.handle_settled(number, now),
            Machine::Called | Machine::In(_) | Machine::Out(_) => {}
        }
    }

    /// Whether everything that came in is settled.
    pub(super) fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// Whether more may be written.
    pub(super) fn has_room(&self) -> bool {
        let room = match &self.machine {
            Machine::Calling(_) | Machine::Called => false,
            Machine::In(stream) => stream.has_room(),
            Machine::Out(stream) => stream.has_room(),
        };
        room && self.handle.unwritten() < HIGH_WATER
    }

    /// Ends the stream in order, or at once.
    pub(super) fn close(&mut self, at_once: bool, now: Instant) {
        either!(self.machine, stream => stream.close(now));
        if at_once || matches!(self.machine, Machine::Calling(_) | Machine::Called) {
            self.handle.tell(Command::Close);
        }
    }

    fn may_read(&self) -> bool {
        !self.is_vouching && self.open < MAX_UNSETTLED && self.handle.unwritten() < MAX_UNREAD
    }

    /// Reads on, if what was read is dealt with.
    fn read_on(&mut self) {
        if self.is_held && self.may_read() {
            self.is_held = false;
            self.handle.tell(Command::Read);
        } else if self.is_held {
            self.handle.watch();
        }
    }
}

impl Core {
    pub(super) fn handle_connection(&mut self, id: ConnectionId, what: Happened, now: Instant) {
        match what {
            Happened::Open { address, secured } => self.opened(id, address, secured, now),
            Happened::Failed(fault) => self.not_connected(id, &fault.to_string(), now),
            Happened::Octets(octets) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.is_held = true;
                    either!(stream.machine, machine => machine.handle_bytes(&octets, now));
                }
            }
            Happened::Secured(secured) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    let identity = stream.secured(secured);
                    either!(stream.machine, machine => machine.handle_tls(identity, now));
                }
            }
            Happened::Insecure(error) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.fault = Some(error.to_string());
                    either!(stream.machine, machine => machine.handle_tls_failed());
                }
            }
            Happened::Written => {
                let routes = self.routes.iter().filter(|(_, route)| route.is_over(id)).map(|(pair, _)| pair.clone());
                self.touched_routes.extend(routes);
            }
            Happened::Gone => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    either!(stream.machine, machine => machine.handle_eof());
                    if matches!(stream.machine, Machine::Calling(_) | Machine::Called) {
                        self.not_connected(id, "connection closed", now);
                    }
                }
            }
        }
        self.touched_streams.insert(id);
    }

    pub(super) fn stream_timeout(&mut self, id: ConnectionId, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&id) {
            either!(stream.machine, machine => machine.handle_timeout(now));
        }
        self.touched_streams.insert(id);
    }

    /// Carries out what the machine asks for.
    pub(super) fn drain_stream(&mut self, id: ConnectionId, now: Instant) {
        while let Some(output) = self
            .streams
            .get_mut(&id)
            .filter(|stream| !stream.is_over)
            .and_then(|stream| either!(stream.machine, machine => machine.poll_output()).flatten())
        {
            self.handle_output(id, output, now);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.is_over {
            self.ended(id, now);
            return;
        }
        stream.read_on();
        let due = match &stream.machine {
            Machine::Calling(_) | Machine::Called => None,
            Machine::In(stream) => stream.poll_timeout(),
            Machine::Out(stream) => stream.poll_timeout(),
        };
        self.timers.set(Timer::Stream(id), due);
    }

    fn handle_output(&mut self, id: ConnectionId, output: Output, now: Instant) {
        match output {
            Output::Send(octets) => self.tell(id, Command::Write(octets)),
            Output::StartTls => self.tell(id, Command::StartTls),
            Output::Vouch(domain) => self.vouch(id, &domain, now),
            Output::Proven { pair, flow, by } => self.proven(id, &pair, flow, by, now),
            Output::Refused { pair, reason } => self.refused(id, &pair, &reason.to_string(), now),
            Output::Verify(question) => self.verify(id, question, now),
            Output::Verified { question, verdict } => self.verified(&question, verdict, now),
            Output::Stanza { element, number } => self.handle_stanza(id, element, number, now),
            Output::Excess { element, number } => self.handle_excess(id, &element, number, now),
            Output::Managed { is_resumable } => {
                tracing::debug!(stream = id, is_resumable, "stanzas are acknowledged");
                self.note_managed(id);
                self.became_managed(id, now);
            }
            Output::Resume { id: session } => self.resume(id, &session, now),
            Output::Resumed { id: session } => {
                self.note_managed(id);
                self.resumed(id, &session, now);
            }
            Output::Settle => self.hub.commit(),
            Output::Acked(token) => self.acked(token, true),
            Output::Lost(token) => self.acked(token, false),
            Output::Failed(failure) => self.failed(id, &failure),
            Output::Closed => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.is_over = true;
                }
            }
        }
    }

    fn note_managed(&mut self, id: ConnectionId) {
        self.streams.get_mut(&id).into_iter().for_each(|stream| stream.was_managed = true);
    }

    /// Asks the name system whether it vouches for the certificate of a peer that says to be a server of `domain`;
    /// [`Event::Vouched`] tells.
    fn vouch(&mut self, id: ConnectionId, domain: &jid::Domain, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(peer) = stream.peer.clone() else { return };
        let (Some(certificate), Some(domain)) = (stream.certificate.take(), to_domain(domain)) else {
            return self.vouched(id, peer, now);
        };
        stream.is_vouching = true;
        let (tls, sender) = (Arc::clone(&self.context.tls), self.sender.clone());
        tokio::spawn(async move {
            let peer = tls.vouch_for_caller(peer, &certificate, &domain).await;
            // Without a core the gateway has stopped.
            let _ = sender.send(Event::Vouched(id, peer));
        });
    }

    pub(super) fn vouched(&mut self, id: ConnectionId, peer: PeerIdentity, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.is_vouching = false;
        let identity = stream.judged(peer);
        if let Machine::In(machine) = &mut stream.machine {
            machine.handle_vouched(identity, now);
        }
        self.touched_streams.insert(id);
    }

    fn tell(&self, id: ConnectionId, command: Command) {
        if let Some(stream) = self.streams.get(&id) {
            stream.handle.tell(command);
        }
    }

    fn proven(&mut self, id: ConnectionId, pair: &Pair, flow: Flow, by: Proof, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        let peer = match flow {
            Flow::Sending => &pair.to,
            Flow::Receiving => &pair.from,
        };
        let (protection, hop) = (stream.protection(), stream.address.map(|address| address.to_string()));
        let direction = if flow == Flow::Sending { "to" } else { "from" };
        let peer = to_domain(peer);
        // RFC 7673: the machine knows that the peer's identity holds, TLS by what it does.
        let vouched = || stream.peer.as_ref()?.vouched(peer.as_ref()?);
        let by_name_system = if matches!(by, Proof::Certificate | Proof::External) { vouched() } else { None };
        let proof = by_name_system.map_or(by.as_str(), Vouched::as_str);
        tracing::info!(%pair, direction, proof, protection, hop, "stream may carry stanzas");
        if let Some(peer) = peer {
            self.hub.peer_changed(peer.as_str(), PeerState::Up);
            self.hub.peer_proven(peer.as_str(), proof, protection);
        }
        match flow {
            Flow::Sending => {
                self.streams.get_mut(&id).into_iter().for_each(|stream| stream.has_carried = true);
                self.way_found(id, pair, now);
            }
            Flow::Receiving => self.way_in(id, pair, by, now),
        }
    }

    fn failed(&mut self, id: ConnectionId, failure: &server::StreamFailure) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let peer = match &stream.machine {
            Machine::Calling(call) => Some(call.pair.to.clone()),
            Machine::Called => None,
            Machine::In(machine) => machine.pair().map(|pair| pair.from.clone()),
            Machine::Out(machine) => Some(machine.pair().to.clone()),
        };
        let fault = peer.as_ref().and_then(|peer| stream.certificate_fault(peer));
        let reason = match (failure, fault) {
            (server::StreamFailure::Unproven | server::StreamFailure::NoMechanism, Some(fault)) => {
                format!("{failure} ({})", fault.code())
            }
            (_, _) => stream.fault.take().map_or_else(|| failure.to_string(), |why| format!("{failure}: {why}")),
        };
        let hop = stream.address.map(|address| address.to_string());
        let peer = peer.map(|peer| peer.to_string());
        tracing::info!(stream = id, peer, hop, reason, "stream failed");
        stream.fault = Some(reason);
    }

    /// The stream is over: what it carried finds another way, or waits for its peer to resume it.
    fn ended(&mut self, id: ConnectionId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        self.timers.set(Timer::Stream(id), None);
        stream.handle.tell(Command::Close);
        let session = match &mut stream.machine {
            Machine::Calling(call) => call.session.take(),
            Machine::Called => None,
            Machine::In(machine) => machine.take_session(now),
            Machine::Out(machine) => machine.take_session(now),
        };
        // One whose session was taken is known for broken already.
        let broke = stream.was_managed && stream.fault.is_some() && !self.broken.contains_key(&id);
        match &session {
            Some(session) => self.broke(id, session, now),
            None if broke => self.tail_left(id, None, now),
            None => {}
        }
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.forget_broken(id);
        self.forget_verifications(id, now);
        // RFC 6120 §3.2.1: one that takes connections and leads nowhere is tried after the others.
        let was_of_use = stream.has_carried || stream.callback.is_some();
        if let (Machine::Out(machine), false, Some(address)) = (&stream.machine, was_of_use, stream.address) {
            self.useless.down((machine.pair().to.clone(), address), now);
        }
        let fault = stream.fault.take().unwrap_or_else(|| "the stream ended".to_owned());
        match (&stream.machine, session) {
            (Machine::In(_) | Machine::Called, Some(session)) => self.keep_session(session),
            (Machine::Calling(_) | Machine::Out(_), Some(session)) => self.resume_later(session, now),
            (_, None) => {}
        }
        self.ways_lost(id, &fault, now);
    }

    /// Keeps what a peer may resume; for one too many the oldest is given up.
    pub(super) fn keep_session(&mut self, session: Session) {
        let of_pair = || self.sessions.values().filter(|kept| kept.pair() == session.pair());
        let is_oldest = |kept: &&Session| kept.deadline();
        let surplus = if of_pair().count() >= MAX_SESSIONS_OF_PAIR {
            of_pair().min_by_key(is_oldest)
        } else {
            self.sessions.values().min_by_key(is_oldest).filter(|_| self.sessions.len() >= MAX_SESSIONS)
        };
        if let Some(surplus) = surplus.map(|kept| kept.id().to_owned()).and_then(|name| self.sessions.remove(&name)) {
            self.timers.set(Timer::Session(surplus.id().to_owned()), None);
            self.lose_session(&surplus);
        }
        let name = session.id().to_owned();
        self.timers.set(Timer::Session(name.clone()), Some(session.deadline()));
        self.sessions.insert(name, session);
    }
}
