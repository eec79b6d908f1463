//! A read element, flat and unchangeable: what the parser makes, and all else is made from.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::parse::build_document;
use crate::{Attr, Element, Limits, Node, SharedStr, XML_NS, XmlError};

/// One element or document as it was read: ranges of its text in document order, in a handful of allocations.
///
/// For looking at; what is to be kept or changed is copied out ([`ElementRef::to_element`], [`AttrRef::shared`]).
/// Unlike an [`Element`] it knows where everything stood and how it was written.
///
/// ```
/// use strict_xml::{Limits, Tree};
///
/// let text = "<?xml version='1.0'?><a xmlns='urn:a'>\n <p:b xmlns:p='urn:b' c='1 &lt; 2'/></a>";
/// let tree = Tree::parse_document(text, &Limits::default())?;
/// let b = tree.root().child("b", "urn:b").unwrap();
/// assert_eq!(b.attr("c"), Some("1 < 2"));
/// assert_eq!(b.source(), "<p:b xmlns:p='urn:b' c='1 &lt; 2'/>");
/// # Ok::<(), strict_xml::XmlError>(())
/// ```
pub struct Tree {
    /// The input without byte order mark.
    pub(crate) text: Arc<str>,
    /// The values that are not ranges of the text, for references or line ends in them.
    pub(crate) resolved: String,
    /// The root first.
    pub(crate) nodes: Vec<FlatNode>,
    pub(crate) attrs: Vec<FlatAttr>,
    pub(crate) declarations: Vec<FlatDeclaration>,
    /// Namespaces by number; none at all is [`NO_NS`].
    pub(crate) namespaces: Vec<SharedStr>,
}

/// A range of the text, or of the resolved values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// An element or a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatNode {
    /// The local name, or the text.
    pub(crate) span: Span,
    /// Number of the namespace; [`TEXT`] marks a text.
    pub(crate) ns: u32,
    /// Where the element begins and ends in the text.
    pub(crate) place: Span,
    /// The node behind this one and all in it.
    pub(crate) next: u32,
    /// The first attribute, and the one behind the last.
    pub(crate) attrs: (u32, u32),
    /// The innermost declaration in force, as its number and one; 0 for none.
    pub(crate) scope: u32,
}

/// An attribute that declares no namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatAttr {
    pub(crate) name: Span,
    pub(crate) ns: u32,
    pub(crate) value: Span,
}

/// A namespace declaration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatDeclaration {
    pub(crate) prefix: Span,
    /// As written, between its quotes.
    pub(crate) value: Span,
    pub(crate) ns: u32,
    /// The declaration in force before, as its number and one; 0 for none.
    pub(crate) outer: u32,
}

/// The number of no namespace.
pub(crate) const NO_NS: u32 = 0;
/// The number of what the prefix `xml` means.
pub(crate) const XML: u32 = 1;
/// Marks a text among the nodes.
pub(crate) const TEXT: u32 = u32::MAX;
/// Marks a range of the resolved values; no input is so long ([`Limits::with_bytes`]).
const RESOLVED: u32 = 1 << 31;

impl Span {
    pub(crate) const EMPTY: Self = Self { start: 0, end: 0 };

    /// A range of the text.
    pub(crate) fn of_text(start: usize, end: usize) -> Self {
        Self { start: small(start), end: small(end) }
    }

    /// A range of the resolved values.
    pub(crate) fn of_resolved(start: usize, end: usize) -> Self {
        Self { start: small(start) | RESOLVED, end: small(end) }
    }

    pub(crate) fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    /// The piece of a text that this is a range of.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The range in the text, or else in the resolved values.
    pub(crate) fn range(self) -> Result<(usize, usize), (usize, usize)> {
        let (start, end) = ((self.start & !RESOLVED) as usize, self.end as usize);
        if self.start & RESOLVED == 0 { Ok((start, end)) } else { Err((start, end)) }
    }
}

