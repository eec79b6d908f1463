//! One suite for every [`Store`]: what the trait promises, on memory and on disk.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::sync::mpsc;

use store::{
    Batch, Completion, DataDir, Expect, Fence, FjallStore, Gap, MAX_KEY, MAX_OPERATIONS, MemoryStore, Opened, Options,
    SealKey, Shard, Store, StoreError, Table, Urgency, Version, commit_and_wait,
};

const OWNER: Fence = Fence(1);

/// A store that can be closed and opened again.
trait Kit {
    fn new(key: Option<SealKey>) -> Self;
    fn store(&self) -> &dyn Store;
    fn reopen(self) -> (Self, Opened)
    where
        Self: Sized;
}

struct Memory(MemoryStore);

impl Kit for Memory {
    fn new(key: Option<SealKey>) -> Self {
        Self(MemoryStore::with_key(key))
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn reopen(self) -> (Self, Opened) {
        let (store, opened) = self.0.reopen().unwrap();
        (Self(store), opened)
    }
}

struct Disk {
    store: FjallStore,
    options: Options,
    folder: tempfile::TempDir,
}

impl Disk {
    fn open(folder: tempfile::TempDir, options: Options) -> (Self, Opened) {
        let (store, opened) = FjallStore::open(DataDir::open(folder.path()).unwrap(), &options).unwrap();
        (Self { store, options, folder }, opened)
    }
}

impl Kit for Disk {
    fn new(key: Option<SealKey>) -> Self {
        Self::open(tempfile::tempdir().unwrap(), Options { key, disk_reserve: 0, ..Options::default() }).0
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn reopen(self) -> (Self, Opened) {
        let Self { store, options, folder } = self;
        drop(store);
        Self::open(folder, options)
    }
}

/// The suite, one function a promise.
macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        mod memory { $(#[test] fn $name() { super::$name::<super::Memory>(); })+ }
        mod disk { $(#[test] fn $name() { super::$name::<super::Disk>(); })+ }
    };
}

suite!(
    what_is_committed_is_read_and_survives_a_restart,
    a_batch_holds_whole_or_not_at_all,
    compare_and_set_knows_versions_absence_and_a_deleted_record,
    an_older_owner_is_refused_for_ever,
    scans_are_ordered_paged_and_within_their_shard,
    shards_and_tables_do_not_see_each_other,
    versions_grow_and_are_never_used_twice,
    batches_take_effect_in_the_order_of_the_calls,
    limits_are_refused,
    sealed_values_are_read_back,
);

fn shard(number: u16) -> Shard {
    Shard::new(number).unwrap()
}

fn owned<K: Kit>() -> K {
    let kit = K::new(None);
    for number in 0..3 {
        kit.store().acquire(shard(number), OWNER).unwrap();
    }
    kit
}

fn batch(changes: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = Batch::new(shard(0), OWNER);
    changes(&mut batch);
    batch
}

fn value(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
    store.get(shard(0), Table::State, key).unwrap().map(|record| record.value.to_vec())
}

fn what_is_committed_is_read_and_survives_a_restart<K: Kit>() {
    let kit = owned::<K>();
    commit_and_wait(kit.store(), batch(|b| b.put(Table::State, "a", "1"))).unwrap();
    commit_and_wait(
        kit.store(),
        batch(|b| {
            b.put(Table::State, "b", "2");
            b.put(Table::State, "c", "");
            b.delete(Table::State, "a");
        }),
    )
    .unwrap();
    let (kit, opened) = kit.reopen();
    assert!(opened.is_sound(), "{opened:?}");
    assert_eq!(opened.records, 2);
    assert_eq!(value(kit.store(), b"a"), None);
    assert_eq!(value(kit.store(), b"b").as_deref(), Some(&b"2"[..]));
    assert_eq!(value(kit.store(), b"c").as_deref(), Some(&b""[..]));
}

fn a_batch_holds_whole_or_not_at_all<K: Kit>() {
    let kit = owned::<K>();
    commit_and_wait(kit.store(), batch(|b| b.put(Table::State, "old", "1"))).unwrap();
    let refused = commit_and_wait(
        kit.store(),
        batch(|b| {
            b.put(Table::State, "new", "2");
            b.put(Table::State, "new", "3");
            b.delete(Table::State, "old");
            b.put_if(Table::State, "missing", Expect::Version(Version(1)), "4");
        }),
    );
    assert!(matches!(refused, Err(StoreError::Conflict { change: 3 })));
    assert_eq!(value(kit.store(), b"new"), None);
    assert_eq!(value(kit.store(), b"old").as_deref(), Some(&b"1"[..]));
    let (_, opened) = kit.reopen();
    assert!(opened.is_sound(), "{opened:?}");
}

fn compare_and_set_knows_versions_absence_and_a_deleted_record<K: Kit>() {
    let kit = owned::<K>();
    let put = |expect, text: &str| {
        commit_and_wait(kit.store(), batch(|b| b.put_if(Table::State, "k", expect, text))).map(|c| c.last)
    };
    let first = put(Expect::Absent, "1").unwrap();
    assert!(matches!(put(Expect::Absent, "x"), Err(StoreError::Conflict { change: 0 })));
    let second = put(Expect::Version(first), "2").unwrap();
    assert!(matches!(put(Expect::Version(first), "x"), Err(StoreError::Conflict { .. })));
    commit_and_wait(kit.store(), batch(|b| b.delete_if(Table::State, "k", Expect::Version(second)))).unwrap();
    assert!(matches!(put(Expect::Version(second), "x"), Err(StoreError::Conflict { .. })));
    let third = put(Expect::Absent, "3").unwrap();
    assert_eq!(kit.store().get(shard(0), Table::State, b"k").unwrap().unwrap().version, third);
}

fn an_older_owner_is_refused_for_ever<K: Kit>() {
    let kit = owned::<K>();
    kit.store().acquire(shard(0), Fence(5)).unwrap();
    let refused = commit_and_wait(kit.store(), batch(|b| b.put(Table::State, "k", "1")));
    assert!(matches!(refused, Err(StoreError::Fenced { held: OWNER, current: Fence(5), .. })));
    for token in [4, 5] {
        assert!(matches!(kit.store().acquire(shard(0), Fence(token)), Err(StoreError::Fenced { .. })));
    }
    let (kit, _) = kit.reopen();
    assert_eq!(kit.store().position(shard(0)).0, Fence(5));
    let refused = commit_and_wait(kit.store(), batch(|b| b.put(Table::State, "k", "1")));
    assert!(matches!(refused, Err(StoreError::Fenced { .. })));
    let mut taken = Batch::new(shard(0), Fence(5));
    taken.put(Table::State, "k", "1");
    commit_and_wait(kit.store(), taken).unwrap();
}

fn scans_are_ordered_paged_and_within_their_shard<K: Kit>() {
    let kit = owned::<K>();
    commit_and_wait(
        kit.store(),
        batch(|b| ["pb", "pc", "q", "pa", "o", "p"].into_iter().for_each(|key| b.put(Table::State, key, key))),
    )
    .unwrap();
    let mut other = Batch::new(shard(1), OWNER);
    other.put(Table::State, "pz", "other");
    commit_and_wait(kit.store(), other).unwrap();
    let scan = |prefix: &str, after: Option<&[u8]>, limit| {
        let found = kit.store().scan(shard(0), Table::State, prefix.as_bytes(), after, limit).unwrap();
        found.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(scan("p", None, 10), ["p", "pa", "pb", "pc"]);
    assert_eq!(scan("p", None, 2), ["p", "pa"]);
    assert_eq!(scan("p", Some(b"pa"), 2), ["pb", "pc"]);
    assert_eq!(scan("p", Some(b"pc"), 2), [""; 0]);
    assert_eq!(scan("", Some(b"pc"), 9), ["q"]);
}

fn shards_and_tables_do_not_see_each_other<K: Kit>() {
    let kit = owned::<K>();
    commit_and_wait(
        kit.store(),
        batch(|b| {
            b.put(Table::State, "k", "state");
            b.put(Table::Trace, "k", "trace");
        }),
    )
    .unwrap();
    assert_eq!(kit.store().get(shard(1), Table::State, b"k").unwrap(), None);
    assert_eq!(kit.store().get(shard(0), Table::Window, b"k").unwrap(), None);
    assert_eq!(kit.store().get(shard(0), Table::Trace, b"k").unwrap().unwrap().value, "trace");
}

fn versions_grow_and_are_never_used_twice<K: Kit>() {
    let kit = owned::<K>();
    let put = |kit: &K| commit_and_wait(kit.store(), batch(|b| b.put(Table::State, "k", "1"))).unwrap().last;
    let first = put(&kit);
    commit_and_wait(kit.store(), batch(|b| b.delete(Table::State, "k"))).unwrap();
    let (kit, _) = kit.reopen();
    assert_eq!(kit.store().position(shard(0)), (OWNER, Version(first.0 + 1)));
    assert_eq!(put(&kit), Version(first.0 + 2));
}

fn batches_take_effect_in_the_order_of_the_calls<K: Kit>() {
    let kit = owned::<K>();
    let (sender, results) = mpsc::channel();
    for number in 0..200_u32 {
        let urgency = if number % 3 == 0 { Urgency::Urgent } else { Urgency::WriteBehind };
        let sender = sender.clone();
        let done = Completion::new(move |result| sender.send((number, result.unwrap().last)).unwrap());
        kit.store().commit(batch(|b| b.put(Table::State, "k", number.to_string())), urgency, done);
    }
    drop(sender);
    let told: Vec<_> = results.iter().collect();
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    assert!(told.is_sorted_by(|a, b| a.1 < b.1));
    assert_eq!(value(kit.store(), b"k").as_deref(), Some(&b"199"[..]));
}

fn limits_are_refused<K: Kit>() {
    let kit = owned::<K>();
    let long = commit_and_wait(kit.store(), batch(|b| b.put(Table::State, vec![0; MAX_KEY + 1], "")));
    assert!(matches!(long, Err(StoreError::TooLarge { what: "key", .. })));
    let many = batch(|b| (0..=MAX_OPERATIONS).for_each(|_| b.delete(Table::State, "k")));
    assert!(matches!(commit_and_wait(kit.store(), many), Err(StoreError::TooLarge { what: "batch", .. })));
    commit_and_wait(kit.store(), batch(|b| b.put(Table::State, vec![0; MAX_KEY], "x"))).unwrap();
    assert_eq!(value(kit.store(), &[0; MAX_KEY]).as_deref(), Some(&b"x"[..]));
}

fn sealed_values_are_read_back<K: Kit>() {
    let kit = K::new(Some(SealKey::new([3; 32])));
    kit.store().acquire(shard(0), OWNER).unwrap();
    commit_and_wait(kit.store(), batch(|b| b.put(Table::State, "k", "secret"))).unwrap();
    let (kit, opened) = kit.reopen();
    assert!(opened.is_sound(), "{opened:?}");
    assert_eq!(value(kit.store(), b"k").as_deref(), Some(&b"secret"[..]));
}

/// Puts three records under shard 0 in memory.
fn three() -> MemoryStore {
    let kit = owned::<Memory>();
    for key in ["a", "b", "c"] {
        commit_and_wait(kit.store(), batch(|b| b.put(Table::State, key, format!("value of {key}")))).unwrap();
    }
    kit.0
}

#[test]
fn a_flipped_bit_is_found_put_aside_and_told_once() {
    let store = three();
    assert!(store.flip(shard(0), Table::State, b"b"));
    let read = store.get(shard(0), Table::State, b"b");
    assert!(matches!(read, Err(StoreError::Damaged { table: Table::State, .. })));
    let (store, opened) = store.reopen().unwrap();
    assert_eq!((opened.damaged_count, opened.records), (1, 2));
    assert!(matches!(
        opened.gaps[..],
        [Gap::Records { table: Table::State, expected: 3, found: 2, missing: Some(Version(2)), .. }]
    ));
    let (_, again) = store.reopen().unwrap();
    assert!(again.is_sound(), "{again:?}");
    assert_eq!(again.put_aside, 1);
}

#[test]
fn a_lost_record_is_found_and_named() {
    let store = three();
    assert!(store.lose(shard(0), Table::State, b"c"));
    let (store, opened) = store.reopen().unwrap();
    assert!(matches!(opened.gaps[..], [Gap::Records { expected: 3, found: 2, missing: Some(Version(3)), .. }]));
    assert!(store.reopen().unwrap().1.is_sound());
}

#[test]
fn after_a_failed_write_everything_is_refused() {
    let store = three();
    store.fail();
    for _ in 0..2 {
        let refused = commit_and_wait(&store, batch(|b| b.put(Table::State, "d", "1")));
        assert!(matches!(refused, Err(StoreError::Failed(_))));
    }
    assert_eq!(store.get(shard(0), Table::State, b"d").unwrap(), None);
}

#[test]
fn a_nearly_full_disk_takes_only_what_is_essential() {
    let store = three();
    store.set_free(1000);
    let refused = commit_and_wait(&store, batch(|b| b.put(Table::State, "d", "1")));
    assert!(matches!(refused, Err(StoreError::DiskReserve { free: 1000, .. })));
    commit_and_wait(&store, batch(|b| b.delete(Table::State, "a")).essential()).unwrap();
}
