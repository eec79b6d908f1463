//! What the ledger holds: an operation, and all that is needed to conclude it after a restart.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use impp_model::{Address, Cause, Device, Endpoint, Failure, MessageOperation, Operation, Outcome, Proof};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Timestamp;
use crate::api::Expect;
use crate::key::{Shard, Version};

/// The number of an entry: sixteen hexadecimal digits to people; the shard, then a counter that all shards share.
///
/// One that was appended later is greater, whatever its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Bits of a [`Seq`] that count within its shard.
const COUNTER_BITS: u32 = 48;

impl Seq {
    pub(super) fn new(shard: Shard, counter: u64) -> Self {
        Self(u64::from(shard.number()) << COUNTER_BITS | counter & ((1 << COUNTER_BITS) - 1))
    }

    /// The shard that holds the entry; `None` for a number that none can have.
    pub fn shard(self) -> Option<Shard> {
        Shard::new(u16::try_from(self.0 >> COUNTER_BITS).ok()?)
    }

    /// Its place in time.
    pub(super) fn order(self) -> u64 {
        self.0 & ((1 << COUNTER_BITS) - 1)
    }

    pub(super) fn key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Where it is noted that the sender was told that it waits.
    pub(super) fn warned_key(self) -> Vec<u8> {
        [&self.key()[..], b"w"].concat()
    }

    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(|octets| Self(u64::from_be_bytes(octets)))
    }

    /// The inverse of [`warned_key`](Self::warned_key).
    pub(super) fn from_warned_key(key: &[u8]) -> Option<Self> {
        Self::from_key(key.strip_suffix(b"w")?)
    }
}

impl Ord for Seq {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order()).then(self.0.cmp(&other.0))
    }
}

impl PartialOrd for Seq {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Seq {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// A (source, destination) pair, within which order is kept: a hash of both addresses without devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair(u128);

impl Pair {
    /// The pair of these two.
    pub fn new(source: &Address, destination: &Address) -> Self {
        let parts = [source.local(), source.domain().as_str(), destination.local(), destination.domain().as_str()];
        Self(digest(parts.map(str::as_bytes)))
    }

    /// The pair of an operation.
    pub fn of(operation: &Operation) -> Self {
        Self::new(&operation.source().address, &operation.destination().address)
    }

    /// What all that goes to one destination has in common.
    pub(super) fn to(destination: &Address) -> Self {
        Self::new(destination, destination)
    }

    /// The hash, for records that others keep of the pair.
    pub fn to_bits(self) -> u128 {
        self.0
    }

    /// The pair of a hash that [`to_bits`](Self::to_bits) gave.
    pub fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The shard that holds its entries.
    pub fn shard(self) -> Shard {
        Shard::of_hash(self.0)
    }
}

/// What identifies a message of a sender, for the window of repeats and for late errors: a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OnceKey(u128);

impl OnceKey {
    /// The key of the message that `source` calls `id`.
    pub fn new(source: &Address, id: &str) -> Self {
        Self(digest([source.local(), source.domain().as_str(), id].map(str::as_bytes)))
    }

    /// The key of a message with this content: an id that is used again for another text is no repeat.
    ///
    /// The sender's device is part of it, for clients whose ids are their own only.
    pub fn of_message(operation: &MessageOperation) -> Self {
        let (source, destination, content) = (&operation.source, &operation.destination, &operation.message.content);
        let (from, to, id) = (device(source), device(destination), operation.carried_id());
        Self(digest([
            source.address.local().as_bytes(),
            source.address.domain().as_str().as_bytes(),
            from,
            destination.address.local().as_bytes(),
            destination.address.domain().as_str().as_bytes(),
            to,
            id.as_bytes(),
            content.media_type.as_bytes(),
            &content.octets,
        ]))
    }

    pub(super) fn key(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`key`](Self::key).
    pub(super) fn of_octets(key: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(key))
    }

    /// A number that is as good as any hash of the key, which is one.
    pub(super) fn hash(self) -> u64 {
        // The cut is meant.
        self.0 as u64
    }

    /// Where the recall of a message lies.
    pub(super) fn recall_key(self) -> Vec<u8> {
        [b"r", &self.key()[..]].concat()
    }

    /// The inverse of [`recall_key`](Self::recall_key).
    pub(super) fn from_recall_key(key: &[u8]) -> Option<Self> {
        Self::from_key(key.strip_prefix(b"r")?)
    }

    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self::of_octets)
    }
}

fn device(end: &Endpoint) -> &[u8] {
    end.device.as_ref().map_or("", Device::as_str).as_bytes()
}

/// Half of a SHA-256: nobody finds two texts with the same, so no stranger's message is taken for another's repeat.
fn digest<const N: usize>(parts: [&[u8]; N]) -> u128 {
    // In one piece: the hash costs twice as much when it is fed in many.
    let mut text = Vec::with_capacity(parts.iter().map(|part| size_of::<u64>() + part.len()).sum());
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    let whole: [u8; 32] = Sha256::digest(&text).into();
    whole.first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
}

/// Why an operation is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It waits for its next try.
    Spool,
    /// It is under way over a link that can't repeat; the record is for the case of a crash.
    Journal,
}

/// Whose operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A peer's: it counts, and its sender is told.
    Peer,
    /// The gateway's own, such as a notice: it does not count, and nobody is told.
    Gateway,
    /// The gateway's own word that something waits, or a peer's good news about a message: nobody misses it.
    Warning,
}

