//! Claims as they are stored: those of one commit together, in one record that goes when all of its tries have ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Seq;
use super::entry::Progress;
use crate::api::Expect;
use crate::key::{Shard, Version};

/// Claims of one record.
pub(super) const MAX_CLAIMS: usize = 256;
/// What their keys begin with, before the number; those of other progress are shorter.
const PREFIX: [u8; 2] = *b"cl";

/// Entries that are tried, as the record of it says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredClaims {
    pub(super) claims: Vec<(Seq, Progress)>,
}

/// Which record.
pub(super) type Number = u64;

pub(super) fn key(number: Number) -> Vec<u8> {
    [&PREFIX[..], &number.to_be_bytes()].concat()
}

/// The inverse of [`key`].
pub(super) fn number(key: &[u8]) -> Option<Number> {
    key.strip_prefix(&PREFIX)?.try_into().ok().map(Number::from_be_bytes)
}

/// The records that there are.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<Number, Open>);

struct Open {
    shard: Shard,
    version: Version,
    /// Tries of it that have not ended.
    tries: usize,
}

/// A record that nothing needs any more.
pub(super) struct Needless {
    pub(super) shard: Shard,
    pub(super) key: Vec<u8>,
    pub(super) expect: Expect,
}

impl Claims {
    pub(super) fn add(&mut self, number: Number, shard: Shard, version: Version, tries: usize) {
        self.0.insert(number, Open { shard, version, tries });
    }

    /// One of the tries has ended, and that is durable; the last of a record gives it back, to be deleted.
    pub(super) fn end(&mut self, number: Option<Number>) -> Option<Needless> {
        let number = number?;
        let open = self.0.get_mut(&number)?;
        open.tries = open.tries.saturating_sub(1);
        if open.tries > 0 {
            return None;
        }
        let Open { shard, version, .. } = self.0.remove(&number)?;
        Some(Needless { shard, key: key(number), expect: Expect::Sure(Some(version)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_goes_with_the_last_of_its_tries() {
        let (mut claims, shard) = (Claims::default(), Shard::new(3).unwrap());
        claims.add(0x77, shard, Version(5), 2);
        assert!(claims.end(Some(0x77)).is_none() && claims.end(None).is_none());
        let needless = claims.end(Some(0x77)).unwrap();
        assert_eq!((number(&needless.key), needless.expect), (Some(0x77), Expect::Sure(Some(Version(5)))));
        assert!(claims.end(Some(0x77)).is_none() && claims.0.is_empty());
        assert_eq!(number(&Seq(0x636c_0000_0000_0000).warned_key()), None);
    }
}
