//! Operations of adapters.

use super::Engine;
use super::turn::Answer;
use crate::presence::Event;
use crate::presence::pair::Pair;
use crate::presence::pairs::Entry;
use crate::presence::watch::{Authorization, Far, Sides, SubscribeError, Watch};
use adapter_api::{Carries, InstanceName, Settle};
use impp_model::{
    AuthorizeOperation, Basic, Cause, Failure, News, NotifyOperation, Operation, Outcome, Proof, Side,
    SubscribeOperation, Wish,
};
use std::time::Duration;

impl Engine<'_> {
    pub(super) fn handle_operation(
        &mut self,
        trace: adapter_api::TraceId,
        operation: Box<Operation>,
        near: InstanceName,
        settle: Settle,
    ) {
        let result = match &*operation {
            Operation::Subscribe(subscribe) => match self.handle_subscribe(subscribe, &near) {
                Some(result) => result,
                None => return self.look_up(Event::Operation { trace, operation, near, settle }),
            },
            Operation::Notify(notify) => {
                self.handle_notify(notify);
                Ok(())
            }
            Operation::Authorize(authorize) => self.handle_authorize(authorize, &near),
            Operation::Publish(publish) => {
                self.handle_publish(publish);
                Ok(())
            }
            Operation::Message(_) | Operation::Disposition(_) | _ => {
                Err(Failure::new(Side::Ours, Cause::NotImplemented))
            }
        };
        let outcome = match result {
            Ok(()) => Outcome::Success(Proof::Server),
            Err(failure) => failure.into(),
        };
        let pair = pair_of(&operation);
        self.answer(Answer { pair, trace, operation, near, settle, outcome });
    }

    /// Finds the way in a task of its own, and comes back to the event then.
    fn look_up(&self, event: Event) {
        let (Some(core), inbox) = (self.core.me(), self.inbox.clone()) else { return };
        let Event::Operation { operation, near, .. } = &event else { return };
        let pair = (
            near.clone(),
            operation.source().address.domain().clone(),
            operation.destination().address.domain().clone(),
        );
        tokio::spawn(async move {
            core.find(pair).await;
            // Without the engine nobody waits for it.
            let _ = inbox.send(Event::Routed(Box::new(event)));
        });
    }

    /// `None`: the way to the presentity must be looked up first.
    fn handle_subscribe(&mut self, subscribe: &SubscribeOperation, near: &InstanceName) -> Option<Result<(), Failure>> {
        let pair = Pair::new(&subscribe.watcher.address, &subscribe.target.address);
        if pair.watcher == pair.target {
            return Some(Err(Failure::new(Side::Near, Cause::Loop).with_text("nobody watches himself")));
        }
        // Where users name what they end, a wrong name ends nothing; elsewhere there is one for a pair.
        let named = self.capabilities(near).is_some_and(|near| near.publishes);
        let known = |entry: &Entry| entry.watch.has_near(&subscribe.subscript_id);
        if subscribe.wish == Wish::Cancel && named && !self.pairs.get(&pair).is_some_and(known) {
            let failure = Failure::new(Side::Near, Cause::NotFound);
            return Some(Err(failure.with_text(SubscribeError::Unknown.to_string())));
        }
        let (sides, far) = match self.sides(near, &pair)? {
            Ok(sides) => sides,
            Err(failure) => return Some(Err(failure)),
        };
        let (near, far) = (self.pairs.place(near), Some(self.pairs.place(&far)));
        if !self.pairs.contains(&pair) {
            if let Some(why) = self.pairs.full(&pair, &self.limits) {
                return Some(Err(Failure::new(Side::Ours, Cause::ResourceConstraint).with_text(why)));
            }
            // RFC 8048 §7: a poll leaves nothing behind, and takes nothing away.
            let polls = matches!(subscribe.wish, Wish::Fetch | Wish::Watch(Duration::ZERO));
            let shown = if polls { self.directed.look(&pair) } else { self.directed.take(&pair) };
            self.insert(&pair, Entry::new(near, far, sides, Watch::with_directed(shown)));
        }
        let now = self.core.timestamp();
        let entry = self.touch(&pair)?;
        (entry.sides, entry.near, entry.far) = (sides, near, far);
        Some(match entry.watch.handle_subscribe(&subscribe.subscript_id, subscribe.wish, sides, now) {
            Ok(effects) => {
                self.take(&pair, effects);
                Ok(())
            }
            Err(error @ SubscribeError::InProgress) => {
                Err(Failure::new(Side::Near, Cause::Conflict).with_text(error.to_string()))
            }
            Err(error @ SubscribeError::Full) => {
                Err(Failure::new(Side::Ours, Cause::ResourceConstraint).with_text(error.to_string()))
            }
            Err(error @ SubscribeError::Unknown) => {
                self.take(&pair, Vec::new());
                Err(Failure::new(Side::Near, Cause::NotFound).with_text(error.to_string()))
            }
        })
    }

    fn handle_notify(&mut self, notify: &NotifyOperation) {
        let pair = Pair::new(&notify.watcher.address, &notify.target.address);
        let now = self.core.timestamp();
        // While somebody polls there is a record beside it.
        if !self.pairs.contains(&pair) || self.directed.knows(&pair) {
            let kept = self.directed.handle_notify(&pair, &notify.standing, &notify.news);
            if let (false, Some(from)) = (kept, self.core.near_of(&pair.target)) {
                self.core.counters.loss(&from, "presence", Carries::Dropped);
            }
        }
        if let Some(entry) = self.touch(&pair) {
            let effects = entry.watch.handle_notify(&notify.standing, &notify.news, entry.sides, now);
            self.take(&pair, effects);
        }
        self.handle_presence_of_watcher(&pair.reversed(), &notify.news);
    }

    /// A presentity who watches in turn has begun or ended its session (RFC 8048 §5.2.2).
    fn handle_presence_of_watcher(&mut self, pair: &Pair, news: &News) {
        let News::Device(tuple) = news else { return };
        let open = tuple.basic == Basic::Open
            || self.pairs.get(&pair.reversed()).and_then(|entry| entry.watch.info()).is_some_and(|info| info.is_open());
        let now = self.core.timestamp();
        let Some(entry) = self.touch(pair) else { return };
        let Some(id) = entry.watch.near().first().map(|near| near.id.clone()) else { return };
        let wish = if open { Wish::Fetch } else { Wish::Pause };
        // Only the first device begins a session; later ones ask by themselves.
        if open == (entry.watch.far() == Far::Idle)
            && let Ok(effects) = entry.watch.handle_subscribe(&id, wish, entry.sides, now)
        {
            self.take(pair, effects);
        }
    }

    fn handle_authorize(&mut self, authorize: &AuthorizeOperation, near: &InstanceName) -> Result<(), Failure> {
        let pair = Pair::new(&authorize.watcher.address, &authorize.target.address);
        let publishes = self.capabilities(near).is_some_and(|capabilities| capabilities.publishes);
        let now = self.core.timestamp();
        if !self.pairs.contains(&pair) {
            if !(authorize.allow && publishes) {
                return Ok(());
            }
            if let Some(why) = self.pairs.full(&pair, &self.limits) {
                return Err(Failure::new(Side::Ours, Cause::ResourceConstraint).with_text(why));
            }
            let sides = Sides { refreshed: false, checked: false, polls: self.limits.polls, devices: false };
            let watcher_side = self.core.near_of(&pair.watcher).unwrap_or_else(|| near.clone());
            let (watcher_side, far) = (self.pairs.place(&watcher_side), Some(self.pairs.place(near)));
            self.insert(&pair, Entry::new(watcher_side, far, sides, Watch::new()));
        }
        let Some(entry) = self.touch(&pair) else { return Ok(()) };
        let effects = if authorize.allow && publishes && entry.watch.authorization() == Authorization::None {
            entry.watch.allow_ahead()
        } else {
            entry.watch.handle_authorize(authorize.allow, now)
        };
        self.take(&pair, effects);
        if authorize.allow && publishes {
            self.tell_published(&pair);
        }
        Ok(())
    }
}

/// The pair whose record an operation may change.
fn pair_of(operation: &Operation) -> Option<Pair> {
    match operation {
        Operation::Subscribe(subscribe) => Some(Pair::new(&subscribe.watcher.address, &subscribe.target.address)),
        Operation::Notify(notify) => Some(Pair::new(&notify.watcher.address, &notify.target.address)),
        Operation::Authorize(authorize) => Some(Pair::new(&authorize.watcher.address, &authorize.target.address)),
        Operation::Publish(_) | Operation::Message(_) | Operation::Disposition(_) | _ => None,
    }
}
