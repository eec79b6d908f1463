//! RFC 3261 §17.1.2: non-INVITE client transactions.

use super::key::KeyMap;
use super::slab::{KEPT, Slab};
use super::timers::{Deadlines, GRAIN};
use super::{Handle, Key, Reliability, Timers};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Instant;

/// The non-INVITE requests this element has sent and not forgotten.
///
/// `U` is the caller's own record of a request, given back once; `R` says where a request goes.
#[derive(Debug)]
pub struct Client<U, R> {
    records: Slab<Record<U, R>>,
    by_key: KeyMap<Handle>,
    outputs: VecDeque<ClientOutput<U, R>>,
    limit: usize,
    retransmit: Vec<Deadlines>, // Timer E, one queue for each interval
    timeout: Deadlines,         // Timer F
    absorb: Deadlines,          // Timer K
}

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientOutput<U, R> {
    /// Send a request, for the first time or again.
    Transmit {
        /// Its transaction.
        handle: Handle,
        /// The octets.
        request: Bytes,
        /// Where to.
        route: R,
    },
    /// Timer F: there was no final response. Counts as 408 (RFC 3261 §8.1.3.1).
    TimedOut {
        /// The caller's record.
        user: U,
    },
}

/// What a response turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponseMatch<U> {
    /// RFC 3261 §18.1.2: it answers nothing of ours; drop it.
    Stray,
    /// The peer has the request and is not done.
    Provisional,
    /// The first final response.
    Final(U),
    /// A repeated final response; drop it.
    Repeated,
}

/// Why a transaction was not begun.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<U> {
    /// As many are under way as the table holds.
    Full(U),
    /// One with this key is under way.
    Duplicate(U),
}

#[derive(Debug)]
struct Record<U, R> {
    key: Key,
    state: State<U>,
    request: Bytes,
    route: R,
    reliability: Reliability,
    step: u8, // which of the `retransmit` queues holds it
}

#[derive(Debug)]
enum State<U> {
    Trying(U),
    Proceeding(U),
    Completed,
}

impl<U, R: Clone> Client<U, R> {
    /// An empty table that refuses more than `limit` transactions.
    pub fn new(timers: Timers, limit: usize) -> Self {
        Self {
            records: Slab::new(),
            by_key: KeyMap::default(),
            outputs: VecDeque::new(),
            limit,
            retransmit: timers.intervals().into_iter().map(Deadlines::new).collect(),
            timeout: Deadlines::new(timers.lifetime()),
            absorb: Deadlines::new(timers.t4),
        }
    }

    /// How many transactions are remembered, answered ones included.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The caller's record of an unanswered request.
    pub fn user(&self, handle: Handle) -> Option<&U> {
        self.records.get(handle)?.state.user()
    }

    /// The unanswered request with this key.
    pub fn find(&self, key: &Key) -> Option<Handle> {
        self.by_key.get(key).copied()
    }

    /// The unanswered requests on routes that `affected` names: those a broken connection takes with it.
    pub fn unanswered_on<'a>(&'a self, affected: impl Fn(&R) -> bool + 'a) -> impl Iterator<Item = Handle> + 'a {
        let waiting = move |record: &Record<U, R>| record.state.user().is_some() && affected(&record.route);
        self.records.iter().filter(move |(_, record)| waiting(record)).map(|(handle, _)| handle)
    }

    /// Takes a response whose key is `key`.
    pub fn handle_response(&mut self, key: &Key, status: u16, now: Instant) -> ResponseMatch<U> {
        let Some(&handle) = self.by_key.get(key) else { return ResponseMatch::Stray };
        let Some(record) = self.records.get_mut(handle) else { return ResponseMatch::Stray };
        if status < 200 {
            return record.proceed();
        }
        let Some(user) = record.complete() else { return ResponseMatch::Repeated };
        match record.reliability {
            Reliability::Unreliable => self.absorb.arm(handle, now),
            Reliability::Reliable => drop(self.forget(handle)),
        }
        ResponseMatch::Final(user)
    }

    /// Ends a request that the transport could not deliver; counts as 503 (RFC 3261 §8.1.3.1).
    pub fn handle_transport_error(&mut self, handle: Handle) -> Option<U> {
        self.abandon(handle)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(handle) = self.absorb.pop_due(now) {
            self.forget(handle);
        }
        // Timer F before Timer E: a request that has run out of time is not sent again.
        while let Some(handle) = self.timeout.pop_due(now) {
            if let Some(user) = self.abandon(handle) {
                self.outputs.push_back(ClientOutput::TimedOut { user });
            }
        }
        for step in 0..self.retransmit.len() {
            while let Some(handle) = self.retransmit.get_mut(step).and_then(|queue| queue.pop_due(now)) {
                self.repeat(handle, now);
            }
        }
    }

