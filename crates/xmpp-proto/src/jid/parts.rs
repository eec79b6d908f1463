//! Local and resource parts: PRECIS profiles (RFC 8265) with a fast path for ASCII.

use std::borrow::Cow;

use precis_core::profile::{PrecisFastInvocation, Rules};
use precis_core::{CodepointInfo, DerivedPropertyValue, Error, FreeformClass, StringClass};
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::{MAX_PART_LEN, PartError};

/// RFC 7622 §3.3.1: what a localpart may not hold although UsernameCaseMapped allows it.
const EXCLUDED: [char; 8] = ['"', '&', '\'', '/', ':', '<', '>', '@'];

/// RFC 7622 §3.3: UsernameCaseMapped, then the eight excluded characters, then the length.
pub(super) fn enforce_local(text: &str) -> Result<Cow<'_, str>, PartError> {
    if text.bytes().all(is_plain) {
        return check_length(text.into());
    }
    let local = if text.is_ascii() { lower_case(text)? } else { case_mapped(text)? };
    // Width mapping can bring them in, so they are looked for in the result.
    if let Some(found) = local.chars().find(|c| EXCLUDED.contains(c)) {
        return Err(PartError::Character { found });
    }
    check_length(local)
}

/// Whether every rule leaves an octet as it is, whatever stands beside it.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_graphic() && !octet.is_ascii_uppercase() && !EXCLUDED.contains(&char::from(octet))
}

/// RFC 8264 §7: the rules are applied until nothing changes; lower case may be what the class refuses, as where the
/// tables know a capital letter only.
fn case_mapped(text: &str) -> Result<Cow<'_, str>, PartError> {
    let mut mapped = UsernameCaseMapped::enforce(text).map_err(refusal)?;
    for _ in 0..MAX_REPEATS {
        let again = UsernameCaseMapped::enforce(&*mapped).map_err(refusal)?.into_owned();
        if again == *mapped {
            return Ok(mapped);
        }
        mapped = again.into();
    }
    Err(PartError::Unstable)
}

/// RFC 8264 §7: how often the rules are applied again before text is refused.
const MAX_REPEATS: usize = 3;

/// RFC 7622 §3.4: OpaqueString, then the length.
// DEVIATES RFC 8264 §9.10: code points that are unassigned in the tables of the crate (Unicode 6.3) pass, for clients
// name their resources with newer emoji and our peers, whose tables are newer, let them pass.
pub(super) fn enforce_resource(text: &str) -> Result<Cow<'_, str>, PartError> {
    if text.is_ascii() {
        check_visible(text, |b| matches!(b, b' '..=b'~'))?;
        return check_length(Cow::Borrowed(text));
    }
    check_class(text)?;
    let profile = OpaqueString::new();
    let mapped = profile.additional_mapping_rule(text).map_err(refusal)?;
    let normal = profile.normalization_rule(mapped).map_err(refusal)?;
    // RFC 8264 §7: the class has the last word, for normalization makes code points with a context rule of others.
    if *normal != *text {
        check_class(&normal)?;
    }
    check_length(normal)
}

fn check_class(text: &str) -> Result<(), PartError> {
    let class = FreeformClass::default();
    let is_unassigned = |c: char| class.get_value_from_char(c) == DerivedPropertyValue::Unassigned;
    let known: String = text.chars().map(|c| if is_unassigned(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
    class.allows(&known).map_err(refusal)
}

fn lower_case(text: &str) -> Result<Cow<'_, str>, PartError> {
    check_visible(text, |b| matches!(b, b'!'..=b'~'))?;
    Ok(if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() })
}

fn check_visible(text: &str, allowed: impl Fn(u8) -> bool) -> Result<(), PartError> {
    match text.bytes().find(|b| !allowed(*b)) {
        Some(found) => Err(PartError::Character { found: found.into() }),
        None => Ok(()),
    }
}

fn check_length(part: Cow<'_, str>) -> Result<Cow<'_, str>, PartError> {
    match part.len() {
        0 => Err(PartError::Empty),
        1..=MAX_PART_LEN => Ok(part),
        _ => Err(PartError::TooLong { limit: MAX_PART_LEN }),
    }
}

fn refusal(error: Error) -> PartError {
    match error {
        Error::BadCodepoint(CodepointInfo { cp, .. }) => {
            PartError::Character { found: char::from_u32(cp).unwrap_or(char::REPLACEMENT_CHARACTER) }
        }
        // The profiles report a broken bidi rule, and nothing else on text that is not empty, as invalid.
        Error::Invalid | Error::Unexpected(_) => PartError::Bidi,
    }
}
