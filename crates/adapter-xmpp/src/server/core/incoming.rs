//! Connections from others, and the stanzas that streams bring.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::{Provenance, SourceProof, SpeaksFor};
use strict_xml::Element;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, error::SendError};
use transport::{ListenAddr, Transport, site_of};
use xmpp_proto::jid;
use xmpp_proto::server::{Pair, Proof, Session};
use xmpp_proto::stanza::{Condition, Stanza};

use super::super::connection::{self, ConnectionId};
use super::streams::{Machine, Stream};
use super::{Core, Event, MAX_CONNECTIONS, SettledStanza, to_domain};
use crate::link::{Inbound, Settled, owe};

/// A connection that a listener took.
pub(super) struct Arrival {
    socket: TcpStream,
    address: SocketAddr,
    direct: bool,
}

/// A connection that is gone, and the session that it carried: what came over it is settled there.
pub(super) struct Broken {
    session: String,
    /// The session's pair.
    pair: Pair,
    /// Stanzas handed in and not settled, or answered with what is not safe yet.
    open: usize,
    /// The stream that goes on with the session, or tries to.
    heir: Option<ConnectionId>,
}

/// Connections from one site: a provider's servers share few addresses, and one host must not take all there are.
const MAX_PER_ADDRESS: usize = 200;

