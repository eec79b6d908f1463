//! A pair as the store has it.

use super::pair::Pair;
use super::watch::{Authorization, FAR_DURATION, Known, Near, Watch};
use adapter_api::InstanceName;
use impp_model::{Address, Basic, Device, PresenceInfo, PresenceTuple};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Shard, Store, StoreError, Table, Timestamp};

/// What survives a restart: the authorization, the watcher's subscriptions, and which devices it was told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    watcher: Address,
    target: Address,
    near: InstanceName,
    authorization: Authorization,
    subscriptions: Vec<Near>,
    /// Always written: what is left out of a record by place would have the next field taken for it.
    #[serde(default)]
    devices: Vec<Option<Device>>,
}

/// Before the hash in the keys of these records.
const PREFIX: &[u8] = b"w";
/// The same of what PRESENTITIES have published; nobody watches himself, so the hash of such a pair is free for it.
const PUBLISHED: &[u8] = b"p";
/// Records read at a time.
const PAGE: usize = 1024;

impl Record {
    pub(crate) fn of(pair: &Pair, near: InstanceName, watch: &Watch) -> Self {
        Self {
            watcher: pair.watcher.clone(),
            target: pair.target.clone(),
            near,
            authorization: watch.authorization(),
            subscriptions: watch.near().to_vec(),
            devices: watch.open_devices(),
        }
    }

    pub(crate) fn key(pair: &Pair) -> Vec<u8> {
        [PREFIX, &pair.hash()].concat()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // By place, for the names would be half of it; both forms are read. The types have no map with other keys than text, the
        // only thing that can fail.
        rmp_serde::to_vec(self).unwrap_or_default()
    }

    /// The pair, the watcher's instance and the machine, which asks the far side again at `ask`.
    ///
    /// Refreshes are not written (DESIGN A6): what was there lasts as long again as a subscription that nobody refreshes.
    pub(crate) fn restore(mut self, ask: Timestamp) -> (Pair, InstanceName, Watch) {
        let until = ask.after(FAR_DURATION);
        self.subscriptions.iter_mut().for_each(|near| near.until = near.until.max(until));
        let pair = Pair { target: self.target, watcher: self.watcher };
        let tuples: Vec<_> = self.devices.into_iter().map(|device| PresenceTuple::new(device, Basic::Open)).collect();
        let info = (!tuples.is_empty()).then(|| Known::from(&PresenceInfo { tuples, ..PresenceInfo::default() }));
        (pair, self.near, Watch::restored(self.authorization, self.subscriptions, until, info, ask))
    }
}

/// Every record of the store; those that are not understood are counted.
pub(crate) fn load(store: &dyn Store) -> Result<(Vec<Record>, usize), StoreError> {
    load_all(store, PREFIX)
}

/// What every PRESENTITY has published; what is not understood a device will tell again.
pub(crate) fn load_published(store: &dyn Store) -> Result<Vec<Published>, StoreError> {
    load_all(store, PUBLISHED).map(|(all, _)| all)
}

fn load_all<T: DeserializeOwned>(store: &dyn Store, prefix: &[u8]) -> Result<(Vec<T>, usize), StoreError> {
    let (mut records, mut unreadable) = (Vec::new(), 0);
    for shard in Shard::all() {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(shard, Table::State, prefix, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.to_vec());
            for (_, record) in &page {
                match rmp_serde::from_slice(&record.value) {
                    Ok(record) => records.push(record),
                    Err(_) => unreadable += 1,
                }
            }
        }
    }
    Ok((records, unreadable))
}

/// What the devices of a PRESENTITY have published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Published {
    source: Address,
    devices: Vec<(Option<Device>, Arc<PresenceInfo>)>,
}

/// Device by device.
pub(crate) type Devices = BTreeMap<Option<Device>, Arc<PresenceInfo>>;

impl Published {
    pub(crate) fn of(source: &Address, devices: &Devices) -> Self {
        let devices = devices.iter().map(|(device, info)| (device.clone(), info.clone())).collect();
        Self { source: source.clone(), devices }
    }

    pub(crate) fn key(source: &Address) -> Vec<u8> {
        [PUBLISHED, &Pair::new(source, source).hash()].concat()
    }

    pub(crate) fn shard(source: &Address) -> Shard {
        Pair::new(source, source).shard()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // The types have no map with other keys than text, the only thing that can fail.
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    pub(crate) fn restore(self) -> (Address, Devices) {
        (self.source, self.devices.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Batch, MemoryStore, commit_and_wait};

    #[test]
    fn records_come_back_from_the_store_with_their_authorization() {
        let store = MemoryStore::new();
        let pair = Pair::new(&"w@a.example".parse().unwrap(), &"t@b.example".parse().unwrap());
        let near = vec![Near { id: "n".into(), until: Timestamp::NEVER }];
        let info = PresenceInfo { tuples: vec![PresenceTuple::new(None, Basic::Open)], ..PresenceInfo::default() };
        let watch = Watch::restored(Authorization::Granted, near, Timestamp(9), Some(Known::from(&info)), Timestamp(5));
        let record = Record::of(&pair, "office".into(), &watch);
        let mut batch = Batch::new(pair.shard(), store.position(pair.shard()).0);
        batch.put(Table::State, Record::key(&pair), record.encode());
        commit_and_wait(&store, batch).unwrap();
        let (records, unreadable) = load(&store).unwrap();
        assert_eq!((records.len(), unreadable), (1, 0));
        let alone = Record { devices: Vec::new(), ..record.clone() };
        assert_eq!(rmp_serde::from_slice(&alone.encode()).ok(), Some(alone));
        // As earlier releases have written it.
        let named = rmp_serde::to_vec_named(&record).unwrap();
        assert_eq!(
            (rmp_serde::from_slice(&named).ok(), record.encode().len() * 2 < named.len() * 3),
            (Some(record), true)
        );
        let (found, near, watch) = records.into_iter().next().unwrap().restore(Timestamp(7));
        assert_eq!((found, near.as_str(), watch.authorization()), (pair, "office", Authorization::Granted));
        assert_eq!((watch.near().len(), watch.poll_timeout()), (1, Timestamp(7)));
    }

    #[test]
    fn what_devices_have_published_comes_back_beside_the_pairs() {
        let store = MemoryStore::new();
        let source: Address = "carol@native.example".parse().unwrap();
        let info =
            Arc::new(PresenceInfo { tuples: vec![PresenceTuple::new(None, Basic::Open)], ..PresenceInfo::default() });
        let devices = Devices::from([(None, info.clone()), (Device::new("desk").ok(), info)]);
        let mut batch = Batch::new(Published::shard(&source), store.position(Published::shard(&source)).0);
        batch.put(Table::State, Published::key(&source), Published::of(&source, &devices).encode());
        commit_and_wait(&store, batch).unwrap();
        let found: Vec<_> = load_published(&store).unwrap().into_iter().map(Published::restore).collect();
        assert_eq!(found, [(source, devices)]);
        assert_eq!(load(&store).unwrap().0, []);
    }
}
