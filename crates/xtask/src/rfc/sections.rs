//! Which sections each specification has: `tests/conformance/sections.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

type Index = BTreeMap<String, BTreeSet<String>>;

/// Section numbers by specification (`RFC 3261`, `XEP-0106`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sections {
    /// Complete lists, taken from the documents' headings.
    headings: Index,
    /// Documents cited only here and there: the sections known to exist, entered by hand.
    extra: Index,
}

/// What the index knows of a citation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The section exists.
    Yes,
    /// The document is indexed and has no such section.
    NoSection,
    /// The document is not indexed.
    NoDocument,
}

impl Sections {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a section index", path.display()))
    }

    pub(crate) fn look_up(&self, document: &str, section: &str) -> Known {
        match self.headings.get(document).or_else(|| self.extra.get(document)) {
            None => Known::NoDocument,
            Some(sections) if sections.contains(section) => Known::Yes,
            Some(_) => Known::NoSection,
        }
    }
}

#[cfg(test)]
impl Sections {
    /// An index of one complete and one hand-entered document.
    pub(crate) fn sample() -> Self {
        let list = |sections: &[&str]| sections.iter().map(|section| (*section).to_owned()).collect();
        Self {
            headings: BTreeMap::from([("RFC 3261".to_owned(), list(&["8", "8.1", "8.1.1", "17", "17.1", "A"]))]),
            extra: BTreeMap::from([("XEP-0071".to_owned(), list(&["7"]))]),
        }
    }
}
