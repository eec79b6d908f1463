//! Operations on their way to SIP peers.

use super::Core;
use super::hop::{FixedHop, Located, located_places, via_name};
use super::peers::Peers;
use super::queues::{Queues, Turn};
use super::route::{ConnectionId, Place, Route};
use super::unreachable::Unreachable;
use crate::config::LargeMessages;
use crate::ids::RequestIds;
use crate::mapping::{Mapped, address, error, message};
use adapter_api::{Carries, Delivery, Hop, PeerState, Transport};
use bytes::Bytes;
use impp_model::{Cause, Failure, MessageOperation, Operation, Outcome, Proof, Side};
use impp_resolve::Limits;
use sip_proto::build::{RequestBuilder, TopVia};
use sip_proto::header::RetryAfter;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use sip_proto::transaction::{Handle, Refused, ResponseMatch};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// One delivery while this adapter has it.
pub(crate) type Id = u64;

/// All deliveries of an instance that are not settled.
#[derive(Debug)]
pub(crate) struct Outbounds {
    entries: BTreeMap<Id, Outbound>,
    next: Id,
    deadlines: BTreeSet<(Instant, Id)>,
    silences: BTreeSet<(Instant, Id)>,
    queues: Queues,
    ready: VecDeque<Id>,
    hops: BTreeMap<Arc<str>, KnownHop>,
    located: mpsc::Sender<LocatedHop>,
    peers: Peers,
    pub(super) own_listeners: Vec<SocketAddr>,
}

/// A delivery and how far it is.
#[derive(Debug)]
struct Outbound {
    delivery: Delivery,
    uri: Arc<str>,
    active: bool,  // it is this one's turn at the URI
    looking: bool, // its hop is being looked up
    ids: Option<RequestIds>,
    request: Option<RequestBuilder>,
    places: Arc<[Place]>,
    tried: usize,
    attempt: Option<Attempt>,
    /// An earlier try may have arrived: a server that never answered, a connection that broke behind the request.
    doubtful: bool,
    last: Option<Box<Failure>>,
}

/// The try at one server.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    handle: Handle,
    place: Place,
    silent_until: Instant,
    oversize: bool,
}

/// A configured next hop.
#[derive(Debug)]
enum KnownHop {
    /// An address: nothing to look up.
    Direct(Arc<[Place]>),
    /// Being looked up for these.
    Asking(Vec<Id>),
    /// Looked up.
    Found { located: Located, until: Instant },
    /// Not usable as it is written.
    Bad,
}

/// The answer to a look-up.
#[derive(Debug)]
pub(crate) struct LocatedHop {
    text: Arc<str>,
    located: Located,
}

/// RFC 3261 §18.1.1, RFC 3428 §8: octets of the largest request over a path that is not known to be safe.
pub(crate) const MAX_UNSAFE_REQUEST: usize = 1300;

/// RFC 4320 §4.1: a server that has the request sends 100 within 3.5 s; one that is silent longer does not have it.
const SILENCE: Duration = Duration::from_secs(4);

/// Configured hops remembered; there are as many as domains with a `next_hop`.
const MAX_HOPS: usize = 1024;

/// Whether a request may go over UDP.
pub(crate) fn fits_datagram(octets: usize) -> bool {
    octets <= MAX_UNSAFE_REQUEST
}

impl Outbounds {
    pub(super) fn new(queue_per_uri: usize, located: mpsc::Sender<LocatedHop>) -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            deadlines: BTreeSet::new(),
            silences: BTreeSet::new(),
            queues: Queues::new(queue_per_uri),
            ready: VecDeque::new(),
            hops: BTreeMap::new(),
            located,
            peers: Peers::default(),
            own_listeners: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, Id)>| set.first().map(|(at, _)| *at);
        [first(&self.deadlines), first(&self.silences)].into_iter().flatten().min()
    }
}

