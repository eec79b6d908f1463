//! The equation: accepted = delivered + handed_over + failed + expired + pending (DESIGN A5).

use serde::{Deserialize, Serialize};

use super::{End, Timestamp};

/// What became of everything that was accepted, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Confirmed by the far side.
    pub delivered: u64,
    /// Given to a peer that is exempt from confirming.
    pub handed_over: u64,
    /// Final failures.
    pub failed: u64,
    /// Those whose time was over.
    pub expired: u64,
    /// Delivered ones for which a late error came; they stay delivered.
    pub reversed: u64,
    /// Failed or expired ones whose sender could not be told.
    pub untold: u64,
    /// In the ledger, under way or waiting. Not stored: counted at a start.
    #[serde(skip)]
    pub pending: u64,
}

impl Totals {
    /// Everything that was accepted; the equation holds because this is how it is computed.
    ///
    /// So a crash that loses the last second of settled ones loses them on both sides.
    pub fn accepted(&self) -> u64 {
        self.settled() + self.pending
    }

    /// What has ended.
    pub fn settled(&self) -> u64 {
        self.delivered + self.handed_over + self.failed + self.expired
    }

    pub(super) fn count(&mut self, end: &End) {
        match end {
            End::Delivered(_) => self.delivered += 1,
            End::HandedOver => self.handed_over += 1,
            End::Failed(_) => self.failed += 1,
            End::Expired => self.expired += 1,
        }
    }
}

/// The totals as they are stored.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) at: Timestamp,
    pub(super) totals: Totals,
    /// Whether the process that wrote it ended in order.
    #[serde(default)]
    pub(super) ended: bool,
}
