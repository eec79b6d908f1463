//! The strict inside of a start tag, and references.

use memchr::memchr;

use crate::chars::{NAME, NAME_START, is, is_ncname, is_space, is_xml_char};
use crate::{XmlError, XmlErrorKind};

/// A qualified name, its prefix empty for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawName<'a> {
    /// Prefix, colon and local name.
    pub(crate) written: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    /// Where `local` begins.
    pub(crate) at: usize,
}

/// An attribute as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawAttr<'a> {
    pub(crate) name: RawName<'a>,
    pub(crate) value: &'a str,
    /// Where `value` begins.
    pub(crate) at: usize,
    /// Whether `value` means itself: no reference, and no white space but spaces.
    pub(crate) plain: bool,
}

/// Reads the inside of a start or empty tag: the name, then attributes.
pub(crate) struct TagScanner<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> TagScanner<'a> {
    /// `inside` is what stands between `<` and `>` or `/>`; `at` is its position.
    pub(crate) fn new(inside: &'a str, at: usize) -> Self {
        Self { rest: inside, at }
    }

    /// The element's name; called first.
    pub(crate) fn name(&mut self) -> Result<RawName<'a>, XmlError> {
        if let Some(name) = plain_name(self.rest, self.at) {
            self.advance(name.written.len());
            return Ok(name);
        }
        let at = self.at;
        let name = self.take_until(is_space);
        split_name(name, at)
    }

    /// The next attribute.
    pub(crate) fn attribute(&mut self) -> Result<Option<RawAttr<'a>>, XmlError> {
        let spaces = self.take_until(|byte| !is_space(byte)).len();
        if self.rest.is_empty() {
            return Ok(None);
        }
        // XML 1.0 §3.1: white space before each attribute.
        if spaces == 0 {
            return Err(self.error(XmlErrorKind::Tag));
        }
        let name = self.attribute_name()?;
        self.skip_space();
        self.expect(b'=')?;
        self.skip_space();
        let quote = match self.rest.bytes().next() {
            Some(quote @ (b'"' | b'\'')) => quote,
            Some(_) | None => return Err(self.error(XmlErrorKind::Tag)),
        };
        self.advance(1);
        let at = self.at;
        let end = memchr(quote, self.rest.as_bytes()).ok_or(self.error(XmlErrorKind::Tag))?;
        let value = self.advance(end);
        self.advance(1);
        // One branch-free pass; only what it finds is looked at again.
        let plain = !value.bytes().fold(false, |found, byte| found | is_special(byte));
        match (!plain).then(|| memchr(b'<', value.as_bytes())).flatten() {
            Some(found) => Err(XmlError::new(XmlErrorKind::LessThanInAttribute, at + found)),
            None => Ok(Some(RawAttr { name, value, at, plain })),
        }
    }

    fn attribute_name(&mut self) -> Result<RawName<'a>, XmlError> {
        if let Some(name) = plain_name(self.rest, self.at) {
            self.advance(name.written.len());
            return Ok(name);
        }
        let at = self.at;
        split_name(self.take_until(|byte| byte == b'=' || is_space(byte)), at)
    }

    fn skip_space(&mut self) {
        self.take_until(|byte| !is_space(byte));
    }

    fn expect(&mut self, byte: u8) -> Result<(), XmlError> {
        if self.rest.bytes().next() != Some(byte) {
            return Err(self.error(XmlErrorKind::Tag));
        }
        self.advance(1);
        Ok(())
    }

    fn take_until(&mut self, stop: impl Fn(u8) -> bool) -> &'a str {
        let len = self.rest.bytes().position(stop).unwrap_or(self.rest.len());
        self.advance(len)
    }

    fn advance(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.at += taken.len();
        taken
    }

    fn error(&self, kind: XmlErrorKind) -> XmlError {
        XmlError::new(kind, self.at)
    }
}

/// Whether an octet of an attribute's value does not mean itself: markup, references, and white space but spaces.
const fn is_special(byte: u8) -> bool {
    // Bitwise on purpose, as in `find_illegal`.
    (byte < b' ') | (byte == b'<') | (byte == b'&')
}

/// The name at the start of the text if it is ASCII, sound, and followed by white space, `=` or nothing: most are.
fn plain_name(text: &str, at: usize) -> Option<RawName<'_>> {
    let (mut length, mut colon) = (0, None);
    let mut bytes = text.bytes();
    let end = loop {
        let byte = bytes.next();
        match byte {
            Some(byte) if is(byte, NAME) => {}
            Some(b':') if colon.is_none() => colon = Some(length),
            _ => break byte,
        }
        length += 1;
    };
    let first = |at: usize| text.as_bytes().get(at).is_some_and(|byte| is(*byte, NAME_START));
    let local = colon.map_or(0, |colon| colon + 1);
    if !end.is_none_or(|byte| byte == b'=' || is_space(byte)) || !first(0) || !first(local) {
        return None;
    }
    let written = text.get(..length)?;
    let prefix = colon.map_or("", |colon| written.get(..colon).unwrap_or_default());
    Some(RawName { written, prefix, local: written.get(local..)?, at: at + local })
}

