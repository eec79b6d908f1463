//! What could not be delivered at once: kept in the ledger, tried again, ended and told (DESIGN A5).

use crate::core::{Core, now};
use crate::ending::{Ended, may_be_reversed, recall};
use crate::inflight::Held;
use crate::retry::{asked_for, is_retryable, may_pass};
use crate::waiting::{Owner, Try, Waiting};
use adapter_api::{InstanceName, Settle, TraceId};
use bytes::Bytes;
use impp_model::datetime::DateTime;
use impp_model::{Cause, Failure, Kind, Operation, Outcome, Side};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use store::{
    Claimed, Class, Conclusion, End, Entry, LedgerError, Near, OnceKey, Origin, Pair, Recall, Schedule, Seq, Timestamp,
    Urgency,
};
use tokio::sync::{Notify, mpsc};

/// An operation for the ledger, until what came before it in its pair has ended.
#[derive(Debug)]
pub(crate) struct Parked {
    held: Held,
    near: Settle,
    /// What its sender hears if the ledger refuses it.
    failure: Failure,
    /// Tries so far.
    attempts: u32,
}

/// The retry task's own state.
#[derive(Debug)]
pub(crate) struct Retries {
    schedule: Schedule,
    random: Mutex<SmallRng>,
    look: Notify,
    trying: AtomicUsize,
    /// Whether entries are due that their hops' pace holds back.
    paced: AtomicBool,
    /// Room for as many as are tried at once, each of which is claimed once.
    claims: mpsc::Sender<Claim>,
    claimed: Mutex<Option<mpsc::Receiver<Claim>>>,
}

type Claim = (Seq, Result<Claimed, LedgerError>);

/// Entries tried at once, each the first of another pair: their contents are in memory meanwhile. Two commits and a
/// confirmation, some tens of milliseconds on a busy disk, then let forty thousand a second pass. Live messages stand behind them
/// on their link: twice as many let no more pass on a busy machine, and these wait twice as long.
const MAX_TRYING: usize = 2_048;
/// Entries of the ledger that are no backlog yet: they are gone soon, and every start after a crash has them.
const FEW: usize = 1_024;
/// Entries ended or warned of in one round.
const ROUND: usize = 256;
/// Between looks while nothing happens; the totals are stored once a second (DESIGN A5).
const PAUSE: Duration = Duration::from_secs(1);
/// Between looks while entries are due that their hops' pace holds back.
const PACED: Duration = Duration::from_millis(20);
/// Between looks at the least.
const BREATH: Duration = Duration::from_millis(5);

impl Retries {
    pub(crate) fn new(seed: u64) -> Self {
        let (claims, claimed) = mpsc::channel(MAX_TRYING);
        Self {
            schedule: Schedule::default(),
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            look: Notify::new(),
            trying: AtomicUsize::new(0),
            paced: AtomicBool::new(false),
            claims,
            claimed: Mutex::new(Some(claimed)),
        }
    }

    /// Something may be due.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    fn ended(&self) {
        self.trying.fetch_sub(1, Relaxed);
        self.look();
    }
}

