//! What a machine wants done, as operations.

use super::engine::{Engine, Sent};
use super::pair::Pair;
use super::watch::{Effect, Known, Tell};
use adapter_api::{Carries, InstanceName, Settle};
use impp_model::{
    AuthorizeOperation, Basic, Cause, Device, Endpoint, Failure, News, NotifyOperation, Operation, PresenceInfo,
    PresenceTuple, Side, SubscribeOperation, TransId, Wish,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What of a state one operation tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// The whole, or all that has changed.
    All,
    /// What is true of these devices, and nothing else.
    Devices(BTreeSet<Option<Device>>),
}

impl Part {
    pub(super) fn of(device: Option<Device>) -> Self {
        Self::Devices([device].into())
    }

    /// Both.
    pub(super) fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Devices(devices), Self::Devices(others)) => devices.extend(others),
            (Self::All, _) | (Self::Devices(_), Self::All) => *self = Self::All,
        }
    }
}

impl Engine<'_> {
    pub(super) fn carry_out(&mut self, pair: &Pair, near: &InstanceName, effect: Effect) {
        match effect {
            Effect::Store => {}
            Effect::Cut => self.core.counters.loss(near, "presence", Carries::Dropped),
            Effect::Far(wish) => self.ask_far(pair, near, wish),
            Effect::Authorize(allow) => self.authorize_near(pair, allow),
            Effect::Tell(tell) => {
                if tell.before.is_none() {
                    self.again.forget(pair, &tell.id);
                }
                self.tell_near(pair, near, tell, &Part::All);
            }
            Effect::Check => {
                // RFC 8048 §8.1: the watcher is asked after, in the name of whom it watches.
                let operation = self.subscribe(&pair.reversed(), Wish::Check);
                self.send(operation, self.way_back(pair), Sent::Check(pair.clone()));
            }
        }
    }

    fn ask_far(&mut self, pair: &Pair, near: &InstanceName, wish: Wish) {
        let publishes = self.far_of(pair).and_then(|far| self.capabilities(&far)).is_some_and(|far| far.publishes);
        if publishes && self.may_watch(pair) && matches!(wish, Wish::Fetch | Wish::Watch(_) | Wish::Standing) {
            return self.tell_published(pair);
        }
        let operation = self.subscribe(pair, wish);
        self.send(operation, near.clone(), Sent::Far(pair.clone(), wish, self.tries));
    }

    fn subscribe(&mut self, pair: &Pair, wish: Wish) -> Operation {
        Operation::Subscribe(Box::new(SubscribeOperation {
            watcher: Endpoint::bare(pair.watcher.clone()),
            target: Endpoint::bare(pair.target.clone()),
            wish,
            subscript_id: pair.subscript_id(),
            trans_id: self.trans_id(),
        }))
    }

    fn authorize_near(&mut self, pair: &Pair, allow: bool) {
        let operation = Operation::Authorize(Box::new(AuthorizeOperation {
            target: Endpoint::bare(pair.target.clone()),
            watcher: Endpoint::bare(pair.watcher.clone()),
            allow,
            trans_id: self.trans_id(),
        }));
        self.send(operation, self.way_back(pair), Sent::Authorize(pair.clone(), allow, self.tries));
    }

    pub(super) fn tell_near(&mut self, pair: &Pair, near: &InstanceName, tell: Tell, part: &Part) {
        let by_device = self.capabilities(near).is_some_and(|near| near.devices);
        let tuples = match (part, &tell.state) {
            (Part::Devices(devices), state) if by_device => {
                // What is no longer known is not known to be there.
                let now = state.as_ref().map(|state| self.read(state)).unwrap_or_default();
                of_devices(devices, &now)
            }
            (Part::All, Some(state)) if by_device => {
                let before = tell.before.as_ref().map(|before| self.read(before));
                changes(before.as_deref(), &self.read(state))
            }
            (Part::All | Part::Devices(_), Some(state)) => {
                let news = News::Whole(self.read(state));
                return self.notify(pair, &tell, news);
            }
            (Part::All | Part::Devices(_), None) => return self.notify(pair, &tell, News::Nothing),
        };
        for tuple in tuples {
            self.notify(pair, &tell, News::Device(Box::new(tuple)));
        }
    }

    /// A state; the watchers of one presentity mostly have the same, one after the other.
    fn read(&mut self, known: &Known) -> Arc<PresenceInfo> {
        match self.read.iter().find(|(of, _)| of == known) {
            Some((_, info)) => info.clone(),
            None => {
                let info = known.info();
                self.read.rotate_right(1);
                if let Some(first) = self.read.first_mut() {
                    *first = (known.clone(), info.clone());
                }
                info
            }
        }
    }

    fn notify(&mut self, pair: &Pair, tell: &Tell, news: News) {
        let part = match &news {
            News::Device(tuple) => Part::of(tuple.device.clone()),
            News::Whole(_) | News::Nothing => Part::All,
        };
        let operation = Operation::Notify(Box::new(NotifyOperation {
            target: Endpoint::bare(pair.target.clone()),
            watcher: Endpoint::bare(pair.watcher.clone()),
            subscript_id: Some(tell.id.clone()),
            trans_id: self.trans_id(),
            standing: tell.standing.clone(),
            news,
        }));
        self.send(operation, self.way_back(pair), Sent::Tell(pair.clone(), Box::new(tell.clone()), part, self.tries));
    }

    /// The instance that what comes from the presentity comes in through.
    fn way_back(&self, pair: &Pair) -> InstanceName {
        let far = self.far_of(pair).or_else(|| self.core.near_of(&pair.target));
        far.unwrap_or_else(|| "".into())
    }

    fn send(&mut self, operation: Operation, near: InstanceName, sent: Sent) {
        let token = self.next_token;
        self.next_token += 1;
        self.sent.insert(token, sent);
        let settle = Settle::new(self.outcomes.clone(), token);
        if operation.source().address.domain() == operation.destination().address.domain() && near.as_str().is_empty() {
            return settle.settle(Failure::new(Side::Ours, Cause::NoRoute));
        }
        self.core.carry(operation, near, settle);
    }

    // RFC 3859 §3.4.2: unique for each.
    fn trans_id(&self) -> TransId {
        TransId::from(format!("{:x}-{:x}", self.core.next_trans(), self.next_token))
    }
}

