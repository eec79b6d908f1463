//! Tries and ends: claim, postpone, settle.

use std::sync::Arc;

use impp_model::Cause;

use super::entry::{self, Progress, Stored};
use super::index::{Slot, State};
use super::recall::{Recall, StoredRecall};
use super::window::StoredEnd;
use super::{Class, End, Entry, Ledger, LedgerError, OnceKey, Seq, Timestamp, encode, encode_entry, take_in};
use crate::api::{Batch, Committed, Completion, Expect, StoreError, Urgency};
use crate::key::{Table, Version};

/// An entry to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Its number.
    pub seq: Seq,
    /// The entry as it was appended.
    pub entry: Entry,
    /// Tries so far, this one included.
    pub attempts: u32,
    /// Whether an earlier try may have reached the far side: what is sent must carry the same ids, flagged and counted.
    pub repeat: bool,
    /// The number of tries before the one whose ids the far side is to see: this one, or the first that may have arrived.
    pub edition: u32,
}

/// How an entry ends, with what goes into the same commit.
#[derive(Debug, Clone)]
pub struct Conclusion<'a> {
    /// The end.
    pub end: End,
    /// The gateway's own message to the sender.
    pub notice: Option<&'a Entry>,
    /// For telling the sender of a late error, under the id by which the far side knows the message.
    pub recall: Option<(OnceKey, Recall)>,
}

impl From<End> for Conclusion<'_> {
    fn from(end: End) -> Self {
        Self { end, notice: None, recall: None }
    }
}

impl Ledger {
    /// Takes an entry for a try. `done` hears when the claim is durable: from then on it may be sent.
    ///
    /// Only the first of a pair, and only while it waits. After an error that is returned `done` is not called. A claim that
    /// fails leaves the entry waiting. For `done` as for [`append`](Self::append).
    pub fn claim(
        self: &Arc<Self>,
        seq: Seq,
        done: impl FnOnce(Result<Claimed, LedgerError>) + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (progress, expect, repeat) = self.start_claim(seq)?;
        let entry = match self.get(seq) {
            Ok(entry) => entry,
            Err(error @ LedgerError::Unreadable(_)) => {
                self.set_state(seq, State::Claimed);
                return Err(error);
            }
            Err(error) => return Err(self.unclaim(seq, error)),
        };
        let claimed = Claimed { seq, entry, attempts: progress.attempts, repeat, edition: progress.edition };
        let ledger = Arc::clone(self);
        let completion = Completion::new(move |result| done(ledger.claim_done(claimed, result)));
        // Bounded: at most one for each entry.
        let mut batch = self.batch_of(seq)?.essential();
        batch.put_if(Table::Progress, seq.key(), expect, encode(&progress)?);
        self.store.commit(batch, Urgency::Urgent, completion);
        Ok(())
    }

    fn start_claim(&self, seq: Seq) -> Result<(Progress, Expect, bool), LedgerError> {
        let mut index = self.index.lock();
        let slot = index.get(seq)?;
        if slot.state != State::Waiting {
            return Err(LedgerError::WrongState { seq, state: slot.state });
        }
        if !index.is_first(seq, slot) {
            return Err(LedgerError::NotFirst(seq));
        }
        index.change(seq, |slot| {
            slot.state = State::Claiming;
            let expect = std::mem::replace(&mut slot.progress_stored, Stored::Unknown).expect();
            slot.uncertain_before = slot.progress.uncertain;
            if !slot.uncertain_before {
                slot.progress.edition = slot.progress.attempts;
            }
            slot.progress.uncertain = true;
            slot.progress.attempts = slot.progress.attempts.saturating_add(1);
            (slot.progress, expect, slot.uncertain_before)
        })
    }

    fn claim_done(&self, claimed: Claimed, result: Result<Committed, StoreError>) -> Result<Claimed, LedgerError> {
        match result {
            Ok(committed) => {
                // An entry that is gone needs no state.
                let _ = self.index.lock().change(claimed.seq, |slot| {
                    slot.state = State::Claimed;
                    slot.progress_stored = Stored::As(committed.last);
                });
                Ok(claimed)
            }
            Err(error) => Err(self.unclaim(claimed.seq, error.into())),
        }
    }

    /// Undoes the start of a claim.
    fn unclaim(&self, seq: Seq, error: LedgerError) -> LedgerError {
        // An entry that is gone needs no state.
        let _ = self.index.lock().change(seq, |slot| {
            slot.state = State::Waiting;
            slot.progress.uncertain = slot.uncertain_before;
            slot.progress.attempts = slot.progress.attempts.saturating_sub(1);
        });
        error
    }

