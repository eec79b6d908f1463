//! One turn: what it changes is stored first, and only then done.

use super::Engine;
use crate::presence::pair::Pair;
use crate::presence::pairs::Entry;
use crate::presence::record::Record;
use crate::presence::watch::Effect;
use adapter_api::{InstanceName, Settle, TraceId};
use impp_model::{Address, Cause, Failure, Operation, Outcome, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::{Batch, Completion, Expect, Shard, StoreError, Table, Timestamp, Urgency};
use tokio::sync::oneshot;

/// What the events of a turn have led to.
#[derive(Default)]
pub(super) struct Turn {
    actions: Vec<Action>,
    /// Pairs to be written; whether that must be durable before anything is done for them.
    dirty: BTreeMap<Pair, bool>,
    /// Pairs as they were before; none where there was nothing.
    pub(super) before: BTreeMap<Pair, Option<Entry>>,
    /// PRESENTITIES that have published.
    pub(super) published: BTreeSet<Address>,
}

/// Records that are written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lot {
    shard: Shard,
    /// Whether it is written to a disk that is nearly full, too.
    essential: bool,
}

/// What is done once everything of the turn that must be durable is.
enum Action {
    Answer(Answer),
    Effect(Pair, InstanceName, Effect),
}

/// The answer to an operation.
pub(super) struct Answer {
    /// The pair whose record it may have changed.
    pub(super) pair: Option<Pair>,
    pub(super) trace: TraceId,
    pub(super) operation: Box<Operation>,
    pub(super) near: InstanceName,
    pub(super) settle: Settle,
    pub(super) outcome: Outcome,
}

