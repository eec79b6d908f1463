//! Elements that are kept, not interpreted.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use strict_xml::{Element, ElementRef, SharedStr, Tree};

use crate::namespace;

/// An element outside what RFC 3863 defines, understood or not.
///
/// One that was read is written again in the characters it came in, comments, prefixes and white space included, with the
/// namespace declarations it inherited. Equality is that of the elements. `Debug` shows names alone, since locations
/// (RFC 4119) are extensions and do not belong in logs.
#[derive(Clone)]
pub struct Extension(Kept);

#[derive(Clone)]
enum Kept {
    /// Of the caller's making.
    Made(Element),
    /// One of a document that was read, and the copy that was made when somebody looked into it.
    Read { tree: Arc<Tree>, index: u32, copy: OnceLock<Box<Element>> },
}

impl Extension {
    /// An element of the caller's making.
    pub fn new(element: Element) -> Self {
        Self(Kept::Made(element))
    }

    pub(crate) fn read(tree: &Arc<Tree>, element: ElementRef<'_>) -> Self {
        Self(Kept::Read { tree: Arc::clone(tree), index: element.index(), copy: OnceLock::new() })
    }

    /// The element.
    pub fn element(&self) -> &Element {
        match &self.0 {
            Kept::Made(element) => element,
            Kept::Read { tree, index, copy } => copy.get_or_init(|| Box::new(copied(tree, *index))),
        }
    }

    /// The element, to be changed; its own prefixes and comments are lost when it is written.
    pub fn into_element(self) -> Element {
        match self.0 {
            Kept::Made(element) => element,
            Kept::Read { tree, index, copy } => copy.into_inner().map_or_else(|| copied(&tree, index), |copy| *copy),
        }
    }

    /// Where the element stands in the document that was read.
    pub(crate) fn place(&self) -> Option<ElementRef<'_>> {
        match &self.0 {
            Kept::Made(_) => None,
            Kept::Read { tree, index, .. } => tree.element(*index),
        }
    }

    /// Local name.
    pub fn name(&self) -> &str {
        match self.place() {
            Some(place) => place.name(),
            None => &self.element().name,
        }
    }

    /// Namespace; empty for none.
    pub fn ns(&self) -> &SharedStr {
        match self.place() {
            Some(place) => place.ns(),
            None => &self.element().ns,
        }
    }

    /// The element's own text, without that of its children.
    pub fn text(&self) -> Cow<'_, str> {
        match self.place() {
            Some(place) => place.text(),
            None => self.element().text(),
        }
    }

    /// Whether the element has this local name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && *self.ns() == *ns
    }

    /// Whether the element bears `mustUnderstand`.
    pub fn must_understand(&self) -> bool {
        must_understand(self.element())
    }
}

fn copied(tree: &Tree, index: u32) -> Element {
    tree.element(index).unwrap_or(tree.root()).to_element()
}

/// Whether `mustUnderstand` is `true` or `1` on the element.
///
/// RFC 3863 §4.4 declares the attribute globally, so it has a namespace; §4.2.3 and most senders write it without.
pub fn must_understand(element: &Element) -> bool {
    is_true(element.attr_ns(MUST_UNDERSTAND, namespace::PIDF).or_else(|| element.attr(MUST_UNDERSTAND)))
}

/// The same of an element that is being read.
pub(crate) fn bears_must_understand(element: ElementRef<'_>) -> bool {
    is_true(element.attr_ns(MUST_UNDERSTAND, namespace::PIDF).or_else(|| element.attr(MUST_UNDERSTAND)))
}

const MUST_UNDERSTAND: &str = "mustUnderstand";

fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value.trim_matches([' ', '\t', '\r', '\n']), "true" | "1"))
}

/// Whether an element may be interpreted by who recognises those of its children that are in `known`.
///
/// RFC 3863 §4.2.3: an unrecognised child that must be understood makes the whole element unrecognised; what such a
/// child holds in turn is ignored with it.
pub fn may_interpret(element: &Element, known: &[&str]) -> bool {
    !element.elements().any(|child| must_understand(child) && !known.contains(&child.ns.as_str()))
}

impl PartialEq for Extension {
    fn eq(&self, other: &Self) -> bool {
        self.element() == other.element()
    }
}

impl Eq for Extension {}

impl From<Element> for Extension {
    fn from(element: Element) -> Self {
        Self::new(element)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension({{{}}}{})", self.ns(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PD-21, PRS-053, X-13
    #[test]
    fn rfc3863_s4_2_3_must_understand_is_true_or_1() {
        let marked = |value: &str| Element::new("x", "urn:x").with_attr("mustUnderstand", SharedStr::copy(value));
        assert!(must_understand(&marked("true")) && must_understand(&marked(" 1 ")));
        assert!(!must_understand(&marked("0")) && !must_understand(&marked("TRUE")));
        let mut qualified = Element::new("x", "urn:x");
        qualified.set_attr_ns("mustUnderstand", namespace::PIDF, "1");
        assert!(must_understand(&qualified));
        let parent = Element::new("activities", namespace::RPID).with_child(qualified);
        assert!(!may_interpret(&parent, &[]) && may_interpret(&parent, &["urn:x"]));
        let hidden = Element::new("a", namespace::RPID).with_child(Element::new("y", "urn:y").with_child(marked("1")));
        assert!(may_interpret(&hidden, &[]), "inside an ignored element it is itself ignored");
    }

    // checks: PX-41, INV-10
    #[test]
    fn locations_do_not_show_in_debug_output() {
        let location = Element::new("geopriv", namespace::GEOPRIV).with_text("37.775 -122.4194");
        let shown = format!("{:?}", Extension::new(location));
        assert_eq!(shown, "Extension({urn:ietf:params:xml:ns:pidf:geopriv10}geopriv)");
    }
}