    fn set_state(&self, seq: Seq, state: State) {
        // An entry that is gone needs no state.
        let _ = self.index.lock().change(seq, |slot| slot.state = state);
    }

    /// Lets a claimed entry wait until `next_try`; one of the journal goes to the spool.
    ///
    /// `reached` says whether the try may have reached the far side. The entry is safe all along; that it was tried reaches
    /// the disk with the next group.
    pub fn postpone(
        self: &Arc<Self>,
        seq: Seq,
        next_try: Timestamp,
        reached: bool,
        cause: Option<Cause>,
    ) -> Result<(), LedgerError> {
        let (progress, expect) = {
            let mut index = self.index.lock();
            let slot = index.get(seq)?;
            slot.check_under_way(seq)?;
            let uncertain = reached || slot.uncertain_before;
            let progress = Progress { class: Class::Spool, next_try, uncertain, last: cause, ..slot.progress };
            (
                progress,
                index.change(seq, |slot| std::mem::replace(&mut slot.progress_stored, Stored::Unknown).expect())?,
            )
        };
        // Written before anyone can claim it again, so that the next claim is written after it.
        let mut batch = self.batch_of(seq)?.essential();
        batch.put_if(Table::Progress, seq.key(), expect, encode(&progress)?);
        let ledger = Arc::clone(self);
        let completion = Completion::new(move |result| ledger.postponed(seq, result));
        self.store.commit(batch, Urgency::WriteBehind, completion);
        self.index.lock().change(seq, |slot| {
            // A journalled entry that is still on its way to the disk waits as soon as it is there.
            if slot.state == State::Claimed {
                slot.state = State::Waiting;
            }
            slot.progress = progress;
            slot.uncertain_before = progress.uncertain;
        })
    }

    fn postponed(&self, seq: Seq, result: Result<Committed, StoreError>) {
        if let Ok(committed) = result {
            // Right even if a claim is on its way already: its own completion comes after this one.
            let _ = self.index.lock().change(seq, |slot| slot.progress_stored = Stored::As(committed.last));
        }
        log_failure(result.map(drop));
    }

