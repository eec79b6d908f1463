//! `store forget`: everything that is stored about one person goes.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use impp_model::{Address, Cause, Failure, Operation, Side};

use crate::api::{Batch, MAX_OPERATIONS, Store, StoreError, Urgency, commit_and_wait};
use crate::key::{Shard, Table};
use crate::ledger::{End, Ledger, LedgerError, Limits, Origin, Seq, Timestamp, walk, without_recalls};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Messages from or to the person that waited: they count as failed, and as untold.
    pub messages: u64,
    /// Other records that name the person.
    pub records: u64,
}

/// Entries looked at together.
const PAGE: usize = 1000;
/// Records written anew in one commit.
const REWRITTEN: usize = 64;

/// Ends the messages from and to `address` undelivered and removes every other record that names it. Takes over all shards
/// and waits for the disk.
///
/// Nobody is told: a notice would name the person. Ends in the window of repeats stay until their time is over; they hold
/// hashes alone. Traces name domains, ids of messages and peers; one goes if such an id has the address in it.
pub fn forget(store: &Arc<dyn Store>, address: &Address, now: Timestamp) -> Result<Forgotten, LedgerError> {
    let (ledger, _) = Ledger::open(Arc::clone(store), Shard::all(), Limits::default(), now)?;
    let mut forgotten = Forgotten::default();
    let mut after = None;
    loop {
        let page = ledger.list(after, PAGE);
        let Some(last) = page.last() else { break };
        after = Some(last.seq);
        for item in page {
            match end(&ledger, item.seq, address, now)? {
                Some(Origin::Peer) => forgotten.messages += 1,
                Some(Origin::Gateway | Origin::Warning) => forgotten.records += 1,
                None => {}
            }
        }
    }
    ledger.checkpoint(now, true);
    for shard in Shard::all() {
        for table in [Table::State, Table::Trace] {
            forgotten.records += remove(&**store, shard, table, address)?;
        }
        forgotten.records += remove_recalls(&**store, shard, address)?;
    }
    Ok(forgotten)
}

