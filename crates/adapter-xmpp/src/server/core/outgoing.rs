//! Finding and making ways to other domains.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use adapter_api::Target;
use impp_model::{Cause, Failure, Side};
use impp_resolve::{Limits, Outcome, locate_xmpp};
use transport::Transport;
use transport::dane::Discovery;
use xmpp_proto::dialback::DialbackCondition;
use xmpp_proto::jid;
use xmpp_proto::server::{Entropy, IncomingStream, OutgoingStream, Pair, Purpose, Security};

use super::super::connection::{self, ConnectionId, Part, Secured};
use super::routes::Way;
use super::streams::{Call, Machine, Stream};
use super::{Core, Event, to_domain};

impl Core {
    /// Takes a stream that is there, or makes one.
    pub(super) fn find_way(&mut self, pair: &Pair, now: Instant) {
        if self.is_barred(pair, now) {
            return;
        }
        let Some(route) = self.routes.get(pair) else { return };
        if route.session.is_none() {
            if let Some(id) = self.carrier(pair) {
                return self.way_found(id, pair, now);
            }
            if self.settings.multiplex
                && !route.is_alone
                && let Some(id) = self.ask_carrier(pair, now)
            {
                return self.set_way(pair, Way::Asked(id));
            }
        }
        let known = self.routes.get(pair).map(|route| route.known.as_slice()).unwrap_or_default();
        let targets = self.servers.reorder(known, |target| target.address, now).unwrap_or_else(|| known.to_vec());
        let for_pair = |target: &Target| (pair.to.clone(), target.address);
        let targets = VecDeque::from(self.useless.reorder(&targets, for_pair, now).unwrap_or(targets));
        if targets.is_empty() {
            self.set_way(pair, Way::Locating);
            return self.locate(pair.to.clone());
        }
        let session = self.routes.get_mut(pair).and_then(|route| route.session.take());
        let call = Call { pair: pair.clone(), callback: None, session, questions: Vec::new(), targets };
        self.call(call, now);
    }

    fn set_way(&mut self, pair: &Pair, way: Way) {
        if let Some(route) = self.routes.get_mut(pair) {
            route.way = way;
        }
    }

    /// XEP-0220 §2.6: asks a stream to the same domain, or to the same place, to take this pair, too.
    fn ask_carrier(&mut self, pair: &Pair, now: Instant) -> Option<ConnectionId> {
        let known: Vec<SocketAddr> =
            self.routes.get(pair).map(|route| route.known.iter().map(|target| target.address).collect())?;
        for (id, stream) in &mut self.streams {
            let Machine::Out(machine) = &mut stream.machine else { continue };
            let is_same =
                machine.pair().to == pair.to || stream.address.is_some_and(|address| known.contains(&address));
            // COMPAT ejabberd 23.01: where certificates are demanded it leaves keys without an answer.
            if is_same && !machine.is_external() && !machine.is_closed() && machine.authorize(pair.clone(), now).is_ok()
            {
                self.touched_streams.insert(*id);
                return Some(*id);
            }
        }
        None
    }

    /// Calls the next target; without any, who waits for it has failed.
    pub(super) fn call(&mut self, mut call: Call, now: Instant) {
        let Some(target) = call.targets.pop_front() else {
            return self.uncalled(call, "no server of the domain answers", now);
        };
        let (Some(domain), Some(source)) = (to_domain(&call.pair.to), to_domain(&call.pair.from)) else {
            return self.uncalled(call, "no domain of the name system", now);
        };
        if let Some(fault) = call.callback.and_then(|callback| self.callback_fault(callback, target.address, now)) {
            return self.unverifiable(call.questions, fault, now);
        }
        let id = self.next_connection;
        self.next_connection += 1;
        if call.purpose() == Purpose::Stanzas {
            self.set_way(&call.pair, Way::Calling(id));
        }
        if let Some(session) = &call.session {
            self.inherits(id, session.id());
        }
        let (handle, line) = connection::line(id, self.connections.clone());
        let part = Part::Client { tls: Arc::clone(&self.context.tls), domain, source, discovery: Discovery::Insecure };
        let direct = target.transport == Some(Transport::Tls);
        tracing::debug!(pair = %call.pair, hop = %target.address, direct, "calls");
        // The others stay: they are tried by themselves should this one be none that can be talked to.
        let is_same = |other: &&Target| {
            (&other.host, other.transport, other.address.port())
                == (&target.host, target.transport, target.address.port())
        };
        let others = call.targets.iter().filter(is_same).map(|other| other.address);
        let addresses = [target.address].into_iter().chain(others).collect();
        tokio::spawn(connection::call(line, addresses, target.host, part, direct));
        self.streams.insert(id, Stream::new(Machine::Calling(Box::new(call)), handle, Some(target.address)));
    }

