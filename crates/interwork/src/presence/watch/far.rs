//! What the presentity's side says.

use super::{ASK_AGAIN, Authorization, Effect, FAR_DURATION, Far, Known, Sides, Tell, Watch, closed, is_final};
use crate::presence::bounds::fit;
use impp_model::{Basic, Cause, EndReason, Failure, News, PresenceInfo, Standing, Wish};
use std::sync::Arc;
use std::time::Duration;
use store::Timestamp;

impl Watch {
    /// Asks the presentity's side for what this watcher needs.
    pub(super) fn ask(&mut self, sides: Sides, effects: &mut Vec<Effect>) {
        let wish = match (sides.refreshed, self.authorization) {
            (true, _) => Wish::Watch(FAR_DURATION),
            // RFC 8048 §7.2: what was allowed for good needs no second question, only the state.
            (false, Authorization::Granted) => Wish::Fetch,
            (false, Authorization::None | Authorization::Asked) => Wish::Standing,
        };
        if self.far != Far::Active {
            self.far = if wish == Wish::Fetch { Far::Active } else { Far::Asking };
        }
        self.far_due = Timestamp::NEVER;
        effects.push(Effect::Far(wish));
    }

    /// Takes what became of a subscribe operation that went to the presentity's side.
    pub(crate) fn handle_far_outcome(
        &mut self,
        wish: Wish,
        failure: Option<&Failure>,
        sides: Sides,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        match (wish, failure) {
            (Wish::Cancel, _) if self.far == Far::Leaving => {
                self.rest();
                match self.authorization {
                    Authorization::None => effects.push(Effect::Authorize(false)),
                    // The watcher has asked anew before the end of what it had was known.
                    Authorization::Asked | Authorization::Granted => self.ask(sides, &mut effects),
                }
            }
            (Wish::Standing, None) if self.far == Far::Asking => self.far_due = now.after(ASK_AGAIN),
            (Wish::Watch(_) | Wish::Standing, Some(failure)) => self.refused(failure, now, &mut effects),
            (Wish::Fetch, Some(_)) => {
                if self.fetch.take().is_some() {
                    self.far_due = Timestamp::NEVER;
                }
            }
            (_, Some(_) | None) => {}
        }
        effects
    }

    fn refused(&mut self, failure: &Failure, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.authorization == Authorization::None {
            return;
        }
        let again = matches!(failure.cause, Cause::NotFound | Cause::Gone) && self.tries > 0;
        if self.far == Far::Asking && (is_final(failure) || again) {
            return self.deny(EndReason::NoResource, effects);
        }
        // RFC 6665 §4.1.2.2: a dialog outlives other failures of a refresh.
        if self.far == Far::Asking {
            self.far = Far::Waiting;
        }
        self.try_later(None, now);
    }

    /// Takes a notify operation.
    pub(crate) fn handle_notify(
        &mut self,
        standing: &Standing,
        news: &News,
        sides: Sides,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        match standing {
            Standing::Pending { expires } => {
                self.live(Far::Pending, *expires, sides, now);
            }
            Standing::Active { expires } => self.active(*expires, news, sides, now, &mut effects),
            Standing::Ended { reason, retry_after } => {
                self.ended(*reason, *retry_after, news, sides, now, &mut effects);
            }
        }
        effects
    }

    fn live(&mut self, far: Far, expires: Option<Duration>, sides: Sides, now: Timestamp) {
        if !self.near().is_empty() {
            self.far = far;
        }
        self.tries = 0;
        if sides.refreshed && !self.near().is_empty() {
            let expires = expires.unwrap_or(FAR_DURATION);
            self.far_until = now.after(expires);
            self.far_due = now.after(refresh_after(expires));
        }
    }

    fn active(
        &mut self,
        expires: Option<Duration>,
        news: &News,
        sides: Sides,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let (before, was_stale) = (self.info.clone(), self.stale);
        self.learn(news, sides, effects);
        // RFC 6121 §4.6: directed presence is no authorization.
        if self.authorization == Authorization::Asked && sides.refreshed {
            self.grant(effects);
            self.live(Far::Active, expires, sides, now);
            return self.tell_all(None, now, effects);
        }
        if self.fetch.is_some() {
            return self.answer_fetch(effects);
        }
        if self.authorization != Authorization::Granted {
            return;
        }
        self.live(Far::Active, expires, sides, now);
        // RFC 3856 §6.8: without a document the previous one stays current.
        if *news != News::Nothing && (self.info != before || was_stale) {
            self.tell_all(before.as_ref(), now, effects);
        }
    }

    fn grant(&mut self, effects: &mut Vec<Effect>) {
        self.authorization = Authorization::Granted;
        effects.push(Effect::Store);
        effects.push(Effect::Authorize(true));
    }

    fn answer_fetch(&mut self, effects: &mut Vec<Effect>) {
        let Some(id) = self.fetch.take() else { return };
        let standing = Standing::Ended { reason: EndReason::Timeout, retry_after: None };
        let state = if self.authorization == Authorization::Granted { self.info.clone() } else { self.info.take() };
        effects.push(Effect::Tell(Tell { id: *id, standing, before: None, state }));
        if self.near().is_empty() {
            self.rest();
        }
    }

