//! What the hub has handed over and no link has taken yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use adapter_api::{AdapterError, Delivery, Full};
use impp_model::{Cause, Failure, Side};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::link::Shared;

/// The adapter's end of the queue; the other is taken once, by `run`.
///
/// A place is free again when its delivery is written, so the bound stands in [`Shared`], not in the channel.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    limit: usize,
    sender: mpsc::UnboundedSender<Delivery>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Delivery>>>,
}

impl Queue {
    /// Holds at most `limit` deliveries.
    pub(crate) fn new(shared: Arc<Shared>, limit: usize) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { shared, limit, sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// The end to receive from.
    pub(crate) fn receiver(&self) -> Result<mpsc::UnboundedReceiver<Delivery>, AdapterError> {
        let twice = || AdapterError::Config { key: String::new(), problem: "run was called twice".into() };
        self.receiver.lock().take().ok_or_else(twice)
    }

    /// Takes a delivery, unless the queue is full.
    pub(crate) fn push(&self, delivery: Delivery) -> Result<(), Full> {
        if self.shared.queued.load(Ordering::Relaxed) >= self.limit {
            return Err(Full(Box::new(delivery)));
        }
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        if let Err(mpsc::error::SendError(delivery)) = self.sender.send(delivery) {
            delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        Ok(())
    }
}
