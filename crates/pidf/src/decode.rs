//! From octets to characters.

use std::borrow::Cow;

use strict_xml::XmlErrorKind;

use crate::error::{ErrorKind, ParseError};

/// The characters of a document, and how they came.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    /// Without byte order mark; the declaration names no encoding but UTF-8.
    pub(crate) text: Cow<'a, str>,
    form: Form,
    /// Octets of the byte order mark.
    mark: usize,
}

/// A character encoding that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Utf8,
    Ascii,
    Latin1,
    Utf16 { big_endian: bool },
}

/// RFC 3863 §4.1: a byte order mark, else the MIME charset, else the declaration, else UTF-8.
pub(crate) fn decode<'a>(octets: &'a [u8], charset: Option<&str>) -> Result<Text<'a>, ParseError> {
    let (mark, marked) = byte_order_mark(octets);
    let body = octets.get(mark..).unwrap_or_default();
    let form = match (marked, charset) {
        (Some(form), _) => Some(form),
        (None, Some(label)) => labelled(label, body),
        (None, None) => unlabelled(body),
    };
    let form = form.ok_or(ParseError { kind: ErrorKind::Encoding, line: 1, octet: mark })?;
    let text = characters(body, form).map_err(|(kind, at)| ParseError {
        kind,
        line: 1 + newlines(body, at),
        octet: mark + at,
    })?;
    Ok(Text { text: without_encoding(text), form, mark })
}

/// A document in UTF-8, otherwise as it came: borrowed where it was that already.
///
/// # Errors
///
/// An encoding that is not read, or octets that are not in it.
pub fn to_utf8<'a>(octets: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, [u8]>, ParseError> {
    let decoded = decode(octets, charset)?;
    if matches!(decoded.form, Form::Utf8 | Form::Ascii) && matches!(decoded.text, Cow::Borrowed(_)) {
        return Ok(Cow::Borrowed(octets));
    }
    let text = characters(octets.get(decoded.mark..).unwrap_or_default(), decoded.form);
    let mut text = text.unwrap_or_default().into_owned();
    if let Some((start, end)) = declared_encoding(&text).map(|(_, start, end)| (start, end)) {
        text.replace_range(start..end, "encoding='UTF-8'");
    }
    Ok(Cow::Owned(text.into_bytes()))
}

impl Text<'_> {
    /// Octets of the document before so many octets of the text.
    pub(crate) fn octet(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        self.mark
            + match self.form {
                Form::Utf8 | Form::Ascii => at,
                Form::Latin1 => before.chars().count(),
                Form::Utf16 { .. } => before.chars().map(char::len_utf16).sum::<usize>() * 2,
            }
    }

    /// The error at so many octets of the text.
    pub(crate) fn error(&self, kind: ErrorKind, at: usize) -> ParseError {
        ParseError { kind, line: 1 + newlines(self.text.as_bytes(), at), octet: self.octet(at) }
    }

    /// XML 1.0 §2.8.
    pub(crate) fn has_declaration(&self) -> bool {
        self.text.strip_prefix("<?xml").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n']))
    }
}

/// Length and meaning of a byte order mark (XML 1.0 §F.1).
fn byte_order_mark(octets: &[u8]) -> (usize, Option<Form>) {
    match octets {
        [0xEF, 0xBB, 0xBF, ..] => (3, Some(Form::Utf8)),
        [0xFE, 0xFF, ..] => (2, Some(Form::Utf16 { big_endian: true })),
        [0xFF, 0xFE, ..] => (2, Some(Form::Utf16 { big_endian: false })),
        _ => (0, None),
    }
}

