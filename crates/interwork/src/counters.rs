//! What has happened, in numbers: plain atomics that a metrics exporter reads.

use adapter_api::{Carries, InstanceName};
use impp_model::Kind;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Everything the hub counts since its start.
#[derive(Debug, Default)]
pub struct Counters {
    operations: Family<OperationKey>,
    losses: Family<(InstanceName, String, Carries)>,
    latency: RwLock<BTreeMap<PairKey, Histogram>>,
    queue_full: AtomicU64,
    repeats: AtomicU64,
    duplicates: AtomicU64,
}

/// The labels of one operation counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationKey {
    /// The instance.
    pub adapter: InstanceName,
    /// Whether it came in there or went out there.
    pub direction: Direction,
    /// The kind of operation.
    pub kind: Kind,
    /// `delivered`, `handed_over`, `indeterminant`, `failed`, `refused`.
    pub outcome: &'static str,
    /// The reason code, possibly empty.
    pub reason: &'static str,
}

/// Which way an operation passed an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From its network.
    In,
    /// To its network.
    Out,
}

impl Direction {
    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// From which instance to which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairKey {
    /// Where operations came in.
    pub from: InstanceName,
    /// Where they went out.
    pub to: InstanceName,
}

impl Counters {
    pub(crate) fn operation(&self, key: OperationKey) {
        self.operations.add(key);
    }

    pub(crate) fn loss(&self, adapter: &InstanceName, field: &str, how: Carries) {
        self.losses.add((adapter.clone(), field.to_owned(), how));
    }

    pub(crate) fn queue_full(&self) {
        self.queue_full.fetch_add(1, Relaxed);
    }

    pub(crate) fn repeat(&self) {
        self.repeats.fetch_add(1, Relaxed);
    }

    pub(crate) fn duplicate(&self) {
        self.duplicates.fetch_add(1, Relaxed);
    }

    pub(crate) fn latency(&self, from: &InstanceName, to: &InstanceName, took: Duration) {
        let key = PairKey { from: from.clone(), to: to.clone() };
        if let Some(histogram) = self.latency.read().get(&key) {
            return histogram.observe(took);
        }
        self.latency.write().entry(key).or_default().observe(took);
    }

    /// How often a queue had no room.
    pub fn queue_full_total(&self) -> u64 {
        self.queue_full.load(Relaxed)
    }

    /// How often something was sent that an earlier try may have brought there already.
    pub fn repeats_total(&self) -> u64 {
        self.repeats.load(Relaxed)
    }

    /// How often a sender handed in again what was taken before, and nothing was sent.
    pub fn duplicates_total(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }

    /// Every operation counter.
    pub fn operations(&self) -> Vec<(OperationKey, u64)> {
        self.operations.read()
    }

    /// Every translation-loss counter.
    pub fn losses(&self) -> Vec<((InstanceName, String, Carries), u64)> {
        self.losses.read()
    }

    /// Every delivery-time histogram.
    pub fn latencies(&self) -> Vec<(PairKey, Histogram)> {
        self.latency.read().iter().map(|(key, histogram)| (key.clone(), histogram.snapshot())).collect()
    }
}

/// Counters by label set; the set of labels is small and soon complete, so reads dominate.
#[derive(Debug)]
struct Family<K>(RwLock<BTreeMap<K, AtomicU64>>);

impl<K> Default for Family<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Ord + Clone> Family<K> {
    fn add(&self, key: K) {
        if let Some(counter) = self.0.read().get(&key) {
            counter.fetch_add(1, Relaxed);
            return;
        }
        self.0.write().entry(key).or_default().fetch_add(1, Relaxed);
    }

    fn read(&self) -> Vec<(K, u64)> {
        self.0.read().iter().map(|(key, counter)| (key.clone(), counter.load(Relaxed))).collect()
    }
}

/// Delivery times in seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    /// Upper bounds in seconds: from a hop on the same host to the longest hold.
    pub const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 32.0];

    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some((_, bucket)) = Self::BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| seconds <= **bound) {
            bucket.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn snapshot(&self) -> Self {
        let copy = |counter: &AtomicU64| AtomicU64::new(counter.load(Relaxed));
        Self { buckets: self.buckets.each_ref().map(copy), count: copy(&self.count), micros: copy(&self.micros) }
    }

    /// How many observations fell below each bound and above the one before it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        Self::BOUNDS.iter().copied().zip(self.buckets.iter().map(|bucket| bucket.load(Relaxed)))
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their sum in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_observation_in_one_bucket() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        histogram.observe(Duration::from_secs(60));
        assert_eq!(histogram.count(), 2);
        assert_eq!(histogram.buckets().map(|(_, n)| n).sum::<u64>(), 1);
        assert_eq!(histogram.buckets().find(|(_, n)| *n == 1).map(|(bound, _)| bound), Some(0.005));
    }
}
