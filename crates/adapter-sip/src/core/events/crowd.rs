//! How many dialogs each watcher has: nobody takes the room of all.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use impp_model::Address;

/// Watchers with their dialogs, each by the hash of his address: there may be very many, and nobody can choose the same one.
#[derive(Debug)]
pub(super) struct Crowd {
    dialogs: HashMap<u64, u32>,
    hasher: RandomState,
    limit: usize,
}

impl Crowd {
    /// Nobody yet; nobody shall have more than `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { dialogs: HashMap::new(), hasher: RandomState::new(), limit }
    }

    /// Whether a watcher has as many as one may have.
    pub(super) fn is_full(&self, watcher: &Address) -> bool {
        let count = self.dialogs.get(&self.hash(&watcher.to_string())).copied().unwrap_or_default();
        usize::try_from(count).is_ok_and(|count| count >= self.limit)
    }

    /// Counts one more.
    pub(super) fn enter(&mut self, watcher: &str) {
        *self.dialogs.entry(self.hash(watcher)).or_default() += 1;
    }

    /// Counts one less.
    pub(super) fn leave(&mut self, watcher: &str) {
        let hash = self.hash(watcher);
        match self.dialogs.get_mut(&hash) {
            Some(count @ 2..) => *count -= 1,
            Some(_) | None => drop(self.dialogs.remove(&hash)),
        }
    }

    fn hash(&self, watcher: &str) -> u64 {
        self.hasher.hash_one(watcher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PRS-063
    #[test]
    fn a_watcher_is_full_by_himself_and_leaves_nothing_behind() {
        let (mut crowd, [a, b]) =
            (Crowd::new(2), ["a@a.example", "b@a.example"].map(|text| text.parse::<Address>().unwrap()));
        for watcher in [&a, &a, &b] {
            crowd.enter(&watcher.to_string());
        }
        assert_eq!((crowd.is_full(&a), crowd.is_full(&b)), (true, false));
        crowd.leave("a@a.example");
        assert!(!crowd.is_full(&a));
        crowd.leave("a@a.example");
        crowd.leave("b@a.example");
        assert!(crowd.dialogs.is_empty());
    }
}