fn labelled(label: &str, body: &[u8]) -> Option<Form> {
    match label.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => Some(Form::Utf8),
        "us-ascii" | "ascii" => Some(Form::Ascii),
        "iso-8859-1" | "latin1" => Some(Form::Latin1),
        "utf-16be" => Some(Form::Utf16 { big_endian: true }),
        "utf-16le" => Some(Form::Utf16 { big_endian: false }),
        // XML 1.0 §F.1: without a mark, big-endian, unless the first character shows otherwise.
        "utf-16" => Some(Form::Utf16 { big_endian: !body.starts_with(&[b'<', 0]) }),
        _ => None,
    }
}

/// XML 1.0 §F.1: the first octets are `<` and what follows it.
fn unlabelled(body: &[u8]) -> Option<Form> {
    match body {
        [0, b'<', ..] => return Some(Form::Utf16 { big_endian: true }),
        [b'<', 0, ..] => return Some(Form::Utf16 { big_endian: false }),
        _ => {}
    }
    let start = body.get(..body.len().min(MAX_DECLARATION)).unwrap_or_default();
    let ascii = start.iter().take_while(|octet| octet.is_ascii()).count();
    let text = std::str::from_utf8(start.get(..ascii).unwrap_or_default()).unwrap_or_default();
    match declared_encoding(text) {
        // Octets that are one each cannot be what UTF-16 would be.
        Some((label, ..)) => labelled(label, body).filter(|form| !matches!(form, Form::Utf16 { .. })),
        None => Some(Form::Utf8),
    }
}

/// Octets looked at for the end of the declaration.
const MAX_DECLARATION: usize = 256;

/// The characters, or the octet that is none.
fn characters(body: &[u8], form: Form) -> Result<Cow<'_, str>, (ErrorKind, usize)> {
    let malformed = |at| (ErrorKind::NotWellFormed(XmlErrorKind::Utf8), at);
    match form {
        Form::Ascii if !body.is_ascii() => Err(malformed(body.iter().take_while(|octet| octet.is_ascii()).count())),
        Form::Utf8 | Form::Ascii => {
            std::str::from_utf8(body).map(Cow::Borrowed).map_err(|error| malformed(error.valid_up_to()))
        }
        Form::Latin1 => Ok(Cow::Owned(body.iter().copied().map(char::from).collect())),
        Form::Utf16 { big_endian } => {
            let (pairs, rest) = body.as_chunks::<2>();
            let unit = |pair: &[u8; 2]| if big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
            let mut text = String::with_capacity(pairs.len());
            let mut at = 0;
            for decoded in char::decode_utf16(pairs.iter().map(unit)) {
                let c = decoded.map_err(|_| malformed(at))?;
                at += 2 * c.len_utf16();
                text.push(c);
            }
            if rest.is_empty() { Ok(Cow::Owned(text)) } else { Err(malformed(at)) }
        }
    }
}

/// Puts spaces where the declaration names an encoding other than UTF-8, so that every position stays.
fn without_encoding(text: Cow<'_, str>) -> Cow<'_, str> {
    match declared_encoding(&text) {
        Some((label, start, end)) if !label.eq_ignore_ascii_case("utf-8") => {
            let mut text = text.into_owned();
            text.replace_range(start..end, &" ".repeat(end - start));
            Cow::Owned(text)
        }
        Some(_) | None => text,
    }
}

/// The declaration of nearly all documents.
const USUAL: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// The encoding that a declaration names after its version, and where it says so.
fn declared_encoding(text: &str) -> Option<(&str, usize, usize)> {
    if text.starts_with(USUAL) {
        return Some(("UTF-8", "<?xml version=\"1.0\" ".len(), USUAL.len() - "?>".len()));
    }
    let space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let inside = text.strip_prefix("<?xml")?.split_once("?>")?.0;
    let (_, after_version) = pseudo_attribute(inside.strip_prefix(space)?.trim_start_matches(space), "version")?;
    let clause = after_version.strip_prefix(space)?.trim_start_matches(space);
    let (label, rest) = pseudo_attribute(clause, "encoding")?;
    let end = "<?xml".len() + inside.len() - rest.len();
    Some((label, end - (clause.len() - rest.len()), end))
}

/// The value of `name="value"` at the start of the text, and what follows it.
fn pseudo_attribute<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let value = text.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value.strip_prefix(quote)?.split_once(quote)
}

