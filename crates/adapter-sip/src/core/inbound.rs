//! Requests from SIP peers, and the answers to them.

use super::Core;
use super::events::Accepting;
use super::route::{Channel, ConnectionId, Route, Source};
use super::streams::Peering;
use crate::config::Config;
use crate::mapping::message::Refusal;
use crate::mapping::{Mapped, content, error, presence};
use adapter_api::{Carries, Provenance, SourceProof, Token, Transport};
use bytes::Bytes;
use impp_model::{Operation, Outcome, Proof};
use sip_proto::build::{Brief, ResponseBuilder};
use sip_proto::framer::{Rejected, datagram};
use sip_proto::header::{ResponseTarget, Via};
use sip_proto::header_id::HeaderId;
use sip_proto::message::{KeyHeaders, Message};
use sip_proto::method::Method;
use sip_proto::transaction::{Handle, Key, Repetition, RequestMatch};
use sip_proto::uas::{self, Policy};
use std::hash::{DefaultHasher, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What is kept of a request until it is answered.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) request: Message,
    pub(super) source: Source,
    pub(super) route: Route,
    pub(super) tag: String,
    full: bool,                      // the addressee was one device
    pub(super) limit: Option<usize>, // SEC-006: octets of an answer to a stranger
    /// What a SUBSCRIBE is to be answered.
    pub(super) event: Option<Accepting>,
}

/// What a copy of an answered request is answered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    brief: Brief,
    limited: bool, // SEC-006: to no more octets than the request has
}

/// What this gateway serves.
pub(crate) fn policy(config: &Config) -> Policy {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Policy {
        agent: String::new(),
        methods: methods(config),
        schemes: list(&["sip", "sips", "im"]),
        refuse_sips: true,
        accept: list(content::ACCEPTED),
        encodings: Vec::new(),
        languages: Vec::new(),
        extensions: Vec::new(),
        events: list(&[presence::EVENT]),
        max_body: config.max_message,
    }
}

fn methods(config: &Config) -> Vec<Method> {
    let mut methods = vec![Method::Message, Method::Subscribe, Method::Notify, Method::Options, Method::Cancel];
    if !config.presence.agent.is_empty() {
        methods.push(Method::Publish);
    }
    methods
}

/// What is served of requests about events.
pub(crate) fn event_policy(config: &Config) -> Policy {
    // RFC 3863 §6: a signature leaves the document readable.
    Policy { accept: vec![presence::ACCEPT.to_owned(), "multipart/signed".to_owned()], ..policy(config) }
}

/// Seconds after which a sender may come back when a table or queue here is full.
pub(super) const OVERLOAD_PAUSE: &str = "5";

impl Core {
    /// Takes what the UDP sockets hold.
    pub(super) fn handle_datagrams(&mut self, now: Instant) {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.datagrams.receive(&mut arrived);
        for super::datagrams::Datagram { octets, source } in arrived.drain(..) {
            match datagram(octets) {
                Ok(Some(message)) => self.handle_message(message, source, now),
                // A keep-alive.
                Ok(None) => {}
                Err(rejected) => self.answer_broken(&rejected, source, now),
            }
        }
        self.arrived = arrived;
    }

    /// Takes one message.
    pub(super) fn handle_message(&mut self, message: Message, source: Source, now: Instant) {
        if !message.is_request() {
            self.handle_response(&message, now);
        } else if message.method() != Some(&Method::Ack) {
            self.handle_request(message, source, now);
        }
        // RFC 3261 §17.1.1.3: an ACK is for an answer of ours that ended an INVITE; there is nothing left to do.
    }

