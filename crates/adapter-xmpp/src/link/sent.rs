//! Stanzas that were written and whose outcome is open.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_api::{Settle, Token, TraceId};
use impp_model::Failure;
use xmpp_proto::barrier::MAX_UNPROVEN;
use xmpp_proto::jid::Jid;

/// One stanza on its way.
#[derive(Debug)]
pub(crate) struct Sent {
    /// `None` for an overdue one: whoever waited for it knows that it may have arrived, and tries again.
    pub(crate) settle: Option<Settle>,
    /// The addressee's domain, as barriers know it.
    pub(crate) domain: Arc<str>,
    /// How an error stanza finds it.
    key: Key,
    /// How a repeat finds it; of messages alone.
    name: Option<Name>,
}

/// A message and the edition of its ids: a repeat of a try that may have arrived has those of the try.
pub(crate) type Name = (TraceId, u32);

/// What has passed its deadline.
#[derive(Debug)]
pub(crate) struct Expired {
    /// Who waits for it.
    pub(crate) settle: Settle,
    /// Token and domain of what is forgotten here, because no repeat would find it.
    pub(crate) forgotten: Option<(Token, Arc<str>)>,
}

/// What became of a repeat.
#[derive(Debug)]
pub(crate) enum Repeated {
    /// Its stanza is on its way still, and settles it.
    Waits,
    /// Its stanza has been proven meanwhile.
    Proven(Settle),
    /// An error about its stanza has come meanwhile.
    Refused(Settle, Box<Failure>),
    /// Nothing is known of a stanza of it here: it is to be written.
    Unknown(Settle),
}

/// The id and sender of a stanza, which an error about it repeats.
type Key = Box<str>;

/// Open stanzas by token, by what an error repeats, and by deadline. Holds at most what barriers allow.
#[derive(Debug)]
pub(crate) struct SentTable {
    epoch: Instant,
    next: Token,
    sent: BTreeMap<Token, Sent>,
    by_key: HashMap<Key, Token>,
    /// Tokens by deadline, rounded down; settled ones stay until their time.
    deadlines: BTreeMap<Instant, Vec<Token>>,
    /// What is past its deadline, and may be proven yet.
    overdue: HashMap<Name, Token>,
    /// What was proven or refused when nobody waited for it any more; the older ones are forgotten beyond [`MAX_UNPROVEN`].
    late: HashMap<Name, Late>,
    late_order: VecDeque<Name>,
    /// The same by how an error stanza finds it.
    late_by_key: HashMap<Key, Name>,
}

/// What is known of a stanza that nobody waits for any more, until its repeat comes.
#[derive(Debug)]
struct Late {
    key: Key,
    domain: Arc<str>,
    /// None while it counts as proven.
    error: Option<Box<Failure>>,
}

/// Deadlines are kept this coarsely: a twentieth of the shortest hold in use costs no sender anything.
const GRAIN: Duration = Duration::from_millis(20);

