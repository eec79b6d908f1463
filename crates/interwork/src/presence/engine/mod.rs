//! The task that holds every pair.

mod listing;
mod operations; // RFC 3859 §3.1
mod published;
mod retell; // RFC 6121 §4.6.5
mod turn;

use super::again::Again;
use super::carry::Part;
use super::directed::Directed;
use super::pair::Pair;
use super::pairs::{Entry, Pairs};
use super::record;
use super::watch::{Authorization, Far, Known, Sides, Tell};
use super::{Event, PresenceLimits};
use crate::core::Core;
use adapter_api::{InstanceName, PeerState, PresenceCapabilities, Settlement, Token};
use impp_model::{Address, Cause, Device, Failure, Outcome, PresenceInfo, Side, Wish};
use retell::Retell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use store::{Store, Timestamp};
use tokio::sync::mpsc;
use turn::Turn;

/// All pairs, and what is under way for them. Owns them alone: nothing here is locked.
pub(crate) struct Engine<'a> {
    pub(super) core: &'a Core,
    limits: PresenceLimits,
    store: Arc<dyn Store>,
    inbox: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    queued: Arc<AtomicUsize>,
    pub(super) pairs: Pairs,
    /// Whether the store has a record for each pair that is here, and no other: what is new need not be looked for there.
    is_sure: Arc<AtomicBool>,
    /// Peers that could not be reached, of instances that call them as needed.
    missed: BTreeSet<(InstanceName, String)>,
    /// What PRESENTITIES of instances that publish have told, device by device.
    published: HashMap<Address, BTreeMap<Option<Device>, Arc<PresenceInfo>>>,
    pub(super) sent: HashMap<Token, Sent>,
    pub(super) next_token: Token,
    pub(super) outcomes: Arc<Outcomes>,
    turn: Turn,
    pub(super) again: Again,
    retell: Retell,
    directed: Directed,
    /// Of what is sent again at this moment.
    pub(super) tries: u8,
    /// The last states that were read: who tells all watchers needs only these.
    pub(super) read: [(Known, Arc<PresenceInfo>); 2],
}

