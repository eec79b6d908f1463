//! What time brings: expiry, refreshes, tries.

use super::{Authorization, Effect, FIRST_PAUSE, Far, LONGEST_PAUSE, Sides, Watch};
use std::time::Duration;
use store::Timestamp;

/// How long the answer to the question whether the watcher is there is waited for, and a refresh behind it.
const CHECK_PATIENCE: Duration = Duration::from_secs(60);

impl Watch {
    /// When [`handle_timeout`](Self::handle_timeout) has something to do; [`Timestamp::NEVER`] when not.
    pub(crate) fn poll_timeout(&self) -> Timestamp {
        let expiry = self.near().iter().map(|near| near.until).min().unwrap_or(Timestamp::NEVER);
        let far = if self.is_refreshed_somewhere() { self.far_due.min(self.far_until) } else { self.far_due };
        expiry.min(far)
    }

    /// Whether the far side's own expiry matters.
    fn is_refreshed_somewhere(&self) -> bool {
        matches!(self.far, Far::Active | Far::Pending | Far::Waiting)
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, sides: Sides, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(index) = self.near().iter().position(|near| near.until <= now) {
            let Some(near) = self.near.remove(index) else { break };
            self.end_one(near, now, &mut effects);
        }
        if self.far_until <= now && self.is_refreshed_somewhere() {
            self.run_out(sides, now, &mut effects);
        } else if self.far_due <= now {
            self.far_due = Timestamp::NEVER;
            self.due(sides, now, &mut effects);
        }
        effects
    }

    /// The far side's subscription has ended by itself.
    fn run_out(&mut self, sides: Sides, now: Timestamp, effects: &mut Vec<Effect>) {
        let waiting = (self.far == Far::Waiting).then_some(self.far_due);
        self.withdraw(now, effects);
        self.rest();
        match waiting {
            Some(due) => (self.far, self.far_due) = (Far::Waiting, due),
            None if self.present && !self.near().is_empty() => self.ask(sides, effects),
            None => {}
        }
    }

    fn due(&mut self, sides: Sides, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.fetch.take().is_some() {
            return;
        }
        if self.far == Far::Leaving {
            return effects.push(Effect::Far(impp_model::Wish::Cancel));
        }
        if self.near().is_empty() || self.authorization == Authorization::None {
            return;
        }
        match self.far {
            Far::Waiting => self.ask(sides, effects),
            Far::Asking if !sides.refreshed => self.ask(sides, effects),
            // RFC 8048 §8.1: a watcher who is gone costs the presentity nothing.
            Far::Active | Far::Pending if sides.checked => {
                self.far_due = now.after(CHECK_PATIENCE);
                effects.push(Effect::Check);
            }
            Far::Active | Far::Pending => {
                self.far_due = now.after(CHECK_PATIENCE);
                effects.push(Effect::Far(impp_model::Wish::Watch(super::FAR_DURATION)));
            }
            Far::Idle | Far::Asking | Far::Frozen | Far::Leaving => {}
        }
    }

    /// Takes the answer to [`Effect::Check`].
    pub(crate) fn handle_check(&mut self, present: bool, now: Timestamp) -> Vec<Effect> {
        self.present = present;
        if !matches!(self.far, Far::Active | Far::Pending) {
            return Vec::new();
        }
        if !present {
            self.far_due = Timestamp::NEVER;
            return Vec::new();
        }
        self.far_due = now.after(CHECK_PATIENCE);
        vec![Effect::Far(impp_model::Wish::Watch(super::FAR_DURATION))]
    }

    /// The presentity's side can be reached again: it is asked at `at`.
    pub(crate) fn handle_far_link_up(&mut self, at: Timestamp) {
        if !self.near().is_empty() && matches!(self.far, Far::Waiting | Far::Active | Far::Asking | Far::Pending) {
            self.far = Far::Waiting;
            self.far_due = at;
        }
    }

    pub(super) fn try_later(&mut self, asked: Option<Duration>, now: Timestamp) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(LONGEST_PAUSE);
        self.tries = self.tries.saturating_add(1);
        self.far_due = now.after(asked.unwrap_or(pause));
    }
}