impl Core {
    /// Takes one delivery.
    pub(super) fn handle_delivery(&mut self, delivery: Delivery) {
        if self.draining {
            return delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        let Some(operation) = instant_message(&delivery) else {
            return delivery.settle(Failure::new(Side::Ours, Cause::NotImplemented));
        };
        let uri: Arc<str> = address::to_sip_uri(&operation.destination).into();
        let outbounds = &mut self.outbounds;
        outbounds.next += 1;
        let id = outbounds.next;
        let turn = outbounds.queues.enter(&uri, id);
        if turn == Turn::Full {
            let failure =
                Failure::new(Side::Ours, Cause::Overload).with_text("too many messages wait for this addressee");
            return delivery.settle(failure);
        }
        outbounds.deadlines.insert((delivery.deadline, id));
        let outbound = Outbound {
            delivery,
            uri,
            active: turn == Turn::Now,
            looking: false,
            ids: None,
            request: None,
            places: Arc::default(),
            tried: 0,
            attempt: None,
            doubtful: false,
            last: None,
        };
        outbounds.entries.insert(id, outbound);
        if turn == Turn::Now {
            self.outbounds.ready.push_back(id);
        }
    }

    /// Begins with a delivery whose turn it is.
    fn begin(&mut self, id: Id, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        let hop = outbound.delivery.hop.clone();
        outbound.looking = true;
        match &*hop {
            Hop::Fixed(text) => self.find_hop(id, text, now),
            Hop::Link | Hop::Located { .. } => match located_places(&hop) {
                Ok(places) => self.try_places(id, places, now),
                Err(failure) => self.finish(id, Outcome::Failure(failure)),
            },
        }
    }

    fn find_hop(&mut self, id: Id, text: &Arc<str>, now: Instant) {
        let hops = &mut self.outbounds.hops;
        if !hops.contains_key(text) {
            if hops.len() >= MAX_HOPS {
                hops.retain(|_, hop| matches!(hop, KnownHop::Asking(_)));
            }
            hops.insert(text.clone(), KnownHop::of(text));
        }
        match hops.get_mut(text) {
            Some(KnownHop::Direct(places)) => {
                let places = places.clone();
                self.try_places(id, places, now);
            }
            Some(KnownHop::Found { located, until }) if *until > now => {
                let result = located.result.clone();
                self.handle_found(id, result, now);
            }
            Some(KnownHop::Asking(waiting)) => {
                waiting.push(id);
                if waiting.len() == 1 {
                    self.ask(text);
                }
            }
            Some(hop @ KnownHop::Found { .. }) => {
                *hop = KnownHop::Asking(vec![id]);
                self.ask(text);
            }
            Some(KnownHop::Bad) | None => {
                let failure =
                    Failure::new(Side::Ours, Cause::NoRoute).with_text("next_hop is no sip: URI over udp or tcp");
                self.finish(id, failure.into());
            }
        }
    }

    /// Looks a configured hop up in a task of its own: once for all messages until the answer expires.
    fn ask(&self, text: &Arc<str>) {
        let (Some(hop), text, sender) = (FixedHop::parse(text), text.clone(), self.outbounds.located.clone()) else {
            return;
        };
        let dns = self.context.dns.clone();
        let limits = Limits { own_listeners: self.outbounds.own_listeners.clone(), ..Limits::default() };
        tokio::spawn(async move {
            let located = hop.locate(&*dns, &limits).await;
            // The core is gone when nobody listens.
            let _ = sender.send(LocatedHop { text, located }).await;
        });
    }

    /// Takes the answer to a look-up.
    pub(super) fn handle_located(&mut self, found: LocatedHop, now: Instant) {
        let LocatedHop { text, located } = found;
        let result = located.result.clone();
        let known = KnownHop::Found { until: now + located.ttl, located };
        if let Some(KnownHop::Asking(waiting)) = self.outbounds.hops.insert(text, known) {
            for id in waiting {
                self.handle_found(id, result.clone(), now);
            }
        }
    }

    fn handle_found(&mut self, id: Id, result: Result<Arc<[Place]>, Cause>, now: Instant) {
        match result {
            Ok(places) => self.try_places(id, places, now),
            Err(cause) => self.finish(id, Failure::new(Side::Far, cause).into()),
        }
    }

    /// Begins with the first of the servers, those that did not answer lately last.
    fn try_places(&mut self, id: Id, places: Arc<[Place]>, now: Instant) {
        let peers = &self.outbounds.peers;
        let places = match &*places {
            several @ [_, _, ..] if several.iter().any(|place| peers.is_down(place.address, now)) => {
                let (down, up): (Vec<_>, Vec<_>) = several.iter().partition(|place| peers.is_down(place.address, now));
                up.into_iter().chain(down).collect()
            }
            _ => places,
        };
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        outbound.places = places;
        self.try_next(id, now);
    }

    /// Sends the request to the next server (RFC 3263 §4.3), or ends with what the last one said.
    fn try_next(&mut self, id: Id, now: Instant) {
        loop {
            let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
            let Some(place) = outbound.places.get(outbound.tried).copied() else {
                let unreachable = || Box::new(Failure::new(Side::Far, Cause::LinkDown));
                let failure = outbound.last.take().unwrap_or_else(unreachable);
                return self.finish(id, Outcome::Failure(failure));
            };
            outbound.tried += 1;
            match self.try_place(id, place, now) {
                Ok(()) => return,
                Err(failure) => {
                    if let Some(outbound) = self.outbounds.entries.get_mut(&id) {
                        outbound.last = Some(failure);
                    }
                }
            }
        }
    }

    fn try_place(&mut self, id: Id, place: Place, now: Instant) -> Result<(), Box<Failure>> {
        self.prepare(id);
        let (request, branch, oversize, place) = self.encode(id, place)?;
        let key = self.keys.client(branch.as_bytes(), Method::Message.as_str().as_bytes());
        let route = self.route(place).ok_or_else(|| Box::new(Failure::new(Side::Ours, Cause::LinkDown)))?;
        let started = self.client.start(key, request, route, route.reliability(), id, now);
        let handle = started.map_err(|refused| match refused {
            Refused::Full(_) => Box::new(Failure::new(Side::Ours, Cause::Overload)),
            // The same message is under way: its sender repeated it.
            Refused::Duplicate(_) => Box::new(Failure::new(Side::Near, Cause::Conflict)),
        })?;
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return Ok(()) };
        let silent_until = now + SILENCE;
        outbound.attempt = Some(Attempt { handle, place, silent_until, oversize });
        if outbound.tried < outbound.places.len() {
            self.outbounds.silences.insert((silent_until, id));
        }
        Ok(())
    }