    fn handle_request(&mut self, request: Message, source: Source, now: Instant) {
        let stranger = self.is_stranger(source);
        let found = request.split_vias().ok().and_then(|(via, mut below)| {
            // RFC 5393 §4: a request that carries our own Via has been here before.
            let is_loop = self.names.is_ours(&via) || below.any(|via| via.is_ok_and(|via| self.names.is_ours(&via)));
            Some((self.key(&request, &via)?, response_route(&via, source, stranger), is_loop))
        });
        let Some((key, route, is_loop)) = found else { return self.answer_unreadable(&request, source, now) };
        match self.server.handle_retransmission(&key) {
            Repetition::New => {}
            Repetition::Repeated => return,
            Repetition::Brief(again) => return self.answer_again(&request, source, (key, route), &again, now),
        }
        if let (Channel::Connection(connection), Transport::Tls) = (source.channel, source.transport) {
            self.heed_alias(connection, &request, source);
        }
        let tag = self.tag(&key);
        let pending = Pending { request, source, route, tag, full: false, limit: None, event: None };
        if is_loop {
            return self.answer(&pending, 482, now);
        }
        let (policy, context) = self.policy_for(&pending.request);
        let verified = match uas::check(&pending.request, policy, context) {
            Ok(verified) => verified,
            Err(rejection) => {
                tracing::debug!(peer = %source.peer, status = rejection.status, reason = %rejection.reason, "refused");
                return self.send_built(&pending, rejection.response(&pending.request), now);
            }
        };
        let merge_key = self.merge_key(&verified);
        match pending.request.method() {
            Some(Method::Message) => {
                let read = self.read(&pending.request, &verified);
                self.handle_instant_message(pending, read, (key, merge_key), now);
            }
            Some(Method::Subscribe) => self.handle_subscribe(pending, key, merge_key, now),
            Some(Method::Notify) => self.handle_notify(pending, key, now),
            Some(Method::Publish) => self.handle_publish(pending, key, now),
            Some(Method::Options) => self.answer_options(&pending, now),
            // RFC 3261 §9.2: a MESSAGE goes on; only whether it is known matters.
            Some(Method::Cancel) if self.knows_cancelled(&pending.request) => self.answer(&pending, 200, now),
            Some(Method::Cancel) => self.answer(&pending, 481, now),
            // The policy has no other methods.
            Some(_) | None => {}
        }
    }

    /// What a request is judged by, and whether it is in a dialog of ours.
    fn policy_for(&self, request: &Message) -> (&Policy, uas::Context) {
        if !matches!(request.method(), Some(Method::Subscribe | Method::Notify | Method::Publish)) {
            return (&self.policy, uas::Context { in_dialog: false });
        }
        let tag = request.to().ok().and_then(|to| to.tag().map(str::to_owned));
        let found = tag.zip(request.call_id().ok()).and_then(|(tag, id)| self.events.find(id.as_str(), &tag));
        (&self.event_policy, uas::Context { in_dialog: found.is_some() })
    }

    fn handle_instant_message(
        &mut self,
        mut pending: Pending,
        read: Result<Option<Mapped<Operation>>, Refusal>,
        (key, merge_key): (Key, Option<Key>),
        now: Instant,
    ) {
        let mapped = match read {
            Ok(Some(mapped)) => mapped,
            Ok(None) => return self.answer(&pending, 200, now),
            Err(refusal) => return self.refuse(&pending, &refusal, now),
        };
        let provenance = match self.prove(&pending, &mapped.value.source().address, now) {
            Ok(provenance) => provenance,
            Err(demand) => return self.demand(&pending, demand, now),
        };
        self.show_proof(&provenance, &mapped.value.source().address, pending.source.channel);
        let Some(mapped) = self.watch_typing(mapped, &provenance, now) else {
            return self.answer(&pending, 200, now);
        };
        if self.draining {
            return self.answer_overload(&pending, now);
        }
        if provenance.proof == SourceProof::None && pending.source.transport == Transport::Udp {
            pending.limit = Some(pending.request.octets().len());
        }
        pending.full = mapped.value.destination().device.is_some();
        let route = pending.route;
        match self.server.handle_request(key, merge_key, route, route.reliability(), pending, now) {
            RequestMatch::New(handle) => self.submit(handle, mapped, provenance),
            RequestMatch::Repeated => {}
            RequestMatch::Merged(pending) => self.answer(&pending, 482, now),
            RequestMatch::Full(pending) => self.answer_overload(&pending, now),
        }
    }

    fn submit(&mut self, handle: Handle, mapped: Mapped<Operation>, provenance: Arc<Provenance>) {
        self.unanswered += 1;
        for field in &mapped.degraded {
            self.hub.translation_loss(field, Carries::Degraded);
        }
        for field in &mapped.dropped {
            self.hub.translation_loss(field, Carries::Dropped);
        }
        self.hub.submit(mapped.value, provenance, self.answers.settle(handle.to_bits()));
    }

    fn refuse(&mut self, pending: &Pending, refusal: &Refusal, now: Instant) {
        tracing::debug!(peer = %pending.source.peer, status = refusal.status(), %refusal, "refused");
        let response = ResponseBuilder::new(&pending.request, refusal.status());
        let response = match refusal.header() {
            Some((id, value)) => response.header(id, value),
            None => response,
        };
        self.send_built(pending, response, now);
    }

