//! RFC 7572 §4: conversations as Call-IDs; those that are no Call-ID get one that leads back to them.

use impp_model::{Address, Thread, hex};
use sha2::{Digest, Sha256};
use sip_proto::header::CallId;
use std::collections::{BTreeMap, VecDeque};

/// The Call-ID of a conversation between two addresses: the thread itself where it is one.
pub fn to_call_id(thread: &Thread, one: &Address, other: &Address) -> String {
    if is_call_id(thread) { thread.as_str().to_owned() } else { made_call_id(thread, one, other) }
}

/// Whether a thread may stand in Call-ID as it is.
fn is_call_id(thread: &Thread) -> bool {
    thread.as_str().len() <= MAX_CALL_ID
        && CallId::parse(thread.as_str()).is_ok_and(|id| id.as_str() == thread.as_str())
}

/// IM-008: octets of the longest thread that goes out as it is.
const MAX_CALL_ID: usize = 128;

/// A Call-ID that is the same for the same conversation, whichever of the two speaks, and for no other.
fn made_call_id(thread: &Thread, one: &Address, other: &Address) -> String {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    let mut hash = Sha256::new();
    hash.update(b"interlingua sip thread 1");
    for field in [first.local(), first.domain().as_str(), second.local(), second.domain().as_str(), thread.as_str()] {
        hash.update(field.len().to_be_bytes());
        hash.update(field);
    }
    let digest: [u8; 32] = hash.finalize().into();
    hex(digest.get(..20).unwrap_or_default())
}

/// Which made Call-ID stands for which thread; the oldest are forgotten.
///
/// A Call-ID of this table holds a hash of both addresses, so that nobody else's message finds the thread.
#[derive(Debug, Default)]
pub struct ThreadTable {
    threads: BTreeMap<String, Thread>,
    order: VecDeque<String>,
}

/// Conversations remembered: with 100 octets each, a few megabytes.
const MAX_THREADS: usize = 16_384;

impl ThreadTable {
    /// The Call-ID for an outgoing message, remembered when it had to be made.
    pub fn call_id(&mut self, thread: &Thread, one: &Address, other: &Address) -> String {
        let call_id = to_call_id(thread, one, other);
        if call_id != thread.as_str() && !self.threads.contains_key(&call_id) {
            if self.order.len() >= MAX_THREADS
                && let Some(oldest) = self.order.pop_front()
            {
                self.threads.remove(&oldest);
            }
            self.order.push_back(call_id.clone());
            self.threads.insert(call_id.clone(), thread.clone());
        }
        call_id
    }

    /// The thread of a message that came with `call_id`.
    pub fn thread(&self, call_id: &str, one: &Address, other: &Address) -> Thread {
        let remembered = self.threads.get(call_id).filter(|thread| made_call_id(thread, one, other) == call_id);
        remembered.cloned().unwrap_or_else(|| Thread::from(call_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: IM-004, IM-008, IM-034
    #[test]
    fn rfc7572_s4_a_thread_that_is_no_call_id_comes_back() {
        let (juliet, romeo): (Address, Address) =
            ("juliet@example.com".parse().unwrap(), "romeo@example.net".parse().unwrap());
        let mut table = ThreadTable::default();
        for text in ["tráva @ @ x", "", " a", "a\r\nb", &"a".repeat(129)] {
            let thread = Thread::from(text);
            let call_id = table.call_id(&thread, &juliet, &romeo);
            assert!(CallId::parse(&call_id).is_ok() && call_id != text, "{text}");
            assert_eq!(table.call_id(&thread, &romeo, &juliet), call_id);
            assert_eq!(table.thread(&call_id, &romeo, &juliet), thread);
            let eve = "eve@example.org".parse().unwrap();
            assert_eq!(table.thread(&call_id, &eve, &juliet).as_str(), call_id);
        }
        let legal = Thread::from("29377446-0CBB-4296-8958-590D79094C50");
        assert_eq!(table.call_id(&legal, &juliet, &romeo), legal.as_str());
        assert_eq!(table.thread(legal.as_str(), &juliet, &romeo), legal);
    }

    #[test]
    fn the_table_forgets_the_oldest() {
        let end: Address = "a@example.com".parse().unwrap();
        let mut table = ThreadTable::default();
        let first = table.call_id(&Thread::from("0 0"), &end, &end);
        for n in 1..=MAX_THREADS {
            table.call_id(&Thread::from(format!("{n} {n}")), &end, &end);
        }
        assert_eq!((table.threads.len(), table.thread(&first, &end, &end).as_str()), (MAX_THREADS, first.as_str()));
    }
}