    /// Builds the request, once for all tries.
    fn prepare(&mut self, id: Id) {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        if outbound.request.is_some() {
            return;
        }
        let Some(operation) = instant_message(&outbound.delivery) else { return };
        let ids = request_ids(operation);
        let call_id = match &operation.message.thread {
            Some(thread) => self.threads.call_id(thread, &operation.source.address, &operation.destination.address),
            None => ids.call_id(),
        };
        let Mapped { value, degraded, dropped } = message::to_request(operation, &ids, &call_id);
        degraded.iter().for_each(|field| self.hub.translation_loss(field, Carries::Degraded));
        dropped.iter().for_each(|field| self.hub.translation_loss(field, Carries::Dropped));
        outbound.request = Some(value);
        outbound.ids = Some(ids);
    }

    /// The octets for a server, over TCP when they are too many for UDP (RFC 3261 §18.1.1).
    fn encode(&self, id: Id, place: Place) -> Result<(Bytes, String, bool, Place), Box<Failure>> {
        let failure = |cause| Box::new(Failure::new(Side::Ours, cause));
        let outbound = self.outbounds.entries.get(&id).ok_or_else(|| failure(Cause::LinkDown))?;
        let (Some(request), Some(ids)) = (&outbound.request, &outbound.ids) else {
            return Err(failure(Cause::NotImplemented));
        };
        let branch = ids.branch(u32::try_from(outbound.tried.saturating_sub(1)).unwrap_or(u32::MAX));
        let encode = |transport| {
            let sent_by = self.names.sent_by(transport, place.address)?;
            Some(request.encode(&TopVia {
                transport: via_name(transport),
                sent_by,
                branch: &branch,
                rport: transport == Transport::Udp,
                alias: false,
            }))
        };
        let unreachable = || {
            Box::new(
                Failure::new(Side::Ours, Cause::LinkDown).with_text("no listener of that transport and address family"),
            )
        };
        let octets = encode(place.transport).ok_or_else(unreachable)?;
        if place.transport != Transport::Udp || fits_datagram(octets.len()) {
            return Ok((octets, branch, false, place));
        }
        match self.large_messages {
            LargeMessages::Refuse => Err(failure(Cause::TooLarge)),
            LargeMessages::Tcp => {
                let octets = encode(Transport::Tcp).ok_or_else(unreachable)?;
                Ok((octets, branch, true, Place { transport: Transport::Tcp, ..place }))
            }
        }
    }

