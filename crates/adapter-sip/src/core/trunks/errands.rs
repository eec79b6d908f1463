//! Requests that carry no operation: REGISTER (RFC 3261 §10.2) and OPTIONS (RFC 3261 §11).

use super::registration::granted;
use crate::core::Core;
use crate::core::hop::{FixedHop, via_name};
use crate::core::outbound::Id;
use crate::core::route::{Place, Route};
use crate::core::streams::{Ends, Peering};
use crate::ids::RequestIds;
use adapter_api::{PeerState, Registration, Transport};
use bytes::Bytes;
use impp_model::{Domain, Outcome};
use sip_proto::build::{RequestBuilder, TopVia};
use sip_proto::digest::Tries;
use sip_proto::header::RetryAfter;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One request and how far it is.
#[derive(Debug)]
pub(super) struct Errand {
    task: Task,
    domain: Domain,
    hop: Arc<str>,
    ids: RequestIds,
    cseq: u32,
    sent: u32,
    places: Arc<[Place]>,
    tried: usize,
    contact: String,
    tries: Tries,
}

/// What it is for.
#[derive(Debug)]
enum Task {
    /// To register, or with 0 seconds to end that.
    Register { username: Arc<str>, seconds: u32 },
    /// To see whether the server answers.
    Ping,
}

impl Core {
    /// Does what is due.
    pub(in crate::core) fn handle_trunks(&mut self, now: Instant) {
        if self.draining {
            return;
        }
        let due = |line: &super::Line| line.due().is_some_and(|due| due <= now);
        let lines = self.trunks.lines.iter().filter(|(_, line)| due(line));
        let domains: Vec<Domain> = lines.map(|(domain, _)| domain.clone()).collect();
        for domain in domains {
            self.register_if_due(&domain, now);
            self.ping_if_due(&domain, now);
        }
    }

    fn register_if_due(&mut self, domain: &Domain, now: Instant) {
        let Some(line) = self.trunks.lines.get_mut(domain) else { return };
        let Some(place) = line.registration.as_mut().filter(|place| place.due().is_some_and(|due| due <= now)) else {
            return;
        };
        let task = Task::Register { username: place.username.clone(), seconds: place.wanted };
        let (cseq, ids, hop) = (place.begin(), place.ids.clone(), line.hop.clone());
        self.send_out(Errand::new(task, domain.clone(), hop, ids, cseq), now);
    }

    fn ping_if_due(&mut self, domain: &Domain, now: Instant) {
        let Some(line) = self.trunks.lines.get_mut(domain) else { return };
        if line.next_ping.is_none_or(|due| due > now) {
            return;
        }
        // Set again when it is answered.
        line.next_ping = None;
        let hop = line.hop.clone();
        self.send_out(Errand::new(Task::Ping, domain.clone(), hop, random_ids(), FIRST_CSEQ), now);
    }

    /// RFC 3261 §10.2.2: who goes takes his registrations back.
    pub(in crate::core) fn unregister(&mut self, now: Instant) {
        let mut errands = Vec::new();
        for (domain, line) in &mut self.trunks.lines {
            let Some(place) = line.registration.as_mut().filter(|place| place.held) else { continue };
            let task = Task::Register { username: place.username.clone(), seconds: 0 };
            errands.push(Errand::new(task, domain.clone(), line.hop.clone(), place.ids.clone(), place.begin()));
        }
        errands.into_iter().for_each(|errand| self.send_out(errand, now));
    }

    fn send_out(&mut self, errand: Errand, now: Instant) {
        let id = self.next_id();
        let hop = errand.hop.clone();
        self.trunks.errands.insert(id, errand);
        self.find_hop(id, &hop, now);
    }

    /// Takes the servers that an errand may go to.
    pub(in crate::core) fn errand_places(&mut self, id: Id, places: Arc<[Place]>, now: Instant) {
        let Some(errand) = self.trunks.errands.get_mut(&id) else { return };
        errand.places = places;
        self.errand_next(id, now);
    }

    /// Goes to the next server; the last one was not there.
    pub(in crate::core) fn errand_next(&mut self, id: Id, now: Instant) {
        loop {
            let Some(errand) = self.trunks.errands.get_mut(&id) else { return };
            let Some(place) = errand.places.get(errand.tried).copied() else { return self.errand_unanswered(id, now) };
            errand.tried += 1;
            if self.errand_try(id, place, now).is_some() {
                return;
            }
        }
    }