/// After an error of the operating system, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections for ever.
pub(super) async fn accept(listen: ListenAddr, listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    let direct = listen.transport == Transport::Tls;
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                if arrivals.send(Arrival { socket, address, direct }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%listen, %error, "a connection was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What came over a managed stream that broke, or seems to live on, and may come again over another.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    /// The session that the peer may resume instead.
    session: Option<String>,
    until: Instant,
}

/// How long servers keep what was not acknowledged when a stream broke: as long as they let it be resumed (XEP-0198 §5), which
/// is ten minutes at the usual most.
const COMES_AGAIN: Duration = Duration::from_secs(600);

/// Pairs with such a tail; beyond, what comes again without an id is taken for new.
const MAX_TAILS: usize = 4_096;

impl Core {
    pub(super) fn arrived(&mut self, arrival: Arrival, _: Instant) {
        let Arrival { socket, address, direct } = arrival;
        let site = site_of(address.ip());
        let from_there = |stream: &&Stream| {
            let is_incoming = matches!(stream.machine, Machine::In(_) | Machine::Called);
            is_incoming && stream.address.is_some_and(|other| site_of(other.ip()) == site)
        };
        // Calls about keys have a limit of their own, lest who causes them keep others out.
        let served = self.streams.values().filter(|stream| stream.callback.is_none()).count();
        // XEP-0205 §3: what one address may hold, or one network of IPv6.
        if served >= MAX_CONNECTIONS || self.streams.values().filter(from_there).count() >= MAX_PER_ADDRESS {
            tracing::warn!(hop = %address, reason = "too-many-connections", "connection refused");
            return;
        }
        if let Err(error) = crate::link::prepare(&socket) {
            tracing::debug!(hop = %address, %error, "connection lost at once");
            return;
        }
        let id = self.next_connection;
        self.next_connection += 1;
        let (handle, line) = connection::line(id, self.connections.clone());
        let [plain, secured] = &self.acceptor;
        let acceptor = if direct { secured.clone() } else { plain.clone() };
        tokio::spawn(connection::serve(line, socket, address, acceptor, direct));
        self.streams.insert(id, Stream::new(Machine::Called, handle, Some(address)));
    }

    /// The peer has proven that it may send stanzas of the pair over the stream.
    pub(super) fn way_in(&mut self, id: ConnectionId, pair: &Pair, by: Proof, now: Instant) {
        let Some(domain) = to_domain(&pair.from) else { return };
        self.tail_of_living(id, pair, now);
        let provenance = Arc::new(Provenance {
            may_repeat: false,
            adapter: self.hub.instance().clone(),
            peer: pair.from.as_str().into(),
            proof: match by {
                Proof::External | Proof::Certificate => SourceProof::Certificate,
                Proof::Dialback | Proof::Discovery => SourceProof::Dialback,
            },
            speaks_for: SpeaksFor::Domains([domain].into()),
        });
        let (sender, of, owing) = (self.sender.clone(), pair.clone(), self.hub.clone());
        let settlements = Box::new(move |settled: Settled| {
            let unsent = sender.send(Event::Settled(id, of.clone(), SettledStanza::from(settled)));
            // Without a core the gateway has stopped.
            if let Err(SendError(Event::Settled(.., SettledStanza { reply: Some(reply), .. }))) = unsent {
                owe(&owing, &reply, false, None);
            }
        });
        let limit = self.settings.limits.max_pending;
        // Names of operations differ between streams of one process.
        let nonce = self.nonce.wrapping_add(self.next_inbound());
        let inbound = Inbound::new(self.hub.clone(), provenance, None, limit, nonce, settlements);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.inbound.insert(pair.clone(), inbound);
        }
    }

    fn next_inbound(&mut self) -> u64 {
        self.inbounds += 1;
        self.inbounds
    }

    /// Takes a stanza that the machine has found to be of a proven pair.
    pub(super) fn handle_stanza(&mut self, id: ConnectionId, element: Element, number: Option<u64>, now: Instant) {
        if self.hand_in(id, element, number, now).unwrap_or(false) {
            self.count_open(id);
        } else if let Some(number) = number {
            self.count_settled(id, number, now);
        }
    }

    /// Whether [`handle_settled`](Self::handle_settled) is to hear of the stanza; `None` for what has no way in.
    fn hand_in(&mut self, id: ConnectionId, element: Element, number: Option<u64>, now: Instant) -> Option<bool> {
        let pair = pair_of(&element)?;
        let back = pair.inverse();
        self.route(&back, now)?;
        let (stream, route) = (self.streams.get_mut(&id)?, self.routes.get_mut(&back)?);
        stream.has_spoken = true;
        let inbound = stream.inbound.get(&pair)?;
        let may_repeat = self.tails.get(&pair).is_some_and(|tail| now < tail.until);
        let arrival = crate::link::Arrival { number: number.unwrap_or(0), may_repeat, now, wall: SystemTime::now() };
        let taken = inbound.handle(element, arrival, &mut route.outbound);
        let mut is_open = taken.is_open;
        if let Some(reply) = taken.reply {
            // The peer may forget it when the answer is safe.
            let told = number.map(|number| told(&self.sender, id, &pair, number));
            is_open = told.is_some();
            route.reply(reply, told, now);
        }
        self.touched_routes.insert(back);
        Some(is_open)
    }

    /// RFC 6120 §4.9.3.14: too much of something, of which only the start tag was kept.
    pub(super) fn handle_excess(&mut self, id: ConnectionId, element: &Element, number: Option<u64>, now: Instant) {
        let reply = match Stanza::from_element(element.clone()) {
            Ok(Stanza::Message(message)) => message.error_reply(&Condition::PolicyViolation.into()),
            Ok(Stanza::Presence(_)) => None,
            Ok(Stanza::Iq(iq)) => iq.error_reply(&Condition::PolicyViolation.into()),
            Err(rejected) => rejected.reply(),
        };
        if let (Some(reply), Some(pair)) = (reply, pair_of(element)) {
            let back = pair.inverse();
            let told = number.map(|number| told(&self.sender, id, &pair, number));
            if let Some(route) = self.route(&back, now) {
                route.reply(reply, told, now);
                self.touched_routes.insert(back);
                if number.is_some() {
                    self.count_open(id);
                }
                return;
            }
        }
        if let Some(number) = number {
            self.count_settled(id, number, now);
        }
    }

    /// What came over a stream has met its fate, or is on disk: the peer may forget it.
    pub(super) fn handle_settled(&mut self, id: ConnectionId, pair: &Pair, settled: SettledStanza, now: Instant) {
        if let Some(reply) = settled.reply {
            let (back, number) = (pair.inverse(), settled.number);
            let told = (number > 0).then(|| told(&self.sender, id, pair, number));
            if let Some(route) = self.route(&back, now) {
                let is_told = told.is_some();
                route.outbound.reply(reply, told, now);
                self.pump(&back, now);
                if is_told {
                    // Counted when the error is safe, lest the peer take the message for delivered: it is open until then.
                    return;
                }
            }
        }
        if settled.number > 0 {
            self.count_settled(id, settled.number, now);
        }
        if settled.is_open {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.open = stream.open.saturating_sub(1);
            self.touched_streams.insert(id);
        }
        if let Some(broken) = self.broken.get_mut(&id) {
            broken.open = broken.open.saturating_sub(1);
            self.forget_broken(id);
        }
    }

    /// One more of what came over a stream is to be settled.
    fn count_open(&mut self, id: ConnectionId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.open += 1;
        }
        if let Some(broken) = self.broken.get_mut(&id) {
            broken.open += 1;
        }
    }

    /// The stream that a stanza came over counts it, or the session that goes on with that: there the peer repeats it unless
    /// it hears of this, and under the same number.
    fn count_settled(&mut self, id: ConnectionId, number: u64, now: Instant) {
        let Some(Broken { session: name, pair, heir, .. }) = self.broken.get(&id) else {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.settled(number, now);
                self.touched_streams.insert(id);
            }
            return;
        };
        let called = self.routes.get_mut(pair).and_then(|route| route.session.as_mut());
        let called = called.filter(|session| session.id() == name);
        if let Some(session) = self.sessions.get_mut(name).or(called) {
            session.handle_settled(number);
        } else if let Some(heir) = *heir
            && let Some(stream) = self.streams.get_mut(&heir)
        {
            stream.settled_of(name, number, now);
            self.touched_streams.insert(heir);
        }
    }

    /// The stream broke, and its session may go on elsewhere.
    pub(super) fn broke(&mut self, id: ConnectionId, session: &Session, now: Instant) {
        self.pause_ways(id, session.id(), now);
        self.tail_left(id, Some(session.id()), now);
        let open = self.streams.get(&id).map_or(0, |stream| stream.open);
        let (name, pair) = (session.id().to_owned(), session.pair().clone());
        self.broken.insert(id, Broken { session: name, pair, open, heir: None });
    }

    /// What the peer has not heard of may come again over another stream, until it resumes the session, if there is one.
    pub(super) fn tail_left(&mut self, id: ConnectionId, session: Option<&str>, now: Instant) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.has_spoken) else { return };
        let pairs: Vec<_> = stream.inbound.keys().cloned().collect();
        pairs.into_iter().for_each(|pair| self.tail_of(pair, session, now));
    }

    fn tail_of(&mut self, pair: Pair, session: Option<&str>, now: Instant) {
        if self.tails.len() >= MAX_TAILS && !self.tails.contains_key(&pair) {
            self.tails.retain(|_, tail| now < tail.until);
            if self.tails.len() >= MAX_TAILS {
                return;
            }
        }
        let tail = Tail { session: session.map(str::to_owned), until: now + COMES_AGAIN };
        let before = self.tails.insert(pair.clone(), tail);
        // Two sessions left one: that one of them is resumed says nothing of the other's.
        if before.is_some_and(|before| now < before.until && before.session.as_deref() != session)
            && let Some(tail) = self.tails.get_mut(&pair)
        {
            tail.session = None;
        }
    }

    /// A peer that proves a pair anew may know that the stream before is broken while its end is not heard of here.
    fn tail_of_living(&mut self, id: ConnectionId, pair: &Pair, now: Instant) {
        let others = self.streams.iter().filter(|(other, stream)| {
            **other != id && stream.was_managed && stream.has_spoken && stream.inbound.contains_key(pair)
        });
        let sessions: Vec<_> = others.map(|(_, stream)| stream.session_name().map(str::to_owned)).collect();
        sessions.iter().for_each(|session| self.tail_of(pair.clone(), session.as_deref(), now));
    }

    /// The session goes on: what comes again has its number.
    pub(super) fn tail_comes(&mut self, session: &str) {
        self.tails.retain(|_, tail| tail.session.as_deref() != Some(session));
    }

    /// Forgets a connection that is gone when everything that came over it is settled.
    pub(super) fn forget_broken(&mut self, id: ConnectionId) {
        let is_settled = self.broken.get(&id).is_some_and(|broken| broken.open == 0);
        if is_settled && !self.streams.contains_key(&id) {
            self.broken.remove(&id);
        }
    }

    /// A stream goes on with a session, or is made in order to.
    pub(super) fn inherits(&mut self, id: ConnectionId, session: &str) {
        for broken in self.broken.values_mut().filter(|broken| broken.session == session) {
            broken.heir = Some(id);
        }
    }

    /// The peer goes on with a stream that broke.
    pub(super) fn resume(&mut self, id: ConnectionId, name: &str, now: Instant) {
        let kept = self.sessions.remove(name).or_else(|| self.take_living_session(id, name, now));
        let Some(Machine::In(machine)) = self.streams.get_mut(&id).map(|stream| &mut stream.machine) else { return };
        if let Err(other) = machine.handle_session(kept, now) {
            self.keep_session(*other);
        }
    }

    /// The session of a stream whose peer has noticed its end before us.
    fn take_living_session(&mut self, id: ConnectionId, name: &str, now: Instant) -> Option<Session> {
        let Machine::In(asking) = &self.streams.get(&id)?.machine else { return None };
        let pair = asking.pair()?.clone();
        // Taking it ends the stream: whoever has its name and proves its pair, and nobody else.
        let found = self.streams.iter_mut().find_map(|(other, stream)| match &mut stream.machine {
            Machine::In(machine) if machine.session_name() == Some(name) && machine.pair() == Some(&pair) => {
                machine.take_session(now).map(|session| (*other, session))
            }
            Machine::In(_) | Machine::Out(_) | Machine::Calling(_) | Machine::Called => None,
        });
        let (other, session) = found?;
        self.broke(other, &session, now);
        self.touched_streams.insert(other);
        Some(session)
    }
}

/// Settles a stanza when the answer to it is safe; until then it is open.
fn told(sender: &mpsc::UnboundedSender<Event>, id: ConnectionId, pair: &Pair, number: u64) -> Box<dyn FnOnce() + Send> {
    let (sender, pair) = (sender.clone(), pair.clone());
    // Without a core the gateway has stopped.
    Box::new(move || drop(sender.send(Event::Settled(id, pair, SettledStanza { number, reply: None, is_open: false }))))
}

/// The domains of a stanza.
fn pair_of(element: &Element) -> Option<Pair> {
    let domain = |name| jid::Domain::parse(jid::Domain::part_of(element.attr(name)?)).ok();
    Some(Pair { from: domain("from")?, to: domain("to")? })
}
