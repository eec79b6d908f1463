//! What the ledger knows in memory of each entry: where it stands, and who is next. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use impp_model::Cause;

use super::claims::{Claims, Number};
use super::due::{Dues, Hop, Place};
use super::entry::{Progress, Stored};
use super::hashing::DigestMap;
use super::totals::Totals;
use super::{Class, Entry, LedgerError, Limits, OnceKey, Origin, Pair, Seq, Timestamp};
use crate::key::Version;

/// Octets that an entry counts beyond its record: index, progress, window.
const OVERHEAD: u64 = 512;
/// A full ledger has room again when so great a part of its bounds is free, and one that is half full is so no longer when it holds
/// so much less: or it would be told of each entry.
const ROOM_AGAIN: u64 = 20;
/// A hop is named that holds so great a part of the bounds.
const NAMED: u64 = 20;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On its way to the disk; not accepted yet.
    Appending,
    /// Waits for its try or for the one before it.
    Waiting,
    /// Its claim is on its way to the disk.
    Claiming,
    /// Under way.
    Claimed,
    /// Its end is on its way to the disk.
    Ending,
}

impl State {
    /// The label used in logs and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Appending => "appending",
            Self::Waiting => "waiting",
            Self::Claiming => "claiming",
            Self::Claimed => "claimed",
            Self::Ending => "ending",
        }
    }
}

/// An entry without its content.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) pair: Pair,
    /// Its destination, as a pair with itself.
    pub(super) to: Pair,
    pub(super) trace: u64,
    pub(super) state: State,
    pub(super) origin: Origin,
    pub(super) once: Option<OnceKey>,
    pub(super) hop: Option<Arc<str>>,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) warn: Option<Timestamp>,
    pub(super) size: u64,
    pub(super) progress: Progress,
    /// The record of the entry.
    pub(super) stored: Stored,
    /// The record of its progress.
    pub(super) progress_stored: Stored,
    /// The record of the claim that is under way, or was when a process died.
    pub(super) claim: Option<Number>,
    /// Whether its sender was told that it waits, and a record says so.
    pub(super) warned: bool,
    /// Whether it was uncertain before the claim that is under way.
    pub(super) uncertain_before: bool,
    /// Whether it is part of the pending total.
    pub(super) counted: bool,
    /// Whether its expiry came while it was under way.
    pub(super) overdue: bool,
}

/// The entries of one pair, oldest first.
#[derive(Default)]
struct PairQueue {
    entries: VecDeque<Seq>,
    /// How many of them are in the spool.
    spooled: usize,
    /// Its place in `dues`.
    due: Option<(Hop, Place)>,
}

/// What the entries of one hop take.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    entries: usize,
    octets: u64,
}

/// A hop that more is refused for: it takes as much room as is left for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowded {
    /// The hop; none for what no way was found for.
    pub hop: Option<Arc<str>>,
    /// Its entries.
    pub entries: usize,
    /// Their octets, as [`Limits::octets`] counts them.
    pub octets: u64,
}

#[derive(Default)]
pub(super) struct Index {
    /// Boxed: the tree moves its values about.
    slots: BTreeMap<Seq, Box<Slot>>,
    pairs: DigestMap<Pair, PairQueue>,
    dues: Dues,
    expiry: BTreeSet<Place>,
    warnings: BTreeSet<Place>,
    addressees: BTreeSet<(Pair, Seq)>,
    /// One text for each hop name in use, and what waits for it; bounded by the entries.
    hops: HashMap<Arc<str>, Share>,
    /// What waits without a hop.
    unrouted: Share,
    pub(super) claims: Claims,
    limits: Limits,
    /// Whether a bound was reached, until there is room again.
    is_full: Arc<AtomicBool>,
    /// Whether half of a bound was reached: before, no hop has its share.
    is_half_full: Arc<AtomicBool>,
    pub(super) octets: u64,
    pub(super) totals: Totals,
    /// Greater than the order of every entry.
    pub(super) next_order: u64,
}

impl Index {
    /// An empty index that goes on counting at `next_order`.
    pub(super) fn new(limits: Limits, totals: Totals, next_order: u64) -> Self {
        Self { limits, totals, next_order, ..Self::default() }
    }