/// Before what could not be stored is tried again: as long as a full disk or a slow one may need at least.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl Engine<'_> {
    /// A pair about to be changed.
    pub(super) fn touch(&mut self, pair: &Pair) -> Option<&mut Entry> {
        let entry = self.pairs.get_mut(pair)?;
        if !self.turn.before.contains_key(pair) {
            self.turn.before.insert(pair.clone(), Some(entry.clone()));
        }
        Some(entry)
    }

    /// What the watcher's side does first is answer; its effects were put behind it.
    pub(super) fn answer(&mut self, answer: Answer) {
        let actions = &mut self.turn.actions;
        let at = actions.iter().rposition(|action| matches!(action, Action::Answer(_))).map_or(0, |at| at + 1);
        actions.insert(at, Action::Answer(answer));
    }

    /// Notes what a machine wants done, and when it wants to be asked again.
    pub(super) fn take(&mut self, pair: &Pair, effects: Vec<Effect>) {
        let Some(entry) = self.pairs.get(pair) else { return };
        let (near, over) = (self.pairs.name(entry.near), entry.watch.is_over());
        let told = effects.iter().any(|effect| matches!(effect, Effect::Tell(_)));
        let earlier = self.turn.before.get(pair).and_then(Option::as_ref);
        let changed = earlier.is_none_or(|earlier| !entry.watch.has_devices_of(&earlier.watch));
        for effect in effects {
            if effect == Effect::Store {
                self.turn.dirty.insert(pair.clone(), true);
            } else {
                self.turn.actions.push(Action::Effect(pair.clone(), near.clone(), effect));
            }
        }
        // DESIGN A6: a refresh, or another state of the same devices, leaves the record as it is.
        if told && changed {
            self.turn.dirty.entry(pair.clone()).or_insert(false);
        }
        if over {
            self.turn.dirty.entry(pair.clone()).or_insert(false);
            self.pairs.remove(pair);
        } else {
            self.pairs.rearm(pair, Timestamp(0));
        }
    }

    /// Writes what has changed, and waits for what must be durable; what then isn't has not happened.
    pub(super) async fn commit(&mut self) {
        let dirty = std::mem::take(&mut self.turn.dirty);
        let dirty: Vec<_> = dirty.into_iter().map(|(pair, must)| (self.lot(&pair), pair, must)).collect();
        let mut waits = Vec::new();
        for (lot, (batch, urgent)) in self.batches(&dirty) {
            let (sender, durable) = oneshot::channel();
            let is_sure = self.is_sure.clone();
            let done = Completion::new(move |result| {
                if result.is_err() {
                    is_sure.store(false, Relaxed);
                }
                // An error means that nobody waits.
                let _ = sender.send(result);
            });
            self.store.commit(batch, if urgent { Urgency::Urgent } else { Urgency::WriteBehind }, done);
            if urgent {
                waits.push((lot, durable));
            }
        }
        self.keep_published();
        let mut failed = BTreeSet::new();
        for (lot, durable) in waits {
            if let Err(error) = durable.await.unwrap_or(Err(StoreError::Closed)) {
                tracing::error!(%error, "subscriptions were not stored");
                failed.insert(lot);
            }
        }
        let before = std::mem::take(&mut self.turn.before);
        if !failed.is_empty() {
            self.undo(&dirty, before, &failed);
        }
    }

    /// What the record of a pair is written with. A full disk must not hinder anybody from ending a subscription.
    fn lot(&self, pair: &Pair) -> Lot {
        let essential = match (self.pairs.get(pair), self.turn.before.get(pair)) {
            (None, _) => true,
            (Some(entry), Some(Some(earlier))) => entry.watch.near().len() < earlier.watch.near().len(),
            (Some(_), Some(None) | None) => false,
        };
        Lot { shard: pair.shard(), essential }
    }

    /// The records of the pairs, and whether one of them must be durable.
    fn batches(&self, dirty: &[(Lot, Pair, bool)]) -> BTreeMap<Lot, (Batch, bool)> {
        let mut batches: BTreeMap<Lot, (Batch, bool)> = BTreeMap::new();
        let is_sure = self.is_sure.load(Relaxed);
        for (lot, pair, must) in dirty {
            let (batch, urgent) = batches.entry(*lot).or_insert_with(|| {
                let batch = Batch::new(lot.shard, self.store.position(lot.shard).0);
                (if lot.essential { batch.essential() } else { batch }, false)
            });
            match self.pairs.get(pair) {
                Some(entry) => {
                    let is_new = is_sure && matches!(self.turn.before.get(pair), Some(None));
                    let expect = if is_new { Expect::Sure(None) } else { Expect::Anything };
                    let record = Record::of(pair, self.pairs.name(entry.near), &entry.watch);
                    batch.put_if(Table::State, Record::key(pair), expect, record.encode());
                }
                None => batch.delete(Table::State, Record::key(pair)),
            }
            *urgent |= must;
        }
        batches
    }

    /// Brings the pairs of these lots back to what is stored, and does nothing of what was to be done for them.
    fn undo(&mut self, dirty: &[(Lot, Pair, bool)], mut before: BTreeMap<Pair, Option<Entry>>, failed: &BTreeSet<Lot>) {
        let mut undone = BTreeSet::new();
        for (_, pair, must) in dirty.iter().filter(|(lot, ..)| failed.contains(lot)) {
            if *must {
                self.restore_entry(pair, before.remove(pair).flatten());
                undone.insert(pair.clone());
            } else {
                // What was told is written with the next turn.
                self.turn.dirty.insert(pair.clone(), false);
            }
        }
        self.turn.before.clear();
        self.turn.actions.retain_mut(|action| match action {
            Action::Effect(pair, ..) => !undone.contains(pair),
            Action::Answer(answer) => {
                if answer.pair.as_ref().is_some_and(|pair| undone.contains(pair)) {
                    answer.refuse();
                }
                true
            }
        });
    }

    fn restore_entry(&mut self, pair: &Pair, entry: Option<Entry>) {
        self.pairs.remove(pair);
        let Some(mut entry) = entry else { return };
        // What the presentity's side has said in this turn is forgotten: it is asked for it again.
        let again = self.core.timestamp().after(STORE_PAUSE);
        entry.watch.handle_far_link_up(again);
        self.insert(pair, entry);
        self.pairs.rearm(pair, again);
    }

    /// Does what the turn has led to.
    pub(super) fn act(&mut self) {
        while !self.turn.actions.is_empty() {
            for action in std::mem::take(&mut self.turn.actions) {
                match action {
                    Action::Answer(answer) => {
                        self.core.presence_done(answer.trace, &answer.operation, &answer.near, &answer.outcome);
                        answer.settle.settle(answer.outcome);
                    }
                    Action::Effect(pair, near, effect) => self.carry_out(&pair, &near, effect),
                }
            }
        }
    }
}

impl Answer {
    /// Nothing is said to be accepted that is not stored.
    fn refuse(&mut self) {
        if let Outcome::Success(_) = self.outcome {
            self.outcome = Failure::new(Side::Ours, Cause::ResourceConstraint).with_text("it can't be stored").into();
        }
    }
}
