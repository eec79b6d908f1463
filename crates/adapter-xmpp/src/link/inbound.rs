//! What comes over the link: messages to the hub, answers to requests, errors to the deliveries they are about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use adapter_api::{Hub, Provenance, Settle, Settlement, Token};
use impp_model::{
    Cause, DateTime, Disposition, DispositionOperation, Domain, Failure, MaxForwards, MessageId, Operation, Outcome,
    Side, TransId,
};
use parking_lot::Mutex;
use strict_xml::{Element, SharedStr};
use xmpp_proto::gateway::{EntityTime, GatewayInfo, Software};
use xmpp_proto::jid::Jid;
use xmpp_proto::ns;
use xmpp_proto::stanza::{Condition, Iq, Message, MessageType, Presence, Stanza};

use super::outbound::Outbound;
use crate::mapping::address::from_jid;
use crate::mapping::{error, message, signal};
use crate::presence::{self, Received};

/// What is translated for the users behind the gateway (XEP-0030).
pub(crate) const FEATURES: &[&str] = &[ns::CHAT_STATES, ns::RECEIPTS, ns::CHAT_MARKERS];

/// The way of stanzas into the gateway.
pub(crate) struct Inbound {
    hub: Hub,
    provenance: Arc<Provenance>,
    /// The same of who may have sent a message before.
    repeating: Arc<Provenance>,
    /// Whose own address is the gateway's; none: that of every domain here.
    domain: Option<Domain>,
    info: GatewayInfo,
    senders: Arc<Senders>,
    /// Makes the ids of operations those of this process.
    nonce: u64,
}

/// How a stanza came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// What the caller calls it.
    pub(crate) number: u64,
    /// Whether it may be one that came over a stream that broke; its id tells, if it has one.
    pub(crate) may_repeat: bool,
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

/// What became of one stanza at once.
pub(crate) struct Taken {
    /// The answer.
    pub(crate) reply: Option<Element>,
    /// Whether more is to come: [`Settled`] tells.
    pub(crate) is_open: bool,
}

/// The end of what was open, or that it is on disk.
pub(crate) struct Settled {
    /// The stanza's number, as given to [`Inbound::handle`], the first time.
    pub(crate) number: u64,
    /// The answer, if it failed.
    pub(crate) reply: Option<Element>,
    /// Whether more is to come.
    pub(crate) is_open: bool,
}

/// Takes what becomes of stanzas, from whichever thread it comes.
pub(crate) type Settlements = Box<dyn Fn(Settled) + Send + Sync>;

/// Senders of messages whose outcome is not known, and the way back to them.
struct Senders {
    open: Mutex<Open>,
    settlements: Settlements,
    limit: usize,
}

#[derive(Default)]
struct Open {
    next: Token,
    senders: BTreeMap<Token, Sender>,
}

/// A token that no message has.
const NOBODY: Token = Token::MAX;

/// Whom to tell about a message.
struct Sender {
    from: Jid,
    to: Jid,
    id: Option<MessageId>,
    /// The name of the stanza.
    kind: &'static str,
    number: u64,
}

impl Inbound {
    /// What was open and has ended goes to `settlements`; there is never more than `limit` of it.
    pub(crate) fn new(
        hub: Hub,
        provenance: Arc<Provenance>,
        domain: Option<Domain>,
        limit: usize,
        nonce: u64,
        settlements: Settlements,
    ) -> Self {
        let senders = Arc::new(Senders { open: Mutex::default(), settlements, limit });
        let mut info = GatewayInfo::simple("Interlingua");
        info.features = FEATURES.iter().map(|feature| SharedStr::constant(feature)).collect();
        info.software = Some(Software { name: "Interlingua".into(), version: env!("CARGO_PKG_VERSION").into() });
        let repeating = Arc::new(Provenance { may_repeat: true, ..Provenance::clone(&provenance) });
        Self { hub, provenance, repeating, domain, info, senders, nonce }
    }

    /// How many messages wait for their outcome.
    pub(crate) fn pending(&self) -> usize {
        self.senders.open.lock().senders.len()
    }

    /// Takes one stanza.
    pub(crate) fn handle(&self, element: Element, arrival: Arrival, outbound: &mut Outbound) -> Taken {
        let Arrival { number, now, wall, .. } = arrival;
        outbound.handle_received(now);
        let reply = match Stanza::from_element(element) {
            Ok(Stanza::Message(message)) => return self.handle_message(&message, arrival, outbound),
            Ok(Stanza::Presence(presence)) => return self.handle_presence(&presence, number, outbound),
            Ok(Stanza::Iq(iq)) => self.handle_iq(&iq, outbound, now, wall),
            Err(rejected) => rejected.reply(),
        };
        Taken { reply, is_open: false }
    }

