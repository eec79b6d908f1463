//! From a document to the model.

use std::sync::Arc;

use strict_xml::{ElementRef, Fault, Tree, XmlErrorKind};

use crate::decode::{Text, decode};
use crate::error::{ErrorKind, ParseError, Warning, WarningKind};
use crate::limits;
use crate::media::{Roots, content_type};
use crate::model::Presence;
use crate::namespace::{PIDF, PIDF_DIFF};
use crate::reader::Reader;
use crate::warn::Warnings;

/// A document that was read, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub presence: Presence,
    /// Its faults, in document order; at most [`MAX_WARNINGS`](limits::MAX_WARNINGS) and the first of each kind.
    pub warnings: Vec<Warning>,
    /// RFC 5262 §3: the version of a `pidf-full` document.
    pub version: Option<u64>,
}

/// Reads a document of which no Content-Type is known.
///
/// What a receiver can make sense of is read, as RFC 3863 §4.4 wants it, and every departure listed; what has no sound
/// reading is an error. Who only passes a document on has no need to read it.
pub fn parse(octets: &[u8]) -> Result<Parsed, ParseError> {
    read(octets, Roots::Any, None)
}

/// Reads a document that came with this Content-Type.
pub fn parse_as(octets: &[u8], media_type: &str) -> Result<Parsed, ParseError> {
    let (roots, charset) = content_type(media_type).map_err(|kind| ParseError { kind, line: 1, octet: 0 })?;
    read(octets, roots, charset)
}

fn read(octets: &[u8], roots: Roots, charset: Option<&str>) -> Result<Parsed, ParseError> {
    // Before anything is copied: what is read as two octets a character is never longer as text.
    if octets.len() > limits::MAX_DOCUMENT {
        let kind = ErrorKind::Limit(XmlErrorKind::TooLong { limit: limits::MAX_DOCUMENT });
        return Err(ParseError { kind, line: 1, octet: limits::MAX_DOCUMENT });
    }
    let text = decode(octets, charset)?;
    let tree = Arc::new(tree(&text)?);
    let at = tree.root().position();
    let version = check_root(tree.root(), roots).map_err(|kind| text.error(kind, at))?;
    let mut warnings = Warnings::default();
    if !text.has_declaration() {
        warnings.at(WarningKind::NoXmlDeclaration, 0);
    }
    let presence = Reader::new(&tree, &mut warnings).presence().map_err(|kind| text.error(kind, at))?;
    Ok(Parsed { presence, warnings: warnings.finish(&text), version })
}

/// The document as a tree of elements.
fn tree(text: &Text<'_>) -> Result<Tree, ParseError> {
    let bytes = text.text.as_bytes();
    let limit = limits::MAX_TAGS;
    // Counting takes a twentieth of the time of finding each.
    if memchr::memchr_iter(b'<', bytes).count() > limit {
        let at = memchr::memchr_iter(b'<', bytes).nth(limit).unwrap_or(bytes.len());
        return Err(text.error(ErrorKind::TooManyTags { limit }, at));
    }
    Tree::parse_document(&text.text, &limits::xml()).map_err(|error| {
        let rest = text.text.get(error.offset..).unwrap_or_default();
        let kind = match error.fault() {
            Fault::PolicyViolation => ErrorKind::Limit(error.kind),
            Fault::RestrictedXml if rest.starts_with("<!DOCTYPE") => ErrorKind::Doctype,
            Fault::RestrictedXml | Fault::NotWellFormed | Fault::UnsupportedEncoding => {
                ErrorKind::NotWellFormed(error.kind)
            }
        };
        text.error(kind, error.offset)
    })
}

/// Whether the root is one that holds a full state, and its version if it has one.
fn check_root(root: ElementRef<'_>, roots: Roots) -> Result<Option<u64>, ErrorKind> {
    match (root.ns().as_str(), root.name(), roots) {
        (PIDF, "presence", Roots::Any | Roots::Presence) => Ok(None),
        (PIDF_DIFF, "pidf-full", Roots::Any | Roots::Partial) => {
            Ok(root.attr("version").and_then(|version| version.trim().parse().ok()))
        }
        (PIDF_DIFF, "pidf-diff", Roots::Any | Roots::Partial) => Err(ErrorKind::Partial),
        (_, _, Roots::Any | Roots::Presence | Roots::Partial) => Err(ErrorKind::Root),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PD-03, PD-04, PD-27, X-10
    #[test]
    fn refusals_have_a_code_and_a_place() {
        let error = |document: &str| {
            let error = parse(document.as_bytes()).unwrap_err();
            (error.kind.code(), error.line, error.octet)
        };
        assert_eq!(error("<!DOCTYPE presence [<!ENTITY a 'b'>]>\n<presence/>"), ("E_DOCTYPE", 1, 0));
        assert_eq!(error("<?xml version='1.0'?>\n<a>&b;</a>"), ("E_NOT_WELL_FORMED", 2, 25));
        assert_eq!(error("\u{FEFF}\n<a:presence xmlns:a='urn:x'/>"), ("E_ROOT", 2, 7));
        assert_eq!(error(&format!("<presence xmlns='{PIDF}:' entity='pres:a@b'/>")), ("E_ROOT", 1, 1), "a misprint");
        assert_eq!(error(&format!("<presence xmlns='{PIDF}'/>")), ("E_ENTITY_MISSING", 1, 1));
        assert_eq!(error(&format!("<presence xmlns='{PIDF}' entity=' '/>")), ("E_ENTITY_EMPTY", 1, 1));
        assert_eq!(error(&"<a>".repeat(limits::MAX_DEPTH + 1)).0, "E_LIMIT");
        assert_eq!(error(&"<x/>".repeat(limits::MAX_TAGS + 1)).0, "E_LIMIT");
        assert_eq!(error(&" ".repeat(limits::MAX_DOCUMENT + 1)), ("E_LIMIT", 1, limits::MAX_DOCUMENT));
        assert_eq!(error(""), ("E_NOT_WELL_FORMED", 1, 0));
    }
}