/// An operation that this task has sent.
///
/// The number says how often the same has failed before.
pub(super) enum Sent {
    Far(Pair, Wish, u8),
    Tell(Pair, Box<Tell>, Part, u8),
    Check(Pair),
    Authorize(Pair, bool, u8),
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

/// How late something due may be done: one wake-up serves all that have come due meanwhile, as the pairs of a restart do one
/// after the other.
const GRAIN: Duration = Duration::from_millis(50);

/// After a start links are made and adapters read their dialogs; before that nothing could be asked.
const LINKS_COME_UP: Duration = Duration::from_secs(1);

/// Before the state is asked for that was refused for its sender's rate: longer than a spurt (`rates::BURST`).
const MISSED: Duration = Duration::from_secs(5);

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
            pairs: Pairs::default(),
            is_sure: Arc::default(),
            missed: BTreeSet::new(),
            published: HashMap::new(),
            sent: HashMap::new(),
            next_token: 0,
            turn: Turn::default(),
            again: Again::default(),
            retell: Retell::default(),
            directed: Directed::default(),
            tries: 0,
            read: std::array::from_fn(|_| (Known::from(&PresenceInfo::default()), Arc::default())),
        };
        engine.restore();
        engine.restore_published();
        Some(engine)
    }

    /// Serves until dropped.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let dues = [self.pairs.next_due(), self.again.next_due(), self.retell.next_due(self.pace())];
            let due = dues.into_iter().flatten().min();
            let wake = due.map(|due| due.after(GRAIN).since(self.core.timestamp()));
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
            self.send_again();
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
        self.is_sure.store(unreadable == 0, Relaxed);
        // The time of this moment: a long start must not leave everything due at once.
        let (now, count) = (self.core.timestamp().after(LINKS_COME_UP), records.len());
        let pace = self.pace();
        for (number, record) in (0u32..).zip(records) {
            let (pair, near, watch) = record.restore(now.after(pace * number));
            let (sides, far) = match self.sides(&near, &pair) {
                Some(Ok((sides, far))) => (sides, Some(far)),
                Some(Err(_)) | None => (self.guess(&near), None),
            };
            let (near, far) = (self.pairs.place(&near), far.map(|far| self.pairs.place(&far)));
            self.pairs.insert(&pair, Entry::new(near, far, sides, watch));
            self.pairs.rearm(&pair, Timestamp(0));
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
            Event::Missed(pair) => {
                self.queued.fetch_sub(1, Relaxed);
                self.handle_missed(&pair);
            }
            Event::Settled(token, outcome) => self.handle_settled(token, &outcome),
            Event::Link(adapter, peer, state) => self.handle_link(&adapter, &peer, state),
            // Who asked may have gone.
            Event::List(of, limit, reply) => drop(reply.send(self.list(of.as_ref(), limit))),
            Event::Count(reply) => drop(reply.send(self.count())),
        }
    }

    fn handle_settled(&mut self, token: Token, outcome: &Outcome) {
        let Some(sent) = self.sent.remove(&token) else { return };
        let failure = if let Outcome::Failure(failure) = outcome { Some(&**failure) } else { None };
        let now = self.core.timestamp();
        let gone = failure.is_some_and(|failure| failure.cause == Cause::NotFound);
        if let Some(failure) = failure.filter(|_| !gone) {
            self.failed(&sent, failure);
        }
        let (pair, effects) = match sent {
            Sent::Authorize(..) => return,
            Sent::Far(pair, wish, _) => {
                let Some(entry) = self.touch(&pair) else { return };
                let effects = entry.watch.handle_far_outcome(wish, failure, entry.sides, now);
                (pair, effects)
            }
            // The adapter says so of a subscription that is gone, and of nothing else.
            Sent::Tell(pair, tell, ..) if gone => {
                let Some(entry) = self.touch(&pair) else { return };
                let effects = entry.watch.handle_near_gone(&tell.id);
                (pair, effects)
            }
            Sent::Tell(..) => return,
            Sent::Check(pair) => {
                let Some(entry) = self.touch(&pair) else { return };
                let effects = entry.watch.handle_check(failure.is_none(), now);
                (pair, effects)
            }
        };
        self.take(&pair, effects);
    }

    /// The presentity's side is asked for what was refused; a rate that goes on puts that off no further.
    fn handle_missed(&mut self, pair: &Pair) {
        let at = self.core.timestamp().after(MISSED);
        let Some(entry) = self.touch(pair) else { return };
        if entry.watch.far() != Far::Waiting {
            entry.watch.handle_far_link_up(at);
            self.pairs.rearm(pair, Timestamp(0));
        }
    }

    /// A standing link that comes up is a new one; servers open streams as they need them, so only one that was missed is.
    fn handle_link(&mut self, adapter: &InstanceName, peer: &str, state: PeerState) {
        let whole = self.core.instances().any(|(name, found)| name == adapter && found.standing_link);
        let key = (adapter.clone(), peer.to_owned());
        match state {
            PeerState::Down => {
                // RFC 6121 §4.6.4: whoever cannot be heard of is not known to be there.
                self.directed.forget(|pair| !whole && pair.target.domain().as_str() == peer);
                if !whole && self.missed.len() < MAX_MISSED {
                    self.missed.insert(key);
                }
            }
            PeerState::Up if whole || self.missed.remove(&key) => self.handle_link_up(adapter, peer, whole),
            PeerState::Up => {}
        }
    }

    fn handle_link_up(&mut self, adapter: &InstanceName, peer: &str, whole: bool) {
        let (now, pace) = (self.core.timestamp(), self.pace());
        let mut asked = 0;
        let place = self.pairs.place(adapter);
        let concerned = |(pair, entry): &(Pair, &Entry)| {
            (entry.near == place && (whole || pair.watcher.domain().as_str() == peer))
                || (entry.far == Some(place) && (whole || pair.target.domain().as_str() == peer))
        };
        let pairs: Vec<Pair> = self.pairs.iter().filter(concerned).map(|(pair, _)| pair).collect();
        for pair in pairs {
            let is_near = |entry: &Entry| entry.near == place && (whole || pair.watcher.domain().as_str() == peer);
            if self.pairs.get(&pair).is_some_and(is_near) {
                self.tell_anew(pair, now);
            } else if let Some(entry) = self.touch(&pair)
                && !entry.sides.refreshed
            {
                entry.watch.handle_far_link_up(now.after(pace * asked));
                asked += 1;
                self.pairs.rearm(&pair, Timestamp(0));
            }
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.core.timestamp();
        while let Some(pair) = self.pairs.pop_due(now) {
            let Some(entry) = self.touch(&pair) else { continue };
            let effects = entry.watch.handle_timeout(entry.sides, now);
            self.take(&pair, effects);
        }
        self.handle_retell(now);
    }

    /// Between two pairs that are asked for their state, or told anew.
    fn pace(&self) -> Duration {
        Duration::from_secs(1) / self.limits.restart_rate.max(1)
    }

    fn insert(&mut self, pair: &Pair, entry: Entry) {
        self.turn.before.entry(pair.clone()).or_insert(None);
        self.pairs.insert(pair, entry);
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
        let near = self.capabilities(near);
        let (checked, devices) = near.map_or((false, false), |near| (near.checked, near.devices));
        Sides { refreshed: far.refreshed, checked, polls: self.limits.polls && !far.publishes, devices }
    }

    /// Until the way is known: what the other kind of network is like.
    fn guess(&self, near: &InstanceName) -> Sides {
        let near = self.capabilities(near);
        let (checked, devices) = near.map_or((false, false), |near| (near.checked, near.devices));
        Sides { refreshed: near.is_none_or(|near| !near.refreshed), checked, polls: self.limits.polls, devices }
    }

    /// The instance a pair's watcher comes in through.
    pub(super) fn near_of(&self, pair: &Pair) -> InstanceName {
        let known = self.pairs.get(pair).map(|entry| self.pairs.name(entry.near));
        known.or_else(|| self.core.near_of(&pair.watcher)).unwrap_or_else(|| "".into())
    }

    pub(super) fn far_of(&self, pair: &Pair) -> Option<InstanceName> {
        self.pairs.get(pair)?.far.map(|far| self.pairs.name(far))
    }

    pub(super) fn may_watch(&self, pair: &Pair) -> bool {
        self.pairs.get(pair).is_some_and(|entry| entry.watch.authorization() == Authorization::Granted)
    }
}

async fn pause(wake: Option<Duration>) {
    match wake {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
