//! What operators see of the pairs.

use super::Engine;
use crate::presence::pair::Pair;
use crate::presence::pairs::Entry;
use crate::presence::watch::{Authorization, Far};
use crate::presence::{Subscription, SubscriptionCounts};
use impp_model::Address;

impl Engine<'_> {
    pub(super) fn list(&self, of: Option<&Address>, limit: usize) -> (usize, Vec<Subscription>) {
        let wanted = |pair: &Pair| of.is_none_or(|of| pair.watcher == *of || pair.target == *of);
        let rows = self.pairs.iter().filter(|(pair, _)| wanted(pair));
        (self.pairs.len(), rows.take(limit).map(|(pair, entry)| self.row(pair, entry)).collect())
    }

    pub(super) fn count(&self) -> SubscriptionCounts {
        let mut counts = SubscriptionCounts::new();
        for entry in self.pairs.entries() {
            let state = entry.state();
            *counts.entry((self.pairs.name(entry.near), "watcher", state)).or_default() += 1;
            if let Some(far) = entry.far {
                *counts.entry((self.pairs.name(far), "presentity", state)).or_default() += 1;
            }
        }
        counts
    }

    fn row(&self, pair: Pair, entry: &Entry) -> Subscription {
        Subscription {
            watcher: pair.watcher,
            presentity: pair.target,
            adapter: self.pairs.name(entry.near),
            to: entry.far.map(|far| self.pairs.name(far)),
            authorization: match entry.watch.authorization() {
                Authorization::None => "none",
                Authorization::Asked => "asked",
                Authorization::Granted => "granted",
            },
            state: entry.state(),
            subscriptions: entry.watch.near().len(),
            open: entry.watch.info().map(|info| info.is_open()),
        }
    }
}

impl Entry {
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