    /// Ends a claimed entry, for good: its record goes, its outcome is counted and enters the window, the notice to its sender
    /// is appended, all in one commit. The next of the pair moves up when it is durable.
    ///
    /// A journalled entry can be settled while its append is still on its way. After an error that is returned nothing has
    /// changed and `done` is not called. For `done` as for [`append`](Self::append); it hears the number of the notice.
    pub fn settle<'a>(
        self: &Arc<Self>,
        seq: Seq,
        conclusion: impl Into<Conclusion<'a>>,
        now: Timestamp,
        urgency: Urgency,
        done: impl FnOnce(Result<Option<Seq>, LedgerError>) + Send + 'static,
    ) -> Result<(), LedgerError> {
        let Conclusion { end, notice, recall } = conclusion.into();
        let mut batch = self.batch_of(seq)?.essential();
        let record = notice.map(encode_entry).transpose()?;
        let until = self.window.lock().until(now);
        let stored = encode(&StoredEnd { end: end.clone(), until })?;
        if let Some((key, recall)) = &recall {
            // Before the others, whose versions are counted from the end.
            batch.put(Table::Window, key.recall_key(), encode(&StoredRecall { recall: recall.clone(), until })?);
        }
        let (once, noticed) = self.start_settle(seq, notice.zip(record.as_ref().map(Vec::len)), &mut batch)?;
        if let Some((notice, record)) = noticed.zip(record) {
            batch.put_if(Table::Ledger, notice.key(), Expect::Sure(None), record);
        }
        if let Some(once) = once {
            let expect = self.window.lock().ending(once);
            batch.put_if(Table::Window, once.key(), expect, stored);
        }
        let ledger = Arc::clone(self);
        let ended = Ended { end, once, notice: noticed, recall, until };
        let completion = Completion::new(move |result| done(ledger.settled(seq, ended, result)));
        self.store.commit(batch, urgency, completion);
        Ok(())
    }

    fn start_settle(
        &self,
        seq: Seq,
        notice: Option<(&Entry, usize)>,
        batch: &mut Batch,
    ) -> Result<(Option<OnceKey>, Option<Seq>), LedgerError> {
        let mut index = self.index.lock();
        let slot = index.get(seq)?;
        slot.check_under_way(seq)?;
        let (once, stored, progress, warned) = index.change(seq, |slot| {
            slot.state = State::Ending;
            (slot.once, slot.stored, slot.progress_stored, slot.warned)
        })?;
        batch.delete_if(Table::Ledger, seq.key(), stored.expect());
        if progress != Stored::No {
            batch.delete_if(Table::Progress, seq.key(), progress.expect());
        }
        if warned {
            batch.delete(Table::Progress, seq.warned_key());
        }
        Ok((once, notice.map(|(entry, size)| take_in(&mut index, batch.shard, entry, size))))
    }

    fn settled(
        &self,
        seq: Seq,
        ended: Ended,
        result: Result<Committed, StoreError>,
    ) -> Result<Option<Seq>, LedgerError> {
        let Ended { end, once, notice, recall, until } = ended;
        let mut index = self.index.lock();
        let Version(last) = match result {
            Ok(committed) => committed.last,
            Err(error) => {
                // The disk has failed: the entry stays for the next start, which tells or tries again.
                notice.into_iter().for_each(|notice| drop(index.remove(notice)));
                return Err(error.into());
            }
        };
        // Under one lock, so that the equation holds for every reader. It is gone already if its append failed.
        let origin = index.remove(seq).map_or(super::Origin::Peer, |slot| slot.origin);
        if origin == super::Origin::Peer {
            index.totals.count(&end);
        }
        if let Some(notice) = notice {
            // The window's record, if there is one, was the last of the batch, the notice the one before.
            index.durable(notice, Version(last - u64::from(once.is_some())));
        }
        drop(index);
        if let Some((key, recall)) = recall {
            self.recalls.lock().insert(key, recall, until, seq.shard());
        }
        if let (Some(once), Some(shard)) = (once, seq.shard()) {
            self.window.lock().done(once, end, until, Some((shard, Version(last))));
        }
        Ok(notice)
    }

    /// Takes a waiting entry out of the order of tries, to settle it: what an operator's `delete` begins with.
    pub fn take(&self, seq: Seq) -> Result<(), LedgerError> {
        let mut index = self.index.lock();
        let state = index.get(seq)?.state;
        if state != State::Waiting {
            return Err(LedgerError::WrongState { seq, state });
        }
        index.change(seq, |slot| slot.state = State::Claimed)
    }

    /// Takes at most `limit` waiting entries whose time is over, to tell their senders and settle them as expired.
    pub fn take_expired(&self, now: Timestamp, limit: usize) -> Vec<Seq> {
        let mut index = self.index.lock();
        std::iter::from_fn(|| index.take_expired(now)).take(limit).collect()
    }

    /// Takes at most `limit` entries whose senders are to be told that they wait; each is given out once.
    pub fn take_warnings(&self, now: Timestamp, limit: usize) -> Vec<Seq> {
        let warned: Vec<_> = {
            let mut index = self.index.lock();
            std::iter::from_fn(|| index.take_warning(now)).take(limit).collect()
        };
        for seq in &warned {
            // A record of its own, so that it does not matter whether a claim is written before or after it.
            let Ok(batch) = self.batch_of(*seq) else { continue };
            let mut batch = batch.essential();
            batch.put(Table::Progress, seq.warned_key(), "");
            self.store.commit(batch, Urgency::WriteBehind, Completion::new(|result| log_failure(result.map(drop))));
        }
        warned
    }

    /// The content of an entry. Reads the disk.
    pub fn get(&self, seq: Seq) -> Result<Entry, LedgerError> {
        let shard = seq.shard().ok_or(LedgerError::Unknown(seq))?;
        match self.store.get(shard, Table::Ledger, &seq.key()) {
            Ok(Some(record)) => entry::decode(&record.value).map_err(|_| LedgerError::Unreadable(seq)),
            Ok(None) => Err(LedgerError::Unknown(seq)),
            Err(StoreError::Damaged { .. }) => Err(LedgerError::Unreadable(seq)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn batch_of(&self, seq: Seq) -> Result<Batch, LedgerError> {
        self.batch(seq.shard().ok_or(LedgerError::Unknown(seq))?)
    }
}

/// An end on its way to the disk.
struct Ended {
    end: End,
    once: Option<OnceKey>,
    notice: Option<Seq>,
    recall: Option<(OnceKey, Recall)>,
    until: Timestamp,
}

impl Slot {
    /// Only what is under way can end or be postponed: what was claimed, and the journal even before it is on disk.
    fn check_under_way(&self, seq: Seq) -> Result<(), LedgerError> {
        let journalled = self.state == State::Appending && self.progress.class == Class::Journal;
        if self.state == State::Claimed || journalled {
            Ok(())
        } else {
            Err(LedgerError::WrongState { seq, state: self.state })
        }
    }
}

/// For what is written only to know more at the next start.
pub(super) fn log_failure(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "ledger: progress not written");
    }
}
