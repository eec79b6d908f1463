//! What goes from one domain here to one domain elsewhere, and the stream that takes it there.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::{Delivery, Hop, PeerState, Target};
use bytes::BytesMut;
use impp_model::{Cause, Failure, Side};
use strict_xml::Element;
use xmpp_proto::server::{Pair, Session};
use xmpp_proto::stanza;

use super::super::connection::ConnectionId;
use super::streams::Machine;
use super::{Core, Timer, to_domain, to_jid_domain};
use crate::config::Acknowledge;
use crate::link::{Backoff, HIGH_WATER, Outbound, ProofOfPresence, Replies, Told, Verdict};

/// The deliveries and answers of one pair of domains.
pub(super) struct Route {
    number: u64,
    pub(super) outbound: Outbound,
    /// Answers, which go before deliveries.
    replies: VecDeque<Element>,
    pub(super) way: Way,
    /// Where the hub says the domain is served.
    pub(super) known: Vec<Target>,
    /// A stream of others has refused this pair: it gets one of its own.
    pub(super) is_alone: bool,
    /// To be resumed by the next stream.
    pub(super) session: Option<Session>,
    /// What was sent over a stream that broke is confirmed, or sent again, when that is resumed: until then nothing overtakes it.
    awaits: Option<Awaited>,
    backoff: Backoff,
    /// After a failure nothing is tried before this, and all that comes fails alike.
    barred: Option<(Instant, Failure)>,
    /// Something could not be sent: until then the domain is called again by itself, so that the hub hears when it is back.
    missed_until: Option<Instant>,
}

/// As long as a restart of a server takes; after that it is called when there is something to send.
const MISSED_FOR: Duration = Duration::from_secs(60);

/// The session of a broken stream, and how long it is waited for.
struct Awaited {
    session: String,
    until: Instant,
}

/// Shorter than a sender is held: then what is open is told as unconfirmed, and the hub sends it anew in its order.
const RESUME_PATIENCE: Duration = Duration::from_millis(1500);

/// How far the way to a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    None,
    /// Its servers are looked up.
    Locating,
    /// A stream of its own is being made.
    Calling(ConnectionId),
    /// A stream of others was asked to take it, too.
    Asked(ConnectionId),
    Open(ConnectionId),
}

/// Answers that wait for a way; beyond, a peer that asks more than it listens gets none.
const MAX_REPLIES: usize = 1024;

/// A token of a machine is the number of the route and the token there: routes have 40 bits of tokens.
const TOKEN_BITS: u32 = 40;

impl Way {
    pub(super) fn connection(self) -> Option<ConnectionId> {
        match self {
            Self::None | Self::Locating => None,
            Self::Calling(id) | Self::Asked(id) | Self::Open(id) => Some(id),
        }
    }
}

impl Route {
    pub(super) fn waiting(&self) -> usize {
        self.outbound.waiting()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.outbound.is_idle() && self.replies.is_empty()
    }

    pub(super) fn is_over(&self, id: ConnectionId) -> bool {
        self.way == Way::Open(id)
    }

    pub(super) fn shut_down(&mut self) {
        self.outbound.shut_down();
    }

    /// Whether a session is still waited for.
    fn await_resumption(&mut self, now: Instant) {
        let Some(awaited) = &self.awaits else { return };
        if awaited.until <= now {
            self.outbound.link_lost();
        }
        if !self.outbound.is_unproven() {
            self.awaits = None;
        }
    }

    fn wants_way(&self) -> bool {
        self.outbound.wants_link() || !self.replies.is_empty()
    }

    /// Answers what came. An error about a message is proven like one; other answers are worth nothing once the way is lost.
    pub(super) fn reply(&mut self, reply: Element, told: Told, now: Instant) {
        if &*reply.name == "message" {
            return self.outbound.reply(reply, told, now);
        }
        told.into_iter().for_each(|told| told());
        if self.replies.len() < MAX_REPLIES {
            self.replies.push_back(reply);
        }
    }
}

impl Core {
    /// The route of a pair, made when missing; `None` for a domain that only JIDs can have.
    pub(super) fn route(&mut self, pair: &Pair, now: Instant) -> Option<&mut Route> {
        if !self.routes.contains_key(pair) {
            let domain = to_domain(&pair.from)?;
            let acknowledge: Acknowledge = self.settings.acknowledge(&pair.to);
            let limits = &self.settings.limits;
            let errors = Replies::new(self.hub.clone(), limits.max_pending);
            let number = self.next_route;
            self.next_route += 1;
            let route = Route {
                number,
                outbound: Outbound::new(domain, acknowledge, ProofOfPresence::Needed, limits.max_stanza, errors, now),
                replies: VecDeque::new(),
                way: Way::None,
                known: Vec::new(),
                is_alone: false,
                session: None,
                awaits: None,
                backoff: Backoff::default(),
                barred: None,
                missed_until: None,
            };
            self.route_numbers.insert(number, pair.clone());
            self.routes.insert(pair.clone(), route);
        }
        self.routes.get_mut(pair)
    }