fn split_name(name: &str, at: usize) -> Result<RawName<'_>, XmlError> {
    let colon = name.bytes().position(|byte| byte == b':');
    let (prefix, local) = match colon {
        Some(colon) => (name.get(..colon).unwrap_or_default(), name.get(colon + 1..).unwrap_or_default()),
        None => ("", name),
    };
    // Namespaces in XML §4: both parts are NCNames.
    if !is_ncname(local) || (colon.is_some() && !is_ncname(prefix)) {
        return Err(XmlError::new(XmlErrorKind::Name, at));
    }
    Ok(RawName { written: name, prefix, local, at: at + colon.map_or(0, |colon| colon + 1) })
}

/// Appends an attribute value with references resolved and white space normalised (XML 1.0 §3.3.3).
pub(crate) fn resolve_attribute(value: &str, at: usize, out: &mut String) -> Result<(), XmlError> {
    let mut rest = value;
    let mut at = at;
    while let Some(position) = rest.bytes().position(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        let (plain, special) = rest.split_at_checked(position).unwrap_or((rest, ""));
        out.push_str(plain);
        at += plain.len();
        let used = match special.strip_prefix('&') {
            Some(after) => {
                let name = after.split_once(';').ok_or(XmlError::new(XmlErrorKind::Reference, at))?.0;
                out.push(resolve_reference(name, at)?);
                name.len() + 2
            }
            None => {
                out.push(' ');
                if special.starts_with("\r\n") { 2 } else { 1 }
            }
        };
        at += used;
        rest = special.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(())
}

/// The character that a reference means; `name` is what stands between `&` and `;`.
pub(crate) fn resolve_reference(name: &str, at: usize) -> Result<char, XmlError> {
    let error = |kind| XmlError::new(kind, at);
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => match other.strip_prefix('#') {
            Some(number) => char_reference(number).ok_or_else(|| error(XmlErrorKind::Reference)).and_then(|c| {
                // XML 1.0 §4.1: a reference cannot smuggle in what the text could not hold.
                if is_xml_char(c) { Ok(c) } else { Err(error(XmlErrorKind::Char)) }
            }),
            None if is_ncname(other) => Err(error(XmlErrorKind::Entity)),
            None => Err(error(XmlErrorKind::Reference)),
        },
    }
}

fn char_reference(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<T>(result: Result<T, XmlError>) -> Option<XmlErrorKind> {
        result.err().map(|error| error.kind)
    }

    fn attributes(inside: &str) -> Result<Vec<(String, String)>, XmlError> {
        let mut scanner = TagScanner::new(inside, 1);
        scanner.name()?;
        let mut all = Vec::new();
        while let Some(attr) = scanner.attribute()? {
            let mut value = String::new();
            resolve_attribute(attr.value, attr.at, &mut value)?;
            all.push((attr.name.local.to_owned(), value));
        }
        Ok(all)
    }

    #[test]
    fn attributes_are_read_with_references_and_normalised_space() {
        let found = attributes("a x = '1&amp;2' \n p:y=\"it's\r\nnot\tc&#10;d\" ").unwrap();
        assert_eq!(found, [("x".into(), "1&2".into()), ("y".into(), "it's not c\nd".into())]);
    }

    // checks: XST-021
    #[test]
    fn malformed_tags_are_refused() {
        for (inside, expected) in [
            ("a x='1'y='2'", XmlErrorKind::Tag),
            ("a x=1", XmlErrorKind::Tag),
            ("a x", XmlErrorKind::Tag),
            ("a x='1", XmlErrorKind::Tag),
            ("a x='<'", XmlErrorKind::LessThanInAttribute),
            ("1a", XmlErrorKind::Name),
            ("a:b:c", XmlErrorKind::Name),
            (":a", XmlErrorKind::Name),
            ("a:", XmlErrorKind::Name),
            ("", XmlErrorKind::Name),
            ("a x='&'", XmlErrorKind::Reference),
            ("a x='&amp'", XmlErrorKind::Reference),
        ] {
            assert_eq!(kind(attributes(inside)), Some(expected), "{inside}");
        }
    }

    // checks: XST-020
    #[test]
    fn references_are_the_five_and_legal_characters() {
        assert_eq!(resolve_reference("#x1F600", 0), Ok('\u{1F600}'));
        assert_eq!(resolve_reference("#9", 0), Ok('\t'));
        for (name, expected) in [
            ("nbsp", XmlErrorKind::Entity),
            ("#x1F", XmlErrorKind::Char),
            ("#0", XmlErrorKind::Char),
            ("#xFFFE", XmlErrorKind::Char),
            ("#xD800", XmlErrorKind::Reference),
            ("#x110000", XmlErrorKind::Reference),
            ("#99999999999", XmlErrorKind::Reference),
            ("#+9", XmlErrorKind::Reference),
            ("#", XmlErrorKind::Reference),
            ("#X41", XmlErrorKind::Reference),
            ("", XmlErrorKind::Reference),
        ] {
            assert_eq!(kind(resolve_reference(name, 0)), Some(expected), "{name}");
        }
    }
}