/// The way it came, for telling the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Near {
    /// The adapter instance.
    pub instance: Box<str>,
    /// What that adapter needs to answer, in its own form.
    pub reply: Bytes,
}

/// An operation for the ledger, and as it is read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The message's trace.
    pub trace: u64,
    /// What to carry out.
    pub operation: Operation,
    /// Whose it is.
    pub origin: Origin,
    /// The way it came.
    pub near: Near,
    /// The next hop that the routing chose, in the hub's own form; [`Ledger::wake`](super::Ledger::wake) goes by it.
    pub hop: Option<Box<str>>,
    /// Spool or journal.
    pub class: Class,
    /// When the gateway took it.
    pub created: Timestamp,
    /// When it expires undelivered.
    pub expires: Timestamp,
    /// When its sender is told that it waits, if he is to be.
    pub warn: Option<Timestamp>,
    /// When to try first, for the spool.
    pub next_try: Timestamp,
    /// Tries made before it came here.
    pub attempts: u32,
    /// Whether one of them may have reached the far side: the next is flagged as a possible repeat.
    pub uncertain: bool,
    /// Its place in the window of repeats.
    pub once: Option<OnceKey>,
}

/// What is known of an entry's delivery; written beside the entry when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) class: Class,
    pub(super) attempts: u32,
    pub(super) next_try: Timestamp,
    pub(super) uncertain: bool,
    pub(super) last: Option<Cause>,
    /// See [`Claimed::edition`](super::Claimed::edition).
    #[serde(default)]
    pub(super) edition: u32,
}

impl Progress {
    /// How it starts.
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            class: entry.class,
            attempts: entry.attempts,
            next_try: entry.next_try,
            uncertain: entry.uncertain || entry.class == Class::Journal,
            last: None,
            edition: 0,
        }
    }
}

/// What is known of a record of the ledger's own, which it alone writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// There is none.
    No,
    /// It is there, as this write left it.
    As(Version),
    /// A write is on its way.
    Unknown,
}

impl Stored {
    pub(super) fn expect(self) -> Expect {
        match self {
            Self::No => Expect::Sure(None),
            Self::As(version) => Expect::Sure(Some(version)),
            Self::Unknown => Expect::Anything,
        }
    }
}

/// How an operation ends: exactly one of these, once (DESIGN A5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The far side confirmed it.
    Delivered(Proof),
    /// Given to a peer that an operator has exempted from confirming.
    HandedOver,
    /// Final, and told unless the hub counts it as untold.
    Failed(Box<Failure>),
    /// Its time was over.
    Expired,
}

impl End {
    /// The end that an outcome is; `None` for `indeterminant`, which ends nothing.
    pub fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Success(proof) => Some(Self::Delivered(proof)),
            Outcome::HandedOver => Some(Self::HandedOver),
            Outcome::Failure(failure) => Some(Self::Failed(failure)),
            Outcome::Indeterminant => None,
        }
    }
}

/// Octets that most entries stay below, with a frame's header.
pub(super) const ENTRY_ROOM: usize = 1280;
/// Octets that most other records stay below, with a frame's header.
pub(super) const NOTE_ROOM: usize = 160;

/// The octets of a value, self-describing: a field that a later version adds does not make older records unreadable.
///
/// Measured on a message of 700 characters: MessagePack with names 1035 octets, 0.4 us to write, 1.0 us to read; postcard 837,
/// 0.2 and 0.5, but each field added to the model would need a migration; JSON 3235, 2.5 and 6.3.
pub(super) fn encode<T: Serialize>(value: &T, room: usize) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut octets = Vec::with_capacity(room);
    rmp_serde::encode::write_named(&mut octets, value)?;
    Ok(octets)
}

/// The inverse of [`encode`].
pub(crate) fn decode<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_carry_their_shard_and_survive_text() {
        let shard = Shard::new(5).unwrap();
        let seq = Seq::new(shard, 77);
        assert_eq!(seq.shard(), Some(shard));
        assert_eq!(seq.to_string().parse(), Ok(seq));
        assert_eq!(seq.to_string(), "000500000000004d");
        assert_eq!(Seq(u64::MAX).shard(), None);
        assert_eq!(Seq::from_key(&seq.key()), Some(seq));
        assert!(seq < Seq::new(Shard::new(2).unwrap(), 78));
    }

    #[test]
    fn pairs_have_a_direction_and_no_accidental_twins() {
        let (a, b) = (address("ab@c.example"), address("b@c.example"));
        assert_eq!(Pair::new(&a, &b), Pair::new(&address("ab@c.example"), &b));
        assert_ne!(Pair::new(&a, &b), Pair::new(&b, &a));
        assert_ne!(OnceKey::new(&a, "1"), OnceKey::new(&a, "2"));
        assert_ne!(OnceKey::new(&a, "1"), OnceKey::new(&b, "1"));
    }

    #[test]
    fn a_record_of_an_older_model_is_read() {
        #[derive(Serialize)]
        struct Older {
            class: Class,
            attempts: u32,
            next_try: Timestamp,
            uncertain: bool,
        }
        let older = Older { class: Class::Spool, attempts: 2, next_try: Timestamp(5), uncertain: true };
        let read: Progress = decode(&encode(&older, NOTE_ROOM).unwrap()).unwrap();
        assert_eq!((read.attempts, read.last), (2, None));
    }
}
