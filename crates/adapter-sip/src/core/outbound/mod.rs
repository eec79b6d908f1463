//! Operations on their way to SIP peers.

mod hops;
mod results;
mod tries;

use super::Core;
use super::events::Sent;
use super::hop::{FixedHop, is_secure, located_places};
use super::peers::Peers;
use super::queues::{Queues, Turn};
use super::route::Place;
use crate::ids::{Recent, RequestIds};
use crate::mapping::address::to_sip_uri;
use crate::mapping::signal;
use adapter_api::{Delivery, Hop, Hub, PeerState, TraceId, settle_channel};
use hops::KnownHop;
use impp_model::{Cause, Domain, Failure, Kind, Operation, Outcome, Proof, Retry, Side};
use sip_proto::build::RequestBuilder;
use sip_proto::digest::Tries;
use sip_proto::transaction::Handle;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub(crate) use hops::LocatedHop;
pub(in crate::core) use results::pause;
pub(crate) use tries::{MAX_UNSAFE_REQUEST, fits_datagram};

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
    recent: Recent,
    ready: VecDeque<Id>,
    hops: BTreeMap<Arc<str>, KnownHop>,
    located: mpsc::Sender<LocatedHop>,
    peers: Peers,
    pub(in crate::core) own_listeners: Vec<SocketAddr>,
}

/// A delivery and how far it is.
#[derive(Debug)]
struct Outbound {
    delivery: Delivery,
    /// A request of a dialog, whose answer is the dialog's business.
    event: Option<Sent>,
    /// It goes to the target of its dialog, not to the servers of a domain.
    in_dialog: bool,
    /// Whose servers its request goes to.
    domain: Domain,
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
    form: Wrapped,
    /// Its peer refuses connections: too large for a datagram, it goes in one all the same.
    oversize_over_udp: bool,
    /// RFC 3261 §22.2: how often it was sent again with the proof that a server asked for.
    proofs: u32,
    challenges: Tries,
    last: Option<Box<Failure>>,
}

/// Whether a message goes out as message/cpim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrapped {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It did, and was refused so.
    Refused,
}

/// The try at one server.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    handle: Handle,
    place: Place,
    since: Instant,
    silent_until: Instant,
    /// Whether there was a provisional response.
    heard: bool,
    oversize: bool,
}

impl Outbounds {
    pub(in crate::core) fn new(queue_per_uri: usize, located: mpsc::Sender<LocatedHop>) -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            deadlines: BTreeSet::new(),
            silences: BTreeSet::new(),
            queues: Queues::new(queue_per_uri),
            recent: Recent::default(),
            ready: VecDeque::new(),
            hops: BTreeMap::new(),
            located,
            peers: Peers::default(),
            own_listeners: Vec::new(),
        }
    }

    pub(in crate::core) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes whether a domain could be reached.
    pub(in crate::core) fn note_peer(&mut self, hub: &Hub, domain: &Domain, state: PeerState) {
        self.peers.note(hub, domain, state);
    }

    pub(in crate::core) fn poll_timeout(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, Id)>| set.first().map(|(at, _)| *at);
        [first(&self.deadlines), first(&self.silences)].into_iter().flatten().min()
    }
}

