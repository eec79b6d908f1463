//! What operators see of the pairs.

use super::{Engine, Entry};
use crate::presence::pair::Pair;
use crate::presence::watch::{Authorization, Far};
use crate::presence::{Subscription, SubscriptionCounts};
use impp_model::Address;

impl Engine<'_> {
    pub(super) fn list(&self, of: Option<&Address>, limit: usize) -> (usize, Vec<Subscription>) {
        let wanted = |pair: &Pair| of.is_none_or(|of| pair.watcher == *of || pair.target == *of);
        let rows = self.pairs.iter().filter(|(pair, _)| wanted(pair));
        (self.pairs.len(), rows.take(limit).map(|(pair, entry)| entry.row(pair)).collect())
    }

    pub(super) fn count(&self) -> SubscriptionCounts {
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
