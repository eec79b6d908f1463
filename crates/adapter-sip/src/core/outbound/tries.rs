//! One request, tried at one server after the other (RFC 3263 §4.3).

use super::{Attempt, Id, Wrapped};
use crate::config::LargeMessages;
use crate::core::Core;
use crate::core::hop::{FixedHop, via_name};
use crate::core::route::{Place, Route};
use crate::core::streams::{End, Ends, Handed, Peering};
use crate::ids::{CSEQ, RequestIds};
use crate::mapping::message::Form;
use crate::mapping::{Mapped, message, signal};
use adapter_api::{Carries, Delivery, Hop, Transport};
use bytes::Bytes;
use impp_model::{Cause, DateTime, Domain, Failure, MessageOperation, Operation, Outcome, Side};
use sip_proto::build::{RequestBuilder, TopVia};
use sip_proto::transaction::{Handle, Refused};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// RFC 3261 §18.1.1, RFC 3428 §8: octets of the largest request over a path that is not known to be safe.
pub(crate) const MAX_UNSAFE_REQUEST: usize = 1300;

/// RFC 4320 §4.1: a server that has the request sends 100 within 3.5 s; one that is silent longer does not have it.
const SILENCE: Duration = Duration::from_secs(4);

/// Added to the number of a try in another form: more than the servers of a domain.
const SECOND_FORM: u32 = 1 << 31;

/// Added to the number of a try for each proof: more than the servers of a domain.
const PROOF: u32 = 1 << 24;

/// Whether a request may go over UDP.
pub(crate) fn fits_datagram(octets: usize) -> bool {
    octets <= MAX_UNSAFE_REQUEST
}

/// RFC 5922 §7.3: whom the server of a delivery must prove to be, and on whose behalf we come.
fn ends(delivery: &Delivery, destination: &Domain) -> Ends {
    let peer = match &*delivery.hop {
        Hop::Located { domain, .. } => Arc::from([domain.clone()]),
        Hop::Fixed(text) => FixedHop::parse(text).map_or_else(Arc::default, |hop| hop.peer(destination)),
        Hop::Link => Arc::default(),
    };
    Ends { peer, source: Some(delivery.operation.source().address.domain().clone()) }
}

