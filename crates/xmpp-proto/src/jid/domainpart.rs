//! Domain parts: host names, internationalized names and IP literals.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{MAX_PART_LEN, PartError};

/// RFC 5890 §2.3.2.1: what an A-label begins with.
const ACE_PREFIX: &str = "xn--";

/// RFC 1035 §2.3.4: octets of one label as the name system holds it.
const MAX_LABEL_LEN: usize = 63;

/// RFC 7622 §3.2: U-labels, lower case, no trailing dot; an IPv6 address in its shortest spelling.
pub(super) fn enforce(text: &str) -> Result<Cow<'_, str>, PartError> {
    if is_canonical(text) {
        return Ok(text.into());
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| PartError::Label)?;
        return Ok(format!("[{address}]").into());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    check_length(name)?;
    if name.is_ascii() && !name.split('.').any(is_a_label) {
        return enforce_ascii(name);
    }
    // RFC 7622 §3.2.1: the A-labels prove the name valid and tell its length; the U-labels are its canonical form.
    let uts46 = Uts46::new();
    let ascii = uts46
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| PartError::Label)?;
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    check_labels(ascii)?;
    let (unicode, valid) = uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    valid.map_err(|_| PartError::Label)?;
    // RFC 5891 §4.2: what an A-label stands for is no A-label itself, which would not read back as the same name.
    if unicode.split('.').any(|label| !label.is_ascii() && is_a_label(label)) {
        return Err(PartError::Label);
    }
    check_length(&unicode)?;
    Ok(unicode.into_owned().into())
}

/// Whether text is a host name in canonical form without A-labels, seen in one pass over it; of other text this says nothing.
fn is_canonical(text: &str) -> bool {
    let (mut length, mut before) = (0, b'.');
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'0'..=b'9' => {}
            // The third and the fourth character are those of an A-label's mark.
            b'-' if length > 0 && !(length == 3 && before == b'-') => {}
            b'.' if length > 0 && before != b'-' => length = 0,
            _ => return false,
        }
        length += usize::from(octet != b'.');
        if length > MAX_LABEL_LEN {
            return false;
        }
        before = octet;
    }
    length > 0 && before != b'-' && text.len() <= MAX_PART_LEN
}

fn enforce_ascii(name: &str) -> Result<Cow<'_, str>, PartError> {
    check_labels(name)?;
    Ok(if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() })
}

fn check_length(name: &str) -> Result<(), PartError> {
    match name.len() {
        0 => Err(PartError::Empty),
        1..=MAX_PART_LEN => Ok(()),
        _ => Err(PartError::TooLong { limit: MAX_PART_LEN }),
    }
}

/// RFC 5890 §2.3.1: letters, digits and inner hyphens.
fn check_labels(name: &str) -> Result<(), PartError> {
    let is_ldh = |label: &str| {
        (1..=MAX_LABEL_LEN).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(is_ldh) { Ok(()) } else { Err(PartError::Label) }
}

fn is_a_label(label: &str) -> bool {
    label.get(..ACE_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(ACE_PREFIX))
}
