//! The task that holds every pair.

use super::guard::Guard;
use super::pair::Pair;
use super::record::{self, Record};
use super::watch::{Authorization, Effect, Far, Sides, SubscribeError, Watch, closed};
use super::{Event, PresenceLimits, Subscription, SubscriptionCounts};
use crate::core::Core;
use adapter_api::{InstanceName, PeerState, PresenceCapabilities, Settle, Settlement, Token};
use impp_model::{
    Address, AuthorizeOperation, Basic, Cause, Device, Failure, News, NotifyOperation, Operation, Outcome,
    PresenceInfo, Proof, PublishOperation, Side, SubscribeOperation, SubscriptId, Wish,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use store::{Batch, Completion, Shard, Store, Table, Timestamp, Urgency};
use tokio::sync::mpsc;

/// All pairs, and what is under way for them. Owns them alone: nothing here is locked.
pub(crate) struct Engine<'a> {
    pub(super) core: &'a Core,
    limits: PresenceLimits,
    store: Arc<dyn Store>,
    inbox: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    queued: Arc<AtomicUsize>,
    pairs: BTreeMap<Pair, Entry>,
    dues: BTreeSet<(Timestamp, Pair)>,
    guard: Guard,
    /// Peers that could not be reached, of instances that call them as needed.
    missed: BTreeSet<(InstanceName, String)>,
    /// What PRESENTITIES of instances that publish have told, device by device.
    published: HashMap<Address, BTreeMap<Option<Device>, Arc<PresenceInfo>>>,
    pub(super) sent: HashMap<Token, Sent>,
    pub(super) next_token: Token,
    pub(super) outcomes: Arc<Outcomes>,
    actions: Vec<Action>,
    dirty: BTreeMap<Pair, bool>,
}

/// A pair and what goes with it.
pub(super) struct Entry {
    /// The instance the watcher's operations come in through.
    near: InstanceName,
    /// The instance that reaches the presentity, once known.
    far: Option<InstanceName>,
    sides: Sides,
    watch: Watch,
    due: Timestamp,
}

/// What is done once everything of the turn that must be durable is.
enum Action {
    Settle(Settle, Outcome),
    Effect(Pair, InstanceName, Effect),
}

/// An operation that this task has sent.
pub(super) enum Sent {
    Far(Pair, Wish),
    Tell(Pair, SubscriptId),
    Check(Pair),
    Authorize,
}

/// The way of outcomes back to the task.
pub(super) struct Outcomes(mpsc::UnboundedSender<Event>);

impl Settlement for Outcomes {
    fn settled(&self, token: Token, outcome: Outcome) {
        // Without the task nobody waits for it.
        let _ = self.0.send(Event::Settled(token, outcome));
    }
}

/// Events taken in one turn: they share one commit.
const BATCH: usize = 1024;

/// Unreachable peers that are remembered; those of further ones hear of changes when there are some.
const MAX_MISSED: usize = 10_000;

impl<'a> Engine<'a> {
    /// The engine of `core`, with what its store holds; `None` when there is one already.
    pub(crate) fn new(core: &'a Core, limits: PresenceLimits) -> Option<Self> {
        let events = core.presence.receiver.lock().take()?;
        let inbox = core.presence.inbox.clone();
        let mut engine = Self {
            core,
            limits,
            store: core.storage.ledger.store().clone(),
            outcomes: Arc::new(Outcomes(inbox.clone())),
            inbox,
            events,
            queued: core.presence.queued.clone(),
            pairs: BTreeMap::new(),
            dues: BTreeSet::new(),
            guard: Guard::default(),
            missed: BTreeSet::new(),
            published: HashMap::new(),
            sent: HashMap::new(),
            next_token: 0,
            actions: Vec::new(),
            dirty: BTreeMap::new(),
        };
        engine.restore();
        Some(engine)
    }

