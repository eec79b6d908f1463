//! What comes of a try: a response, an error of the transport, or nothing.

use super::{Attempt, Id, Outbound, Wrapped};
use crate::core::Core;
use crate::core::accepts::Kind;
use crate::core::route::{ConnectionId, Route};
use crate::core::streams::End;
use crate::core::unreachable::Unreachable;
use crate::mapping::{address, error};
use adapter_api::{PeerState, Transport};
use impp_model::{Cause, Domain, Failure, Operation, Outcome, Proof, Side};
use sip_proto::header::RetryAfter;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::transaction::{Handle, ResponseMatch, Timers};
use std::time::{Duration, Instant};

impl Core {
    /// Ends the tries that a connection took with it.
    pub(in crate::core) fn handle_broken_connection(&mut self, connection: ConnectionId, end: End, now: Instant) {
        let on_it = |route: &Route| matches!(route, Route::Stream { connection: of, .. } if *of == connection);
        let handles: Vec<Handle> = self.client.unanswered_on(on_it).collect();
        for handle in handles {
            self.handle_transport_error(handle, end, now);
        }
    }

    /// Ends the tries at a server that is not there. The error is about one datagram: what was sent before it may have arrived,
    /// and a proxy may have sent it on before it went away.
    pub(in crate::core) fn handle_unreachable(&mut self, lost: &Unreachable, now: Instant) {
        let Unreachable { socket, peer, .. } = *lost;
        let refused = lost.request(&self.keys).and_then(|key| self.client.find(&key));
        let handles: Vec<Handle> =
            self.client.unanswered_on(|route| *route == Route::Datagram { socket, peer }).collect();
        for handle in handles {
            let end = if refused == Some(handle) { End::Refused } else { End::Broken };
            self.handle_transport_error(handle, end, now);
        }
    }

