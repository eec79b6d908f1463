//! What addressees have refused to take, remembered over restarts (CMP-004, CMP-025, RFC 3994 §4).

use impp_model::{Address, Sealed};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};

/// Addressees remembered: 100 octets each.
const MAX_REMEMBERED: usize = 32_768;

/// A form of message that not everybody takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// message/cpim.
    Cpim = 1,
    /// application/im-iscomposing+xml.
    Composing = 2,
    /// multipart/signed.
    Signed = 3,
    /// application/pkcs7-mime and other envelopes.
    Enveloped = 4,
}

impl Kind {
    /// That of a protected object.
    pub(crate) fn of(sealed: &Sealed) -> Self {
        if &*sealed.payload.media_type == "application/pkcs7-mime" { Self::Enveloped } else { Self::Signed }
    }

    /// How long a refusal counts, in seconds: people get other clients.
    const fn remembered(self) -> i64 {
        match self {
            Self::Cpim | Self::Composing => 7 * DAY,
            // There is no other form to send instead.
            Self::Signed | Self::Enveloped => DAY,
        }
    }
}

const DAY: i64 = 24 * 3600;

type Key = [u8; 17];

/// Who has refused what.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    until: HashMap<Key, i64>,
    order: VecDeque<Key>,
}

/// A change for the store: a key that holds no address, and the value; `None` deletes.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

impl Refusals {
    /// Those of an earlier process.
    pub(crate) fn load(kept: &[(Vec<u8>, Vec<u8>)], now: i64) -> Self {
        let mut refusals = Self::default();
        for (key, value) in kept {
            let key = key.strip_prefix(PREFIX).and_then(|key| Key::try_from(key).ok());
            let until = value.as_slice().try_into().ok().map(i64::from_be_bytes);
            if let (Some(key), Some(until)) = (key, until.filter(|until| *until > now))
                && refusals.order.len() < MAX_REMEMBERED
            {
                refusals.until.insert(key, until);
                refusals.order.push_back(key);
            }
        }
        refusals
    }

    /// Whether the addressee is known to refuse this.
    pub(crate) fn refuses(&self, kind: Kind, addressee: &Address, now: i64) -> bool {
        !self.until.is_empty() && self.until.get(&key(kind, addressee)).is_some_and(|until| *until > now)
    }

    /// The addressee has refused this; gives what to store.
    pub(crate) fn refused(&mut self, kind: Kind, addressee: &Address, now: i64) -> Vec<Change> {
        let key = key(kind, addressee);
        let until = now.saturating_add(kind.remembered());
        let mut changes = Vec::new();
        if self.until.insert(key, until).is_none() {
            if self.order.len() >= MAX_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.until.remove(&oldest);
                changes.push((stored(&oldest), None));
            }
            self.order.push_back(key);
        }
        changes.push((stored(&key), Some(until.to_be_bytes().to_vec())));
        changes
    }
}

/// What the keys in the store begin with.
const PREFIX: &[u8] = b"refuses\0";

fn stored(key: &Key) -> Vec<u8> {
    [PREFIX, key].concat()
}

fn key(kind: Kind, addressee: &Address) -> Key {
    let mut hash = Sha256::new_with_prefix(b"interlingua sip refusal 1");
    for field in [addressee.local(), addressee.domain().as_str()] {
        hash.update(field.len().to_be_bytes());
        hash.update(field);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = [kind as u8; 17];
    key.iter_mut().skip(1).zip(digest).for_each(|(to, from)| *to = from);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: CMP-025, CMP-004, ISC-005
    #[test]
    fn rfc3994_s4_a_refusal_is_remembered_for_a_while_and_over_a_restart() {
        let (romeo, juliet): (Address, Address) =
            ("romeo@example.net".parse().unwrap(), "juliet@example.net".parse().unwrap());
        let mut refusals = Refusals::default();
        let changes = refusals.refused(Kind::Cpim, &romeo, 1000);
        assert!(refusals.refuses(Kind::Cpim, &romeo, 1001));
        assert!(!refusals.refuses(Kind::Composing, &romeo, 1001) && !refusals.refuses(Kind::Cpim, &juliet, 1001));
        assert!(!refusals.refuses(Kind::Cpim, &romeo, 1000 + 7 * DAY));
        let kept: Vec<_> = changes.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())).collect();
        assert!(Refusals::load(&kept, 1001).refuses(Kind::Cpim, &romeo, 1001));
        assert!(Refusals::load(&kept, 1000 + 7 * DAY).until.is_empty());
    }

    // checks: CMP-073
    #[test]
    fn a_refusal_of_protected_objects_is_of_their_type_and_for_a_day() {
        let romeo: Address = "romeo@example.net".parse().unwrap();
        let kind = |head: &str| {
            let entity = format!("Content-Type: {head}\r\n\r\nx");
            Kind::of(&::cpim::mapping::seal(entity.into()).unwrap())
        };
        let (signed, enveloped) = (kind("multipart/signed; boundary=b"), kind("Application/PKCS7-Mime"));
        assert_eq!((signed, enveloped), (Kind::Signed, Kind::Enveloped));
        let mut refusals = Refusals::default();
        refusals.refused(enveloped, &romeo, 1000);
        assert!(refusals.refuses(enveloped, &romeo, 1000 + DAY - 1) && !refusals.refuses(signed, &romeo, 1001));
        assert!(!refusals.refuses(enveloped, &romeo, 1000 + DAY));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..=MAX_REMEMBERED {
            let changes = refusals.refused(Kind::Cpim, &format!("u{number}@example.net").parse().unwrap(), 0);
            assert_eq!(changes.len(), if number == MAX_REMEMBERED { 2 } else { 1 });
        }
        assert_eq!((refusals.until.len(), refusals.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    }
}