    pub(super) fn take_delivery(&mut self, delivery: Delivery, now: Instant) {
        let ends = (delivery.operation.source(), delivery.operation.destination());
        let domains = (to_jid_domain(ends.0.address.domain()), to_jid_domain(ends.1.address.domain()));
        let (Some(from), Some(to)) = domains else {
            return delivery.settle(Failure::new(Side::Far, Cause::AddressMalformed));
        };
        let pair = Pair { from, to };
        if !self.server.hosts.contains(&pair.from) {
            let text = "the source's domain is not served here";
            return delivery.settle(Failure::new(Side::Ours, Cause::NoRoute).with_text(text));
        }
        let known = match &*delivery.hop {
            Hop::Located { targets, .. } => targets.clone(),
            Hop::Fixed(hop) => match fixed_target(hop) {
                Some(target) => vec![target],
                None => {
                    let text = format!("{hop} is no next hop of XMPP");
                    return delivery.settle(Failure::new(Side::Ours, Cause::NoRoute).with_text(text));
                }
            },
            Hop::Link => Vec::new(),
        };
        let Some(route) = self.route(&pair, now) else {
            return delivery.settle(Failure::new(Side::Far, Cause::AddressMalformed));
        };
        route.known = known;
        route.outbound.admit(delivery);
        self.touched_routes.insert(pair);
    }

    /// Sends what the way takes, or looks for a way.
    pub(super) fn pump(&mut self, pair: &Pair, now: Instant) {
        let Some(route) = self.routes.get_mut(pair) else { return };
        route.outbound.expire(now);
        route.await_resumption(now);
        let is_missed = route.missed_until.is_some_and(|until| now < until);
        let wants_way = route.wants_way() && route.awaits.is_none() || route.session.is_some() || is_missed;
        if route.way == Way::None && wants_way {
            self.find_way(pair, now);
        }
        if let Some(Way::Open(id)) = self.routes.get(pair).map(|route| route.way) {
            self.send(pair, id, now);
        }
        if let Some(route) = self.routes.get_mut(pair) {
            route.outbound.give_back_overdue(now);
        }
        self.arm_route(pair, now);
    }

    fn arm_route(&mut self, pair: &Pair, now: Instant) {
        let Some(route) = self.routes.get(pair) else { return };
        let barred = route.barred.as_ref().map(|(until, _)| *until).filter(|until| *until > now);
        let is_over = route.way == Way::None && route.session.is_none() && barred.is_none();
        let is_forgotten = is_over && route.is_idle() && route.missed_until.is_none_or(|until| until <= now);
        if is_forgotten {
            self.route_numbers.remove(&route.number);
            self.routes.remove(pair);
            return self.timers.set(Timer::Route(pair.clone()), None);
        }
        let awaited = route.awaits.as_ref().map(|awaited| awaited.until);
        let due = [route.outbound.next_timeout(), barred, awaited].into_iter().flatten().min();
        self.timers.set(Timer::Route(pair.clone()), due);
    }

    pub(super) fn route_timeout(&mut self, pair: &Pair, now: Instant) {
        let overdue = self.routes.get_mut(pair).and_then(|route| {
            let is_overdue = route.session.as_ref().is_some_and(|session| session.deadline() <= now);
            if is_overdue { route.session.take() } else { None }
        });
        if let Some(session) = overdue {
            self.lose_session(&session);
        }
        self.touched_routes.insert(pair.clone());
    }

    fn send(&mut self, pair: &Pair, id: ConnectionId, now: Instant) {
        let (Some(route), Some(stream)) = (self.routes.get_mut(pair), self.streams.get_mut(&id)) else { return };
        if !stream.has_room() {
            return stream.handle.watch();
        }
        let mut out = BytesMut::new();
        while out.len() < HIGH_WATER
            && let Some(reply) = route.replies.pop_front()
        {
            let start = out.len();
            stanza::encode(&mut out, &reply);
            let octets = out.get(start..).unwrap_or_default();
            if stream.send_encoded(pair, octets, None, now).is_err() {
                route.replies.push_front(reply);
                break;
            }
        }
        out.clear();
        let verdict = route.outbound.pump(&mut out, &self.hub, now, SystemTime::now());
        let marks = route.outbound.take_marks();
        let is_managed = stream.is_managed();
        let mut start = 0;
        for mark in &marks {
            let octets = out.get(start..mark.end).unwrap_or_default();
            start = mark.end;
            let token = mark.token.map(|token| (route.number << TOKEN_BITS) | token);
            if stream.send_encoded(pair, octets, token, now).is_err()
                && let Some(token) = mark.token
            {
                route.outbound.handle_lost(token);
            }
        }
        let rest = out.get(start..).unwrap_or_default();
        if !rest.is_empty() && !is_managed {
            // A stream that ends at this moment tells so, and the route loses what was sent over it.
            let _ = stream.send_encoded(pair, rest, None, now);
        }
        if verdict == Verdict::Dead {
            tracing::warn!(%pair, "the addressee's server does not answer");
            stream.close(true, now);
        } else if route.wants_way() {
            stream.handle.watch();
        }
        self.touched_streams.insert(id);
    }