    pub(super) fn answer_overload(&mut self, pending: &Pending, now: Instant) {
        let response = ResponseBuilder::new(&pending.request, 503).header(HeaderId::RetryAfter, OVERLOAD_PAUSE);
        self.send_built(pending, response, now);
    }

    fn answer_options(&mut self, pending: &Pending, now: Instant) {
        let response = ResponseBuilder::new(&pending.request, 200);
        let headers = self.policy.capabilities().into_iter();
        self.send_built(pending, headers.fold(response, |response, (id, value)| response.header(id, &value)), now);
    }

    /// Answers without keeping anything (RFC 3261 §8.2.7): a copy of the request is judged again and answered the same.
    pub(super) fn answer(&mut self, pending: &Pending, status: u16, now: Instant) {
        self.send_built(pending, ResponseBuilder::new(&pending.request, status), now);
    }

    pub(super) fn send_built(&mut self, pending: &Pending, response: ResponseBuilder<'_>, now: Instant) {
        let response = response.source(pending.source.peer).to_tag(&pending.tag);
        if let Some(response) = self.reply(&response, pending.source, pending.request.octets().len(), now) {
            self.send_response(pending.route, response, now);
        }
    }

    /// SEC-006: the octets of a response; for a stranger's datagram no more than it had, and not too often.
    fn reply(&mut self, response: &ResponseBuilder<'_>, source: Source, asked: usize, now: Instant) -> Option<Bytes> {
        if !self.is_stranger(source) {
            return Some(response.encode());
        }
        if !self.strangers.admit(source.peer.ip(), now) {
            tracing::debug!(peer = %source.peer, "too many requests from a stranger: not answered");
            return None;
        }
        response.encode_within(asked)
    }

    /// Answers what has a topmost Via and no sound key; without a Via there is no way back.
    fn answer_unreadable(&mut self, request: &Message, source: Source, now: Instant) {
        let Some(route) = self.route_of_unreadable(request, source) else { return };
        // RFC 3261 §21.5.6: of another version nothing need be readable.
        let status = if request.is_version_2() { 400 } else { 505 };
        let tag = self.tag(request.octets());
        let response = ResponseBuilder::new(request, status).source(source.peer).to_tag(&tag);
        if let Some(response) = self.reply(&response, source, request.octets().len(), now) {
            self.send_response(route, response, now);
        }
    }

    /// Answers what is no message, as far as it can be read.
    pub(super) fn answer_broken(&mut self, rejected: &Rejected, source: Source, now: Instant) {
        tracing::debug!(peer = %source.peer, error = rejected.error.code(), "not a message");
        let Some(salvage) = rejected.salvage() else { return };
        let request = salvage.request();
        let Some(route) = self.route_of_unreadable(request, source) else { return };
        let tag = self.tag(&rejected.octets);
        let status = rejected.error.status();
        let response = ResponseBuilder::new(request, status).source(source.peer).to_tag(&tag);
        if let Some(response) = self.reply(&response, source, rejected.octets.len(), now) {
            self.send_response(route, response, now);
        }
    }

    /// Answers a copy of a request as the request was answered, and as often as it comes: its sender waits for that, be he a
    /// stranger by his address who has proven himself by digest.
    fn answer_again(
        &mut self,
        request: &Message,
        source: Source,
        (key, route): (Key, Route),
        again: &Again,
        now: Instant,
    ) {
        let tag = self.tag(&key);
        let response = ResponseBuilder::of_brief(request, &again.brief).source(source.peer).to_tag(&tag);
        // SEC-006: a copy may be forged, too.
        let is_limited = again.limited || self.is_stranger(source);
        let response =
            if is_limited { response.encode_within(request.octets().len()) } else { Some(response.encode()) };
        if let Some(response) = response {
            self.send_response(route, response, now);
        }
    }