/// [`Limits`] keep every input below 2^31 octets.
pub(crate) fn small(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Tree {
    /// Reads one XML document, such as a PIDF body, as [`parse_document`](crate::parse_document) does.
    pub fn parse_document(input: &str, limits: &Limits) -> Result<Self, XmlError> {
        build_document(input, limits)
    }

    /// The outermost element.
    pub fn root(&self) -> ElementRef<'_> {
        ElementRef { tree: self, at: 0, node: self.nodes.first().unwrap_or(&NOTHING) }
    }

    /// The element of this [`index`](ElementRef::index).
    pub fn element(&self, index: u32) -> Option<ElementRef<'_>> {
        let node = self.nodes.get(index as usize).filter(|node| node.ns != TEXT)?;
        Some(ElementRef { tree: self, at: index, node })
    }

    fn piece(&self, span: Span) -> &str {
        match span.range() {
            Ok((start, end)) => self.text.get(start..end).unwrap_or_default(),
            Err((start, end)) => self.resolved.get(start..end).unwrap_or_default(),
        }
    }

    fn share(&self, span: Span) -> SharedStr {
        match span.range() {
            Ok((start, end)) => SharedStr::slice(&self.text, start, end),
            Err(_) => SharedStr::copy(self.piece(span)),
        }
    }

    fn namespace(&self, ns: u32) -> &SharedStr {
        static NONE: SharedStr = SharedStr::EMPTY;
        self.namespaces.get(ns as usize).unwrap_or(&NONE)
    }

    /// Declarations from this one outwards.
    fn declarations(&self, from: u32) -> impl Iterator<Item = &FlatDeclaration> {
        let get = |number: u32| self.declarations.get((number as usize).checked_sub(1)?);
        std::iter::successors(get(from), move |declaration| get(declaration.outer))
    }
}

/// Stands for the root that every tree has.
static NOTHING: FlatNode =
    FlatNode { span: Span::EMPTY, ns: NO_NS, place: Span::EMPTY, next: 0, attrs: (0, 0), scope: 0 };

/// Names alone: content may be private.
impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({{{}}}{})", self.root().ns(), self.root().name())
    }
}

/// An element of a [`Tree`].
#[derive(Clone, Copy)]
pub struct ElementRef<'t> {
    tree: &'t Tree,
    at: u32,
    node: &'t FlatNode,
}

/// An attribute of an [`ElementRef`] that declares no namespace.
#[derive(Clone, Copy)]
pub struct AttrRef<'t> {
    tree: &'t Tree,
    attr: &'t FlatAttr,
}

/// A child of an [`ElementRef`].
#[derive(Clone, Copy)]
pub enum NodeRef<'t> {
    /// An element.
    Element(ElementRef<'t>),
    /// Character data, with references resolved.
    Text(TextRef<'t>),
}

/// A text of a [`Tree`].
#[derive(Clone, Copy)]
pub struct TextRef<'t> {
    tree: &'t Tree,
    span: Span,
}

/// A namespace declaration as it stands in a start tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration<'a> {
    /// Empty for the default namespace.
    pub prefix: &'a str,
    /// The value between its quotes, references unresolved.
    pub value: &'a str,
    /// The quote around it.
    pub quote: char,
}

