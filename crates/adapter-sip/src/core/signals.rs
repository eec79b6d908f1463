//! Reports about messages and composing states on their way in and out, and in which form messages go (CMP-025).

use super::Core;
use super::accepts::Kind;
use super::inbound::unix_now;
use super::typing::{Due, as_operation};
use crate::config::Wrapping;
use crate::mapping::message::{self, Refusal};
use crate::mapping::{Mapped, sealed, signal};
use adapter_api::{Carries, Delivery, Provenance, Settle, Settlement, SpeaksFor, Token};
use impp_model::{Cause, Failure, MessageOperation, Operation, Outcome, Side};
use sip_proto::header::HeaderError;
use sip_proto::message::{KeyHeaders, Message as SipMessage};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a repeated state may take: it is worth nothing later.
const PATIENCE: Duration = Duration::from_secs(32);

impl Core {
    /// The operation that a MESSAGE asks for; `None` when there is nothing to tell anybody.
    pub(super) fn read<'m>(
        &self,
        request: &'m SipMessage,
        key: &KeyHeaders<'m>,
    ) -> Result<Option<Mapped<Operation>>, Refusal> {
        let (at, uri) = (unix_now(), self.addressee(request, key)?);
        Ok(match signal::from_request(request, uri, at, &self.threads)? {
            Some(Some(operation)) => Some(Mapped::whole(operation)),
            Some(None) => {
                self.hub.translation_loss("disposition", Carries::Dropped);
                None
            }
            None => {
                let Mapped { value, degraded, dropped } = message::addressed(request, key, uri, at, &self.threads)?;
                Some(Mapped { value: Operation::Message(Box::new(value)), degraded, dropped })
            }
        })
    }

    /// RFC 3261 §16.5: a registrar puts our contact in place of the Request-URI; To says whom the sender meant.
    fn addressee<'m>(&self, request: &'m SipMessage, key: &KeyHeaders<'m>) -> Result<&'m str, HeaderError> {
        let uri = request.request_uri().ok_or(HeaderError::RequestUri)?;
        Ok(if self.trunks.is_contact(uri) { key.to.uri } else { uri })
    }

    /// Keeps the receiver's timer of RFC 3994 §3.3; `None` for a state that changes nothing.
    pub(super) fn watch_typing(
        &mut self,
        mapped: Mapped<Operation>,
        provenance: &Arc<Provenance>,
        now: Instant,
    ) -> Option<Mapped<Operation>> {
        let source = mapped.value.source();
        let proven = match &provenance.speaks_for {
            SpeaksFor::Domains(domains) => domains.contains(source.address.domain()),
            SpeaksFor::Address(address) => *address == source.address,
            SpeaksFor::Nobody | SpeaksFor::Patterns(_) => false,
        };
        // What the hub will refuse sets no timer.
        if !proven {
            return Some(mapped);
        }
        if mapped.value.kind() == impp_model::Kind::Message {
            self.typing.message_came(&source.address, &mapped.value.destination().address);
        }
        let Operation::Composing(told) = mapped.value else { return Some(mapped) };
        let told = self.typing.watch(*told, provenance, now)?;
        Some(Mapped::whole(Operation::Composing(Box::new(told))))
    }

    /// Settles at once what needs no request; gives the rest back.
    pub(super) fn settle_signal(&mut self, delivery: Delivery, now: Instant) -> Option<Delivery> {
        match &*delivery.operation {
            Operation::Message(operation) => {
                self.typing.message_goes(&operation.source.address, &operation.destination.address);
                // CMP-070: of the scheme, but no MIME object.
                if let Some(sealed) = operation.message.sealed.as_ref().filter(|it| sealed::to_body(it).is_none()) {
                    let refusal = sealed.refusal();
                    delivery.settle(refusal);
                    return None;
                }
                if let Some(sealed) = &operation.message.sealed
                    && self.refusals.refuses(Kind::of(sealed), &operation.destination.address, unix_now())
                {
                    delivery.settle(Failure::new(Side::Far, Cause::UnsupportedMedia));
                    return None;
                }
                if !message::is_carried(&operation.message) {
                    delivery.settle(Failure::new(Side::Near, Cause::UnsupportedMedia));
                    return None;
                }
                let Some(field) = message::unsayable(operation) else { return Some(delivery) };
                self.hub.translation_loss(field, Carries::Dropped);
                delivery.settle(Outcome::HandedOver);
                None
            }
            Operation::Composing(told) => {
                // RFC 3994 §4: whoever has refused a state is sent no further one.
                if self.refusals.refuses(Kind::Composing, &told.destination.address, unix_now()) {
                    self.hub.translation_loss("composing", Carries::Dropped);
                    delivery.settle(Failure::new(Side::Far, Cause::UnsupportedMedia));
                    return None;
                }
                match self.typing.tell(&delivery, told, now) {
                    Some(told) => Some(Delivery { operation: as_operation(told), ..delivery }),
                    None => {
                        delivery.settle(Outcome::HandedOver);
                        None
                    }
                }
            }
            Operation::Disposition(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => Some(delivery),
        }
    }

    /// Does what the timers of RFC 3994 ask for.
    pub(super) fn handle_typing(&mut self, now: Instant) {
        for due in self.typing.handle_timeout(now) {
            let settle = Settle::new(Arc::new(Nobody), 0);
            match due {
                Due::Stopped(told, provenance) => {
                    self.hub.submit(Operation::Composing(Box::new(told)), provenance, settle);
                }
                Due::Tell(told, hop, trace) => {
                    let (operation, deadline) = (as_operation(told), now + PATIENCE);
                    let (repeat, edition, proven_only) = (false, 0, false);
                    self.enqueue(Delivery { trace, operation, repeat, edition, proven_only, hop, deadline, settle });
                }
            }
        }
    }

    /// Whether a message would go out as message/cpim.
    pub(super) fn may_wrap(&self, operation: &MessageOperation) -> bool {
        let message = &operation.message;
        self.wrapping == Wrapping::Auto
            && message.sealed.is_none()
            && (message.object.is_some() || (message.receipts.any() && message.id.is_some()))
    }

    /// Whether its addressee is known not to take that.
    pub(super) fn refuses_cpim(&self, operation: &MessageOperation) -> bool {
        self.refusals.refuses(Kind::Cpim, &operation.destination.address, unix_now())
    }

    /// Remembers that an addressee has refused a form.
    pub(super) fn note_refusal(&mut self, kind: Kind, addressee: &impp_model::Address) {
        for (key, value) in self.refusals.refused(kind, addressee, unix_now()) {
            let done = Box::new(|stored: bool| {
                if !stored {
                    tracing::warn!("what a peer refuses is not stored: it is asked again after a start");
                }
            });
            self.hub.keep(&key, value, done);
        }
    }
}

/// For requests of this gateway's own, whose outcome nobody waits for.
struct Nobody;

impl Settlement for Nobody {
    fn settled(&self, _: Token, _: Outcome) {}
}
