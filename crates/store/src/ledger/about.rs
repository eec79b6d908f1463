//! What a stored record is, for people: no address, no content.

use serde_json::{Value, json};

use super::End;
use super::claims::StoredClaims;
use super::ends::{SingleEnd, StoredEnds};
use super::entry::{self, Entry, Progress};
use super::recall::{StoredRecall, StoredTaken};
use super::totals::Checkpoint;
use crate::key::Table;

/// A description of a value of `table`; `None` where there is none, or the value is not understood.
pub(crate) fn about(table: Table, value: &[u8]) -> Option<Value> {
    match table {
        Table::Ledger => entry::decode::<Entry>(value).ok().map(|entry| about_entry(&entry)),
        Table::Progress => match entry::decode::<Progress>(value) {
            Ok(progress) => serde_json::to_value(progress).ok(),
            Err(_) => entry::decode::<StoredClaims>(value).ok().map(|stored| json!({ "claims": stored.claims.len() })),
        },
        Table::Window => about_window(value),
        Table::Totals => entry::decode::<Checkpoint>(value).ok().and_then(|c| serde_json::to_value(c).ok()),
        Table::State | Table::Trace => None,
    }
}

/// Whether a value of `table` is understood; true for what is not the ledger's.
pub(crate) fn is_readable(table: Table, value: &[u8]) -> bool {
    match table {
        // Of a warning only the key is stored.
        Table::Progress => value.is_empty() || about(table, value).is_some(),
        Table::Ledger | Table::Window | Table::Totals => about(table, value).is_some(),
        Table::State | Table::Trace => true,
    }
}

fn about_entry(entry: &Entry) -> Value {
    json!({
        "trace": format!("{:016x}", entry.trace),
        "kind": entry.operation.kind().label(),
        "source": entry.operation.source().address.domain().as_str(),
        "destination": entry.operation.destination().address.domain().as_str(),
        "origin": entry.origin,
        "class": entry.class,
        "instance": entry.near.instance,
        "hop": entry.hop,
        "created": entry.created,
        "expires": entry.expires,
    })
}

/// The kinds differ in the names of their fields; what all have stands in the last.
fn about_window(value: &[u8]) -> Option<Value> {
    let ends = entry::decode::<StoredEnds>(value).ok();
    let ends = ends.map(|stored| json!({ "ends": stored.ends.len(), "until": stored.until }));
    let single = || entry::decode::<SingleEnd>(value).ok().map(|stored| about_end(&stored));
    let recall = || entry::decode::<StoredRecall>(value).ok().map(|stored| about_recall(&stored));
    let taken =
        || entry::decode::<StoredTaken>(value).ok().map(|stored| json!({ "taken": true, "until": stored.until }));
    ends.or_else(single).or_else(recall).or_else(taken)
}

fn about_recall(stored: &StoredRecall) -> Value {
    json!({ "recall": format!("{:016x}", stored.recall.trace), "until": stored.until })
}

fn about_end(stored: &SingleEnd) -> Value {
    let (end, reason) = match &stored.end {
        End::Delivered(proof) => ("delivered", proof.label()),
        End::HandedOver => ("handed_over", ""),
        End::Failed(failure) => ("failed", failure.cause.code()),
        End::Expired => ("expired", ""),
    };
    json!({ "end": end, "reason": reason, "until": stored.until })
}
