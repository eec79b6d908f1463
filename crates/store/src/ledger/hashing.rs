//! Maps whose keys are halves of SHA-256 already: hashing them again would only cost time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by such a key.
pub(super) type DigestMap<K, V> = HashMap<K, V, BuildHasherDefault<DigestHasher>>;

/// Takes the lower half of the one `u128` that is written.
#[derive(Default)]
pub(super) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u128(&mut self, digest: u128) {
        // The cut is meant: either half is as good as a hash.
        self.0 = digest as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