    fn route(&mut self, place: Place) -> Option<Route> {
        if place.transport == Transport::Udp {
            return self.datagrams.route(place.address);
        }
        let connection = self.streams.connect(place.address)?;
        Some(Route::Stream { connection, reopen: None })
    }

    /// Sends what the transaction table puts out.
    pub(super) fn send_request(&mut self, handle: Handle, route: Route, request: Bytes, now: Instant) {
        match route {
            Route::Stream { connection, .. } => self.send_on(connection, request, now),
            Route::Datagram { socket, peer } => {
                if let Err(error) = self.datagrams.send(socket, peer, request) {
                    tracing::debug!(%peer, %error, "request not sent");
                    self.handle_transport_error(handle, false, now);
                }
            }
        }
    }

    /// Ends the tries that a connection took with it.
    pub(super) fn handle_broken_connection(&mut self, connection: ConnectionId, opened: bool, now: Instant) {
        let on_it = |route: &Route| matches!(route, Route::Stream { connection: of, .. } if *of == connection);
        let handles: Vec<Handle> = self.client.unanswered_on(on_it).collect();
        for handle in handles {
            self.handle_transport_error(handle, opened, now);
        }
    }

    /// Ends the tries at a server that is not there.
    pub(super) fn handle_unreachable(&mut self, lost: Unreachable, now: Instant) {
        let Unreachable { socket, peer } = lost;
        let handles: Vec<Handle> =
            self.client.unanswered_on(|route| *route == Route::Datagram { socket, peer }).collect();
        for handle in handles {
            self.handle_transport_error(handle, false, now);
        }
    }

    /// `written`: the request may have arrived before the error.
    fn handle_transport_error(&mut self, handle: Handle, written: bool, now: Instant) {
        let Some(id) = self.client.handle_transport_error(handle) else { return };
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        let Some(attempt) = outbound.attempt.take() else { return };
        outbound.doubtful |= written;
        let cause = match (attempt.oversize && !written, outbound.doubtful) {
            // RFC 3428 §8: refused over TCP, it must not go over UDP.
            (true, _) => Cause::TooLarge,
            (false, true) => Cause::Unconfirmed,
            (false, false) => Cause::LinkDown,
        };
        let text = if outbound.doubtful {
            "the connection broke; it may have arrived"
        } else {
            "the next hop cannot be reached"
        };
        outbound.last = Some(Box::new(Failure::new(Side::Far, cause).with_text(text)));
        let domain = outbound.delivery.operation.destination().address.domain().clone();
        self.outbounds.silences.remove(&(attempt.silent_until, id));
        self.outbounds.peers.down(attempt.place.address, now);
        self.outbounds.peers.note(&self.hub, &domain, PeerState::Down);
        self.try_next(id, now);
    }

