//! Ends on their way to the disk: those that come up while a commit of their shard is under way go together with the next, and
//! what is to be remembered of them is one record.

use std::sync::Arc;

use impp_model::Endpoint;
use serde::{Deserialize, Serialize};

use super::claims::Needless;
use super::deliver::log_failure;
use super::entry;
use super::passing;
use super::recall::{Recall, StoredRecall};
use super::{End, Ledger, LedgerError, OnceKey, Origin, Seq, Timestamp, encode};
use crate::api::{Batch, Committed, Completion, Expect, StoreError, Urgency};
use crate::key::{Shard, Table, Version};

/// Ends of one commit.
const MAX_ENDS: usize = 256;
/// What the keys of their records begin with; the others of the table are longer.
const PREFIX: [u8; 1] = *b"e";

/// What is remembered of the ends of one commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredEnds {
    /// When all of it may be forgotten.
    pub(crate) until: Timestamp,
    pub(crate) ends: Vec<StoredEnd>,
}

/// What is remembered of one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredEnd {
    pub(crate) end: End,
    pub(crate) once: Option<OnceKey>,
    pub(crate) recall: Option<(OnceKey, Recall)>,
}

/// The same as [`StoredEnds`], of what lies elsewhere.
#[derive(Serialize)]
struct EndsToStore<'a> {
    until: Timestamp,
    ends: Vec<EndToStore<'a>>,
}

/// The same as [`StoredEnd`].
#[derive(Serialize)]
struct EndToStore<'a> {
    end: &'a End,
    once: Option<OnceKey>,
    recall: Option<&'a (OnceKey, Recall)>,
}

/// What format 1 remembered of an end, in a record of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SingleEnd {
    pub(super) end: End,
    pub(super) until: Timestamp,
}

/// A record of the window without the recalls that name somebody: how many these are, and what is left of it, if anything;
/// `None` if there are none.
pub(crate) fn without_recalls(value: &[u8], names: impl Fn(&Endpoint) -> bool) -> Option<(u64, Option<Vec<u8>>)> {
    let about = |recall: &Recall| names(&recall.source) || names(&recall.destination);
    if let Ok(StoredRecall { recall, .. }) = entry::decode(value) {
        return about(&recall).then_some((1, None));
    }
    let mut stored: StoredEnds = entry::decode(value).ok()?;
    let mut removed = 0;
    for end in &mut stored.ends {
        removed += u64::from(end.recall.take_if(|(_, recall)| about(recall)).is_some());
    }
    (removed > 0).then(|| (removed, encode(&stored).ok()))
}

/// The key of the record that begins with the end of this entry.
fn key(first: Seq) -> Vec<u8> {
    [&PREFIX[..], &first.key()].concat()
}

/// Whether a key is one of those.
pub(crate) fn is_key(key: &[u8]) -> bool {
    key.strip_prefix(&PREFIX).is_some_and(|rest| rest.len() == size_of::<Seq>())
}

type Done = Box<dyn FnOnce(Result<Option<Seq>, LedgerError>) + Send>;

/// An end on its way to the disk.
pub(super) struct Ending {
    pub(super) seq: Seq,
    pub(super) end: End,
    pub(super) once: Option<OnceKey>,
    pub(super) recall: Option<(OnceKey, Recall)>,
    pub(super) until: Timestamp,
    /// The record of the entry.
    pub(super) stored: Expect,
    /// The record of its progress, if there may be one.
    pub(super) progress: Option<Expect>,
    /// Whether there may be a record that its sender was told that it waits.
    pub(super) warned: bool,
    pub(super) done: Done,
}

/// The gateway's own message to a sender, with its record.
pub(super) type Notice = (Seq, Vec<u8>);

/// The ends of one shard.
#[derive(Default)]
pub(super) struct Lane {
    waiting: Vec<Ending>,
    urgent: bool,
    under_way: bool,
}

impl Lane {
    /// What is to be written next, unless something is being written.
    fn next(&mut self) -> Option<(Vec<Ending>, Urgency)> {
        if self.under_way || self.waiting.is_empty() {
            return None;
        }
        self.under_way = true;
        let rest = self.waiting.split_off(self.waiting.len().min(MAX_ENDS));
        let ends = std::mem::replace(&mut self.waiting, rest);
        let urgency = if self.urgent { Urgency::Urgent } else { Urgency::WriteBehind };
        self.urgent &= !self.waiting.is_empty();
        Some((ends, urgency))
    }
}

