//! What a shard should hold: its owner's token, its latest version and the sums of its tables.
//!
//! The head is written in the same commit as the records it sums, so a record that is lost, altered or brought back shows
//! as a difference at the next start.

use crate::key::{Fence, Table};

/// Octets of a head on disk.
const LENGTH: usize = 8 * (2 + 3 * Table::ALL.len()) + 4;

/// The head of one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fence: Fence,
    /// The latest version.
    pub(crate) last: u64,
    pub(crate) sums: [Sum; Table::ALL.len()],
}

/// The records of one table of one shard, summed in a way that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// How many.
    pub(crate) count: u64,
    /// Their versions, modulo 2^64: when one record is missing, the difference is its version.
    pub(crate) versions: u64,
    /// Their versions, each scrambled, modulo 2^64: several that are missing or back do not cancel each other out.
    pub(crate) marks: u64,
}

impl Sum {
    /// A record of this version is there. Within a shard no two records have the same, and its octets have a checksum.
    pub(crate) fn add(&mut self, version: u64) {
        self.count = self.count.wrapping_add(1);
        self.versions = self.versions.wrapping_add(version);
        self.marks = self.marks.wrapping_add(mark(version));
    }

    pub(crate) fn remove(&mut self, version: u64) {
        self.count = self.count.wrapping_sub(1);
        self.versions = self.versions.wrapping_sub(version);
        self.marks = self.marks.wrapping_sub(mark(version));
    }
}

/// The finalizer of splitmix64: every bit of the version reaches every bit of the mark.
fn mark(version: u64) -> u64 {
    let x = version.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Head {
    pub(crate) fn sum_mut(&mut self, table: Table) -> Option<&mut Sum> {
        self.sums.get_mut(table.index())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(LENGTH);
        octets.extend_from_slice(&self.fence.0.to_be_bytes());
        octets.extend_from_slice(&self.last.to_be_bytes());
        for sum in &self.sums {
            for number in [sum.count, sum.versions, sum.marks] {
                octets.extend_from_slice(&number.to_be_bytes());
            }
        }
        octets.extend_from_slice(&crc32c::crc32c(&octets).to_be_bytes());
        octets
    }

    /// The inverse of [`encode`](Self::encode); `None` when damaged.
    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let (body, checksum) = octets.split_last_chunk::<4>()?;
        if octets.len() != LENGTH || crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let mut numbers = body.as_chunks::<8>().0.iter().map(|n| u64::from_be_bytes(*n));
        let mut head = Self { fence: Fence(numbers.next()?), last: numbers.next()?, ..Self::default() };
        for sum in &mut head.sums {
            *sum = Sum { count: numbers.next()?, versions: numbers.next()?, marks: numbers.next()? };
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_the_disk_and_damage_shows() {
        let mut head = Head { fence: Fence(3), last: 9, ..Head::default() };
        head.sum_mut(Table::State).unwrap().add(9);
        let octets = head.encode();
        assert_eq!(Head::decode(&octets), Some(head));
        let mut flipped = octets;
        flipped[20] ^= 4;
        assert_eq!(Head::decode(&flipped), None);
        head.sum_mut(Table::State).unwrap().remove(9);
        assert_eq!(head.sums, [Sum::default(); 6]);
    }
}
