//! Proof of arrival on links without stream management: an IQ that a domain must answer after what was sent before it.
//!
//! RFC 6120 §10.1 has a server process the stanzas of one link in order, and §8.2.3 has it answer every IQ request: an
//! answer to a ping (XEP-0199), even an error, therefore proves that all stanzas sent to its domain before it have
//! reached that domain's server, and that their own errors have come back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the caller calls one stanza that waits for proof.
pub type Token = u64;

/// The stanzas of one link that wait for proof, by destination domain.
///
/// Performs no I/O and reads no clock. After every `handle_*` call, drain [`poll_output`](Self::poll_output), then
/// re-arm from [`poll_timeout`](Self::poll_timeout). Stanzas that are written in one piece may be handed in together
/// before: one ping behind them covers all. Each domain has at most one ping outstanding. A stanza's own deadline is
/// the caller's: it withdraws the token with [`handle_settled`](Self::handle_settled).
#[derive(Debug)]
pub struct Barriers {
    domains: BTreeMap<Arc<str>, Unproven>,
    /// When something is due for a domain: the mirror of [`Unproven::due`].
    timers: BTreeSet<(Instant, Arc<str>)>,
    /// Which domain each outstanding ping went to.
    pings: BTreeMap<u64, Arc<str>>,
    outputs: VecDeque<Output>,
    /// Domains to which something went since outputs were last drained, in that order.
    sent_to: Vec<Arc<str>>,
    next_ping: u64,
    unproven: usize,
    /// When the link last gave a sign of life.
    heard: Instant,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send an IQ ping to the domain after everything sent so far.
    Ping {
        /// Makes the IQ's `id`, to be given back to [`Barriers::handle_answer`].
        id: u64,
        /// Its `to`.
        domain: Arc<str>,
    },
    /// The stanza has reached its domain's server.
    Proven(Token),
    /// The stanza's domain did not answer for [`DEAD_AFTER`]: nobody knows whether it arrived.
    Unconfirmed(Token),
    /// Nothing at all came over the link for [`DEAD_AFTER`] although an answer was due: close it.
    Close,
}

/// DESIGN A5: so many stanzas, or more that were written with them, do not wait for [`QUIET`] to pass.
pub const BATCH: usize = 32;

/// DESIGN A5: pings to one domain keep this distance, unless [`BATCH`] fills: 200 a second at most for light traffic.
pub const QUIET: Duration = Duration::from_millis(5);

/// DESIGN A5: how long an answer may take; servers give up a connection attempt of their own about as late.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);

/// Stanzas of one link that may wait for proof: two seconds' worth at 16,000 a second.
pub const MAX_UNPROVEN: usize = 32_768;

/// The stanzas sent to one domain.
#[derive(Debug)]
struct Unproven {
    /// In the order of sending.
    tokens: VecDeque<Token>,
    /// How many of them, from the front, the outstanding ping covers.
    ping: Option<Ping>,
    /// When the last of them went out.
    last_sent: Instant,
    /// Whether this domain stands in [`Barriers::sent_to`].
    is_listed: bool,
    /// When the next ping may go without a full batch.
    quiet_until: Instant,
    due: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Ping {
    id: u64,
    covers: usize,
    dead_at: Instant,
}

impl Barriers {
    /// For a link that has just come up.
    pub fn new(now: Instant) -> Self {
        Self {
            domains: BTreeMap::new(),
            timers: BTreeSet::new(),
            pings: BTreeMap::new(),
            outputs: VecDeque::new(),
            sent_to: Vec::new(),
            next_ping: 0,
            unproven: 0,
            heard: now,
        }
    }

    /// Whether one more stanza may be sent.
    pub fn has_room(&self) -> bool {
        self.unproven < MAX_UNPROVEN
    }

    /// How many stanzas wait for proof.
    pub fn unproven(&self) -> usize {
        self.unproven
    }

