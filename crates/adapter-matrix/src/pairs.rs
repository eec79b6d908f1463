//! What waits to be carried out: in order for each pair, one at a time, and bounded.

use adapter_api::Delivery;
use adapter_api::model::Address;
use std::collections::{BTreeMap, VecDeque};

/// Who is elsewhere, and the user of the homeserver.
pub(crate) type Pair = (Address, Address);

/// Deliveries by pair; a pair is listed as long as somebody carries out what is its.
#[derive(Default)]
pub(crate) struct Pairs {
    queues: BTreeMap<Pair, VecDeque<Delivery>>,
    waiting: usize,
}

/// Deliveries of one pair that may wait: what its room takes in some seconds.
const MAX_OF_PAIR: usize = 128;

/// Deliveries that may wait, all pairs together.
const MAX_WAITING: usize = 4096;

impl Pairs {
    /// Adds a delivery; true if nobody works for its pair yet. Gives it back where there is no room.
    pub(crate) fn push(&mut self, pair: &Pair, delivery: Delivery) -> Result<bool, Delivery> {
        let of_pair = self.queues.get(pair).map_or(0, VecDeque::len);
        if self.waiting >= MAX_WAITING || of_pair >= MAX_OF_PAIR {
            return Err(delivery);
        }
        self.waiting += 1;
        let begins = !self.queues.contains_key(pair);
        self.queues.entry(pair.clone()).or_default().push_back(delivery);
        Ok(begins)
    }

    /// The next delivery of a pair; none ends the work for it.
    pub(crate) fn next(&mut self, pair: &Pair) -> Option<Delivery> {
        let next = self.queues.get_mut(pair).and_then(VecDeque::pop_front);
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.queues.remove(pair)),
        }
        next
    }

    /// Everything that waits.
    pub(crate) fn drain(&mut self) -> Vec<Delivery> {
        self.waiting = 0;
        self.queues.values_mut().flat_map(std::mem::take).collect()
    }
}
