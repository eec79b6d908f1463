//! One WATCHER's place at one PRESENTITY: the authorization and the notifications (RFC 8048 §5.1), as a machine.
//!
//! The two sides are called near (the watcher's) and far (the presentity's). The machine performs no I/O and reads no clock:
//! each `handle_*` returns what has to be done, in order; then [`Watch::poll_timeout`] says when to come back.

mod far; // RFC 6665 §4.1, RFC 8048 §5.2, RFC 6121 §3
mod known;
mod near; // RFC 3859 §3.4, RFC 8048 §5.3
mod nears;
mod time; // RFC 6665 §4.1.2, RFC 8048 §8.1

use impp_model::{Basic, Device, EndReason, Failure, PresenceInfo, PresenceTuple, Standing, SubscriptId, Wish};
use nears::Nears;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::Timestamp;

pub(crate) use known::Known;

/// RFC 8048 §5.1: whether the watcher may watch; durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Authorization {
    /// Nobody has asked.
    None,
    /// The presentity has not decided.
    Asked,
    /// It may.
    Granted,
}

/// How it stands with the presentity's side; soft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    /// Nothing is under way there.
    Idle,
    /// Asked, without a notification yet.
    Asking,
    /// It has said that the presentity has not decided.
    Pending,
    /// Notifications flow.
    Active,
    /// To be asked again later.
    Waiting,
    /// What was said last stays true for ever (RFC 6665 §4.1.3, `invariant`).
    Frozen,
    /// Told that nobody watches any more; the answer ends this record.
    Leaving,
}

/// What differs between protocols, from their capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sides {
    /// Whether the far side's subscription must be refreshed.
    pub(crate) refreshed: bool,
    /// Whether the watcher is looked for before that (RFC 8048 §8.1).
    pub(crate) checked: bool,
    /// Whether who may not watch can ask for the state once (RFC 8048 §7.1).
    pub(crate) polls: bool,
    /// Whether the watcher's side is told of devices, so that documents are not kept for it.
    pub(crate) devices: bool,
}

/// One subscription of the watcher's side: a SIP dialog, an XMPP roster entry, a native subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Near {
    pub(crate) id: SubscriptId,
    /// When it ends unless extended; [`Timestamp::NEVER`] for a standing one.
    pub(crate) until: Timestamp,
}

impl Near {
    fn is_standing(&self) -> bool {
        self.until == Timestamp::NEVER
    }
}

/// What the machine wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// The record has changed in a way that must be durable before anything else of this call happens.
    Store,
    /// A subscribe operation to the presentity's side.
    Far(Wish),
    /// The watcher's side learns whether it may watch.
    Authorize(bool),
    /// A notify operation to one subscription of the watcher's side.
    Tell(Tell),
    /// Whether the watcher is there is to be found out (RFC 8048 §8.1).
    Check,
    /// Something of a state went for want of room.
    Cut,
}

/// A notification for the watcher's side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tell {
    pub(crate) id: SubscriptId,
    pub(crate) standing: Standing,
    /// What this watcher knew; none when it must be told everything.
    pub(crate) before: Option<Known>,
    /// What is true; none when nothing is known, or nothing may be told.
    pub(crate) state: Option<Known>,
}

/// Why a subscribe operation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubscribeError {
    /// RFC 3859 §3.4.1, step 3.
    #[error("a subscription of this id is under way")]
    InProgress,
    /// An id that names no subscription.
    #[error("no such subscription")]
    Unknown,
    /// The watcher has as many at this presentity as one may have.
    #[error("too many subscriptions to one presentity")]
    Full,
}

/// The record and its machine.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    authorization: Authorization,
    near: Nears,
    /// Who asked once, until the answer; rare, so it is one word.
    fetch: Option<Box<SubscriptId>>,
    far: Far,
    /// When the far side's subscription ends unless refreshed.
    far_until: Timestamp,
    /// When something is due with the far side.
    far_due: Timestamp,
    /// Tries that failed one after the other.
    tries: u8,
    /// Whether the watcher has a session, as far as is known.
    present: bool,
    info: Option<Known>,
    /// Only which devices were there before a restart is known: enough to tell which of them are gone.
    stale: bool,
}

