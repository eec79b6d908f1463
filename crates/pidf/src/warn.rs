//! Gathering warnings.

use strict_xml::ElementRef;

use crate::decode::Text;
use crate::error::{Warning, WarningKind};
use crate::limits::MAX_WARNINGS;

/// Faults with their places in the text.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<(usize, WarningKind)>);

impl Warnings {
    /// A fault of this element.
    pub(crate) fn add(&mut self, kind: WarningKind, element: ElementRef<'_>) {
        self.at(kind, element.position());
    }

    /// A fault at this place of the text.
    pub(crate) fn at(&mut self, kind: WarningKind, at: usize) {
        if self.0.len() < MAX_WARNINGS || !self.0.iter().any(|(_, known)| *known == kind) {
            self.0.push((at, kind));
        }
    }

    /// In document order, with places in the document's octets.
    pub(crate) fn finish(mut self, text: &Text<'_>) -> Vec<Warning> {
        self.0.sort_unstable();
        self.0.into_iter().map(|(at, kind)| Warning { kind, octet: text.octet(at) }).collect()
    }
}
