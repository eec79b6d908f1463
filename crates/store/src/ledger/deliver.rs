//! Tries and ends: claim, postpone, settle.

use std::collections::BTreeMap;
use std::sync::Arc;

use impp_model::Cause;

use super::claims::{self, MAX_CLAIMS, StoredClaims};
use super::ends::Ending;
use super::entry::{self, Progress, Stored};
use super::index::{Slot, State};
use super::recall::Recall;
use super::{Class, End, Entry, Ledger, LedgerError, OnceKey, Seq, Timestamp, encode, encode_entry, take_in};
use crate::api::{Batch, Committed, Completion, Expect, StoreError, Urgency};
use crate::key::{Shard, Table};

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
        let ready = self.start_claim(seq)?;
        self.write_claims(vec![ready], |mut results| {
            if let Some((_, result)) = results.pop() {
                done(result);
            }
        });
        Ok(())
    }

    /// The same for many: those of a shard are written together. `done` hears of each.
    pub fn claim_all(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Seq>,
        done: impl Fn(Seq, Result<Claimed, LedgerError>) + Send + Sync + 'static,
    ) {
        let done = Arc::new(done);
        let mut shards: BTreeMap<Option<Shard>, Vec<Ready>> = BTreeMap::new();
        for seq in entries {
            match self.start_claim(seq) {
                Ok(ready) => shards.entry(seq.shard()).or_default().push(ready),
                Err(error) => done(seq, Err(error)),
            }
        }
        for mut ready in shards.into_values() {
            while !ready.is_empty() {
                let rest = ready.split_off(ready.len().min(MAX_CLAIMS));
                let done = Arc::clone(&done);
                self.write_claims(std::mem::replace(&mut ready, rest), move |results| {
                    results.into_iter().for_each(|(seq, result)| done(seq, result));
                });
            }
        }
    }

    /// Takes an entry out of the order of tries and reads it.
    fn start_claim(&self, seq: Seq) -> Result<Ready, LedgerError> {
        let (progress, repeat) = self.begin_claim(seq)?;
        match self.get(seq) {
            Ok(entry) => {
                let (attempts, edition) = (progress.attempts, progress.edition);
                Ok(Ready { claimed: Claimed { seq, entry, attempts, repeat, edition }, progress })
            }
            Err(error @ LedgerError::Unreadable(_)) => {
                self.set_state(seq, State::Claimed);
                Err(error)
            }
            Err(error) => Err(self.unclaim(seq, error)),
        }
    }

    fn begin_claim(&self, seq: Seq) -> Result<(Progress, bool), LedgerError> {
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
            slot.uncertain_before = slot.progress.uncertain;
            if !slot.uncertain_before {
                slot.progress.edition = slot.progress.attempts;
            }
            slot.progress.uncertain = true;
            slot.progress.attempts = slot.progress.attempts.saturating_add(1);
            (slot.progress, slot.uncertain_before)
        })
    }

    /// Writes claims of one shard in one record.
    fn write_claims(
        self: &Arc<Self>,
        ready: Vec<Ready>,
        done: impl FnOnce(Vec<(Seq, Result<Claimed, LedgerError>)>) + Send + 'static,
    ) {
        let number = self.index.lock().next_number();
        match self.batch_of_claims(number, &ready) {
            Ok(batch) => {
                let (ledger, shard) = (Arc::clone(self), batch.shard);
                let completion = Completion::new(move |result: Result<_, StoreError>| {
                    done(ledger.claims_written(number, shard, ready, result.map_err(LedgerError::from)));
                });
                self.store.commit(batch, Urgency::Urgent, completion);
            }
            Err(error) => done(self.unclaim_all(ready, &error)),
        }
    }

    fn batch_of_claims(&self, number: claims::Number, ready: &[Ready]) -> Result<Batch, LedgerError> {
        let claims: Vec<_> = ready.iter().map(|ready| (ready.claimed.seq, ready.progress)).collect();
        let shard = claims.first().and_then(|(seq, _)| seq.shard()).ok_or(LedgerError::Unknown(Seq(u64::MAX)))?;
        // Bounded: at most one for each entry.
        let mut batch = self.batch(shard)?.essential();
        batch.put_if(Table::Progress, claims::key(number), Expect::Sure(None), encode(&StoredClaims { claims })?);
        Ok(batch)
    }

    fn claims_written(
        &self,
        number: claims::Number,
        shard: Shard,
        ready: Vec<Ready>,
        result: Result<Committed, LedgerError>,
    ) -> Vec<(Seq, Result<Claimed, LedgerError>)> {
        let version = match result {
            Ok(committed) => committed.last,
            Err(error) => return self.unclaim_all(ready, &error),
        };
        let mut needless = Vec::new();
        let mut index = self.index.lock();
        index.claims.add(number, shard, version, ready.len());
        for Ready { claimed, .. } in &ready {
            let before = index.change(claimed.seq, |slot| {
                slot.state = State::Claimed;
                slot.claim.replace(number)
            });
            // An entry that is gone needs no claim; one that was claimed when a process died has this one in its place.
            needless.extend(index.claims.end(before.unwrap_or(Some(number))));
        }
        drop(index);
        self.remove_needless(needless);
        ready.into_iter().map(|ready| (ready.claimed.seq, Ok(ready.claimed))).collect()
    }

    fn unclaim_all(&self, ready: Vec<Ready>, error: &LedgerError) -> Vec<(Seq, Result<Claimed, LedgerError>)> {
        let undo = |ready: Ready| (ready.claimed.seq, Err(self.unclaim(ready.claimed.seq, error.clone())));
        ready.into_iter().map(undo).collect()
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
        if let Ok(committed) = &result {
            let mut index = self.index.lock();
            // Right even if a claim is on its way already: its own completion comes after this one.
            let ended = index.change(seq, |slot| {
                slot.progress_stored = Stored::As(committed.last);
                slot.claim.take()
            });
            let needless = index.claims.end(ended.ok().flatten());
            drop(index);
            self.remove_needless(needless);
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
        let shard = self.batch_of(seq)?.shard;
        let record = notice.map(encode_entry).transpose()?;
        let until = self.window.lock().until(now);
        let mut index = self.index.lock();
        let slot = index.get(seq)?;
        slot.check_under_way(seq)?;
        // What is on its way to the disk must be there before its end.
        let at_rest = slot.state == State::Claimed && slot.progress_stored != Stored::Unknown && !slot.warned;
        let ending = index.change(seq, |slot| {
            slot.state = State::Ending;
            let progress = Some(slot.progress_stored).filter(|stored| *stored != Stored::No).map(Stored::expect);
            let (once, stored, warned, done) = (slot.once, slot.stored.expect(), slot.warned, Box::new(done));
            Ending { seq, end, once, recall, until, stored, progress, warned, done }
        })?;
        let notice = notice.zip(record).map(|(entry, record)| {
            let seq = take_in(&mut index, shard, entry, record.len());
            (seq, record)
        });
        drop(index);
        match notice {
            None if at_rest => self.write_end(shard, ending, urgency),
            notice => self.write_end_apart(shard, ending, notice, urgency),
        }
        Ok(())
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

/// An entry that is about to be claimed.
struct Ready {
    claimed: Claimed,
    progress: Progress,
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
