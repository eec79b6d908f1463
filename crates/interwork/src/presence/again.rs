//! What could not be sent is sent again: a full queue or a link that is away must not leave a watcher with an older state.

use super::carry::Part;
use super::engine::{Engine, Sent};
use super::pair::Pair;
use super::watch::{Authorization, Effect, Far};
use crate::retry::may_pass;
use adapter_api::Carries;
use impp_model::{Cause, Failure, Standing, SubscriptId, Wish};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use store::Timestamp;

/// What waits to be sent again, by when, in the order in which it failed; of one kind to one subscription it is one.
#[derive(Debug, Default)]
pub(super) struct Again {
    due: BTreeMap<(Timestamp, u64), Key>,
    waiting: HashMap<Key, ((Timestamp, u64), Waiting)>,
    number: u64,
}

/// Something that could not be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Waiting {
    pub(super) pair: Pair,
    pub(super) effect: Effect,
    /// Of something to be told, what has failed of it.
    pub(super) part: Part,
    /// How often it has failed for another reason than a full queue.
    pub(super) tries: u8,
}

/// What is sent again at most once: the later one stands for the earlier.
type Key = (Pair, Matter);

/// What something that failed was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Matter {
    Tell(SubscriptId),
    Authorize,
    Far,
}

/// Before the next try: as long as a full queue needs to have room; doubled while links are away.
const PAUSE: Duration = Duration::from_secs(1);

/// About half an hour in all; a link that comes back later brings every state anew.
const MAX_TRIES: u8 = 10;

/// As many as there may be watchers of one domain (`per_domain`): all of them may be told at once.
const MAX_WAITING: usize = 262_144;

impl Waiting {
    fn key(&self) -> Key {
        let matter = match &self.effect {
            Effect::Tell(tell) => Matter::Tell(tell.id.clone()),
            Effect::Authorize(_) => Matter::Authorize,
            Effect::Far(_) | Effect::Check | Effect::Store | Effect::Cut => Matter::Far,
        };
        (self.pair.clone(), matter)
    }

    /// Takes what waits already: the later one, and what has failed of both.
    fn join(&mut self, earlier: Self) {
        self.tries = self.tries.max(earlier.tries);
        self.part.join(earlier.part);
        // An outcome that is late must not undo an end; who is still there is told what is true then.
        if is_end(&earlier.effect) && !is_end(&self.effect) {
            self.effect = earlier.effect;
        }
    }
}

fn is_end(effect: &Effect) -> bool {
    matches!(effect, Effect::Tell(tell) if matches!(tell.standing, Standing::Ended { .. }))
}

impl Again {
    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes what failed; false when it is given up.
    pub(super) fn push(&mut self, mut waiting: Waiting, failure: &Failure, now: Timestamp) -> bool {
        let full = matches!(failure.cause, Cause::Overload | Cause::ResourceConstraint);
        let pause = if full { PAUSE } else { PAUSE.saturating_mul(1 << waiting.tries.min(MAX_TRIES)) };
        waiting.tries += u8::from(!full);
        let key = waiting.key();
        let room = self.waiting.len() < MAX_WAITING || self.waiting.contains_key(&key);
        if !may_pass(failure) || waiting.tries > MAX_TRIES || !room {
            return false;
        }
        self.number += 1;
        let mut at = (now.after(pause), self.number);
        if let Some((earlier_at, earlier)) = self.waiting.remove(&key) {
            self.due.remove(&earlier_at);
            waiting.join(earlier);
            // Whoever fails again and again meanwhile is not tried more often for it.
            at = if full { at.min(earlier_at) } else { earlier_at };
        }
        self.due.insert(at, key.clone());
        self.waiting.insert(key, (at, waiting));
        true
    }

    /// Something that is due.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Waiting> {
        if self.next_due()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.waiting.remove(&key).map(|(_, waiting)| waiting)
    }

    /// Forgets what one subscription was to be told: it is told everything now.
    pub(super) fn forget(&mut self, pair: &Pair, id: &SubscriptId) {
        if let Some((at, _)) = self.waiting.remove(&(pair.clone(), Matter::Tell(id.clone()))) {
            self.due.remove(&at);
        }
    }
}