    fn errand_try(&mut self, id: Id, place: Place, now: Instant) -> Option<()> {
        let sent_by = self.names.sent_by(place.transport, place.address)?.to_owned();
        let gateway = self.context.configuration.borrow().gateway.clone();
        let errand = self.trunks.errands.get_mut(&id)?;
        errand.sent += 1;
        errand.contact = errand.task.contact(&sent_by, place.transport);
        let (hop, domain, branch) = (errand.hop.clone(), errand.domain.clone(), errand.ids.branch(branch_of(errand)));
        let request = errand.request(&gateway);
        let request = self.dress(request, Some(&hop), &domain);
        let via = TopVia {
            transport: via_name(place.transport),
            sent_by: &sent_by,
            branch: &branch,
            rport: place.transport == Transport::Udp,
            alias: place.transport == Transport::Tls && self.names.listens(Transport::Tls),
        };
        let octets: Bytes = request.encode(&via);
        let route = self.errand_route(&hop, &domain, place)?;
        let key = self.keys.client(branch.as_bytes(), request.method().as_str().as_bytes());
        self.client.start(key, octets, route, route.reliability(), id, now).ok().map(drop)
    }

    fn errand_route(&mut self, hop: &str, domain: &Domain, place: Place) -> Option<Route> {
        if place.transport == Transport::Udp {
            return self.datagrams.route(place.address);
        }
        let peer = FixedHop::parse(hop).map_or_else(Arc::default, |hop| hop.peer(domain));
        let ends = place.transport.is_secure().then_some(Ends { peer, source: None });
        let peering = Peering { address: place.address, transport: place.transport, ends };
        let connection = self.streams.connect(&peering, Vec::new())?;
        Some(Route::Stream { connection, reopen: None })
    }

    /// Takes a final response to an errand.
    pub(in crate::core) fn errand_answered(&mut self, id: Id, status: u16, response: &Message, now: Instant) {
        let Some(mut errand) = self.trunks.errands.remove(&id) else { return };
        if matches!(status, 401 | 407) && self.handle_challenge(&errand.domain.clone(), &mut errand.tries, response) {
            errand.again();
            if let Some(place) = self.trunks.lines.get_mut(&errand.domain).and_then(|line| line.registration.as_mut())
                && matches!(errand.task, Task::Register { .. })
            {
                place.cseq = place.cseq.max(errand.cseq);
            }
            self.trunks.errands.insert(id, errand);
            return self.errand_next(id, now);
        }
        // RFC 3261 §11.2: whatever it says, it is there; but 503 means that it serves nobody.
        let state = if matches!(status, 408 | 503) { PeerState::Down } else { PeerState::Up };
        self.outbounds.note_peer(&self.hub, &errand.domain, state);
        let said = Said { status: Some(status), response: Some(response) };
        self.conclude(errand, &said, now);
    }

    /// No server answered an errand.
    fn errand_unanswered(&mut self, id: Id, now: Instant) {
        let Some(errand) = self.trunks.errands.remove(&id) else { return };
        self.outbounds.note_peer(&self.hub, &errand.domain, PeerState::Down);
        self.conclude(errand, &Said { status: None, response: None }, now);
    }

    /// An errand ended without being sent, as when its server was not found.
    pub(in crate::core) fn errand_failed(&mut self, id: Id, outcome: &Outcome, now: Instant) {
        tracing::debug!(reason = outcome.reason(), "the trunk's server is not found");
        self.errand_unanswered(id, now);
    }

    fn conclude(&mut self, errand: Errand, said: &Said<'_>, now: Instant) {
        match errand.task {
            Task::Register { seconds: 0, .. } => {
                self.hub.peer_registered(errand.domain.as_str(), Registration::Ended);
            }
            Task::Register { seconds, .. } => self.registered(&errand.domain, seconds, &errand.contact, said, now),
            Task::Ping => {
                if let Some(line) = self.trunks.lines.get_mut(&errand.domain) {
                    line.next_ping = line.trunk.keep_alive.map(|every| now + every);
                }
            }
        }
    }

