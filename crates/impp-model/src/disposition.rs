//! RFC 5438 §3, RFC 3860 §3.4.1: what became of a message, told to its sender later.

use crate::message::{Endpoint, MaxForwards, MessageId, TransId};
use crate::{Cause, DateTime, Failure, Side};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Word about a message that was accepted before.
///
/// The hub lets a peer's word pass only for a message whose sender asked for it, each kind once (RFC 5438 §7.2.1). It is
/// never answered with word about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DispositionOperation {
    /// The INSTANT INBOX that the message was for.
    pub source: Endpoint,
    /// Its SENDER.
    pub destination: Endpoint,
    /// How many gateways and relays it may still pass.
    #[serde(default = "MaxForwards::initial")]
    pub max_forwards: MaxForwards,
    /// The message's id as its sender gave it.
    pub message_id: Option<MessageId>,
    /// Of the gateway's own word the transaction the message came in; of a peer's the transaction of the word itself.
    pub trans_id: TransId,
    /// When the message was accepted or sent, as far as its side of the gateway knows.
    pub accepted: DateTime,
    /// What became of it.
    pub disposition: Disposition,
    /// Whether the same is true of all earlier messages between the two (XEP-0333 §4.1).
    #[serde(default)]
    pub and_earlier: bool,
    /// What the message's own adapter left with it for this moment.
    #[serde(default)]
    pub return_path: Option<ReturnPath>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Disposition {
    /// It can't be delivered.
    Failed(Box<Failure>),
    /// It was not delivered in the time it had.
    Expired,
    /// It reached the addressee's device.
    Delivered,
    /// It was shown to the addressee.
    Displayed,
    /// A server on the way has handled it.
    Processed,
    /// A server on the way keeps it for the addressee.
    Stored,
}

impl Disposition {
    /// The failure to tell; for an expired message one that says so, for good news none.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Failed(failure) => Some((**failure).clone()),
            Self::Expired => {
                Some(Failure::new(Side::Far, Cause::RemoteTimeout).with_text("not delivered in time; no further tries"))
            }
            Self::Delivered | Self::Displayed | Self::Processed | Self::Stored => None,
        }
    }

    /// The kind of report it belongs to.
    pub fn report(&self) -> Report {
        match self {
            Self::Failed(_) | Self::Expired | Self::Delivered => Report::Delivery,
            Self::Displayed => Report::Display,
            Self::Processed | Self::Stored => Report::Processing,
        }
    }

    /// The name used in metrics, JSON and derived ids.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Expired => "expired",
            Self::Delivered => "delivered",
            Self::Displayed => "displayed",
            Self::Processed => "processed",
            Self::Stored => "stored",
        }
    }
}

/// RFC 5438 §3: the kinds of report; of each at most one is made about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Whether it was delivered.
    Delivery,
    /// Whether it was shown.
    Display,
    /// What servers on the way did.
    Processing,
}

/// Which reports a sender wants about its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// When it reaches the addressee.
    pub delivery: bool,
    /// When it is shown.
    pub display: bool,
    /// When it can't be delivered after it was accepted.
    pub failure: bool,
    /// When a server on the way handles or keeps it.
    #[serde(default)]
    pub processing: bool,
}

impl Receipts {
    /// Whether any is wanted.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Whether this word was asked for.
    pub fn wants(self, disposition: &Disposition) -> bool {
        match disposition {
            Disposition::Failed(_) | Disposition::Expired => self.failure,
            Disposition::Delivered => self.delivery,
            Disposition::Displayed => self.display,
            Disposition::Processed | Disposition::Stored => self.processing,
        }
    }
}

/// What an adapter leaves with a message so that it can address word about it later: opaque to everybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReturnPath(pub Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    // checks: CMP-022, IMDN-003
    #[test]
    fn rfc5438_s7_2_1_only_what_was_asked_for_is_wanted() {
        let failed = Disposition::Failed(Box::new(Failure::new(Side::Far, Cause::NotFound)));
        let asked = Receipts { delivery: true, ..Receipts::default() };
        assert!(asked.any() && !Receipts::default().any());
        assert!(asked.wants(&Disposition::Delivered));
        for other in [Disposition::Displayed, Disposition::Stored, Disposition::Expired, failed.clone()] {
            assert!(!asked.wants(&other), "{}", other.label());
        }
        assert_eq!(failed.report(), Disposition::Delivered.report());
        assert_eq!(
            (failed.failure().map(|f| f.cause), Disposition::Displayed.failure()),
            (Some(Cause::NotFound), None)
        );
    }
}