    /// Whether a bound was reached, for those who look without a lock.
    pub(super) fn fullness(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_full)
    }

    /// Whether a hop may have its share, for those who look without a lock.
    pub(super) fn half_fullness(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_half_full)
    }

    /// A number that no entry and no other record has.
    pub(super) fn next_number(&mut self) -> Number {
        self.next_order += 1;
        self.next_order - 1
    }

    /// Whether there is room for a further entry of a pair.
    ///
    /// For the journal there always is: its message is under way, and without a record a crash would lose it. Such messages
    /// are refused before they are sent on. The gateway's own words have no share to keep to: each is about a message that had.
    pub(super) fn admit(&self, entry: &Entry, pair: Pair, size: u64) -> Result<(), LedgerError> {
        let limits = &self.limits;
        match entry.class {
            _ if limits.records == 0 => return Err(LedgerError::CountsOnly),
            Class::Journal => return Ok(()),
            Class::Spool => {}
        }
        if self.lacks(size) {
            self.is_full.fetch_or(!self.has_room_again(), Relaxed);
            return Err(self.full());
        }
        let hop = entry.hop.as_deref();
        if entry.origin == Origin::Peer && self.has_its_share(self.share(hop), size) {
            return Err(self.hop_full(hop));
        }
        match self.pairs.get(&pair) {
            // DESIGN A5: the first is the message in retry; the limit is on those behind it.
            Some(queue) if queue.spooled > 0 && queue.entries.len() > limits.behind => {
                Err(LedgerError::PairFull { limit: limits.behind })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is said of a ledger without room.
    pub(super) fn full(&self) -> LedgerError {
        LedgerError::Full { records: self.slots.len(), octets: self.octets }
    }

    /// What is said for a hop that has its share.
    fn hop_full(&self, hop: Option<&str>) -> LedgerError {
        let Share { entries: records, octets } = self.share(hop);
        LedgerError::HopFull { records, octets }
    }

    /// Why nothing more is taken for a hop.
    pub(super) fn refuses_for(&self, hop: &str) -> Option<LedgerError> {
        let keeps = self.limits.records > 0;
        (keeps && self.has_its_share(self.share(Some(hop)), 0)).then(|| self.hop_full(Some(hop)))
    }

    /// The hops that nothing more is taken for and that hold a good part of the bounds, which few can: of a ledger that is
    /// nearly full, every hop has its share.
    pub(super) fn crowded(&self) -> Vec<Crowded> {
        if !self.is_half_full.load(Relaxed) {
            return Vec::new();
        }
        let (records, octets) = (self.limits.records as u64 / NAMED, self.limits.octets / NAMED);
        let is_great = |share: &Share| share.entries as u64 >= records || share.octets >= octets;
        let named = self.hops.iter().map(|(hop, share)| (Some(hop.clone()), *share));
        let all = named.chain([(None, self.unrouted)]);
        let has = all.filter(|(_, share)| is_great(share) && self.has_its_share(*share, 0));
        let crowded = |(hop, Share { entries, octets })| Crowded { hop, entries, octets };
        let mut crowded: Vec<_> = has.map(crowded).filter(|crowded| crowded.entries > 0).collect();
        crowded.sort_unstable_by(|a, b| b.entries.cmp(&a.entries).then_with(|| a.hop.cmp(&b.hop)));
        crowded
    }

    fn share(&self, hop: Option<&str>) -> Share {
        hop.map_or(self.unrouted, |hop| self.hops.get(hop).copied().unwrap_or_default())
    }

    /// Whether a hop holds as much as is left: so one that is dead never takes more than half of the bounds, two not more than two
    /// thirds, and there is room for all others.
    fn has_its_share(&self, share: Share, size: u64) -> bool {
        let records = self.limits.records.saturating_sub(self.slots.len());
        let octets = self.limits.octets.saturating_sub(self.octets);
        share.entries >= records || share.octets + size + OVERHEAD > octets
    }

    fn lacks(&self, size: u64) -> bool {
        self.slots.len() >= self.limits.records || self.octets + size + OVERHEAD > self.limits.octets
    }

    fn has_room_again(&self) -> bool {
        let enough = |limit: u64| limit - limit / ROOM_AGAIN;
        let records = self.limits.records as u64;
        !self.lacks(0) && self.slots.len() as u64 <= enough(records) && self.octets <= enough(self.limits.octets)
    }

    /// Notes that a bound is reached, or that there is room again.
    fn note_room(&self) {
        if self.limits.records == 0 {
            return;
        }
        let (records, octets) = (2 * self.slots.len() as u64, 2 * self.octets + OVERHEAD);
        let enough = |limit: u64| limit - limit / ROOM_AGAIN;
        if records >= self.limits.records as u64 || octets > self.limits.octets {
            self.is_half_full.store(true, Relaxed);
        } else if records < enough(self.limits.records as u64) && octets < enough(self.limits.octets) {
            self.is_half_full.store(false, Relaxed);
        }
        if self.lacks(0) {
            self.is_full.store(true, Relaxed);
        } else if self.is_full.load(Relaxed) && self.has_room_again() {
            self.is_full.store(false, Relaxed);
        }
    }

    /// Takes an entry in; entries must come in their order.
    pub(super) fn insert(&mut self, seq: Seq, mut slot: Slot) {
        self.next_order = self.next_order.max(seq.order() + 1);
        slot.size += OVERHEAD;
        self.octets += slot.size;
        slot.hop = self.occupy(slot.hop, slot.size);
        self.expiry.insert((slot.expires, seq));
        self.warnings.extend(slot.warn.map(|warn| (warn, seq)));
        self.addressees.insert((slot.to, seq));
        let (pair, spooled) = (slot.pair, slot.progress.class == Class::Spool);
        self.slots.insert(seq, Box::new(slot));
        let place = self.place(seq, pair);
        let queue = self.pairs.entry(pair).or_default();
        queue.entries.insert(place, seq);
        queue.spooled += usize::from(spooled);
        self.refresh(pair);
        self.note_room();
    }

    /// Where an entry goes in its pair: behind all others, but for the gateway's own words, which stand in the order of their
    /// turns: one that is held back for a minute must not keep what is said about somebody else.
    fn place(&self, seq: Seq, pair: Pair) -> usize {
        let Some(queue) = self.pairs.get(&pair) else { return 0 };
        let slot = |seq: &Seq| self.slots.get(seq).map(|slot| &**slot).filter(|slot| slot.origin != Origin::Peer);
        let Some(turn) = slot(&seq).map(|slot| slot.progress.next_try) else { return queue.entries.len() };
        let is_later = |seq: &&Seq| {
            let untried =
                |slot: &&Slot| slot.progress.attempts == 0 && matches!(slot.state, State::Appending | State::Waiting);
            slot(seq).filter(untried).is_some_and(|slot| slot.progress.next_try > turn)
        };
        queue.entries.len() - queue.entries.iter().rev().take_while(is_later).count()
    }

    /// Forgets an entry; the next of its pair moves up.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Box<Slot>> {
        let slot = self.slots.remove(&seq)?;
        self.octets -= slot.size;
        self.totals.pending -= u64::from(slot.counted);
        self.expiry.remove(&(slot.expires, seq));
        self.addressees.remove(&(slot.to, seq));
        if let Some(warn) = slot.warn {
            self.warnings.remove(&(warn, seq));
        }
        self.release(slot.hop.as_deref(), slot.size);
        if let Some(queue) = self.pairs.get_mut(&slot.pair) {
            queue.spooled -= usize::from(slot.progress.class == Class::Spool);
            if let Some(place) = queue.entries.iter().position(|other| *other == seq) {
                queue.entries.remove(place);
            }
        }
        self.refresh(slot.pair);
        self.note_room();
        Some(slot)
    }

    pub(super) fn get(&self, seq: Seq) -> Result<&Slot, LedgerError> {
        self.slots.get(&seq).map(|slot| &**slot).ok_or(LedgerError::Unknown(seq))
    }

    /// Changes an entry; pair and expiry stay as they are.
    pub(super) fn change<T>(&mut self, seq: Seq, change: impl FnOnce(&mut Slot) -> T) -> Result<T, LedgerError> {
        let slot = self.slots.get_mut(&seq).ok_or(LedgerError::Unknown(seq))?;
        let class = slot.progress.class;
        let result = change(slot);
        let (pair, after, waits) = (slot.pair, slot.progress.class, slot.state == State::Waiting);
        if waits && slot.overdue {
            slot.overdue = false;
            self.expiry.insert((slot.expires, seq));
        }
        if class != after
            && let Some(queue) = self.pairs.get_mut(&pair)
        {
            match after {
                Class::Spool => queue.spooled += 1,
                Class::Journal => queue.spooled -= 1,
            }
        }
        self.refresh(pair);
        Ok(result)
    }

    /// The entry is durable: it is accepted from here on.
    pub(super) fn durable(&mut self, seq: Seq, version: Version) {
        let counted = self.change(seq, |slot| {
            slot.stored = Stored::As(version);
            if slot.state == State::Appending {
                slot.state = match slot.progress.class {
                    Class::Spool => State::Waiting,
                    Class::Journal => State::Claimed,
                };
            }
            slot.counted = slot.origin == Origin::Peer;
            slot.counted
        });
        self.totals.pending += u64::from(counted.unwrap_or(false));
    }

    /// Whether the entry is the oldest of its pair.
    pub(super) fn is_first(&self, seq: Seq, slot: &Slot) -> bool {
        self.pairs.get(&slot.pair).and_then(|queue| queue.entries.front()) == Some(&seq)
    }

    /// How many entries of a pair there are, and whether any is in the spool.
    pub(super) fn pair(&self, pair: Pair) -> (usize, bool) {
        self.pairs.get(&pair).map_or((0, false), |queue| (queue.entries.len(), queue.spooled > 0))
    }

    /// An entry as others see it.
    pub(super) fn item(&self, seq: Seq, slot: &Slot) -> Item {
        let first = self.pairs.get(&slot.pair).and_then(|queue| queue.entries.front().copied());
        Item::new(seq, slot, first.filter(|first| *first != seq))
    }

    /// The waiting entries of a pair, oldest first.
    pub(super) fn waiting_of(&self, pair: Pair, limit: usize) -> Vec<Seq> {
        let entries = self.pairs.get(&pair).map(|queue| queue.entries.iter());
        let waits = |seq: &&Seq| self.slots.get(seq).is_some_and(|slot| slot.state == State::Waiting);
        entries.into_iter().flatten().filter(waits).take(limit).copied().collect()
    }

    /// At most `limit` entries to try: see [`Dues::take`].
    pub(super) fn due(
        &self,
        now: Timestamp,
        limit: usize,
        admit: impl FnMut(Option<&str>) -> bool,
    ) -> impl Iterator<Item = (Seq, &Slot)> {
        let taken = self.dues.take(now, limit, admit);
        taken.into_iter().filter_map(|seq| Some((seq, &**self.slots.get(&seq)?)))
    }

    /// How long the first entry of a hop has been due.
    pub(super) fn lag(&self, hop: &str, now: Timestamp) -> Duration {
        self.hops.get_key_value(hop).map_or(Duration::ZERO, |(hop, _)| self.dues.lag(&Some(hop.clone()), now))
    }

    /// When the next is to be tried or expires.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<Place>| set.first().map(|(when, _)| *when);
        [self.dues.next(), first(&self.expiry), first(&self.warnings)].into_iter().flatten().min()
    }

    /// Takes the next waiting entry whose time is over; it counts as claimed from here on.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Option<Seq> {
        while let Some((_, seq)) = pop_until(&mut self.expiry, now) {
            let taken = self.change(seq, |slot| {
                let waits = slot.state == State::Waiting;
                slot.overdue = !waits;
                if waits {
                    slot.state = State::Claimed;
                }
                waits
            });
            if taken.is_ok_and(|taken| taken) {
                return Some(seq);
            }
        }
        None
    }

    /// Takes the next entry whose sender is to be told that it waits.
    pub(super) fn take_warning(&mut self, now: Timestamp) -> Option<Seq> {
        while let Some((_, seq)) = pop_until(&mut self.warnings, now) {
            let told =
                self.slots.get_mut(&seq).filter(|slot| slot.state != State::Ending).map(|slot| slot.warned = true);
            if told.is_some() {
                return Some(seq);
            }
        }
        None
    }

    /// Makes the first waiting entries of pairs due now, those of `hop` only if it is given; returns how many.
    pub(super) fn wake(&mut self, hop: Option<&str>, now: Timestamp) -> usize {
        let later = self.dues.later(hop, now);
        self.hasten(&later, now)
    }

    /// Makes the gateway's own words due now that were tried in vain: no hop is known of them.
    pub(super) fn wake_words(&mut self, now: Timestamp) -> usize {
        let tried = |seq: &Seq| {
            self.slots.get(seq).is_some_and(|slot| slot.origin != Origin::Peer && slot.progress.attempts > 0)
        };
        let later: Vec<_> = self.dues.later_without_hop(now).filter(tried).collect();
        self.hasten(&later, now)
    }

    /// Makes due now what was tried in vain for one addressee.
    pub(super) fn wake_for(&mut self, to: Pair, now: Timestamp) -> usize {
        let of = self.addressees.range((to, Seq(0))..=(to, Seq(u64::MAX))).map(|(_, seq)| *seq);
        let waits = |slot: &Slot| slot.state == State::Waiting && slot.progress.attempts > 0;
        let later: Vec<_> = of.filter(|seq| self.slots.get(seq).is_some_and(|slot| waits(slot))).collect();
        self.hasten(&later, now)
    }

    fn hasten(&mut self, entries: &[Seq], now: Timestamp) -> usize {
        for seq in entries {
            // It is there: only entries have places.
            let _ = self.change(*seq, |slot| slot.progress.next_try = slot.progress.next_try.min(now));
        }
        entries.len()
    }

    /// Entries in the order of their numbers, those after `after`.
    pub(super) fn iter(&self, after: Option<Seq>) -> impl Iterator<Item = (Seq, &Slot)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.slots.range((from, std::ops::Bound::Unbounded)).map(|(seq, slot)| (*seq, &**slot))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn pair_count(&self) -> usize {
        self.pairs.len()
    }

    /// Puts a pair's first entry in its place among the due ones, or takes it out.
    fn refresh(&mut self, pair: Pair) {
        let Some(queue) = self.pairs.get_mut(&pair) else { return };
        let first = queue.entries.front().and_then(|seq| Some((*seq, self.slots.get(seq)?)));
        let waiting = first.filter(|(_, slot)| slot.state == State::Waiting);
        let wanted = waiting.map(|(seq, slot)| (slot.hop.clone(), (slot.progress.next_try, seq)));
        if queue.due != wanted {
            if let Some((hop, place)) = queue.due.take() {
                self.dues.remove(hop, place);
            }
            if let Some((hop, place)) = &wanted {
                self.dues.insert(hop.clone(), *place);
            }
            queue.due = wanted;
        }
        if queue.entries.is_empty() {
            self.pairs.remove(&pair);
        }
    }

    /// Counts an entry in its hop's share; gives the hop under the one text that all of its entries have.
    fn occupy(&mut self, hop: Hop, size: u64) -> Hop {
        let hop = hop.map(|hop| self.hops.get_key_value(&hop).map_or(hop, |(known, _)| Arc::clone(known)));
        let share = match &hop {
            Some(hop) => self.hops.entry(Arc::clone(hop)).or_default(),
            None => &mut self.unrouted,
        };
        share.entries += 1;
        share.octets += size;
        hop
    }

    fn release(&mut self, hop: Option<&str>, size: u64) {
        let share = match hop {
            Some(hop) => self.hops.get_mut(hop),
            None => Some(&mut self.unrouted),
        };
        let Some(share) = share else { return };
        share.entries -= 1;
        share.octets -= size;
        if let Some(hop) = hop.filter(|_| share.entries == 0) {
            self.hops.remove(hop);
        }
    }
}

