//! Namespace declarations in force.

use crate::SharedStr;

/// The namespace that the prefix `xml` always means.
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of namespace declarations themselves.
pub const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";

/// Namespace declarations that an element inherits, such as those of its stream tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(Vec<(SharedStr, SharedStr)>);

impl Scope {
    /// No declarations.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Only a default namespace.
    pub fn with_default(ns: &'static str) -> Self {
        Self(vec![(SharedStr::EMPTY, SharedStr::constant(ns))])
    }

    /// The namespace of a prefix; of the default for the empty prefix.
    pub fn resolve(&self, prefix: &str) -> Option<&str> {
        self.lookup(prefix).map(SharedStr::as_str)
    }

    /// The default namespace; empty when there is none.
    pub fn default_ns(&self) -> &str {
        self.resolve("").unwrap_or_default()
    }

    /// Adds a declaration, which hides earlier ones of the prefix.
    pub fn declare(&mut self, prefix: impl Into<SharedStr>, ns: impl Into<SharedStr>) {
        self.0.push((prefix.into(), ns.into()));
    }

    /// Declarations as prefix and namespace, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(prefix, ns)| (prefix.as_str(), ns.as_str()))
    }

    pub(crate) fn lookup(&self, prefix: &str) -> Option<&SharedStr> {
        static XML: SharedStr = SharedStr::constant(XML_NS);
        if prefix == "xml" {
            return Some(&XML);
        }
        self.0.iter().rev().find(|(declared, _)| declared == prefix).map(|(_, ns)| ns)
    }
}