impl<'t> ElementRef<'t> {
    /// Local name.
    pub fn name(&self) -> &'t str {
        self.node.span.of(&self.tree.text)
    }

    /// Namespace; empty for none.
    pub fn ns(&self) -> &'t SharedStr {
        self.tree.namespace(self.node.ns)
    }

    /// Whether the element has this local name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && *self.ns() == *ns
    }

    /// The local name as a text of its own.
    pub fn shared_name(&self) -> SharedStr {
        self.tree.share(self.node.span)
    }

    /// Octets of the input before the local name, a byte order mark not counted.
    pub fn position(&self) -> usize {
        self.node.span.start()
    }

    /// What [`Tree::element`] finds the element by.
    pub fn index(&self) -> u32 {
        self.at
    }

    /// Attributes in document order, without namespace declarations.
    pub fn attrs(&self) -> impl Iterator<Item = AttrRef<'t>> + use<'t> {
        let tree = self.tree;
        let (from, to) = self.node.attrs;
        let attrs = tree.attrs.get(from as usize..to as usize).unwrap_or_default();
        attrs.iter().map(move |attr| AttrRef { tree, attr })
    }

    /// Value of the attribute of this name without namespace.
    pub fn attr(&self, name: &str) -> Option<&'t str> {
        self.find(name, "").map(|attr| attr.value())
    }

    /// Value of the attribute of this name and namespace.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&'t str> {
        self.find(name, ns).map(|attr| attr.value())
    }

    /// Value of `xml:lang` on this very element.
    pub fn xml_lang(&self) -> Option<&'t str> {
        self.attr_ns("lang", XML_NS)
    }

    /// The attribute of this name and namespace.
    pub fn find(&self, name: &str, ns: &str) -> Option<AttrRef<'t>> {
        self.attrs().find(|attr| attr.is(name, ns))
    }

    /// Child elements and text in document order; no two texts are neighbours.
    pub fn children(&self) -> impl Iterator<Item = NodeRef<'t>> + use<'t> {
        let (tree, end) = (self.tree, self.node.next);
        let mut next = self.at + 1;
        std::iter::from_fn(move || {
            let at = next;
            let node = if at < end { tree.nodes.get(at as usize)? } else { return None };
            next = node.next;
            Some(match node.ns {
                TEXT => NodeRef::Text(TextRef { tree, span: node.span }),
                _ => NodeRef::Element(ElementRef { tree, at, node }),
            })
        })
    }

    /// Child elements in order.
    pub fn elements(&self) -> impl Iterator<Item = Self> + use<'t> {
        self.children().filter_map(|child| match child {
            NodeRef::Element(element) => Some(element),
            NodeRef::Text(_) => None,
        })
    }

    /// First child element of this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<Self> {
        self.elements().find(|child| child.is(name, ns))
    }

    /// The element's own text, without that of its children.
    pub fn text(&self) -> Cow<'t, str> {
        let mut texts = self.texts().map(|text| text.as_str());
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// The element's own text as a text of its own, shared with the input when it is in one piece.
    pub fn shared_text(&self) -> SharedStr {
        let mut texts = self.texts();
        match (texts.next(), texts.next()) {
            (None, _) => SharedStr::EMPTY,
            (Some(only), None) => only.shared(),
            (Some(_), Some(_)) => self.text().into_owned().into(),
        }
    }

    fn texts(&self) -> impl Iterator<Item = TextRef<'t>> + use<'t> {
        self.children().filter_map(|child| match child {
            NodeRef::Text(text) => Some(text),
            NodeRef::Element(_) => None,
        })
    }

    /// The whole element in the characters it came in.
    pub fn source(&self) -> &'t str {
        self.node.place.of(&self.tree.text)
    }

    /// Octets of [`source`](Self::source) up to the end of the qualified name.
    pub fn name_end(&self) -> usize {
        self.node.span.end as usize - self.node.place.start()
    }

    /// The namespace declarations in its own start tag, the last one first.
    pub fn declarations(&self) -> impl Iterator<Item = Declaration<'t>> + use<'t> {
        let (tree, start) = (self.tree, self.node.place.start);
        tree.declarations(self.node.scope)
            .take_while(move |declaration| declaration.value.start > start)
            .map(|declaration| tree.written(declaration))
    }

    /// The namespace declarations in the start tags around it, the innermost first; later ones of a prefix are hidden.
    pub fn inherited(&self) -> impl Iterator<Item = Declaration<'t>> + use<'t> {
        let (tree, start) = (self.tree, self.node.place.start);
        tree.declarations(self.node.scope)
            .skip_while(move |declaration| declaration.value.start > start)
            .map(|declaration| tree.written(declaration))
    }

    /// A copy that can be kept and changed; its texts share the tree's.
    pub fn to_element(&self) -> Element {
        let (from, to) = self.node.attrs;
        let mut attrs = Vec::with_capacity((to - from) as usize);
        attrs.extend(self.attrs().map(|attr| attr.to_attr()));
        let mut children = Vec::with_capacity(self.children().count());
        children.extend(self.children().map(|child| match child {
            NodeRef::Element(element) => Node::Element(element.to_element()),
            NodeRef::Text(text) => Node::Text(text.shared()),
        }));
        Element { name: self.shared_name(), ns: self.ns().clone(), attrs, children }
    }
}

