//! What the watcher's side asks for.

use super::nears::Nears;
use super::{Authorization, Effect, FETCH_PATIENCE, Far, Known, Near, Sides, SubscribeError, Tell, Watch, closed};
use impp_model::{EndReason, Standing, SubscriptId, Wish};
use std::time::Duration;
use store::Timestamp;

/// Subscriptions of one pair: a device each, of which nobody has more. Each is told every state, and stored with the pair.
const MAX_NEARS: usize = 16;

impl Watch {
    /// Takes a subscribe operation. A refusal changes nothing.
    pub(crate) fn handle_subscribe(
        &mut self,
        id: &SubscriptId,
        wish: Wish,
        sides: Sides,
        now: Timestamp,
    ) -> Result<Vec<Effect>, SubscribeError> {
        let mut effects = Vec::new();
        match wish {
            // RFC 3859 §3.4.3: duration zero under an id that is new only fetches.
            Wish::Watch(Duration::ZERO) if self.position(id).is_none() => self.fetch(id, sides, now, &mut effects),
            Wish::Watch(Duration::ZERO) => self.pause(id, now, &mut effects),
            // RFC 3859 §3.4.1, step 3.
            Wish::Watch(_) if self.position(id).is_some() => return Err(SubscribeError::InProgress),
            Wish::Watch(_) if self.near().len() >= MAX_NEARS => return Err(SubscribeError::Full),
            Wish::Watch(duration) => {
                let until = now.after(duration);
                self.begin(Near { id: id.clone(), until }, sides, now, &mut effects);
            }
            Wish::Standing => {
                // RFC 6121 §3.1.3: one request is kept for a pair, however often it comes.
                self.near.retain(|near| near.id != *id && !near.is_standing());
                self.begin(Near { id: id.clone(), until: Timestamp::NEVER }, sides, now, &mut effects);
            }
            Wish::Extend(duration) => {
                let index = self.position(id).ok_or(SubscribeError::Unknown)?;
                self.extend(index, now.after(duration), now, &mut effects);
            }
            Wish::Fetch => self.fetch(id, sides, now, &mut effects),
            Wish::Pause => self.pause(id, now, &mut effects),
            // Who has several ends one of them; the authorization ends with the last.
            Wish::Cancel if self.near().len() > 1 && self.position(id).is_some() => self.end(id, now, &mut effects),
            Wish::Cancel => self.cancel(sides, &mut effects),
            Wish::Check => {}
        }
        Ok(effects)
    }

    fn begin(&mut self, near: Near, sides: Sides, now: Timestamp, effects: &mut Vec<Effect>) {
        self.near.push(near.clone());
        self.present = true;
        effects.push(Effect::Store);
        match self.authorization {
            Authorization::Granted => {
                // RFC 6121 §3.1.3, rule 2: who may watch already is told so.
                effects.push(Effect::Authorize(true));
                self.tell_one(&near, now, effects);
            }
            Authorization::None | Authorization::Asked => {
                self.authorization = Authorization::Asked;
                self.tell_one(&near, now, effects);
            }
        }
        if matches!(self.far, Far::Idle | Far::Waiting) {
            self.ask(sides, effects);
        }
    }

    // RFC 6665 §4.2.2: a notification after every subscribe that is accepted.
    fn tell_one(&self, near: &Near, now: Timestamp, effects: &mut Vec<Effect>) {
        let state = self.tellable();
        let standing = self.standing(near, now);
        effects.push(Effect::Tell(Tell { id: near.id.clone(), standing, before: None, state }));
    }

    fn extend(&mut self, index: usize, until: Timestamp, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(near) = self.near.get_mut(index) else { return };
        if !near.is_standing() {
            near.until = until;
        }
        let near = near.clone();
        self.tell_one(&near, now, effects);
    }

    // RFC 8048 §7: one notification, and no subscription.
    fn fetch(&mut self, id: &SubscriptId, sides: Sides, now: Timestamp, effects: &mut Vec<Effect>) {
        let granted = self.authorization == Authorization::Granted;
        if let Some(near) = self.near().iter().find(|near| near.is_standing()).cloned() {
            // RFC 8048 §5.2.2: a probe says that the watcher has begun a session.
            self.present = true;
            if granted {
                self.tell_one(&near, now, effects);
            }
            if sides.refreshed && matches!(self.far, Far::Idle | Far::Waiting | Far::Active) {
                self.ask(sides, effects);
            }
            return;
        }
        if !granted && !sides.polls {
            // RFC 6121 §4.3.2: nothing is said to who may not watch.
            return effects.push(Effect::Authorize(false));
        }
        // RFC 6121 §4.6: what the presentity itself has shown this watcher needs no authorization.
        let shown = || self.info.clone().filter(|_| !sides.refreshed && !self.stale);
        let state = self.tellable().or_else(shown);
        let known = state.is_some();
        // RFC 6665 §4.4.3: it goes out at once where the watcher's protocol waits for it.
        if known || !sides.checked {
            let standing = Standing::Ended { reason: EndReason::Timeout, retry_after: None };
            effects.push(Effect::Tell(Tell { id: id.clone(), standing, before: None, state }));
        }
        if !known {
            if sides.checked {
                self.fetch = Some(Box::new(id.clone()));
                self.far_due = now.after(FETCH_PATIENCE);
            }
            effects.push(Effect::Far(Wish::Fetch));
        }
    }

