//! RFC 3261 §17.1.3, §17.2.3: what makes two messages belong to one transaction.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

/// The identity of a transaction: 128 bits that stand for the fields compared by the RFC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64, u64);

impl Key {
    /// A number that is as good as any hash of the key.
    pub(super) fn hash(self) -> u64 {
        self.0
    }

    /// All of it, for those who keep many.
    pub(super) fn octets(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }

    /// The hash of the key with these octets.
    pub(super) fn hash_of(octets: &[u8; 16]) -> u64 {
        // The cut is meant: the first half.
        (u128::from_be_bytes(*octets) >> 64) as u64
    }
}

/// Makes [`Key`]s that no peer can predict, so that none can aim at another's transaction.
#[derive(Debug, Clone)]
pub struct Keys {
    seed: [u64; 2],
}

impl Keys {
    /// Keys for one life of the process; `seed` is random.
    pub fn new(seed: [u64; 2]) -> Self {
        Self { seed }
    }

    /// RFC 3261 §17.1.3: a request we sent and its responses.
    pub fn client(&self, branch: &[u8], method: &[u8]) -> Key {
        self.key(b'c', &[branch, method])
    }

    /// RFC 3261 §17.2.3: a request we received, whose branch begins with the magic cookie.
    ///
    /// For ACK, `method` is INVITE. The host of `sent_by` is compared without regard to case.
    pub fn server(&self, branch: &[u8], sent_by: &[u8], method: &[u8]) -> Key {
        let mut lower = [0; MAX_FOLDED];
        match lower.get_mut(..sent_by.len()) {
            Some(folded) => {
                folded.copy_from_slice(sent_by);
                folded.make_ascii_lowercase();
                self.key(b's', &[branch, folded, method])
            }
            None => self.key(b's', &[branch, sent_by, method]),
        }
    }

    /// RFC 3261 §17.2.3: a request whose branch does not begin with the magic cookie.
    ///
    /// `fields` are Request-URI, To tag, From tag, Call-ID, the whole CSeq value and the whole topmost Via value.
    pub fn rfc2543(&self, fields: &[&[u8]; 6]) -> Key {
        self.key(b'o', fields)
    }

    /// RFC 3261 §8.2.2.2: what is equal in copies of one request that came by different paths.
    pub fn merged(&self, from_tag: &[u8], call_id: &[u8], cseq: &[u8]) -> Key {
        self.key(b'm', &[from_tag, call_id, cseq])
    }

    fn key(&self, domain: u8, fields: &[&[u8]]) -> Key {
        let [low, high] = self.seed;
        Key(hash(low, domain, fields), hash(high, domain, fields))
    }
}

/// Longer than any host name with a port; what is longer is compared as it stands.
const MAX_FOLDED: usize = 264;

fn hash(seed: u64, domain: u8, fields: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write_u8(domain);
    for field in fields {
        hasher.write_usize(field.len());
        hasher.write(field);
    }
    hasher.finish()
}

/// A map over keys, which need no second hashing.
pub(super) type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only keys are hashed here");
    }

    fn write_u64(&mut self, half: u64) {
        self.0 ^= half;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: SIP-004, SIP-006
    #[test]
    fn rfc3261_s17_2_3_branch_sent_by_and_method_decide() {
        let keys = Keys::new([1, 2]);
        let key = keys.server(b"z9hG4bK1", b"Host.example:5060", b"MESSAGE");
        assert_eq!(key, keys.server(b"z9hG4bK1", b"host.EXAMPLE:5060", b"MESSAGE"));
        assert_ne!(key, keys.server(b"z9hG4bK2", b"host.example:5060", b"MESSAGE"));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example:5061", b"MESSAGE"));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example:5060", b"CANCEL"));
        assert_ne!(keys.client(b"ab", b"c"), keys.client(b"a", b"bc"));
        assert_ne!(key, Keys::new([1, 3]).server(b"z9hG4bK1", b"host.example:5060", b"MESSAGE"));
    }
}
