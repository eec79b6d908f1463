//! Word to the sender of a message that was accepted and then not delivered, or waits (DESIGN A5).

use crate::core::{Core, now};
use crate::waiting::{Owner, Waiting};
use adapter_api::{InstanceName, StateDone, TellsFailure, TraceId};
use bytes::Bytes;
use impp_model::{
    Address, Cause, Content, DateTime, Disposition, DispositionOperation, Endpoint, Failure, InstantMessage,
    MaxForwards, MessageOperation, Operation, Outcome, Proof, TransId,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Class, End, Entry, Near, OnceKey, Origin, Pair, Recall, Seq, State, Timestamp, Urgency};

/// Who speaks where a protocol has no form of its own for it: a local part at the gateway's name.
const OWN_NAME: &str = "gateway";
/// RFC 3261 §8.1.1.6: as many hops as any request of our own.
const HOPS: MaxForwards = MaxForwards(70);
/// Entries warned of in one round.
const ROUND: usize = 256;
/// DESIGN A5: between text notices about one pair; what comes meanwhile is told in one.
const BETWEEN: Duration = Duration::from_secs(60);
/// Pairs remembered as told; beyond, the rule begins anew for all.
const MAX_PAIRS: usize = 10_000;
/// Notices that one text tells of, and its octets: RFC 3428 §8, with its headers it fits into a datagram.
const MAX_GATHERED: usize = 1_000;
const MAX_TEXT: usize = 700;

/// A notice is tried for so long at the least, whatever messages are given: who sends what is worth nothing after a minute is
/// told all the same that it was not delivered.
const PATIENCE: Duration = Duration::from_secs(600);

/// When the source of a pair was last told of its destination, or will be.
#[derive(Debug, Default)]
pub(crate) struct NoticePace(Mutex<HashMap<Pair, Timestamp>>);

impl NoticePace {
    /// When a notice about a pair may go.
    fn turn(&self, pair: Pair, now: Timestamp) -> Timestamp {
        let mut told = self.0.lock();
        if let Some(last) = told.get_mut(&pair).filter(|last| now.since(**last) < BETWEEN) {
            if *last <= now {
                *last = last.after(BETWEEN);
            }
            return *last;
        }
        if told.len() >= MAX_PAIRS {
            told.retain(|_, last| now.since(*last) < BETWEEN);
        }
        if told.len() >= MAX_PAIRS {
            told.clear();
        }
        told.insert(pair, now);
        now
    }
}

impl Core {
    /// The notice to go with the end of an entry; none for an end that is no failure, and where an operator wants none.
    pub(crate) fn notice(&self, about: &Recall, end: &End) -> Option<Entry> {
        let disposition = match end {
            End::Failed(failure) => Disposition::Failed(failure.clone()),
            End::Expired => Disposition::Expired,
            End::Delivered(_) | End::HandedOver => return None,
        };
        self.asked.forget(&about.source.address, &about.destination.address, about.message_id.as_ref());
        let near = self.candidates.iter().find(|candidate| *candidate.name.as_str() == *about.near)?;
        let tells = match near.capabilities.tells_failure {
            TellsFailure::Always => true,
            // RFC 5438 §7.2.1: only what was asked for is told.
            TellsFailure::WhenAsked => about.receipts.failure,
            TellsFailure::Never => false,
        };
        if tells {
            let word = word(about, disposition)?;
            return Some(self.own_entry(Operation::Disposition(Box::new(word)), about.trace, Origin::Gateway));
        }
        let reason = in_words(&disposition.failure()?);
        let entry = self.text_entry(about, "notice", &format!("was not delivered: {reason}."), Origin::Gateway)?;
        Some(self.in_turn(entry, about))
    }

    /// Whether senders of this instance are told of each failure in a form of their protocol, however late.
    pub(crate) fn tells_always(&self, near: &InstanceName) -> bool {
        let near = self.candidates.iter().find(|candidate| candidate.name == *near);
        near.is_some_and(|near| near.capabilities.tells_failure == TellsFailure::Always)
    }

    /// The entry at the time when its pair's next notice may go.
    fn in_turn(&self, entry: Entry, about: &Recall) -> Entry {
        let next_try = self.notices.turn(pair_of(about), self.timestamp());
        Entry { next_try, expires: self.patience(next_try), ..entry }
    }

    /// Until when what is due at `turn` is tried.
    fn patience(&self, turn: Timestamp) -> Timestamp {
        turn.after(self.config.delivery.expiry.max(PATIENCE))
    }

    /// Takes over word of a failure that an adapter could not get through, or does not know whether it has; `done` hears whether
    /// it is on disk.
    pub(crate) fn take_over(&self, word: DispositionOperation, repeat: bool, done: StateDone) {
        let trace = self.new_trace_id();
        tracing::debug!(%trace, to = word.destination.address.domain().as_str(), "an error waits for its way back");
        let entry = self.own_entry(Operation::Disposition(Box::new(word)), trace.0, Origin::Gateway);
        self.tell_and_then(Entry { attempts: u32::from(repeat), uncertain: repeat, ..entry }, done);
    }