/// RFC 3856 §6.4: how long a subscription to a side that must be refreshed is asked for.
pub(crate) const FAR_DURATION: Duration = Duration::from_secs(3600);
/// Between tries, doubled from one to the next: a refused subscription is no reason for haste.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// A presentity that can't be reached is asked at least so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// RFC 6121 §3.1.2: a request that the presentity leaves open is sent again, in case it has not seen it.
const ASK_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// How long an answer to a fetch is waited for (RFC 3261 §17.1.2.2, 64 times T1).
const FETCH_PATIENCE: Duration = Duration::from_secs(32);

impl Watch {
    /// Nothing asked; what the presentity has shown this watcher all the same (RFC 6121 §4.6).
    pub(crate) fn with_directed(info: Option<Known>) -> Self {
        Self { info, ..Self::new() }
    }

    /// Nothing asked, nothing known.
    pub(crate) fn new() -> Self {
        Self {
            authorization: Authorization::None,
            near: Nears::default(),
            fetch: None,
            far: Far::Idle,
            far_until: Timestamp::NEVER,
            far_due: Timestamp::NEVER,
            tries: 0,
            present: true,
            info: None,
            stale: false,
        }
    }

    /// As it was stored; the far side is asked again at `ask`, and until then the watcher keeps what it knows.
    pub(crate) fn restored(
        authorization: Authorization,
        near: Vec<Near>,
        far_until: Timestamp,
        info: Option<Known>,
        ask: Timestamp,
    ) -> Self {
        let (far, far_due) = match (near.is_empty(), authorization) {
            (false, Authorization::Asked | Authorization::Granted) => (Far::Waiting, ask),
            // Whether the far side was told of the end is not known: it is told again.
            (true, Authorization::None) => (Far::Leaving, ask),
            (true, Authorization::Asked | Authorization::Granted) | (false, Authorization::None) => {
                (Far::Idle, Timestamp::NEVER)
            }
        };
        let stale = info.is_some();
        Self { authorization, near: near.into(), far, far_until, far_due, info, stale, ..Self::new() }
    }

    pub(crate) fn authorization(&self) -> Authorization {
        self.authorization
    }

    pub(crate) fn near(&self) -> &[Near] {
        self.near.as_slice()
    }

    pub(crate) fn far(&self) -> Far {
        self.far
    }

    /// The last state, whoever may see it; of a stale one only the devices are true.
    pub(crate) fn info(&self) -> Option<Arc<PresenceInfo>> {
        self.info.as_ref().map(Known::info)
    }

    /// The devices that are there, as far as is known.
    pub(crate) fn open_devices(&self) -> Vec<Option<Device>> {
        let open = |info: Arc<PresenceInfo>| {
            let tuples = info.tuples.iter().filter(|tuple| tuple.basic == Basic::Open);
            tuples.map(|tuple| tuple.device.clone()).collect()
        };
        self.info().map(open).unwrap_or_default()
    }

    /// Whether the same devices are there as were in an earlier state of the same record.
    pub(crate) fn has_devices_of(&self, earlier: &Self) -> bool {
        self.info == earlier.info || self.open_devices() == earlier.open_devices()
    }

    /// What may be told of the state at this moment.
    fn tellable(&self) -> Option<Known> {
        self.info.clone().filter(|_| self.authorization == Authorization::Granted && !self.stale)
    }

    /// Whether nothing is left to remember.
    pub(crate) fn is_over(&self) -> bool {
        self.authorization == Authorization::None
            && self.near().is_empty()
            && self.fetch.is_none()
            && self.far == Far::Idle
    }