impl Core {
    /// Does with an outcome what its owner needs.
    pub(crate) fn ended(&self, mut held: Held, outcome: Outcome) {
        // An adapter that dropped a delivery knows nothing of it: that is no acceptance.
        let outcome = match outcome {
            Outcome::Indeterminant => Failure::new(Side::Ours, Cause::Unconfirmed)
                .with_text("the adapter ended without a word; the message may have arrived")
                .into(),
            Outcome::Success(_) | Outcome::HandedOver | Outcome::Failure(_) => outcome,
        };
        if matches!(held.owner, Some(Owner::Canary)) {
            return self.canary_arrived(held.trace, &outcome);
        }
        let ended = held.ended();
        match (&held.owner, &outcome) {
            (Some(Owner::Sender(_)), _) => self.paces.came_back(&held.hop),
            (Some(Owner::Ledger(_)), Outcome::Success(_) | Outcome::HandedOver) => {
                self.paces.drained(&held.hop, self.timestamp());
            }
            (Some(Owner::Ledger(_) | Owner::Nobody | Owner::Canary) | None, _) => {}
        }
        if ended.kind().is_presence() {
            // State, not post: who sent it knows what to do.
            self.report(&ended, &outcome);
            if let Some(Owner::Sender(near)) = held.owner.take() {
                near.settle(outcome);
            }
            return;
        }
        let mut near = match held.owner.take() {
            Some(Owner::Sender(near)) => near,
            Some(Owner::Ledger(attempt)) => {
                if !matches!(&outcome, Outcome::Failure(failure) if may_pass(failure)) {
                    let ended = Ended { since: self.instant(attempt.created), ..ended };
                    match attempt.origin {
                        Origin::Peer => self.report(&ended, &outcome),
                        Origin::Gateway | Origin::Warning => self.report_told(&ended, &outcome),
                    }
                }
                // What is refused for good says nothing about how fast the hop can be tried.
                if matches!(&outcome, Outcome::Failure(failure) if may_pass(failure)) {
                    self.paces.broken_off(&held.hop);
                }
                return self.tried(held.trace, attempt, outcome);
            }
            Some(Owner::Nobody) => {
                self.report_told(&ended, &outcome);
                if matches!(outcome, Outcome::Failure(_)) {
                    self.storage.ledger.count_untold();
                }
                return;
            }
            Some(Owner::Canary) | None => return,
        };
        let (pair, trace) = (held.pair, held.trace);
        if let Outcome::Failure(failure) = &outcome
            && is_retryable(failure)
        {
            self.traces.update(trace, |record| record.note("tried", failure.cause.code()));
        }
        if let Some(journal) = held.journal.take() {
            match self.end_journalled(&ended, near, &journal, outcome.clone()) {
                Ok(()) => return self.leave(pair, trace),
                Err(back) => near = back,
            }
        }
        match outcome {
            Outcome::Failure(failure) if is_retryable(&failure) => {
                self.park(Parked { held, near, failure: *failure, attempts: 1 });
            }
            outcome @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant | Outcome::Failure(_)) => {
                self.close(&ended, near, outcome);
                self.leave(pair, trace);
            }
        }
    }

    /// Keeps what found no way for a while.
    pub(crate) fn keep(&self, waiting: Waiting, failure: Failure) {
        if waiting.operation.kind().is_presence() {
            return self.refuse(waiting, failure);
        }
        let pair = Pair::of(&waiting.operation);
        if matches!(waiting.owner, Owner::Sender(_)) {
            self.traces.update(waiting.trace, |record| record.note("no way found", failure.cause.code()));
        }
        self.hold_back(waiting, pair, "".into(), failure, 1);
    }

    /// Puts an operation behind those of its pair that wait.
    pub(crate) fn follow(&self, waiting: Waiting, pair: Pair, hop: Box<str>) {
        if waiting.operation.kind() == Kind::Composing {
            // RFC 3994 §3.2: it is about this moment, and what comes before it is not there yet.
            return self.drop_state(waiting);
        }
        if must_not_wait(&waiting.operation) {
            let text = "earlier messages wait for this addressee, and this one is not to be stored";
            return self.refuse(waiting, Failure::new(Side::Far, Cause::RecipientUnavailable).with_text(text));
        }
        let failure = Failure::new(Side::Ours, Cause::Overload).with_text("too many messages wait for this addressee");
        if self.order.parked(pair) >= MAX_PARKED || !self.may_follow(&hop) {
            self.counters.queue_full();
            return self.refuse(waiting, failure);
        }
        self.hold_back(waiting, pair, hop, failure, 0);
    }

    /// Ends what is worth nothing later and has no way now: nobody misses it.
    fn drop_state(&self, waiting: Waiting) {
        let Waiting { trace, operation, near: from, owner, since, once, .. } = waiting;
        let (to, hop) = (from.clone(), Box::default());
        self.report(&Ended { trace, operation, from, to, since, once, hop }, &Outcome::HandedOver);
        if let Owner::Sender(near) = owner {
            near.settle(Outcome::HandedOver);
        }
    }

    /// Whether what waits for a hop goes on fast enough for more to stand behind it: else a load that refills the spool faster
    /// than it is drained would keep it full, and everybody slow.
    fn may_follow(&self, hop: &str) -> bool {
        let (ledger, now) = (&self.storage.ledger, self.timestamp());
        let (lag, many) = (ledger.lag(hop, now), ledger.entries() > FEW);
        self.paces.may_follow(hop, lag, many, now, self.config.delivery.hold_timeout)
    }

    fn hold_back(&self, waiting: Waiting, pair: Pair, hop: Box<str>, failure: Failure, attempts: u32) {
        let Waiting { trace, operation, near: from, owner, since, once, repeat, .. } = waiting;
        let near = match owner {
            Owner::Sender(near) => near,
            Owner::Ledger(attempt) => return self.tried(trace, attempt, failure.into()),
            Owner::Nobody => return self.storage.ledger.count_untold(),
            Owner::Canary => return self.canary_arrived(trace, &failure.into()),
        };
        let to = from.clone();
        let (journal, owner) = (None, None);
        let held = Held { trace, from, to, since, deadline: since, operation, pair, hop, once, repeat, journal, owner };
        self.park(Parked { held, near, failure, attempts });
    }

    fn park(&self, parked: Parked) {
        let (pair, trace) = (parked.held.pair, parked.held.trace);
        self.order.park(pair, trace, parked, |parked| self.spool(parked));
    }

    pub(crate) fn leave(&self, pair: Pair, trace: TraceId) {
        self.order.leave(pair, trace, |parked| self.spool(parked));
    }

    /// Appends to the ledger; the sender hears of it when that is durable.
    fn spool(&self, parked: Parked) {
        let Some(core) = self.me() else { return };
        if must_not_wait(&parked.held.operation) {
            // XEP-0334 §4.3: it is not kept; without the spool it fails as it would have.
            return self.close(&parked.held.ended(), parked.near, parked.failure.into());
        }
        let arrived = parked.held.repeat || (parked.attempts > 0 && parked.failure.may_have_arrived());
        let mut entry = self.entry(&parked.held, Class::Spool, parked.attempts, arrived);
        if parked.attempts > 0 {
            entry.next_try = self.next_try(parked.attempts, &parked.failure);
        }
        // The ledger may refuse at once, and then does not call back.
        let parked = Arc::new(Mutex::new(Some(parked)));
        let shared = parked.clone();
        let done = move |result| core.answer(shared.lock().take(), result);
        if let Err(error) = self.storage.ledger.append(&entry, Urgency::Urgent, done) {
            let parked = parked.lock().take();
            self.answer(parked, Err(error));
        }
    }

    fn answer(&self, parked: Option<Parked>, result: Result<Seq, LedgerError>) {
        let Some(Parked { held, near, failure, .. }) = parked else { return };
        match result {
            Ok(seq) => self.spooled(&held.ended(), near, seq),
            Err(error) => {
                tracing::debug!(trace = %held.trace, %error, "not spooled");
                self.close(&held.ended(), near, self.refusal(&error, failure).into());
            }
        }
    }

    /// What a sender hears when the ledger refuses his message: that there is no room, which passes, unless it may have
    /// arrived all the same.
    fn refusal(&self, error: &LedgerError, failure: Failure) -> Failure {
        if !error.is_overload() || failure.may_have_arrived() {
            return failure;
        }
        self.counters.queue_full();
        if matches!(error, LedgerError::HopFull { .. }) {
            return hop_backlog();
        }
        Failure::new(Side::Ours, Cause::Overload).with_text("no room to store the message")
    }

    /// The ledger holds it durably: it is accepted.
    pub(crate) fn spooled(&self, ended: &Ended, near: Settle, seq: Seq) {
        tracing::info!(trace = %ended.trace, entry = %seq, from = %ended.from, to = %ended.to, "spooled");
        self.end_trace(ended.trace, "spooled", &Outcome::Indeterminant, Some(&ended.operation));
        near.settle(Outcome::Indeterminant);
        self.answer_twins(ended.once, &Outcome::Indeterminant);
        self.retries.look();
    }

    /// An entry of the ledger for an operation.
    pub(crate) fn entry(&self, held: &Held, class: Class, attempts: u32, uncertain: bool) -> Entry {
        let created = self.storage.clock.at(held.since);
        Entry {
            trace: held.trace.0,
            operation: stamped(&held.operation, class, created),
            origin: origin(&held.operation),
            near: Near { instance: held.from.as_str().into(), reply: Bytes::new() },
            hop: Some(held.hop.clone()).filter(|hop| !hop.is_empty()),
            class,
            created,
            expires: created.after(self.config.delivery.expiry),
            warn: self.warn_at(held, created),
            next_try: self.timestamp(),
            attempts,
            uncertain,
            once: held.once,
        }
    }

    /// When a sender who is answered each time is told that his message waits.
    fn warn_at(&self, held: &Held, created: Timestamp) -> Option<Timestamp> {
        let after = self.config.delivery.warn_after;
        let told = !after.is_zero() && after < self.config.delivery.expiry && self.answers_each(&held.from);
        (told && matches!(*held.operation, Operation::Message(_))).then(|| created.after(after))
    }

    /// The ledger's time on the process's own clock.
    fn instant(&self, time: Timestamp) -> Instant {
        let now = now();
        now.checked_sub(self.timestamp().since(time)).unwrap_or(now)
    }

    fn next_try(&self, attempts: u32, failure: &Failure) -> Timestamp {
        let random = self.retries.random.lock().random();
        self.retries.schedule.next_try(attempts, asked_for(failure), self.timestamp(), random)
    }

    pub(crate) fn postpone(&self, seq: Seq, attempts: u32, failure: &Failure) -> Result<(), LedgerError> {
        let next_try = self.next_try(attempts, failure);
        self.storage.ledger.postpone(seq, next_try, failure.may_have_arrived(), Some(failure.cause))
    }

    /// A try of an entry has ended.
    pub(crate) fn tried(&self, trace: TraceId, attempt: Try, outcome: Outcome) {
        match outcome {
            Outcome::Failure(failure) if may_pass(&failure) && !must_not_wait(&attempt.operation) => {
                self.traces.update(trace, |record| record.note("tried", failure.cause.code()));
                for seq in std::iter::once(&attempt.seq).chain(&attempt.others) {
                    if let Err(error) = self.postpone(*seq, attempt.attempts, &failure) {
                        tracing::error!(%trace, entry = %seq, %error, "not postponed: it waits for the next start");
                    }
                }
            }
            outcome @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant | Outcome::Failure(_)) => {
                if let Some(end) = End::of(outcome) {
                    let Try { seq, origin, created, operation, near, others, .. } = &attempt;
                    for other in others {
                        self.conclude(*other, *origin, end.clone(), None);
                    }
                    let about = recall(operation, trace.0, near, *created).filter(|_| *origin == Origin::Peer);
                    self.conclude(*seq, *origin, end, about);
                }
            }
        }
        self.retries.ended();
    }

    /// Ends an entry that was taken while it waited.
    fn end_waiting(&self, seq: Seq, end: End) {
        let entry = self.storage.ledger.get(seq);
        if let Err(error @ LedgerError::Store(_)) = &entry {
            // Who is to hear of its end is written in it.
            tracing::error!(entry = %seq, %error, "cannot be ended: it waits for the next start");
            return;
        }
        let entry = entry.ok();
        let origin = entry.as_ref().map_or(Origin::Peer, |entry| entry.origin);
        let about = entry.filter(|entry| entry.origin == Origin::Peer).and_then(|entry| {
            let near = InstanceName::from(&*entry.near.instance);
            let about = recall(&entry.operation, entry.trace, &near, entry.created)?;
            Some((about, Arc::new(entry.operation)))
        });
        if let Some(((_, about), operation)) = &about {
            let (trace, operation) = (TraceId(about.trace), Some(operation));
            match &end {
                End::Failed(failure) => self.end_trace(trace, "failed", &Outcome::Failure(failure.clone()), operation),
                End::Expired => self.end_trace(trace, "expired", &Outcome::Indeterminant, operation),
                End::Delivered(_) | End::HandedOver => {}
            }
        }
        let about = about.map(|(about, _)| about);
        self.conclude(seq, origin, end, about);
    }

    /// Ends an entry, its sender told of a failure within the same commit.
    fn conclude(&self, seq: Seq, origin: Origin, end: End, about: Option<(OnceKey, Recall)>) {
        let ledger = &self.storage.ledger;
        let failed = matches!(end, End::Failed(_) | End::Expired);
        let notice = about.as_ref().filter(|_| failed).and_then(|(_, about)| self.notice(about, &end));
        // A message of a peer without a notice, or a notice that fails itself: nobody hears of it.
        let untold = failed && notice.is_none() && origin != Origin::Warning;
        if untold {
            tracing::warn!(entry = %seq, ?origin, "ended undelivered; its sender cannot be told");
        }
        let trace = about.as_ref().map(|(_, about)| TraceId(about.trace));
        let conclusion = Conclusion { notice: notice.as_ref(), recall: about.filter(|_| may_be_reversed(&end)), end };
        let Some(core) = self.me() else { return };
        let done = move |result: Result<_, LedgerError>| match result {
            Ok(_) => {
                if untold {
                    core.storage.ledger.count_untold();
                }
                trace.into_iter().for_each(|trace| core.store_trace(trace));
                core.retries.look();
            }
            Err(error) => {
                tracing::error!(entry = %seq, %error, "its end is not stored: it is tried again after a start")
            }
        };
        if let Err(error) = ledger.settle(seq, conclusion, self.timestamp(), Urgency::Urgent, done) {
            tracing::error!(entry = %seq, %error, "cannot be ended");
        }
    }

    /// Makes a waiting entry due at once; those of its pair before it are not overtaken.
    pub fn retry(&self, seq: Seq) -> Result<(), LedgerError> {
        self.storage.ledger.retry(seq, self.timestamp())?;
        self.retries.look();
        Ok(())
    }

    /// Ends a waiting entry as failed, for an operator.
    pub fn give_up(&self, seq: Seq) -> Result<(), LedgerError> {
        if let Some(failure) = self.store_failure() {
            return Err(failure.into());
        }
        self.storage.ledger.take(seq)?;
        let failure = Failure::new(Side::Ours, Cause::Withdrawn).with_text("taken out of the queue by an operator");
        self.end_waiting(seq, End::Failed(Box::new(failure)));
        Ok(())
    }

    /// Tries again what is due, and ends what is over. Runs until dropped; only one at a time does anything.
    pub(crate) async fn try_again(&self) {
        let Some(mut claimed) = self.retries.claimed.lock().take() else { return };
        let (mut rest_until, mut again) = (now(), now());
        let mut least = again;
        loop {
            let now = now();
            if now >= again {
                if self.may_try() && now >= rest_until {
                    self.end_expired();
                    self.warn();
                    self.claim_due();
                }
                self.storage.ledger.checkpoint(self.timestamp(), false);
                self.storage.traces.sweep(self.timestamp());
                self.keep_paces(false);
                least = now + BREATH;
                again = now + self.pause(rest_until.saturating_duration_since(now));
            }
            tokio::select! {
                // What is claimed waits for no look: while it does, neither the link nor the disk has anything to do.
                Some((seq, claim)) = claimed.recv() => {
                    rest_until = rest_until.max(self.start_try(seq, claim));
                    while let Ok((seq, claim)) = claimed.try_recv() {
                        rest_until = rest_until.max(self.start_try(seq, claim));
                    }
                }
                () = self.retries.look.notified() => again = again.min(least.max(rest_until)),
                () = tokio::time::sleep(again.saturating_duration_since(now)) => {}
            }
        }
    }

    /// Without a store that can note it nothing is tried, ended or warned of.
    fn may_try(&self) -> bool {
        !self.is_draining() && self.store_failure().is_none()
    }

    fn pause(&self, rest: Duration) -> Duration {
        if !self.may_try() || self.retries.trying.load(Relaxed) >= MAX_TRYING {
            return PAUSE;
        }
        let next = self.storage.ledger.next().map_or(PAUSE, |next| next.since(self.timestamp()));
        let least = if self.retries.paced.load(Relaxed) { PACED } else { BREATH };
        next.clamp(least, PAUSE).max(rest)
    }

    fn end_expired(&self) {
        let ledger = &self.storage.ledger;
        for seq in ledger.take_expired(self.timestamp(), ROUND) {
            self.end_waiting(seq, End::Expired);
        }
    }

    fn claim_due(&self) {
        let ledger = &self.storage.ledger;
        let room = MAX_TRYING.saturating_sub(self.retries.trying.load(Relaxed));
        let (now, mut paced) = (self.timestamp(), false);
        let due = ledger.due_if(now, room, |hop| {
            let admitted = hop.is_none_or(|hop| self.paces.admit(hop, now));
            paced |= !admitted;
            admitted
        });
        self.retries.paced.store(paced, Relaxed);
        if due.is_empty() {
            return;
        }
        self.retries.trying.fetch_add(due.len(), Relaxed);
        let claims = self.retries.claims.clone();
        // On the store's thread, or on this one if it fails at once: the rest happens in the task above, which the channel's
        // other end belongs to, and which has room for all.
        ledger.claim_all(due.iter().map(|item| item.seq), move |seq, result| drop(claims.try_send((seq, result))));
    }

    /// Sends a claimed entry on its way. Returns until when to rest: the ledger may have no working disk.
    fn start_try(&self, seq: Seq, claim: Result<Claimed, LedgerError>) -> Instant {
        let now = now();
        let Claimed { seq, entry, attempts, repeat, edition } = match claim {
            Ok(claimed) => claimed,
            Err(LedgerError::Unreadable(seq)) => {
                tracing::error!(entry = %seq, "an entry of the ledger cannot be read: it counts as failed");
                let failure = Failure::new(Side::Ours, Cause::InternalError).with_text("unreadable in the ledger");
                self.conclude(seq, Origin::Peer, End::Failed(Box::new(failure)), None);
                self.retries.ended();
                return now;
            }
            Err(error) => {
                tracing::warn!(entry = %seq, %error, "cannot be tried");
                self.retries.ended();
                return now + PAUSE;
            }
        };
        let trace = TraceId(entry.trace);
        if self.is_over(&entry) {
            tracing::debug!(%trace, entry = %seq, "what it warns of is over");
            let failure = Failure::new(Side::Ours, Cause::Withdrawn).with_text("what it warns of is over");
            self.conclude(seq, entry.origin, End::Failed(Box::new(failure)), None);
            self.retries.ended();
            return now;
        }
        tracing::debug!(%trace, entry = %seq, attempts, repeat, "tried again");
        if entry.origin == Origin::Peer {
            self.take_up_trace(&entry);
        }
        let near = InstanceName::from(&*entry.near.instance);
        let (origin, created) = (entry.origin, entry.created);
        let (operation, others) = if repeat { (entry.operation, Vec::new()) } else { self.gather(entry) };
        let operation = Arc::new(operation);
        let attempt =
            Try { seq, attempts, edition, others, origin, created, operation: operation.clone(), near: near.clone() };
        let owner = Owner::Ledger(attempt);
        self.route(Waiting { trace, operation, near, peer: "".into(), owner, since: now, once: None, repeat });
        now
    }
}

