//! Content at rest: each value sealed with AES-256-GCM-SIV under one key from a file.
//!
//! The SIV form, because nonces are random and one key lives long: with plain GCM 2^32 records are the usual bound, which a
//! busy gateway reaches within days, and a repeated nonce breaks it; here a repeat only shows that two values are equal.
//! Keys of records are not sealed: no address and no content may stand in them.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::api::Damage;

/// Octets of a key.
pub const KEY_LENGTH: usize = 32;
/// Octets that a key file has at most; hexadecimal digits with some white space.
const MAX_KEY_FILE: u64 = 256;

/// A key for content at rest.
#[derive(Clone)]
pub struct SealKey([u8; KEY_LENGTH]);

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It can't be read.
    #[error("cannot read the key file")]
    Read(#[source] io::Error),
    /// It holds something else.
    #[error("the key file holds neither {KEY_LENGTH} octets nor their hexadecimal or base64 form")]
    Form,
}

impl SealKey {
    /// A key from its octets, which must be random.
    pub fn new(octets: [u8; KEY_LENGTH]) -> Self {
        Self(octets)
    }

    /// Reads a key file: 32 octets as they are, as 64 hexadecimal digits or in base64; white space around them is ignored.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let length = fs::metadata(path).map_err(KeyError::Read)?.len();
        if length > MAX_KEY_FILE {
            return Err(KeyError::Form);
        }
        let octets = fs::read(path).map_err(KeyError::Read)?;
        if let Ok(key) = <[u8; KEY_LENGTH]>::try_from(octets.as_slice()) {
            return Ok(Self(key));
        }
        let text = std::str::from_utf8(&octets).map_err(|_| KeyError::Form)?.trim();
        let decoded = from_hex(text).or_else(|| STANDARD.decode(text).ok()).ok_or(KeyError::Form)?;
        <[u8; KEY_LENGTH]>::try_from(decoded).map(Self).map_err(|_| KeyError::Form)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().filter_map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect())
}

/// Seals and opens values: those of the store, and of other files that lie beside it.
pub struct Sealer(LessSafeKey);

/// What the check record says when it is opened.
const CHECK: &[u8] = b"interlingua seal check";
/// What stands in for the record's key in the check record.
const CHECK_NAME: &[u8] = b"seal-check";

impl Sealer {
    /// Seals under this key.
    pub fn new(key: &SealKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &key.0).expect("the key has the length of the algorithm");
        Self(LessSafeKey::new(key))
    }

    /// Seals `value` to the record `name`: nonce, ciphertext, tag.
    pub fn seal(&self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the system's random generator does not fail once it is seeded");
        let mut octets = Vec::with_capacity(NONCE_LEN + value.len() + AES_256_GCM_SIV.tag_len());
        octets.extend_from_slice(&nonce);
        let mut sealed = value.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed)
            .expect("a value within MAX_VALUE is below the algorithm's limit");
        octets.append(&mut sealed);
        octets
    }

    /// The inverse of [`seal`](Self::seal).
    pub fn open(&self, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Damage> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Damage::Seal)?;
        let mut octets = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(name), &mut octets).map_err(|_| Damage::Seal)?.len();
        octets.truncate(length);
        Ok(octets)
    }

    /// A record by which a later start recognises the key.
    pub(crate) fn check_record(&self) -> Vec<u8> {
        self.seal(CHECK_NAME, CHECK)
    }

    /// Whether `record` was made by [`check_record`](Self::check_record) under the same key.
    pub(crate) fn recognises(&self, record: &[u8]) -> bool {
        self.open(CHECK_NAME, record).is_ok_and(|text| text == CHECK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_record_open_it() {
        let sealer = Sealer::new(&SealKey::new([7; KEY_LENGTH]));
        let sealed = sealer.seal(b"a", b"hello");
        assert_eq!(sealer.open(b"a", &sealed).as_deref(), Ok(&b"hello"[..]));
        assert_eq!(sealer.open(b"b", &sealed), Err(Damage::Seal));
        assert_eq!(sealer.open(b"a", &sealed[..20]), Err(Damage::Seal));
        let other = Sealer::new(&SealKey::new([8; KEY_LENGTH]));
        assert_eq!(other.open(b"a", &sealed), Err(Damage::Seal));
        assert!(sealer.recognises(&sealer.check_record()));
        assert!(!other.recognises(&sealer.check_record()));
    }

    #[test]
    fn key_files_in_three_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for content in [vec![0x2a; 32], b"2a".repeat(32), format!("{}\n", STANDARD.encode([0x2a; 32])).into_bytes()] {
            fs::write(&path, content).unwrap();
            assert_eq!(SealKey::read(&path).unwrap().0, [0x2a; 32]);
        }
        for content in [&b"short"[..], &[0xff; 300], b""] {
            fs::write(&path, content).unwrap();
            assert!(matches!(SealKey::read(&path), Err(KeyError::Form)));
        }
    }
}
