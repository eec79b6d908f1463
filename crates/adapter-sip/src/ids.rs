//! The identifiers of a request this gateway sends: a pure function of the sender and its id, where it gave one.
//!
//! A message that a crash makes us send twice then carries the same Call-ID, From tag, CSeq and branch, by which the far
//! side can tell the copy (DESIGN A5).

use impp_model::{Endpoint, MessageId};
use sha2::{Digest, Sha256};

/// What distinguishes one request from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestIds {
    seed: [u8; 32],
}

/// Separates these hashes from all others that are made of the same text.
const DOMAIN: &[u8] = b"interlingua sip request 1";

/// The only sequence number there is: each MESSAGE outside a dialog has its own From tag (RFC 3261 §8.1.1.5).
pub const CSEQ: u32 = 1;

impl RequestIds {
    /// Those of the message `id` from `source`, the same however often they are made.
    pub fn of_message(source: &Endpoint, destination: &Endpoint, id: &MessageId) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        let device = source.device.as_ref().map_or("", |device| device.as_str());
        let ends = [source.address.local(), source.address.domain().as_str(), device];
        let inbox = [destination.address.local(), destination.address.domain().as_str()];
        for field in ends.iter().chain(&inbox).chain(&[id.as_str()]) {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        Self { seed: hash.finalize().into() }
    }

    /// Those of a message whose sender named none; `random` must be.
    pub fn random(random: [u8; 32]) -> Self {
        Self { seed: random }
    }

    /// RFC 3261 §19.3: 64 bits, enough to be unique beside the Call-ID.
    pub fn from_tag(&self) -> String {
        hex(self.seed.get(..8).unwrap_or_default())
    }

    /// RFC 3261 §8.1.1.4: a Call-ID for a message that belongs to no conversation.
    pub fn call_id(&self) -> String {
        hex(self.seed.get(8..24).unwrap_or_default())
    }

    /// RFC 3261 §8.1.1.7: the branch of the try at the `attempt`th server, counted from 0.
    pub fn branch(&self, attempt: u32) -> String {
        let hash =
            Sha256::new().chain_update(BRANCH_DOMAIN).chain_update(self.seed).chain_update(attempt.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut branch = String::with_capacity(7 + 32);
        branch.push_str("z9hG4bK");
        push_hex(&mut branch, digest.get(..16).unwrap_or_default());
        branch
    }
}

const BRANCH_DOMAIN: &[u8] = b"interlingua sip branch 1";

/// Lower-case hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    push_hex(&mut text, octets);
    text
}

fn push_hex(text: &mut String, octets: &[u8]) {
    for octet in octets {
        for nibble in [octet >> 4, octet & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(address: &str) -> Endpoint {
        Endpoint::bare(address.parse().unwrap())
    }

    // checks: SIP-007, SIP-044, IM-007
    #[test]
    fn the_same_message_always_has_the_same_ids_and_another_has_others() {
        let (romeo, juliet) = (end("romeo@example.net"), end("juliet@example.com"));
        let ids = |from, to, id: &str| RequestIds::of_message(from, to, &MessageId::from(id));
        let first = ids(&romeo, &juliet, "a b;c");
        assert_eq!(first, ids(&romeo, &juliet, "a b;c"));
        assert_ne!(first, ids(&romeo, &juliet, "a b;d"));
        assert_ne!(first, ids(&juliet, &romeo, "a b;c"));
        assert_eq!((first.from_tag().len(), first.call_id().len(), first.branch(0).len()), (16, 32, 39));
        assert!(first.branch(0).starts_with("z9hG4bK") && first.branch(0) != first.branch(1));
    }
}