    /// Sends `request` by `route` as a new transaction.
    pub fn start(
        &mut self,
        key: Key,
        request: Bytes,
        route: R,
        reliability: Reliability,
        user: U,
        now: Instant,
    ) -> Result<Handle, Refused<U>> {
        if self.by_key.contains_key(&key) {
            return Err(Refused::Duplicate(user));
        }
        if self.len() >= self.limit {
            return Err(Refused::Full(user));
        }
        let transmit = (request.clone(), route.clone());
        // RFC 3261 §17.1.2.2: what a reliable transport took is never sent again, so it need not be kept.
        let kept = if reliability == Reliability::Reliable { Bytes::new() } else { request };
        let record = Record { key, state: State::Trying(user), request: kept, route, reliability, step: 0 };
        let handle = self.records.insert(record);
        self.by_key.insert(key, handle);
        self.timeout.arm(handle, now);
        if let (Reliability::Unreliable, Some(queue)) = (reliability, self.retransmit.first_mut()) {
            queue.arm(handle, now);
        }
        let (request, route) = transmit;
        self.outputs.push_back(ClientOutput::Transmit { handle, request, route });
        Ok(handle)
    }

    /// Stops an unanswered request without telling the peer (RFC 3261 §9.1: only an INVITE is cancelled).
    ///
    /// Answers that come later are strays. Does nothing to an answered one.
    pub fn abandon(&mut self, handle: Handle) -> Option<U> {
        self.records.get(handle)?.state.user()?;
        self.forget(handle)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ClientOutput<U, R>> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let records = &self.records;
        let unanswered = |handle| records.get(handle).is_some_and(|record| record.state.user().is_some());
        let retransmit = self.retransmit.iter_mut().filter_map(|queue| queue.next(unanswered)).min();
        let timeout = self.timeout.next(unanswered);
        let absorb = self.absorb.next(|handle| records.get(handle).is_some());
        [retransmit, timeout, absorb.map(|at| at + GRAIN)].into_iter().flatten().min()
    }

    fn repeat(&mut self, handle: Handle, now: Instant) {
        let last = self.retransmit.len().saturating_sub(1) as u8;
        let Some(record) = self.records.get_mut(handle) else { return };
        record.step = match record.state {
            State::Trying(_) => last.min(record.step + 1),
            State::Proceeding(_) => last,
            State::Completed => return,
        };
        if let Some(queue) = self.retransmit.get_mut(usize::from(record.step)) {
            queue.arm(handle, now);
        }
        let (request, route) = (record.request.clone(), record.route.clone());
        self.outputs.push_back(ClientOutput::Transmit { handle, request, route });
    }

    fn forget(&mut self, handle: Handle) -> Option<U> {
        let record = self.records.remove(handle)?;
        self.by_key.remove(&record.key);
        // After a rush its room is given back.
        if self.by_key.capacity() > 2 * KEPT && self.by_key.len() < self.by_key.capacity() / 8 {
            self.by_key.shrink_to(KEPT.max(self.by_key.len() * 2));
        }
        match record.state {
            State::Trying(user) | State::Proceeding(user) => Some(user),
            State::Completed => None,
        }
    }
}

impl<U, R> Record<U, R> {
    fn proceed(&mut self) -> ResponseMatch<U> {
        match std::mem::replace(&mut self.state, State::Completed) {
            State::Trying(user) | State::Proceeding(user) => {
                self.state = State::Proceeding(user);
                ResponseMatch::Provisional
            }
            State::Completed => ResponseMatch::Repeated,
        }
    }

    fn complete(&mut self) -> Option<U> {
        self.request = Bytes::new();
        match std::mem::replace(&mut self.state, State::Completed) {
            State::Trying(user) | State::Proceeding(user) => Some(user),
            State::Completed => None,
        }
    }
}

