//! What survives a crash: the store in `gateway.data_dir`, and the ledger on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use interwork::Storage;
use store::{
    Batch, DataDir, DataDirError, FjallStore, Ledger, Limits, MemoryStore, OpenError, Opened, Options, Recovered,
    SealKey, Shard, SteadyClock, Store, TraceLimits, TraceLog, WindowLimits,
};

use crate::config::{Config, Gateway, StoreLimits};

/// Where a store is, and its key.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The data directory.
    pub(crate) path: PathBuf,
    /// The file with the key.
    pub(crate) key_file: Option<PathBuf>,
}

impl Place {
    /// The store that a configuration names, if it does.
    pub(crate) fn of(gateway: &Gateway) -> Option<Self> {
        Some(Self { path: gateway.data_dir.clone()?, key_file: gateway.data_key_file.clone() })
    }

    /// What the store is opened with.
    pub(crate) fn options(&self) -> Result<Options> {
        let read = |path: &PathBuf| SealKey::read(path).with_context(|| format!("data_key_file: {}", path.display()));
        Ok(Options { key: self.key_file.as_ref().map(read).transpose()?, ..Options::default() })
    }

    /// Why the store can't be opened, and what to do.
    pub(crate) fn explain(&self, error: OpenError) -> anyhow::Error {
        let remedy = match &error {
            OpenError::KeyMissing => "name the file with its key in gateway.data_key_file",
            OpenError::KeyWrong => "gateway.data_key_file must name the key that the store was made with",
            OpenError::KeyUnused => {
                "`interlingua store export --content`, then `store import` into a new data_dir with the key"
            }
            OpenError::DataDir(DataDirError::InUse { .. }) => "stop it first; a data_dir serves one process",
            OpenError::DataDir(DataDirError::Newer { .. }) => "run the version that wrote it, or a newer one",
            OpenError::DataDir(DataDirError::Older { .. }) => "start a version in between once, to migrate it",
            OpenError::DataDir(DataDirError::Io { .. }) | OpenError::Io(_) => {
                "make it a folder that the user of the gateway can write to"
            }
            OpenError::DataDir(_) | OpenError::Engine(_) | _ => {
                "see deploy/docs/operating.md, \"Looking after the store\""
            }
        };
        anyhow::Error::new(error).context(format!("gateway.data_dir {}: {remedy}", self.path.display()))
    }
}

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
        match Place::of(&config.gateway) {
            Some(place) => Self::on_disk(&place, config),
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

    fn on_disk(place: &Place, config: &Config) -> Result<Self> {
        let StoreLimits { messages: records, octets, disk_reserve, .. } = config.gateway.limits;
        let options = Options { disk_reserve, ..place.options()? };
        let _patience = Patience::start(options.looked.clone());
        let open = || FjallStore::open(DataDir::open(&place.path)?, &options);
        let (store, opened) = open().map_err(|error| place.explain(error))?;
        report_opened(&opened);
        let limits = Limits { records, octets, window: window(config), ..Limits::default() };
        Self::ledger(Arc::new(store), limits, TraceLimits { keep: config.trace.keep, records: config.trace.stored })
    }

    fn ledger(store: Arc<dyn Store>, limits: Limits, traces: TraceLimits) -> Result<Self> {
        let clock = SteadyClock::start();
        let (ledger, recovered) = Ledger::open(store.clone(), Shard::all(), limits, clock.now())?;
        report_recovered(&recovered);
        let traces = TraceLog::open(store.clone(), traces)?;
        Ok(Self { store, storage: Storage { ledger, clock, traces } })
    }
}

/// Says from time to time that the store is still being opened.
struct Patience(mpsc::Sender<()>);

/// Between its words; an opening that takes no longer says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

impl Patience {
    /// `looked` counts the records that the opening has looked at.
    fn start(looked: Arc<AtomicU64>) -> Self {
        let (opened, wait) = mpsc::channel();
        let started = Instant::now();
        std::thread::spawn(move || {
            while wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let (seconds, records) = (started.elapsed().as_secs(), looked.load(Ordering::Relaxed));
                tracing::info!(seconds, records, "the store is being opened: its journal is read, then every record");
            }
        });
        Self(opened)
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        // The thread ends with this, if it has not ended.
        let _ = self.0.send(());
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
