//! XEP-0106: characters that a localpart may not hold, as `\hh`.

use std::borrow::Cow;

/// XEP-0106 §3.2: a space may not be the first or last character of an escaped localpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a space at the edge of a localpart can't be escaped")]
pub struct EdgeSpace;

/// XEP-0106 §3.1: the ten sequences.
const SEQUENCES: [(char, &str); 10] = [
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

/// Escapes decoded text for use as a localpart.
///
/// The result still has to be enforced, as [`super::Jid::from_parts`] does.
pub fn escape(text: &str) -> Result<Cow<'_, str>, EdgeSpace> {
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(EdgeSpace);
    }
    if !text.bytes().any(|octet| matches!(octet, b' ' | b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@' | b'\\'))
    {
        return Ok(Cow::Borrowed(text));
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        let sequence = SEQUENCES.iter().find(|(plain, _)| *plain == c);
        match sequence {
            // XEP-0106 §4.2: a backslash is escaped only where it would be taken for the start of a sequence.
            Some(('\\', sequence)) if text.get(at..).and_then(sequence_at_start).is_some() => {
                escaped.push_str(sequence)
            }
            None | Some(('\\', _)) => escaped.push(c),
            Some((_, sequence)) => escaped.push_str(sequence),
        }
    }
    Ok(Cow::Owned(escaped))
}

/// Gives the decoded text of a localpart that has been enforced.
///
/// Only the ten sequences in lower case mean anything; other backslashes stay.
pub fn unescape(local: &str) -> Result<Cow<'_, str>, EdgeSpace> {
    if !local.contains('\\') {
        return Ok(Cow::Borrowed(local));
    }
    let mut text = String::with_capacity(local.len());
    let mut rest = local;
    while let Some((before, from)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        text.push_str(before);
        let (c, length) = sequence_at_start(from).unwrap_or(('\\', 1));
        text.push(c);
        rest = from.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(EdgeSpace);
    }
    Ok(Cow::Owned(text))
}

/// The character that the sequence at the start of `text` stands for, and the octets of that sequence.
fn sequence_at_start(text: &str) -> Option<(char, usize)> {
    SEQUENCES.iter().find(|(_, sequence)| text.starts_with(sequence)).map(|(plain, sequence)| (*plain, sequence.len()))
}