    /// The peer's word about a stanza of a managed stream.
    pub(super) fn acked(&mut self, token: u64, is_taken: bool) {
        let Some(pair) = self.route_numbers.get(&(token >> TOKEN_BITS)) else { return };
        let Some(route) = self.routes.get_mut(pair) else { return };
        let token = token & ((1 << TOKEN_BITS) - 1);
        if is_taken {
            route.outbound.handle_acked(token)
        } else {
            route.outbound.handle_lost(token)
        }
        self.touched_routes.insert(pair.clone());
    }

    /// Nobody will go on with a session.
    pub(super) fn lose_session(&mut self, session: &Session) {
        let tokens: Vec<_> = session.unacked().collect();
        for token in tokens {
            self.acked(token, false);
        }
    }

    /// The stream may carry the pair.
    pub(super) fn way_found(&mut self, id: ConnectionId, pair: &Pair, now: Instant) {
        self.open_way(id, pair, false, now);
    }

    /// The same; `resumed` if what was sent before is written again over it.
    fn open_way(&mut self, id: ConnectionId, pair: &Pair, resumed: bool, now: Instant) {
        let Some(stream) = self.streams.get(&id).filter(|stream| !self.is_undecided(stream)) else { return };
        let (is_managed, is_proven) = (stream.is_managed(), stream.proves(&pair.to));
        let Some(route) = self.routes.get_mut(pair) else { return };
        route.await_resumption(now);
        if route.awaits.is_some() || matches!(route.way, Way::Open(open) if open != id) {
            return;
        }
        if !resumed && !route.is_over(id) {
            // Its session may be resumed in minutes or never: a repeat must not wait for that while there is a way.
            route.outbound.forget_overdue();
        }
        route.way = Way::Open(id);
        (route.barred, route.missed_until) = (None, None);
        route.is_alone = false;
        route.backoff.reset();
        route.outbound.peer_is_proven(is_proven);
        if is_managed {
            route.outbound.managed_link_up(now);
        } else {
            route.outbound.link_up(rand::random(), now);
        }
        self.touched_routes.insert(pair.clone());
    }

    /// The stream has become one that acknowledges: what is open on it was not counted.
    pub(super) fn became_managed(&mut self, id: ConnectionId, now: Instant) {
        self.reopen(id, None, now);
    }

    /// Whether a server that called may yet ask for acknowledgements, or resume, as it does before its first stanza; what
    /// was sent to it before would not be counted.
    fn is_undecided(&self, stream: &super::Stream) -> bool {
        let is_new = matches!(stream.machine, Machine::In(_)) && !stream.has_spoken && !stream.is_managed();
        is_new && self.server.management.is_some()
    }

    /// What was sent over the stream may still be acknowledged, when its session goes on.
    pub(super) fn pause_ways(&mut self, id: ConnectionId, session: &str, now: Instant) {
        for (pair, route) in self.routes.iter_mut().filter(|(_, route)| route.is_over(id)) {
            route.outbound.link_paused();
            route.way = Way::None;
            let until = now + RESUME_PATIENCE;
            route.awaits = route.outbound.is_unproven().then(|| Awaited { session: session.to_owned(), until });
            self.touched_routes.insert(pair.clone());
        }
    }

    /// A session goes on over this stream, which has written again what was not acknowledged.
    pub(super) fn resumed(&mut self, id: ConnectionId, session: &str, now: Instant) {
        tracing::info!(stream = id, "stream resumed");
        self.inherits(id, session);
        self.tail_comes(session);
        self.reopen(id, Some(session), now);
    }

    fn reopen(&mut self, id: ConnectionId, session: Option<&str>, now: Instant) {
        let pairs = self.streams.get(&id).map(super::Stream::sending).unwrap_or_default();
        for pair in pairs {
            let Some(route) = self.routes.get_mut(&pair) else { continue };
            if route.awaits.as_ref().is_some_and(|awaited| Some(awaited.session.as_str()) == session) {
                route.awaits = None;
            }
            if route.is_over(id) {
                route.outbound.link_lost();
            }
            self.open_way(id, &pair, session.is_some(), now);
        }
    }

