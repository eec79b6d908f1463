//! Elements that are kept, not interpreted.

use std::fmt;

use strict_xml::{Element, SharedStr};

use crate::namespace;

/// An element outside what RFC 3863 defines, understood or not.
///
/// One that was read is written again in the characters it came in, comments, prefixes and white space included, with the
/// namespace declarations it inherited. Equality is that of the elements. `Debug` shows names alone, since locations
/// (RFC 4119) are extensions and do not belong in logs.
#[derive(Clone)]
pub struct Extension {
    element: Element,
    /// Names of the elements around it, outermost first, which lead to their declarations.
    context: Option<Context>,
}

/// The local names of the elements around an extension, as parsed: root, then at most tuple and status.
pub(crate) type Context = [SharedStr; 3];

impl Extension {
    /// An element of the caller's making.
    pub fn new(element: Element) -> Self {
        Self { element, context: None }
    }

    pub(crate) fn read(element: Element, context: Context) -> Self {
        Self { element, context: Some(context) }
    }

    /// The element.
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// The element, to be changed; its own prefixes and comments are lost when it is written.
    pub fn into_element(self) -> Element {
        self.element
    }

    pub(crate) fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// Whether the element has this local name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.element.is(name, ns)
    }

    /// Whether the element bears `mustUnderstand`.
    pub fn must_understand(&self) -> bool {
        must_understand(&self.element)
    }
}

/// Whether `mustUnderstand` is `true` or `1` on the element.
///
/// RFC 3863 §4.4 declares the attribute globally, so it has a namespace; §4.2.3 and most senders write it without.
pub fn must_understand(element: &Element) -> bool {
    let value = element.attr_ns("mustUnderstand", namespace::PIDF).or_else(|| element.attr("mustUnderstand"));
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
        self.element == other.element
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
        write!(f, "Extension({{{}}}{})", self.element.ns, self.element.name)
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

    // checks: PX-41
    #[test]
    fn locations_do_not_show_in_debug_output() {
        let location = Element::new("geopriv", namespace::GEOPRIV).with_text("37.775 -122.4194");
        let shown = format!("{:?}", Extension::new(location));
        assert_eq!(shown, "Extension({urn:ietf:params:xml:ns:pidf:geopriv10}geopriv)");
    }
}
