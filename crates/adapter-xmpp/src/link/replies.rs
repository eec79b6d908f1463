//! Errors for those whose messages failed, until their server is known to have them: a link that breaks takes none along.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use adapter_api::{Hub, Settle, Settlement, Token};
use impp_model::{DateTime, Disposition, DispositionOperation, MaxForwards, Outcome, TransId};
use parking_lot::Mutex;
use strict_xml::Element;
use xmpp_proto::stanza::{MessageType, Stanza};

use crate::mapping::address::from_jid;
use crate::mapping::{error, message};

/// Errors that wait to be written, and those that are written and not proven.
#[derive(Debug)]
pub(crate) struct Replies(Arc<Book>);

struct Book {
    table: Mutex<Table>,
    /// Errors that wait here; beyond, the hub keeps them.
    limit: usize,
    owe: Owe,
}

/// Where errors go that do not wait here any longer, and whether they may have arrived.
pub(crate) type Owe = Box<dyn Fn(&Element, bool, Told) + Send + Sync>;

/// Called when the sender's server has the error, or the ledger: until then the peer that sent the message keeps it.
pub(crate) type Told = Option<Box<dyn FnOnce() + Send>>;

#[derive(Debug, Default)]
struct Table {
    waiting: VecDeque<Reply>,
    written: BTreeMap<Token, Reply>,
    /// When each that is written and waited for is the hub's, unless it is proven by then.
    unproven: BTreeSet<(Instant, Token)>,
    next: Token,
}

/// One error.
pub(crate) struct Reply {
    pub(crate) stanza: Element,
    /// How often it was written.
    tries: u32,
    since: Instant,
    /// Whether a copy of it that was written may have arrived.
    repeat: bool,
    told: Told,
}

/// DESIGN A5, the usual `write_ahead_after`: what a process may hold that dies with it. An error that is not written by then is
/// the hub's.
const UNWRITTEN: Duration = Duration::from_millis(20);

/// DESIGN A5, the usual `hold_timeout`: what a peer waits for the proof of an error before its message counts as handled, for
/// that must not stall its stream. Then the error is the hub's.
const UNPROVEN: Duration = Duration::from_secs(2);

/// What was written so often and never proven is the hub's, which tries it at a slower pace.
const MAX_TRIES: u32 = 5;

impl Replies {
    /// At most `limit` wait; the others are the hub's.
    pub(crate) fn new(hub: Hub, limit: usize) -> Self {
        Self::over(limit, Box::new(move |stanza, repeat, told| owe(&hub, stanza, repeat, told)))
    }

    fn over(limit: usize, owe: Owe) -> Self {
        Self(Arc::new(Book { table: Mutex::default(), limit, owe }))
    }

    pub(crate) fn push(&self, stanza: Element, told: Told, now: Instant) {
        self.0.wait(Reply { stanza, tries: 0, since: now, repeat: false, told });
    }

    /// Takes out the next to be written.
    pub(crate) fn pop(&self) -> Option<Reply> {
        self.0.table.lock().waiting.pop_front()
    }

    /// One is written: what becomes of it is to be settled, and unless it arrives it is written again.
    pub(crate) fn written(&self, mut reply: Reply) -> Settle {
        reply.tries += 1;
        let mut table = self.0.table.lock();
        let token = table.next;
        table.next += 1;
        table.unproven.extend(reply.proof_due().map(|due| (due, token)));
        table.written.insert(token, reply);
        Settle::new(Arc::clone(&self.0) as Arc<dyn Settlement>, token)
    }

    /// Gives all that wait to the hub: this link writes nothing more.
    pub(crate) fn give_back(&self) {
        let waiting = std::mem::take(&mut self.0.table.lock().waiting);
        waiting.into_iter().for_each(|reply| self.0.owe(reply));
    }

    /// Gives to the hub what a crash would take along, or what holds up the peer.
    pub(crate) fn give_back_overdue(&self, now: Instant) {
        let mut table = self.0.table.lock();
        let (mut overdue, waiting): (VecDeque<_>, _) =
            table.waiting.drain(..).partition(|reply| reply.since + UNWRITTEN <= now);
        table.waiting = waiting;
        while let Some((_, token)) = table.unproven.first().copied().filter(|(due, _)| *due <= now) {
            overdue.extend(table.take_written(token).map(|reply| Reply { repeat: true, ..reply }));
        }
        drop(table);
        overdue.into_iter().for_each(|reply| self.0.owe(reply));
    }

    /// When to call [`give_back_overdue`](Self::give_back_overdue).
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let table = self.0.table.lock();
        let unwritten = table.waiting.iter().map(|reply| reply.since + UNWRITTEN).min();
        let unproven = table.unproven.first().map(|(due, _)| *due);
        [unwritten, unproven].into_iter().flatten().min()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.0.table.lock().waiting.is_empty()
    }
}