/// The operation as it is kept: of a message that goes on late the addressee is told when it was sent.
fn stamped(operation: &Operation, class: Class, taken: Timestamp) -> Operation {
    let mut kept = operation.clone();
    if let (Operation::Message(message), Class::Spool) = (&mut kept, class)
        && message.message.sent.is_none()
    {
        let seconds = i64::try_from(taken.0 / 1_000).unwrap_or(i64::MAX);
        message.message.sent = DateTime::from_epoch(seconds, 0);
    }
    kept
}

/// Only INSTANT MESSAGES count, and only their senders are told what becomes of them; bad news about one is missed.
fn origin(operation: &Operation) -> Origin {
    let bad_news = matches!(operation, Operation::Disposition(word) if word.disposition.failure().is_some());
    if operation.kind() == Kind::Message {
        Origin::Peer
    } else if bad_news {
        Origin::Gateway
    } else {
        Origin::Warning
    }
}

/// What a sender hears whose message would have to wait for a hop that has its share of the ledger.
pub(crate) fn hop_backlog() -> Failure {
    Failure::new(Side::Ours, Cause::HopBacklog).with_text("too much waits for the next hop")
}

/// Whether an operation is not to be kept on its way (XEP-0334 §4.3).
pub(crate) fn must_not_wait(operation: &Operation) -> bool {
    !operation.may_be_stored()
}

/// Operations of one pair that are parked: as many as may wait behind one in the spool (DESIGN A5).
const MAX_PARKED: usize = 100;