    /// Takes note of a stanza that went out at `now`; ask [`has_room`](Self::has_room) before.
    pub fn handle_sent(&mut self, token: Token, domain: &str, now: Instant) {
        let key = match self.domains.get_key_value(domain) {
            Some((key, _)) => Arc::clone(key),
            None => domain.into(),
        };
        let state = self.domains.entry(Arc::clone(&key)).or_insert_with(|| Unproven::new(now));
        state.tokens.push_back(token);
        state.last_sent = now;
        self.unproven += 1;
        if !std::mem::replace(&mut state.is_listed, true) {
            self.sent_to.push(key);
        }
    }

    /// Takes note of a stanza whose fate is known in another way: an error stanza, its deadline.
    pub fn handle_settled(&mut self, token: Token, domain: &str, now: Instant) {
        let Some((key, state)) = self.domains.get_key_value(domain).map(|(key, _)| Arc::clone(key)).and_then(|key| {
            let state = self.domains.get_mut(&key)?;
            Some((key, state))
        }) else {
            return;
        };
        let Some(at) = state.tokens.iter().position(|t| *t == token) else { return };
        state.tokens.remove(at);
        self.unproven -= 1;
        match &mut state.ping {
            Some(ping) if at < ping.covers => ping.covers -= 1,
            Some(_) | None => {}
        }
        self.settle_state(key, now);
    }

    /// Takes an answer, result or error alike, to ping `id`; `from` is the domain that gave it.
    ///
    /// Returns whether this was the outstanding ping of that domain.
    pub fn handle_answer(&mut self, id: u64, from: &str, now: Instant) -> bool {
        self.heard = now;
        if self.pings.get(&id).is_none_or(|domain| &**domain != from) {
            return false;
        }
        let Some(domain) = self.pings.remove(&id) else { return false };
        let Some(state) = self.domains.get_mut(&domain) else { return false };
        let covers = state.ping.take().map_or(0, |ping| ping.covers);
        self.unproven -= covers;
        self.outputs.extend(state.tokens.drain(..covers).map(Output::Proven));
        self.settle_state(domain, now);
        true
    }

    /// Takes note that something came over the link.
    pub fn handle_received(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, domain)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.give_up_dead_ping(&domain, now);
            self.settle_state(domain, now);
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        for domain in std::mem::take(&mut self.sent_to) {
            if let Some(state) = self.domains.get_mut(&domain) {
                state.is_listed = false;
                let now = state.last_sent;
                self.settle_state(domain, now);
            }
        }
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    // DEVIATES DESIGN A5: an unanswered ping closes the link only when the link itself is silent. Behind a component
    // link lie many domains, and one that is unreachable must not cut off the others.
    fn give_up_dead_ping(&mut self, domain: &Arc<str>, now: Instant) {
        let Some(state) = self.domains.get_mut(domain) else { return };
        let Some(ping) = state.ping.filter(|ping| ping.dead_at <= now) else { return };
        state.ping = None;
        self.pings.remove(&ping.id);
        self.unproven -= ping.covers;
        self.outputs.extend(state.tokens.drain(..ping.covers).map(Output::Unconfirmed));
        if self.heard + DEAD_AFTER <= now {
            self.outputs.push_back(Output::Close);
        }
    }

    /// Sends a ping if one is due for `domain`, forgets the domain if nothing is, and re-arms its timer.
    fn settle_state(&mut self, domain: Arc<str>, now: Instant) {
        let Some(state) = self.domains.get_mut(&domain) else { return };
        if state.wants_ping(now) {
            let id = self.next_ping;
            self.next_ping += 1;
            state.ping = Some(Ping { id, covers: state.tokens.len(), dead_at: now + DEAD_AFTER });
            state.quiet_until = now + QUIET;
            self.pings.insert(id, Arc::clone(&domain));
            self.outputs.push_back(Output::Ping { id, domain: Arc::clone(&domain) });
        }
        let due = state.next_due(now);
        if due == state.due {
            return;
        }
        if let Some(old) = std::mem::replace(&mut state.due, due) {
            self.timers.remove(&(old, Arc::clone(&domain)));
        }
        match due {
            Some(due) => {
                self.timers.insert((due, domain));
            }
            None => {
                self.domains.remove(&domain);
            }
        }
    }
}

impl Unproven {
    /// For a domain to which no ping has gone lately.
    fn new(now: Instant) -> Self {
        Self { tokens: VecDeque::new(), ping: None, last_sent: now, is_listed: false, quiet_until: now, due: None }
    }