    /// Answers a request by what the hub says became of it.
    pub(super) fn handle_answer(&mut self, token: Token, outcome: &Outcome, now: Instant) {
        let handle = Handle::from_bits(token);
        let Some(pending) = self.server.user(handle) else { return };
        let event = pending.event.clone();
        let response = match &event {
            Some(accepting) if !matches!(outcome, Outcome::Failure(_)) => pending.accepted(accepting),
            // RFC 6665 §4.2.1.4: what is refreshed is not there any more.
            Some(accepting) if accepting.is_unknown(outcome) => pending.response(481),
            Some(_) | None => pending.answer(outcome),
        };
        // What makes a dialog is kept as it is: its tag and its Contact are the dialog's.
        let brief = if event.is_none() { response.brief() } else { None };
        let again = brief.map(|brief| Again { brief, limited: pending.limit.is_some() });
        let response = pending.encode(&response);
        let answered = match again {
            Some(again) => self.server.respond_in_brief(handle, response, &again, now),
            None => self.server.respond(handle, response, now),
        };
        if answered.is_some() {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        if let Some(accepting) = event {
            self.subscribe_answered(&accepting, outcome, now);
        }
    }

    /// RFC 4320 §4.1.
    pub(super) fn send_trying(&mut self, handle: Handle) {
        let Some(pending) = self.server.user(handle) else { return };
        let response = pending.response(100).encode();
        self.server.respond_trying(handle, response);
    }

    pub(super) fn send_response(&mut self, route: Route, response: Bytes, now: Instant) {
        match route {
            _ if response.is_empty() => {}
            Route::Datagram { socket, peer } => {
                if let Err(error) = self.datagrams.send(socket, peer, response) {
                    tracing::debug!(%peer, %error, "response not sent");
                }
            }
            Route::Stream { connection, reopen } => {
                if self.streams.peer(connection).is_some() {
                    self.respond_on(connection, response, now);
                } else if let Some(connection) =
                    reopen.and_then(|address| self.streams.connect(&Peering::tcp(address), Vec::new()))
                {
                    // RFC 3261 §18.2.2: the connection of the request is gone.
                    self.respond_on(connection, response, now);
                }
            }
        }
    }

    /// As [`response_route`], but with a Via that cannot be read the answer goes where the request came from.
    ///
    /// `None` without any Via: nobody waits for an answer that has none.
    fn route_of_unreadable(&mut self, request: &Message, source: Source) -> Option<Route> {
        if let Ok(via) = request.top_via() {
            let stranger = self.is_stranger(source);
            return Some(response_route(&via, source, stranger));
        }
        request.header(HeaderId::Via)?;
        Some(match source.channel {
            Channel::Connection(connection) => Route::Stream { connection, reopen: None },
            Channel::Socket(socket) => Route::Datagram { socket, peer: source.peer },
        })
    }

    /// RFC 5923 §8.2: the peer's own connection may stand for one that we would open to its listener.
    fn heed_alias(&mut self, connection: ConnectionId, request: &Message, source: Source) {
        if let Ok(via) = request.top_via()
            && via.alias()
        {
            self.streams.offer_alias(connection, SocketAddr::new(source.peer.ip(), via.port_or_default()));
        }
    }

    /// RFC 3261 §17.2.3: what identifies the transaction; `None` when a field for it is missing.
    fn key(&self, request: &Message, via: &Via<'_>) -> Option<Key> {
        let method = request.method()?.as_str();
        if let Some(branch) = via.unique_branch() {
            return Some(self.unique_key(request, via, branch, method));
        }
        let header = |id| request.header(id).map(|header| header.octets());
        let tag =
            |address: Result<sip_proto::header::NameAddr<'_>, _>| address.ok().and_then(|a| a.tag().map(str::to_owned));
        let (to_tag, from_tag) = (tag(request.to()).unwrap_or_default(), tag(request.from()).unwrap_or_default());
        let fields = [
            request.request_uri()?.as_bytes(),
            to_tag.as_bytes(),
            from_tag.as_bytes(),
            header(HeaderId::CallId)?,
            header(HeaderId::CSeq)?,
            header(HeaderId::Via)?,
        ];
        Some(self.keys.rfc2543(&fields))
    }

    fn unique_key(&self, request: &Message, via: &Via<'_>, branch: &str, method: &str) -> Key {
        let (branch, host, method) = (branch.as_bytes(), via.host.as_str().as_bytes(), method.as_bytes());
        // What has none, or none that can be read, is refused and not kept.
        let call_id = request.call_id().map(|id| id.as_str()).unwrap_or_default();
        let cseq = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        self.keys.server(branch, host, via.port, method, call_id.as_bytes(), cseq)
    }

    fn knows_cancelled(&self, cancel: &Message) -> bool {
        let Ok(via) = cancel.top_via() else { return false };
        let Some(branch) = via.unique_branch() else { return false };
        let key = self.unique_key(cancel, &via, branch, Method::Message.as_str());
        self.server.knows(&key)
    }

    /// RFC 3261 §8.2.2.2; only requests outside a dialog can be merged.
    fn merge_key(&self, key: &KeyHeaders<'_>) -> Option<Key> {
        let tag = key.from.tag().unwrap_or_default();
        let call_id = key.call_id.as_str().as_bytes();
        // All requests that are kept are MESSAGE requests.
        key.to.tag().is_none().then(|| self.keys.merged(tag.as_bytes(), call_id, &key.cseq.number.to_be_bytes()))
    }

    /// RFC 3261 §19.3, §8.2.7: 64 bits that nobody can guess and that are the same for each copy of a request.
    fn tag(&self, of: &impl std::hash::Hash) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.tag_seed);
        of.hash(&mut hasher);
        impp_model::hex(&hasher.finish().to_be_bytes())
    }
}

