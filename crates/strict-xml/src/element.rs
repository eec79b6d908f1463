//! A small owned tree.

use std::borrow::Cow;

use crate::{SharedStr, XML_NS};

/// An element with its namespace resolved; prefixes are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Local name.
    pub name: SharedStr,
    /// Namespace; empty for none.
    pub ns: SharedStr,
    /// Attributes in document order, without namespace declarations.
    pub attrs: Vec<Attr>,
    /// Child elements and text in document order; no two texts are neighbours after parsing.
    pub children: Vec<Node>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Local name.
    pub name: SharedStr,
    /// Namespace; empty for none.
    pub ns: SharedStr,
    /// Value, with references resolved.
    pub value: SharedStr,
}

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Character data, with references resolved.
    Text(SharedStr),
}

impl Element {
    /// An element without attributes and children. `name` must be an `NCName`.
    pub fn new(name: impl Into<SharedStr>, ns: impl Into<SharedStr>) -> Self {
        Self { name: name.into(), ns: ns.into(), attrs: Vec::new(), children: Vec::new() }
    }

    /// Whether the element has this local name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == *name && self.ns == *ns
    }

    /// Value of the attribute of this name without namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns(name, "")
    }

    /// Value of the attribute of this name and namespace.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&str> {
        self.attrs.iter().find(|attr| attr.name == *name && attr.ns == *ns).map(|attr| attr.value.as_str())
    }

    /// Value of `xml:lang` on this very element.
    pub fn xml_lang(&self) -> Option<&str> {
        self.attr_ns("lang", XML_NS)
    }

    /// Child elements in order.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(Node::as_element)
    }

    /// First child element of this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Self> {
        self.elements().find(|child| child.is(name, ns))
    }

    /// Child elements of this name and namespace.
    pub fn children_named<'a>(&'a self, name: &'a str, ns: &'a str) -> impl Iterator<Item = &'a Self> {
        self.elements().filter(move |child| child.is(name, ns))
    }

    /// The element's own text, without that of its children.
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.children.iter().filter_map(Node::as_text);
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(first), Some(second)) => {
                let mut all = [first, second].concat();
                all.extend(texts);
                Cow::Owned(all)
            }
        }
    }

    /// Adds a child element, builder style.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// Adds text, builder style.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<SharedStr>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// Sets an attribute without namespace, builder style.
    #[must_use]
    pub fn with_attr(mut self, name: impl Into<SharedStr>, value: impl Into<SharedStr>) -> Self {
        self.set_attr(name, value);
        self
    }

    /// Sets an attribute without namespace, replacing one of that name.
    pub fn set_attr(&mut self, name: impl Into<SharedStr>, value: impl Into<SharedStr>) {
        self.set_attr_ns(name, "", value);
    }

    /// Sets an attribute, replacing one of that name and namespace.
    pub fn set_attr_ns(&mut self, name: impl Into<SharedStr>, ns: impl Into<SharedStr>, value: impl Into<SharedStr>) {
        let (name, ns, value) = (name.into(), ns.into(), value.into());
        match self.attrs.iter_mut().find(|attr| attr.name == name && attr.ns == ns) {
            Some(attr) => attr.value = value,
            None => self.attrs.push(Attr { name, ns, value }),
        }
    }

    /// Sets `xml:lang`.
    pub fn set_xml_lang(&mut self, lang: impl Into<SharedStr>) {
        self.set_attr_ns("lang", XML_NS, lang);
    }

    /// Removes an attribute without namespace and returns its value.
    pub fn remove_attr(&mut self, name: &str) -> Option<SharedStr> {
        let at = self.attrs.iter().position(|attr| attr.name == *name && attr.ns.is_empty())?;
        Some(self.attrs.remove(at).value)
    }
}

impl Node {
    /// The element, unless this is text.
    pub fn as_element(&self) -> Option<&Element> {
        match self {
            Self::Element(element) => Some(element),
            Self::Text(_) => None,
        }
    }

    /// The text, unless this is an element.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Element(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_joins_the_pieces_around_children() {
        let element =
            Element::new("a", "").with_text("x").with_child(Element::new("b", "").with_text("-")).with_text("y");
        assert_eq!(element.text(), "xy");
        assert_eq!(element.child("b", "").map(Element::text), Some("-".into()));
        assert!(element.child("b", "other").is_none());
    }

    #[test]
    fn attributes_are_replaced_not_doubled() {
        let mut element = Element::new("a", "").with_attr("id", "1").with_attr("id", "2");
        element.set_xml_lang("de");
        assert_eq!((element.attr("id"), element.attrs.len()), (Some("2"), 2));
        assert_eq!(element.xml_lang(), Some("de"));
        assert_eq!(element.attr("lang"), None);
        assert_eq!(element.remove_attr("id").as_deref(), Some("2"));
        assert_eq!(element.attr("id"), None);
    }
}
