//! What a stored record is, for people: no address, no content.

use serde_json::{Value, json};

use super::End;
use super::entry::{self, Entry, Progress};
use super::recall::StoredRecall;
use super::totals::Checkpoint;
use super::window::StoredEnd;
use crate::key::Table;

/// A description of a value of `table`; `None` where there is none, or the value is not understood.
pub(crate) fn about(table: Table, value: &[u8]) -> Option<Value> {
    match table {
        Table::Ledger => entry::decode::<Entry>(value).ok().map(|entry| about_entry(&entry)),
        Table::Progress => entry::decode::<Progress>(value).ok().and_then(|p| serde_json::to_value(p).ok()),
        Table::Window => match entry::decode::<StoredEnd>(value) {
            Ok(stored) => Some(about_end(&stored)),
            Err(_) => entry::decode::<StoredRecall>(value).ok().map(|stored| about_recall(&stored)),
        },
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

fn about_recall(stored: &StoredRecall) -> Value {
    json!({ "recall": format!("{:016x}", stored.recall.trace), "until": stored.until })
}

fn about_end(stored: &StoredEnd) -> Value {
    let (end, reason) = match &stored.end {
        End::Delivered(proof) => ("delivered", proof.label()),
        End::HandedOver => ("handed_over", ""),
        End::Failed(failure) => ("failed", failure.cause.code()),
        End::Expired => ("expired", ""),
    };
    json!({ "end": end, "reason": reason, "until": stored.until })
}
