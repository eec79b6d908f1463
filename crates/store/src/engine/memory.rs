//! Memory: for tests, with faults on request.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Engine, Space, Write};
use crate::api::EngineError;

type Map = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// The engine of [`MemoryStore`](crate::MemoryStore).
#[derive(Default)]
pub(crate) struct MemoryEngine {
    map: RwLock<Map>,
    failed: AtomicBool,
    /// What [`Engine::free`] tells, plus one; 0 stands for no bound.
    free: AtomicU64,
}

impl MemoryEngine {
    /// Lets every later write fail.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether writes fail.
    pub(crate) fn is_failing(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Sets what the disk has free; with nothing it can't be opened again.
    pub(crate) fn set_free(&self, octets: u64) {
        self.free.store(octets.saturating_add(1), Ordering::Release);
    }

    /// Changes octets behind the store's back; returns whether the key was there.
    pub(crate) fn tamper(&self, space: Space, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.map.write().get_mut(&(space, key.to_owned())).map(change).is_some()
    }

    /// Removes a key behind the store's back; returns whether it was there.
    pub(crate) fn lose(&self, space: Space, key: &[u8]) -> bool {
        self.map.write().remove(&(space, key.to_owned())).is_some()
    }

    /// The same content, as a restart finds it.
    pub(crate) fn copy(&self) -> Self {
        Self { map: RwLock::new(self.map.read().clone()), ..Self::default() }
    }
}

impl Engine for MemoryEngine {
    fn read<T>(&self, space: Space, key: &[u8], look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, EngineError> {
        Ok(self.map.read().get(&(space, key.to_owned())).map(|octets| look(octets)))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        mut look: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((space, after.to_owned())),
            Some(_) | None => Bound::Included((space, prefix.to_owned())),
        };
        for ((at, key), octets) in self.map.read().range((from, Bound::Unbounded)) {
            if *at != space || !key.starts_with(prefix) || look(key, octets).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write]) -> Result<(), EngineError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(EngineError::Injected);
        }
        let mut map = self.map.write();
        for (key, octets) in writes {
            match octets {
                Some(octets) => drop(map.insert(key.clone(), octets.clone())),
                None => drop(map.remove(key)),
            }
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), EngineError> {
        match self.free.load(Ordering::Acquire) {
            1 => Err(EngineError::Injected),
            _ => {
                self.failed.store(false, Ordering::Release);
                Ok(())
            }
        }
    }

    fn free(&self) -> Option<u64> {
        self.free.load(Ordering::Acquire).checked_sub(1)
    }
}