    fn handle_message(&self, message: &Message, arrival: Arrival, outbound: &mut Outbound) -> Taken {
        let mut is_open = false;
        let reply = self.take_message(message, arrival, outbound, &mut is_open);
        Taken { reply, is_open }
    }

    fn take_message(
        &self,
        message: &Message,
        Arrival { number, may_repeat, now, wall }: Arrival,
        outbound: &mut Outbound,
        is_open: &mut bool,
    ) -> Option<Element> {
        let (from, to) = match message::addresses(message) {
            Ok(addresses) => addresses,
            Err(refusal) => return refuse(message, &refusal),
        };
        if message.kind() == MessageType::Error {
            // ERR-007: it settles what it is about, and is never passed on or answered.
            if !outbound.handle_error(message, &from, &to, now) {
                self.handle_late_error(message, &from, &to);
            }
            return None;
        }
        let (token, trans_id) = match self.senders.reserve(self.nonce) {
            Some(reserved) => reserved,
            // CMP-004: what is only said about messages is never answered with an error.
            None if message.bodies().next().is_none() => return None,
            None => return overloaded(message),
        };
        self.hand_in_signals(message, &from, &to, &trans_id, wall);
        match message::from_stanza(message, &from, &to, trans_id) {
            Ok(Some(mapped)) => {
                let id = mapped.value.message.id.clone();
                let is_nameless = id.is_none();
                self.senders.open.lock().senders.insert(token, Sender { from, to, id, kind: "message", number });
                *is_open = true;
                let settle = Settle::new(Arc::clone(&self.senders) as Arc<dyn Settlement>, token);
                // DESIGN A5: a repeat that nothing can tell from a new message is flagged.
                let provenance = if may_repeat && is_nameless { &self.repeating } else { &self.provenance };
                self.hub.submit(Operation::Message(Box::new(mapped.value)), Arc::clone(provenance), settle);
                None
            }
            Ok(None) => None,
            // XSU-018: the gateway's own address takes no messages.
            Err(_) if to.is_domain() => message.error_reply(&Condition::ServiceUnavailable.into()),
            Err(refusal) => refuse(message, &refusal),
        }
    }

    /// The gateway is the server of who is addressed (RFC 6121 §3, §4).
    fn handle_presence(&self, presence: &Presence, number: u64, outbound: &mut Outbound) -> Taken {
        let done = |reply| Taken { reply, is_open: false };
        let Some((token, trans_id)) = self.senders.reserve(self.nonce) else {
            return done(presence.error_reply(&error::to_stanza_error(&Failure::new(Side::Ours, Cause::Overload))));
        };
        let operation = match presence::from_stanza(presence, |to| self.is_gateway(to), trans_id) {
            Ok(Received::Operation(operation)) => *operation,
            Ok(Received::Word(user, word)) => {
                outbound.handle_word(&user, &word);
                return done(None);
            }
            Ok(Received::Refused(failure)) => return done(presence.error_reply(&error::to_stanza_error(&failure))),
            // XSU-018: presence to who cannot be is ignored.
            Ok(Received::Nothing) | Err(_) => return done(None),
        };
        let parse = |jid: Option<&str>| Jid::parse(jid.unwrap_or_default()).ok();
        let ends = parse(presence.from()).zip(parse(presence.to())).filter(|_| presence::is_told(&operation));
        let is_open = ends.is_some();
        let token = match ends {
            Some((from, to)) => {
                let id = presence.id().map(MessageId::from);
                let sender = Sender { from: from.to_bare(), to: to.to_bare(), id, kind: "presence", number };
                self.senders.open.lock().senders.insert(token, sender);
                token
            }
            None => NOBODY,
        };
        let settle = Settle::new(Arc::clone(&self.senders) as Arc<dyn Settlement>, token);
        self.hub.submit(operation, Arc::clone(&self.provenance), settle);
        Taken { reply: None, is_open }
    }

    /// Whether a JID is the gateway's own address.
    fn is_gateway(&self, jid: &Jid) -> bool {
        jid.is_domain() && self.domain.as_ref().is_none_or(|own| is_domain(jid, own))
    }

    /// Hands in what a stanza says about messages. Nobody hears what becomes of that (CMP-004, IMDN-002).
    fn hand_in_signals(&self, message: &Message, from: &Jid, to: &Jid, trans_id: &TransId, wall: SystemTime) {
        for operation in signal::from_stanza(message, from, to, trans_id, || DateTime::from_system_time(wall)) {
            let settle = Settle::new(Arc::clone(&self.senders) as Arc<dyn Settlement>, NOBODY);
            self.hub.submit(operation, Arc::clone(&self.provenance), settle);
        }
    }

