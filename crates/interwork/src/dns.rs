//! Name service with a count of its answers.

use crate::core::Core;
use async_trait::async_trait;
use impp_resolve::{Answer, Dns, DnsError, Name, RecordType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Name service that counts how each query ended; the hub and the adapters share one.
pub struct CountedDns {
    dns: Arc<dyn Dns>,
    counts: Arc<DnsCounts>,
}

/// How queries ended since the start.
#[derive(Debug, Default)]
pub struct DnsCounts {
    found: AtomicU64,
    absent: AtomicU64,
    failed: AtomicU64,
}

impl CountedDns {
    /// Counts what `dns` answers.
    pub fn new(dns: Arc<dyn Dns>) -> Self {
        Self { dns, counts: Arc::default() }
    }

    /// The counts, which go on.
    pub fn counts(&self) -> Arc<DnsCounts> {
        self.counts.clone()
    }
}

impl DnsCounts {
    /// Each outcome with its number.
    pub fn read(&self) -> [(&'static str, u64); 3] {
        [
            ("found", self.found.load(Relaxed)),
            ("absent", self.absent.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
        ]
    }

    fn of(&self, answer: &Result<Answer, DnsError>) -> &AtomicU64 {
        match answer {
            Ok(_) => &self.found,
            Err(DnsError::NoRecords { .. } | DnsError::NxDomain { .. }) => &self.absent,
            Err(DnsError::Failure(_)) => &self.failed,
        }
    }
}

impl Core {
    /// How queries of name service ended.
    pub fn dns_queries(&self) -> [(&'static str, u64); 3] {
        self.dns_counts.read()
    }
}

#[async_trait]
impl Dns for CountedDns {
    async fn query(&self, name: &Name, record_type: RecordType) -> Result<Answer, DnsError> {
        let answer = self.dns.query(name, record_type).await;
        self.counts.of(&answer).fetch_add(1, Relaxed);
        answer
    }
}
