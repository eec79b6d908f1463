//! `interlingua store`, and what `serve` and `check` say of data directories and keys.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use common::{Run, run, text};
use impp_model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation};
use store::{
    Batch, Class, DataDir, Entry, FjallStore, Ledger, Limits, Migration, Near, Options, Origin, SealKey, Shard, Store,
    Table, Timestamp, Urgency, commit_and_wait,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const SECRET: &str = "wherefore art thou";

fn entry(from: &str, to: &str) -> Entry {
    let operation = Operation::Message(Box::new(MessageOperation {
        source: Endpoint::bare(from.parse().unwrap()),
        destination: Endpoint::bare(to.parse().unwrap()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t1".into(),
        message: InstantMessage::new(Content::text(SECRET)),
    }));
    Entry {
        trace: 7,
        operation,
        origin: Origin::Peer,
        near: Near { instance: "sip".into(), reply: Bytes::new() },
        hop: None,
        class: Class::Spool,
        created: NOW,
        expires: Timestamp::NEVER,
        warn: None,
        next_try: NOW,
        attempts: 1,
        uncertain: false,
        once: None,
    }
}

/// A data directory with three messages and two records of an adapter.
struct Folder {
    root: tempfile::TempDir,
    key: Option<PathBuf>,
}

impl Folder {
    fn new(key: Option<u8>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("data.key");
        if let Some(key) = key {
            fs::write(&file, format!("{key:02x}").repeat(32)).unwrap();
        }
        Self { key: key.map(|_| file), root }
    }

    fn filled(key: Option<u8>) -> Self {
        let folder = Self::new(key);
        let options = Options { key: key.map(|octet| SealKey::new([octet; 32])), ..Options::default() };
        let (store, _) = FjallStore::open(DataDir::open(&folder.data()).unwrap(), &options).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let (ledger, _) = Ledger::open(store.clone(), Shard::all(), Limits::default(), NOW).unwrap();
        for (from, to) in [
            ("romeo@a.example", "juliet@b.example"),
            ("nurse@b.example", "romeo@a.example"),
            ("a@c.example", "b@d.example"),
        ] {
            let (sender, done) = std::sync::mpsc::channel();
            ledger
                .append(&entry(from, to), Urgency::Urgent, move |result| sender.send(result.is_ok()).unwrap())
                .unwrap();
            assert!(done.recv().unwrap());
        }
        let shard = Shard::new(3).unwrap();
        let mut batch = Batch::new(shard, store.position(shard).0);
        batch.put(Table::State, "1", "{\"peer\":\"romeo@a.example\"}");
        batch.put(Table::State, "2", "{\"peer\":\"xromeo@a.example\"}");
        commit_and_wait(&*store, batch).unwrap();
        folder
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Runs `store` on it.
    fn store(&self, args: &[&str]) -> Run {
        self.store_of(&self.data(), args)
    }

    fn store_of(&self, data: &Path, args: &[&str]) -> Run {
        let mut all = vec!["store"];
        all.extend(args);
        all.extend(["--data-dir", data.to_str().unwrap()]);
        all.extend(self.key.iter().flat_map(|key| ["--data-key-file", key.to_str().unwrap()]));
        run(&all)
    }

    /// A configuration that uses it.
    fn config(&self, keys: &str) -> PathBuf {
        let file = self.root.path().join("gateway.toml");
        let text = format!(
            "[gateway]\nname = \"gw.example.net\"\ndata_dir = \"data\"\n{keys}\n[admin]\nlisten = \"127.0.0.1:0\"\n"
        );
        fs::write(&file, text).unwrap();
        file
    }
}

#[test]
fn a_sound_store_is_checked_and_a_damaged_one_is_told() {
    let folder = Folder::filled(None);
    let checked = folder.store(&["check", "--json"]);
    let found = checked.json();
    assert_eq!((checked.code, &found["ok"], &found["records"]), (0, &true.into(), &5.into()), "{found}");
    let journal = folder.data().join("store/fjall/0.jnl");
    let octets = fs::read(&journal).unwrap();
    let at = octets.windows(SECRET.len()).rposition(|window| window == SECRET.as_bytes()).unwrap();
    fs::write(&journal, &octets[..at]).unwrap();
    let checked = folder.store(&["check", "--json"]);
    let found = checked.json();
    assert_eq!((checked.code, &found["ok"]), (1, &false.into()), "{found}");
    assert!(!common::list(&found, "gaps").is_empty(), "{found}");
}

#[test]
fn an_export_moves_to_a_store_with_a_key() {
    let plain = Folder::filled(None);
    let out = plain.root.path().join("export.jsonl");
    let exported = plain.store(&["export", "--content", "--output", out.to_str().unwrap(), "--json"]);
    assert_eq!((exported.code, &exported.json()["records"]), (0, &5.into()));
    let again = plain.store(&["export", "--output", out.to_str().unwrap()]);
    assert_eq!(again.code, 1, "nothing is overwritten");
    let shown = plain.store(&["export"]);
    assert_eq!((shown.code, shown.stdout.lines().count()), (0, 6));
    assert!(!shown.stdout.contains("romeo") && shown.stdout.contains("a.example"), "domains alone: {}", shown.stdout);

    let sealed = Folder::new(Some(9));
    let imported = sealed.store(&["import", out.to_str().unwrap(), "--json"]);
    assert_eq!((imported.code, &imported.json()["records"]), (0, &5.into()), "{}", imported.stderr);
    let checked = sealed.store(&["check", "--json"]).json();
    assert_eq!((&checked["encrypted"], &checked["records"]), (&true.into(), &5.into()));
    assert_eq!(sealed.store(&["import", out.to_str().unwrap()]).code, 1, "only into an empty store");
    let missing = sealed.store_of(&sealed.root.path().join("nowhere"), &["check"]);
    assert!(missing.code == 1 && missing.stderr.contains("no store"), "{}", missing.stderr);
}

#[test]
fn a_forgotten_person_is_nowhere_in_the_files() {
    let folder = Folder::filled(None);
    let forgotten = folder.store(&["forget", "romeo@a.example", "--json"]);
    let found = forgotten.json();
    assert_eq!((&found["messages"], &found["records"]), (&2.into(), &1.into()), "{}", forgotten.stderr);
    let left = folder.store(&["export", "--content"]);
    let decoded: Vec<_> = left.stdout.lines().filter(|line| line.contains("\"table\":\"ledger\"")).collect();
    assert_eq!(decoded.len(), 1, "{}", left.stdout);
    let totals = left.stdout.lines().find(|line| line.contains("\"table\":\"totals\"")).unwrap();
    assert!(totals.contains("\"failed\":2") && totals.contains("\"untold\":2"), "{totals}");
    for form in [&b"\"romeo@a.example"[..], b"\xafromeo@a.example"] {
        assert!(!holds(&folder.data(), form));
    }
    assert!(holds(&folder.data(), b"xromeo@a.example"));
    assert_eq!(folder.store(&["forget", "@"]).code, 1);
    assert_eq!(folder.store(&["forget", "romeo@a.example", "--json"]).json()["messages"], 0);
}

#[test]
fn a_migrated_store_keeps_its_messages_and_a_copy_that_the_older_version_reads() {
    let folder = Folder::filled(None);
    let next = store::FORMAT + 1;
    let step = Migration { from: store::FORMAT, run: |copy| fs::write(copy.join("migrated"), "") };
    let data_dir = DataDir::open_format(&folder.data(), next, &[step]).unwrap();
    let (migrated, opened) = FjallStore::open(data_dir, &Options::default()).unwrap();
    assert_eq!(opened.migrated_from, Some(store::FORMAT));
    let migrated: Arc<dyn Store> = Arc::new(migrated);
    let (ledger, _) = Ledger::open(migrated.clone(), Shard::all(), Limits::default(), NOW).unwrap();
    assert_eq!(ledger.totals().pending, 3);
    drop((ledger, migrated));

    // This version is the older one of that format: it says so, and touches nothing.
    let config = folder.config("");
    for refused in [run(&["serve", "--config", config.to_str().unwrap()]), folder.store(&["check"])] {
        assert!(refused.code == 1 && refused.stderr.contains("a newer one"), "{}", refused.stderr);
    }
    assert!(folder.data().join("store/migrated").exists());

    // The way back.
    fs::remove_dir_all(folder.data().join("store")).unwrap();
    fs::rename(folder.data().join(format!("store.format-{}", store::FORMAT)), folder.data().join("store")).unwrap();
    let checked = folder.store(&["check", "--json"]);
    assert_eq!((checked.code, &checked.json()["records"]), (0, &5.into()), "{}", checked.stderr);
}

/// Whether a file in a folder holds these octets.
fn holds(folder: &Path, octets: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, octets)
        } else {
            fs::read(&path).unwrap().windows(octets.len()).any(|w| w == octets)
        }
    })
}