/// Has the hub keep an error about a message, until it can be delivered; an answer to anything else is forgotten.
pub(crate) fn owe(hub: &Hub, stanza: &Element, repeat: bool, told: Told) {
    let told = move || told.into_iter().for_each(|told| told());
    match word_of(stanza) {
        // What finds no room was tried once: nothing more can be done about it, and the peer's stream goes on.
        Some(word) => hub.owe(word, repeat, Box::new(move |_| told())),
        None => told(),
    }
}

/// What an error of ours says, for the way that late errors go.
fn word_of(stanza: &Element) -> Option<DispositionOperation> {
    let Ok(Stanza::Message(message)) = Stanza::from_element(stanza.clone()) else { return None };
    let (from, to) = message::addresses(&message).ok().filter(|_| message.kind() == MessageType::Error)?;
    let (source, destination) = (from_jid(&from).ok()?, from_jid(&to).ok()?);
    let id = message.id().filter(|id| !id.is_empty());
    Some(DispositionOperation {
        source,
        destination,
        max_forwards: MaxForwards::INITIAL,
        message_id: id.map(Into::into),
        trans_id: TransId::from(id.unwrap_or_default()),
        accepted: DateTime::from_system_time(SystemTime::now())?,
        disposition: Disposition::Failed(Box::new(error::failure_of(&message))),
        and_earlier: false,
        return_path: None,
    })
}

impl Table {
    fn take_written(&mut self, token: Token) -> Option<Reply> {
        let reply = self.written.remove(&token)?;
        if let Some(due) = reply.proof_due() {
            self.unproven.remove(&(due, token));
        }
        Some(reply)
    }
}

impl Book {
    fn wait(&self, reply: Reply) {
        let mut table = self.table.lock();
        if reply.tries < MAX_TRIES && table.waiting.len() < self.limit {
            return table.waiting.push_back(reply);
        }
        drop(table);
        self.owe(reply);
    }

    fn owe(&self, reply: Reply) {
        (self.owe)(&reply.stanza, reply.repeat, reply.told);
    }
}

impl Reply {
    /// When the hub keeps it though it was written, if anybody waits for that.
    fn proof_due(&self) -> Option<Instant> {
        self.told.as_ref().map(|_| self.since + UNPROVEN)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("tries", &self.tries).finish_non_exhaustive()
    }
}

impl Settlement for Book {
    fn settled(&self, token: Token, outcome: Outcome) {
        let Some(reply) = self.table.lock().take_written(token) else { return };
        let repeat = match outcome {
            Outcome::Success(_) | Outcome::HandedOver => return reply.told.into_iter().for_each(|told| told()),
            Outcome::Failure(failure) => reply.repeat || failure.may_have_arrived(),
            Outcome::Indeterminant => true,
        };
        self.wait(Reply { repeat, ..reply });
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("table", &self.table).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Cause, Failure, Proof, Side};

    type Ids = Arc<Mutex<Vec<String>>>;

    /// Errors with room for two, and the ids of those that became the hub's.
    fn replies() -> (Replies, Ids) {
        let (replies, owed, _) = replies_and_repeats();
        (replies, owed)
    }

    /// The same, and the ids of those of them that may have arrived.
    fn replies_and_repeats() -> (Replies, Ids, Ids) {
        let owed = Arc::new(Mutex::new(Vec::new()));
        let repeats = Arc::new(Mutex::new(Vec::new()));
        let (of, repeated) = (owed.clone(), repeats.clone());
        let owe = Box::new(move |stanza: &Element, repeat: bool, told: Told| {
            let id = stanza.attr("id").unwrap().to_owned();
            repeated.lock().extend(repeat.then(|| id.clone()));
            of.lock().push(id);
            told.into_iter().for_each(|told| told());
        });
        (Replies::over(2, owe), owed, repeats)
    }

