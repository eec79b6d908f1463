//! What the files that `tests/interleavings.rs` runs through all their interleavings lock and count with.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
