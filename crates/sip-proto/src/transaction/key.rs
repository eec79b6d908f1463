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
        self.key(&Fields::of(b'c').with(branch).with(method))
    }

    /// RFC 3261 §17.2.3: a request we received, whose branch begins with the magic cookie, by the host and port of its `sent-by`.
    ///
    /// For ACK, `method` is INVITE. The host is compared without regard to case.
    ///
    /// Call-ID and the number of CSeq are the same in each copy, and in a CANCEL (RFC 3261 §9.1).
    pub fn server(
        &self,
        branch: &[u8],
        host: &[u8],
        port: Option<u16>,
        method: &[u8],
        call_id: &[u8],
        cseq: u32,
    ) -> Key {
        let port = port.map(u16::to_be_bytes);
        let port = port.as_ref().map(<[u8; 2]>::as_slice).unwrap_or_default();
        // COMPAT SER, Kamailio: stateless, they write one branch (z9hG4bKcydzigwkX) into all requests. By RFC 3261 §17.2.3 each
        // would be a copy of the first, answered as that was and read by nobody.
        let call = Fields::of(b's').with(branch).with_folded(host).with(port).with(method);
        self.key(&call.with(call_id).with(&cseq.to_be_bytes()))
    }

    /// RFC 3261 §17.2.3: a request whose branch does not begin with the magic cookie.
    ///
    /// `fields` are Request-URI, To tag, From tag, Call-ID, the whole CSeq value and the whole topmost Via value.
    pub fn rfc2543(&self, fields: &[&[u8]; 6]) -> Key {
        self.key(&fields.iter().fold(Fields::of(b'o'), |all, field| all.with(field)))
    }

    /// RFC 3261 §8.2.2.2: what is equal in copies of one request that came by different paths.
    pub fn merged(&self, from_tag: &[u8], call_id: &[u8], cseq: &[u8]) -> Key {
        self.key(&Fields::of(b'm').with(from_tag).with(call_id).with(cseq))
    }

    fn key(&self, Fields(octets): &Fields) -> Key {
        let [low, high] = self.seed.map(|seed| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            hasher.write(octets);
            hasher.finish()
        });
        Key(low, high)
    }
}

/// What a key is made of, in one piece: each field behind its length.
struct Fields(Vec<u8>);

/// Octets of the fields of nearly all requests; longer ones make room for themselves.
const USUAL_FIELDS: usize = 256;

impl Fields {
    fn of(kind: u8) -> Self {
        let mut octets = Vec::with_capacity(USUAL_FIELDS);
        octets.push(kind);
        Self(octets)
    }

    fn with(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&field.len().to_ne_bytes());
        self.0.extend_from_slice(field);
        self
    }

    fn with_folded(self, field: &[u8]) -> Self {
        let mut all = self.with(field);
        let begin = all.0.len() - field.len();
        all.0.get_mut(begin..).unwrap_or_default().make_ascii_lowercase();
        all
    }
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
        let key = keys.server(b"z9hG4bK1", b"Host.example", Some(5060), b"MESSAGE", b"c", 1);
        assert_eq!(key, keys.server(b"z9hG4bK1", b"host.EXAMPLE", Some(5060), b"MESSAGE", b"c", 1));
        assert_ne!(key, keys.server(b"z9hG4bK2", b"host.example", Some(5060), b"MESSAGE", b"c", 1));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example", Some(5061), b"MESSAGE", b"c", 1));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example", None, b"MESSAGE", b"c", 1));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example", Some(5060), b"CANCEL", b"c", 1));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example", Some(5060), b"MESSAGE", b"d", 1));
        assert_ne!(key, keys.server(b"z9hG4bK1", b"host.example", Some(5060), b"MESSAGE", b"c", 2));
        assert_ne!(keys.client(b"ab", b"c"), keys.client(b"a", b"bc"));
        assert_ne!(key, Keys::new([1, 3]).server(b"z9hG4bK1", b"host.example", Some(5060), b"MESSAGE", b"c", 1));
    }
}