impl Core {
    /// Takes one delivery.
    pub(in crate::core) fn handle_delivery(&mut self, delivery: Delivery, now: Instant) {
        if self.draining {
            return delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        match delivery.operation.kind() {
            Kind::Subscribe => return self.handle_subscribe_delivery(delivery, now),
            Kind::Notify => return self.handle_notify_delivery(delivery, now),
            // RFC 6665 §4.2.2: watchers here hear of it by how their subscription stands.
            Kind::Authorize => return delivery.settle(Outcome::Success(Proof::Server)),
            Kind::Message | Kind::Disposition | Kind::Composing | Kind::Publish | _ => {}
        }
        if let Some(delivery) = self.settle_signal(delivery, now) {
            self.enqueue(delivery);
        }
    }

    /// Takes one that needs a request.
    pub(in crate::core) fn enqueue(&mut self, delivery: Delivery) {
        let Some(end) = signal::destination(&delivery.operation) else {
            return delivery.settle(Failure::new(Side::Ours, Cause::NotImplemented));
        };
        let domain = end.address.domain();
        let delivery = Delivery { hop: self.hop_to(domain, &delivery), ..delivery };
        let uri: Arc<str> = to_sip_uri(&end).into();
        let id = self.next_id();
        let outbounds = &mut self.outbounds;
        let turn = outbounds.queues.enter(&uri, id);
        if turn == Turn::Full {
            let failure =
                Failure::new(Side::Ours, Cause::Overload).with_text("too many messages wait for this addressee");
            return delivery.settle(failure);
        }
        self.enter(id, delivery, domain.clone(), uri, turn == Turn::Now);
    }

    /// The way to where a delivery's request goes: that of the hub, unless a report goes back by a route in another domain.
    fn hop_to(&self, domain: &Domain, delivery: &Delivery) -> Arc<Hop> {
        if domain == delivery.operation.destination().address.domain() {
            return delivery.hop.clone();
        }
        let configuration = self.context.configuration.borrow();
        let entry = configuration.renamed(self.hub.instance(), domain).or_else(|| configuration.domain(domain));
        let ours = entry.is_none_or(|entry| entry.adapter.as_ref().is_none_or(|name| name == self.hub.instance()));
        let secure = is_secure(&delivery.hop);
        let hop = match entry.and_then(|entry| entry.next_hop.clone()) {
            Some(hop) => Hop::Fixed(hop),
            None => Hop::Fixed(format!("{}:{domain}", if secure { "sips" } else { "sip" }).into()),
        };
        // What is another network's, and what would go in clear where the hub chose TLS, stays on the way to the sender.
        if ours && (is_secure(&hop) || !secure) { Arc::new(hop) } else { delivery.hop.clone() }
    }

    /// Sends a request of a dialog; what comes of it goes to the dialog.
    pub(in crate::core) fn send_event(
        &mut self,
        request: RequestBuilder,
        hop: Arc<Hop>,
        about: Arc<Operation>,
        sent: Sent,
        now: Instant,
    ) {
        self.outbounds.next += 1;
        let id = self.outbounds.next;
        let (settle, deadline) = (settle_channel().0, now + EVENT_PATIENCE);
        let (trace, operation) = (TraceId(0), about);
        let (repeat, edition, proven_only) = (false, 0, false);
        let delivery = Delivery { trace, operation, repeat, edition, proven_only, hop, deadline, settle };
        // Requests of a dialog stand in no queue: each dialog sends one at a time.
        let domain = delivery.operation.destination().address.domain().clone();
        self.enter(id, delivery, domain, Arc::default(), true);
        let in_dialog = self.events.is_within(&sent);
        if let Some(outbound) = self.outbounds.entries.get_mut(&id) {
            outbound.in_dialog = in_dialog;
            outbound.event = Some(sent);
            outbound.request = Some(request);
            outbound.ids = Some(RequestIds::random(rand::random()));
        }
    }

    fn enter(&mut self, id: Id, delivery: Delivery, domain: Domain, uri: Arc<str>, active: bool) {
        let outbounds = &mut self.outbounds;
        outbounds.deadlines.insert((delivery.deadline, id));
        let doubtful = delivery.repeat;
        let outbound = Outbound {
            delivery,
            event: None,
            in_dialog: false,
            domain,
            uri,
            active,
            looking: false,
            ids: None,
            request: None,
            places: Arc::default(),
            tried: 0,
            attempt: None,
            doubtful,
            form: Wrapped::No,
            oversize_over_udp: false,
            proofs: 0,
            challenges: Tries::default(),
            last: None,
        };
        outbounds.entries.insert(id, outbound);
        if active {
            self.outbounds.ready.push_back(id);
        }
    }

    /// A name for a request on its way; one that is no delivery's is an errand's.
    pub(in crate::core) fn next_id(&mut self) -> Id {
        self.outbounds.next += 1;
        self.outbounds.next
    }

    /// Begins with a delivery whose turn it is.
    fn begin(&mut self, id: Id, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        let hop = outbound.delivery.hop.clone();
        outbound.looking = true;
        match &*hop {
            Hop::Fixed(text) => match outbound.event.as_ref().and_then(|_| FixedHop::parse(text)?.place()) {
                // The Contact of one peer: nothing to look up, and nothing that others would need.
                Some(place) => self.try_places(id, Arc::new([place]), now),
                None => self.find_hop(id, text, now),
            },
            Hop::Link | Hop::Located { .. } => match located_places(&hop) {
                Ok(places) => self.try_places(id, places, now),
                Err(failure) => self.finish(id, Outcome::Failure(failure)),
            },
        }
    }

    /// Settles what is due.
    pub(in crate::core) fn handle_deadlines(&mut self, now: Instant) {
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
                self.note_silence(id, now);
                self.finish(id, Outcome::Failure(failure));
            }
        }
    }

    /// Settles a delivery and gives its turn to the next one.
    fn finish(&mut self, id: Id, outcome: Outcome) {
        let Some(outbound) = self.outbounds.entries.remove(&id) else {
            return self.errand_failed(id, &outcome, Instant::now());
        };
        self.outbounds.deadlines.remove(&(outbound.delivery.deadline, id));
        if let Some(attempt) = outbound.attempt {
            self.outbounds.silences.remove(&(attempt.silent_until, id));
            self.client.abandon(attempt.handle);
        }
        let outcome = outbound.with_doubt(outcome);
        tracing::debug!(trace = %outbound.delivery.trace, outcome = outcome.label(), reason = outcome.reason(), "delivery settled");
        let (uri, active) = (outbound.uri, outbound.active);
        let is_tried_again = active && outbound.event.is_none() && is_tried_again(&outcome);
        let operation = Some(outbound.delivery.operation.clone()).filter(|_| is_tried_again);
        if let Some(sent) = &outbound.event {
            self.handle_event_answer(sent, None, outcome.clone(), Instant::now());
        }
        outbound.delivery.settle.settle(outcome);
        if !active {
            return self.outbounds.queues.cancel(&uri, id);
        }
        if let Some(operation) = operation {
            self.give_back_behind(&operation, &uri);
        }
        if let Some(next) = self.outbounds.queues.leave(&uri) {
            // Its turn begins here, even if its deadline passes before it does anything with it.
            if let Some(outbound) = self.outbounds.entries.get_mut(&next) {
                outbound.active = true;
            }
            self.outbounds.ready.push_back(next);
        }
    }

    /// Gives back what its sender has sent to the same addressee after a message that is tried again: the hub keeps them all in
    /// their order (DESIGN A5). What others have sent goes on.
    fn give_back_behind(&mut self, failed: &Operation, uri: &Arc<str>) {
        let is_behind = |id: &Id| {
            let operation = self.outbounds.entries.get(id).map(|outbound| &outbound.delivery.operation);
            operation.is_some_and(|operation| is_of_pair(operation, failed))
        };
        let behind: Vec<_> = self.outbounds.queues.waiting(uri).filter(is_behind).collect();
        for id in behind {
            let failure = Failure::new(Side::Far, Cause::LinkDown)
                .with_text("not sent: an earlier message to the same addressee is to be tried again first");
            self.finish(id, Outcome::from(failure));
        }
    }

    /// Begins with those whose turn has come.
    pub(in crate::core) fn begin_ready(&mut self, now: Instant) {
        while let Some(id) = self.outbounds.ready.pop_front() {
            self.begin(id, now);
        }
    }

    /// Settles everything at the end of the instance.
    pub(in crate::core) fn stop(&mut self) {
        for (_, outbound) in std::mem::take(&mut self.outbounds.entries) {
            let cause =
                if outbound.attempt.is_some() || outbound.doubtful { Cause::Unconfirmed } else { Cause::ShuttingDown };
            outbound.delivery.settle(Failure::new(Side::Ours, cause));
        }
    }
}