/// Ends that are being written.
struct Written {
    shard: Shard,
    ends: Vec<Ending>,
    notice: Option<Seq>,
    /// The key of what is remembered of them, until when, and of how many.
    kept: Option<(Vec<u8>, Timestamp, usize)>,
    /// Whether they came through the shard's lane.
    in_lane: bool,
}

impl Ledger {
    /// Writes an end with the next commit of its shard.
    pub(super) fn write_end(self: &Arc<Self>, shard: Shard, ending: Ending, urgency: Urgency) {
        let next = self.lane(shard, |lane| {
            lane.urgent |= urgency == Urgency::Urgent;
            lane.waiting.push(ending);
            lane.next()
        });
        if let Some((ends, urgency)) = next.flatten() {
            self.write_ends(Written { shard, ends, notice: None, kept: None, in_lane: true }, None, urgency);
        }
    }

    /// Writes an end in a commit of its own, in its order among all commits.
    pub(super) fn write_end_apart(
        self: &Arc<Self>,
        shard: Shard,
        ending: Ending,
        notice: Option<Notice>,
        urgency: Urgency,
    ) {
        let (ends, noticed) = (vec![ending], notice.as_ref().map(|(seq, _)| *seq));
        self.write_ends(Written { shard, ends, notice: noticed, kept: None, in_lane: false }, notice, urgency);
    }

    fn lane<T>(&self, shard: Shard, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        self.lanes.get(shard.index()).map(|lane| change(&mut lane.lock()))
    }

    fn write_ends(self: &Arc<Self>, mut written: Written, notice: Option<Notice>, urgency: Urgency) {
        let batch = match self.batch_of_ends(&mut written, notice) {
            Ok(batch) => batch,
            Err(error) => return self.ends_written(written, Err(error)),
        };
        let ledger = Arc::clone(self);
        let completion = Completion::new(move |result: Result<_, StoreError>| {
            ledger.ends_written(written, result.map_err(LedgerError::from));
        });
        self.store.commit(batch, urgency, completion);
    }

    fn batch_of_ends(&self, written: &mut Written, notice: Option<Notice>) -> Result<Batch, LedgerError> {
        // Bounded: at most one end for each entry.
        let mut batch = self.batch(written.shard)?.essential();
        let (mut ends, mut until) = (Vec::new(), Timestamp::default());
        for ending in &written.ends {
            batch.delete_if(Table::Ledger, ending.seq.key(), ending.stored);
            if let Some(expect) = ending.progress {
                batch.delete_if(Table::Progress, ending.seq.key(), expect);
            }
            if ending.warned {
                batch.delete(Table::Progress, ending.seq.warned_key());
            }
            let once = ending.once.filter(|_| ending.end.answers_repeats());
            if once.is_some() || ending.recall.is_some() {
                until = until.max(ending.until);
                ends.push(EndToStore { end: &ending.end, once, recall: ending.recall.as_ref() });
            }
        }
        if let Some((seq, record)) = notice {
            batch.put_if(Table::Ledger, seq.key(), Expect::Sure(None), record);
        }
        if let Some(first) = written.ends.first().filter(|_| !ends.is_empty()) {
            // Last: its version is that of the commit.
            let (first, count) = (key(first.seq), ends.len());
            batch.put_if(Table::Window, first.as_slice(), Expect::Sure(None), encode(&EndsToStore { until, ends })?);
            written.kept = Some((first, until, count));
        }
        Ok(batch)
    }

    fn ends_written(self: &Arc<Self>, written: Written, result: Result<Committed, LedgerError>) {
        let Written { shard, ends, notice, kept, in_lane } = written;
        match &result {
            Ok(Committed { last }) => self.note_ends(shard, &ends, notice, kept, *last),
            // The disk has failed: the entries stay for the next start, which tells or tries again.
            Err(_) => notice.into_iter().for_each(|notice| drop(self.index.lock().remove(notice))),
        }
        if in_lane {
            let next = self.lane(shard, |lane| {
                lane.under_way = false;
                lane.next()
            });
            if let Some((ends, urgency)) = next.flatten() {
                self.write_ends(Written { shard, ends, notice: None, kept: None, in_lane }, None, urgency);
            }
        }
        for ending in ends {
            (ending.done)(result.clone().map(|_| notice));
        }
    }