impl<U> State<U> {
    fn user(&self) -> Option<&U> {
        match self {
            Self::Trying(user) | Self::Proceeding(user) => Some(user),
            Self::Completed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Keys;
    use crate::transaction::testkit::origin;
    use std::time::Duration;

    type Table = Client<&'static str, &'static str>;

    fn start(table: &mut Table, reliability: Reliability, now: Instant) -> (Key, Handle) {
        let key = Keys::new([0, 0]).client(b"z9hG4bKa", b"MESSAGE");
        let handle = table.start(key, Bytes::from_static(b"MESSAGE"), "peer", reliability, "user", now).unwrap();
        (key, handle)
    }

    /// Runs the table until nothing is left to do, noting when it sends and what it ends with.
    fn run(table: &mut Table, begin: Instant) -> (Vec<u128>, bool) {
        let (mut sent, mut timed_out, mut now) = (Vec::new(), false, begin);
        loop {
            while let Some(output) = table.poll_output() {
                match output {
                    ClientOutput::Transmit { .. } => sent.push((now - begin).as_millis()),
                    ClientOutput::TimedOut { user } => timed_out = user == "user",
                }
            }
            match table.poll_timeout() {
                Some(at) => now = at,
                None => return (sent, timed_out),
            }
            table.handle_timeout(now);
        }
    }

    // checks: SIP-001, SIP-002
    #[test]
    fn rfc3261_s17_1_2_2_timers_e_and_f_on_udp() {
        let (mut table, now) = (Table::new(Timers::default(), 10), origin());
        start(&mut table, Reliability::Unreliable, now);
        let (sent, timed_out) = run(&mut table, now);
        assert_eq!(sent, [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
        assert!(timed_out && table.is_empty());
    }

    // checks: SIP-001, SIP-002
    #[test]
    fn rfc3261_s17_1_2_2_reliable_transports_send_once() {
        let (mut table, now) = (Table::new(Timers::default(), 10), origin());
        start(&mut table, Reliability::Reliable, now);
        assert_eq!(run(&mut table, now), (vec![0], true));
    }

    // checks: SIP-001
    #[test]
    fn rfc3261_s17_1_2_2_in_proceeding_every_t2() {
        let (mut table, now) = (Table::new(Timers::default(), 10), origin());
        let (key, _) = start(&mut table, Reliability::Unreliable, now);
        assert_eq!(table.handle_response(&key, 100, now + Duration::from_millis(10)), ResponseMatch::Provisional);
        let (sent, timed_out) = run(&mut table, now);
        assert_eq!(sent, [0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500]);
        assert!(timed_out);
    }

    // checks: SIP-003, SIP-004
    #[test]
    fn rfc3261_s17_1_2_2_timer_k_absorbs_repeated_answers() {
        let (mut table, now) = (Table::new(Timers::default(), 10), origin());
        let (key, handle) = start(&mut table, Reliability::Unreliable, now);
        assert_eq!(table.handle_response(&key, 200, now), ResponseMatch::Final("user"));
        assert_eq!(table.handle_response(&key, 200, now), ResponseMatch::Repeated);
        assert_eq!(table.handle_response(&key, 100, now), ResponseMatch::Repeated);
        assert_eq!(table.abandon(handle), None);
        assert_eq!(run(&mut table, now), (vec![0], false));
        assert_eq!(table.handle_response(&key, 200, now), ResponseMatch::Stray);
    }

    // checks: SIP-003
    #[test]
    fn rfc3261_s17_1_2_2_timer_k_is_zero_on_reliable_transports() {
        let (mut table, now) = (Table::new(Timers::default(), 10), origin());
        let (key, _) = start(&mut table, Reliability::Reliable, now);
        assert_eq!(table.handle_response(&key, 486, now), ResponseMatch::Final("user"));
        assert!(table.is_empty());
    }

    // checks: SIP-019
    #[test]
    fn rfc3261_s18_4_a_transport_error_ends_the_transaction() {
        let (mut table, now) = (Table::new(Timers::default(), 10), origin());
        let (key, handle) = start(&mut table, Reliability::Unreliable, now);
        assert_eq!(table.unanswered_on(|route| *route == "peer").collect::<Vec<_>>(), [handle]);
        assert_eq!(table.handle_transport_error(handle), Some("user"));
        assert_eq!(table.handle_response(&key, 200, now), ResponseMatch::Stray);
        assert_eq!(run(&mut table, now), (vec![0], false));
    }

    #[test]
    fn a_full_table_refuses_and_gives_the_record_back() {
        let (mut table, now) = (Table::new(Timers::default(), 1), origin());
        let (key, _) = start(&mut table, Reliability::Reliable, now);
        let mut again = |key| table.start(key, Bytes::new(), "peer", Reliability::Reliable, "second", now);
        assert_eq!(again(key), Err(Refused::Duplicate("second")));
        assert_eq!(again(Keys::new([0, 0]).client(b"z9hG4bKb", b"MESSAGE")), Err(Refused::Full("second")));
    }
}