impl Pending {
    /// The octets of a response to this request.
    pub(super) fn sized(&self, response: &ResponseBuilder<'_>) -> usize {
        response.clone().source(self.source.peer).to_tag(&self.tag).encode().len()
    }

    pub(super) fn response(&self, status: u16) -> ResponseBuilder<'_> {
        ResponseBuilder::new(&self.request, status).source(self.source.peer).to_tag(&self.tag)
    }

    /// SEC-006: nothing at all is sent where the shortest answer is still too long.
    pub(super) fn encode(&self, response: &ResponseBuilder<'_>) -> Bytes {
        match self.limit {
            Some(limit) => response.encode_within(limit).unwrap_or_default(),
            None => response.encode(),
        }
    }

    /// RFC 3428 §7, RFC 7247 §7.1.
    pub(super) fn answer(&self, outcome: &Outcome) -> ResponseBuilder<'_> {
        let failure = match outcome {
            Outcome::Success(Proof::Recipient) => return self.response(200),
            Outcome::Success(Proof::Server) | Outcome::HandedOver | Outcome::Indeterminant => {
                return self.response(202);
            }
            Outcome::Failure(failure) => failure,
        };
        let status = error::to_sip_status(failure, self.full);
        let mut response = self.response(status);
        if let Some(phrase) = error::to_phrase(failure) {
            response = response.reason(&phrase);
        }
        if let Some(seconds) = error::retry_after(failure, status) {
            response = response.header(HeaderId::RetryAfter, &seconds.to_string());
        }
        // ERR-011: what some statuses oblige to add.
        match (status, &failure.redirect) {
            (405, _) => response = response.header(HeaderId::Allow, ALLOW),
            (415, _) => response = response.header(HeaderId::Accept, content::ACCEPT),
            (300..400, Some(address)) => {
                let uri = crate::mapping::address::to_sip_uri(&impp_model::Endpoint::bare(address.clone()));
                response = response.header(HeaderId::Contact, &format!("<{uri}>"));
            }
            _ => {}
        }
        response
    }
}

/// RFC 3261 §20.5, for a 405 that the far side caused.
const ALLOW: &str = "MESSAGE, SUBSCRIBE, NOTIFY, OPTIONS, CANCEL";

/// RFC 3261 §18.2.2, RFC 3581 §4.
fn response_route(via: &Via<'_>, source: Source, stranger: bool) -> Route {
    match source.channel {
        Channel::Connection(connection) => {
            // Whom a connection opened anew would lead to is proven by no certificate, and browsers take none.
            let reopen = SocketAddr::new(source.peer.ip(), via.port_or_default());
            Route::Stream { connection, reopen: (source.transport == Transport::Tcp).then_some(reopen) }
        }
        // DEVIATES RFC 3261 §18.2.2: maddr is for multicast; from a stranger it would send our answers to anybody.
        Channel::Socket(socket) if stranger => Route::Datagram { socket, peer: via.reply_address(source.peer) },
        Channel::Socket(socket) => match via.response_target(source.peer) {
            ResponseTarget::Address(peer) => Route::Datagram { socket, peer },
            // A name would need DNS for an answer; where the request came from is right in all but multicast.
            ResponseTarget::Name(_, port) => Route::Datagram { socket, peer: SocketAddr::new(source.peer.ip(), port) },
        },
    }
}

pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
