//! What comes over the link: messages to the hub, answers to requests, errors to the deliveries they are about.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use adapter_api::{Hub, Provenance, Settle, Settlement, Token, settle_channel};
use impp_model::{Cause, DateTime, Domain, Failure, MessageId, Operation, Outcome, Side, TransId};
use parking_lot::Mutex;
use strict_xml::Element;
use tokio::sync::mpsc;
use xmpp_proto::gateway::{EntityTime, GatewayInfo, Software};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{Condition, Iq, Message, MessageType, Presence, Stanza};

use super::outbound::Outbound;
use crate::mapping::{error, message};
use crate::presence::{self, Received};

/// The way of stanzas into the gateway.
pub(crate) struct Inbound {
    hub: Hub,
    provenance: Arc<Provenance>,
    domain: Domain,
    info: GatewayInfo,
    senders: Arc<Senders>,
    /// Makes the ids of operations those of this process.
    nonce: u64,
}

/// Senders of messages whose outcome is not known, and the way back to them.
struct Senders {
    open: Mutex<Open>,
    replies: mpsc::UnboundedSender<Element>,
    limit: usize,
}

#[derive(Default)]
struct Open {
    next: Token,
    senders: HashMap<Token, Sender>,
}

/// Whom to tell about a message.
struct Sender {
    from: Jid,
    to: Jid,
    id: Option<MessageId>,
    /// The name of the stanza.
    kind: &'static str,
}

impl Inbound {
    /// Error stanzas for messages that failed later come out of the receiver; there are never more than `limit`.
    pub(crate) fn new(
        hub: Hub,
        provenance: Arc<Provenance>,
        domain: Domain,
        limit: usize,
        nonce: u64,
    ) -> (Self, mpsc::UnboundedReceiver<Element>) {
        let (replies, receiver) = mpsc::unbounded_channel();
        let senders = Arc::new(Senders { open: Mutex::default(), replies, limit });
        let mut info = GatewayInfo::simple("Interlingua");
        info.software = Some(Software { name: "Interlingua".into(), version: env!("CARGO_PKG_VERSION").into() });
        (Self { hub, provenance, domain, info, senders, nonce }, receiver)
    }

    /// How many messages wait for their outcome.
    pub(crate) fn pending(&self) -> usize {
        self.senders.open.lock().senders.len()
    }

    /// Takes one stanza; returns what to answer at once.
    pub(crate) fn handle(
        &self,
        element: Element,
        outbound: &mut Outbound,
        now: Instant,
        wall: SystemTime,
    ) -> Option<Element> {
        outbound.handle_received(now);
        match Stanza::from_element(element) {
            Ok(Stanza::Message(message)) => self.handle_message(&message, outbound, now),
            Ok(Stanza::Presence(presence)) => self.handle_presence(&presence, outbound),
            Ok(Stanza::Iq(iq)) => self.handle_iq(&iq, outbound, now, wall),
            Err(rejected) => rejected.reply(),
        }
    }

    fn handle_message(&self, message: &Message, outbound: &mut Outbound, now: Instant) -> Option<Element> {
        let (from, to) = match message::addresses(message) {
            Ok(addresses) => addresses,
            Err(refusal) => return refuse(message, &refusal),
        };
        if message.kind() == MessageType::Error {
            // ERR-007: it settles what it is about, and is never passed on or answered.
            if !outbound.handle_error(message, &from, &to, now) {
                tracing::debug!(peer = from.domain(), "error about no open message");
            }
            return None;
        }
        let (token, trans_id) = match self.senders.reserve(self.nonce) {
            Some(reserved) => reserved,
            None => return overloaded(message),
        };
        match message::from_stanza(message, &from, &to, trans_id) {
            Ok(Some(mapped)) => {
                let id = mapped.value.message.id.clone();
                self.senders.open.lock().senders.insert(token, Sender { from, to, id, kind: "message" });
                let settle = Settle::new(Arc::clone(&self.senders) as Arc<dyn Settlement>, token);
                self.hub.submit(Operation::Message(Box::new(mapped.value)), Arc::clone(&self.provenance), settle);
                None
            }
            Ok(None) => None,
            // XSU-018: the gateway's own address takes no messages.
            Err(_) if to.is_domain() => message.error_reply(&Condition::ServiceUnavailable.into()),
            Err(refusal) => refuse(message, &refusal),
        }
    }

    /// The gateway is the server of who is addressed (RFC 6121 §3, §4).
    fn handle_presence(&self, presence: &Presence, outbound: &mut Outbound) -> Option<Element> {
        let Some((token, trans_id)) = self.senders.reserve(self.nonce) else {
            return presence.error_reply(&error::to_stanza_error(&Failure::new(Side::Ours, Cause::Overload)));
        };
        let own = |domain: &str| Domain::parse_host(domain).is_ok_and(|domain| domain == self.domain);
        let operation = match presence::from_stanza(presence, own, trans_id) {
            Ok(Received::Operation(operation)) => *operation,
            Ok(Received::Word(user, word)) => {
                outbound.handle_word(&user, &word);
                return None;
            }
            // XSU-018: presence to who cannot be is ignored.
            Ok(Received::Nothing) | Err(_) => return None,
        };
        let settle = if presence::is_told(&operation) {
            let parse = |jid: Option<&str>| Jid::parse(jid.unwrap_or_default()).ok();
            let (from, to) = (parse(presence.from())?, parse(presence.to())?);
            let id = presence.id().map(MessageId::from);
            let sender = Sender { from: from.to_bare(), to: to.to_bare(), id, kind: "presence" };
            self.senders.open.lock().senders.insert(token, sender);
            Settle::new(Arc::clone(&self.senders) as Arc<dyn Settlement>, token)
        } else {
            settle_channel().0
        };
        self.hub.submit(operation, Arc::clone(&self.provenance), settle);
        None
    }

    fn handle_iq(&self, iq: &Iq, outbound: &mut Outbound, now: Instant, wall: SystemTime) -> Option<Element> {
        if !iq.is_request() {
            // RFC 6120 §8.2.3: an answer to what was not asked is ignored.
            let from = iq.from().and_then(|from| Jid::parse(from).ok())?;
            outbound.handle_answer(iq.id().unwrap_or_default(), &from, now);
            return None;
        }
        let to = iq.to().and_then(|to| Jid::parse(to).ok());
        let to_gateway =
            to.is_some_and(|to| to.is_domain() && Domain::parse_host(to.domain()) == Ok(self.domain.clone()));
        if to_gateway {
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
        match outcome {
            // RFC 7572 §4: success makes no stanza.
            Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => {}
            Outcome::Failure(failure) => {
                // Without a receiver the link has ended for good, and the sender's server knows.
                let _ = self.replies.send(sender.error_stanza(&failure));
            }
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

fn refuse(message: &Message, refusal: &message::Refusal) -> Option<Element> {
    tracing::debug!(reason = refusal.failure().cause.code(), "message stanza refused");
    message.error_reply(&error::to_stanza_error(&refusal.failure()))
}

fn overloaded(message: &Message) -> Option<Element> {
    message.error_reply(&error::to_stanza_error(&Failure::new(Side::Ours, Cause::Overload)))
}
