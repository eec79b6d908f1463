//! Charsets, flowed text and line ends.

use super::ContentRefusal;
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use sip_proto::header::MediaType;

/// Plain text in UTF-8, lines of `format=flowed` joined.
pub(super) fn plain(media: &MediaType<'_>, octets: Bytes) -> Result<Bytes, ContentRefusal> {
    let text = recode(media, octets)?;
    let flowed = media.params.get("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
    if !flowed {
        return Ok(text);
    }
    let del_sp = media.params.get("delsp").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    Ok(unflow(&String::from_utf8_lossy(&text), del_sp).into())
}

/// The text in UTF-8 (RFC 3261 §8.2.3); shared with the message when it was already.
pub(super) fn recode(media: &MediaType<'_>, octets: Bytes) -> Result<Bytes, ContentRefusal> {
    let encoding = match media.charset() {
        // RFC 3261 §7.4.1: UTF-8 is the default of text.
        None => UTF_8,
        Some(label) => Encoding::for_label(label.as_bytes()).ok_or(ContentRefusal::MediaType)?,
    };
    if encoding == UTF_8 {
        return if std::str::from_utf8(&octets).is_ok() { Ok(octets) } else { Err(ContentRefusal::Malformed) };
    }
    let text =
        encoding.decode_without_bom_handling_and_without_replacement(&octets).ok_or(ContentRefusal::Malformed)?;
    Ok(text.into_owned().into())
}

/// RFC 3676 §4: paragraphs in place of lines that end in a space.
fn unflow(text: &str, del_sp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.strip_suffix('\n').unwrap_or(line);
        let content = content.strip_suffix('\r').unwrap_or(content);
        let ending = line.strip_prefix(content).unwrap_or_default();
        // RFC 3676 §4.4: the space that protects a line's beginning.
        let content = content.strip_prefix(' ').unwrap_or(content);
        // RFC 3676 §4.3: the line before a signature ends in a space and is fixed.
        if content.ends_with(' ') && content != "-- " {
            out.push_str(if del_sp { content.strip_suffix(' ').unwrap_or(content) } else { content });
        } else {
            out.push_str(content);
            out.push_str(ending);
        }
    }
    out
}

/// Text with CRLF at the end of every line; shared when it has no other.
pub(super) fn with_crlf(text: &Bytes) -> Bytes {
    let bare = |at: usize, octet: u8| match octet {
        b'\n' => at.checked_sub(1).and_then(|before| text.get(before)) != Some(&b'\r'),
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    if !text.iter().enumerate().any(|(at, octet)| bare(at, *octet)) {
        return text.clone();
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for (at, octet) in text.iter().enumerate() {
        if bare(at, *octet) { out.extend_from_slice(b"\r\n") } else { out.push(*octet) }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: CMP-043
    #[test]
    fn rfc3676_s4_flowed_lines_are_joined() {
        let flowed = "one \r\ntwo\r\n\r\n three \r\nfour\r\n-- \r\nme";
        assert_eq!(unflow(flowed, false), "one two\r\n\r\nthree four\r\n-- \r\nme");
        assert_eq!(unflow("ab \ncd", true), "abcd");
    }

    #[test]
    fn every_line_end_becomes_crlf() {
        let crlf = |text: &'static str| with_crlf(&Bytes::from_static(text.as_bytes()));
        assert_eq!(crlf("a\nb\rc\r\nd\n\n"), "a\r\nb\r\nc\r\nd\r\n\r\n");
        let shared = Bytes::from_static(b"a\r\nb");
        assert_eq!(with_crlf(&shared).as_ptr(), shared.as_ptr());
    }
}
