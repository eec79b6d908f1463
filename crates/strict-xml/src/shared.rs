//! Text that many parts of one element share.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A piece of text that is cheap to clone: a constant, or a range of a shared buffer.
///
/// A piece of a parsed element keeps the whole element's text in memory. Who stores one for long copies it out
/// (`to_string`).
#[derive(Clone)]
pub struct SharedStr(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared { whole: Arc<str>, start: u32, end: u32 },
}

impl SharedStr {
    /// The empty text.
    pub const EMPTY: Self = Self::constant("");

    /// A constant, without allocation.
    pub const fn constant(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }

    /// A copy of borrowed text.
    pub fn copy(text: &str) -> Self {
        Self::whole(Arc::from(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Shared { whole, start, end } => whole.get(*start as usize..*end as usize).unwrap_or_default(),
        }
    }

    /// The range `start..end` of `whole`; empty when it is no range of it.
    pub(crate) fn slice(whole: &Arc<str>, start: usize, end: usize) -> Self {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(from), Ok(to)) if from < to => Self(Repr::Shared { whole: Arc::clone(whole), start: from, end: to }),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Self::EMPTY,
        }
    }

    fn whole(whole: Arc<str>) -> Self {
        let end = whole.len();
        Self::slice(&whole, 0, end)
    }
}

impl Deref for SharedStr {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for SharedStr {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for SharedStr {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Default for SharedStr {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<&'static str> for SharedStr {
    fn from(text: &'static str) -> Self {
        Self::constant(text)
    }
}

impl From<String> for SharedStr {
    fn from(text: String) -> Self {
        Self::whole(Arc::from(text))
    }
}

impl From<Arc<str>> for SharedStr {
    fn from(text: Arc<str>) -> Self {
        Self::whole(text)
    }
}

impl From<&Self> for SharedStr {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}

impl PartialEq for SharedStr {
    fn eq(&self, other: &Self) -> bool {
        *self == *other.as_str()
    }
}

impl Eq for SharedStr {}

impl PartialEq<str> for SharedStr {
    fn eq(&self, other: &str) -> bool {
        // Most prefixes and attribute namespaces are empty, and glibc's AVX-512 memcmp takes hundreds of cycles for
        // empty constants: a masked load of their dangling address, a third of the parser's time.
        let own = self.as_str();
        own.len() == other.len() && (own.is_empty() || own == other)
    }
}

impl PartialEq<&str> for SharedStr {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialOrd for SharedStr {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SharedStr {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl std::hash::Hash for SharedStr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_constants_and_copies_compare_by_text() {
        let whole: Arc<str> = Arc::from("one two");
        assert_eq!(SharedStr::slice(&whole, 4, 7), SharedStr::constant("two"));
        assert_eq!(SharedStr::slice(&whole, 4, 7), SharedStr::copy("two"));
        assert_eq!(SharedStr::slice(&whole, 4, 400), "");
        assert_eq!(SharedStr::slice(&whole, 7, 4), "");
        assert_eq!(size_of::<SharedStr>(), 24);
    }
}