#[test]
fn a_key_is_configured_and_another_one_refused() {
    let folder = Folder::filled(Some(1));
    let check = |keys: &str| run(&["check", "--json", "--config", folder.config(keys).to_str().unwrap()]);
    let serve = |keys: &str| run(&["serve", "--config", folder.config(keys).to_str().unwrap()]);
    let warned = check("").json();
    assert!(common::list(&warned, "warnings").iter().any(|w| text(w, "key") == "gateway.data_dir"), "{warned}");
    let good = check("data_key_file = \"data.key\"");
    assert_eq!(good.code, 0);
    assert!(!common::list(&good.json(), "warnings").iter().any(|w| text(w, "key").starts_with("gateway")));
    assert_eq!(check("data_key_file = \"nowhere.key\"").code, 1);
    assert_eq!(check("data_key_file = \"gateway.toml\"").code, 1, "no key");
    assert_eq!(check("[gateway.limits]\nmessages = 0").code, 1);

    fs::write(folder.root.path().join("other.key"), "02".repeat(32)).unwrap();
    let wrong = serve("data_key_file = \"other.key\"");
    assert!(wrong.code == 1 && wrong.stderr.contains("encrypted with another key"), "{}", wrong.stderr);
    let none = serve("");
    assert!(none.code == 1 && none.stderr.contains("no key is configured"), "{}", none.stderr);
    let config = folder.config("data_key_file = \"data.key\"");
    assert_eq!(run(&["store", "check", "--config", config.to_str().unwrap()]).code, 0);
}

#[test]
fn other_formats_and_a_directory_in_use_are_refused_with_a_remedy() {
    let folder = Folder::filled(None);
    let format = folder.data().join("store/FORMAT");
    for (number, said) in [(99, "a newer one"), (0, "migrate")] {
        fs::write(&format, format!("{number}\n")).unwrap();
        let refused = run(&["serve", "--config", folder.config("").to_str().unwrap()]);
        assert!(refused.code == 1 && refused.stderr.contains(said), "{}", refused.stderr);
        assert_eq!(fs::read_to_string(&format).unwrap().trim(), number.to_string(), "left alone");
    }
    fs::write(&format, format!("{}\n", store::FORMAT)).unwrap();
    let _held = DataDir::open(&folder.data()).unwrap();
    let busy = folder.store(&["check"]);
    let own = format!("process {}", std::process::id());
    assert!(busy.code == 1 && busy.stderr.contains(&own), "{}", busy.stderr);
}
