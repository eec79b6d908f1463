//! Who waits for what becomes of another: nobody is forgotten, however the end of the one and the coming of the other meet.

use crate::sync::{AtomicUsize, Mutex, Ordering};
use std::collections::HashMap;
use std::hash::Hash;

/// Those who wait, by what they wait for.
#[derive(Debug)]
pub(crate) struct Twins<K, W> {
    waiting: Mutex<HashMap<K, Vec<W>>>,
    /// How many wait or are about to; while nobody does, the lock above is not touched.
    count: AtomicUsize,
}

/// What became of one who came to wait.
pub(crate) enum Joined<W, A> {
    /// It waits.
    Waits,
    /// There is an answer already.
    Answered(W, A),
    /// Too many wait.
    Full(W),
}

impl<K, W> Default for Twins<K, W> {
    fn default() -> Self {
        Self { waiting: Mutex::new(HashMap::new()), count: AtomicUsize::new(0) }
    }
}

impl<K: Eq + Hash, W> Twins<K, W> {
    /// Lets one wait unless `look` has an answer. Whoever ends what is waited for must make that known to `look` before
    /// [`take`](Self::take).
    pub(crate) fn join<A>(&self, key: K, waiter: W, limit: usize, look: impl FnOnce() -> Option<A>) -> Joined<W, A> {
        // Counted before it looks: an end that it does not see is one that sees it.
        if self.count.fetch_add(1, Ordering::Relaxed) >= limit {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Joined::Full(waiter);
        }
        let mut waiting = self.waiting.lock();
        match look() {
            Some(answer) => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                Joined::Answered(waiter, answer)
            }
            None => {
                waiting.entry(key).or_default().push(waiter);
                Joined::Waits
            }
        }
    }

    /// Takes out all who wait for what has ended.
    pub(crate) fn take(&self, key: &K) -> Vec<W> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let taken = self.waiting.lock().remove(key).unwrap_or_default();
        self.count.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }
}