impl Engine<'_> {
    /// Sends again what is due, as far as it is still true.
    pub(super) fn send_again(&mut self) {
        let now = self.core.timestamp();
        while let Some(Waiting { pair, effect, part, tries }) = self.again.pop(now) {
            let Some(effect) = self.still_true(&pair, effect, now) else { continue };
            let near = self.near_of(&pair);
            self.tries = tries;
            match effect {
                Effect::Tell(tell) => self.tell_near(&pair, &near, tell, &part),
                other @ (Effect::Authorize(_) | Effect::Far(_) | Effect::Check | Effect::Store | Effect::Cut) => {
                    self.carry_out(&pair, &near, other);
                }
            }
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
            Effect::Far(_) | Effect::Check | Effect::Store | Effect::Cut => None,
        }
    }

    /// Takes what became of something sent; only failures that may pass matter here.
    pub(super) fn failed(&mut self, sent: &Sent, failure: &Failure) {
        let (pair, effect, part, tries) = match sent {
            Sent::Tell(pair, tell, part, tries) => (pair, Effect::Tell((**tell).clone()), part.clone(), *tries),
            Sent::Authorize(pair, allow, tries) => (pair, Effect::Authorize(*allow), Part::All, *tries),
            Sent::Far(pair, wish @ (Wish::Fetch | Wish::Pause | Wish::Cancel), tries) => {
                (pair, Effect::Far(*wish), Part::All, *tries)
            }
            Sent::Far(..) | Sent::Check(_) => return,
        };
        let now = self.core.timestamp();
        if !self.again.push(Waiting { pair: pair.clone(), effect, part, tries }, failure, now) {
            self.core.counters.loss(&self.near_of(pair), "presence", Carries::Dropped);
            tracing::debug!(cause = failure.cause.code(), "what a watcher was to be told is given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::watch::Tell;
    use impp_model::{Device, Side};

    fn waiting(watcher: &str) -> Waiting {
        let pair = Pair::new(&watcher.parse().unwrap(), &"t@b.example".parse().unwrap());
        Waiting { pair, effect: Effect::Authorize(true), part: Part::All, tries: 0 }
    }

    fn missed(device: &str) -> Waiting {
        let standing = Standing::Active { expires: None };
        let effect = Effect::Tell(Tell { id: "d".into(), standing, before: None, state: None });
        Waiting { effect, part: Part::of(Device::new(device).ok()), ..waiting("w@a.example") }
    }

    fn away() -> Failure {
        Failure::new(Side::Far, Cause::LinkDown)
    }

    #[test]
    fn what_a_full_queue_refused_goes_again_in_its_order_for_as_long_as_it_is_full() {
        let (mut again, failure) = (Again::default(), Failure::new(Side::Far, Cause::Overload));
        let (first, second) = (waiting("w@a.example"), waiting("v@a.example"));
        assert!(
            again.push(first.clone(), &failure, Timestamp(0)) && again.push(second.clone(), &failure, Timestamp(0))
        );
        let due = again.next_due().unwrap();
        assert_eq!(due, Timestamp(0).after(PAUSE));
        assert_eq!((again.pop(Timestamp(0)), again.pop(due), again.pop(due)), (None, Some(first), Some(second)));
        assert_eq!(again.next_due(), None);
    }

    #[test]
    fn what_a_link_that_is_away_keeps_back_is_given_up_in_the_end_and_a_refusal_at_once() {
        let mut again = Again::default();
        let (mut now, mut next, mut tries) = (Timestamp(0), waiting("w@a.example"), 0);
        while again.push(next, &away(), now) {
            tries += 1;
            now = again.next_due().unwrap();
            next = again.pop(now).unwrap();
        }
        assert_eq!(tries, MAX_TRIES);
        assert!(now > Timestamp(0).after(Duration::from_secs(600)));
        assert!(!again.push(waiting("w@a.example"), &Failure::new(Side::Far, Cause::PolicyDenied), now));
    }

    // checks: PRS-047
    #[test]
    fn however_much_fails_of_one_subscription_one_try_of_it_waits() {
        let mut again = Again::default();
        for round in 0..3 {
            for device in ["a", "b", "c", "a"] {
                assert!(again.push(Waiting { tries: round, ..missed(device) }, &away(), Timestamp(0)));
            }
        }
        assert_eq!((again.waiting.len(), again.due.len()), (1, 1));
        let due = again.next_due().unwrap();
        assert_eq!(due, Timestamp(0).after(PAUSE), "further failures neither hasten nor delay it");
        let all = ["a", "b", "c"].map(|device| Device::new(device).ok());
        let next = again.pop(due).unwrap();
        assert_eq!((next.part, next.tries), (Part::Devices(all.into()), 3));
        again.push(missed("a"), &away(), due);
        let mut end = missed("b");
        let Effect::Tell(tell) = &mut end.effect else { panic!("it is one") };
        tell.standing = Standing::Ended { reason: impp_model::EndReason::Rejected, retry_after: None };
        again.push(end, &away(), due);
        again.push(missed("c"), &away(), due);
        assert!(is_end(&again.pop(due.after(PAUSE)).unwrap().effect), "an end stays one");
        again.push(missed("a"), &away(), due);
        again.forget(&missed("a").pair, &"d".into());
        assert_eq!((again.next_due(), again.waiting.len()), (None, 0));
    }
}