    pub(super) fn handle_transport_error(&mut self, handle: Handle, end: End, now: Instant) {
        let Some(id) = self.client.handle_transport_error(handle) else { return };
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return self.errand_next(id, now) };
        let Some(attempt) = outbound.attempt.take() else { return };
        if end == End::Overtaken {
            // The server is there: only this address of it is tried last for a while.
            self.outbounds.peers.servers.down(attempt.place.address, now);
            self.outbounds.silences.remove(&(attempt.silent_until, id));
            return self.try_next(id, now);
        }
        if outbound.event.is_some() && attempt.oversize && end == End::Refused {
            // RFC 3261 §18.1.1: what the peer takes over no connection goes to it over UDP after all.
            outbound.oversize_over_udp = true;
            outbound.tried = outbound.tried.saturating_sub(1);
            self.outbounds.silences.remove(&(attempt.silent_until, id));
            return self.try_next(id, now);
        }
        // RFC 3261 §17.1.2.2, Timer E: this error is about a copy, and the first datagram may have arrived.
        let repeated = attempt.place.transport == Transport::Udp && attempt.since + Timers::default().t1 <= now;
        let written = end == End::Broken || repeated;
        outbound.doubtful |= written;
        let (cause, text) = match (end, attempt.oversize && !written, outbound.doubtful) {
            // RFC 5922 §7.3: a certificate does not get better by trying again.
            (End::Unproven(fault), ..) => (Cause::RemoteNotFound, fault.to_string()),
            // Records may.
            (End::Unvouched(reason), ..) => {
                (Cause::LinkDown, format!("the name system does not vouch for it: {reason}"))
            }
            // RFC 3428 §8: refused over TCP, it must not go over UDP.
            (_, true, _) => (Cause::TooLarge, "too large for UDP, and the next hop takes no TCP".to_owned()),
            (_, false, true) => (Cause::Unconfirmed, "the next hop went away; it may have arrived".to_owned()),
            (_, false, false) => (Cause::LinkDown, "the next hop cannot be reached".to_owned()),
        };
        self.give_up(id, attempt, Failure::new(Side::Far, cause).with_text(&text), now);
    }

    /// Too much waits for the connection to a server, which says nothing of that server.
    pub(super) fn handle_no_room(&mut self, handle: Handle, now: Instant) {
        let Some(id) = self.client.handle_transport_error(handle) else { return };
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return self.errand_next(id, now) };
        let Some(attempt) = outbound.attempt.take() else { return };
        let failure = Failure::new(Side::Ours, Cause::Overload).with_text("too many messages wait for the connection");
        outbound.last = Some(Box::new(failure));
        self.outbounds.silences.remove(&(attempt.silent_until, id));
        self.try_next(id, now);
    }

    /// Timer F, or a server that was silent while there is another.
    pub(in crate::core) fn handle_no_answer(&mut self, id: Id, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return self.errand_next(id, now) };
        let Some(attempt) = outbound.attempt.take() else { return };
        outbound.doubtful = true;
        self.give_up(
            id,
            attempt,
            Failure::new(Side::Far, Cause::RemoteTimeout).with_text("the next hop did not answer"),
            now,
        );
    }

    /// Leaves a server that can't be reached for the next one.
    fn give_up(&mut self, id: Id, attempt: Attempt, failure: Failure, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        tracing::debug!(trace = %outbound.delivery.trace, hop = %attempt.place.address, reason = failure.cause.code(), "no way");
        outbound.last = Some(Box::new(failure));
        self.outbounds.peers.servers.down(attempt.place.address, now);
        self.note_domain(id, PeerState::Down);
        self.outbounds.silences.remove(&(attempt.silent_until, id));
        self.try_next(id, now);
    }

    /// Takes a response.
    pub(in crate::core) fn handle_response(&mut self, response: &Message, now: Instant) {
        let (Ok(verified), Some(status)) = (response.verify(), response.status()) else { return };
        // RFC 3261 §18.1.2, §8.1.3.3: not an answer to anything sent from here.
        if !self.names.is_ours(&verified.via) || verified.has_vias_below {
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
        let outbound = self.outbounds.entries.get_mut(&id);
        if let Some(attempt) = outbound.and_then(|outbound| outbound.attempt.as_mut()) {
            attempt.heard = true;
            self.outbounds.silences.remove(&(attempt.silent_until, id));
        }
    }

    /// RFC 4320 §4.1: a server that has said nothing for so long, not even 100, does not answer. A hold that ends before
    /// proves nothing: the server may wait for its user.
    pub(super) fn note_silence(&mut self, id: Id, now: Instant) {
        let Some(outbound) = self.outbounds.entries.get(&id) else { return };
        let Some(attempt) = outbound.attempt.filter(|attempt| !attempt.heard && attempt.silent_until <= now) else {
            return;
        };
        self.outbounds.peers.servers.down(attempt.place.address, now);
        self.note_domain(id, PeerState::Down);
    }

    /// Notes whether the servers of a request's domain answer: the target of a dialog is one peer's alone, and says nothing of them.
    fn note_domain(&mut self, id: Id, state: PeerState) {
        let outbound = self.outbounds.entries.get(&id).filter(|outbound| !outbound.in_dialog);
        let Some(Outbound { domain, .. }) = outbound else { return };
        self.outbounds.peers.note(&self.hub, domain, state);
    }

    fn handle_final(&mut self, id: Id, status: u16, response: &Message, now: Instant) {
        self.end_silence(id);
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else {
            return self.errand_answered(id, status, response, now);
        };
        let Some(attempt) = outbound.attempt.take() else { return };
        let domain = outbound.domain.clone();
        if matches!(status, 401 | 407) && self.prove_again(id, &domain, response, now) {
            return;
        }
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        if let Some(sent) = outbound.event.take() {
            self.note_domain(id, PeerState::Up);
            let outcome = failure_of(response, status).map_or(Outcome::Success(Proof::Recipient), Outcome::from);
            self.finish(id, Outcome::HandedOver);
            return self.handle_event_answer(&sent, Some(response), outcome, now);
        }
        if status == 415 && self.try_other_form(id, now) {
            return;
        }
        let recent = &mut self.outbounds.recent;
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return };
        let is_refused = outbound.ids.as_ref().is_some_and(|ids| recent.is_refused(ids, now));
        let outcome = match status {
            200 => Outcome::Success(Proof::Recipient),
            // RFC 3428 §7: what another server accepted, and no more is known.
            201..300 => Outcome::Success(Proof::Server),
            // RFC 3261 §8.2.2.2: the copy of an earlier try was there before this one.
            482 if outbound.doubtful && !is_refused => Outcome::Success(Proof::Server),
            // The copy may be that which was refused: when nobody remembers it, the answer is about the message.
            482 if outbound.doubtful => Failure::new(Side::Far, Cause::Unconfirmed)
                .with_text("a copy of it is known there, perhaps one that was refused")
                .into(),
            _ => match failure_of(response, status) {
                Some(failure) => failure.into(),
                None => return,
            },
        };
        if let (Outcome::Failure(failure), Some(ids)) = (&outcome, &outbound.ids)
            && failure.uncertain
        {
            outbound.doubtful = true;
            recent.note_refused(ids, now);
        }
        if let (503, Outcome::Failure(failure)) = (status, &outcome) {
            // RFC 3263 §4.3: this status and no other moves on to the next server.
            outbound.last = Some(failure.clone());
            self.outbounds.peers.servers.down(attempt.place.address, now);
            return self.try_next(id, now);
        }
        self.outbounds.peers.servers.up(attempt.place.address);
        self.note_domain(id, PeerState::Up);
        self.finish(id, outcome);
    }
}