    /// Tells the senders of messages that wait for long, each once.
    pub(crate) fn warn(&self) {
        for seq in self.storage.ledger.take_warnings(self.timestamp(), ROUND) {
            let Ok(entry) = self.storage.ledger.get(seq) else { continue };
            let near = InstanceName::from(&*entry.near.instance);
            let Some((_, about)) = crate::ending::recall(&entry.operation, entry.trace, &near, entry.created) else {
                continue;
            };
            let cause = self.storage.ledger.item(seq).ok().and_then(|item| item.last).unwrap_or(Cause::LinkDown);
            let until = date_time(entry.expires).map_or_else(String::new, |until| format!(" until {until}"));
            let what = format!("waits ({cause}); delivery is tried{until}.");
            if let Some(warning) = self.text_entry(&about, "waits", &what, Origin::Warning) {
                let mut warning = self.in_turn(warning, &about);
                warning.near.reply = Bytes::copy_from_slice(&seq.0.to_be_bytes());
                self.traces.update(TraceId(entry.trace), |record| record.note("warned", cause.code()));
                self.tell(warning);
            }
        }
    }

    /// Takes a peer's word about a message that was delivered: an error that comes after its server had spoken for it is
    /// told to the sender, once.
    pub(crate) fn hear(&self, waiting: Waiting) {
        let Operation::Disposition(word) = &*waiting.operation else { return };
        let Some(failure) = word.disposition.failure() else { return self.pass_on(waiting) };
        let key = word.message_id.as_ref().map(|id| OnceKey::new(&word.destination.address, id.as_str()));
        // Only the addressee's word counts.
        let is_meant = |about: &Recall| about.destination.address == word.source.address;
        let about = key.and_then(|key| self.storage.ledger.recall(key, self.timestamp(), is_meant));
        let Some(about) = about else { return self.pass_on(waiting) };
        self.reverse(&about, failure);
        let outcome = Outcome::Success(Proof::Server);
        self.end_trace(waiting.trace, "heard", &outcome, Some(&waiting.operation));
        if let Owner::Sender(near) = waiting.owner {
            near.settle(outcome);
        }
    }

    /// A message that counts as delivered was not: it stays counted, and its sender is told.
    fn reverse(&self, about: &Recall, failure: Failure) {
        let trace = TraceId(about.trace);
        tracing::info!(%trace, from = about.source.address.domain().as_str(),
            to = about.destination.address.domain().as_str(), reason = failure.cause.code(), "reversed");
        self.storage.ledger.count_reversed();
        self.note_late(trace, "reversed", failure.cause.code());
        match self.notice(about, &End::Failed(Box::new(failure))) {
            Some(entry) => self.tell(entry),
            None => self.storage.ledger.count_untold(),
        }
    }

    /// Has the gateway's own word delivered: through the ledger, or at once and once only where there is none.
    fn tell(&self, entry: Entry) {
        self.tell_and_then(entry, Box::new(|_| ()));
    }

    /// The same; `done` hears whether the word is on disk.
    fn tell_and_then(&self, entry: Entry, done: StateDone) {
        // The gateway has stopped: whoever waits for word keeps what it is about.
        let Some(core) = self.me() else { return done(false) };
        let (once, trace, repeat) = (Arc::new(entry.operation.clone()), TraceId(entry.trace), entry.uncertain);
        let operation = once.clone();
        // The ledger may refuse at once, and then does not call back.
        let done = Arc::new(Mutex::new(Some(done)));
        let tell = |done: &Mutex<Option<StateDone>>, is_kept| {
            if let Some(done) = done.lock().take() {
                done(is_kept);
            }
        };
        let later = done.clone();
        let appended = move |result: Result<_, _>| {
            match result {
                Ok(_) => core.retries.look(),
                Err(_) => core.tell_at_once(trace, operation, repeat),
            }
            tell(&later, result.is_ok());
        };
        if self.storage.ledger.append(&entry, Urgency::Urgent, appended).is_err() {
            self.tell_at_once(trace, once, repeat);
            tell(&done, false);
        }
    }

    fn tell_at_once(&self, trace: TraceId, operation: Arc<Operation>, repeat: bool) {
        let (owner, near) = (Owner::Nobody, InstanceName::from(OWN_NAME));
        self.route(Waiting { trace, operation, near, peer: "".into(), owner, since: now(), once: None, repeat });
    }

    /// Whether an entry warns that another waits, which does not any longer.
    pub(crate) fn is_over(&self, warning: &Entry) -> bool {
        let Ok(about) = <[u8; 8]>::try_from(&*warning.near.reply) else { return false };
        let about = self.storage.ledger.item(Seq(u64::from_be_bytes(about)));
        warning.origin == Origin::Warning && !about.is_ok_and(|item| item.state != State::Ending)
    }