    /// Timer F, or a server that was silent while there is another.
    pub(super) fn handle_no_answer(&mut self, id: Id, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        let Some(attempt) = outbound.attempt.take() else { return };
        outbound.doubtful = true;
        outbound.last =
            Some(Box::new(Failure::new(Side::Far, Cause::RemoteTimeout).with_text("the next hop did not answer")));
        let domain = outbound.delivery.operation.destination().address.domain().clone();
        self.outbounds.silences.remove(&(attempt.silent_until, id));
        self.outbounds.peers.down(attempt.place.address, now);
        self.outbounds.peers.note(&self.hub, &domain, PeerState::Down);
        self.try_next(id, now);
    }

    /// Takes a response.
    pub(super) fn handle_response(&mut self, response: &Message, now: Instant) {
        let (Ok(verified), Some(status)) = (response.verify(), response.status()) else { return };
        // RFC 3261 §18.1.2, §8.1.3.3: not an answer to anything sent from here.
        if !self.names.is_ours(&verified.via) || response.vias().nth(1).is_some() {
            return;
        }
        let Some(branch) = verified.via.branch() else { return };
        let key = self.keys.client(branch.as_bytes(), verified.cseq.method.as_bytes());
        match self.client.handle_response(&key, status.code(), now) {
            ResponseMatch::Stray | ResponseMatch::Repeated => {}
            ResponseMatch::Provisional => {
                if let Some(id) = self.client.find(&key).and_then(|handle| self.client.user(handle).copied()) {
                    self.end_silence(id);
                }
            }
            ResponseMatch::Final(id) => self.handle_final(id, status.code(), response, now),
        }
    }

    /// A server that answers with 100 has the request: the others are not asked.
    fn end_silence(&mut self, id: Id) {
        if let Some(attempt) = self.outbounds.entries.get(&id).and_then(|outbound| outbound.attempt) {
            self.outbounds.silences.remove(&(attempt.silent_until, id));
        }
    }

    fn handle_final(&mut self, id: Id, status: u16, response: &Message, now: Instant) {
        self.end_silence(id);
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        let Some(attempt) = outbound.attempt.take() else { return };
        let domain = outbound.delivery.operation.destination().address.domain().clone();
        let outcome = match status {
            200 => Outcome::Success(Proof::Recipient),
            // RFC 3428 §7: what another server accepted, and no more is known.
            201..300 => Outcome::Success(Proof::Server),
            // RFC 3261 §8.2.2.2: the copy of an earlier try was there before this one.
            482 if outbound.doubtful => Outcome::Success(Proof::Server),
            _ => match failure_of(response, status) {
                Some(failure) => failure.into(),
                None => return,
            },
        };
        // RFC 3263 §4.3: 503 and no other status moves on to the next server.
        if status == 503 {
            self.outbounds.peers.down(attempt.place.address, now);
            if let (Outcome::Failure(failure), Some(outbound)) = (outcome, self.outbounds.entries.get_mut(&id)) {
                outbound.last = Some(failure);
            }
            return self.try_next(id, now);
        }
        self.outbounds.peers.up(attempt.place.address);
        self.outbounds.peers.note(&self.hub, &domain, PeerState::Up);
        self.finish(id, outcome);
    }

