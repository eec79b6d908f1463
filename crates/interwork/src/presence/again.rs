//! What could not be sent is sent again: a full queue or a link that is away must not leave a watcher with an older state.

use super::engine::{Engine, Sent};
use super::pair::Pair;
use super::watch::{Authorization, Effect, Far};
use crate::retry::may_pass;
use impp_model::{Cause, Failure, Standing, Wish};
use std::collections::BTreeMap;
use std::time::Duration;
use store::Timestamp;

/// What waits to be sent again, by when, in the order in which it failed.
#[derive(Debug, Default)]
pub(super) struct Again {
    waiting: BTreeMap<(Timestamp, u64), Waiting>,
    number: u64,
}

/// Something that could not be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Waiting {
    pub(super) pair: Pair,
    pub(super) effect: Effect,
    /// How often it has failed for another reason than a full queue.
    pub(super) tries: u8,
}

/// Before the next try: as long as a full queue needs to have room; doubled while links are away.
const PAUSE: Duration = Duration::from_secs(1);

/// About half an hour in all; a link that comes back later brings every state anew.
const MAX_TRIES: u8 = 10;

/// As many as there may be watchers of one domain (`per_domain`): all of them may be told at once.
const MAX_WAITING: usize = 262_144;

impl Again {
    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes what failed; false when it is given up.
    pub(super) fn push(&mut self, mut waiting: Waiting, failure: &Failure, now: Timestamp) -> bool {
        let full = matches!(failure.cause, Cause::Overload | Cause::ResourceConstraint);
        let pause = if full { PAUSE } else { PAUSE.saturating_mul(1 << waiting.tries.min(MAX_TRIES)) };
        waiting.tries += u8::from(!full);
        if !may_pass(failure) || waiting.tries > MAX_TRIES || self.waiting.len() >= MAX_WAITING {
            return false;
        }
        self.number += 1;
        self.waiting.insert((now.after(pause), self.number), waiting);
        true
    }

    /// Something that is due.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Waiting> {
        if self.next_due()? > now {
            return None;
        }
        self.waiting.pop_first().map(|(_, waiting)| waiting)
    }
}

impl Engine<'_> {
    /// Sends again what is due, as far as it is still true.
    pub(super) fn send_again(&mut self) {
        let now = self.core.timestamp();
        while let Some(Waiting { pair, effect, tries }) = self.again.pop(now) {
            let Some(effect) = self.still_true(&pair, effect, now) else { continue };
            let near = self.near_of(&pair);
            self.tries = tries;
            self.carry_out(&pair, &near, effect);
            self.tries = 0;
        }
    }

    /// What is to be sent in place of what failed: the state of this moment, and no answer that has been taken back.
    fn still_true(&self, pair: &Pair, effect: Effect, now: Timestamp) -> Option<Effect> {
        let watch = self.pairs.get(pair).map(|entry| &entry.watch);
        let granted = watch.is_some_and(|watch| watch.authorization() == Authorization::Granted);
        let idle = watch.is_none_or(|watch| matches!(watch.far(), Far::Idle | Far::Leaving));
        match effect {
            Effect::Tell(tell) => match watch.and_then(|watch| watch.tell_again(&tell, now)) {
                Some(tell) => Some(Effect::Tell(tell)),
                None => matches!(tell.standing, Standing::Ended { .. }).then_some(Effect::Tell(tell)),
            },
            Effect::Authorize(allow) => (granted == allow).then_some(effect),
            // What is allowed for good is asked for once; who polls is answered meanwhile.
            Effect::Far(Wish::Fetch) => granted.then_some(effect),
            Effect::Far(Wish::Pause) => (idle && watch.is_none_or(|watch| watch.near().is_empty())).then_some(effect),
            Effect::Far(Wish::Cancel) => (idle && !granted).then_some(effect),
            // The machine tries these again itself.
            Effect::Far(_) | Effect::Check | Effect::Store => None,
        }
    }

    /// Takes what became of something sent; only failures that may pass matter here.
    pub(super) fn failed(&mut self, sent: &Sent, failure: &Failure) {
        let (pair, effect, tries) = match sent {
            Sent::Tell(pair, tell, tries) => (pair, Effect::Tell((**tell).clone()), *tries),
            Sent::Authorize(pair, allow, tries) => (pair, Effect::Authorize(*allow), *tries),
            Sent::Far(pair, wish @ (Wish::Fetch | Wish::Pause | Wish::Cancel), tries) => {
                (pair, Effect::Far(*wish), *tries)
            }
            Sent::Far(..) | Sent::Check(_) => return,
        };
        let now = self.core.timestamp();
        if !self.again.push(Waiting { pair: pair.clone(), effect, tries }, failure, now) {
            tracing::debug!(cause = failure.cause.code(), "what a watcher was to be told is given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::Side;

    fn waiting() -> Waiting {
        let pair = Pair::new(&"w@a.example".parse().unwrap(), &"t@b.example".parse().unwrap());
        Waiting { pair, effect: Effect::Authorize(true), tries: 0 }
    }

    #[test]
    fn what_a_full_queue_refused_goes_again_in_its_order_for_as_long_as_it_is_full() {
        let (mut again, failure) = (Again::default(), Failure::new(Side::Far, Cause::Overload));
        let second = Waiting { effect: Effect::Authorize(false), ..waiting() };
        assert!(again.push(waiting(), &failure, Timestamp(0)) && again.push(second.clone(), &failure, Timestamp(0)));
        let due = again.next_due().unwrap();
        assert_eq!(due, Timestamp(0).after(PAUSE));
        assert_eq!((again.pop(Timestamp(0)), again.pop(due), again.pop(due)), (None, Some(waiting()), Some(second)));
        assert_eq!(again.next_due(), None);
    }

    #[test]
    fn what_a_link_that_is_away_keeps_back_is_given_up_in_the_end_and_a_refusal_at_once() {
        let mut again = Again::default();
        let away = Failure::new(Side::Far, Cause::LinkDown);
        let (mut now, mut next, mut tries) = (Timestamp(0), waiting(), 0);
        while again.push(next, &away, now) {
            tries += 1;
            now = again.next_due().unwrap();
            next = again.pop(now).unwrap();
        }
        assert_eq!(tries, MAX_TRIES);
        assert!(now > Timestamp(0).after(Duration::from_secs(600)));
        assert!(!again.push(waiting(), &Failure::new(Side::Far, Cause::PolicyDenied), now));
    }
}