    fn wants_ping(&self, now: Instant) -> bool {
        self.ping.is_none() && !self.tokens.is_empty() && (self.tokens.len() >= BATCH || self.quiet_until <= now)
    }

    /// When to look again; `None` when this state says nothing that a fresh one would not.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        match self.ping {
            Some(ping) => Some(ping.dead_at),
            None => Some(self.quiet_until).filter(|until| *until > now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Link {
        barriers: Barriers,
        now: Instant,
    }

    impl Link {
        #[allow(clippy::disallowed_methods)] // an origin for virtual time
        fn new() -> Self {
            let now = Instant::now();
            Self { barriers: Barriers::new(now), now }
        }

        fn send(&mut self, token: Token, domain: &str) -> Vec<Output> {
            self.barriers.handle_sent(token, domain, self.now);
            self.drain()
        }

        fn answer(&mut self, id: u64, from: &str) -> Vec<Output> {
            self.barriers.handle_answer(id, from, self.now);
            self.drain()
        }

        fn pass(&mut self, time: Duration) -> Vec<Output> {
            self.now += time;
            self.barriers.handle_timeout(self.now);
            self.drain()
        }

        fn drain(&mut self) -> Vec<Output> {
            std::iter::from_fn(|| self.barriers.poll_output()).collect()
        }
    }

    fn ping(id: u64, domain: &str) -> Vec<Output> {
        vec![Output::Ping { id, domain: domain.into() }]
    }

    fn proven(tokens: impl IntoIterator<Item = Token>) -> Vec<Output> {
        tokens.into_iter().map(Output::Proven).collect()
    }

    #[test]
    fn an_idle_domain_is_asked_at_once_and_forgotten_when_it_has_answered() {
        let mut link = Link::new();
        assert_eq!(link.send(1, "a.example"), ping(0, "a.example"));
        assert_eq!(link.answer(0, "a.example"), proven([1]));
        assert_eq!(link.pass(QUIET), []);
        assert_eq!((link.barriers.poll_timeout(), link.barriers.domains.len(), link.barriers.unproven()), (None, 0, 0));
    }

    #[test]
    fn one_ping_at_a_time_and_the_next_covers_what_came_meanwhile() {
        let mut link = Link::new();
        link.send(1, "a.example");
        for token in 2..=100 {
            assert_eq!(link.send(token, "a.example"), []);
        }
        let mut expected = proven([1]);
        expected.extend(ping(1, "a.example"));
        assert_eq!(link.answer(0, "a.example"), expected);
        assert_eq!(link.answer(1, "a.example"), proven(2..=100));
    }

    #[test]
    fn a_busy_domain_is_asked_after_the_quiet_time_or_a_full_batch() {
        let mut link = Link::new();
        link.send(1, "a.example");
        link.answer(0, "a.example");
        assert_eq!(link.send(2, "a.example"), []);
        assert_eq!(link.barriers.poll_timeout(), Some(link.now + QUIET));
        assert_eq!(link.pass(QUIET), ping(1, "a.example"));
        link.answer(1, "a.example");
        let outputs: Vec<_> = (10..10 + BATCH as u64).flat_map(|token| link.send(token, "a.example")).collect();
        assert_eq!(outputs, ping(2, "a.example"));
    }

    #[test]
    fn stanzas_written_together_share_one_ping() {
        let mut link = Link::new();
        for token in 1..=3 {
            link.barriers.handle_sent(token, "a.example", link.now);
        }
        link.barriers.handle_sent(4, "b.example", link.now);
        assert_eq!(link.drain(), [ping(0, "a.example"), ping(1, "b.example")].concat());
        assert_eq!(link.answer(0, "a.example"), proven([1, 2, 3]));
    }

    #[test]
    fn domains_are_proven_apart_and_only_by_themselves() {
        let mut link = Link::new();
        link.send(1, "a.example");
        assert_eq!(link.send(2, "b.example"), ping(1, "b.example"));
        assert_eq!(link.answer(0, "b.example"), []);
        assert_eq!(link.answer(7, "a.example"), []);
        assert_eq!(link.answer(1, "b.example"), proven([2]));
        assert_eq!(link.answer(1, "b.example"), []);
        assert_eq!(link.barriers.unproven(), 1);
    }

    #[test]
    fn a_settled_stanza_is_not_proven_again() {
        let mut link = Link::new();
        for token in 1..=3 {
            link.send(token, "a.example");
        }
        link.barriers.handle_settled(1, "a.example", link.now);
        link.barriers.handle_settled(1, "a.example", link.now);
        link.barriers.handle_settled(9, "nowhere.example", link.now);
        assert_eq!(link.answer(0, "a.example"), []);
        assert_eq!(link.pass(QUIET), ping(1, "a.example"));
        link.barriers.handle_settled(3, "a.example", link.now);
        assert_eq!(link.answer(1, "a.example"), proven([2]));
        assert_eq!(link.barriers.unproven(), 0);
    }

    #[test]
    fn a_silent_link_is_closed() {
        let mut link = Link::new();
        link.send(1, "a.example");
        assert_eq!(link.barriers.poll_timeout(), Some(link.now + DEAD_AFTER));
        assert_eq!(link.pass(DEAD_AFTER), [Output::Unconfirmed(1), Output::Close]);
    }

    #[test]
    fn a_silent_domain_on_a_living_link_is_asked_again() {
        let mut link = Link::new();
        link.send(1, "a.example");
        link.send(2, "a.example");
        link.pass(DEAD_AFTER / 2);
        link.barriers.handle_received(link.now);
        let mut expected = vec![Output::Unconfirmed(1)];
        expected.extend(ping(1, "a.example"));
        assert_eq!(link.pass(DEAD_AFTER / 2), expected);
        assert_eq!(link.answer(0, "a.example"), []);
        assert_eq!(link.answer(1, "a.example"), proven([2]));
    }

    #[test]
    fn there_is_a_limit() {
        let mut link = Link::new();
        for token in 0..MAX_UNPROVEN as u64 {
            assert!(link.barriers.has_room());
            link.send(token, "a.example");
        }
        assert!(!link.barriers.has_room());
        link.answer(0, "a.example");
        assert!(link.barriers.has_room());
    }

    /// A server that answers each ping after a while, in order, loses none, and sometimes bounces a stanza.
    #[test]
    fn every_stanza_ends_once_in_order_whatever_the_pace() {
        for seed in 0..50_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut draw = move |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let mut link = Link::new();
            let (mut ended, mut open, mut bounced) = (Vec::new(), VecDeque::new(), 0);
            let mut token = 0;
            for _ in 0..2000 {
                let mut outputs = match draw(4) {
                    0 | 1 => {
                        token += 1;
                        link.send(token, "a.example")
                    }
                    2 => match open.pop_front() {
                        Some(id) => link.answer(id, "a.example"),
                        None => Vec::new(),
                    },
                    _ => link.pass(Duration::from_micros(draw(8000))),
                };
                if draw(10) == 0 && ended.last() != Some(&token) && token > 0 {
                    let before = link.barriers.unproven();
                    link.barriers.handle_settled(token, "a.example", link.now);
                    bounced += before - link.barriers.unproven();
                    outputs.extend(link.drain());
                }
                for output in outputs {
                    match output {
                        Output::Ping { id, .. } => open.push_back(id),
                        Output::Proven(token) => ended.push(token),
                        Output::Unconfirmed(_) | Output::Close => panic!("seed {seed}: {output:?}"),
                    }
                }
                assert!(open.len() <= 1);
            }
            assert!(ended.is_sorted());
            assert_eq!(ended.len() + bounced + link.barriers.unproven(), token as usize, "seed {seed}");
        }
    }
}
