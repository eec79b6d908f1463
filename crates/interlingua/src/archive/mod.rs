//! The archive: operations as JSON lines, given to a file, a socket or an HTTP server, and kept on disk while it is away.

mod consumer;
mod forget;
mod line;
mod spool;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use interwork::{Archive, Core, Record, WhenAway};
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::config;
use crate::stored::Place;
use consumer::Consumer;
pub(crate) use forget::forget;
use line::{Lines, Piece};
use spool::Spool;

/// Records in one piece: some hundred kilobytes, and a few round trips a second carry thousands of messages.
const BATCH: usize = 256;
/// Between tries while the consumer takes nothing.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];

/// Between tries while the spool cannot be written: a full disk has room again when somebody makes it.
const KEEP_PAUSE: Duration = Duration::from_secs(1);

/// The file that keeps what the consumer has not taken yet.
pub(crate) fn spool_in(data_dir: &Path) -> PathBuf {
    data_dir.join("archive.spool")
}

/// The way of records from the hub to the consumer.
pub(crate) struct Clerk {
    core: Arc<Core>,
    archive: Arc<Archive>,
    consumer: Consumer,
    spool: Option<Spool>,
    lines: Lines,
    /// Tries that failed one after the other.
    failed: usize,
    /// When the spool may be written again; set while it cannot be.
    keep_after: Option<Instant>,
}

impl Clerk {
    /// Has the hub tell what happens; nothing is read of it before [`run`](Self::run). Opens the spool, if one is wanted.
    pub(crate) fn new(config: &config::Archive, place: Option<&Place>, core: Arc<Core>) -> Result<Self> {
        let spool = match (config.when_away, place) {
            (config::WhenAway::Spool, Some(place)) => {
                let path = spool_in(&place.path);
                let spool = Spool::open(&path, config.spool_octets, place.options()?.key.as_ref());
                Some(spool.with_context(|| format!("archive.when_away: cannot open {}", path.display()))?)
            }
            _ => None,
        };
        let when_away = match config.when_away {
            config::WhenAway::Continue => WhenAway::Continue,
            config::WhenAway::Spool => WhenAway::Spool,
            config::WhenAway::Block => WhenAway::Block,
        };
        let archive = Arc::new(Archive::new(config.kinds.clone(), when_away));
        core.archive_to(archive.clone());
        let consumer = Consumer::new(config)?;
        Ok(Self { core, archive, consumer, spool, lines: Lines::new(config.content), failed: 0, keep_after: None })
    }

    /// Gives records to the consumer until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut next_try = Instant::now();
        loop {
            if self.spool.as_ref().is_some_and(Spool::has_lines) {
                let (archive, keep_after) = (self.archive.clone(), self.keep_after);
                let batch = async move {
                    if let Some(keep_after) = keep_after {
                        tokio::time::sleep_until(keep_after).await;
                    }
                    archive.batch(BATCH).await
                };
                tokio::select! {
                    () = tokio::time::sleep_until(next_try) => next_try = self.give_spooled().await,
                    batch = batch, if self.spool.as_ref().is_some_and(Spool::has_room) => self.keep(&batch),
                }
                continue;
            }
            tokio::time::sleep_until(next_try).await;
            let batch = self.archive.batch(BATCH).await;
            next_try = self.give(&batch).await;
        }
    }

    /// Gives a batch at once; when to try again.
    async fn give(&mut self, batch: &[Arc<Record>]) -> Instant {
        let piece = self.lines.of(batch);
        match self.consumer.take(&piece.lines, piece.last).await {
            Ok(()) => {
                self.core.archived(piece.count);
                self.came()
            }
            Err(error) => {
                let next = self.went(&error);
                match self.archive.when_away() {
                    WhenAway::Spool => self.keep_piece(&piece),
                    WhenAway::Continue if self.failed > PAUSES.len() => self.core.not_archived(piece.count),
                    WhenAway::Continue | WhenAway::Block => {}
                }
                next
            }
        }
    }

    /// Gives the first of what is spooled; when to go on.
    async fn give_spooled(&mut self) -> Instant {
        let Some(spool) = &mut self.spool else { return Instant::now() };
        let first = match block_in_place(|| spool.first()) {
            Ok(Some(first)) => first,
            Ok(None) => return Instant::now(),
            Err(error) => {
                tracing::error!(%error, "the archive's spool cannot be read");
                return Instant::now() + longest_pause();
            }
        };
        match self.consumer.take(&first.lines, first.last).await {
            Ok(()) => {
                if let Err(error) = block_in_place(|| spool.gone(first.octets)) {
                    tracing::error!(%error, "the archive's spool cannot be written");
                }
                self.came()
            }
            Err(error) => self.went(&error),
        }
    }

    fn keep(&mut self, batch: &[Arc<Record>]) {
        let piece = self.lines.of(batch);
        self.keep_piece(&piece);
    }

    /// What is on disk is as good as archived; what does not get there stays with the hub, and is tried again.
    fn keep_piece(&mut self, piece: &Piece) {
        let Some(spool) = &mut self.spool else { return };
        match block_in_place(|| spool.append(&piece.lines)) {
            Ok(()) => {
                self.core.archived(piece.count);
                if self.keep_after.take().is_some() {
                    tracing::info!("the archive's spool is written again");
                }
            }
            Err(error) => {
                if self.keep_after.replace(Instant::now() + KEEP_PAUSE).is_none() {
                    tracing::error!(%error, "the archive's spool cannot be written: messages will be refused");
                }
            }
        }
    }

    fn came(&mut self) -> Instant {
        if std::mem::take(&mut self.failed) > 0 {
            tracing::info!("the archive takes records again");
        }
        self.archive.set_up(true);
        Instant::now()
    }

    fn went(&mut self, error: &consumer::TakeError) -> Instant {
        if self.failed == 0 {
            tracing::warn!(reason = error.reason(), when_away = ?self.archive.when_away(), "the archive takes nothing: {error}");
        }
        self.archive.set_up(false);
        let pause = PAUSES.get(self.failed).copied().unwrap_or_else(longest_pause);
        self.failed += 1;
        Instant::now() + pause
    }
}

fn longest_pause() -> Duration {
    PAUSES.into_iter().max().unwrap_or_default()
}
