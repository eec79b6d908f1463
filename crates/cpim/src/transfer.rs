//! RFC 2045 §6: transfer encodings.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Reverses a transfer encoding; no encoding is `7bit`. `None` if the name is unknown or the octets are malformed.
pub(crate) fn decode<'a>(encoding: Option<&str>, octets: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match encoding.unwrap_or("7bit").to_ascii_lowercase().as_str() {
        "7bit" | "8bit" | "binary" => Some(Cow::Borrowed(octets)),
        "base64" => decode_base64(octets).map(Cow::Owned),
        "quoted-printable" => decode_quoted_printable(octets).map(Cow::Owned),
        _ => None,
    }
}

// RFC 2045 §6.8: line ends and white space are not part of the encoding.
fn decode_base64(octets: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = octets.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let padding = DecodePaddingMode::RequireCanonical;
    let engine = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(padding));
    engine.decode(digits).ok()
}

fn decode_quoted_printable(octets: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (plain, escaped) = rest.split_at_checked(at)?;
        out.extend_from_slice(plain);
        rest = match escaped {
            [b'=', b'\r', b'\n', after @ ..] => after,
            [b'=', high, low, after @ ..] => {
                out.push(hex(*high)? << 4 | hex(*low)?);
                after
            }
            _ => return None,
        };
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-04
    #[test]
    fn rfc2045_s6_encodings_are_reversed_exactly() {
        let decoded = |encoding, octets| decode(Some(encoding), octets).map(Cow::into_owned);
        assert_eq!(decode(None, b"a\xff").as_deref(), Some(&b"a\xff"[..]));
        assert_eq!(decoded("BINARY", b"a"), Some(b"a".to_vec()));
        assert_eq!(decoded("Base64", b"aGVs\r\nbG8=\r\n"), Some(b"hello".to_vec()));
        assert_eq!(decoded("base64", b"aGVsbG8"), None);
        assert_eq!(decoded("quoted-printable", b"a=C3=a9=\r\n b\r\n"), Some("aé b\r\n".as_bytes().to_vec()));
        for bad in [&b"=4"[..], b"=zz", b"="] {
            assert_eq!(decoded("quoted-printable", bad), None);
        }
        assert_eq!(decoded("x-uuencode", b"a"), None);
    }
}
