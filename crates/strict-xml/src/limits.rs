//! Bounds on what a peer can make us hold.

/// Bounds on one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    bytes: usize,
    depth: usize,
    attributes: usize,
}

impl Limits {
    /// RFC 6120 §13.12: a limit on stanzas is never below this many octets.
    pub const MIN_BYTES: usize = 10_000;
    /// 256 KiB: what large deployments accept from other servers.
    pub const DEFAULT_BYTES: usize = 256 * 1024;
    /// Forwarded, encrypted and formatted content nests about a dozen deep.
    pub const DEFAULT_DEPTH: usize = 64;
    /// Ten times what any registered stanza uses; keeps the duplicate check short.
    pub const DEFAULT_ATTRIBUTES: usize = 64;
    /// Namespace declarations in force at once: each name is looked up among them.
    pub const DECLARATIONS: usize = 128;
    /// Octets of a namespace name. The writer repeats it where the reader saw a short prefix; the longest in use have
    /// fewer than 100.
    pub const NAMESPACE_BYTES: usize = 256;

    /// Sets the octets of one element, raised to [`MIN_BYTES`](Self::MIN_BYTES) and capped at 1 GiB.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = if bytes < Self::MIN_BYTES {
            Self::MIN_BYTES
        } else if bytes > MAX_BYTES {
            MAX_BYTES
        } else {
            bytes
        };
        self
    }

    /// Sets how deep elements nest, capped at 512; the outermost is level 1.
    #[must_use]
    pub const fn with_depth(mut self, depth: usize) -> Self {
        self.depth = if depth > MAX_DEPTH { MAX_DEPTH } else { depth };
        self
    }

    /// Sets the attributes of one element, namespace declarations included.
    #[must_use]
    pub const fn with_attributes(mut self, attributes: usize) -> Self {
        self.attributes = attributes;
        self
    }

    /// The same octets and no other limit: for a framer whose elements a parser judges by the limits themselves, so that
    /// one element beyond them is refused alone. Not for a parser.
    #[must_use]
    pub const fn for_framing(mut self) -> Self {
        self.depth = usize::MAX;
        self.attributes = usize::MAX;
        self
    }

    /// Octets of one element.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nesting of elements.
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// Attributes of one element.
    pub const fn attributes(&self) -> usize {
        self.attributes
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: Self::DEFAULT_BYTES, depth: Self::DEFAULT_DEPTH, attributes: Self::DEFAULT_ATTRIBUTES }
    }
}

/// Positions in an element are kept in 32 bits.
const MAX_BYTES: usize = 1 << 30;
/// Elements are written and dropped by recursion.
const MAX_DEPTH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    // checks: XST-030
    #[test]
    fn rfc6120_s13_12_the_limit_is_never_below_10000_octets() {
        assert_eq!(Limits::default().with_bytes(100).bytes(), 10_000);
        assert_eq!(Limits::default().with_bytes(20_000).bytes(), 20_000);
        assert_eq!(Limits::default().with_bytes(usize::MAX).bytes(), 1 << 30);
    }
}