    /// An error about a message that its addressee's server has spoken for already: the hub knows whether there was one.
    fn handle_late_error(&self, message: &Message, from: &Jid, to: &Jid) {
        let ends = from_jid(from).ok().zip(from_jid(to).ok());
        let (Some((source, destination)), Some(id)) = (ends, message.id().filter(|id| !id.is_empty())) else {
            return tracing::debug!(peer = from.domain(), "error about no open message");
        };
        let Some(accepted) = DateTime::from_system_time(SystemTime::now()) else { return };
        let word = DispositionOperation {
            source,
            destination,
            max_forwards: MaxForwards::INITIAL,
            message_id: Some(id.into()),
            trans_id: TransId::from(format!("{:016x}-late", self.nonce)),
            accepted,
            disposition: Disposition::Failed(Box::new(error::failure_of(message))),
            and_earlier: false,
            return_path: None,
        };
        // ERR-007: nobody is told what becomes of an error.
        let settle = Settle::new(Arc::clone(&self.senders) as Arc<dyn Settlement>, NOBODY);
        self.hub.submit(Operation::Disposition(Box::new(word)), Arc::clone(&self.provenance), settle);
    }

    fn handle_iq(&self, iq: &Iq, outbound: &mut Outbound, now: Instant, wall: SystemTime) -> Option<Element> {
        if !iq.is_request() {
            // RFC 6120 §8.2.3: an answer to what was not asked is ignored.
            let from = iq.from().and_then(|from| Jid::parse(from).ok())?;
            outbound.handle_answer(iq.id().unwrap_or_default(), &from, now);
            return None;
        }
        let to = iq.to().and_then(|to| Jid::parse(to).ok());
        if to.as_ref().is_some_and(|to| to.resource().is_some() && !to.is_domain()) {
            return presence::contact().answer(iq);
        }
        if to.is_some_and(|to| self.is_gateway(&to)) {
            let utc = DateTime::from_system_time(wall)?;
            return self.info.answer(iq, EntityTime { utc: utc.as_str(), tzo: "+00:00" });
        }
        // XSU-018, DSC-004: nobody is authorized to see more of a user.
        iq.error_reply(&Condition::ServiceUnavailable.into())
    }
}

impl Senders {
    /// A token for one more message, and the name of its operation; `None` when too many are open.
    fn reserve(&self, nonce: u64) -> Option<(Token, TransId)> {
        let mut open = self.open.lock();
        if open.senders.len() >= self.limit {
            return None;
        }
        let token = open.next;
        open.next += 1;
        drop(open);
        Some((token, TransId::from(format!("{nonce:016x}-{token}"))))
    }
}

impl Settlement for Senders {
    fn settled(&self, token: Token, outcome: Outcome) {
        let Some(sender) = self.open.lock().senders.remove(&token) else { return };
        let reply = match outcome {
            // RFC 7572 §4: success makes no stanza.
            Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => None,
            Outcome::Failure(failure) => Some(sender.error_stanza(&failure)),
        };
        (self.settlements)(Settled { number: sender.number, reply, is_open: false });
    }

    // XEP-0198 §4: what is on disk is handled, whatever becomes of it.
    fn kept(&self, token: Token) {
        let number = match self.open.lock().senders.get_mut(&token) {
            Some(sender) => std::mem::take(&mut sender.number),
            None => return,
        };
        if number > 0 {
            (self.settlements)(Settled { number, reply: None, is_open: true });
        }
    }
}

impl Sender {
    /// IM-013: to the sender's full JID, from the addressee, with the same id.
    fn error_stanza(&self, failure: &Failure) -> Element {
        let id = self.id.as_ref().map_or("", MessageId::as_str);
        let mut stanza = error::error_message(self.to.as_str(), self.from.as_str(), id, failure);
        stanza.name = self.kind.into();
        stanza
    }
}

fn is_domain(jid: &Jid, domain: &Domain) -> bool {
    Domain::parse_host(jid.domain()).is_ok_and(|found| found == *domain)
}

fn refuse(message: &Message, refusal: &message::Refusal) -> Option<Element> {
    tracing::debug!(reason = refusal.failure().cause.code(), "message stanza refused");
    message.error_reply(&error::to_stanza_error(&refusal.failure()))
}

fn overloaded(message: &Message) -> Option<Element> {
    message.error_reply(&error::to_stanza_error(&Failure::new(Side::Ours, Cause::Overload)))
}
