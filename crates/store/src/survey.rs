//! The look at every record when a store is opened: what is damaged, lost or brought back is found and told, never passed over.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::api::{Damage, EngineError};
use crate::core::{Heads, head_place};
use crate::engine::{Engine, Space, Write};
use crate::frame;
use crate::head::{Head, Sum};
use crate::key::{Shard, Table, Version, split_engine_key};

/// Damaged records that a report names one by one; all are counted.
pub const MAX_DAMAGED_NAMED: usize = 1000;

/// What opening a store found. Anything in `gaps` or `damaged` is loss that an operator must hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Sound records.
    pub records: u64,
    /// Where records are missing, changed or back from the past.
    pub gaps: Vec<Gap>,
    /// Damaged records, at most [`MAX_DAMAGED_NAMED`] of them; opening to write puts them aside, as they are.
    pub damaged: Vec<DamagedRecord>,
    /// How many damaged records there are.
    pub damaged_count: u64,
    /// Damaged records that earlier starts have put aside.
    pub put_aside: u64,
    /// The format that was migrated from, when it was an older one.
    pub migrated_from: Option<u32>,
}

impl Opened {
    /// Whether nothing is missing or damaged.
    pub fn is_sound(&self) -> bool {
        self.gaps.is_empty() && self.damaged_count == 0
    }
}

/// A difference between what a shard should hold and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Gap {
    /// Records of a table are not those that were committed.
    #[error("shard {shard}, table {}: {found} records where {expected} were committed", table.name())]
    Records {
        /// The shard.
        shard: Shard,
        /// The table.
        table: Table,
        /// How many were committed.
        expected: u64,
        /// How many are there and sound.
        found: u64,
        /// When exactly one is missing: the write that made it.
        missing: Option<Version>,
    },
    /// The latest commits are missing.
    #[error("shard {shard}: version {} is the latest where {} was durable", found.0, expected.0)]
    Tail {
        /// The shard.
        shard: Shard,
        /// What was durable.
        expected: Version,
        /// What is there.
        found: Version,
    },
    /// The shard's own sums are damaged: nothing can be said about its records.
    #[error("shard {shard}: its sums are damaged")]
    Sums {
        /// The shard.
        shard: Shard,
    },
}

/// A record that can't be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// Its table.
    pub table: Table,
    /// Its key, after two octets for the shard.
    pub key: Bytes,
    /// What is wrong.
    pub damage: Damage,
}

/// Looks at every record.
pub(crate) fn survey<E: Engine>(
    engine: &E,
    watermark: Option<&[u64]>,
    looked: &AtomicU64,
) -> Result<(Opened, Heads), EngineError> {
    let mut opened = Opened::default();
    let mut found = Heads::default();
    for table in Table::ALL {
        walk_table(engine, table, &mut found, &mut opened, looked)?;
    }
    engine.scan(Space::Damaged, b"", None, |_, _| {
        opened.put_aside += 1;
        ControlFlow::Continue(())
    })?;
    for shard in Shard::all() {
        let noted = watermark.and_then(|last| last.get(shard.index())).copied().unwrap_or(0);
        if let Some(head) = found.get_mut(shard.index()) {
            compare(engine, shard, noted, head, &mut opened.gaps)?;
        }
    }
    Ok((opened, found))
}

fn walk_table<E: Engine>(
    engine: &E,
    table: Table,
    found: &mut Heads,
    opened: &mut Opened,
    looked: &AtomicU64,
) -> Result<(), EngineError> {
    engine.scan(Space::Table(table), b"", None, |whole, octets| {
        looked.fetch_add(1, Ordering::Relaxed);
        let head = split_engine_key(whole).and_then(|(shard, _)| found.get_mut(shard.index()));
        match (frame::verify(whole, octets), head) {
            (Ok((header, _)), Some(head)) => {
                opened.records += 1;
                head.last = head.last.max(header.version);
                head.sum_mut(table).into_iter().for_each(|sum| sum.add(header.version));
            }
            (Ok(_), None) => opened.note(table, whole, Damage::Header),
            (Err(damage), _) => opened.note(table, whole, damage),
        }
        ControlFlow::Continue(())
    })
}

impl Opened {
    fn note(&mut self, table: Table, whole: &[u8], damage: Damage) {
        self.damaged_count += 1;
        if self.damaged.len() < MAX_DAMAGED_NAMED {
            self.damaged.push(DamagedRecord { table, key: Bytes::copy_from_slice(whole), damage });
        }
    }
}

/// Compares a shard's head on disk with what was found, and completes the latter.
fn compare<E: Engine>(
    engine: &E,
    shard: Shard,
    noted: u64,
    found: &mut Head,
    gaps: &mut Vec<Gap>,
) -> Result<(), EngineError> {
    let read = engine.read(Space::Heads, &head_place(shard).1, Head::decode)?;
    let head = match read {
        Some(Some(head)) => head,
        Some(None) => {
            gaps.push(Gap::Sums { shard });
            Head { sums: found.sums, last: found.last, ..Head::default() }
        }
        None => Head::default(),
    };
    for (table, (expected, found)) in Table::ALL.into_iter().zip(head.sums.iter().zip(&found.sums)) {
        if expected != found {
            gaps.push(records_gap(shard, table, *expected, *found));
        }
    }
    if head.last < noted {
        gaps.push(Gap::Tail { shard, expected: Version(noted), found: Version(head.last) });
    }
    found.fence = head.fence;
    // A version is never used twice, not even one whose record was lost.
    found.last = found.last.max(head.last).max(noted);
    Ok(())
}

fn records_gap(shard: Shard, table: Table, expected: Sum, found: Sum) -> Gap {
    let one_missing = expected.count == found.count.wrapping_add(1);
    let missing = one_missing.then(|| Version(expected.versions.wrapping_sub(found.versions)));
    Gap::Records { shard, table, expected: expected.count, found: found.count, missing }
}

/// Takes what was found as the state from here on: damaged records are put aside, the heads say what is there.
///
/// So a loss is told once; what is found later is new.
pub(crate) fn accept<E: Engine>(engine: &E, opened: &Opened, heads: &Heads) -> Result<(), EngineError> {
    let mut writes: Vec<Write> = Vec::new();
    for record in &opened.damaged {
        let octets = engine.read(Space::Table(record.table), &record.key, <[u8]>::to_vec)?;
        let mut aside = vec![record.table.index() as u8];
        aside.extend_from_slice(&record.key);
        writes.push(((Space::Damaged, aside), octets));
        writes.push(((Space::Table(record.table), record.key.to_vec()), None));
    }
    writes.extend(Shard::all().zip(heads).map(|(shard, head)| (head_place(shard), Some(head.encode()))));
    engine.apply(&writes)
}
