//! Errors for those whose messages failed, until their server is known to have them: a link that breaks takes none along.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use adapter_api::{Settle, Settlement, Token};
use impp_model::Outcome;
use parking_lot::Mutex;
use strict_xml::Element;

/// Errors that wait to be written, and those that are written and not proven.
#[derive(Debug, Default)]
pub(crate) struct Replies(Arc<Book>);

#[derive(Debug, Default)]
struct Book(Mutex<Table>);

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
    /// How often it was written, or found no way.
    tries: u32,
}

/// Errors that wait for a way; beyond, a peer that asks more than it listens gets none.
const MAX_REPLIES: usize = 1024;

/// A server that does not take an error so often has no use for it.
const MAX_TRIES: u32 = 5;

impl Replies {
    pub(crate) fn push(&self, stanza: Element) {
        self.0.wait(Reply { stanza, tries: 0 });
    }

    /// Takes out the next to be written.
    pub(crate) fn pop(&self) -> Option<Reply> {
        self.0.0.lock().waiting.pop_front()
    }

    /// One is written: what becomes of it is to be settled, and unless it arrives it is written again.
    pub(crate) fn written(&self, mut reply: Reply) -> Settle {
        reply.tries += 1;
        let mut table = self.0.0.lock();
        let token = table.next;
        table.next += 1;
        table.written.insert(token, reply);
        Settle::new(Arc::clone(&self.0) as Arc<dyn Settlement>, token)
    }

    /// There is no way to those who wait.
    pub(crate) fn missed(&self) {
        let waiting = std::mem::take(&mut self.0.0.lock().waiting);
        waiting.into_iter().for_each(|reply| self.0.wait(Reply { tries: reply.tries + 1, ..reply }));
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.0.0.lock().waiting.is_empty()
    }
}

impl Book {
    fn wait(&self, reply: Reply) {
        let mut table = self.0.lock();
        if reply.tries < MAX_TRIES && table.waiting.len() < MAX_REPLIES {
            table.waiting.push_back(reply);
        } else {
            tracing::debug!(tries = reply.tries, "an error is told to nobody");
        }
    }
}

impl Settlement for Book {
    fn settled(&self, token: Token, outcome: Outcome) {
        let Some(reply) = self.0.lock().written.remove(&token) else { return };
        match outcome {
            Outcome::Success(_) | Outcome::HandedOver => {}
            Outcome::Failure(_) | Outcome::Indeterminant => self.wait(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Cause, Failure, Proof, Side};

    #[test]
    fn one_is_written_until_it_is_proven_and_not_for_ever() {
        let replies = Replies::default();
        let failure = || Failure::new(Side::Far, Cause::Unconfirmed);
        let stanza = |id: &'static str| Element::new("message", "jabber:component:accept").with_attr("id", id);
        for id in ["proven", "lost"] {
            replies.push(stanza(id));
        }
        let (first, second) = (replies.pop().unwrap(), replies.pop().unwrap());
        replies.written(first).settle(Outcome::Success(Proof::Server));
        replies.written(second).settle(failure());
        for _ in 1..MAX_TRIES {
            let again = replies.pop().unwrap();
            assert_eq!(again.stanza.attr("id"), Some("lost"));
            replies.written(again).settle(failure());
        }
        assert!(!replies.is_waiting() && replies.pop().is_none());
    }
}
