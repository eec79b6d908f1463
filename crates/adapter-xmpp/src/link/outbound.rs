//! Deliveries on their way to XMPP: waiting for the link, then sent and waiting for proof.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::{Carries, Delivery, Hub, Settle, Token};
use bytes::BytesMut;
use impp_model::{
    Cause, ComposingOperation, DispositionOperation, Domain, Endpoint, Failure, MessageOperation, Operation, Outcome,
    Proof, Side, Wish,
};
use strict_xml::{Element, SharedStr};
use xmpp_proto::barrier::{Barriers, MAX_UNPROVEN, Output};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza;

use super::ping::{parse_ping_id, ping, ping_id};
use super::replies::{Replies, Reply, Told};
use super::sent::{Expired, Name, Repeated, Sent, SentTable};
use crate::config::Acknowledge;
use crate::mapping::address::AddressError;
use crate::mapping::{Mapped, e2e, error, message, signal};
use crate::presence::{self, Checks};

/// The deliveries of one component, or of one local domain to one other domain. Reads no clock and does no I/O.
#[derive(Debug)]
pub(crate) struct Outbound {
    domain: Domain,
    /// The same as a JID.
    own: Arc<str>,
    acknowledge: Acknowledge,
    presence: ProofOfPresence,
    max_stanza: usize,
    waiting: VecDeque<Delivery>,
    /// No delivery in `waiting` is due before this.
    waiting_due: Option<Instant>,
    sent: SentTable,
    checks: Checks,
    replies: Replies,
    link: Option<Link>,
    /// Whether its certificate proves the peer of the link over TLS.
    is_proven: bool,
}

/// Whether presence, which is state, is to be proven as messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProofOfPresence {
    /// It is not: a link that comes up again brings every state anew.
    Needless,
    /// It is: servers make streams only for what is sent, so what a broken one has lost must be sent again.
    Needed,
}

/// What belongs to one connection.
#[derive(Debug)]
struct Link {
    barriers: Barriers,
    /// Makes ping ids those of this connection: the answer to an older one proves nothing.
    nonce: u32,
    /// On a stream that acknowledges (XEP-0198): the stanzas written since [`Outbound::take_marks`].
    marks: Option<Vec<Mark>>,
}

/// The end of one stanza in what was written, and its name for [`Outbound::handle_acked`] if anybody waits for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) end: usize,
    pub(crate) token: Option<Token>,
}

/// Octets written and not yet taken by the network beyond which deliveries wait: a tenth of a second at 80 Mbit/s.
pub(crate) const HIGH_WATER: usize = 1 << 20;

/// For the proof that a server has an error: longer than an unanswered barrier is waited for.
const REPLY_PROOF: Duration = Duration::from_secs(60);

/// What a sender hears for whom a rule wants TLS.
const UNPROVEN: &str = "the peer has proven itself by no TLS certificate";

/// What the link has to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Keep,
    /// The peer does not answer: close it.
    Dead,
}

impl Outbound {
    /// `domain`: whom all that is sent comes from.
    pub(crate) fn new(
        domain: Domain,
        acknowledge: Acknowledge,
        presence: ProofOfPresence,
        max_stanza: usize,
        replies: Replies,
        now: Instant,
    ) -> Self {
        Self {
            own: domain.to_unicode().into(),
            domain,
            acknowledge,
            presence,
            max_stanza,
            waiting: VecDeque::new(),
            waiting_due: None,
            sent: SentTable::new(now),
            checks: Checks::default(),
            replies,
            link: None,
            is_proven: false,
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.sent.is_awaited() && !self.replies.is_waiting()
    }

    /// Whether something was sent whose outcome is open.
    pub(crate) fn is_unproven(&self) -> bool {
        self.sent.is_awaited()
    }

    /// When to call [`expire`](Self::expire) or [`pump`](Self::pump) at the latest.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let barriers = self.link.as_ref().and_then(|link| link.barriers.poll_timeout());
        let replies = self.replies.next_timeout();
        let own = [self.waiting_due, self.sent.next_deadline(), self.checks.next_timeout(), barriers, replies];
        own.into_iter().flatten().min()
    }

    /// Takes a delivery into the queue.
    pub(crate) fn admit(&mut self, delivery: Delivery) {
        self.waiting_due = Some(self.waiting_due.map_or(delivery.deadline, |due| due.min(delivery.deadline)));
        self.waiting.push_back(delivery);
    }

    /// Has the sender of a message that came over the link told what became of it, over this link or the next.
    pub(crate) fn reply(&mut self, error: Element, told: Told, now: Instant) {
        self.replies.push(error, told, now);
    }

