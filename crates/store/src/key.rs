//! What addresses a record: shard, table and key; and the token of a shard's owner.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of the state that one owner holds at a time (DESIGN A9); always below [`Shard::COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(u16);

impl Shard {
    /// How many shards there are: enough to spread over a handful of nodes; part of the on-disk format.
    pub const COUNT: u16 = 16;

    /// The shard of this number, unless it is [`Self::COUNT`] or more.
    pub fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// The shard that holds what `hash` stands for.
    pub fn of_hash(hash: u128) -> Self {
        // The remainder is below COUNT and so fits.
        Self((hash % u128::from(Self::COUNT)) as u16)
    }

    /// Every shard, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fencing token of a shard's owner; a younger owner has a greater one (DESIGN A9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl Fence {
    /// The token after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which write made a record what it is: grows with every write to its shard and is never used twice there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

/// A kind of record; each has key space and disk layout of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Table {
    /// Spooled and journalled operations; written by [`Ledger`](crate::Ledger) alone.
    Ledger,
    /// What is known of their delivery; written by [`Ledger`](crate::Ledger) alone.
    Progress,
    /// Outcomes of what was spooled; written by [`Ledger`](crate::Ledger) alone.
    Window,
    /// Totals; written by [`Ledger`](crate::Ledger) alone.
    Totals,
    /// The adapters' own records.
    State,
    /// Traces of what was spooled.
    Trace,
}

impl Table {
    /// Every table, in the order of the on-disk format.
    pub const ALL: [Self; 6] = [Self::Ledger, Self::Progress, Self::Window, Self::Totals, Self::State, Self::Trace];

    /// The name on disk and in exports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Progress => "progress",
            Self::Window => "window",
            Self::Totals => "totals",
            Self::State => "state",
            Self::Trace => "trace",
        }
    }

    /// Its place in [`Self::ALL`], and its number on disk.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Ledger => 0,
            Self::Progress => 1,
            Self::Window => 2,
            Self::Totals => 3,
            Self::State => 4,
            Self::Trace => 5,
        }
    }
}

/// The engine's key of a record: the shard before the key, so that a shard's records lie together.
pub(crate) fn engine_key(shard: Shard, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(2 + key.len());
    whole.extend_from_slice(&shard.0.to_be_bytes());
    whole.extend_from_slice(key);
    whole
}

/// The same, made of the key's own octets.
pub(crate) fn into_engine_key(shard: Shard, mut key: Vec<u8>) -> Vec<u8> {
    key.splice(0..0, shard.0.to_be_bytes());
    key
}

/// The inverse of [`engine_key`].
pub(crate) fn split_engine_key(whole: &[u8]) -> Option<(Shard, &[u8])> {
    let (shard, key) = whole.split_first_chunk::<2>()?;
    Some((Shard::new(u16::from_be_bytes(*shard))?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_know_their_place() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.index(), index);
        }
    }

    #[test]
    fn keys_split_as_they_were_joined() {
        let shard = Shard::new(7).unwrap();
        assert_eq!(split_engine_key(&engine_key(shard, b"key")), Some((shard, &b"key"[..])));
        assert_eq!(into_engine_key(shard, b"key".to_vec()), engine_key(shard, b"key"));
        assert_eq!(split_engine_key(b"\x00"), None);
        assert_eq!(split_engine_key(b"\x00\x10"), None);
        assert_eq!(Shard::new(Shard::COUNT), None);
    }
}
