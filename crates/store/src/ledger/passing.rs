//! Stored records that go when their time is over.

use std::collections::VecDeque;

use super::Timestamp;
use crate::api::Expect;
use crate::key::Shard;

/// The records, those that go first in front.
#[derive(Default)]
pub(super) struct Passing {
    records: VecDeque<Record>,
    weight: usize,
}

/// One of them, in the window's table.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) until: Timestamp,
    pub(super) shard: Shard,
    pub(super) key: Vec<u8>,
    pub(super) expect: Expect,
    /// How many ends it holds.
    pub(super) weight: usize,
}

impl Passing {
    pub(super) fn push(&mut self, record: Record) {
        self.weight += record.weight;
        self.records.push_back(record);
    }

    /// At most `limit` that may go: their time is over, or those that are left hold more than `bound` ends.
    pub(super) fn sweep(&mut self, now: Timestamp, bound: usize, limit: usize) -> Vec<Record> {
        let mut gone = Vec::new();
        while gone.len() < limit {
            let over = self.weight > bound;
            let Some(record) = self.records.pop_front_if(|record| over || record.until <= now) else { break };
            self.weight -= record.weight;
            gone.push(record);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_in_their_time_and_sooner_above_the_bound() {
        let mut passing = Passing::default();
        for until in 1..=4 {
            let shard = Shard::new(0).unwrap();
            let record = Record { until: Timestamp(until), shard, key: vec![1], expect: Expect::Anything, weight: 10 };
            passing.push(record);
        }
        assert_eq!(passing.sweep(Timestamp(1), 100, 10).len(), 1);
        assert_eq!(passing.sweep(Timestamp(1), 25, 10).len(), 1);
        assert_eq!((passing.weight, passing.sweep(Timestamp(9), 100, 1).len()), (20, 1));
    }
}