    #[allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    // checks: IM-013
    #[test]
    fn one_that_a_crash_would_take_along_is_the_hubs_before_the_peer_may_forget_its_message() {
        let ((replies, owed), now) = (replies(), origin());
        let told = Arc::new(Mutex::new(Vec::new()));
        let push = |id: &'static str, at| {
            let told = told.clone();
            replies.push(stanza(id), Some(Box::new(move || told.lock().push(id))), at);
        };
        push("unwritten", now);
        assert_eq!(replies.next_timeout(), Some(now + UNWRITTEN));
        replies.give_back_overdue(now);
        assert!(owed.lock().is_empty());
        replies.give_back_overdue(now + UNWRITTEN);
        assert_eq!((&**owed.lock(), &**told.lock()), (&["unwritten".to_owned()][..], &["unwritten"][..]));
        // Written, the sender's server proves that it has it.
        push("proven", now);
        let written = replies.written(replies.pop().unwrap());
        assert_eq!(replies.next_timeout(), Some(now + UNPROVEN));
        replies.give_back_overdue(now + UNWRITTEN);
        written.settle(Outcome::Success(Proof::Server));
        assert_eq!((told.lock().len(), owed.lock().len(), replies.next_timeout()), (2, 1, None));
        // Or does not for too long, and what it says later comes to nothing.
        push("unproven", now);
        let written = replies.written(replies.pop().unwrap());
        replies.give_back_overdue(now + UNPROVEN);
        assert_eq!((told.lock().len(), owed.lock().len()), (3, 2));
        written.settle(failure());
        assert!(!replies.is_waiting());
        // Where nobody waits to forget, what is written is not given away.
        replies.push(stanza("component"), None, now);
        let _written = replies.written(replies.pop().unwrap());
        assert_eq!(replies.next_timeout(), None);
        replies.give_back_overdue(now + UNPROVEN);
        assert_eq!(owed.lock().len(), 2);
    }

    // checks: IM-013
    #[test]
    fn one_that_nobody_waits_for_or_a_younger_one_keeps_none_from_the_hub() {
        let ((replies, owed), now) = (replies(), origin());
        let write = |id, told: Told, at| {
            replies.push(stanza(id), told, at);
            replies.written(replies.pop().unwrap())
        };
        let older = now + UNWRITTEN / 2;
        let _awaited_by_nobody = write("component", None, now);
        let _younger = write("younger", Some(Box::new(|| ())), older + UNWRITTEN);
        let _older = write("older", Some(Box::new(|| ())), older);
        assert_eq!(replies.next_timeout(), Some(older + UNPROVEN));
        replies.give_back_overdue(older + UNPROVEN);
        assert_eq!(*owed.lock(), ["older"]);
        replies.give_back_overdue(older + UNWRITTEN + UNPROVEN);
        assert_eq!((&**owed.lock(), replies.next_timeout()), (&["older".to_owned(), "younger".to_owned()][..], None));
    }

    // checks: IM-013
    #[test]
    fn one_that_was_written_and_is_the_hubs_is_its_repeat() {
        let ((replies, owed, repeats), now) = (replies_and_repeats(), origin());
        for id in ["written", "waiting"] {
            replies.push(stanza(id), Some(Box::new(|| ())), now);
        }
        let _written = replies.written(replies.pop().unwrap());
        replies.give_back_overdue(now + UNPROVEN);
        assert_eq!((owed.lock().len(), &**repeats.lock()), (2, &["written".to_owned()][..]));
        for (id, cause) in [("broken", Cause::Unconfirmed), ("unsent", Cause::LinkDown)] {
            replies.push(stanza(id), None, now);
            replies.written(replies.pop().unwrap()).settle(Failure::new(Side::Far, cause));
            replies.give_back();
        }
        assert_eq!(*repeats.lock(), ["written", "broken"]);
    }

    fn stanza(id: &'static str) -> Element {
        error::error_message("a@sip.example", "b@xmpp.example/x", id, &Failure::new(Side::Far, Cause::NotFound))
    }

    fn failure() -> Failure {
        Failure::new(Side::Far, Cause::Unconfirmed)
    }

    // checks: IM-013
    #[test]
    fn one_is_written_until_it_is_proven_and_then_the_hubs() {
        let (replies, owed) = replies();
        for id in ["proven", "lost"] {
            replies.push(stanza(id), None, origin());
        }
        let (first, second) = (replies.pop().unwrap(), replies.pop().unwrap());
        replies.written(first).settle(Outcome::Success(Proof::Server));
        replies.written(second).settle(failure());
        for _ in 1..MAX_TRIES {
            assert_eq!(owed.lock().len(), 0);
            let again = replies.pop().unwrap();
            assert_eq!(again.stanza.attr("id"), Some("lost"));
            replies.written(again).settle(failure());
        }
        assert!(!replies.is_waiting() && replies.pop().is_none());
        assert_eq!(*owed.lock(), ["lost"]);
    }

    #[test]
    fn none_gets_lost_for_want_of_room_or_at_the_end() {
        let (replies, owed) = replies();
        for id in ["one", "two", "three"] {
            replies.push(stanza(id), None, origin());
        }
        assert_eq!(*owed.lock(), ["three"]);
        let written = replies.written(replies.pop().unwrap());
        replies.give_back();
        written.settle(failure());
        replies.give_back();
        assert_eq!(*owed.lock(), ["three", "two", "one"]);
    }

    #[test]
    fn an_error_becomes_the_word_that_makes_it_again() {
        let word = word_of(&stanza("m1")).unwrap();
        let again = error::to_error_message(&word, &word.disposition.failure().unwrap()).unwrap();
        assert_eq!(again.attr("id"), Some("m1"));
        assert_eq!((again.attr("from"), again.attr("to")), (Some("a@sip.example"), Some("b@xmpp.example/x")));
        assert_eq!(word.disposition.failure().unwrap().cause, Cause::NotFound);
        assert!(word_of(&stanza("")).unwrap().message_id.is_none());
        assert!(word_of(&Element::new("iq", "jabber:component:accept")).is_none());
    }
}
