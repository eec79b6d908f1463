//! Back from a parsed element to the text it was parsed from.
//!
//! The text has passed the strict parser, so what follows only finds ends and never judges.

use strict_xml::{Element, SharedStr};

/// A namespace declaration as it stands in a start tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declaration<'a> {
    /// Empty for the default namespace.
    pub(crate) prefix: &'a str,
    /// The value between its quotes, references unresolved.
    pub(crate) value: &'a str,
    quote: char,
}

impl<'a> Declaration<'a> {
    /// Binds a prefix to a namespace that has no quotes nor references.
    pub(crate) fn plain(prefix: &'a str, value: &'a str) -> Self {
        Self { prefix, value, quote: '\'' }
    }

    /// The attribute, with a space before it.
    pub(crate) fn attribute(&self) -> String {
        let colon = if self.prefix.is_empty() { "" } else { ":" };
        let Self { prefix, value, quote } = self;
        format!(" xmlns{colon}{prefix}={quote}{value}{quote}")
    }
}

/// The text from the `<` of the tag whose local name this is, and where the name ends there.
fn from_tag(name: &SharedStr) -> Option<(&str, usize)> {
    let (whole, at) = name.origin()?;
    let start = whole.get(..at)?.rfind('<')?;
    Some((whole.get(start..)?, at + name.len() - start))
}

/// Whether both are one place of one text, or both no place at all.
pub(crate) fn same_place(name: &SharedStr, other: &SharedStr) -> bool {
    let place = |name: &SharedStr| name.origin().map(|(whole, at)| (whole.as_ptr(), at));
    place(name) == place(other)
}

/// The start tag whose local name this is, split behind the qualified name.
pub(crate) fn start_tag(name: &SharedStr) -> Option<(&str, &str)> {
    let (text, name_end) = from_tag(name)?;
    text.get(..tag_end(text)?)?.split_at_checked(name_end)
}

/// The whole element, split behind the qualified name of its start tag.
pub(crate) fn element(element: &Element) -> Option<(&str, &str)> {
    let (text, name_end) = from_tag(&element.name)?;
    text.get(..element_end(text)?)?.split_at_checked(name_end)
}

/// The namespace declarations in the attributes of a start tag.
pub(crate) fn declarations(attributes: &str) -> impl Iterator<Item = Declaration<'_>> {
    let mut rest = attributes;
    std::iter::from_fn(move || {
        loop {
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next()?;
            let (value, after) = after.strip_prefix(quote)?.split_once(quote)?;
            rest = after;
            let name = name.trim();
            match name.strip_prefix("xmlns:") {
                Some(prefix) => return Some(Declaration { prefix, value, quote }),
                None if name == "xmlns" => return Some(Declaration { prefix: "", value, quote }),
                None => {}
            }
        }
    })
}

/// Octets of the tag that the text starts with.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, octet) in text.bytes().enumerate() {
        match (quote, octet) {
            (Some(open), octet) if open == octet => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(octet),
            (None, b'>') => return Some(at + 1),
            (None, _) => {}
        }
    }
    None
}

/// Octets of the element that the text starts with.
fn element_end(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += text.get(at..)?.find('<')?;
        let rest = text.get(at..)?;
        let (length, deeper) = if rest.starts_with("<!--") {
            (after(rest, "<!--", "-->")?, depth)
        } else if rest.starts_with("<![CDATA[") {
            (after(rest, "<![CDATA[", "]]>")?, depth)
        } else if rest.starts_with("<?") {
            (after(rest, "<?", "?>")?, depth)
        } else if rest.starts_with("</") {
            (rest.find('>')? + 1, depth.checked_sub(1)?)
        } else {
            let end = tag_end(rest)?;
            (end, if rest.get(..end)?.ends_with("/>") { depth } else { depth + 1 })
        };
        (at, depth) = (at + length, deeper);
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Octets up to and with `close`, which is looked for behind `open`.
fn after(text: &str, open: &str, close: &str) -> Option<usize> {
    Some(open.len() + text.get(open.len()..)?.find(close)? + close.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_in_their_text() {
        let inner = "<p:b  xmlns:p = \"urn:'p'\" a='<>'/>".replace('<', "&lt;").replacen("&lt;", "<", 1);
        let outer = format!("<a><!-- </a> -->{inner}<?pi </a>?><![CDATA[</a>]]><a></a></a>");
        let text = format!("<r xmlns='urn:r'>{outer} </r>");
        let root = strict_xml::parse_document(text.as_bytes(), &crate::limits::xml()).unwrap();
        let a = root.child("a", "urn:r").unwrap();
        let b = a.child("b", "urn:'p'").unwrap();
        assert_eq!(element(a).map(|(name, rest)| [name, rest].concat()), Some(outer));
        assert_eq!(element(b).map(|(name, rest)| [name, rest].concat()), Some(inner));
        assert_eq!(start_tag(&a.name), Some(("<a", ">")));
        let (_, attributes) = start_tag(&b.name).unwrap();
        let found: Vec<_> = declarations(attributes).collect();
        assert_eq!(found, [Declaration { prefix: "p", value: "urn:'p'", quote: '"' }]);
        assert_eq!(found[0].attribute(), " xmlns:p=\"urn:'p'\"");
        assert_eq!(start_tag(&SharedStr::constant("a")), None);
        assert_eq!(start_tag(&SharedStr::copy("a")), None);
    }
}
