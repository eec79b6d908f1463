//! A SUBSCRIBE is answered once the hub has taken it and its dialog is kept (DESIGN A6), whichever comes first: one wait, not two.

use std::sync::Arc;

use adapter_api::{Settle, Settlement, StateDone, Token};
use impp_model::{Cause, Failure, Outcome, Side};
use parking_lot::Mutex;

/// Waits for the hub and for the store.
struct Both(Mutex<Waiting>);

struct Waiting {
    settle: Option<Settle>,
    outcome: Option<Outcome>,
    kept: Option<bool>,
}

/// Two handles for one: the hub's, and the store's.
pub(super) fn both(settle: Settle) -> (Settle, StateDone) {
    let both = Arc::new(Both(Mutex::new(Waiting { settle: Some(settle), outcome: None, kept: None })));
    let hub = Settle::new(both.clone(), 0);
    (hub, Box::new(move |kept| both.take(|waiting| waiting.kept = Some(kept))))
}

impl Both {
    fn take(&self, word: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.0.lock();
        word(&mut waiting);
        let (Some(kept), Some(_)) = (waiting.kept, &waiting.outcome) else { return };
        let (settle, outcome) = (waiting.settle.take(), waiting.outcome.take());
        drop(waiting);
        let Some((settle, outcome)) = settle.zip(outcome) else { return };
        if kept || matches!(outcome, Outcome::Failure(_)) {
            settle.settle(outcome);
        } else {
            settle.settle(Failure::new(Side::Ours, Cause::ResourceConstraint).with_text("it can't be stored"));
        }
    }
}

impl Settlement for Both {
    fn settled(&self, _: Token, outcome: Outcome) {
        self.take(|waiting| waiting.outcome = Some(outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::settle_channel;
    use impp_model::Proof;

    // checks: PR-06
    #[test]
    fn what_is_not_kept_is_not_taken_whichever_is_known_first() {
        let taken = || Outcome::Success(Proof::Server);
        let refused = || Outcome::from(Failure::new(Side::Ours, Cause::Overload));
        for (outcome, kept, expected) in [
            (taken(), true, taken().reason()),
            (taken(), false, Cause::ResourceConstraint.code()),
            (refused(), true, Cause::Overload.code()),
            (refused(), false, Cause::Overload.code()),
        ] {
            for hub_first in [true, false] {
                let (settle, mut settled) = settle_channel();
                let (hub, store) = both(settle);
                let mut words: Vec<Box<dyn FnOnce()>> =
                    vec![Box::new(|| hub.settle(outcome.clone())), Box::new(move || store(kept))];
                if !hub_first {
                    words.reverse();
                }
                words.remove(0)();
                assert!(settled.try_recv().is_err(), "the other one is missing");
                words.remove(0)();
                assert_eq!(settled.try_recv().unwrap().reason(), expected);
            }
        }
    }
}