impl Core {
    /// RFC 3261 §22.2: the same server gets it once more, with the proof that it asks for.
    fn prove_again(&mut self, id: Id, domain: &Domain, response: &Message, now: Instant) -> bool {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return false };
        let mut challenges = std::mem::take(&mut outbound.challenges);
        if !self.handle_challenge(domain, &mut challenges, response) {
            return false;
        }
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return false };
        outbound.challenges = challenges;
        outbound.proofs += 1;
        outbound.tried -= 1;
        if let Some(sent) = outbound.event.clone() {
            self.spend_number(&sent);
        }
        self.try_next(id, now);
        true
    }

    /// The addressee does not take what was sent (RFC 3261 §21.4.13): a message goes once more as itself (CMP-025).
    fn try_other_form(&mut self, id: Id, now: Instant) -> bool {
        let Some(outbound) = self.outbounds.entries.get_mut(&id) else { return false };
        let operation = outbound.delivery.operation.clone();
        match &*operation {
            Operation::Message(message) if outbound.form == Wrapped::Yes => {
                outbound.form = Wrapped::Refused;
                outbound.request = None;
                // The same server.
                outbound.tried -= 1;
                // What was passed on as it came may hold what the peer refuses; of its own form this tells nothing.
                if message.message.object.is_none() {
                    self.note_refusal(Kind::Cpim, &message.destination.address);
                }
                self.try_next(id, now);
                true
            }
            // Nothing else says the same as a protected object.
            Operation::Message(message) => {
                if let Some(sealed) = &message.message.sealed {
                    self.note_refusal(Kind::of(sealed), &message.destination.address);
                }
                false
            }
            Operation::Composing(told) => {
                self.note_refusal(Kind::Composing, &told.destination.address);
                self.typing.refused(&told.source.address, &told.destination.address);
                false
            }
            Operation::Disposition(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => false,
        }
    }
}

/// What a final response that is no success means.
fn failure_of(response: &Message, status: u16) -> Option<Failure> {
    let phrase = response.reason().unwrap_or_default();
    let contact = response.addresses(HeaderId::Contact).next().and_then(Result::ok);
    let redirect = contact.and_then(|contact| address::from_sip_uri(contact.uri).ok()).map(|end| end.address);
    error::from_sip_status(status, &phrase, redirect, pause(response))
}

/// How long a response asks to wait.
pub(in crate::core) fn pause(response: &Message) -> Option<Duration> {
    let pause = response.header(HeaderId::RetryAfter).and_then(|header| RetryAfter::parse(header.text().ok()?).ok());
    pause.map(|pause| Duration::from_secs(pause.seconds.into()))
}
