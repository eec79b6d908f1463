//! Connections that break at any octet, again and again, while stanzas flow both ways: stream management against a
//! list of what was sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xmpp_proto::server::{Entropy, IncomingStream, OutgoingStream, Output, Security, Session};

use crate::support::*;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    CallerSends,
    CalledSends,
    /// The receivers settle this many of what they hold, first or last first.
    Settle {
        count: usize,
        reversed: bool,
    },
    /// So many octets get through each way, and the connection is gone.
    Break {
        forth: usize,
        back: usize,
    },
    Exchange,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::CallerSends),
        4 => Just(Step::CalledSends),
        3 => (0usize..4, any::<bool>()).prop_map(|(count, reversed)| Step::Settle { count, reversed }),
        2 => (0usize..400, 0usize..400).prop_map(|(forth, back)| Step::Break { forth, back }),
        2 => Just(Step::Exchange),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

/// One end's view of what it sent and what it got.
#[derive(Default)]
struct Side {
    sent: u64,
    acked: Vec<u64>,
    /// Received stanzas: the number for settling, and what they say.
    held: Vec<(u64, u64)>,
    /// What came at all.
    got: BTreeSet<u64>,
    settled: BTreeSet<u64>,
}

impl Side {
    fn see(&mut self, events: &[Output]) {
        for event in events {
            match event {
                Output::Acked(token) => self.acked.push(*token),
                Output::Lost(token) => panic!("lost {token}"),
                Output::Stanza { element, number: Some(number) } => {
                    let body = element.child("body", &element.ns).unwrap().text().parse().unwrap();
                    assert!(self.got.insert(body), "{body} came twice");
                    self.held.push((*number, body));
                }
                _ => {}
            }
        }
    }

    fn settle(&mut self, count: usize, reversed: bool) -> Vec<u64> {
        if reversed {
            self.held.reverse();
        }
        let taken: Vec<_> = self.held.drain(..count.min(self.held.len())).collect();
        self.held.sort_unstable();
        self.settled.extend(taken.iter().map(|(_, body)| *body));
        taken.into_iter().map(|(number, _)| number).collect()
    }
}

struct World {
    ends: Ends,
    sides: [Side; 2],
    connections: u8,
}

impl World {
    fn new() -> Self {
        Self { ends: Ends::open(server(CALLER), server(CALLED)), sides: Default::default(), connections: 1 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::CallerSends => self.send(0),
            Step::CalledSends => self.send(1),
            Step::Settle { count, reversed } => self.settle(count, reversed),
            Step::Break { forth, back } => self.reconnect(forth, back),
            Step::Exchange => self.exchange(),
            Step::Wait => {
                let events = self.ends.wait(Duration::from_secs(3));
                self.see(events);
            }
        }
    }

    fn send(&mut self, side: usize) {
        let (from, to) =
            [("juliet@example.com", "romeo@example.net"), ("romeo@example.net", "juliet@example.com")][side];
        let token = self.sides[side].sent;
        let stanza = message(from, to, &token.to_string());
        let sent = match side {
            0 => self.ends.caller.send(&stanza, Some(token), self.ends.now),
            _ => self.ends.called.send(&stanza, Some(token), self.ends.now),
        };
        sent.unwrap();
        self.sides[side].sent += 1;
    }

    fn settle(&mut self, count: usize, reversed: bool) {
        for number in self.sides[0].settle(count, reversed) {
            self.ends.caller.handle_settled(number, self.ends.now);
        }
        for number in self.sides[1].settle(count, reversed) {
            self.ends.called.handle_settled(number, self.ends.now);
        }
    }

    fn exchange(&mut self) {
        let events = self.ends.exchange();
        self.see(events);
    }

    fn see(&mut self, events: [Vec<Output>; 2]) {
        for (side, events) in self.sides.iter_mut().zip(events) {
            side.see(&events);
        }
    }

    fn reconnect(&mut self, forth: usize, back: usize) {
        let now = self.ends.now;
        let (to_called, at_caller) = drained(|| self.ends.caller.poll_output());
        let (to_caller, at_called) = drained(|| self.ends.called.poll_output());
        self.see([at_caller, at_called]);
        self.ends.called.handle_bytes(&to_called.as_bytes()[..forth.min(to_called.len())], now);
        self.ends.caller.handle_bytes(&to_caller.as_bytes()[..back.min(to_caller.len())], now);
        self.ends.caller.handle_eof();
        let at_caller = drained(|| self.ends.caller.poll_output()).1;
        // The receiver may not have noticed.
        let noticed = forth.is_multiple_of(2);
        if noticed {
            self.ends.called.handle_eof();
        }
        let at_called = drained(|| self.ends.called.poll_output()).1;
        self.see([at_caller, at_called]);
        let ours = self.ends.caller.take_session(now).unwrap();
        self.resume(ours);
    }

    fn resume(&mut self, ours: Session) {
        let now = self.ends.now;
        // What is held stays held: a stanza that the peer repeats is known by its number and not handed in again.
        let caller = OutgoingStream::resuming(Arc::new(server(CALLER)), ours, Security::Plain, now);
        self.connections += 1;
        let entropy = Entropy::new([self.connections; 32]);
        let called = IncomingStream::new(Arc::new(server(CALLED)), entropy, Security::Plain, now);
        self.ends.caller = caller;
        let mut old = std::mem::replace(&mut self.ends.called, called);
        let events = self.ends.exchange();
        let asked = events[1].iter().any(|event| matches!(event, Output::Resume { .. }));
        assert!(asked, "{events:?}");
        self.see(events);
        let theirs = old.take_session(now).unwrap();
        self.ends.called.handle_session(Some(theirs), now).unwrap();
        self.exchange();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, rng_seed: RngSeed::Fixed(198), failure_persistence: None, ..ProptestConfig::default()
    })]

    // checks: SMG-002, XST-016
    #[test]
    fn xep0198_s5_each_stanza_arrives_and_is_acknowledged_once_and_in_order(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        for _ in 0..4 {
            world.exchange();
            world.settle(usize::MAX, false);
            world.step(&Step::Wait);
        }
        for (sender, receiver) in [(0, 1), (1, 0)] {
            let all: Vec<_> = (0..world.sides[sender].sent).collect();
            prop_assert_eq!(&world.sides[sender].acked, &all);
            prop_assert!(world.sides[receiver].settled.iter().eq(&all));
        }
    }
}
