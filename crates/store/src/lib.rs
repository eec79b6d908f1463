//! What must survive a crash: keyed records with group commit, and on them the ledger of operations (DESIGN A5, A9).
//!
//! [`Store`] is the trait that a distributed engine can stand behind; [`FjallStore`] is the embedded one.

mod api;
mod core;
mod data_dir;
mod embedded;
mod engine;
mod forget;
mod frame;
mod head;
mod key;
mod ledger;
mod portable;
mod queue;
mod seal;
mod survey;
mod sync;
mod traces;
mod watermark;

pub use api::{
    Batch, Committed, Completion, Damage, EngineError, Expect, MAX_KEY, MAX_OPERATIONS, MAX_VALUE, Operation, Record,
    Store, StoreError, Urgency, commit_and_wait, with_causes,
};
pub use data_dir::{DataDir, DataDirError, FORMAT, MIGRATIONS, Migration};
pub use embedded::{Checked, DISK_RESERVE, FjallStore, MemoryStore, OpenError, Options};
pub use forget::{Forgotten, forget, names};
pub use key::{Fence, Shard, Table, Version};
pub use ledger::{
    Claimed, Class, Conclusion, Counts, Crowded, End, Entry, Item, Ledger, LedgerError, Limits, Near, OnceKey, Origin,
    Pair, Recall, Recovered, Schedule, Seen, Seq, State, SteadyClock, Timestamp, Totals, WindowLimits,
};
pub use portable::{PortableError, export, import};
pub use queue::{MAX_QUEUED, MAX_QUEUED_OCTETS, WRITE_BEHIND};
pub use seal::{KEY_LENGTH, KeyError, SealKey, Sealer};
pub use survey::{DamagedRecord, Gap, MAX_DAMAGED_NAMED, Opened};
pub use traces::{TraceLimits, TraceLog};