    /// Makes one text of all the notices that wait for one sender, each a line; the entries that go with the first.
    pub(crate) fn gather(&self, first: Entry) -> (Operation, Vec<Seq>) {
        let ledger = &self.storage.ledger;
        let Operation::Message(mut message) = first.operation else { return (first.operation, Vec::new()) };
        if first.origin == Origin::Peer {
            return (Operation::Message(message), Vec::new());
        }
        let pair = Pair::new(&message.source.address, &message.destination.address);
        let mut text = message.message.content.as_text().unwrap_or_default().to_owned();
        let (now, mut others, mut more) = (self.timestamp(), Vec::new(), 0_usize);
        for seq in ledger.waiting_of(pair, MAX_GATHERED) {
            let is_due = ledger.item(seq).is_ok_and(|item| item.origin == first.origin && item.next_try <= now);
            let Some(Ok(other)) = is_due.then(|| ledger.get(seq)) else { continue };
            let Operation::Message(other_message) = &other.operation else { continue };
            // One that is over goes in its own turn.
            if self.is_over(&other) || ledger.take(seq).is_err() {
                continue;
            }
            others.push(seq);
            match other_message.message.content.as_text() {
                Some(line) if text.len() + line.len() < MAX_TEXT => text.extend(["\n", line]),
                Some(_) | None => more += 1,
            }
        }
        if more > 0 {
            text.push_str(&format!("\nThe same is true of {more} more."));
        }
        if !others.is_empty() {
            message.message.content = Content::text(text);
        }
        (Operation::Message(message), others)
    }

    /// A line of text from the gateway itself about a message; none where an operator wants none.
    fn text_entry(&self, about: &Recall, kind: &str, what: &str, origin: Origin) -> Option<Entry> {
        if !self.config.delivery.notice {
            return None;
        }
        let accepted = date_time(about.created)?;
        let text = format!("Your message to {} of {accepted} {what}", about.destination.address);
        let id = format!("{kind}-{:016x}", about.trace);
        let gateway = self.rules.load().configuration.gateway.clone();
        let operation = MessageOperation {
            source: Endpoint::bare(Address::new(OWN_NAME, gateway).ok()?),
            destination: about.source.clone(),
            max_forwards: HOPS,
            trans_id: TransId::from(id.as_str()),
            message: InstantMessage { id: Some(id.into()), ..InstantMessage::new(Content::text(text)) },
        };
        Some(self.own_entry(Operation::Message(Box::new(operation)), about.trace, origin))
    }

    fn own_entry(&self, operation: Operation, trace: u64, origin: Origin) -> Entry {
        let now = self.timestamp();
        Entry {
            trace,
            operation,
            origin,
            near: Near { instance: OWN_NAME.into(), reply: Bytes::new() },
            hop: None,
            class: Class::Spool,
            created: now,
            expires: self.patience(now),
            warn: None,
            next_try: now,
            attempts: 0,
            uncertain: false,
            once: None,
        }
    }
}

fn word(about: &Recall, disposition: Disposition) -> Option<DispositionOperation> {
    Some(DispositionOperation {
        source: about.destination.clone(),
        destination: about.source.clone(),
        max_forwards: HOPS,
        message_id: about.message_id.clone(),
        trans_id: about.trans_id.clone(),
        accepted: date_time(about.created)?,
        disposition,
        and_earlier: false,
        return_path: about.return_path.clone(),
    })
}

fn pair_of(about: &Recall) -> Pair {
    Pair::new(&about.source.address, &about.destination.address)
}

fn date_time(time: Timestamp) -> Option<DateTime> {
    DateTime::from_epoch(i64::try_from(time.0 / 1000).ok()?, 0)
}

fn in_words(failure: &Failure) -> String {
    match &failure.text {
        Some(text) => format!("{text} ({})", failure.cause),
        None => failure.cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_notice_about_a_pair_in_a_minute() {
        let (pace, address) = (NoticePace::default(), |text: &str| text.parse::<Address>().unwrap());
        let (bob, carol) = (
            Pair::new(&address("a@x.example"), &address("bob@y.example")),
            Pair::new(&address("a@x.example"), &address("carol@y.example")),
        );
        let at = |second: u64| Timestamp(1_000_000 + second * 1_000);
        assert_eq!(pace.turn(bob, at(0)), at(0));
        assert_eq!(pace.turn(carol, at(1)), at(1));
        assert_eq!([pace.turn(bob, at(2)), pace.turn(bob, at(59))], [at(60), at(60)]);
        assert_eq!([pace.turn(bob, at(60)), pace.turn(bob, at(61))], [at(120), at(120)]);
        assert_eq!(pace.turn(bob, at(180)), at(180));
    }
}