    fn note_ends(
        &self,
        shard: Shard,
        ends: &[Ending],
        notice: Option<Seq>,
        kept: Option<(Vec<u8>, Timestamp, usize)>,
        last: Version,
    ) {
        let needless: Vec<_> = {
            // Under one lock, so that the equation holds for every reader.
            let mut index = self.index.lock();
            let mut needless = Vec::new();
            for ending in ends {
                // It is gone already if its append failed.
                let slot = index.remove(ending.seq);
                if slot.as_ref().is_none_or(|slot| slot.origin == Origin::Peer) {
                    index.totals.count(&ending.end);
                }
                needless.extend(index.claims.end(slot.and_then(|slot| slot.claim)));
            }
            if let Some(notice) = notice {
                index.durable(notice, Version(last.0 - u64::from(kept.is_some())));
            }
            needless
        };
        let mut recalls = self.recalls.lock();
        for ending in ends {
            if let Some((key, recall)) = &ending.recall {
                recalls.insert(*key, recall, ending.until, Some(shard));
            }
        }
        drop(recalls);
        let mut window = self.window.lock();
        for ending in ends {
            ending.once.into_iter().for_each(|once| window.done(once, &ending.end, ending.until));
        }
        drop(window);
        if let Some((key, until, weight)) = kept {
            let expect = Expect::Sure(Some(last));
            self.passing.lock().push(passing::Record { until, shard, key, expect, weight });
        }
        self.remove_needless(needless);
    }

    /// Deletes records of claims whose tries have all ended, which is on disk.
    pub(super) fn remove_needless(&self, needless: impl IntoIterator<Item = Needless>) {
        for Needless { shard, key, expect } in needless {
            let Ok(batch) = self.batch(shard) else { continue };
            let mut batch = batch.essential();
            batch.delete_if(Table::Progress, key, expect);
            self.store.commit(batch, Urgency::WriteBehind, Completion::new(|result| log_failure(result.map(drop))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{JULIET, ROMEO, key, recall};
    use super::*;
    use impp_model::Proof;

    #[test]
    fn what_names_a_person_leaves_a_record_and_the_rest_stays() {
        let end = |id: &str, source: &str| StoredEnd {
            end: End::Delivered(Proof::Server),
            once: Some(key(id)),
            recall: Some((key(id), recall(1, source))),
        };
        let stored = StoredEnds { until: Timestamp(9), ends: vec![end("1", ROMEO), end("2", "c@sip.example")] };
        let value = encode(&stored).unwrap();
        let is = |name: &'static str| move |end: &Endpoint| end.address.to_string() == name;
        assert!(without_recalls(&value, is("d@sip.example")).is_none());
        let (removed, rest) = without_recalls(&value, is(ROMEO)).unwrap();
        let rest: StoredEnds = entry::decode(&rest.unwrap()).unwrap();
        assert_eq!((removed, rest.ends.len(), rest.until), (1, 2, Timestamp(9)));
        let left: Vec<_> = rest.ends.into_iter().map(|end| (end.once, end.recall.map(|(_, recall)| recall))).collect();
        assert_eq!(left, [(Some(key("1")), None), (Some(key("2")), Some(recall(1, "c@sip.example")))]);
        assert_eq!(without_recalls(&value, is(JULIET)).unwrap().0, 2, "an addressee, too");
        let single = encode(&StoredRecall { recall: recall(1, ROMEO), until: Timestamp(9) }).unwrap();
        assert_eq!(without_recalls(&single, is(ROMEO)), Some((1, None)));
    }

    #[test]
    fn ends_that_come_up_while_one_is_written_go_together_and_urgently_if_one_is_urgent() {
        let ending = |number| Ending {
            seq: Seq(number),
            end: End::Expired,
            once: None,
            recall: None,
            until: Timestamp(9),
            stored: Expect::Anything,
            progress: None,
            warned: false,
            done: Box::new(|_| {}),
        };
        let mut lane = Lane::default();
        assert!(lane.next().is_none());
        lane.waiting.push(ending(0));
        assert!(matches!(lane.next(), Some((ends, Urgency::WriteBehind)) if ends.len() == 1));
        lane.waiting.extend((1..=MAX_ENDS as u64 + 1).map(ending));
        lane.urgent = true;
        assert!(lane.next().is_none(), "one commit of a shard at a time");
        lane.under_way = false;
        assert!(matches!(lane.next(), Some((ends, Urgency::Urgent)) if ends.len() == MAX_ENDS));
        lane.under_way = false;
        assert!(matches!(lane.next(), Some((ends, Urgency::Urgent)) if ends.len() == 1));
        assert!(!lane.urgent);
    }
}