    /// Whether the watcher's side has a subscription of this id.
    pub(crate) fn has_near(&self, id: &SubscriptId) -> bool {
        self.position(id).is_some()
    }

    fn position(&self, id: &SubscriptId) -> Option<usize> {
        self.near().iter().position(|near| near.id == *id)
    }

    /// How a subscription of the near side stands.
    fn standing(&self, near: &Near, now: Timestamp) -> Standing {
        let expires = (!near.is_standing()).then(|| near.until.since(now));
        match self.authorization {
            Authorization::Granted => Standing::Active { expires },
            Authorization::None | Authorization::Asked => Standing::Pending { expires },
        }
    }

    /// Tells every subscription of the near side how it stands and what is known.
    fn tell_all(&self, before: Option<&Known>, now: Timestamp, effects: &mut Vec<Effect>) {
        let state = self.tellable();
        effects.extend(self.near().iter().map(|near| {
            let standing = self.standing(near, now);
            Effect::Tell(Tell { id: near.id.clone(), standing, before: before.cloned(), state: state.clone() })
        }));
    }

    /// What to tell one subscription that could not be told `tell`; none when it is gone.
    pub(crate) fn tell_again(&self, tell: &Tell, now: Timestamp) -> Option<Tell> {
        let near = self.near().iter().find(|near| near.id == tell.id)?;
        let (before, state) = (tell.before.clone(), self.tellable());
        Some(Tell { id: tell.id.clone(), standing: self.standing(near, now), before, state })
    }

    /// Tells every subscription of the near side that it is over.
    fn end_all(&mut self, reason: EndReason, effects: &mut Vec<Effect>) {
        let (before, state) = (self.info.clone(), self.info().map(|info| Known::from(&closed(&info))));
        for near in std::mem::take(&mut self.near).into_vec() {
            let standing = Standing::Ended { reason, retry_after: None };
            effects.push(Effect::Tell(Tell { id: near.id, standing, before: before.clone(), state: state.clone() }));
        }
        self.info = None;
    }

    /// RFC 8048 §5.2.2, §5.3.1: the authorization is over, and both sides of the watcher hear of it.
    fn deny(&mut self, reason: EndReason, effects: &mut Vec<Effect>) {
        effects.push(Effect::Store);
        self.end_all(reason, effects);
        if let Some(id) = self.fetch.take() {
            let standing = Standing::Ended { reason, retry_after: None };
            effects.push(Effect::Tell(Tell { id: *id, standing, before: None, state: None }));
        }
        // RFC 6121 §3.2.2: unavailable first.
        effects.push(Effect::Authorize(false));
        self.authorization = Authorization::None;
        self.rest();
    }

    /// Nothing is under way with the far side.
    fn rest(&mut self) {
        (self.far, self.far_until, self.far_due) = (Far::Idle, Timestamp::NEVER, Timestamp::NEVER);
    }
}

/// The same devices, none of them there; a presentity without devices is told of as a whole.
pub(crate) fn closed(info: &PresenceInfo) -> PresenceInfo {
    let close = |tuple: &PresenceTuple| PresenceTuple::new(tuple.device.clone(), Basic::Closed);
    let mut tuples: Vec<_> = info.tuples.iter().map(close).collect();
    if tuples.is_empty() {
        tuples.push(PresenceTuple::new(None, Basic::Closed));
    }
    PresenceInfo { tuples, ..PresenceInfo::default() }
}

/// Failures after which asking again would not help, whoever the presentity is.
fn is_final(failure: &Failure) -> bool {
    use impp_model::Cause as C;
    matches!(
        failure.cause,
        C::NoRoute
            | C::NotImplemented
            | C::PolicyDenied
            | C::RelayDenied
            | C::RemoteNotFound
            | C::AddressMalformed
            | C::Loop
            | C::SourceNotProven
            | C::Forbidden
            | C::PolicyViolation
    )
}

#[cfg(test)]
mod tests;
