//! What survives a crash: the store in `gateway.data_dir`, and the ledger on it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use interwork::Storage;
use store::{
    Batch, DataDir, FjallStore, Ledger, Limits, MemoryStore, Opened, Options, Recovered, Shard, SteadyClock, Store,
    TraceLimits, TraceLog, WindowLimits,
};

use crate::config::Config;

/// An open store with its ledger.
pub(crate) struct Stored {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// What the hub needs of it.
    pub(crate) storage: Storage,
}

impl Stored {
    /// The store of `data_dir`; without one nothing is kept, and so nothing is accepted that is not delivered.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        match &config.gateway.data_dir {
            Some(path) => Self::on_disk(path, config).with_context(|| format!("gateway.data_dir = \"{}\"", path.display())),
            None => {
                tracing::warn!("no gateway.data_dir: a message that cannot be delivered at once is refused");
                Self::counting(window(config))
            }
        }
    }

    /// A ledger that only counts.
    pub(crate) fn none() -> Result<Self> {
        Self::counting(WindowLimits::default())
    }

    fn counting(window: WindowLimits) -> Result<Self> {
        let limits = Limits { records: 0, window, ..Limits::default() };
        Self::ledger(Arc::new(MemoryStore::new()), limits, TraceLimits { records: 0, ..TraceLimits::default() })
    }

    fn on_disk(path: &Path, config: &Config) -> Result<Self> {
        let (store, opened) = FjallStore::open(DataDir::open(path)?, &Options::default())?;
        report_opened(&opened);
        let traces = TraceLimits { keep: config.trace.keep, records: config.trace.stored };
        Self::ledger(Arc::new(store), Limits { window: window(config), ..Limits::default() }, traces)
    }

    fn ledger(store: Arc<dyn Store>, limits: Limits, traces: TraceLimits) -> Result<Self> {
        let clock = SteadyClock::start();
        let (ledger, recovered) = Ledger::open(store.clone(), Shard::all(), limits, clock.now())?;
        report_recovered(&recovered);
        let traces = TraceLog::open(store.clone(), traces)?;
        Ok(Self { store, storage: Storage { ledger, clock, traces } })
    }
}

fn window(config: &Config) -> WindowLimits {
    WindowLimits { keep: config.delivery.bounce_window, ..WindowLimits::default() }
}

/// Waits until everything that was committed before is on disk.
pub(crate) fn flush(store: &dyn Store) {
    let Some(shard) = Shard::new(0) else { return };
    let last = Batch::new(shard, store.position(shard).0);
    if let Err(error) = store::commit_and_wait(store, last.essential()) {
        tracing::error!(%error, "the store did not take what was left");
    }
}

/// Loss is never passed over.
fn report_opened(opened: &Opened) {
    for gap in &opened.gaps {
        tracing::error!("{gap}");
    }
    for record in &opened.damaged {
        tracing::error!(table = record.table.name(), "{}; the record is put aside", record.damage);
    }
    if !opened.is_sound() {
        let (gaps, damaged) = (opened.gaps.len(), opened.damaged_count);
        tracing::error!(gaps, damaged, "the store has lost records; their senders could not be told");
    }
    if let Some(format) = opened.migrated_from {
        tracing::warn!(format, "the store was migrated; the old one is kept beside it");
    }
    tracing::info!(records = opened.records, put_aside = opened.put_aside, "store open");
}

fn report_recovered(recovered: &Recovered) {
    if recovered.unreadable > 0 {
        tracing::error!(entries = recovered.unreadable, "entries of the ledger are not understood; they stay stored");
    }
    if let Some(back) = recovered.clock_back {
        tracing::warn!(?back, "the clock is behind that of the last run");
    }
    if recovered.entries > 0 {
        tracing::info!(entries = recovered.entries, uncertain = recovered.uncertain, "messages wait in the ledger");
    }
}
