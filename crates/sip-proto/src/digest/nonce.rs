use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How long a nonce is accepted.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// Nonces in use that are remembered, which only those fill who know a password.
pub const MAX_NONCES: usize = 65_536;

/// Makes nonces that prove their own age and origin, and sees to it that no use of one counts twice.
#[derive(Debug)]
pub(super) struct Nonces {
    key: [u8; 32],
    issued: u64,
    floor: u64, // older ones were forgotten
    used: BTreeMap<u64, Window>,
    limit: usize,
}

/// Why a nonce does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not from here, or from before a restart, or too old: a new one helps.
    Stale,
    /// This use of it was seen before.
    Replayed,
}

/// The uses of one nonce: the highest, and which of the 64 below it.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    highest: u32,
    below: u64,
}

/// Seconds, number, authentication code.
const OCTETS: usize = 4 + 8 + MAC;

/// 72 bits, which nobody guesses while a nonce lives.
const MAC: usize = 9;

impl Nonces {
    pub(super) fn new(key: [u8; 32], limit: usize) -> Self {
        Self { key, issued: 0, floor: 0, used: BTreeMap::new(), limit }
    }

    /// A new nonce; `now` is the time since any fixed point.
    pub(super) fn issue(&mut self, now: Duration) -> String {
        self.issued += 1;
        let mut octets = Vec::with_capacity(OCTETS);
        octets.extend_from_slice(&seconds(now).to_be_bytes());
        octets.extend_from_slice(&self.issued.to_be_bytes());
        let mac = self.mac(&octets);
        octets.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// Counts one use of a nonce.
    pub(super) fn count(&mut self, nonce: &str, nc: u32, now: Duration) -> Result<(), Fault> {
        let number = self.number(nonce, now).ok_or(Fault::Stale)?;
        if !self.used.contains_key(&number) && self.used.len() >= self.limit {
            if let Some((oldest, _)) = self.used.pop_first() {
                self.floor = self.floor.max(oldest + 1);
            }
            if number < self.floor {
                return Err(Fault::Stale);
            }
        }
        if self.used.entry(number).or_default().count(nc) { Ok(()) } else { Err(Fault::Replayed) }
    }

    /// The number of a nonce that is ours and young enough.
    fn number(&self, nonce: &str, now: Duration) -> Option<u64> {
        let octets = URL_SAFE_NO_PAD.decode(nonce).ok().filter(|octets| octets.len() == OCTETS)?;
        let (fields, mac) = octets.split_at_checked(OCTETS - MAC)?;
        if !bool::from(self.mac(fields).ct_eq(mac)) {
            return None;
        }
        let (issued, number) = fields.split_first_chunk::<4>()?;
        let age = seconds(now).wrapping_sub(u32::from_be_bytes(*issued));
        let number = u64::from_be_bytes(*number.first_chunk::<8>()?);
        (u64::from(age) <= NONCE_LIFETIME.as_secs() && number >= self.floor).then_some(number)
    }

    /// Keyed on both sides, and cut: nothing can be appended.
    fn mac(&self, fields: &[u8]) -> [u8; MAC] {
        let digest = Sha256::new().chain_update(self.key).chain_update(fields).chain_update(self.key).finalize();
        digest.first_chunk::<MAC>().copied().unwrap_or_default()
    }
}

/// Wraps after 136 years.
fn seconds(now: Duration) -> u32 {
    now.as_secs() as u32
}

impl Window {
    /// Whether this use is a new one; datagrams may overtake each other.
    fn count(&mut self, nc: u32) -> bool {
        if nc > self.highest {
            let step = nc - self.highest;
            let moved = if step < 64 { self.below << step } else { 0 };
            self.below = if (1..=64).contains(&step) && self.highest > 0 { moved | 1 << (step - 1) } else { moved };
            self.highest = nc;
            return true;
        }
        let back = self.highest - nc;
        if nc == 0 || back == 0 || back > 64 {
            return false;
        }
        let bit = 1 << (back - 1);
        let new = self.below & bit == 0;
        self.below |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    // checks: DIG-008
    #[test]
    fn each_use_counts_once_and_may_overtake() {
        let mut nonces = Nonces::new([1; 32], 10);
        let nonce = nonces.issue(NOW);
        let mut count = |nc| nonces.count(&nonce, nc, NOW);
        for nc in [1, 3, 2, 70, 69, 7] {
            assert_eq!(count(nc), Ok(()), "{nc}");
        }
        for nc in [1, 2, 3, 70, 69, 7, 0] {
            assert_eq!(count(nc), Err(Fault::Replayed), "{nc}");
        }
        assert_eq!((count(200), count(135), count(136)), (Ok(()), Err(Fault::Replayed), Ok(())));
    }

    // checks: DIG-008
    #[test]
    fn what_is_old_or_forged_is_stale() {
        let mut nonces = Nonces::new([1; 32], 10);
        let (nonce, second) = (nonces.issue(NOW), nonces.issue(NOW));
        assert_ne!(nonce, second);
        assert_eq!(nonces.count(&nonce, 1, NOW + NONCE_LIFETIME), Ok(()));
        assert_eq!(nonces.count(&nonce, 2, NOW + NONCE_LIFETIME + Duration::from_secs(1)), Err(Fault::Stale));
        assert_eq!(Nonces::new([2; 32], 10).count(&nonce, 1, NOW), Err(Fault::Stale));
        let mut forged = nonce.into_bytes();
        forged[8] ^= 1;
        for text in [std::str::from_utf8(&forged).unwrap(), "", "AAAA", "\u{e9}"] {
            assert_eq!(nonces.count(text, 1, NOW), Err(Fault::Stale), "{text}");
        }
    }

    #[test]
    fn what_was_forgotten_is_not_taken_again() {
        let mut nonces = Nonces::new([1; 32], 2);
        let issued: Vec<_> = (0..3).map(|_| nonces.issue(NOW)).collect();
        assert!(issued.iter().all(|nonce| nonces.count(nonce, 1, NOW).is_ok()));
        assert_eq!(nonces.count(&issued[0], 1, NOW), Err(Fault::Stale));
        assert_eq!(nonces.count(&issued[0], 2, NOW), Err(Fault::Stale));
        assert_eq!(nonces.count(&issued[1], 1, NOW), Err(Fault::Replayed));
        assert_eq!(nonces.count(&issued[2], 2, NOW), Ok(()));
    }
}
