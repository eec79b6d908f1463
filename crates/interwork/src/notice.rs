//! Word to the sender of a message that was accepted and then not delivered (DESIGN A5).

use crate::core::Core;
use adapter_api::{InstanceName, TellsFailure};
use bytes::Bytes;
use impp_model::{
    Address, Content, DateTime, Disposition, DispositionOperation, Domain, Endpoint, Failure, InstantMessage,
    MaxForwards, MessageOperation, Operation, TransId,
};
use store::{Class, End, Entry, Near, Origin, Timestamp};

/// Who speaks where a protocol has no form of its own for it: a local part at the gateway's name.
const OWN_NAME: &str = "gateway";
/// RFC 3261 §8.1.1.6: as many hops as any request of our own.
const HOPS: MaxForwards = MaxForwards(70);

/// A message of a peer, as far as its sender must be told of it.
pub(crate) struct About<'a> {
    pub(crate) operation: &'a Operation,
    /// The instance it came in through.
    pub(crate) near: &'a InstanceName,
    pub(crate) created: Timestamp,
    pub(crate) trace: u64,
}

impl Core {
    /// The notice to go with the end of an entry; none for an end that is no failure, for the gateway's own messages,
    /// and where an operator wants none.
    pub(crate) fn notice(&self, about: &About<'_>, end: &End) -> Option<Entry> {
        let Operation::Message(message) = about.operation else { return None };
        let disposition = match end {
            End::Failed(failure) => Disposition::Failed(failure.clone()),
            End::Expired => Disposition::Expired,
            End::Delivered(_) | End::HandedOver => return None,
        };
        let word = word(message, disposition, about.created)?;
        self.asked.told(&word);
        let near = self.candidates.iter().find(|candidate| candidate.name == *about.near)?;
        let tells = match near.capabilities.tells_failure {
            TellsFailure::Always => true,
            // RFC 5438 §7.2.1: only what was asked for is told.
            TellsFailure::WhenAsked => message.message.receipts.failure,
            TellsFailure::Never => false,
        };
        let operation = if tells {
            Operation::Disposition(Box::new(word))
        } else if self.config.delivery.notice {
            let gateway = &self.config.configuration.gateway;
            Operation::Message(Box::new(as_text(&word, gateway, about.trace)?))
        } else {
            return None;
        };
        let now = self.timestamp();
        Some(Entry {
            trace: about.trace,
            operation,
            origin: Origin::Gateway,
            near: Near { instance: OWN_NAME.into(), reply: Bytes::new() },
            hop: None,
            class: Class::Spool,
            created: now,
            expires: now.after(self.config.delivery.expiry),
            warn: None,
            next_try: now,
            attempts: 0,
            uncertain: false,
            once: None,
        })
    }
}

fn word(message: &MessageOperation, disposition: Disposition, accepted: Timestamp) -> Option<DispositionOperation> {
    Some(DispositionOperation {
        source: message.destination.clone(),
        destination: message.source.clone(),
        max_forwards: HOPS,
        message_id: message.message.id.clone(),
        trans_id: message.trans_id.clone(),
        accepted: DateTime::from_epoch(i64::try_from(accepted.0 / 1000).ok()?, 0)?,
        disposition,
        and_earlier: false,
        return_path: message.message.return_path.clone(),
    })
}

/// For protocols without a form of their own: one line of text from the gateway itself.
fn as_text(word: &DispositionOperation, gateway: &Domain, trace: u64) -> Option<MessageOperation> {
    let failure = word.disposition.failure()?;
    let text = format!(
        "Your message to {} of {} was not delivered: {}.",
        word.source.address,
        word.accepted,
        in_words(&failure)
    );
    Some(MessageOperation {
        source: Endpoint::bare(Address::new(OWN_NAME, gateway.clone()).ok()?),
        destination: word.destination.clone(),
        max_forwards: HOPS,
        trans_id: TransId::from(format!("{trace:016x}")),
        message: InstantMessage {
            id: Some(format!("notice-{trace:016x}").into()),
            ..InstantMessage::new(Content::text(text))
        },
    })
}

fn in_words(failure: &Failure) -> String {
    match &failure.text {
        Some(text) => format!("{text} ({})", failure.cause),
        None => failure.cause.to_string(),
    }
}
