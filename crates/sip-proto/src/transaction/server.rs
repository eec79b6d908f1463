//! RFC 3261 §17.2.2, RFC 4320: non-INVITE server transactions.

use super::answered::{Answer, Answered};
use super::key::KeyMap;
use super::slab::Slab;
use super::timers::Deadlines;
use super::{Handle, Key, Reliability, Timers};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Instant;

/// The requests this element has received and not forgotten.
///
/// `U` is what the caller keeps of an unanswered request; `R` says where its responses go; of `A`, which many answers have in
/// common, the caller makes an answer anew from a copy of its request.
///
/// An INVITE that is refused at once may be kept here, too: like the stateless server of RFC 3261 §8.2.7 this table
/// repeats its answer when the INVITE is repeated. The caller drops every ACK.
#[derive(Debug)]
pub struct Server<U, R, A = ()> {
    records: Slab<Record<U, R>>, // the unanswered ones
    by_key: KeyMap<Handle>,
    by_merge_key: KeyMap<Handle>,
    outputs: VecDeque<ServerOutput<R>>,
    limit: usize,
    trying: Deadlines,        // RFC 4320 §4.1
    answered: Answered<R, A>, // Timer J
}

/// What is known of a request by its key.
#[derive(Debug, PartialEq, Eq)]
pub enum Repetition<A> {
    /// Nothing: it is new.
    New,
    /// It is a copy of one that is not answered, or what that was answered goes out again.
    Repeated,
    /// It is a copy of one that was answered in brief; the caller answers it the same.
    Brief(A),
}

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerOutput<R> {
    /// Send a response, for the first time or again.
    Transmit {
        /// The octets.
        response: Bytes,
        /// Where to.
        route: R,
    },
    /// The request is unanswered for so long that 100 (Trying) may and must be sent:
    /// see [`Server::respond_trying`].
    TryingDue {
        /// The request.
        handle: Handle,
    },
}

/// What a request turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestMatch<U> {
    /// A new one; the caller answers it once.
    New(Handle),
    /// A retransmission; what was answered before goes out again, if anything was.
    Repeated,
    /// RFC 3261 §8.2.2.2: a copy of a known request by another path, to be answered 482 and not kept.
    Merged(U),
    /// The table is full; to be answered 503 and not kept.
    Full(U),
}

#[derive(Debug)]
struct Record<U, R> {
    key: Key,
    merge_key: Option<Key>,
    user: U,
    trying: Option<Bytes>, // the 100 that was sent
    route: R,
    reliability: Reliability,
}

impl<U, R: Clone, A: Clone + PartialEq> Server<U, R, A> {
    /// An empty table that refuses requests beyond `limit` unanswered ones, and those for whose answers `answered` has no room.
    pub fn new(timers: Timers, limit: usize, answered: usize) -> Self {
        Self {
            records: Slab::new(),
            by_key: KeyMap::default(),
            by_merge_key: KeyMap::default(),
            outputs: VecDeque::new(),
            limit,
            trying: Deadlines::new(timers.trying_after()),
            answered: Answered::new(timers.lifetime(), answered),
        }
    }