    /// After what could be written was: no error stays here that a crash would take along (DESIGN A5).
    pub(crate) fn give_back_overdue(&mut self, now: Instant) {
        self.replies.give_back_overdue(now);
    }

    /// Whether something is to be written.
    pub(crate) fn wants_link(&self) -> bool {
        !self.waiting.is_empty() || self.replies.is_waiting()
    }

    /// The link is up; `nonce` is random.
    pub(crate) fn link_up(&mut self, nonce: u32, now: Instant) {
        self.link = Some(Link { barriers: Barriers::new(now), nonce, marks: None });
    }

    /// The link is up, and acknowledges what it takes (XEP-0198).
    pub(crate) fn managed_link_up(&mut self, now: Instant) {
        self.link = Some(Link { barriers: Barriers::new(now), nonce: 0, marks: Some(Vec::new()) });
    }

    /// The link that comes up leads to a peer whose certificate proves it, or not: what is for proven peers alone is then refused.
    pub(crate) fn peer_is_proven(&mut self, is_proven: bool) {
        self.is_proven = is_proven;
    }

    /// What was written since the last call; only on managed links.
    pub(crate) fn take_marks(&mut self) -> Vec<Mark> {
        self.link.as_mut().and_then(|link| link.marks.as_mut()).map(std::mem::take).unwrap_or_default()
    }

    /// The peer has taken responsibility for a stanza.
    pub(crate) fn handle_acked(&mut self, token: Token) {
        if let Some(sent) = self.sent.remove(token) {
            self.proven(sent);
        }
    }

    /// The addressee's server has a stanza.
    fn proven(&mut self, mut sent: Sent) {
        match sent.settle.take() {
            Some(settle) => settle.settle(Outcome::Success(Proof::Server)),
            None => self.sent.proven_late(sent),
        }
    }

    /// A stanza was not acknowledged and never will be.
    pub(crate) fn handle_lost(&mut self, token: Token) {
        if let Some(settle) = self.sent.remove(token).and_then(|sent| sent.settle) {
            settle.settle(unconfirmed("the stream ended before the addressee's server confirmed"));
        }
    }

    /// The link is gone, and will go on over another connection with all that was sent (XEP-0198 §5).
    pub(crate) fn link_paused(&mut self) {
        self.link = None;
    }

    /// What is past its deadline goes over another link, if its next try comes.
    pub(crate) fn forget_overdue(&mut self) {
        self.sent.forget_overdue();
    }

    /// There is no way to the addressees: what waits is told why.
    pub(crate) fn fail_waiting(&mut self, failure: &Failure) {
        self.waiting_due = None;
        for delivery in self.waiting.drain(..) {
            delivery.settle(failure.clone());
        }
    }

    /// There is no link and none in sight: what the hub can keep does not wait here (DESIGN A5).
    pub(crate) fn give_back(&mut self) {
        self.waiting_due = None;
        for delivery in self.waiting.drain(..) {
            delivery.settle(Failure::new(Side::Far, Cause::LinkDown));
        }
    }

    /// The link is gone: what was sent and not proven may or may not have arrived.
    pub(crate) fn link_lost(&mut self) {
        self.link = None;
        self.checks.end();
        for settle in self.sent.drain().into_iter().filter_map(|sent| sent.settle) {
            settle.settle(unconfirmed("the link broke before the addressee's server confirmed"));
        }
    }

    /// Errors have waited for long enough: the hub keeps them.
    pub(crate) fn give_replies_back(&mut self) {
        self.replies.give_back();
    }

    /// The gateway stops: what is left is told so.
    pub(crate) fn shut_down(&mut self) {
        self.link_lost();
        self.give_replies_back();
        for delivery in self.waiting.drain(..) {
            delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        self.waiting_due = None;
    }

    /// Settles what is past its deadline.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.checks.expire(now);
        for Expired { settle, forgotten } in self.sent.expired(now) {
            if let (Some(link), Some((token, domain))) = (&mut self.link, forgotten) {
                link.barriers.handle_settled(token, &domain, now);
            }
            settle.settle(unconfirmed("the addressee's server did not confirm in time"));
        }
        if self.waiting_due.is_none_or(|due| due > now) {
            return;
        }
        let cause = if self.link.is_some() { Cause::Overload } else { Cause::LinkDown };
        let (expired, waiting): (VecDeque<_>, _) =
            self.waiting.drain(..).partition(|delivery| delivery.deadline <= now);
        self.waiting = waiting;
        self.waiting_due = self.waiting.iter().map(|delivery| delivery.deadline).min();
        for delivery in expired {
            delivery.settle(Failure::new(Side::Far, cause));
        }
    }

