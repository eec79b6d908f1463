//! The store on disk: what its files hold, what damage to them does, keys, export and import.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::fs;
use std::path::{Path, PathBuf};

use store::{
    Batch, DataDir, DataDirError, EngineError, Fence, FjallStore, Gap, MemoryStore, OpenError, Opened, Options,
    PortableError, SealKey, Shard, Store, Table, Version, commit_and_wait, export, import,
};

const SECRET: &str = "wherefore art thou";

fn options(key: Option<u8>) -> Options {
    Options { key: key.map(|octet| SealKey::new([octet; 32])), disk_reserve: 0, ..Options::default() }
}

fn open(folder: &Path, key: Option<u8>) -> Result<(FjallStore, Opened), OpenError> {
    FjallStore::open(DataDir::open(folder)?, &options(key))
}

fn shard() -> Shard {
    Shard::new(4).unwrap()
}

/// Puts records `0..count`, each in a commit of its own.
fn fill(store: &dyn Store, count: u32) {
    let fence = store.position(shard()).0.next();
    store.acquire(shard(), fence).unwrap();
    for number in 0..count {
        let mut batch = Batch::new(shard(), fence);
        batch.put(Table::State, number.to_be_bytes(), format!("{SECRET} {number:08}"));
        commit_and_wait(store, batch).unwrap();
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The files that hold `text`, and where.
fn holding(folder: &Path, text: &str) -> Vec<(PathBuf, usize)> {
    let find = |path: PathBuf| {
        let octets = fs::read(&path).unwrap();
        let at = octets.windows(text.len()).position(|window| window == text.as_bytes())?;
        Some((path, at))
    };
    files(folder).into_iter().filter_map(find).collect()
}

#[test]
fn with_a_key_no_file_holds_the_content() {
    let (plain, sealed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, key) in [(&plain, None), (&sealed, Some(1))] {
        let (store, _) = open(folder.path(), key).unwrap();
        fill(&store, 3);
        let read = store.get(shard(), Table::State, &2_u32.to_be_bytes()).unwrap().unwrap();
        assert_eq!(read.value, format!("{SECRET} 00000002"));
    }
    assert_eq!(holding(plain.path(), SECRET).len(), 1);
    assert_eq!(holding(sealed.path(), SECRET), []);
}

#[test]
fn another_key_none_and_a_needless_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path(), Some(1)).unwrap().0, 1);
    assert!(matches!(open(folder.path(), Some(2)), Err(OpenError::KeyWrong)));
    assert!(matches!(open(folder.path(), None), Err(OpenError::KeyMissing)));
    assert!(open(folder.path(), Some(1)).unwrap().1.is_sound());
    let plain = tempfile::tempdir().unwrap();
    drop(open(plain.path(), None).unwrap());
    assert!(matches!(open(plain.path(), Some(1)), Err(OpenError::KeyUnused)));
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), None).unwrap();
    assert!(matches!(open(folder.path(), None), Err(OpenError::DataDir(DataDirError::InUse { .. }))));
    drop(first);
    assert!(open(folder.path(), None).is_ok());
}

/// The journal, and where in it record `number` lies.
fn journal(folder: &Path, number: u32) -> (PathBuf, usize) {
    let mut found = holding(folder, &format!("{SECRET} {number:08}"));
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn a_journal_cut_in_its_middle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path(), None).unwrap().0, 100);
    let (path, at) = journal(folder.path(), 60);
    fs::File::options().write(true).open(path).unwrap().set_len(at as u64).unwrap();
    let tail = Gap::Tail { shard: shard(), expected: Version(100), found: Version(60) };
    let checked = FjallStore::check(&DataDir::open(folder.path()).unwrap(), &options(None)).unwrap();
    assert_eq!((checked.opened.records, &checked.opened.gaps[..]), (60, &[tail][..]));
    let (store, opened) = open(folder.path(), None).unwrap();
    assert_eq!(opened.gaps, [tail]);
    assert_eq!(store.position(shard()).1, Version(100), "no version is used twice");
    drop(store);
    assert!(open(folder.path(), None).unwrap().1.is_sound(), "a loss is told once");
}