    /// How many transactions are remembered, answered ones included.
    pub fn len(&self) -> usize {
        self.records.len() + self.answered.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a request with this key is remembered (RFC 3261 §9.2: what a CANCEL asks).
    pub fn knows(&self, key: &Key) -> bool {
        self.by_key.contains_key(key) || self.answered.knows(key)
    }

    /// What the caller kept of an unanswered request.
    pub fn user(&self, handle: Handle) -> Option<&U> {
        self.records.get(handle).map(|record| &record.user)
    }

    /// Takes a request whose responses go by `route`.
    ///
    /// `merge_key` is given for requests without To tag. A repeated request is answered by the `route` of its first
    /// copy, unless it was answered in brief: that [`handle_retransmission`](Self::handle_retransmission) tells.
    pub fn handle_request(
        &mut self,
        key: Key,
        merge_key: Option<Key>,
        route: R,
        reliability: Reliability,
        user: U,
        now: Instant,
    ) -> RequestMatch<U> {
        if self.handle_retransmission(&key) != Repetition::New {
            return RequestMatch::Repeated;
        }
        if merge_key.is_some_and(|merge_key| self.knows_merged(&merge_key)) {
            return RequestMatch::Merged(user);
        }
        // What is admitted has room for its answer, so that none is ever forgotten early.
        if self.records.len() >= self.limit || !self.answered.has_room(self.records.len()) {
            return RequestMatch::Full(user);
        }
        let handle = self.records.insert(Record { key, merge_key, user, trying: None, route, reliability });
        self.by_key.insert(key, handle);
        if let Some(merge_key) = merge_key {
            self.by_merge_key.insert(merge_key, handle);
        }
        self.trying.arm(handle, now);
        RequestMatch::New(handle)
    }

    /// Answers a request with this key again, if it is remembered; saves judging it a second time.
    pub fn handle_retransmission(&mut self, key: &Key) -> Repetition<A> {
        if let Some(&handle) = self.by_key.get(key) {
            self.repeat_trying(handle);
            return Repetition::Repeated;
        }
        match self.answered.answer(key) {
            Some(Answer::Whole(whole)) => {
                let (response, route) = (Bytes::copy_from_slice(&whole.0), whole.1.clone());
                self.outputs.push_back(ServerOutput::Transmit { response, route });
                Repetition::Repeated
            }
            Some(Answer::Brief(brief)) => Repetition::Brief(A::clone(brief)),
            None => Repetition::New,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.answered.handle_timeout(now);
        while let Some(handle) = self.trying.pop_due(now) {
            if self.is_trying(handle) {
                self.outputs.push_back(ServerOutput::TryingDue { handle });
            }
        }
    }

    /// Sends 100 (Trying), the only provisional response there is (RFC 4320 §4.1).
    pub fn respond_trying(&mut self, handle: Handle, response: Bytes) {
        let Some(record) = self.records.get_mut(handle) else { return };
        record.trying = Some(response);
        self.repeat_trying(handle);
    }

    /// Sends the final response and gives back what the caller kept; a second final response is dropped.
    pub fn respond(&mut self, handle: Handle, response: Bytes, now: Instant) -> Option<U> {
        self.respond_as(handle, response, None, now)
    }

    /// The same for a response that the caller makes anew of `brief` and a copy of the request.
    pub fn respond_in_brief(&mut self, handle: Handle, response: Bytes, brief: &A, now: Instant) -> Option<U> {
        self.respond_as(handle, response, Some(brief), now)
    }

    fn respond_as(&mut self, handle: Handle, response: Bytes, brief: Option<&A>, now: Instant) -> Option<U> {
        let Record { key, merge_key, user, route, reliability, .. } = self.records.remove(handle)?;
        self.by_key.remove(&key);
        if let Some(merge_key) = merge_key {
            self.by_merge_key.remove(&merge_key);
        }
        match (reliability, brief) {
            (Reliability::Reliable, _) => {}
            (Reliability::Unreliable, Some(brief)) => self.answered.keep_brief(key, merge_key, brief, now),
            (Reliability::Unreliable, None) => self.answered.keep(key, merge_key, route.clone(), &response, now),
        }
        self.outputs.push_back(ServerOutput::Transmit { response, route });
        Some(user)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ServerOutput<R>> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let records = &self.records;
        let trying = self.trying.next(|handle| records.get(handle).is_some_and(|record| record.trying.is_none()));
        [trying, self.answered.poll_timeout()].into_iter().flatten().min()
    }

    fn knows_merged(&self, merge_key: &Key) -> bool {
        self.by_merge_key.contains_key(merge_key) || self.answered.knows_merged(merge_key)
    }

    fn repeat_trying(&mut self, handle: Handle) {
        let Some(Record { trying: Some(response), route, .. }) = self.records.get(handle) else { return };
        let (response, route) = (response.clone(), route.clone());
        self.outputs.push_back(ServerOutput::Transmit { response, route });
    }

    fn is_trying(&self, handle: Handle) -> bool {
        self.records.get(handle).is_some_and(|record| record.trying.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Keys;
    use crate::transaction::testkit::origin;
    use std::time::Duration;

    type Table = Server<&'static str, &'static str>;

    struct Rig {
        table: Table,
        keys: Keys,
        now: Instant,
    }

    impl Rig {
        fn new(limit: usize) -> Self {
            Self { table: Table::new(Timers::default(), limit, 10), keys: Keys::new([0, 0]), now: origin() }
        }

        fn request(&mut self, branch: &[u8], reliability: Reliability) -> RequestMatch<&'static str> {
            let key = self.keys.server(branch, b"peer.example", None, b"MESSAGE", b"c", 1);
            let merge = self.keys.merged(b"tag", b"call", b"1 MESSAGE");
            self.table.handle_request(key, Some(merge), "peer", reliability, "user", self.now)
        }

        fn sent(&mut self) -> Vec<Bytes> {
            let mut sent = Vec::new();
            while let Some(output) = self.table.poll_output() {
                match output {
                    ServerOutput::Transmit { response, .. } => sent.push(response),
                    ServerOutput::TryingDue { .. } => sent.push(Bytes::from_static(b"due")),
                }
            }
            sent
        }

        fn advance(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
            self.table.handle_timeout(self.now);
        }
    }

    fn new(found: RequestMatch<&'static str>) -> Handle {
        let RequestMatch::New(handle) = found else { panic!("{found:?}") };
        handle
    }

    // checks: SIP-005
    #[test]
    fn rfc3261_s17_2_2_a_repeated_request_gets_the_same_octets() {
        let mut rig = Rig::new(10);
        let handle = new(rig.request(b"z9hG4bK1", Reliability::Unreliable));
        assert_eq!(rig.request(b"z9hG4bK1", Reliability::Unreliable), RequestMatch::Repeated);
        assert_eq!(rig.sent(), Vec::<Bytes>::new());
        assert_eq!(rig.table.respond(handle, "200".into(), rig.now), Some("user"));
        assert_eq!(rig.table.respond(handle, "500".into(), rig.now), None);
        assert_eq!(rig.request(b"z9hG4bK1", Reliability::Unreliable), RequestMatch::Repeated);
        assert_eq!(rig.sent(), ["200", "200"]);
        rig.advance(31_999);
        assert_eq!(rig.request(b"z9hG4bK1", Reliability::Unreliable), RequestMatch::Repeated);
        rig.advance(1);
        assert!(rig.table.is_empty());
    }

    // checks: SIP-005
    #[test]
    fn rfc3261_s17_2_2_what_was_answered_in_brief_is_told_to_the_caller() {
        let mut table: Server<(), &str, u16> = Server::new(Timers::default(), 10, 10);
        let (keys, now) = (Keys::new([0, 0]), origin());
        let key = keys.client(b"z9hG4bK1", b"MESSAGE");
        assert_eq!(table.handle_retransmission(&key), Repetition::New);
        let RequestMatch::New(handle) = table.handle_request(key, None, "peer", Reliability::Unreliable, (), now)
        else {
            panic!("new")
        };
        assert_eq!(table.handle_retransmission(&key), Repetition::Repeated);
        assert_eq!(table.respond_in_brief(handle, "200".into(), &200, now), Some(()));
        assert_eq!(table.poll_output(), Some(ServerOutput::Transmit { response: "200".into(), route: "peer" }));
        assert_eq!(table.handle_retransmission(&key), Repetition::Brief(200));
        let repeated = table.handle_request(key, None, "peer", Reliability::Unreliable, (), now);
        assert_eq!((repeated, table.poll_output()), (RequestMatch::Repeated, None));
        assert!(table.knows(&key));
    }

    // checks: SIP-005
    #[test]
    fn rfc3261_s17_2_2_timer_j_is_zero_on_reliable_transports() {
        let mut rig = Rig::new(10);
        let handle = new(rig.request(b"z9hG4bK1", Reliability::Reliable));
        assert_eq!(rig.table.respond(handle, "200".into(), rig.now), Some("user"));
        assert!(rig.table.is_empty() && rig.sent() == ["200"]);
    }

    // checks: SIP-041, SIP-042, SIP-043
    #[test]
    fn rfc4320_s4_1_trying_is_due_after_3500_ms_and_never_before() {
        for reliability in [Reliability::Unreliable, Reliability::Reliable] {
            let mut rig = Rig::new(10);
            let handle = new(rig.request(b"z9hG4bK1", reliability));
            rig.advance(3_499);
            assert_eq!(rig.sent(), Vec::<Bytes>::new());
            rig.advance(1);
            assert_eq!(rig.sent(), ["due"]);
            rig.table.respond_trying(handle, "100".into());
            rig.request(b"z9hG4bK1", reliability);
            assert_eq!(rig.sent(), ["100", "100"]);
            // However long it takes, the machine makes up no answer of its own.
            rig.advance(100_000);
            assert_eq!(rig.sent(), Vec::<Bytes>::new());
            rig.table.respond(handle, "200".into(), rig.now);
            rig.table.respond_trying(handle, "100".into());
            assert_eq!(rig.sent(), ["200"]);
        }
    }

    // checks: SIP-043
    #[test]
    fn an_answered_request_is_never_due() {
        let mut rig = Rig::new(10);
        let handle = new(rig.request(b"z9hG4bK1", Reliability::Unreliable));
        rig.table.respond(handle, "200".into(), rig.now);
        rig.advance(3_500);
        assert_eq!(rig.sent(), ["200"]);
    }

    // checks: SIP-024
    #[test]
    fn rfc3261_s8_2_2_2_a_copy_by_another_path_is_merged() {
        let mut rig = Rig::new(10);
        let handle = new(rig.request(b"z9hG4bK1", Reliability::Unreliable));
        assert_eq!(rig.request(b"z9hG4bK2", Reliability::Unreliable), RequestMatch::Merged("user"));
        rig.table.respond(handle, "200".into(), rig.now);
        assert_eq!(rig.request(b"z9hG4bK2", Reliability::Unreliable), RequestMatch::Merged("user"));
        rig.advance(32_000);
        new(rig.request(b"z9hG4bK2", Reliability::Unreliable));
    }

    // checks: SIP-029
    #[test]
    fn rfc3261_s9_2_a_cancelled_request_is_known_by_its_own_method() {
        let mut rig = Rig::new(10);
        let handle = new(rig.request(b"z9hG4bK1", Reliability::Unreliable));
        assert!(rig.table.knows(&rig.keys.server(b"z9hG4bK1", b"peer.example", None, b"MESSAGE", b"c", 1)));
        assert!(!rig.table.knows(&rig.keys.server(b"z9hG4bK1", b"peer.example", None, b"CANCEL", b"c", 1)));
        assert_eq!(rig.table.user(handle), Some(&"user"));
    }

    #[test]
    fn a_full_table_refuses_new_requests_and_still_repeats_answers() {
        let mut rig = Rig::new(1);
        let handle = new(rig.request(b"z9hG4bK1", Reliability::Unreliable));
        let other = |rig: &mut Rig, branch: &[u8]| {
            let key = rig.keys.server(branch, b"peer.example", None, b"MESSAGE", b"c", 1);
            rig.table.handle_request(key, None, "peer", Reliability::Unreliable, "other", rig.now)
        };
        assert_eq!(other(&mut rig, b"z9hG4bK3"), RequestMatch::Full("other"));
        rig.table.respond(handle, "200".into(), rig.now);
        // Answered ones are bounded on their own: nine more, and then none before Timer J of the first.
        for branch in 0..9_u8 {
            let handle = new(other(&mut rig, &[branch]));
            rig.table.respond(handle, "202".into(), rig.now);
        }
        assert_eq!(other(&mut rig, b"z9hG4bK3"), RequestMatch::Full("other"));
        assert_eq!(rig.request(b"z9hG4bK1", Reliability::Unreliable), RequestMatch::Repeated);
        let sent = rig.sent();
        assert_eq!((sent.first(), sent.last(), sent.len()), (Some(&"200".into()), Some(&"200".into()), 11));
        rig.advance(32_000);
        new(other(&mut rig, b"z9hG4bK3"));
    }
}
