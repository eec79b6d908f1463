//! What PRESENTITIES of instances that publish have told, device by device, also over restarts.

use super::Engine;
use crate::presence::pair::Pair;
use crate::presence::record::{Published, load_published};
use crate::presence::watch::{Known, closed};
use impp_model::{Address, PresenceInfo, PublishOperation};
use std::collections::BTreeMap;
use store::{Batch, Completion, Table, Urgency};

impl Engine<'_> {
    pub(super) fn handle_publish(&mut self, publish: &PublishOperation) {
        let (source, device) = (&publish.source.address, &publish.source.device);
        let devices = self.published.entry(source.clone()).or_default();
        match &publish.state {
            Some(state) => drop(devices.insert(device.clone(), state.clone())),
            None => drop(devices.remove(device)),
        }
        self.turn.published.insert(source.clone());
        let info = self.published_state(source);
        for pair in self.pairs.watchers_of(source) {
            self.tell_state(&pair, &info);
        }
    }

    /// Tells a watcher what its presentity has published, if it may know.
    pub(in crate::presence) fn tell_published(&mut self, pair: &Pair) {
        // After a restart nothing is known until a device tells: no "closed" because we restarted.
        if !self.published.contains_key(&pair.target) {
            return;
        }
        let info = self.published_state(&pair.target);
        self.tell_state(pair, &info);
    }

    fn tell_state(&mut self, pair: &Pair, info: &Known) {
        let now = self.core.timestamp();
        if let Some(entry) = self.touch(pair) {
            let effects = entry.watch.handle_published(info, now);
            self.take(pair, effects);
        }
    }

    fn published_state(&self, of: &Address) -> Known {
        let devices: Vec<_> = self.published.get(of).into_iter().flat_map(BTreeMap::values).collect();
        match devices.as_slice() {
            [] => Known::from(&closed(&PresenceInfo::default())),
            [only] => Known::from(&***only),
            several => Known::from(&PresenceInfo {
                tuples: several.iter().flat_map(|info| info.tuples.iter().cloned()).collect(),
                notes: several.iter().flat_map(|info| info.notes.iter().cloned()).collect(),
                pidf: None,
            }),
        }
    }

    /// Writes what was published in this turn. Nobody waits for that: a device tells again what a crash has lost.
    pub(super) fn keep_published(&mut self) {
        for source in std::mem::take(&mut self.turn.published) {
            let key = Published::key(&source);
            let shard = Published::shard(&source);
            let mut batch = Batch::new(shard, self.store.position(shard).0);
            match self.published.get(&source).filter(|devices| !devices.is_empty()) {
                Some(devices) => batch.put(Table::State, key, Published::of(&source, devices).encode()),
                None => batch.delete(Table::State, key),
            }
            let done = Completion::new(|kept| {
                if let Err(error) = kept {
                    tracing::warn!(%error, "the state of a device was not stored");
                }
            });
            self.store.commit(batch, Urgency::WriteBehind, done);
        }
    }

    /// Reads what earlier processes were told.
    pub(super) fn restore_published(&mut self) {
        match load_published(&*self.store) {
            Ok(all) => self.published.extend(all.into_iter().map(Published::restore)),
            Err(error) => tracing::error!(%error, "the state of devices can't be read"),
        }
    }
}