    fn ended(
        &mut self,
        reason: EndReason,
        retry_after: Option<Duration>,
        news: &News,
        sides: Sides,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if self.fetch.is_some() && !reason.ends_authorization() {
            // RFC 6665 §4.4.3: the answer to a fetch says that it is over.
            self.learn(news, sides, effects);
            return self.answer_fetch(effects);
        }
        if self.authorization == Authorization::None {
            if self.far == Far::Leaving || self.fetch.is_none() {
                return;
            }
            return self.deny(reason, effects);
        }
        if reason.ends_authorization() {
            return self.deny(reason, effects);
        }
        if reason == EndReason::Invariant {
            // RFC 6665 §4.1.3: the state stays true, and nothing is asked again.
            let before = self.info.clone();
            self.learn(news, sides, effects);
            self.rest();
            self.far = Far::Frozen;
            if self.info != before && self.authorization == Authorization::Granted {
                self.tell_all(before.as_ref(), now, effects);
            }
            return;
        }
        if matches!(reason, EndReason::Deactivated | EndReason::Probation | EndReason::GiveUp)
            || (reason == EndReason::Timeout && !self.present)
        {
            self.withdraw(now, effects);
        }
        let shown_until = self.far_until;
        self.rest();
        if self.near().is_empty() {
            return;
        }
        // Where nobody can be asked, what is shown still ends when it was to.
        self.far_until = shown_until;
        match reason {
            EndReason::Probation | EndReason::GiveUp => {
                self.far = Far::Waiting;
                self.try_later(retry_after, now);
            }
            EndReason::Timeout if !self.present => {}
            EndReason::Deactivated | EndReason::Timeout => self.ask(sides, effects),
            EndReason::Unknown | EndReason::Rejected | EndReason::NoResource | EndReason::Invariant => {
                match retry_after {
                    Some(_) => {
                        self.far = Far::Waiting;
                        self.try_later(retry_after, now);
                    }
                    None => self.ask(sides, effects),
                }
            }
        }
    }

    /// What was shown is no longer known to be true; each watcher hears so once.
    pub(super) fn withdraw(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(known) = self.info.take() else { return };
        let before = known.info();
        if before.is_open() && self.authorization == Authorization::Granted {
            self.stale = false;
            self.info = Some(Known::from(&closed(&before)));
            self.tell_all(Some(&known), now, effects);
        }
        self.info = None;
    }

    /// Takes the presentity's decision.
    pub(crate) fn handle_authorize(&mut self, allow: bool, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match (allow, self.authorization) {
            // RFC 6121 §A.3.3: what was not asked for is ignored.
            (true, Authorization::None | Authorization::Granted) => {}
            (true, Authorization::Asked) => {
                self.grant(&mut effects);
                if !self.near().is_empty() {
                    self.far = Far::Active;
                }
                self.tries = 0;
                self.far_due = Timestamp::NEVER;
                self.tell_all(None, now, &mut effects);
            }
            (false, Authorization::None) if self.fetch.is_none() => {}
            (false, _) => self.deny(EndReason::Rejected, &mut effects),
        }
        effects
    }

    /// Allows before anybody has asked (RFC 6121 §3.4, and native users at any time).
    pub(crate) fn allow_ahead(&mut self) -> Vec<Effect> {
        self.authorization = Authorization::Granted;
        vec![Effect::Store]
    }

    fn learn(&mut self, news: &News, sides: Sides, effects: &mut Vec<Effect>) {
        match news {
            News::Nothing => {}
            // A document is as long as it may be; devices are told one by one.
            News::Whole(info) if sides.devices => self.keep(PresenceInfo { pidf: None, ..(**info).clone() }, effects),
            News::Whole(info) => {
                self.info = Some(Known::from(&**info));
                self.stale = false;
            }
            // COMPAT Prosody 0.12: it acknowledges a request with `unavailable`, which says nothing before there is an answer.
            News::Device(tuple) if tuple.basic == Basic::Closed && self.is_unanswered() => {}
            News::Device(tuple) => {
                let known = self.info().filter(|_| !self.stale);
                let mut info = known.map(Arc::unwrap_or_clone).unwrap_or_default();
                // What was told as closed once need not be told again.
                info.tuples.retain(|known| known.basic == Basic::Open);
                if tuple.device.is_none() && tuple.basic == Basic::Closed {
                    // RFC 6121 §4.5: a bare address goes away with all of its resources.
                    info = closed(&info);
                } else {
                    info.set_device((**tuple).clone());
                }
                info.pidf = None;
                self.keep(info, effects);
            }
        }
    }

    /// Whether the presentity has neither answered nor shown anything.
    fn is_unanswered(&self) -> bool {
        self.authorization == Authorization::Asked && self.fetch.is_none() && self.info.is_none()
    }

    fn keep(&mut self, mut info: PresenceInfo, effects: &mut Vec<Effect>) {
        if !fit(&mut info) {
            effects.push(Effect::Cut);
        }
        self.info = Some(Known::from(&info));
        self.stale = false;
    }
}

/// RFC 8048 §5.2.2: sufficiently before it ends, also when the first try meets a silent server.
fn refresh_after(expires: Duration) -> Duration {
    expires.saturating_mul(17) / 20
}
