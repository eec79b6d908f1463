//! Records under small handles that are never valid for two of them.

/// Names one transaction of one table; after its end it names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    index: u32,
    generation: u32,
}

impl Handle {
    /// The handle as a number, for use as a token elsewhere.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    pub fn from_bits(bits: u64) -> Self {
        // Both halves fit by construction.
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    /// That of the next record: a handle would be valid again after 2^32 of them, long after everybody has forgotten it.
    generation: u32,
    /// Records that have gone since memory was last given back.
    gone: usize,
}

/// Records whose room is kept whatever happens.
pub(super) const KEPT: usize = 1024;

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), generation: 0, gone: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn get(&self, handle: Handle) -> Option<&T> {
        self.entry(handle)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let entry = self.entries.get_mut(handle.index as usize)?;
        entry.value.as_mut().filter(|_| entry.generation == handle.generation)
    }

    /// Adds a record. Callers bound the count far below `u32::MAX`.
    pub(super) fn insert(&mut self, value: T) -> Handle {
        let index = self.free.pop().unwrap_or(self.entries.len() as u32);
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        let entry = Entry { generation, value: Some(value) };
        match self.entries.get_mut(index as usize) {
            Some(vacant) => *vacant = entry,
            None => self.entries.push(entry),
        }
        Handle { index, generation }
    }

    pub(super) fn remove(&mut self, handle: Handle) -> Option<T> {
        let entry = self.entries.get_mut(handle.index as usize).filter(|e| e.generation == handle.generation)?;
        let value = entry.value.take()?;
        self.free.push(handle.index);
        self.gone += 1;
        if self.is_mostly_empty() && (self.len() == 0 || self.gone >= self.entries.len()) {
            self.give_back();
        }
        Some(value)
    }

    fn is_mostly_empty(&self) -> bool {
        self.entries.len() > KEPT && self.len() < self.entries.len() / 4
    }

    /// After a rush: lets go of the room behind the last record, and fills the rest from the front, so that more may go later.
    fn give_back(&mut self) {
        let used = self.entries.iter().rposition(|entry| entry.value.is_some()).map_or(0, |last| last + 1);
        self.entries.truncate(used);
        self.entries.shrink_to(KEPT);
        let vacant = self.entries.iter().enumerate().filter(|(_, entry)| entry.value.is_none());
        self.free = vacant.map(|(index, _)| index as u32).rev().collect();
        self.gone = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let handle = Handle { index: index as u32, generation: entry.generation };
            entry.value.as_ref().map(|value| (handle, value))
        })
    }

    fn entry(&self, handle: Handle) -> Option<&Entry<T>> {
        self.entries.get(handle.index as usize).filter(|entry| entry.generation == handle.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_outlives_its_record_without_naming_the_next_one() {
        let mut slab = Slab::new();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&"b"), 1));
        assert_eq!(Handle::from_bits(second.to_bits()), second);
    }

    #[test]
    fn what_a_rush_has_taken_is_given_back_and_its_handles_name_nothing() {
        let mut slab = Slab::new();
        let handles: Vec<Handle> = (0..10 * KEPT).map(|number| slab.insert(number)).collect();
        let (stays, rest) = handles.split_first().unwrap();
        for handle in rest {
            slab.remove(*handle);
        }
        for _ in 0..10 * KEPT {
            let handle = slab.insert(7);
            slab.remove(handle);
        }
        assert_eq!((slab.len(), slab.get(*stays)), (1, Some(&0)));
        assert!(slab.entries.capacity() <= KEPT && slab.free.capacity() <= KEPT);
        let again: Vec<Handle> = (0..10 * KEPT).map(|number| slab.insert(number)).collect();
        assert!(rest.iter().all(|handle| slab.get(*handle).is_none()));
        for handle in again.iter().chain([stays]) {
            assert!(slab.remove(*handle).is_some());
        }
        assert!(slab.entries.capacity() <= KEPT && slab.free.capacity() <= KEPT, "at once when nothing is left");
    }
}
