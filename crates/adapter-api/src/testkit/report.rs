//! What the kit found, for people and for programs.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The verdicts on one adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The protocol, as its capabilities name it.
    pub protocol: String,
    /// One for each case, in their order.
    pub results: Vec<CaseResult>,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case's name.
    pub case: String,
    /// What it is about.
    pub title: String,
    /// Where the rule stands.
    pub rule: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub millis: u64,
}

/// Whether an adapter keeps a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Passed,
    /// It does not.
    Failed {
        /// What the rule asks for.
        expected: String,
        /// What happened instead.
        found: String,
    },
    /// The rule says nothing about this adapter, or its network can't show it.
    NotApplicable {
        /// Why.
        why: String,
    },
}

impl Report {
    /// Whether no case failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| matches!(result.verdict, Verdict::Failed { .. }))
    }

    /// The verdict of one case.
    pub fn verdict(&self, case: &str) -> Option<&Verdict> {
        self.results.iter().find(|result| result.case == case).map(|result| &result.verdict)
    }

    /// The report as one JSON object, with `passed` beside what it holds.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "protocol": self.protocol, "passed": self.passed(), "results": self.results })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut passed, mut failed, mut other) = (0, 0, 0);
        for result in &self.results {
            let CaseResult { case, title, rule, verdict, millis } = result;
            match verdict {
                Verdict::Passed => {
                    passed += 1;
                    writeln!(f, "pass  {case:<22} {title} ({millis} ms)")?;
                }
                Verdict::Failed { expected, found } => {
                    failed += 1;
                    writeln!(f, "FAIL  {case:<22} {title}")?;
                    writeln!(f, "      rule      {rule}")?;
                    writeln!(f, "      expected  {expected}")?;
                    writeln!(f, "      found     {found}")?;
                }
                Verdict::NotApplicable { why } => {
                    other += 1;
                    writeln!(f, "  -   {case:<22} {title}: {why}")?;
                }
            }
        }
        write!(f, "{}: {passed} passed, {failed} failed, {other} not applicable", self.protocol)
    }
}