#[test]
fn a_flipped_octet_in_the_journal_is_never_passed_over() {
    for shift in [0, 8, 17, 24, 30, 40] {
        let folder = tempfile::tempdir().unwrap();
        fill(&open(folder.path(), None).unwrap().0, 100);
        let (path, at) = journal(folder.path(), 60);
        let mut octets = fs::read(&path).unwrap();
        octets[at - shift] ^= 0x20;
        fs::write(&path, octets).unwrap();
        match open(folder.path(), None) {
            Ok((_, opened)) => assert!(!opened.is_sound(), "{shift}"),
            Err(OpenError::Engine(EngineError::Fjall(_) | EngineError::Io(_) | EngineError::Panicked)) => {}
            Err(other) => panic!("{shift}: {other}"),
        }
    }
}

#[test]
fn an_export_with_content_can_be_imported_and_one_without_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path(), Some(1)).unwrap();
    fill(&store, 700);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    assert_eq!(export(&store, false, &mut without).unwrap(), 700);
    assert_eq!(export(&store, true, &mut with).unwrap(), 700);
    assert_eq!(without.iter().filter(|octet| **octet == b'\n').count(), 701);
    assert!(!String::from_utf8(without.clone()).unwrap().contains("value"));

    let other = MemoryStore::new();
    assert_eq!(import(&other, &mut &with[..]).unwrap(), 700);
    let key = 699_u32.to_be_bytes();
    let [a, b] = [&store as &dyn Store, &other].map(|s| s.get(shard(), Table::State, &key).unwrap().unwrap().value);
    assert_eq!(a, b);
    assert!(other.reopen().unwrap().1.is_sound());

    assert!(matches!(import(&other, &mut &with[..]), Err(PortableError::NotEmpty)));
    assert!(matches!(import(&MemoryStore::new(), &mut &without[..]), Err(PortableError::NoContent)));
    for (lines, line) in [(&b""[..], 1), (b"{}", 1), (b"{\"interlingua_store\":1,\"content\":true}\n{}\n", 2)] {
        let refused = import(&MemoryStore::new(), &mut &*lines);
        assert!(matches!(refused, Err(PortableError::Line { line: at, .. }) if at == line));
    }
}

#[test]
fn a_check_counts_what_it_does_not_understand() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path(), None).unwrap();
    store.acquire(shard(), Fence(1)).unwrap();
    let mut batch = Batch::new(shard(), Fence(1));
    batch.put(Table::Ledger, 1_u64.to_be_bytes(), "no entry");
    batch.put(Table::State, "key", "an adapter's own");
    commit_and_wait(&store, batch).unwrap();
    drop(store);
    let checked = FjallStore::check(&DataDir::open(folder.path()).unwrap(), &options(None)).unwrap();
    assert_eq!((checked.unreadable, checked.opened.records, checked.opened.is_sound()), (1, 2, true));
}

#[test]
fn what_was_deleted_leaves_the_disk_with_a_rewriting() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path(), Some(3)).unwrap();
    fill(&store, 300);
    let mut batch = Batch::new(shard(), store.position(shard()).0);
    batch.delete(Table::State, 7_u32.to_be_bytes());
    commit_and_wait(&store, batch).unwrap();
    let before = store.position(shard());
    drop(store);
    FjallStore::rewrite(&DataDir::open(folder.path()).unwrap()).unwrap();
    assert!(!folder.path().join("store.old").exists());
    let (store, opened) = open(folder.path(), Some(3)).unwrap();
    assert!(opened.is_sound() && opened.records == 299, "{opened:?}");
    assert_eq!(store.position(shard()), before);
    assert!(store.get(shard(), Table::State, &7_u32.to_be_bytes()).unwrap().is_none());
}

#[test]
fn a_rewriting_leaves_no_trace_of_what_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path(), None).unwrap();
    fill(&store, 3);
    let mut batch = Batch::new(shard(), store.position(shard()).0);
    (0..3_u32).for_each(|number| batch.delete(Table::State, number.to_be_bytes()));
    commit_and_wait(&store, batch).unwrap();
    drop(store);
    assert_eq!(holding(folder.path(), SECRET).len(), 1);
    FjallStore::rewrite(&DataDir::open(folder.path()).unwrap()).unwrap();
    assert_eq!(holding(folder.path(), SECRET), []);
}