    /// Serves until dropped.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let wake = self.dues.first().map(|(due, _)| due.since(self.core.timestamp()));
            tokio::select! {
                1.. = self.events.recv_many(&mut batch, BATCH) => {}
                () = pause(wake) => {}
            }
            for event in batch.drain(..) {
                self.handle(event);
            }
            self.handle_timeouts();
            self.commit().await;
            self.act();
        }
    }

    fn restore(&mut self) {
        let (records, unreadable) = match record::load(&*self.store) {
            Ok(loaded) => loaded,
            Err(error) => return tracing::error!(%error, "subscriptions can't be read"),
        };
        if unreadable > 0 {
            tracing::error!(unreadable, "subscriptions are not understood; they stay stored");
        }
        let (now, count) = (self.core.timestamp(), records.len());
        let pace = Duration::from_secs(1) / self.limits.restart_rate.max(1);
        for (number, record) in (0u32..).zip(records) {
            let (pair, near, watch) = record.restore(now.after(pace * number));
            let (sides, far) = match self.sides(&near, &pair) {
                Some(Ok((sides, far))) => (sides, Some(far)),
                Some(Err(_)) | None => (self.guess(&near), None),
            };
            self.insert(&pair, Entry { near, far, sides, watch, due: Timestamp::NEVER });
            self.rearm(&pair);
        }
        if count > 0 {
            tracing::info!(
                pairs = count,
                rate = self.limits.restart_rate,
                "subscriptions restored; their state is asked for"
            );
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Operation { trace, operation, near, settle } => {
                self.queued.fetch_sub(1, Relaxed);
                self.handle_operation(trace, operation, near, settle);
            }
            Event::Routed(inner) => {
                if let Event::Operation { trace, operation, near, settle } = *inner {
                    self.handle_operation(trace, operation, near, settle);
                }
            }
            Event::Settled(token, outcome) => self.handle_settled(token, &outcome),
            Event::Link(adapter, peer, state) => self.handle_link(&adapter, &peer, state),
            // Who asked may have gone.
            Event::List(of, limit, reply) => drop(reply.send(self.list(of.as_ref(), limit))),
            Event::Count(reply) => drop(reply.send(self.count())),
        }
    }

    fn handle_operation(
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
        self.core.presence_done(trace, operation.kind(), &near, &outcome);
        // What the watcher's side does first is answer; its effects were put behind it.
        let at = self.actions.iter().rposition(|action| matches!(action, Action::Settle(..))).map_or(0, |at| at + 1);
        self.actions.insert(at, Action::Settle(settle, outcome));
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
        let (sides, far) = match self.sides(near, &pair)? {
            Ok(sides) => sides,
            Err(failure) => return Some(Err(failure)),
        };
        if !self.pairs.contains_key(&pair) {
            if let Some(why) = self.guard.full(&pair, &self.limits) {
                return Some(Err(Failure::new(Side::Ours, Cause::ResourceConstraint).with_text(why)));
            }
            let watch = Watch::new();
            self.insert(
                &pair,
                Entry { near: near.clone(), far: Some(far.clone()), sides, watch, due: Timestamp::NEVER },
            );
        }
        let now = self.core.timestamp();
        let entry = self.pairs.get_mut(&pair)?;
        (entry.sides, entry.far) = (sides, Some(far));
        entry.near = near.clone();
        Some(match entry.watch.handle_subscribe(&subscribe.subscript_id, subscribe.wish, sides, now) {
            Ok(effects) => {
                self.take(&pair, effects);
                Ok(())
            }
            Err(error @ SubscribeError::InProgress) => {
                Err(Failure::new(Side::Near, Cause::Conflict).with_text(error.to_string()))
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
        if let Some(entry) = self.pairs.get_mut(&pair) {
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
        let Some(entry) = self.pairs.get_mut(pair) else { return };
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
        if !self.pairs.contains_key(&pair) {
            if !(authorize.allow && publishes) {
                return Ok(());
            }
            if let Some(why) = self.guard.full(&pair, &self.limits) {
                return Err(Failure::new(Side::Ours, Cause::ResourceConstraint).with_text(why));
            }
            let sides = Sides { refreshed: false, checked: false, polls: self.limits.polls };
            let (watcher_side, watch) = (self.core.near_of(&pair.watcher), Watch::new());
            let entry = Entry {
                near: watcher_side.unwrap_or_else(|| near.clone()),
                far: Some(near.clone()),
                sides,
                watch,
                due: Timestamp::NEVER,
            };
            self.insert(&pair, entry);
        }
        let Some(entry) = self.pairs.get_mut(&pair) else { return Ok(()) };
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

    fn handle_publish(&mut self, publish: &PublishOperation) {
        let (source, device) = (&publish.source.address, &publish.source.device);
        let devices = self.published.entry(source.clone()).or_default();
        match &publish.state {
            Some(state) => drop(devices.insert(device.clone(), state.clone())),
            None => drop(devices.remove(device)),
        }
        let first = Pair { target: source.clone(), watcher: source.clone() };
        // The watchers of one presentity lie together.
        let below = self.pairs.range(..first.clone()).rev().map(|(pair, _)| pair);
        let above = self.pairs.range(first..).map(|(pair, _)| pair);
        let watchers: Vec<Pair> = below
            .take_while(|pair| pair.target == *source)
            .chain(above.take_while(|pair| pair.target == *source))
            .cloned()
            .collect();
        for pair in watchers {
            self.tell_published(&pair);
        }
    }

    /// Tells a watcher what its presentity has published, if it may know.
    pub(super) fn tell_published(&mut self, pair: &Pair) {
        // After a restart nothing is known until a device tells: no "closed" because we restarted.
        if !self.published.contains_key(&pair.target) {
            return;
        }
        let info = self.published_state(&pair.target);
        let now = self.core.timestamp();
        if let Some(entry) = self.pairs.get_mut(pair) {
            let effects = entry.watch.handle_published(&info, now);
            self.take(pair, effects);
        }
    }

    fn published_state(&self, of: &Address) -> Arc<PresenceInfo> {
        let devices: Vec<_> = self.published.get(of).into_iter().flat_map(BTreeMap::values).collect();
        match devices.as_slice() {
            [] => closed(&PresenceInfo::default()),
            [only] => (*only).clone(),
            several => Arc::new(PresenceInfo {
                tuples: several.iter().flat_map(|info| info.tuples.iter().cloned()).collect(),
                notes: several.iter().flat_map(|info| info.notes.iter().cloned()).collect(),
                pidf: None,
            }),
        }
    }

    fn handle_settled(&mut self, token: Token, outcome: &Outcome) {
        let Some(sent) = self.sent.remove(&token) else { return };
        let failure = if let Outcome::Failure(failure) = outcome { Some(&**failure) } else { None };
        let now = self.core.timestamp();
        let (pair, effects) = match sent {
            Sent::Authorize => return,
            Sent::Far(pair, wish) => {
                let Some(entry) = self.pairs.get_mut(&pair) else { return };
                let effects = entry.watch.handle_far_outcome(wish, failure, now);
                (pair, effects)
            }
            // The adapter says so of a subscription that is gone, and of nothing else.
            Sent::Tell(pair, id) if failure.is_some_and(|failure| failure.cause == Cause::NotFound) => {
                let Some(entry) = self.pairs.get_mut(&pair) else { return };
                let effects = entry.watch.handle_near_gone(&id);
                (pair, effects)
            }
            Sent::Tell(..) => return,
            Sent::Check(pair) => {
                let Some(entry) = self.pairs.get_mut(&pair) else { return };
                let effects = entry.watch.handle_check(failure.is_none(), now);
                (pair, effects)
            }
        };
        self.take(&pair, effects);
    }

    /// A standing link that comes up is a new one; servers open streams as they need them, so only one that was missed is.
    fn handle_link(&mut self, adapter: &InstanceName, peer: &str, state: PeerState) {
        let whole = self.core.instances().any(|(name, found)| name == adapter && found.standing_link);
        let key = (adapter.clone(), peer.to_owned());
        match state {
            PeerState::Down if whole || self.missed.len() >= MAX_MISSED => {}
            PeerState::Down => drop(self.missed.insert(key)),
            PeerState::Up if whole || self.missed.remove(&key) => self.handle_link_up(adapter, peer, whole),
            PeerState::Up => {}
        }
    }

    fn handle_link_up(&mut self, adapter: &InstanceName, peer: &str, whole: bool) {
        let now = self.core.timestamp();
        let pace = Duration::from_secs(1) / self.limits.restart_rate.max(1);
        let mut asked = 0;
        let pairs: Vec<Pair> = self.pairs.keys().cloned().collect();
        for pair in pairs {
            let Some(entry) = self.pairs.get_mut(&pair) else { continue };
            if entry.near == *adapter && (whole || pair.watcher.domain().as_str() == peer) {
                let effects = entry.watch.handle_near_link_up(entry.sides, now);
                self.take(&pair, effects);
            } else if entry.far.as_ref() == Some(adapter)
                && !entry.sides.refreshed
                && (whole || pair.target.domain().as_str() == peer)
            {
                entry.watch.handle_far_link_up(now.after(pace * asked));
                asked += 1;
                self.rearm(&pair);
            }
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.core.timestamp();
        while let Some((due, pair)) = self.dues.first().cloned() {
            if due > now {
                return;
            }
            self.dues.remove(&(due, pair.clone()));
            let Some(entry) = self.pairs.get_mut(&pair) else { continue };
            entry.due = Timestamp::NEVER;
            let effects = entry.watch.handle_timeout(entry.sides, now);
            self.take(&pair, effects);
        }
    }

    /// Notes what a machine wants done, and when it wants to be asked again.
    fn take(&mut self, pair: &Pair, effects: Vec<Effect>) {
        let Some(entry) = self.pairs.get(pair) else { return };
        let (near, over) = (entry.near.clone(), entry.watch.is_over());
        let told = effects.iter().any(|effect| matches!(effect, Effect::Tell(_)));
        for effect in effects {
            if effect == Effect::Store {
                self.dirty.insert(pair.clone(), true);
            } else {
                self.actions.push(Action::Effect(pair.clone(), near.clone(), effect));
            }
        }
        if told {
            self.dirty.entry(pair.clone()).or_insert(false);
        }
        if over {
            self.dirty.entry(pair.clone()).or_insert(false);
            self.remove(pair);
        } else {
            self.rearm(pair);
        }
    }

    fn insert(&mut self, pair: &Pair, entry: Entry) {
        self.guard.enter(pair);
        self.pairs.insert(pair.clone(), entry);
    }

    fn remove(&mut self, pair: &Pair) {
        if let Some(entry) = self.pairs.remove(pair) {
            self.guard.leave(pair);
            self.dues.remove(&(entry.due, pair.clone()));
        }
    }

    fn rearm(&mut self, pair: &Pair) {
        let Some(entry) = self.pairs.get_mut(pair) else { return };
        let due = entry.watch.poll_timeout();
        if due == entry.due {
            return;
        }
        self.dues.remove(&(entry.due, pair.clone()));
        entry.due = due;
        if due != Timestamp::NEVER {
            self.dues.insert((due, pair.clone()));
        }
    }

    /// Writes what has changed, and waits for what must be durable.
    async fn commit(&mut self) {
        let mut batches: BTreeMap<Shard, (Batch, bool)> = BTreeMap::new();
        for (pair, must) in std::mem::take(&mut self.dirty) {
            let shard = pair.shard();
            let (batch, urgent) =
                batches.entry(shard).or_insert_with(|| (Batch::new(shard, self.store.position(shard).0), false));
            match self.pairs.get(&pair) {
                Some(entry) => {
                    batch.put(Table::State, Record::key(&pair), Record::of(&pair, &entry.near, &entry.watch).encode())
                }
                None => batch.delete(Table::State, Record::key(&pair)),
            }
            *urgent |= must;
        }
        let mut waits = Vec::new();
        for (_, (batch, urgent)) in batches {
            let (done, durable) = Completion::channel();
            self.store.commit(batch, if urgent { Urgency::Urgent } else { Urgency::WriteBehind }, done);
            if urgent {
                waits.push(durable);
            }
        }
        for durable in waits {
            let result = durable.await.unwrap_or(Err(store::StoreError::Closed));
            if let Err(error) = result {
                tracing::error!(%error, "subscriptions were not stored");
                self.fail();
                return;
            }
        }
    }

    /// Nothing is said to be accepted that is not stored.
    fn fail(&mut self) {
        for action in &mut self.actions {
            if let Action::Settle(_, outcome @ Outcome::Success(_)) = action {
                *outcome = Failure::new(Side::Ours, Cause::ResourceConstraint).with_text("it can't be stored").into();
            }
        }
    }

    fn act(&mut self) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Settle(settle, outcome) => settle.settle(outcome),
                    Action::Effect(pair, near, effect) => self.carry_out(&pair, &near, effect),
                }
            }
        }
    }

    /// How presence works at an instance.
    pub(super) fn capabilities(&self, name: &InstanceName) -> Option<PresenceCapabilities> {
        self.core.instances().find(|(known, _)| *known == name).and_then(|(_, capabilities)| capabilities.presence)
    }

    /// What the protocols of a pair are like; `None` while the way to the presentity is not known.
    fn sides(&self, near: &InstanceName, pair: &Pair) -> Option<Result<(Sides, InstanceName), Failure>> {
        let domains = (near.clone(), pair.watcher.domain().clone(), pair.target.domain().clone());
        let decision = self.core.ready_decision(&domains)?;
        Some(match &decision.result {
            Ok(choice) => match self.capabilities(&choice.adapter) {
                Some(far) => Ok((self.sides_of(near, far), choice.adapter.clone())),
                None => Err(Failure::new(Side::Far, Cause::NotImplemented).with_text("no presence there")),
            },
            Err(failure) => Err(failure.clone()),
        })
    }

    fn sides_of(&self, near: &InstanceName, far: PresenceCapabilities) -> Sides {
        let checked = self.capabilities(near).is_some_and(|near| near.checked);
        Sides { refreshed: far.refreshed, checked, polls: self.limits.polls && !far.publishes }
    }

    /// Until the way is known: what the other kind of network is like.
    fn guess(&self, near: &InstanceName) -> Sides {
        let near = self.capabilities(near);
        let checked = near.is_some_and(|near| near.checked);
        Sides { refreshed: near.is_none_or(|near| !near.refreshed), checked, polls: self.limits.polls }
    }

    pub(super) fn far_of(&self, pair: &Pair) -> Option<&InstanceName> {
        self.pairs.get(pair).and_then(|entry| entry.far.as_ref())
    }

    pub(super) fn may_watch(&self, pair: &Pair) -> bool {
        self.pairs.get(pair).is_some_and(|entry| entry.watch.authorization() == Authorization::Granted)
    }

    fn list(&self, of: Option<&Address>, limit: usize) -> (usize, Vec<Subscription>) {
        let wanted = |pair: &Pair| of.is_none_or(|of| pair.watcher == *of || pair.target == *of);
        let rows = self.pairs.iter().filter(|(pair, _)| wanted(pair));
        (self.pairs.len(), rows.take(limit).map(|(pair, entry)| entry.row(pair)).collect())
    }

    fn count(&self) -> SubscriptionCounts {
        let mut counts = SubscriptionCounts::new();
        for entry in self.pairs.values() {
            let state = entry.state();
            *counts.entry((entry.near.clone(), "watcher", state)).or_default() += 1;
            if let Some(far) = &entry.far {
                *counts.entry((far.clone(), "presentity", state)).or_default() += 1;
            }
        }
        counts
    }
}

impl Entry {
    fn row(&self, pair: &Pair) -> Subscription {
        Subscription {
            watcher: pair.watcher.clone(),
            presentity: pair.target.clone(),
            adapter: self.near.clone(),
            to: self.far.clone(),
            authorization: match self.watch.authorization() {
                Authorization::None => "none",
                Authorization::Asked => "asked",
                Authorization::Granted => "granted",
            },
            state: self.state(),
            subscriptions: self.watch.near().len(),
            open: self.watch.info().map(|info| info.is_open()),
        }
    }

    fn state(&self) -> &'static str {
        match (self.watch.authorization(), self.watch.far()) {
            (_, Far::Waiting) => "waiting",
            (Authorization::Asked, _) => "pending",
            (Authorization::Granted, Far::Active | Far::Frozen) => "active",
            (Authorization::Granted, Far::Idle | Far::Asking | Far::Pending) => "idle",
            (_, Far::Leaving) | (Authorization::None, _) => "ending",
        }
    }
}

async fn pause(wake: Option<Duration>) {
    match wake {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
