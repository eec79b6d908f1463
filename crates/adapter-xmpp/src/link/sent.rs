//! Stanzas that were written and whose outcome is open.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_api::{Settle, Token};
use xmpp_proto::jid::Jid;

/// One stanza on its way.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) settle: Settle,
    /// The addressee's domain, as barriers know it.
    pub(crate) domain: Arc<str>,
    /// How an error stanza finds it.
    key: Key,
}

/// The id and sender of a stanza, which an error about it repeats.
type Key = Box<str>;

/// Open stanzas by token, by what an error repeats, and by deadline. Holds at most what barriers allow.
#[derive(Debug)]
pub(crate) struct SentTable {
    epoch: Instant,
    next: Token,
    sent: HashMap<Token, Sent>,
    by_key: HashMap<Key, Token>,
    /// Tokens by deadline, rounded down; settled ones stay until their time.
    deadlines: BTreeMap<Instant, Vec<Token>>,
}

/// Deadlines are kept this coarsely: a twentieth of the shortest hold in use costs no sender anything.
const GRAIN: Duration = Duration::from_millis(20);

impl SentTable {
    pub(crate) fn new(now: Instant) -> Self {
        Self { epoch: now, next: 0, sent: HashMap::new(), by_key: HashMap::new(), deadlines: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Takes note of a stanza from `from` with `id`.
    pub(crate) fn insert(
        &mut self,
        from: &str,
        id: &str,
        domain: Arc<str>,
        settle: Settle,
        deadline: Instant,
    ) -> Token {
        let token = self.next;
        self.next += 1;
        let key = key(from, id);
        // Of two stanzas with one id the first keeps it: its error comes first.
        self.by_key.entry(key.clone()).or_insert(token);
        self.sent.insert(token, Sent { settle, domain, key });
        let since = deadline.saturating_duration_since(self.epoch);
        let grains = since.as_nanos() / GRAIN.as_nanos();
        let rounded = self.epoch + GRAIN.saturating_mul(u32::try_from(grains).unwrap_or(u32::MAX));
        self.deadlines.entry(rounded).or_default().push(token);
        token
    }

    /// Takes a stanza out by its token.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Sent> {
        let sent = self.sent.remove(&token)?;
        if self.by_key.get(&sent.key) == Some(&token) {
            self.by_key.remove(&sent.key);
        }
        Some(sent)
    }

    /// Takes out the stanza that an error to `to` with `id` is about, if it went to a domain that `may_tell`.
    pub(crate) fn remove_by_id(
        &mut self,
        to: &Jid,
        id: &str,
        may_tell: impl Fn(&str) -> bool,
    ) -> Option<(Token, Sent)> {
        let token = *self.by_key.get(&key(to.as_str(), id))?;
        self.sent.get(&token).filter(|sent| may_tell(&sent.domain))?;
        self.remove(token).map(|sent| (token, sent))
    }

    /// Takes out what is past its deadline.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<(Token, Sent)> {
        let mut expired = Vec::new();
        while let Some(entry) = self.deadlines.first_entry().filter(|entry| *entry.key() <= now) {
            for token in entry.remove() {
                expired.extend(self.remove(token).map(|sent| (token, sent)));
            }
        }
        expired
    }

    /// Takes out everything, in the order of sending.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        self.by_key.clear();
        self.deadlines.clear();
        let sent: BTreeMap<_, _> = self.sent.drain().collect();
        sent.into_values().collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.keys().next().copied()
    }
}

fn key(from: &str, id: &str) -> Key {
    // No JID holds a line feed, so the pair is read in one way only.
    let mut key = String::with_capacity(from.len() + id.len() + 1);
    key.push_str(from);
    key.push('\n');
    key.push_str(id);
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::settle_channel;

    #[test]
    fn stanzas_are_found_by_token_id_and_deadline() {
        let now = Instant::now();
        let mut table = SentTable::new(now);
        let hold = Duration::from_secs(2);
        let (a, b) = (Jid::parse("a@sip.example").unwrap(), Jid::parse("b@sip.example").unwrap());
        let mut insert =
            |jid: &Jid| table.insert(jid.as_str(), "1", "x.example".into(), settle_channel().0, now + hold);
        let (first, second, other) = (insert(&a), insert(&a), insert(&b));
        assert_eq!(table.remove_by_id(&b, "1", |_| true).map(|(token, _)| token), Some(other));
        assert_eq!(table.remove_by_id(&b, "1", |_| true).map(|(token, _)| token), None);
        assert_eq!(table.remove_by_id(&a, "1", |domain| domain == "x.example").map(|(token, _)| token), Some(first));
        assert!(table.remove_by_id(&a, "1", |_| true).is_none());
        assert!(table.expired(now + hold - GRAIN).is_empty());
        assert_eq!(table.expired(now + hold).iter().map(|(token, _)| *token).collect::<Vec<_>>(), [second]);
        assert_eq!((table.len(), table.next_deadline()), (0, None));
    }
}
