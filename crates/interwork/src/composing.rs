//! Who was told that somebody composes, kept over a crash: a state that a killed process leaves behind is ended by the next one.
//!
//! RFC 3994 §3.3 lets a state lapse where it is not refreshed, and the adapter that it came by says so while it lives. XEP-0085
//! states do not lapse: whoever was told "composing" would see it for ever.

use crate::core::Core;
use adapter_api::{InstanceName, Settle, Settlement, Token};
use impp_model::{ComposingOperation, ComposingState, MaxForwards, Operation, Outcome};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use store::{Batch, Completion, Pair, Shard, Store, Table, Timestamp, Urgency};

/// Conversations in which somebody composes; beyond, a state is carried and not remembered.
const MAX_COMPOSING: usize = 8_192;
/// What the keys on disk begin with; the hash of the pair follows.
const PREFIX: &[u8] = b"composing\0";
/// Between tries to end what an earlier process left: its link may not be up yet.
const AGAIN: Duration = Duration::from_secs(5);
/// When nobody is told any more: XEP-0085 §5.3 clients take such a silence for an end themselves.
const PATIENCE: Duration = Duration::from_secs(600);

/// A state that somebody was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    near: InstanceName,
    operation: ComposingOperation,
}

/// All conversations in which somebody composes.
#[derive(Debug, Default)]
pub(crate) struct Composers {
    table: Mutex<Conversations>,
    /// Whether anybody composes: most messages need not look.
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct Conversations {
    stored: HashSet<u128>,
    /// What an earlier process left, until it is ended or said anew.
    left: BTreeMap<u128, Told>,
    next_try: Timestamp,
    until: Timestamp,
}

impl Composers {
    /// What an earlier process left. Waits for the disk.
    pub(crate) fn open(store: &dyn Store, now: Timestamp) -> Self {
        let mut left = BTreeMap::new();
        for shard in Shard::all() {
            // A page holds all that there can be.
            let found = store.scan(shard, Table::State, PREFIX, None, MAX_COMPOSING).unwrap_or_default();
            left.extend(found.into_iter().filter_map(|(key, record)| {
                let pair = key.strip_prefix(PREFIX)?.try_into().ok().map(u128::from_be_bytes)?;
                Some((pair, rmp_serde::from_slice(&record.value).ok()?))
            }));
        }
        let stored = left.keys().copied().collect();
        let any = AtomicBool::new(!left.is_empty());
        let table = Conversations { stored, left, next_try: now, until: now.after(PATIENCE) };
        Self { table: Mutex::new(table), any }
    }
}

impl Core {
    /// Takes note of a state or a message that reached its far side.
    pub(crate) fn note_composing(&self, operation: &Operation, near: &InstanceName, outcome: &Outcome) {
        let composing = match operation {
            Operation::Composing(told) => told.state.is_composing().then_some(told),
            Operation::Message(_) if self.composers.any.load(Relaxed) => None,
            Operation::Message(_)
            | Operation::Disposition(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => return,
        };
        let arrived = matches!(outcome, Outcome::Success(_) | Outcome::HandedOver);
        let pair = Pair::of(operation).to_bits();
        let mut table = self.composers.table.lock();
        match composing {
            Some(told) if arrived => {
                table.left.remove(&pair);
                if table.stored.len() < MAX_COMPOSING && table.stored.insert(pair) {
                    let told = Told { near: near.clone(), operation: (**told).clone() };
                    self.write_composing(pair, rmp_serde::to_vec_named(&told).ok());
                }
            }
            // What an earlier process left is tried again while nobody can be told.
            None if arrived || !table.left.contains_key(&pair) => {
                table.left.remove(&pair);
                if table.stored.remove(&pair) {
                    self.write_composing(pair, None);
                }
            }
            Some(_) | None => {}
        }
        self.composers.any.store(!table.stored.is_empty(), Relaxed);
    }

    /// Tells those to whom an earlier process said that somebody composes that he does not. Returns at once.
    pub(crate) fn end_composing(&self) {
        let now = self.timestamp();
        let (left, over) = {
            let mut table = self.composers.table.lock();
            if table.left.is_empty() || now < table.next_try {
                return;
            }
            table.next_try = now.after(AGAIN);
            let over = now >= table.until;
            (if over { std::mem::take(&mut table.left) } else { table.left.clone() }, over)
        };
        for (pair, told) in left {
            if over {
                self.composers.table.lock().stored.remove(&pair);
                self.write_composing(pair, None);
                continue;
            }
            let Told { near, operation } = told;
            let ended = ComposingOperation {
                state: ComposingState::Active,
                refresh: None,
                max_forwards: MaxForwards::INITIAL,
                ..operation
            };
            self.carry(Operation::Composing(Box::new(ended)), near, Settle::new(Arc::new(Nobody), 0));
        }
    }

    fn write_composing(&self, pair: u128, value: Option<Vec<u8>>) {
        let (shard, key) = (Pair::from_bits(pair).shard(), [PREFIX, &pair.to_be_bytes()].concat());
        let store = self.storage.ledger.store();
        let mut batch = Batch::new(shard, store.position(shard).0);
        match value {
            Some(value) => batch.put(Table::State, key, value),
            None => batch.delete(Table::State, key),
        }
        let done = Completion::new(|result| {
            if let Err(error) = result {
                tracing::warn!(%error, "who was told that somebody composes is not stored");
            }
        });
        store.commit(batch, Urgency::WriteBehind, done);
    }
}

/// For states that nobody waits for the outcome of.
struct Nobody;

impl Settlement for Nobody {
    fn settled(&self, _: Token, _: Outcome) {}
}