    /// What the registrar says.
    fn registered(&mut self, domain: &Domain, wanted: u32, contact: &str, said: &Said<'_>, now: Instant) {
        let Some(line) = self.trunks.lines.get_mut(domain) else { return };
        let Some(place) = line.registration.as_mut() else { return };
        match (said.status, said.response) {
            (Some(200..300), Some(response)) => {
                let seconds = granted(response, contact, wanted);
                tracing::info!(%domain, seconds, "registered");
                place.granted(seconds, now);
                place.contact = contact.to_owned();
                self.hub.peer_registered(domain.as_str(), Registration::Held { seconds });
            }
            (Some(423), Some(response)) if place.too_brief(response, now) => {}
            (status, response) => {
                let pause = place.failed(response.and_then(retry_after), now);
                tracing::warn!(%domain, status, retry_in_seconds = pause.as_secs(), "not registered");
                let last = status.map_or(Registration::Unanswered, |status| Registration::Refused { status });
                self.hub.peer_registered(domain.as_str(), last);
            }
        }
    }
}

/// What came back for an errand.
#[derive(Debug)]
struct Said<'a> {
    status: Option<u16>,
    response: Option<&'a Message>,
}

fn retry_after(response: &Message) -> Option<Duration> {
    let header = response.header(HeaderId::RetryAfter)?;
    RetryAfter::parse(header.text().ok()?).ok().map(|pause| Duration::from_secs(pause.seconds.into()))
}

impl Errand {
    fn new(task: Task, domain: Domain, hop: Arc<str>, ids: RequestIds, cseq: u32) -> Self {
        let (places, contact, tries) = (Arc::default(), String::new(), Tries::default());
        Self { task, domain, hop, ids, cseq, sent: 0, places, tried: 0, contact, tries }
    }

    /// RFC 3261 §22.2: the same server hears it once more, under the next number.
    fn again(&mut self) {
        self.cseq += 1;
        self.tried = self.tried.saturating_sub(1);
    }

    fn request(&self, gateway: &Domain) -> RequestBuilder {
        let domain = &self.domain;
        let (tag, call_id) = (self.ids.from_tag(), self.ids.call_id());
        let (method, from, to) = match &self.task {
            Task::Register { username, .. } => {
                let address = format!("sip:{}@{domain}", sip_proto::uri::encode_user(username));
                (Method::Register, address.clone(), address)
            }
            Task::Ping => (Method::Options, format!("sip:{gateway}"), format!("sip:{domain}")),
        };
        let request = RequestBuilder::new(method, &format!("sip:{domain}"))
            .header(HeaderId::MaxForwards, "70")
            .header(HeaderId::From, &format!("<{from}>;tag={tag}"))
            .header(HeaderId::To, &format!("<{to}>"))
            .header(HeaderId::CallId, &call_id)
            .cseq(self.cseq);
        match &self.task {
            Task::Register { seconds, .. } => request
                .header(HeaderId::Contact, &format!("<{}>", self.contact))
                .header(HeaderId::Expires, &seconds.to_string()),
            // RFC 3261 §11.1.
            Task::Ping => request.header(HeaderId::Accept, "text/plain"),
        }
    }
}

impl Task {
    /// RFC 3261 §10.2.1: where the registrar is to send what is for us.
    fn contact(&self, sent_by: &str, transport: Transport) -> String {
        match self {
            Self::Register { username, .. } => {
                let user = sip_proto::uri::encode_user(username);
                let name = via_name(transport).to_ascii_lowercase();
                if transport == Transport::Udp {
                    format!("sip:{user}@{sent_by}")
                } else {
                    format!("sip:{user}@{sent_by};transport={name}")
                }
            }
            Self::Ping => String::new(),
        }
    }
}

/// Each try of each registration has a branch of its own.
fn branch_of(errand: &Errand) -> u32 {
    errand.cseq.wrapping_mul(MAX_SENT).wrapping_add(errand.sent)
}

/// More than the servers of a domain, each asked twice.
const MAX_SENT: u32 = 256;

/// Of a request that has a Call-ID of its own.
const FIRST_CSEQ: u32 = 1;

fn random_ids() -> RequestIds {
    RequestIds::random(rand::random())
}
