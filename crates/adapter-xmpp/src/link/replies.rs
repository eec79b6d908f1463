//! Errors for those whose messages failed, until their server is known to have them: a link that breaks takes none along.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

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

/// Where errors go that do not wait here any longer.
pub(crate) type Owe = Box<dyn Fn(&Element) + Send + Sync>;

#[derive(Debug, Default)]
struct Table {
    waiting: VecDeque<Reply>,
    written: BTreeMap<Token, Reply>,
    next: Token,
}

/// One error.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) stanza: Element,
    /// How often it was written.
    tries: u32,
}

/// What was written so often and never proven is the hub's, which tries it at a slower pace.
const MAX_TRIES: u32 = 5;

impl Replies {
    /// At most `limit` wait; the others are the hub's.
    pub(crate) fn new(hub: Hub, limit: usize) -> Self {
        Self::over(limit, Box::new(move |stanza| owe(&hub, stanza)))
    }

    fn over(limit: usize, owe: Owe) -> Self {
        Self(Arc::new(Book { table: Mutex::default(), limit, owe }))
    }

    pub(crate) fn push(&self, stanza: Element) {
        self.0.wait(Reply { stanza, tries: 0 });
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
        table.written.insert(token, reply);
        Settle::new(Arc::clone(&self.0) as Arc<dyn Settlement>, token)
    }

    /// Gives all that wait to the hub: this link writes nothing more.
    pub(crate) fn give_back(&self) {
        let waiting = std::mem::take(&mut self.0.table.lock().waiting);
        waiting.iter().for_each(|reply| (self.0.owe)(&reply.stanza));
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.0.table.lock().waiting.is_empty()
    }
}

/// Has the hub keep an error about a message, until it can be delivered; an answer to anything else is forgotten.
pub(crate) fn owe(hub: &Hub, stanza: &Element) {
    if let Some(word) = word_of(stanza) {
        hub.owe(word);
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

impl Book {
    fn wait(&self, reply: Reply) {
        let mut table = self.table.lock();
        if reply.tries < MAX_TRIES && table.waiting.len() < self.limit {
            return table.waiting.push_back(reply);
        }
        drop(table);
        (self.owe)(&reply.stanza);
    }
}

impl Settlement for Book {
    fn settled(&self, token: Token, outcome: Outcome) {
        let Some(reply) = self.table.lock().written.remove(&token) else { return };
        match outcome {
            Outcome::Success(_) | Outcome::HandedOver => {}
            Outcome::Failure(_) | Outcome::Indeterminant => self.wait(reply),
        }
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

    /// Errors with room for two, and the ids of those that became the hub's.
    fn replies() -> (Replies, Arc<Mutex<Vec<String>>>) {
        let owed = Arc::new(Mutex::new(Vec::new()));
        let of = owed.clone();
        let owe = Box::new(move |stanza: &Element| of.lock().push(stanza.attr("id").unwrap().to_owned()));
        (Replies::over(2, owe), owed)
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
            replies.push(stanza(id));
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
            replies.push(stanza(id));
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