fn pop_until(set: &mut BTreeSet<Place>, now: Timestamp) -> Option<Place> {
    if set.first()?.0 > now { None } else { set.pop_first() }
}

/// An entry as `queue` lists it: no address and no content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its number.
    pub seq: Seq,
    /// The message's trace.
    pub trace: u64,
    /// Where it stands.
    pub state: State,
    /// Spool or journal.
    pub class: Class,
    /// Whose it is.
    pub origin: Origin,
    /// Where it goes.
    pub hop: Option<Arc<str>>,
    /// When the gateway took it.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next, if it waits and is the first of its pair.
    pub next_try: Timestamp,
    /// Whether it may have reached the far side.
    pub uncertain: bool,
    /// Why the last try failed.
    pub last: Option<Cause>,
    /// The entry of the same two addresses that goes before it, and that it waits for.
    pub behind: Option<Seq>,
    /// Octets.
    pub size: u64,
}

impl Item {
    pub(super) fn new(seq: Seq, slot: &Slot, behind: Option<Seq>) -> Self {
        let Progress { class, attempts, next_try, uncertain, last, edition: _ } = slot.progress;
        Self {
            seq,
            trace: slot.trace,
            state: slot.state,
            class,
            origin: slot.origin,
            hop: slot.hop.clone(),
            created: slot.created,
            expires: slot.expires,
            attempts,
            next_try,
            uncertain,
            last,
            behind,
            size: slot.size,
        }
    }
}
