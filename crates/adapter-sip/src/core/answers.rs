//! Outcomes on their way from the hub to the core.

use super::{Settled, Waiter};
use adapter_api::{Settle, Settlement, Token};
use impp_model::Outcome;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Makes the handles by which the hub settles what was submitted.
#[derive(Clone)]
pub(crate) struct Answers(Waiter);

/// Bounded by the requests that wait for an answer, each of which is settled once.
struct Queue(mpsc::UnboundedSender<Settled>);

impl Settlement for Queue {
    fn settled(&self, token: Token, outcome: Outcome) {
        // When the core is gone nobody waits for an answer.
        let _ = self.0.send((token, outcome));
    }
}

impl Answers {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Settled>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Arc::new(Queue(sender))), receiver)
    }

    /// The right to settle the request known as `token`.
    pub(crate) fn settle(&self, token: Token) -> Settle {
        Settle::new(self.0.clone(), token)
    }
}
