//! Outcomes on their way from the hub to the core.

use super::{Settled, Waiter};
use adapter_api::{Settle, Settlement, Token};
use impp_model::Outcome;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Makes the handles by which the hub settles what was submitted.
#[derive(Clone)]
pub(crate) struct Answers {
    requests: Waiter,
    reports: Waiter,
}

/// Bounded by the requests that wait for an answer and the pairs that something is told of, each of which is settled once.
struct Queue {
    sender: mpsc::UnboundedSender<Settled>,
    kind: fn(Token, Outcome) -> Settled,
}

impl Settlement for Queue {
    fn settled(&self, token: Token, outcome: Outcome) {
        // When the core is gone nobody waits for an answer.
        let _ = self.sender.send((self.kind)(token, outcome));
    }
}

impl Answers {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Settled>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiter = |kind| -> Waiter { Arc::new(Queue { sender: sender.clone(), kind }) };
        (Self { requests: waiter(Settled::Request), reports: waiter(Settled::Report) }, receiver)
    }

    /// The right to settle the request known as `token`.
    pub(crate) fn settle(&self, token: Token) -> Settle {
        Settle::new(self.requests.clone(), token)
    }

    /// The right to settle what the hub is told of a presentity here.
    pub(crate) fn settle_report(&self, token: Token) -> Settle {
        Settle::new(self.reports.clone(), token)
    }
}
