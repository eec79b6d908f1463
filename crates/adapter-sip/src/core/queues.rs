//! RFC 3428 §8: one MESSAGE under way for each URI, the others behind it in order.

use super::outbound::Id;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The URIs to which something is under way, and what waits for each.
#[derive(Debug)]
pub(crate) struct Queues {
    waiting: BTreeMap<Arc<str>, VecDeque<Id>>,
    limit: usize,
}

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// At once.
    Now,
    /// When those before are done.
    Later,
    /// Never: too many wait.
    Full,
}

impl Queues {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: BTreeMap::new(), limit }
    }

    /// Asks for a turn at `uri`.
    pub(crate) fn enter(&mut self, uri: &Arc<str>, id: Id) -> Turn {
        let Some(waiting) = self.waiting.get_mut(uri) else {
            self.waiting.insert(uri.clone(), VecDeque::new());
            return Turn::Now;
        };
        if waiting.len() >= self.limit {
            return Turn::Full;
        }
        waiting.push_back(id);
        Turn::Later
    }

    /// Ends the turn of the one under way; gives the next one's.
    pub(crate) fn leave(&mut self, uri: &Arc<str>) -> Option<Id> {
        let next = self.waiting.get_mut(uri)?.pop_front();
        if next.is_none() {
            self.waiting.remove(uri);
        }
        next
    }

    /// Who waits at `uri`, in order.
    pub(crate) fn waiting(&self, uri: &Arc<str>) -> impl Iterator<Item = Id> {
        self.waiting.get(uri).into_iter().flatten().copied()
    }

    /// Takes out one that waits no longer.
    pub(crate) fn cancel(&mut self, uri: &Arc<str>, id: Id) {
        if let Some(waiting) = self.waiting.get_mut(uri) {
            waiting.retain(|other| *other != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MSG-011
    #[test]
    fn rfc3428_s8_one_pending_message_per_uri() {
        let (mut queues, uri, other): (_, Arc<str>, Arc<str>) = (Queues::new(2), "sip:a@b".into(), "sip:b@b".into());
        assert_eq!(
            (queues.enter(&uri, 1), queues.enter(&uri, 2), queues.enter(&uri, 3)),
            (Turn::Now, Turn::Later, Turn::Later)
        );
        assert_eq!((queues.enter(&uri, 4), queues.enter(&other, 5)), (Turn::Full, Turn::Now));
        queues.cancel(&uri, 2);
        assert_eq!((queues.leave(&uri), queues.leave(&uri)), (Some(3), None));
        assert_eq!(queues.enter(&uri, 6), Turn::Now);
    }
}