    /// Writes what waits and what barriers ask for, as far as `out` takes it.
    pub(crate) fn pump(&mut self, out: &mut BytesMut, hub: &Hub, now: Instant, wall: SystemTime) -> Verdict {
        if let Some(link) = &mut self.link {
            link.barriers.handle_timeout(now);
        }
        while out.len() < HIGH_WATER
            && self.has_room()
            && let Some(reply) = self.replies.pop()
        {
            self.send_reply(reply, out, now);
        }
        while out.len() < HIGH_WATER && self.has_room() {
            let Some(delivery) = self.waiting.pop_front() else {
                self.waiting_due = None;
                break;
            };
            self.send(delivery, out, hub, now, wall);
        }
        self.drain_barriers(out)
    }

    fn has_room(&self) -> bool {
        self.sent.len() < MAX_UNPROVEN && self.link.as_ref().is_some_and(|link| link.barriers.has_room())
    }

    /// Something came over the link.
    pub(crate) fn handle_received(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.barriers.handle_received(now);
        }
    }

    /// Takes an answer to an IQ; returns whether it was one of ours.
    pub(crate) fn handle_answer(&mut self, id: &str, from: &Jid, now: Instant) -> bool {
        let Some(link) = &mut self.link else { return false };
        // The domain was asked, so none of its users answers.
        let number = parse_ping_id(id, link.nonce).filter(|_| from.is_domain());
        number.is_some_and(|number| link.barriers.handle_answer(number, from.domain(), now))
    }

    /// Takes a message of type error; returns whether it was about an open delivery.
    // RFC 6120 §8.3.1: an error goes back to the sender of the stanza with its id; it comes from the addressee, from a
    // server that answers for him, or from the server of this link.
    pub(crate) fn handle_error(&mut self, message: &stanza::Message, from: &Jid, to: &Jid, now: Instant) -> bool {
        let Some(id) = message.id() else { return false };
        let may_tell = |domain: &str| from.domain() == domain || from.domain() == &*self.own;
        let Some((token, mut sent)) = self.sent.remove_by_id(to, id, may_tell) else {
            return self.sent.error_of_late(to, id, may_tell, || error::failure_of(message));
        };
        if let Some(link) = &mut self.link {
            link.barriers.handle_settled(token, &sent.domain, now);
        }
        match sent.settle.take() {
            Some(settle) => settle.settle(error::failure_of(message)),
            // Nobody waits for an overdue one, until its next try.
            None => self.sent.refused_late(sent, error::failure_of(message)),
        }
        true
    }

    fn send(&mut self, delivery: Delivery, out: &mut BytesMut, hub: &Hub, now: Instant, wall: SystemTime) {
        let Delivery { operation, deadline, mut settle, trace, repeat, edition, proven_only, .. } = delivery;
        let name = matches!(*operation, Operation::Message(_)).then_some((trace, edition));
        if let Some(name) = name.filter(|_| repeat) {
            // What is on its way over a link that lives needs no copy behind it.
            settle = match self.sent.repeat(name, settle, deadline) {
                Repeated::Waits => return,
                Repeated::Proven(settle) => return settle.settle(Outcome::Success(Proof::Server)),
                Repeated::Refused(settle, failure) => return settle.settle(Outcome::Failure(failure)),
                Repeated::Unknown(settle) => settle,
            };
        }
        // What became of an earlier try holds, whoever the peer is by now.
        if proven_only && !self.is_proven {
            return settle.settle(Failure::new(Side::Far, Cause::PolicyDenied).with_text(UNPROVEN));
        }
        let written = match &*operation {
            Operation::Message(operation) => self.write(operation, out, hub, wall),
            Operation::Disposition(operation) => self.write_word(operation, out, hub),
            Operation::Composing(operation) => {
                // Worth nothing later, so nobody waits for a proof.
                return settle.settle(match self.write_state(operation, out) {
                    Ok(()) => Outcome::HandedOver,
                    Err(failure) => Outcome::Failure(failure),
                });
            }
            Operation::Subscribe(_) | Operation::Notify(_) | Operation::Authorize(_) => {
                return self.send_presence(&operation, settle, deadline, out, now);
            }
            Operation::Publish(_) | _ => Err(Box::new(Failure::new(Side::Ours, Cause::NotImplemented))),
        };
        match written {
            Ok(Some(written)) => {
                tracing::trace!(%trace, octets = written.octets, "stanza written");
                self.await_proof(written, out.len(), name, settle, deadline, now);
            }
            // RFC 3428 §9: an empty message is taken and shown to nobody.
            Ok(None) => settle.settle(Outcome::Success(Proof::Server)),
            Err(failure) => settle.settle(*failure),
        }
    }

    fn send_reply(&mut self, reply: Reply, out: &mut BytesMut, now: Instant) {
        let before = out.len();
        stanza::encode(out, &reply.stanza);
        let to = reply.stanza.attr("to").and_then(|to| Jid::parse(to).ok());
        let to_domain = to.map_or_else(|| Arc::clone(&self.own), |to| to.domain().into());
        // No error is about an error, so nothing is found by its id.
        let (id, from) = (String::new(), SharedStr::EMPTY);
        let written = Written { id, from, to_domain, octets: out.len() - before };
        let settle = self.replies.written(reply);
        self.await_proof(written, out.len(), None, settle, now + REPLY_PROOF, now);
    }

    /// Word of a user that was asked after.
    pub(crate) fn handle_word(&mut self, user: &Jid, word: &Result<bool, Box<Failure>>) {
        self.checks.handle_word(user, word);
    }

    /// Writes presence.
    fn send_presence(
        &mut self,
        operation: &Operation,
        settle: Settle,
        deadline: Instant,
        out: &mut BytesMut,
        now: Instant,
    ) {
        // XEP-0114 §3: the server closes a component that speaks as another domain.
        if presence::source_domain(operation, &self.domain) != &self.domain {
            return settle.settle(Failure::new(Side::Ours, Cause::NoRoute));
        }
        let stanzas = match presence::to_stanzas(operation, &self.own) {
            Ok(stanzas) => stanzas,
            Err(failure) => return settle.settle(*failure),
        };
        let (begin, proven) = (out.len(), self.presence == ProofOfPresence::Needed && !is_check(operation));
        for (number, stanza) in (1..).zip(&stanzas) {
            let before = out.len();
            e2e::encode(out, stanza, &stanza.ns);
            if out.len() - before > self.max_stanza {
                out.truncate(before);
                return settle.settle(Failure::new(Side::Far, Cause::TooLarge));
            }
            // The proof of the last one covers those before it.
            if !proven || number < stanzas.len() {
                self.mark_unproven(out.len());
            }
        }
        match stanzas.first().and_then(|stanza| stanza.attr("to")) {
            Some(user) if is_check(operation) => {
                self.checks.ask(user, settle, now);
            }
            Some(_) if proven => {
                let to_domain = operation.destination().address.domain().to_unicode().into();
                // Nobody answers presence with an error that is to be found here.
                let (id, from) = (String::new(), SharedStr::EMPTY);
                let written = Written { id, from, to_domain, octets: out.len() - begin };
                self.await_proof(written, out.len(), None, settle, deadline, now);
            }
            Some(_) | None => settle.settle(Outcome::HandedOver),
        }
    }

    /// Appends the stanza for an operation to `out`.
    fn write(
        &self,
        operation: &MessageOperation,
        out: &mut BytesMut,
        hub: &Hub,
        wall: SystemTime,
    ) -> Result<Option<Written>, Box<Failure>> {
        self.may_speak_for(&operation.source)?;
        let id = message::stanza_id(operation);
        let stamp = message::Stamp { id: &id, gateway: &self.own, now: wall };
        let before = out.len();
        let Some(mapped) = message::write(out, operation, stamp).map_err(|e| Box::new(e.failure()))? else {
            return Ok(None);
        };
        let octets = out.len() - before;
        // RFC 7573 §8: below the limit of the server, which would close the link over a larger stanza.
        if octets > self.max_stanza {
            out.truncate(before);
            let text = format!("{octets} octets are more than the XMPP server takes ({})", self.max_stanza);
            return Err(Box::new(Failure::new(Side::Far, Cause::TooLarge).with_text(text)));
        }
        count_losses(hub, &mapped);
        let from = mapped.value.from.shared();
        let to_domain = operation.destination.address.domain().to_unicode().into();
        Ok(Some(Written { id: id.into_owned(), from, to_domain, octets }))
    }

    /// Appends the stanza that tells a sender what became of its message: an error (RFC 6120 §8.3.1), or a report.
    fn write_word(
        &self,
        operation: &DispositionOperation,
        out: &mut BytesMut,
        hub: &Hub,
    ) -> Result<Option<Written>, Box<Failure>> {
        self.may_speak_for(&operation.source)?;
        let stanza = match operation.disposition.failure() {
            Some(failure) => error::to_error_message(operation, &failure).map_err(malformed)?,
            None => match signal::to_report(operation).map_err(malformed)? {
                Some(report) => report.into_element(),
                None => {
                    hub.translation_loss("disposition", Carries::Dropped);
                    return Ok(None);
                }
            },
        };
        let before = out.len();
        stanza::encode(out, &stanza);
        let from = stanza.attr("from").map(SharedStr::copy).unwrap_or_default();
        let to_domain = operation.destination.address.domain().to_unicode().into();
        // It is nobody's to answer an error, so its id is for our own table alone.
        let id = match operation.disposition.failure() {
            Some(_) => format!("told {}", operation.trans_id),
            None => stanza.attr("id").unwrap_or_default().to_owned(),
        };
        Ok(Some(Written { id, from, to_domain, octets: out.len() - before }))
    }

    /// Appends a chat state.
    fn write_state(&mut self, operation: &ComposingOperation, out: &mut BytesMut) -> Result<(), Box<Failure>> {
        self.may_speak_for(&operation.source)?;
        let stanza = signal::to_chat_state(operation).map_err(malformed)?;
        stanza::encode(out, stanza.element());
        self.mark_unproven(out.len());
        Ok(())
    }

    /// XEP-0198 §4: a stanza that nobody waits for is counted, too.
    fn mark_unproven(&mut self, end: usize) {
        if let Some(marks) = self.link.as_mut().and_then(|link| link.marks.as_mut()) {
            marks.push(Mark { end, token: None });
        }
    }

    // XEP-0114 §3: the server closes a component that speaks as another domain.
    fn may_speak_for(&self, source: &Endpoint) -> Result<(), Box<Failure>> {
        if source.address.domain() == &self.domain {
            return Ok(());
        }
        Err(Box::new(Failure::new(Side::Ours, Cause::NoRoute)))
    }

    /// Keeps what a stanza, which ends at `end` of what is written, is to settle.
    fn await_proof(
        &mut self,
        written: Written,
        end: usize,
        name: Option<Name>,
        settle: Settle,
        deadline: Instant,
        now: Instant,
    ) {
        let is_exempt = self.acknowledge == Acknowledge::None;
        match &mut self.link {
            Some(link) if link.marks.is_some() || !is_exempt => {
                let Written { id, from, to_domain, .. } = written;
                let token = self.sent.insert(&from, &id, Arc::clone(&to_domain), name, settle, deadline);
                match &mut link.marks {
                    Some(marks) => marks.push(Mark { end, token: Some(token) }),
                    None => link.barriers.handle_sent(token, &to_domain, now),
                }
            }
            Some(_) | None => settle.settle(Outcome::HandedOver),
        }
    }

    fn drain_barriers(&mut self, out: &mut BytesMut) -> Verdict {
        let mut verdict = Verdict::Keep;
        while let Some(link) = &mut self.link
            && let Some(output) = link.barriers.poll_output()
        {
            match output {
                Output::Ping { id, domain } => {
                    stanza::encode(out, ping(&self.own, &domain, &ping_id(id, link.nonce)).element());
                }
                Output::Proven(token) => self.handle_acked(token),
                Output::Unconfirmed(token) => {
                    if let Some(settle) = self.sent.remove(token).and_then(|sent| sent.settle) {
                        settle.settle(unconfirmed("the addressee's server did not confirm in time"));
                    }
                }
                Output::Close => verdict = Verdict::Dead,
            }
        }
        verdict
    }
}

/// Whether a watcher is asked after, who answers for himself.
fn is_check(operation: &Operation) -> bool {
    matches!(operation, Operation::Subscribe(subscribe) if subscribe.wish == Wish::Check)
}

/// A stanza that was appended.
struct Written {
    id: String,
    from: SharedStr,
    to_domain: Arc<str>,
    octets: usize,
}

fn count_losses<T>(hub: &Hub, mapped: &Mapped<T>) {
    for field in &mapped.degraded {
        hub.translation_loss(field, Carries::Degraded);
    }
    for field in &mapped.dropped {
        hub.translation_loss(field, Carries::Dropped);
    }
}

fn malformed(error: AddressError) -> Box<Failure> {
    Box::new(error.failure())
}

fn unconfirmed(why: &str) -> Failure {
    Failure::new(Side::Far, Cause::Unconfirmed).with_text(format!("{why}; the message may have arrived"))
}