impl Tree {
    fn written(&self, declaration: &FlatDeclaration) -> Declaration<'_> {
        let quote = declaration.value.start().checked_sub(1).and_then(|at| self.text.as_bytes().get(at));
        Declaration {
            prefix: declaration.prefix.of(&self.text),
            value: declaration.value.of(&self.text),
            quote: if quote == Some(&b'"') { '"' } else { '\'' },
        }
    }

    /// The declarations in force in the root's content, oldest first.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (SharedStr, SharedStr)> {
        self.declarations
            .iter()
            .map(|declaration| (self.share(declaration.prefix), self.namespace(declaration.ns).clone()))
    }
}

impl<'t> AttrRef<'t> {
    /// Local name.
    pub fn name(&self) -> &'t str {
        self.attr.name.of(&self.tree.text)
    }

    /// Namespace; empty for none.
    pub fn ns(&self) -> &'t SharedStr {
        self.tree.namespace(self.attr.ns)
    }

    /// Whether the attribute has this local name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.attr.name.len() == name.len() && self.name() == name && *self.ns() == *ns
    }

    /// Value, with references resolved.
    pub fn value(&self) -> &'t str {
        self.tree.piece(self.attr.value)
    }

    /// The value as a text of its own.
    pub fn shared(&self) -> SharedStr {
        self.tree.share(self.attr.value)
    }

    /// A copy that can be kept and changed.
    pub fn to_attr(&self) -> Attr {
        Attr { name: self.tree.share(self.attr.name), ns: self.ns().clone(), value: self.shared() }
    }
}

impl<'t> TextRef<'t> {
    /// The text.
    pub fn as_str(&self) -> &'t str {
        self.tree.piece(self.span)
    }

    /// The text as one of its own.
    pub fn shared(&self) -> SharedStr {
        self.tree.share(self.span)
    }
}

impl<'a> Declaration<'a> {
    /// Binds a prefix to a namespace that has no quotes nor references.
    pub fn plain(prefix: &'a str, value: &'a str) -> Self {
        Self { prefix, value, quote: '\'' }
    }
}

/// The attribute, without space before it.
impl fmt::Display for Declaration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, value, quote } = self;
        let colon = if prefix.is_empty() { "" } else { ":" };
        write!(f, "xmlns{colon}{prefix}={quote}{value}{quote}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        Tree::parse_document(text, &Limits::default()).unwrap()
    }

    #[test]
    fn elements_know_how_they_were_written() {
        let inner = "<p:b  xmlns:p = \"urn:'p'\" a='>&lt;'/>";
        let outer = format!("<a><!-- </a> -->{inner}<?pi </a>?><![CDATA[</a>]]><a></a\n></a>");
        let tree = tree(&format!("<r xmlns='urn:r'>{outer} </r>"));
        let a = tree.root().child("a", "urn:r").unwrap();
        let b = a.child("b", "urn:'p'").unwrap();
        assert_eq!((a.source(), b.source()), (outer.as_str(), inner));
        assert_eq!((a.name_end(), b.name_end()), (2, 4));
        let own: Vec<_> = b.declarations().collect();
        assert_eq!(own, [Declaration { prefix: "p", value: "urn:'p'", quote: '"' }]);
        assert_eq!(own[0].to_string(), "xmlns:p=\"urn:'p'\"");
        assert_eq!(b.inherited().collect::<Vec<_>>(), [Declaration::plain("", "urn:r")]);
        assert_eq!(a.declarations().count(), 0);
        assert_eq!(b.attr("a"), Some("><"));
        assert_eq!(a.text(), "</a>");
        assert_eq!(tree.element(b.index()).map(|found| found.position()), Some(b.position()));
    }

    #[test]
    fn texts_join_what_markup_that_is_dropped_had_cut() {
        let tree = tree("\u{FEFF}<a>1<!-- -->2\r\n&amp;<b/>3<![CDATA[]]></a>");
        let root = tree.root();
        assert_eq!(root.children().count(), 3);
        assert_eq!(root.text(), "12\n&3");
        assert_eq!(root.shared_text(), "12\n&3");
        assert_eq!(root.position(), 1);
        assert_eq!(root.to_element().text(), "12\n&3");
        assert_eq!(format!("{tree:?}"), "Tree({}a)");
    }
}
