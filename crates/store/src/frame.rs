//! The form of a record on disk: a header with version and checksum, then the value, sealed or not.
//!
//! | octets | what |
//! |---|---|
//! | 1 | form: 1 plain, 2 sealed |
//! | 8 | version, big-endian |
//! | 4 | CRC32C of key, form, version and value, big-endian |
//! | rest | value |

use crate::api::Damage;

/// Octets before the value.
pub(crate) const HEADER: usize = 13;
const PLAIN: u8 = 1;
const SEALED: u8 = 2;

/// What the header says: enough to compare and to sum, without the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sealed: bool,
    pub(crate) version: u64,
    pub(crate) checksum: u32,
}

impl Header {
    /// Reads a header without looking at the value.
    pub(crate) fn read(frame: &[u8]) -> Result<(Self, &[u8]), Damage> {
        let (header, value) = frame.split_first_chunk::<HEADER>().ok_or(Damage::Header)?;
        let [form, v0, v1, v2, v3, v4, v5, v6, v7, c0, c1, c2, c3] = *header;
        let sealed = match form {
            PLAIN => false,
            SEALED => true,
            _ => return Err(Damage::Header),
        };
        let version = u64::from_be_bytes([v0, v1, v2, v3, v4, v5, v6, v7]);
        Ok((Self { sealed, version, checksum: u32::from_be_bytes([c0, c1, c2, c3]) }, value))
    }
}

/// Makes a value a frame, in its own memory if that has room; `key` is the engine's key.
pub(crate) fn write(key: &[u8], sealed: bool, version: u64, mut value: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(key, sealed, version, &value);
    let [v0, v1, v2, v3, v4, v5, v6, v7] = version.to_be_bytes();
    let [c0, c1, c2, c3] = checksum.to_be_bytes();
    let form = if sealed { SEALED } else { PLAIN };
    value.splice(0..0, [form, v0, v1, v2, v3, v4, v5, v6, v7, c0, c1, c2, c3]);
    value
}

/// Reads a frame and verifies its checksum.
pub(crate) fn verify<'a>(key: &[u8], frame: &'a [u8]) -> Result<(Header, &'a [u8]), Damage> {
    let (header, value) = Header::read(frame)?;
    if header.checksum != checksum(key, header.sealed, header.version, value) {
        return Err(Damage::Checksum);
    }
    Ok((header, value))
}

fn checksum(key: &[u8], sealed: bool, version: u64, value: &[u8]) -> u32 {
    let sum = crc32c::crc32c(key);
    let sum = crc32c::crc32c_append(sum, &[u8::from(sealed)]);
    let sum = crc32c::crc32c_append(sum, &version.to_be_bytes());
    crc32c::crc32c_append(sum, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let frame = write(b"key", true, 77, b"value".to_vec());
        let (header, value) = verify(b"key", &frame).unwrap();
        assert_eq!((header.sealed, header.version, value), (true, 77, &b"value"[..]));
        assert_eq!(frame.len(), HEADER + 5);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let frame = write(b"key", false, 77, b"value".to_vec());
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(b"key", &flipped).is_err(), "bit {bit}");
        }
        assert_eq!(verify(b"kez", &frame), Err(Damage::Checksum));
        assert_eq!(verify(b"key", &frame[..HEADER - 1]), Err(Damage::Header));
    }
}
