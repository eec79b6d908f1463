//! The catalogue of rules: `tests/conformance/catalogue.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::citations;
use super::sections::Sections;
use crate::problem::Problem;

/// One rule that a test can check.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) level: Level,
    /// The specification it is counted under: `RFC n`, `XEP-nnnn` or `project`.
    pub(crate) document: String,
    /// Where it comes from, as citations; empty for the project's own.
    pub(crate) source: String,
    /// The rule in our words.
    pub(crate) text: String,
    /// The part of the rule books it stands in.
    pub(crate) section: String,
}

/// How binding a rule is where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Level {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    #[serde(rename = "MAY")]
    May,
    /// Plain text of a specification, without a key word of RFC 2119.
    #[serde(rename = "TEXT")]
    Text,
    /// A choice of this project where specifications are silent.
    #[serde(rename = "DESIGN")]
    Design,
    /// A choice of this project where specifications disagree.
    #[serde(rename = "DECIDE")]
    Decide,
    /// A fact: nothing to carry out.
    #[serde(rename = "INFO")]
    Info,
}

impl Level {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::MustNot => "MUST NOT",
            Self::Should => "SHOULD",
            Self::ShouldNot => "SHOULD NOT",
            Self::May => "MAY",
            Self::Text => "text",
            Self::Design => "design",
            Self::Decide => "decide",
            Self::Info => "info",
        }
    }
}

/// All rules, in the order of the file.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) rules: Vec<Rule>,
    positions: BTreeMap<String, usize>,
}

impl Catalogue {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a catalogue", path.display()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let rules: Vec<Rule> = serde_json::from_str(text)?;
        let positions = rules.iter().enumerate().map(|(at, rule)| (rule.id.clone(), at)).collect();
        Ok(Self { rules, positions })
    }

    /// The place of a rule in `rules`.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).copied()
    }

    /// Ids given twice, and sources that cite a section which does not exist.
    pub(crate) fn problems(&self, sections: &Sections) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let line = at + FIRST_LINE;
            if self.position(&rule.id) != Some(at) {
                problems.push(Problem::new(FILE, line, format!("rule {} stands here twice", rule.id)));
            }
            problems.extend(citations::check_line(FILE, line, &rule.source, sections));
        }
        problems
    }
}

const FILE: &str = "tests/conformance/catalogue.json";
/// The opening bracket is line 1; then comes one rule a line.
const FIRST_LINE: usize = 2;
