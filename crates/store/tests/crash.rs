//! `kill -9` at random points under load: what was durable is there, in order, and nothing is undetected.
//!
//! `STORE_CRASH_ROUNDS` sets the number of rounds; without it 20.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use store::{DataDir, FjallStore, Ledger, Limits, Options, Seq, Shard, SteadyClock};

/// Rounds of the usual run; `tests/run --all` asks for more.
const ROUNDS: u64 = 20;

/// What the killed processes were told.
#[derive(Default)]
struct Book {
    /// Pair and number of each accepted entry that nobody began to settle.
    accepted: BTreeMap<Seq, (u64, u64)>,
    claimed: BTreeSet<Seq>,
    settled: BTreeSet<Seq>,
    appended: usize,
}

impl Book {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["append", seq, pair, number] => {
                self.appended += 1;
                self.accepted.insert(seq.parse().unwrap(), (pair.parse().unwrap(), number.parse().unwrap()));
            }
            ["claim", seq] => drop(self.claimed.insert(seq.parse().unwrap())),
            ["end", seq] => drop(self.accepted.remove(&seq.parse().unwrap())),
            ["settle", seq] => drop(self.settled.insert(seq.parse().unwrap())),
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn killed_under_load_nothing_accepted_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = std::env::var("STORE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut book = Book::default();
    for round in 0..rounds {
        // Some early, while the store is still new to its files, most under full load.
        let lines = (round + 1) * 7919 % 1_500 + 1;
        run_and_kill(folder.path(), round, lines, &mut book);
        look(folder.path(), round, &book);
    }
    assert!(book.appended as u64 > rounds * 50, "{} appended", book.appended);
}

/// Runs the load until it has written so many lines, kills it, and notes every whole line.
fn run_and_kill(folder: &Path, seed: u64, lines: u64, book: &mut Book) {
    let mut child = Command::new(program()).arg(folder).arg(seed.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for number in 0.. {
        if number == lines {
            child.kill().unwrap();
        }
        line.clear();
        output.read_line(&mut line).unwrap();
        match line.strip_suffix('\n') {
            Some(whole) => book.note(whole),
            None => break,
        }
    }
    assert!(!child.wait().unwrap().success());
}

fn look(folder: &Path, round: u64, book: &Book) {
    let options = Options { disk_reserve: 0, ..Options::default() };
    let (store, opened) = FjallStore::open(DataDir::open(folder).unwrap(), &options).unwrap();
    assert!(opened.is_sound(), "round {round}: {opened:?}");
    let now = SteadyClock::start().now();
    let (ledger, recovered) = Ledger::open(Arc::new(store), Shard::all(), Limits::default(), now).unwrap();
    assert_eq!((recovered.unreadable, recovered.clock_back), (0, None));
    let there: BTreeMap<Seq, _> = ledger.list(None, usize::MAX).into_iter().map(|item| (item.seq, item)).collect();
    let mut last_of_pair = BTreeMap::new();
    for seq in there.keys() {
        let entry = ledger.get(*seq).unwrap();
        let pair = entry.operation.source().address.local().to_owned();
        let before = last_of_pair.insert(pair, entry.trace);
        assert!(before.is_none_or(|before| before < entry.trace), "round {round}: order of {seq}");
        assert!(!book.settled.contains(seq), "round {round}: {seq} is back");
    }
    for (seq, (pair, number)) in &book.accepted {
        let item = there.get(seq).unwrap_or_else(|| panic!("round {round}: {seq} is lost"));
        assert_eq!(item.trace, *number);
        assert_eq!(ledger.get(*seq).unwrap().operation.source().address.local(), format!("user{pair}"));
        assert!(item.uncertain || !book.claimed.contains(seq), "round {round}: {seq} would be an unflagged repeat");
    }
    assert_eq!(ledger.totals().pending as usize, there.len());
}

/// The example, which `cargo test` builds beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/ledger_crash");
    assert!(program.exists(), "cargo build -p store --examples");
    program
}
