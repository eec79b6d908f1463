//! A client table and a server table joined by a network that loses, delays and reorders; in virtual time.

use super::{
    Client, ClientOutput, Keys, MAX_ANSWERED, MAX_TRANSACTIONS, Reliability, RequestMatch, ResponseMatch, Server,
    ServerOutput, Timers,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Where virtual time begins.
#[allow(clippy::disallowed_methods, reason = "there is no other way to make an Instant")]
pub(super) fn origin() -> Instant {
    Instant::now()
}

/// How the network treats datagrams.
#[derive(Clone, Copy)]
struct Network {
    loss_percent: u64,
    max_delay_millis: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request(usize),
    Response(usize),
    Answer(usize), // the server's user makes up its mind
}

struct Pair {
    client: Client<usize, ()>,
    server: Server<usize, ()>,
    keys: Keys,
    network: Network,
    answer_after: Duration,
    events: BTreeMap<(Instant, u64), (Event, Bytes)>,
    handles: BTreeMap<usize, super::Handle>,
    sequence: u64,
    random: u64,
    delivered: Vec<usize>,
    answered: Vec<usize>,
    timed_out: Vec<usize>,
    trying: usize,
}

impl Pair {
    fn new(seed: u64, network: Network, answer_after: Duration) -> Self {
        Self {
            client: Client::new(Timers::default(), MAX_TRANSACTIONS),
            server: Server::new(Timers::default(), MAX_TRANSACTIONS, MAX_ANSWERED),
            keys: Keys::new([seed, !seed]),
            network,
            answer_after,
            events: BTreeMap::new(),
            handles: BTreeMap::new(),
            sequence: 0,
            random: seed | 1,
            delivered: Vec::new(),
            answered: Vec::new(),
            timed_out: Vec::new(),
            trying: 0,
        }
    }

    fn run(mut self, requests: usize) -> Self {
        let mut now = origin();
        for id in 0..requests {
            let key = self.keys.client(&id.to_be_bytes(), b"MESSAGE");
            let request = Bytes::copy_from_slice(&id.to_be_bytes());
            self.client.start(key, request, (), Reliability::Unreliable, id, now).unwrap();
        }
        loop {
            self.drain(now);
            let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
            let event = self.events.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.into_iter().flatten().chain(event).min() else { return self };
            now = next;
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= now) {
                let (event, octets) = entry.remove();
                self.handle(event, octets, now);
            }
            self.client.handle_timeout(now);
            self.server.handle_timeout(now);
        }
    }

    fn handle(&mut self, event: Event, octets: Bytes, now: Instant) {
        match event {
            Event::Request(id) => {
                let key = self.keys.server(&id.to_be_bytes(), b"", None, b"MESSAGE", b"c", 1);
                let merge = self.keys.merged(b"", &id.to_be_bytes(), b"");
                match self.server.handle_request(key, Some(merge), (), Reliability::Unreliable, id, now) {
                    RequestMatch::New(handle) => {
                        self.delivered.push(id);
                        self.handles.insert(id, handle);
                        self.push(now + self.answer_after, Event::Answer(id), Bytes::new());
                    }
                    RequestMatch::Repeated => {}
                    RequestMatch::Merged(id) | RequestMatch::Full(id) => panic!("request {id} refused"),
                }
            }
            Event::Answer(id) => {
                let response = [200_u16.to_be_bytes().as_slice(), &id.to_be_bytes()].concat();
                assert_eq!(self.server.respond(self.handles[&id], response.into(), now), Some(id));
            }
            Event::Response(id) => {
                let status = u16::from_be_bytes([octets[0], octets[1]]);
                let key = self.keys.client(&id.to_be_bytes(), b"MESSAGE");
                if let ResponseMatch::Final(user) = self.client.handle_response(&key, status, now) {
                    assert_eq!(user, id);
                    self.answered.push(id);
                }
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit { request, .. } => {
                    self.transmit(Event::Request(usize::from_be_bytes(request[..8].try_into().unwrap())), request, now);
                }
                ClientOutput::TimedOut { user } => self.timed_out.push(user),
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                ServerOutput::Transmit { response, .. } => {
                    let id = usize::from_be_bytes(response[2..10].try_into().unwrap());
                    self.transmit(Event::Response(id), response, now);
                }
                ServerOutput::TryingDue { handle } => {
                    let id = *self.server.user(handle).unwrap();
                    self.trying += 1;
                    let response = [100_u16.to_be_bytes().as_slice(), &id.to_be_bytes()].concat();
                    self.server.respond_trying(handle, response.into());
                }
            }
        }
    }

    fn transmit(&mut self, event: Event, octets: Bytes, now: Instant) {
        if self.random() % 100 >= self.network.loss_percent {
            let delay = Duration::from_millis(self.random() % (self.network.max_delay_millis + 1));
            self.push(now + delay, event, octets);
        }
    }

    fn push(&mut self, at: Instant, event: Event, octets: Bytes) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), (event, octets));
    }

    /// xorshift64: enough to vary a test, the same in every run.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

// checks: SIP-001, SIP-003, SIP-005
#[test]
fn over_a_bad_network_each_request_is_delivered_at_most_once_and_ends_once() {
    for seed in 1..40 {
        let network = Network { loss_percent: seed * 2, max_delay_millis: seed * 50 };
        let pair =
            Pair::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), network, Duration::from_millis(seed * 100)).run(50);
        let mut delivered = pair.delivered.clone();
        delivered.sort_unstable();
        delivered.dedup();
        assert_eq!(delivered.len(), pair.delivered.len(), "delivered twice, seed {seed}");
        let mut ended = [pair.answered.clone(), pair.timed_out.clone()].concat();
        ended.sort_unstable();
        assert_eq!(ended, (0..50).collect::<Vec<_>>(), "seed {seed}");
        assert!(pair.answered.iter().all(|id| delivered.contains(id)), "answered without delivery, seed {seed}");
        assert!(pair.client.is_empty() && pair.server.is_empty(), "records left, seed {seed}");
    }
}

// checks: SIP-001, SIP-043
#[test]
fn a_slow_server_over_a_sound_network_sends_trying_and_nothing_is_lost() {
    let network = Network { loss_percent: 0, max_delay_millis: 20 };
    let pair = Pair::new(7, network, Duration::from_secs(10)).run(20);
    assert_eq!((pair.answered.len(), pair.timed_out.len(), pair.trying), (20, 0, 20));
}
