//! The stores of one process: [`FjallStore`] on disk and [`MemoryStore`] for tests.

mod fjall;
mod memory;
mod open;

pub use self::fjall::{Checked, DISK_RESERVE, FjallStore, Options};
pub use memory::MemoryStore;
pub use open::OpenError;
