//! The ledger: each rule's status, from the tests that check it and from what is declared by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::catalogue::{Catalogue, Level, Rule};
use super::marks::Mark;
use crate::problem::Problem;

/// `tests/conformance/ledger.toml`: rules that are not carried out in full.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declared {
    #[serde(default, rename = "rule")]
    entries: Vec<toml::Spanned<Entry>>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    status: DeclaredStatus,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DeclaredStatus {
    Partial,
    Declined,
    NotApplicable,
}

impl Declared {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not a ledger", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(Self { text: text.to_owned(), ..toml::from_str(text)? })
    }

    fn line(&self, entry: &toml::Spanned<Entry>) -> usize {
        let before = self.text.get(..entry.span().start).unwrap_or_default();
        before.matches('\n').count() + 1
    }
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Checked,
    Partial,
    Declined,
    NotApplicable,
    Planned,
    /// A fact that no test names.
    Information,
}

impl Status {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Partial => "partial",
            Self::Declined => "declined",
            Self::NotApplicable => "not applicable",
            Self::Planned => "planned",
            Self::Information => "fact",
        }
    }
}

/// One rule with what is known of it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) status: Status,
    pub(crate) reason: Option<String>,
    pub(crate) tests: BTreeSet<String>,
}

/// All rules, in the catalogue's order.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) rows: Vec<Row<'a>>,
}

impl<'a> Ledger<'a> {
    /// Joins catalogue, declarations and marks; what contradicts or is unknown comes back as problems.
    pub(crate) fn join(catalogue: &'a Catalogue, declared: &Declared, marks: Vec<Mark>) -> (Self, Vec<Problem>) {
        let mut rows: Vec<Row<'a>> = catalogue.rules.iter().map(Row::new).collect();
        let mut problems = Vec::new();
        for mark in marks {
            match catalogue.position(&mark.rule).and_then(|at| rows.get_mut(at)) {
                Some(row) => row.check(mark.test),
                None => problems.push(Problem::new(&mark.file, mark.line, format!("unknown rule {}", mark.rule))),
            }
        }
        for entry in &declared.entries {
            let refuse = |text: String| Problem::new(FILE, declared.line(entry), text);
            let Entry { id, status, reason } = entry.get_ref();
            match catalogue.position(id).and_then(|at| rows.get_mut(at)) {
                Some(row) => problems.extend(row.declare(*status, reason).map(|text| refuse(format!("{id}: {text}")))),
                None => problems.push(refuse(format!("unknown rule {id}"))),
            }
        }
        (Self { rows }, problems)
    }

    /// The number of rules in each status.
    pub(crate) fn counts<'r>(rows: impl Iterator<Item = &'r Row<'a>>) -> BTreeMap<Status, usize>
    where
        'a: 'r,
    {
        let mut counts = BTreeMap::new();
        for row in rows {
            *counts.entry(row.status).or_default() += 1;
        }
        counts
    }

    /// One line for the console.
    pub(crate) fn summary(&self) -> String {
        let counts = Self::counts(self.rows.iter());
        let parts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {}", status.label())).collect();
        format!("{} rules: {}", self.rows.len(), parts.join(", "))
    }
}

impl<'a> Row<'a> {
    fn new(rule: &'a Rule) -> Self {
        let status = if rule.level == Level::Info { Status::Information } else { Status::Planned };
        Self { rule, status, reason: None, tests: BTreeSet::new() }
    }

    fn check(&mut self, test: String) {
        self.status = Status::Checked;
        self.tests.insert(test);
    }

    /// Enters a declaration, or says why it cannot stand.
    fn declare(&mut self, status: DeclaredStatus, reason: &str) -> Option<String> {
        let status = match status {
            DeclaredStatus::Partial => Status::Partial,
            DeclaredStatus::Declined => Status::Declined,
            DeclaredStatus::NotApplicable => Status::NotApplicable,
        };
        if reason.trim().is_empty() {
            return Some("gives no reason".to_owned());
        }
        if self.reason.is_some() {
            return Some("is declared twice".to_owned());
        }
        if let (Some(test), false) = (self.tests.first(), status == Status::Partial) {
            return Some(format!("is {}, yet {test} checks it", status.label()));
        }
        self.status = status;
        self.reason = Some(reason.split_whitespace().collect::<Vec<_>>().join(" "));
        None
    }
}

const FILE: &str = "tests/conformance/ledger.toml";

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"[
{"id": "A-1", "level": "MUST", "document": "project", "source": "", "text": "one", "section": "x"},
{"id": "A-2", "level": "INFO", "document": "project", "source": "", "text": "two", "section": "x"}
]"#;

    fn mark(rule: &str) -> Mark {
        Mark { rule: rule.to_owned(), file: "a.rs".to_owned(), line: 7, test: "a.rs t".to_owned() }
    }

    fn join(declared: &str, marks: Vec<Mark>) -> (Vec<Status>, Vec<Problem>) {
        let catalogue = Catalogue::parse(RULES).unwrap();
        let (ledger, problems) = Ledger::join(&catalogue, &Declared::parse(declared).unwrap(), marks);
        (ledger.rows.iter().map(|row| row.status).collect(), problems)
    }

    #[test]
    fn without_a_mark_a_rule_is_planned_and_a_fact_a_fact() {
        assert_eq!(join("", Vec::new()), (vec![Status::Planned, Status::Information], Vec::new()));
    }

    #[test]
    fn a_marked_rule_is_checked_unless_declared_partial() {
        assert_eq!(join("", vec![mark("A-1")]).0, [Status::Checked, Status::Information]);
        let partial = "[[rule]]\nid = \"A-1\"\nstatus = \"partial\"\nreason = \"half\"\n";
        assert_eq!(join(partial, vec![mark("A-1")]), (vec![Status::Partial, Status::Information], Vec::new()));
    }

    #[test]
    fn an_unknown_rule_is_refused_where_it_stands() {
        assert_eq!(join("", vec![mark("A-9")]).1, [Problem::new("a.rs", 7, "unknown rule A-9")]);
        let declared = "\n[[rule]]\nid = \"A-9\"\nstatus = \"declined\"\nreason = \"no\"\n";
        assert_eq!(join(declared, Vec::new()).1, [Problem::new(FILE, 2, "unknown rule A-9")]);
    }

    #[test]
    fn a_declaration_needs_a_reason_and_no_test_against_it() {
        let no_reason = "[[rule]]\nid = \"A-1\"\nstatus = \"declined\"\n";
        assert_eq!(join(no_reason, Vec::new()).1.len(), 1);
        let declined = "[[rule]]\nid = \"A-1\"\nstatus = \"declined\"\nreason = \"no\"\n";
        assert_eq!(join(declined, vec![mark("A-1")]).1.len(), 1);
        assert_eq!(join(&declined.repeat(2), Vec::new()).1.len(), 1);
    }
}