    /// The stream has ended.
    pub(super) fn ways_lost(&mut self, id: ConnectionId, fault: &str, now: Instant) {
        let of_stream = self.routes.iter().filter(|(_, route)| route.way.connection() == Some(id));
        let pairs: Vec<_> = of_stream.map(|(pair, _)| pair.clone()).collect();
        for pair in pairs {
            let Some(route) = self.routes.get_mut(&pair) else { continue };
            match std::mem::replace(&mut route.way, Way::None) {
                Way::Open(_) => route.outbound.link_lost(),
                Way::Asked(_) => route.is_alone = true,
                Way::Calling(_) => self.fail_route(&pair, fault, now),
                Way::None | Way::Locating => {}
            }
            self.touched_routes.insert(pair);
        }
    }

    /// There is no way: what waits is told, and for a moment nothing is tried.
    pub(super) fn fail_route(&mut self, pair: &Pair, why: &str, now: Instant) {
        // Nothing was sent: other than RFC 6120 §10.4.3 has it, this is not a timeout after which a message may have arrived.
        let failure = Failure::new(Side::Far, Cause::LinkDown).with_text(why);
        self.bar_route(pair, failure, now);
    }

    pub(super) fn bar_route(&mut self, pair: &Pair, failure: Failure, now: Instant) {
        let Some(route) = self.routes.get_mut(pair) else { return };
        route.way = Way::None;
        tracing::info!(%pair, reason = failure.cause.code(), why = failure.text, "no stream");
        if route.wants_way() && route.missed_until.is_none() {
            route.missed_until = Some(now + MISSED_FOR);
        }
        route.outbound.fail_waiting(&failure);
        route.replies.clear();
        // Whoever comes next says, or looks up, where the domain is by then.
        if route.missed_until.is_none_or(|until| until <= now) {
            route.outbound.give_replies_back();
            (route.missed_until, route.known) = (None, Vec::new());
        }
        route.barred = Some((now + route.backoff.next(rand::random()), failure));
        if let Some(peer) = to_domain(&pair.to) {
            self.hub.peer_changed(peer.as_str(), PeerState::Down);
        }
        self.touched_routes.insert(pair.clone());
    }

    /// Whether what comes for the pair fails without a try; then it has failed.
    pub(super) fn is_barred(&mut self, pair: &Pair, now: Instant) -> bool {
        let Some(route) = self.routes.get_mut(pair) else { return true };
        match &route.barred {
            Some((until, _)) if *until > now && route.session.is_some() => true,
            Some((until, failure)) if *until > now => {
                route.outbound.fail_waiting(failure);
                route.replies.clear();
                true
            }
            Some(_) | None => false,
        }
    }

    /// XEP-0198 §5: a stream that broke is made again, for what was not acknowledged.
    pub(super) fn resume_later(&mut self, session: Session, now: Instant) {
        let pair = session.pair().clone();
        let Some(route) = self.route(&pair, now) else { return };
        let pause = route.backoff.next(rand::random());
        let failure = Failure::new(Side::Far, Cause::LinkDown).with_text("the stream broke and is being resumed");
        route.barred = Some((now + pause, failure));
        route.session = Some(session);
        self.touched_routes.insert(pair);
    }

    /// Streams that could carry the pair, by what they carry already.
    pub(super) fn carrier(&self, pair: &Pair) -> Option<ConnectionId> {
        use xmpp_proto::server::Flow::Sending;
        let carries = |machine: &Machine| match machine {
            Machine::Calling(_) | Machine::Called => false,
            Machine::In(stream) => !stream.is_closed() && stream.pairs(Sending).any(|(proven, _)| proven == *pair),
            Machine::Out(stream) => !stream.is_closed() && stream.pairs(Sending).any(|(proven, _)| proven == *pair),
        };
        let mut open = self.streams.iter().filter(|(_, stream)| !self.is_undecided(stream));
        open.find(|(_, stream)| carries(&stream.machine)).map(|(id, _)| *id)
    }
}

/// `xmpp:ADDRESS:PORT`, with `;transport=tls` where TLS begins at once.
pub(super) fn fixed_target(hop: &str) -> Option<Target> {
    let rest = hop.strip_prefix("xmpp:")?;
    let (address, transport) = match rest.split_once(';') {
        Some((address, "transport=tls")) => (address, transport::Transport::Tls),
        Some((address, "transport=tcp")) => (address, transport::Transport::Tcp),
        Some(_) => return None,
        None => (rest, transport::Transport::Tcp),
    };
    let address: std::net::SocketAddr = address.parse().ok()?;
    Some(Target { host: address.ip().to_string(), address, transport: Some(transport) })
}