impl SentTable {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            next: 0,
            sent: BTreeMap::new(),
            by_key: HashMap::new(),
            deadlines: BTreeMap::new(),
            overdue: HashMap::new(),
            late: HashMap::new(),
            late_order: VecDeque::new(),
            late_by_key: HashMap::new(),
        }
    }

    /// Stanzas that are not proven, overdue ones among them.
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether somebody waits for one of them.
    pub(crate) fn is_awaited(&self) -> bool {
        self.sent.len() > self.overdue.len()
    }

    /// Takes note of a stanza from `from` with `id`.
    pub(crate) fn insert(
        &mut self,
        from: &str,
        id: &str,
        domain: Arc<str>,
        name: Option<Name>,
        settle: Settle,
        deadline: Instant,
    ) -> Token {
        let token = self.next;
        self.next += 1;
        let key = key(from, id);
        // Of two stanzas with one id the first keeps it: its error comes first.
        self.by_key.entry(key.clone()).or_insert(token);
        self.sent.insert(token, Sent { settle: Some(settle), domain, key, name });
        self.is_due(token, deadline);
        token
    }

    fn is_due(&mut self, token: Token, deadline: Instant) {
        let since = deadline.saturating_duration_since(self.epoch);
        let grains = since.as_nanos() / GRAIN.as_nanos();
        let rounded = self.epoch + GRAIN.saturating_mul(u32::try_from(grains).unwrap_or(u32::MAX));
        self.deadlines.entry(rounded).or_default().push(token);
    }

    /// Takes a repeat of a message, to be settled in the place of the try that is overdue.
    pub(crate) fn repeat(&mut self, name: Name, settle: Settle, deadline: Instant) -> Repeated {
        if let Some(late) = self.forget_late(&name) {
            return match late.error {
                None => Repeated::Proven(settle),
                Some(failure) => Repeated::Refused(settle, failure),
            };
        }
        let Some(token) = self.overdue.remove(&name) else { return Repeated::Unknown(settle) };
        let Some(sent) = self.sent.get_mut(&token) else { return Repeated::Unknown(settle) };
        sent.settle = Some(settle);
        self.is_due(token, deadline);
        Repeated::Waits
    }

    /// A stanza that nobody waits for any more has been proven after all.
    pub(crate) fn proven_late(&mut self, sent: Sent) {
        self.note_late(sent, None);
    }

    /// An error has come about a stanza that nobody waits for any more: its repeat hears it.
    pub(crate) fn refused_late(&mut self, sent: Sent, failure: Failure) {
        self.note_late(sent, Some(Box::new(failure)));
    }

    fn note_late(&mut self, Sent { key, domain, name, .. }: Sent, error: Option<Box<Failure>>) {
        let Some(name) = name else { return };
        self.late_by_key.insert(key.clone(), name);
        if self.late.insert(name, Late { key, domain, error }).is_none() {
            self.late_order.push_back(name);
        }
        // A name that a repeat has taken away stands there still.
        if self.late_order.len() > MAX_UNPROVEN
            && let Some(oldest) = self.late_order.pop_front()
        {
            self.forget_late(&oldest);
        }
    }

    fn forget_late(&mut self, name: &Name) -> Option<Late> {
        let late = self.late.remove(name)?;
        if self.late_by_key.get(&late.key) == Some(name) {
            self.late_by_key.remove(&late.key);
        }
        Some(late)
    }

    /// Takes an error to `to` with `id` about what counts as proven though nobody has heard that yet: its repeat hears the error.
    pub(crate) fn error_of_late(
        &mut self,
        to: &Jid,
        id: &str,
        may_tell: impl Fn(&str) -> bool,
        failure: impl FnOnce() -> Failure,
    ) -> bool {
        let late = self.late_by_key.get(&key(to.as_str(), id)).and_then(|name| self.late.get_mut(name));
        let Some(late) = late.filter(|late| may_tell(&late.domain)) else { return false };
        late.error.get_or_insert_with(|| Box::new(failure()));
        true
    }

    /// Takes a stanza out by its token.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Sent> {
        let sent = self.sent.remove(&token)?;
        if let Some(name) = sent.name.filter(|name| self.overdue.get(name) == Some(&token)) {
            self.overdue.remove(&name);
        }
        // Of two stanzas with one id the other may have it.
        if let Some(other) = self.by_key.remove(&sent.key).filter(|first| *first != token) {
            self.by_key.insert(sent.key.clone(), other);
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

    /// What is past its deadline, each once.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some(entry) = self.deadlines.first_entry().filter(|entry| *entry.key() <= now) {
            for token in entry.remove() {
                let name = self.sent.get(&token).and_then(|sent| sent.name);
                // Of two stanzas under one name none is known by it.
                if let Some(name) = name.filter(|name| !self.overdue.contains_key(name)) {
                    let settle = self.sent.get_mut(&token).and_then(|sent| sent.settle.take());
                    if let Some(settle) = settle {
                        self.overdue.insert(name, token);
                        expired.push(Expired { settle, forgotten: None });
                    }
                } else if let Some(Sent { settle: Some(settle), domain, .. }) = self.take_awaited(token) {
                    expired.push(Expired { settle, forgotten: Some((token, domain)) });
                }
            }
        }
        expired
    }

    fn take_awaited(&mut self, token: Token) -> Option<Sent> {
        self.sent.get(&token).filter(|sent| sent.settle.is_some())?;
        self.remove(token)
    }

    /// Forgets what is past its deadline.
    pub(crate) fn forget_overdue(&mut self) {
        for token in std::mem::take(&mut self.overdue).into_values() {
            self.remove(token);
        }
    }

    /// Takes out everything, in the order of sending.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        self.by_key.clear();
        self.deadlines.clear();
        self.overdue.clear();
        std::mem::take(&mut self.sent).into_values().collect()
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
            |jid: &Jid| table.insert(jid.as_str(), "1", "x.example".into(), None, settle_channel().0, now + hold);
        let (first, second, other) = (insert(&a), insert(&a), insert(&b));
        assert_eq!(table.remove_by_id(&b, "1", |_| true).map(|(token, _)| token), Some(other));
        assert_eq!(table.remove_by_id(&b, "1", |_| true).map(|(token, _)| token), None);
        assert_eq!(table.remove_by_id(&a, "1", |domain| domain == "x.example").map(|(token, _)| token), Some(first));
        assert!(table.remove_by_id(&a, "1", |_| true).is_none());
        assert!(table.expired(now + hold - GRAIN).is_empty());
        let expired = table.expired(now + hold);
        let tokens: Vec<_> = expired.iter().filter_map(|one| Some(one.forgotten.as_ref()?.0)).collect();
        assert_eq!(tokens, [second]);
        assert_eq!((table.len(), table.next_deadline()), (0, None));
    }

    #[test]
    fn a_repeat_waits_for_the_stanza_that_is_on_its_way_or_hears_that_it_has_arrived() {
        let now = Instant::now();
        let mut table = SentTable::new(now);
        let hold = Duration::from_secs(2);
        let name = (TraceId(7), 0);
        let token = table.insert("a", "1", "x.example".into(), Some(name), settle_channel().0, now + hold);
        assert!(matches!(table.repeat(name, settle_channel().0, now), Repeated::Unknown(_)), "it is not overdue");
        let expired = table.expired(now + hold);
        assert!(
            matches!(expired.as_slice(), [Expired { forgotten: None, .. }]) && !table.is_awaited() && table.len() == 1
        );
        assert!(table.expired(now + hold * 2).is_empty(), "once");
        // Another message, and another edition of this one, are written.
        for other in [(TraceId(8), 0), (TraceId(7), 1)] {
            assert!(matches!(table.repeat(other, settle_channel().0, now), Repeated::Unknown(_)));
        }
        assert!(matches!(table.repeat(name, settle_channel().0, now + hold * 3), Repeated::Waits));
        assert!(table.is_awaited());
        assert_eq!(table.expired(now + hold * 3).len(), 1, "it may be overdue again");
        let sent = table.remove(token).unwrap();
        assert!(sent.settle.is_none());
        table.proven_late(sent);
        assert!(matches!(table.repeat(name, settle_channel().0, now), Repeated::Proven(_)));
        assert!(matches!(table.repeat(name, settle_channel().0, now), Repeated::Unknown(_)), "a proof is used up");
        assert_eq!((table.len(), table.overdue.len(), table.late.len(), table.late_by_key.len()), (0, 0, 0, 0));
    }

    #[test]
    fn an_error_about_what_nobody_waits_for_is_told_to_its_repeat() {
        let now = Instant::now();
        let mut table = SentTable::new(now);
        let (a, name) = (Jid::parse("a@sip.example").unwrap(), (TraceId(7), 0));
        let failure = || Failure::new(impp_model::Side::Far, impp_model::Cause::NotFound);
        let overdue = |table: &mut SentTable| {
            table.insert(a.as_str(), "1", "x.example".into(), Some(name), settle_channel().0, now);
            table.expired(now);
        };
        let refused = |table: &mut SentTable| {
            let repeated = table.repeat(name, settle_channel().0, now);
            matches!(repeated, Repeated::Refused(_, failure) if failure.cause == impp_model::Cause::NotFound)
        };
        // The error comes behind the proof.
        overdue(&mut table);
        let (_, sent) = table.remove_by_id(&a, "1", |_| true).unwrap();
        table.proven_late(sent);
        assert!(!table.error_of_late(&a, "1", |domain| domain == "y.example", failure), "of another server");
        assert!(table.error_of_late(&a, "1", |domain| domain == "x.example", failure));
        assert!(refused(&mut table));
        assert!(!table.error_of_late(&a, "1", |_| true, failure), "the hub has heard");
        // It comes in place of the proof.
        overdue(&mut table);
        let (_, sent) = table.remove_by_id(&a, "1", |_| true).unwrap();
        table.refused_late(sent, failure());
        assert!(refused(&mut table));
        assert_eq!((table.late.len(), table.late_by_key.len()), (0, 0));
    }

    #[test]
    fn what_the_link_has_lost_is_written_again() {
        let now = Instant::now();
        let mut table = SentTable::new(now);
        let name = (TraceId(7), 0);
        table.insert("a", "1", "x.example".into(), Some(name), settle_channel().0, now);
        table.expired(now);
        assert!(table.drain().iter().all(|sent| sent.settle.is_none()));
        assert!(matches!(table.repeat(name, settle_channel().0, now), Repeated::Unknown(_)));
        // Or what another link has, that may be resumed or not.
        table.insert("a", "1", "x.example".into(), Some(name), settle_channel().0, now);
        table.insert("b", "1", "x.example".into(), Some((TraceId(8), 0)), settle_channel().0, now + GRAIN * 2);
        table.expired(now);
        table.forget_overdue();
        assert!(matches!(table.repeat(name, settle_channel().0, now), Repeated::Unknown(_)));
        assert_eq!((table.len(), table.is_awaited()), (1, true));
    }

    #[test]
    fn late_proofs_are_bounded() {
        let now = Instant::now();
        let mut table = SentTable::new(now);
        for number in 0..=MAX_UNPROVEN as u64 {
            let name = (TraceId(number), 0);
            let token = table.insert("a", "1", "x.example".into(), Some(name), settle_channel().0, now);
            table.expired(now);
            let sent = table.remove(token).unwrap();
            table.proven_late(sent);
        }
        assert_eq!((table.late.len(), table.late_order.len()), (MAX_UNPROVEN, MAX_UNPROVEN));
        assert!(matches!(table.repeat((TraceId(0), 0), settle_channel().0, now), Repeated::Unknown(_)));
    }
}
