use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};
use std::fmt;

use super::DigestError;

/// A hash function of RFC 8760 §2.1, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-512 with 256 bits.
    Sha512Of256,
    /// SHA-256.
    Sha256,
    /// Obsolete, and still the only one of many servers.
    Md5,
}

/// The value of `algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// RFC 7616 §3.4.2: the variant with `-sess`.
    pub session: bool,
}

impl Hash {
    /// The parts with colons between them, in lower-case hexadecimal (RFC 8760 §2.2).
    pub(super) fn of(self, parts: &[&str]) -> String {
        self.of_octets(parts.join(":").as_bytes())
    }

    /// As [`of`](Self::of), for a body.
    pub(super) fn of_octets(self, octets: &[u8]) -> String {
        match self {
            Self::Sha512Of256 => hex(&Sha512_256::digest(octets)),
            Self::Sha256 => hex(&Sha256::digest(octets)),
            Self::Md5 => hex(&Md5::digest(octets)),
        }
    }

    /// The name in `algorithm`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha512Of256 => "SHA-512-256",
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }
}

impl Algorithm {
    /// Reads the value of `algorithm`; RFC 7616 §3.3: MD5 when it is left out.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, DigestError> {
        let text = text.unwrap_or(Hash::Md5.name());
        let all = [Hash::Sha512Of256, Hash::Sha256, Hash::Md5];
        let found = all.into_iter().flat_map(|hash| [false, true].map(|session| Self { hash, session }));
        found
            .into_iter()
            .find(|algorithm| text.eq_ignore_ascii_case(&algorithm.to_string()))
            .ok_or(DigestError::Algorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.hash.name(), if self.session { "-sess" } else { "" })
    }
}

fn hex(octets: &[u8]) -> String {
    use fmt::Write as _;
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut out, octet| {
        // Writing to a String can't fail.
        let _ = write!(out, "{octet:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in ["SHA-256", "SHA-512-256", "MD5", "MD5-sess", "SHA-256-sess"] {
            assert_eq!(Algorithm::parse(Some(text)).unwrap().to_string(), text);
        }
        assert_eq!(Algorithm::parse(Some("sha-256")).unwrap().hash, Hash::Sha256);
        assert_eq!(Algorithm::parse(None).unwrap(), Algorithm { hash: Hash::Md5, session: false });
        assert_eq!(Algorithm::parse(Some("SHA3")), Err(DigestError::Algorithm));
    }
}