impl Outbound {
    /// What is to be tried again is unconfirmed if any server may have it, whatever the last one said: its next try must be
    /// known for a repeat.
    fn with_doubt(&self, outcome: Outcome) -> Outcome {
        match outcome {
            // Of a repeat the hub knows it.
            Outcome::Failure(failure)
                if self.doubtful
                    && !self.delivery.repeat
                    && (failure.side, failure.may_have_arrived()) == (Side::Far, false)
                    && failure.retry != Retry::Never =>
            {
                let text = failure.text.as_deref().unwrap_or("another server failed");
                let text = format!("an earlier server may have it; {text}");
                Failure::new(Side::Far, Cause::Unconfirmed).with_text(text).with_retry(failure.retry).into()
            }
            outcome @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant | Outcome::Failure(_)) => {
                outcome
            }
        }
    }

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

/// Whether the hub tries it again.
fn is_tried_again(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failure(failure) => {
            let no_room = matches!((failure.side, failure.cause), (Side::Ours, Cause::Overload | Cause::InternalError));
            failure.retry != Retry::Never && !no_room
        }
        Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => false,
    }
}

/// Whether both are messages from one source to one destination.
fn is_of_pair(one: &Operation, other: &Operation) -> bool {
    let (Operation::Message(one), Operation::Message(other)) = (one, other) else { return false };
    one.source.address == other.source.address && one.destination.address == other.destination.address
}

/// RFC 3261 §17.1.2.2, Timer F, and time to find the way.
const EVENT_PATIENCE: Duration = Duration::from_secs(40);