    /// Settles what is due.
    pub(super) fn handle_deadlines(&mut self, now: Instant) {
        while let Some((at, id)) = self.outbounds.silences.first().copied().filter(|(at, _)| *at <= now) {
            self.outbounds.silences.remove(&(at, id));
            let handle =
                self.outbounds.entries.get(&id).and_then(|outbound| outbound.attempt).map(|attempt| attempt.handle);
            if handle.is_some_and(|handle| self.client.abandon(handle).is_some()) {
                self.handle_no_answer(id, now);
            }
        }
        while let Some((at, id)) = self.outbounds.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.outbounds.deadlines.remove(&(at, id));
            let failure = self.outbounds.entries.get(&id).map(Outbound::overdue);
            if let Some(failure) = failure {
                self.finish(id, Outcome::Failure(failure));
            }
        }
    }

    /// Settles a delivery and gives its turn to the next one.
    fn finish(&mut self, id: Id, outcome: Outcome) {
        let Some(outbound) = self.outbounds.entries.remove(&id) else { return };
        self.outbounds.deadlines.remove(&(outbound.delivery.deadline, id));
        if let Some(attempt) = outbound.attempt {
            self.outbounds.silences.remove(&(attempt.silent_until, id));
            self.client.abandon(attempt.handle);
        }
        tracing::debug!(trace = %outbound.delivery.trace, outcome = outcome.label(), reason = outcome.reason(), "delivery settled");
        let (uri, active) = (outbound.uri, outbound.active);
        outbound.delivery.settle.settle(outcome);
        if !active {
            self.outbounds.queues.cancel(&uri, id);
        } else if let Some(next) = self.outbounds.queues.leave(&uri) {
            // Its turn begins here, even if its deadline passes before it does anything with it.
            if let Some(outbound) = self.outbounds.entries.get_mut(&next) {
                outbound.active = true;
            }
            self.outbounds.ready.push_back(next);
        }
    }

    /// Begins with those whose turn has come.
    pub(super) fn begin_ready(&mut self, now: Instant) {
        while let Some(id) = self.outbounds.ready.pop_front() {
            self.begin(id, now);
        }
    }

    /// Settles everything at the end of the instance.
    pub(super) fn stop(&mut self) {
        for (_, outbound) in std::mem::take(&mut self.outbounds.entries) {
            let cause =
                if outbound.attempt.is_some() || outbound.doubtful { Cause::Unconfirmed } else { Cause::ShuttingDown };
            outbound.delivery.settle(Failure::new(Side::Ours, cause));
        }
    }
}

impl Outbound {
    /// Why the deadline passed.
    fn overdue(&self) -> Box<Failure> {
        let (cause, text) = match (&self.attempt, &self.last) {
            (Some(_), _) => (Cause::Unconfirmed, "no answer in time; it may have arrived"),
            (None, Some(last)) => return last.clone(),
            (None, None) if self.looking => (Cause::DnsFailure, "the next hop was not found in time"),
            (None, None) => (Cause::RemoteTimeout, "an earlier message to the same address is not answered"),
        };
        Box::new(Failure::new(Side::Far, cause).with_text(text))
    }
}

impl KnownHop {
    fn of(text: &str) -> Self {
        match FixedHop::parse(text) {
            Some(hop) => hop.place().map_or(Self::Asking(Vec::new()), |place| Self::Direct(Arc::new([place]))),
            None => Self::Bad,
        }
    }
}

/// The message of a delivery; later kinds of operation have no capability here and never come.
fn instant_message(delivery: &Delivery) -> Option<&MessageOperation> {
    match &delivery.operation {
        Operation::Message(operation) => Some(operation),
        _ => None,
    }
}

/// The identifiers of the request for an operation (DESIGN A5).
pub(crate) fn request_ids(operation: &MessageOperation) -> RequestIds {
    match &operation.message.id {
        Some(id) => RequestIds::of_message(&operation.source, &operation.destination, id),
        None => RequestIds::random(rand::random()),
    }
}

/// What a final response that is no success means.
fn failure_of(response: &Message, status: u16) -> Option<Failure> {
    let phrase = response.reason().unwrap_or_default();
    let contact = response.addresses(HeaderId::Contact).next().and_then(Result::ok);
    let redirect = contact.and_then(|contact| address::from_sip_uri(contact.uri).ok()).map(|end| end.address);
    let pause = response.header(HeaderId::RetryAfter).and_then(|header| RetryAfter::parse(header.text().ok()?).ok());
    let pause = pause.map(|pause| Duration::from_secs(pause.seconds.into()));
    error::from_sip_status(status, &phrase, redirect, pause)
}