impl Core {
    /// Begins with the first of the servers, those that did not answer lately last.
    pub(super) fn try_places(&mut self, id: Id, places: Arc<[Place]>, now: Instant) {
        let servers = &self.outbounds.peers.servers;
        let places = servers.reorder(&places, |place| place.address, now).map_or(places, Arc::from);
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return self.errand_places(id, places, now) };
        outbound.places = places;
        self.try_next(id, now);
    }

    /// Sends the request to the next server (RFC 3263 §4.3), or ends with what the last one said.
    pub(super) fn try_next(&mut self, id: Id, now: Instant) {
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
        self.prepare(id, now);
        let dressed = self.dressed(id)?;
        let (request, branch, oversize, place) = self.encode(id, &dressed, place)?;
        let key = self.keys.client(branch.as_bytes(), dressed.method().as_str().as_bytes());
        let route = self.route(id, place).ok_or_else(|| Box::new(Failure::new(Side::Ours, Cause::LinkDown)))?;
        let started = self.client.start(key, request, route, route.reliability(), id, now);
        let handle = started.map_err(|refused| match refused {
            Refused::Full(_) => Box::new(Failure::new(Side::Ours, Cause::Overload)),
            // A repeat has the identifiers of its first try; while that is remembered (RFC 3261 §17.1.2.2, Timer K) it waits.
            Refused::Duplicate(_) => Box::new(
                Failure::new(Side::Ours, Cause::Unconfirmed).with_text("an earlier try of it is still remembered"),
            ),
        })?;
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return Ok(()) };
        let silent_until = now + SILENCE;
        outbound.attempt = Some(Attempt { handle, place, since: now, silent_until, heard: false, oversize });
        if outbound.tried < outbound.places.len() {
            self.outbounds.silences.insert((silent_until, id));
        }
        Ok(())
    }

    /// Builds the request, once for all tries.
    fn prepare(&mut self, id: Id, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get(&id) else { return };
        if outbound.request.is_some() {
            return;
        }
        let (operation, form) = (outbound.delivery.operation.clone(), outbound.form);
        let Some((ids, mapped, form)) = self.build(id, &operation, form, now) else { return };
        let Mapped { value, degraded, dropped } = mapped;
        degraded.iter().for_each(|field| self.hub.translation_loss(field, Carries::Degraded));
        dropped.iter().for_each(|field| self.hub.translation_loss(field, Carries::Dropped));
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        outbound.request = Some(value);
        outbound.ids = Some(ids);
        outbound.form = form;
    }

    /// `None` for what has no form here.
    fn build(
        &mut self,
        id: Id,
        operation: &Operation,
        form: Wrapped,
        now: Instant,
    ) -> Option<(RequestIds, Mapped<RequestBuilder>, Wrapped)> {
        let date_time = || DateTime::from_system_time(SystemTime::now());
        match operation {
            Operation::Message(operation) => {
                let outbound = self.outbounds.entries.get(&id)?;
                let known = outbound.ids.clone();
                let edition = outbound.delivery.edition;
                let ids = known.unwrap_or_else(|| self.outbounds.recent.ids(operation, edition, now));
                let (from, to) = (&operation.source.address, &operation.destination.address);
                let thread = operation.message.thread.as_ref();
                let call_id = thread.map_or_else(|| ids.call_id(), |thread| self.threads.call_id(thread, from, to));
                let form = if form == Wrapped::No { self.form(operation) } else { form };
                let at = if form == Wrapped::Yes { Some(date_time()?) } else { None };
                let wanted = match (&at, form) {
                    (Some(at), _) => Form::Wrapped(at),
                    (None, Wrapped::Refused) => Form::Unwrapped,
                    (None, Wrapped::No | Wrapped::Yes) => Form::Plain,
                };
                let mapped = message::to_request(operation, &ids, &call_id, wanted);
                Some((ids, mapped, form))
            }
            Operation::Disposition(word) => {
                let ids = RequestIds::of_word(word);
                match signal::to_report(word, &ids, &date_time()?) {
                    Ok(request) => Some((ids, Mapped::whole(request), form)),
                    Err(error) => {
                        tracing::debug!(%error, "no report is sent");
                        None
                    }
                }
            }
            Operation::Composing(told) => {
                let ids = RequestIds::of_status(rand::random());
                let (from, to) = (&told.source.address, &told.destination.address);
                let thread = told.thread.as_ref();
                let call_id = thread.map_or_else(|| ids.call_id(), |thread| self.threads.call_id(thread, from, to));
                let request = signal::to_status(told, &ids, &call_id);
                Some((ids, Mapped::whole(request), form))
            }
            Operation::Subscribe(_) | Operation::Notify(_) | Operation::Authorize(_) | Operation::Publish(_) | _ => {
                None
            }
        }
    }

    /// The request as this way wants it; RFC 3261 §22.2: under the next number each time that it is sent with other proof.
    fn dressed(&mut self, id: Id) -> Result<RequestBuilder, Box<Failure>> {
        let outbound = self.outbounds.entries.get(&id);
        let Some((outbound, request)) = outbound.and_then(|outbound| Some((outbound, outbound.request.clone()?)))
        else {
            return Err(Box::new(Failure::new(Side::Ours, Cause::NotImplemented)));
        };
        let number = request.cseq_number().unwrap_or(CSEQ).saturating_add(outbound.proofs);
        let (hop, domain) = (outbound.delivery.hop.clone(), outbound.domain.clone());
        let hop = if let Hop::Fixed(text) = &*hop { Some(&**text) } else { None };
        Ok(self.dress(request.cseq(number), hop, &domain))
    }

    /// The form that a message goes in, the same for every try.
    // RFC 3261 §17.2.2: what was refused as message/cpim must not come again in another form under the same identifiers.
    fn form(&self, operation: &MessageOperation) -> Wrapped {
        match (self.may_wrap(operation), self.refuses_cpim(operation)) {
            (true, false) => Wrapped::Yes,
            (true, true) => Wrapped::Refused,
            (false, _) => Wrapped::No,
        }
    }

    /// The octets for a server, over TCP when they are too many for UDP (RFC 3261 §18.1.1).
    fn encode(
        &self,
        id: Id,
        request: &RequestBuilder,
        place: Place,
    ) -> Result<(Bytes, String, bool, Place), Box<Failure>> {
        let failure = |cause| Box::new(Failure::new(Side::Ours, cause));
        let outbound = self.outbounds.entries.get(&id).ok_or_else(|| failure(Cause::LinkDown))?;
        let ids = outbound.ids.as_ref().ok_or_else(|| failure(Cause::NotImplemented))?;
        let second = outbound.form == Wrapped::Refused || outbound.oversize_over_udp;
        let form = if second { SECOND_FORM } else { 0 };
        let again = form + outbound.proofs * PROOF;
        let branch = ids.branch(again + u32::try_from(outbound.tried.saturating_sub(1)).unwrap_or(SECOND_FORM - 1));
        let encode = |transport| {
            let sent_by = self.names.sent_by(transport, place.address)?;
            Some(request.encode(&TopVia {
                transport: via_name(transport),
                sent_by,
                branch: &branch,
                rport: transport == Transport::Udp,
                // RFC 5923 §8.1: requests may come back over the connection, for we would listen for them anyway.
                alias: transport == Transport::Tls && self.names.listens(Transport::Tls),
            }))
        };
        let unreachable = || {
            Box::new(
                Failure::new(Side::Ours, Cause::LinkDown).with_text("no listener of that transport and address family"),
            )
        };
        let octets = encode(place.transport).ok_or_else(unreachable)?;
        if place.transport != Transport::Udp || fits_datagram(octets.len()) || outbound.oversize_over_udp {
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

    fn route(&mut self, id: Id, place: Place) -> Option<Route> {
        if place.transport == Transport::Udp {
            return self.datagrams.route(place.address);
        }
        let outbound = self.outbounds.entries.get(&id)?;
        let ends = place.transport.is_secure().then(|| ends(&outbound.delivery, &outbound.domain));
        let others = self.names.others(place, outbound.places.get(outbound.tried..).unwrap_or_default());
        let peering = Peering { address: place.address, transport: place.transport, ends };
        let connection = self.streams.connect(&peering, others)?;
        Some(Route::Stream { connection, reopen: None })
    }

    /// Sends what the transaction table puts out.
    pub(in crate::core) fn send_request(&mut self, handle: Handle, route: Route, request: Bytes, now: Instant) {
        match route {
            Route::Stream { connection, .. } => match self.streams.send(connection, request) {
                Handed::Taken => {}
                // Those before it are under way: one message too many is no reason to break the connection.
                Handed::Full => self.handle_no_room(handle, now),
                Handed::Gone => {
                    self.streams.close(connection);
                    self.handle_broken_connection(connection, End::Broken, now);
                }
            },
            Route::Datagram { socket, peer } => {
                if let Err(error) = self.datagrams.send(socket, peer, request) {
                    tracing::debug!(%peer, %error, "request not sent");
                    self.handle_transport_error(handle, End::Refused, now);
                }
            }
        }
    }
}