/// Ends an entry if it concerns the person; returns whose it was.
fn end(ledger: &Arc<Ledger>, seq: Seq, address: &Address, now: Timestamp) -> Result<Option<Origin>, LedgerError> {
    let entry = match ledger.get(seq) {
        Ok(entry) => entry,
        Err(LedgerError::Unreadable(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_told_of = entry.origin != Origin::Peer && tells_of(&entry.operation, address);
    if !is_told_of && !concerns(&entry.operation, address) {
        return Ok(None);
    }
    ledger.take(seq)?;
    let failure = Failure::new(Side::Ours, Cause::PolicyDenied).with_text("removed by an operator");
    let (sender, ended) = sync_channel(1);
    // An error means that nobody waits.
    let done = move |result| drop(sender.send(result));
    ledger.settle(seq, End::Failed(Box::new(failure)), now, Urgency::Urgent, done)?;
    ended.recv().unwrap_or(Err(StoreError::Closed.into()))?;
    if entry.origin == Origin::Peer {
        ledger.count_untold();
    }
    Ok(Some(entry.origin))
}

/// Whether the gateway's own text has the person's name in it.
fn tells_of(operation: &Operation, address: &Address) -> bool {
    let Operation::Message(message) = operation else { return false };
    let text = message.message.content.as_text().unwrap_or_default();
    names(text.as_bytes(), address)
}

fn concerns(operation: &Operation, address: &Address) -> bool {
    operation.source().address == *address || operation.destination().address == *address
}

fn remove(store: &dyn Store, shard: Shard, table: Table, address: &Address) -> Result<u64, StoreError> {
    let mut keys = Vec::new();
    walk(store, shard, table, |key, record| {
        if names(&record.value, address) {
            keys.push(key.to_vec());
        }
    })?;
    let removed = keys.len() as u64;
    for some in keys.chunks(MAX_OPERATIONS) {
        let mut batch = Batch::new(shard, store.position(shard).0).essential();
        some.iter().for_each(|key| batch.delete(table, key.as_slice()));
        commit_and_wait(store, batch)?;
    }
    Ok(removed)
}

/// Removes what tells a late error about a message from or to the person, and leaves the rest of the record it stands in.
fn remove_recalls(store: &dyn Store, shard: Shard, address: &Address) -> Result<u64, StoreError> {
    let (mut removed, mut changed) = (0, Vec::new());
    walk(store, shard, Table::Window, |key, record| {
        if let Some((count, rest)) = without_recalls(&record.value, |end| end.address == *address) {
            removed += count;
            changed.push((key.to_vec(), rest));
        }
    })?;
    for some in changed.chunks(REWRITTEN) {
        let mut batch = Batch::new(shard, store.position(shard).0).essential();
        for (key, rest) in some {
            match rest {
                Some(rest) => batch.put(Table::Window, key.as_slice(), rest.as_slice()),
                None => batch.delete(Table::Window, key.as_slice()),
            }
        }
        commit_and_wait(store, batch)?;
    }
    Ok(removed)
}

/// Whether `octets`, of a form that only their owner knows, hold `address` as one of its own: not as a part of a longer one.
pub fn names(octets: &[u8], address: &Address) -> bool {
    let name = address.to_string();
    // As it stands in JSON.
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    holds(octets, name.as_bytes()) || (escaped != name && holds(octets, escaped.as_bytes()))
}

fn holds(octets: &[u8], name: &[u8]) -> bool {
    let found = octets.windows(name.len()).enumerate().filter(|(_, window)| *window == name);
    found.into_iter().any(|(at, _)| {
        let (before, rest) = octets.split_at_checked(at).unwrap_or_default();
        let after = rest.get(name.len()).copied();
        let starts = !before.last().copied().is_some_and(is_local);
        let ends = !after.is_some_and(|octet| octet.is_ascii_alphanumeric() || b".-".contains(&octet));
        (starts && ends) || is_counted(before, name.len())
    })
}

/// Octets that stand in local parts as they are; those of other scripts have their high bit set.
fn is_local(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b".-_~!$&'()*+,;=%".contains(&octet) || octet >= 0x80
}

/// Whether MessagePack's header of a text of this length comes right before it (JSON has quotes, which are no part of a name).
fn is_counted(before: &[u8], length: usize) -> bool {
    match (before, u8::try_from(length)) {
        ([.., 0xd9, counted], Ok(length)) => *counted == length,
        ([.., header], Ok(length @ 0..32)) => *header == 0xa0 | length,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_tells_of_whom_its_text_names() {
        let mut operation = crate::ledger::testkit::entry("gateway@gw.example", "juliet@sip.example").operation;
        let Operation::Message(message) = &mut operation else { panic!() };
        message.message.content = impp_model::Content::text("Your message to romeo@sip.example of now waits.");
        let tells = |name: &str| tells_of(&operation, &name.parse().unwrap());
        assert!(tells("romeo@sip.example") && !tells("juliet@sip.example") && !tells("omeo@sip.example"));
    }

    #[test]
    fn an_address_is_found_whole_and_in_every_form() {
        let packed = rmp_serde::to_vec_named(&serde_json::json!({"peer": "romeo@sip.example", "next": 97})).unwrap();
        let long = format!("{}@sip.example", "r".repeat(60));
        let packed_long = rmp_serde::to_vec_named(&serde_json::json!({ "peer": long, "n": 98 })).unwrap();
        let (romeo, long) = ("romeo@sip.example".parse().unwrap(), long.parse().unwrap());
        assert!(names(&packed, &romeo) && names(&packed_long, &long));
        for text in [
            "romeo@sip.example",
            "{\"a\":\"romeo@sip.example/phone\"}",
            "sip:romeo@sip.example;ob",
            "<romeo@sip.example>",
        ] {
            assert!(names(text.as_bytes(), &romeo), "{text}");
        }
        for local in ["d\"artagnan", "\"", "a\\b", "\\"] {
            let odd = Address::new(local, "sip.example".parse().unwrap()).unwrap();
            let record = serde_json::json!({ "from": odd.to_string(), "n": 7 });
            assert!(names(&serde_json::to_vec(&record).unwrap(), &odd), "{odd}");
            assert!(names(&rmp_serde::to_vec_named(&record).unwrap(), &odd), "{odd}");
        }
        for text in ["a.romeo@sip.example", "romeo@sip.example.org", "öromeo@sip.example", "romeo@sip.exampl", ""] {
            assert!(!names(text.as_bytes(), &romeo), "{text}");
        }
    }
}
