//! Bounds on one document.

use strict_xml::Limits;

/// Octets of one document, read or written; deployed ones have fewer than 10,000, and SIP bodies end far below this.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// Tags of one document, since an element costs memory many times its four octets; deployed ones have fewer than 200.
pub const MAX_TAGS: usize = 16 * 1024;

/// Nesting, the root included: location objects, the deepest in use, reach 15.
pub const MAX_DEPTH: usize = 64;

/// Attributes of one element, namespace declarations included.
pub const MAX_ATTRIBUTES: usize = 64;

/// Warnings that are reported of one document; beyond, only the first of each kind.
pub const MAX_WARNINGS: usize = 100;

/// The bounds that the XML layer keeps.
pub(crate) fn xml() -> Limits {
    Limits::default().with_bytes(MAX_DOCUMENT).with_depth(MAX_DEPTH).with_attributes(MAX_ATTRIBUTES)
}