    /// The connection is there: the stream begins.
    pub(super) fn opened(&mut self, id: ConnectionId, address: SocketAddr, secured: Option<Secured>, now: Instant) {
        let server = Arc::clone(&self.server);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.address = Some(address);
        let security = match secured {
            Some(secured) => Security::Tls(stream.secured(secured)),
            None => Security::Plain,
        };
        stream.machine = match std::mem::replace(&mut stream.machine, Machine::Called) {
            Machine::Calling(call) => {
                self.servers.up(address);
                let purpose = call.purpose();
                let Call { pair, session, questions, .. } = *call;
                let mut machine = match session {
                    Some(session) => OutgoingStream::resuming(server, session, security, now),
                    None => OutgoingStream::new(server, pair, purpose, security, now),
                };
                for question in questions {
                    machine.verify(question, now);
                }
                Machine::Out(Box::new(machine))
            }
            Machine::Called => {
                let entropy = Entropy::new(rand::random());
                Machine::In(Box::new(IncomingStream::new(server, entropy, security, now)))
            }
            machine @ (Machine::In(_) | Machine::Out(_)) => machine,
        };
        self.touched_streams.insert(id);
    }

    /// There is no connection: the next target is tried.
    pub(super) fn not_connected(&mut self, id: ConnectionId, why: &str, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if let (Machine::Calling(_), Some(address)) = (&stream.machine, stream.address) {
            self.servers.down(address, now);
        }
        match stream.machine {
            Machine::Calling(call) if call.targets.is_empty() => self.uncalled(*call, why, now),
            Machine::Calling(call) => {
                tracing::debug!(pair = %call.pair, hop = ?stream.address, why, "the next server is tried");
                self.call(*call, now);
            }
            Machine::Called => tracing::debug!(hop = ?stream.address, why, "connection refused"),
            Machine::In(_) | Machine::Out(_) => {}
        }
    }

    fn uncalled(&mut self, call: Call, why: &str, now: Instant) {
        match call.purpose() {
            Purpose::Verification => {
                self.unverifiable(call.questions, DialbackCondition::RemoteConnectionFailed, now);
            }
            Purpose::Stanzas => {
                if let Some(route) = self.routes.get_mut(&call.pair) {
                    route.session = call.session;
                }
                self.fail_route(&call.pair, why, now);
            }
        }
    }

    /// The peer does not take the pair over this stream.
    pub(super) fn refused(&mut self, id: ConnectionId, pair: &Pair, reason: &str, now: Instant) {
        tracing::info!(%pair, reason, "refused by the peer");
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_own = matches!(&stream.machine, Machine::Out(machine) if machine.pair() == pair);
        if is_own {
            stream.fault = Some(reason.to_owned());
        }
        if let Some(route) = self.routes.get_mut(pair).filter(|route| route.way == Way::Asked(id)) {
            route.way = Way::None;
            route.is_alone = true;
            self.touched_routes.insert(pair.clone());
        } else if is_own && self.routes.get(pair).is_some_and(|route| route.way == Way::Calling(id)) {
            // XEP-0220 §2.1.1: what waits is returned; the stream closes when it serves nothing else.
            self.fail_route(pair, reason, now);
        }
    }

    /// Looks up the servers of a domain; [`Event::Located`] tells.
    pub(super) fn locate(&self, domain: jid::Domain) {
        let (dns, sender) = (Arc::clone(&self.context.dns), self.sender.clone());
        let listen = self.settings.listen.iter().map(|listen| listen.addr).collect();
        let limits = Limits { own_listeners: listen, is_here: transport::is_here, ..Limits::default() };
        tokio::spawn(async move {
            let found = match to_domain(&domain) {
                Some(name) => {
                    let mut draw = |bound| rand::random_range(0..=bound);
                    targets(&locate_xmpp(&*dns, &name, true, &limits, &mut draw).await)
                }
                None => Err(Failure::new(Side::Far, Cause::RemoteNotFound)),
            };
            // Without a core the gateway has stopped.
            let _ = sender.send(Event::Located(domain, found));
        });
    }

    pub(super) fn handle_located(&mut self, domain: &jid::Domain, found: &Result<Vec<Target>, Failure>, now: Instant) {
        let waiting = self.routes.iter().filter(|(pair, route)| pair.to == *domain && route.way == Way::Locating);
        let pairs: Vec<_> = waiting.map(|(pair, _)| pair.clone()).collect();
        for pair in pairs {
            match found {
                Ok(targets) => {
                    if let Some(route) = self.routes.get_mut(&pair) {
                        (route.way, route.known) = (Way::None, targets.clone());
                    }
                    self.find_way(&pair, now);
                }
                Err(failure) => self.bar_route(&pair, failure.clone(), now),
            }
        }
        self.verification_located(domain, found.as_ref().ok(), now);
    }
}

pub(in crate::server) fn targets(resolution: &impp_resolve::Resolution) -> Result<Vec<Target>, Failure> {
    let of_host = |target: &impp_resolve::Target| {
        let (host, direct) = (target.target.to_string(), target.direct_tls == Some(true));
        let transport = Some(if direct { Transport::Tls } else { Transport::Tcp });
        target.socket_addrs().map(move |address| Target { host: host.clone(), address, transport }).collect::<Vec<_>>()
    };
    let found: Vec<_> = resolution.targets.iter().flat_map(of_host).collect();
    match resolution.outcome {
        Outcome::Deliver if !found.is_empty() => Ok(found),
        Outcome::TemporaryFailure => Err(Failure::new(Side::Far, Cause::DnsFailure)),
        Outcome::Deliver | Outcome::Failure | Outcome::Local => {
            let reason = resolution.reason.as_ref().map_or_else(String::new, ToString::to_string);
            Err(Failure::new(Side::Far, Cause::RemoteNotFound).with_text(reason))
        }
    }
}