    fn pause(&mut self, id: &SubscriptId, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.near().iter().any(|near| near.id == *id && near.is_standing()) {
            // RFC 8048 §5.2.2: without a session nothing is refreshed, and what is there runs out.
            self.present = false;
            return;
        }
        self.end(id, now, effects);
    }

    fn end(&mut self, id: &SubscriptId, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(near) = self.position(id).and_then(|index| self.near.remove(index)) else { return };
        self.end_one(near, now, effects);
    }

    /// RFC 8048 §5.3.3: the notifications end, closed, and the authorization stays.
    pub(super) fn end_one(&mut self, near: Near, _: Timestamp, effects: &mut Vec<Effect>) {
        let granted = self.authorization == Authorization::Granted;
        let state = granted.then(|| Known::from(&closed(&self.info().unwrap_or_default())));
        let standing = Standing::Ended { reason: EndReason::Timeout, retry_after: None };
        effects.push(Effect::Tell(Tell { id: near.id, standing, before: self.info.clone(), state }));
        effects.push(Effect::Store);
        self.leave_far(effects);
    }

    /// Takes word that a subscription of the near side is gone: nobody there can be told anything.
    pub(crate) fn handle_near_gone(&mut self, id: &SubscriptId) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(index) = self.position(id) {
            self.near.remove(index);
            effects.push(Effect::Store);
            self.leave_far(&mut effects);
        }
        effects
    }

    /// The far side need not go on once nobody is left.
    fn leave_far(&mut self, effects: &mut Vec<Effect>) {
        if !self.near().is_empty() || matches!(self.far, Far::Idle | Far::Leaving) {
            return;
        }
        if self.authorization == Authorization::Granted {
            effects.push(Effect::Far(Wish::Pause));
        }
        self.info = None;
        self.rest();
    }

    fn cancel(&mut self, sides: Sides, effects: &mut Vec<Effect>) {
        let asked = self.authorization != Authorization::None;
        // The other side's subscription outlives a request that failed, and a restart of ours.
        let dialog = !matches!(self.far, Far::Idle | Far::Frozen);
        effects.push(Effect::Store);
        // RFC 6121 §A.3.2: whose devices were there is told that they are gone.
        if self.authorization == Authorization::Granted
            && self.info.is_some()
            && self.near().iter().any(Near::is_standing)
        {
            self.end_all(EndReason::Timeout, effects);
        }
        self.near = Nears::default();
        self.authorization = Authorization::None;
        self.info = None;
        if asked && (dialog || !sides.refreshed) {
            effects.push(Effect::Far(Wish::Cancel));
            self.rest();
            self.far = Far::Leaving;
        } else {
            // RFC 6121 §A.3.2: nothing was there, and the answer is the same.
            effects.push(Effect::Authorize(false));
            self.rest();
        }
    }

    /// Whether [`handle_near_link_up`](Self::handle_near_link_up) has something to do.
    pub(crate) fn is_told_anew(&self) -> bool {
        self.tellable().is_some() || self.is_asleep()
    }

    /// Takes the state that the watcher's side must be told anew, because its link was away.
    pub(crate) fn handle_near_link_up(&mut self, sides: Sides, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.tellable().is_some() {
            self.tell_all(None, now, &mut effects);
        }
        if self.is_asleep() {
            // Nobody could say whether the watcher was there; its server need not probe again.
            self.present = true;
            self.ask(sides, &mut effects);
        }
        effects
    }

    /// Whether the presentity's side is not asked because the watcher seemed to be gone.
    fn is_asleep(&self) -> bool {
        self.far == Far::Idle
            && self.authorization == Authorization::Granted
            && self.near().iter().any(Near::is_standing)
    }

    /// Sets what the presentity's own publications say, for sides that publish.
    pub(crate) fn handle_published(&mut self, info: &Known, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        let before = self.info.replace(info.clone());
        self.stale = false;
        if self.authorization == Authorization::Granted && before.as_ref() != Some(info) {
            self.tell_all(before.as_ref(), now, &mut effects);
        }
        effects
    }
}
