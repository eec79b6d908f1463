//! What an adapter keeps, counted: its records come back whole in one welcome.

use std::collections::BTreeMap;

/// Records of one instance.
pub(crate) const MAX_RECORDS: usize = 65_536;

/// Octets of all records of one instance, keys and values: they are read at each start, and sent in the welcome.
pub(crate) const MAX_RECORDS_OCTETS: usize = 8 * 1024 * 1024;

/// The key and the value of a record.
pub(crate) const MAX_KEY: usize = 1024;
pub(crate) const MAX_RECORD: usize = 256 * 1024;

/// What a record has around key and value in the welcome, at most.
pub(crate) const RECORD_ROOM: usize = 16;

/// How large the records of an instance are.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    sizes: BTreeMap<Vec<u8>, usize>,
    octets: usize,
}

impl Kept {
    /// What an earlier session has kept.
    pub(crate) fn new<'r>(records: impl IntoIterator<Item = (&'r [u8], &'r [u8])>) -> Self {
        let mut kept = Self::default();
        for (key, value) in records {
            kept.insert(key, value.len());
        }
        kept
    }

    /// Counts a record that is put, or deleted; else gives the reason code, and the record is not to be kept.
    pub(crate) fn take(&mut self, key: &[u8], value: Option<usize>) -> Result<(), &'static str> {
        let before = self.sizes.get(key).map_or(0, |size| key.len() + size);
        let Some(size) = value else {
            self.sizes.remove(key);
            self.octets -= before;
            return Ok(());
        };
        if before == 0 && self.sizes.len() >= MAX_RECORDS {
            return Err("too-many-records");
        }
        // One that shrinks is always taken.
        let after = key.len() + size;
        if after > before && self.octets - before + after > MAX_RECORDS_OCTETS {
            return Err("records-too-large");
        }
        self.insert(key, size);
        Ok(())
    }

    fn insert(&mut self, key: &[u8], size: usize) {
        let before = self.sizes.insert(key.to_vec(), size).map_or(0, |size| key.len() + size);
        self.octets = self.octets - before + key.len() + size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_bounded_and_shrinking_frees_them() {
        let mut kept = Kept::default();
        let many = MAX_RECORDS_OCTETS / MAX_RECORD - 1;
        for number in 0..many {
            assert_eq!(kept.take(&number.to_be_bytes(), Some(MAX_RECORD)), Ok(()));
        }
        assert_eq!(kept.take(b"more", Some(2 * MAX_RECORD)), Err("records-too-large"));
        assert_eq!(kept.take(b"more", Some(1)), Ok(()));
        assert_eq!(kept.take(&0_usize.to_be_bytes(), Some(1)), Ok(()));
        assert_eq!(kept.take(b"more", Some(MAX_RECORD)), Ok(()));
        assert_eq!(kept.take(b"more", None), Ok(()));
        assert_eq!(kept.take(b"never there", None), Ok(()));
        let counted: usize = kept.sizes.iter().map(|(key, size)| key.len() + size).sum();
        assert_eq!(kept.octets, counted);
    }

    #[test]
    fn their_number_is_bounded_and_known_ones_can_be_changed() {
        let numbers: Vec<_> = (0..MAX_RECORDS).map(usize::to_be_bytes).collect();
        let mut kept = Kept::new(numbers.iter().map(|number| (&number[..], &b"1"[..])));
        assert_eq!(kept.take(b"more", Some(1)), Err("too-many-records"));
        assert_eq!(kept.take(&0_usize.to_be_bytes(), Some(2)), Ok(()));
        assert_eq!(kept.take(&0_usize.to_be_bytes(), None), Ok(()));
        assert_eq!(kept.take(b"more", Some(1)), Ok(()));
    }
}