/// The devices whose state differs from what was told, those that are gone as closed (RFC 3856 §6.8).
fn changes(before: Option<&PresenceInfo>, now: &PresenceInfo) -> Vec<PresenceTuple> {
    let known =
        |tuple: &PresenceTuple| before.and_then(|info| info.tuples.iter().find(|old| old.device == tuple.device));
    let changed = now.tuples.iter().filter(|tuple| match known(tuple) {
        Some(old) => old != *tuple && (old.basic, tuple.basic) != (Basic::Closed, Basic::Closed),
        None => true,
    });
    let gone = before
        .into_iter()
        .flat_map(|info| &info.tuples)
        .filter(|old| old.basic == Basic::Open && !now.tuples.iter().any(|tuple| tuple.device == old.device));
    let mut list: Vec<_> = gone.map(|old| PresenceTuple::new(old.device.clone(), Basic::Closed)).collect();
    list.extend(changed.map(|tuple| with_note(tuple, now)));
    if list.is_empty() && now.tuples.is_empty() {
        // RFC 3922 §6.3.2: no tuple at all is a presentity that is away.
        list.push(PresenceTuple::new(None, Basic::Closed));
    }
    list
}

/// What is true of these devices; of those that are gone, that they are closed.
fn of_devices(devices: &BTreeSet<Option<Device>>, now: &PresenceInfo) -> Vec<PresenceTuple> {
    let found = |device: &Option<Device>| now.tuples.iter().find(|tuple| tuple.device == *device);
    let mut devices = devices.clone();
    if devices.contains(&None) && found(&None).is_none() {
        // RFC 6121 §4.5: a bare address goes away with all of its resources; those that are there come after it.
        devices.extend(now.tuples.iter().map(|tuple| tuple.device.clone()));
    }
    let told = |device: Option<Device>| match found(&device) {
        Some(tuple) => with_note(tuple, now),
        None => PresenceTuple::new(device, Basic::Closed),
    };
    devices.into_iter().map(told).collect()
}

/// A comment on the whole is each device's where there is no other place for it (RFC 8048 §6.3).
fn with_note(tuple: &PresenceTuple, now: &PresenceInfo) -> PresenceTuple {
    let mut tuple = tuple.clone();
    if tuple.notes.is_empty() {
        tuple.notes.clone_from(&now.notes);
    }
    tuple
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PRS-047, PRS-049
    #[test]
    fn rfc3856_s6_8_only_what_differs_is_told_and_what_vanished_is_closed() {
        let tuple = |device: &str, basic| PresenceTuple::new(Some(Device::new(device).unwrap()), basic);
        let info = |tuples: &[PresenceTuple]| PresenceInfo { tuples: tuples.to_vec(), ..PresenceInfo::default() };
        let before = info(&[tuple("a", Basic::Open), tuple("b", Basic::Open), tuple("c", Basic::Closed)]);
        let now = info(&[tuple("b", Basic::Closed), tuple("d", Basic::Open)]);
        let expected = [tuple("a", Basic::Closed), tuple("b", Basic::Closed), tuple("d", Basic::Open)];
        assert_eq!(changes(Some(&before), &now), expected);
        assert_eq!(changes(Some(&now), &now), []);
        assert_eq!(changes(None, &now), now.tuples);
        assert_eq!(changes(None, &info(&[])), [PresenceTuple::new(None, Basic::Closed)]);
    }
    // checks: PRS-047, PRS-049
    #[test]
    fn rfc3856_s6_8_of_what_failed_is_told_what_is_true_by_then() {
        let device = |name: &str| Device::new(name).ok();
        let open = |device| PresenceTuple::new(device, Basic::Open);
        let info = |tuples: &[PresenceTuple]| PresenceInfo { tuples: tuples.to_vec(), ..PresenceInfo::default() };
        let now = info(&[open(device("a")), open(device("b"))]);
        let gone = PresenceTuple::new(device("z"), Basic::Closed);
        assert_eq!(of_devices(&[device("z"), device("b")].into(), &now), [open(device("b")), gone]);
        let bare = PresenceTuple::new(None, Basic::Closed);
        assert_eq!(of_devices(&[None].into(), &now), [bare.clone(), open(device("a")), open(device("b"))]);
        assert_eq!(of_devices(&[None].into(), &info(&[])), [bare]);
        let mut both = Part::of(device("a"));
        both.join(Part::of(None));
        assert_eq!(both, Part::Devices([None, device("a")].into()));
        both.join(Part::All);
        assert_eq!(both, Part::All);
    }
}
