//! Charsets, flowed text and line ends.

use super::ContentRefusal;
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8, UTF_16BE};
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
        Some(label) => Encoding::for_label_no_replacement(label.as_bytes()).ok_or(ContentRefusal::MediaType)?,
    };
    // RFC 2046 §4.1.2: octets beyond US-ASCII are in another set than the one that is named.
    let ascii = media.charset().is_some_and(|label| label.eq_ignore_ascii_case("us-ascii"));
    if ascii && !octets.is_ascii() {
        return Err(ContentRefusal::Malformed);
    }
    // UTF-16 begins with a mark, or is big-endian.
    let (encoding, octets) = match media.charset() {
        Some(label) if label.eq_ignore_ascii_case("utf-16") => match Encoding::for_bom(&octets) {
            Some((marked, length)) => (marked, octets.slice(length..)),
            None => (UTF_16BE, octets),
        },
        _ => (encoding, octets),
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

    // checks: IM-043
    #[test]
    fn rfc2046_s4_1_2_text_is_read_in_the_charset_it_names_or_not_at_all() {
        let read = |charset: &str, octets: &'static [u8]| {
            let value = format!("text/plain;charset={charset}");
            let text = recode(&MediaType::parse(&value).unwrap(), Bytes::from_static(octets))?;
            Ok(String::from_utf8(text.to_vec()).unwrap())
        };
        assert_eq!(read("ISO-8859-1", b"caf\xe9"), Ok("café".to_owned()));
        assert_eq!(read("\"koi8-r\"", b"\xe9"), Ok("И".to_owned()));
        assert_eq!(read("us-ascii", b"cafe"), Ok("cafe".to_owned()));
        assert_eq!(read("US-ASCII", b"caf\xe9"), Err(ContentRefusal::Malformed));
        for octets in [&b"\xfe\xff\0a\0\xe9"[..], b"\xff\xfea\0\xe9\0", b"\0a\0\xe9"] {
            assert_eq!(read("utf-16", octets), Ok("aé".to_owned()), "{octets:?}");
        }
        assert_eq!(read("utf-16le", b"a\0"), Ok("a".to_owned()));
        for unknown in ["utf-7", "iso-2022-kr", "none"] {
            assert_eq!(read(unknown, b"x"), Err(ContentRefusal::MediaType), "{unknown}");
        }
    }

    #[test]
    fn every_line_end_becomes_crlf() {
        let crlf = |text: &'static str| with_crlf(&Bytes::from_static(text.as_bytes()));
        assert_eq!(crlf("a\nb\rc\r\nd\n\n"), "a\r\nb\r\nc\r\nd\r\n\r\n");
        let shared = Bytes::from_static(b"a\r\nb");
        assert_eq!(with_crlf(&shared).as_ptr(), shared.as_ptr());
    }
}
