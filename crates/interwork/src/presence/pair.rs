//! What names a (WATCHER, PRESENTITY).

use impp_model::{Address, SubscriptId};
use sha2::{Digest, Sha256};
use store::Shard;

/// A pair; ordered so that the watchers of one presentity lie together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) target: Address,
    pub(crate) watcher: Address,
}

/// Separates these hashes from all others that are made of the same text.
const DOMAIN: &[u8] = b"interlingua presence pair 1";

impl Pair {
    pub(crate) fn new(watcher: &Address, target: &Address) -> Self {
        Self { target: target.clone(), watcher: watcher.clone() }
    }

    /// The other way round.
    pub(crate) fn reversed(&self) -> Self {
        Self { target: self.watcher.clone(), watcher: self.target.clone() }
    }

    /// The same for the same pair in every process, and telling nothing of the addresses.
    pub(crate) fn hash(&self) -> [u8; 16] {
        let mut hash = Sha256::new().chain_update(DOMAIN);
        for part in [&self.watcher, &self.target] {
            let (local, domain) = (part.local(), part.domain().as_str());
            hash.update((local.len() + 1 + domain.len()).to_be_bytes());
            for text in [local, "@", domain] {
                hash.update(text);
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
        half
    }

    pub(crate) fn shard(&self) -> Shard {
        Shard::of_hash(u128::from_be_bytes(self.hash()))
    }

    /// What the pair's subscription is called towards the presentity's side.
    pub(crate) fn subscript_id(&self) -> SubscriptId {
        format!("{:032x}", u128::from_be_bytes(self.hash())).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PR-04, PR-05
    #[test]
    fn a_pair_is_named_the_same_always_and_its_reverse_is_another() {
        let pair = Pair::new(&"w@a.example".parse().unwrap(), &"t@b.example".parse().unwrap());
        assert_eq!(pair.subscript_id(), pair.clone().subscript_id());
        assert_eq!(pair.subscript_id().as_str(), "b3a85416121b51cf18db55abf452668d");
        assert_ne!(pair.hash(), pair.reversed().hash());
        assert_eq!(pair.reversed().reversed(), pair);
    }
}
