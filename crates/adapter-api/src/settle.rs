//! The one-shot answer to an operation, without a boxed future or a channel for each message.

use impp_model::Outcome;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a [`Settlement`] uses to find its own record of the operation.
pub type Token = u64;

/// Somebody who waits for outcomes: the hub for deliveries, an adapter for what it submitted.
pub trait Settlement: Send + Sync {
    /// Takes the outcome of the operation known as `token`. Returns at once.
    fn settled(&self, token: Token, outcome: Outcome);

    /// The operation known as `token` is on disk, and its outcome comes later: what sent it may forget it. Returns at once.
    fn kept(&self, token: Token) {
        let _ = token;
    }
}

/// The right to settle one operation, once.
///
/// Dropped unsettled it reports [`Outcome::Indeterminant`]. The hub takes that from an adapter as a failure of the cause
/// `unconfirmed`; an adapter takes it from the hub as acceptance.
#[must_use = "an operation that is not settled counts as unconfirmed"]
pub struct Settle {
    waiter: Option<Arc<dyn Settlement>>,
    token: Token,
}

impl Settle {
    /// A handle that reports to `waiter` under `token`.
    pub fn new(waiter: Arc<dyn Settlement>, token: Token) -> Self {
        Self { waiter: Some(waiter), token }
    }

    /// What tells that the operation is on disk, from whichever thread learns of it.
    pub fn keeper(&self) -> Keeper {
        Keeper { waiter: self.waiter.clone(), token: self.token }
    }

    /// Reports the outcome.
    pub fn settle(mut self, outcome: impl Into<Outcome>) {
        if let Some(waiter) = self.waiter.take() {
            waiter.settled(self.token, outcome.into());
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.settled(self.token, Outcome::Indeterminant);
        }
    }
}

/// Tells who waits for an outcome that the operation is on disk; see [`Settlement::kept`].
pub struct Keeper {
    waiter: Option<Arc<dyn Settlement>>,
    token: Token,
}

impl Keeper {
    /// Tells it.
    pub fn kept(self) {
        if let Some(waiter) = self.waiter {
            waiter.kept(self.token);
        }
    }
}

impl std::fmt::Debug for Settle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settle").field("token", &self.token).finish_non_exhaustive()
    }
}

/// A handle and a receiver of its outcome, for callers that can wait in a task of their own.
pub fn settle_channel() -> (Settle, oneshot::Receiver<Outcome>) {
    struct Once(std::sync::Mutex<Option<oneshot::Sender<Outcome>>>);
    impl Settlement for Once {
        fn settled(&self, _: Token, outcome: Outcome) {
            let sender = self.0.lock().ok().and_then(|mut slot| slot.take());
            if let Some(sender) = sender {
                // The caller may have gone away; nobody else wants the outcome.
                let _ = sender.send(outcome);
            }
        }
    }
    let (sender, receiver) = oneshot::channel();
    (Settle::new(Arc::new(Once(std::sync::Mutex::new(Some(sender)))), 0), receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::Proof;

    #[tokio::test]
    async fn a_handle_reports_once_and_a_dropped_one_is_indeterminant() {
        let (settle, outcome) = settle_channel();
        settle.settle(Outcome::Success(Proof::Server));
        assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Server)));
        let (settle, outcome) = settle_channel();
        drop(settle);
        assert_eq!(outcome.await, Ok(Outcome::Indeterminant));
    }
}
