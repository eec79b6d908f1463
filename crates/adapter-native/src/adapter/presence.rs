//! Operations of presence on their way to native users: events that nobody has to acknowledge.

use super::Shared;
use crate::mapping::presence::to_event;
use crate::wire::SubscriptionEvent;
use adapter_api::{Carries, Delivery};
use impp_model::{
    Address, Cause, Failure, News, NotifyOperation, Operation, Outcome, PresenceInfo, Proof, Side, Standing, Wish,
};
use serde::Serialize;

impl Shared {
    /// Tells the user concerned; the hub keeps the state, so an event that has no room is not missed for long.
    pub(super) fn deliver_presence(&self, delivery: Delivery) {
        let told = match &*delivery.operation {
            Operation::Subscribe(subscribe) => {
                let state = match subscribe.wish {
                    Wish::Watch(_) | Wish::Standing => Some("requested"),
                    Wish::Cancel => Some("withdrawn"),
                    Wish::Extend(_) | Wish::Fetch | Wish::Pause | Wish::Check => None,
                };
                let (watcher, target) = (&subscribe.watcher.address, &subscribe.target.address);
                self.user(target).map(|_| {
                    if let Some(state) = state {
                        self.tell(target, "subscription", &standing_event(watcher, target, state, None));
                    }
                })
            }
            Operation::Authorize(authorize) => {
                let (watcher, target) = (&authorize.watcher.address, &authorize.target.address);
                let state = if authorize.allow { "active" } else { "refused" };
                self.user(watcher)
                    .map(|_| self.tell(watcher, "subscription", &standing_event(watcher, target, state, None)))
            }
            Operation::Notify(notify) => self.user(&notify.watcher.address).map(|_| self.notify(notify)),
            Operation::Message(_) | Operation::Disposition(_) | Operation::Composing(_) | Operation::Publish(_) | _ => {
                Err(Failure::new(Side::Ours, Cause::NotImplemented))
            }
        };
        match told {
            Ok(()) => delivery.settle(Outcome::Success(Proof::Server)),
            Err(failure) => delivery.settle(failure),
        }
    }

    fn notify(&self, notify: &NotifyOperation) {
        let (watcher, target) = (&notify.watcher.address, &notify.target.address);
        let whole;
        let info = match &notify.news {
            News::Nothing => None,
            News::Whole(info) => Some(&**info),
            News::Device(tuple) => {
                whole = PresenceInfo { tuples: vec![(**tuple).clone()], ..PresenceInfo::default() };
                Some(&whole)
            }
        };
        // RFC 3862 §6: nothing is shown of what only another client can read.
        let sealed = info.is_some_and(|info| info.sealed().is_some());
        if sealed && let Some(hub) = self.hub.get() {
            hub.translation_loss("sealed", Carries::Dropped);
        }
        if let Some(info) = info.filter(|_| !sealed) {
            let mapped = to_event(info, target, watcher);
            if let Some(hub) = self.hub.get() {
                mapped.dropped.iter().for_each(|field| hub.translation_loss(field, Carries::Dropped));
            }
            self.tell(watcher, "presence", &mapped.value);
        }
        let standing = match &notify.standing {
            Standing::Pending { .. } => standing_event(watcher, target, "pending", None),
            Standing::Ended { reason, .. } => standing_event(watcher, target, "terminated", Some(reason.label())),
            Standing::Active { .. } => return,
        };
        self.tell(watcher, "subscription", &standing);
    }

    pub(super) fn tell(&self, user: &Address, kind: &'static str, data: &impl Serialize) {
        let (Some(user), Ok(data)) = (self.users.at(user), serde_json::to_string(data)) else { return };
        if user.mailbox(|mailbox| mailbox.append_news(kind, data.into())).is_some() {
            user.announce();
        }
    }
}

fn standing_event(watcher: &Address, target: &Address, state: &str, reason: Option<&str>) -> SubscriptionEvent {
    SubscriptionEvent {
        watcher: watcher.to_string(),
        target: target.to_string(),
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
    }
}
