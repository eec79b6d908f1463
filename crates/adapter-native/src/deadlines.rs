//! When deliveries must be settled: one ordered set and one task for a whole instance, no timer for each message.

use crate::wire::EventId;
use impp_model::Address;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The events somebody waits for, by deadline.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    entries: Mutex<BTreeSet<Deadline>>,
    earlier: Notify,
}

/// One event and when to give it up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) event: EventId,
    pub(crate) user: Address,
}

impl Deadlines {
    /// Adds one.
    pub(crate) fn add(&self, deadline: Deadline) {
        let mut entries = self.entries.lock();
        let is_first = entries.first().is_none_or(|first| deadline < *first);
        entries.insert(deadline);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Forgets one that was settled.
    pub(crate) fn remove(&self, deadline: &Deadline) {
        self.entries.lock().remove(deadline);
    }

    /// Waits for the next one to pass, and takes it. For one task only; cancel-safe.
    pub(crate) async fn passed(&self) -> Deadline {
        loop {
            let earlier = self.earlier.notified();
            match self.next_at() {
                Some(at) if at <= Instant::now() => {
                    if let Some(deadline) = self.entries.lock().pop_first() {
                        return deadline;
                    }
                }
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = earlier => {}
                },
                None => earlier.await,
            }
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.entries.lock().first().map(|deadline| deadline.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn deadline(at: Instant, event: u64) -> Deadline {
        Deadline { at, event: EventId(event), user: Address::parse_bare("carol@native.example").unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_pass_in_order_and_an_earlier_one_is_noticed() {
        let deadlines = Deadlines::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        deadlines.add(deadline(at(9), 1));
        let earlier = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            deadlines.add(deadline(at(2), 2));
            deadlines.add(deadline(at(3), 3));
            deadlines.remove(&deadline(at(3), 3));
        };
        let (first, ()) = tokio::join!(deadlines.passed(), earlier);
        assert_eq!((first.event, Instant::now()), (EventId(2), at(2)));
        assert_eq!((deadlines.passed().await.event, Instant::now()), (EventId(1), at(9)));
    }
}