fn newlines(octets: &[u8], before: usize) -> usize {
    memchr::memchr_iter(b'\n', octets.get(..before).unwrap_or(octets)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(octets: &[u8], charset: Option<&str>) -> String {
        decode(octets, charset).unwrap().text.into_owned()
    }

    // checks: PD-02
    #[test]
    fn rfc3863_s4_1_the_charset_overrides_the_declaration() {
        let declared = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xC3\xA9</a>";
        assert!(text(declared, None).ends_with("<a>\u{C3}\u{A9}</a>"));
        assert!(text(declared, Some("utf-8")).ends_with("<a>\u{E9}</a>"));
        assert_eq!(text(declared, None).len(), declared.len() + 2, "positions stay but for the wider characters");
        assert!(!text(declared, None).contains("ISO"));
    }

    #[test]
    fn rfc3863_s7_utf_16_is_read_with_and_without_mark() {
        for big_endian in [true, false] {
            let units = "\u{FEFF}<a>\u{1F600}\n<b/></a>".encode_utf16();
            let octets: Vec<u8> =
                units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            let decoded = decode(&octets, None).unwrap();
            assert_eq!(decoded.text, "<a>\u{1F600}\n<b/></a>");
            assert_eq!(decoded.octet(decoded.text.find("<b/>").unwrap()), 2 + 2 * 6);
            assert_eq!(text(&octets[2..], None), decoded.text);
            assert_eq!(decode(&octets[..octets.len() - 1], None).unwrap_err().octet, octets.len() - 2);
        }
    }

    #[test]
    fn xml_s2_8_documents_of_other_1_x_versions_are_read() {
        let document = |version: &str| {
            format!(
                "<?xml version='{version}'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b.example'/>"
            )
        };
        assert!(crate::parse(document("1.1").as_bytes()).is_ok());
        assert!(crate::parse(document("2.0").as_bytes()).is_err());
    }

    // checks: PD-24
    #[test]
    fn rfc3863_s4_1_the_declaration_names_the_encoding_that_is_written() {
        let written =
            |octets: &[u8], charset| String::from_utf8(to_utf8(octets, charset).unwrap().into_owned()).unwrap();
        let declared = b"<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?><a>\xE9</a>";
        let expected = "<?xml version='1.0' encoding='UTF-8' standalone='yes'?><a>\u{E9}</a>";
        assert_eq!(written(declared, None), expected);
        assert_eq!(written(b"<a>\xE9</a>", Some("latin1")), "<a>\u{E9}</a>");
        assert_eq!(written(b"\xFF\xFE<\0a\0/\0>\0", None), "<a/>");
        for same in [&b"\xEF\xBB\xBF<a/>"[..], b"<?xml version='1.0' encoding='utf-8'?><a/>", b"<a/>"] {
            assert!(matches!(to_utf8(same, None), Ok(Cow::Borrowed(octets)) if octets == same));
        }
        assert!(to_utf8(b"<a>\xE9</a>", None).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        let error = |octets: &[u8], charset| decode(octets, charset).unwrap_err();
        assert_eq!(error(b"<a/>", Some("koi8-r")).kind, ErrorKind::Encoding);
        assert_eq!(error(b"<?xml version='1.0' encoding='EBCDIC'?><a/>", None).kind, ErrorKind::Encoding);
        assert_eq!(error(b"<?xml version='1.0' encoding='UTF-16'?><a/>", None).kind, ErrorKind::Encoding);
        let broken = error(b"<a>\n\xFF</a>", None);
        assert_eq!((broken.kind.code(), broken.line, broken.octet), ("E_NOT_WELL_FORMED", 2, 4));
        assert_eq!(error(b"<a>\xC3\xA9</a>", Some("us-ascii")).octet, 3);
    }
}
