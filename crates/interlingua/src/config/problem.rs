//! What `check` reports: key path, line, value, problem and remedy.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::Serializer;

/// The path of a key, as `domain[1].adapter`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(pub Vec<Step>);

/// One step of a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A name in a table.
    Name(String),
    /// A place in an array, from 0.
    Index(usize),
}

impl Key {
    /// The key of `text`, as `Display` writes it.
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            steps.extend(pieces.next().filter(|name| !name.is_empty()).map(|name| Step::Name(name.to_owned())));
            steps.extend(pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok()).map(Step::Index));
        }
        Self(steps)
    }

    /// The key `name` in the table at this key.
    pub fn name(&self, name: &str) -> Self {
        self.with(Step::Name(name.to_owned()))
    }

    /// The element `index` of the array at this key.
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The key `below`, relative to this one.
    pub fn join(&self, below: &Self) -> Self {
        Self(self.0.iter().chain(&below.0).cloned().collect())
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The last name in it.
    pub fn last_name(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Whether this is `outer` or lies below it.
    pub fn is_within(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }

    /// Whether the value must never be shown.
    pub fn is_secret(&self) -> bool {
        let secret = |name: &str| ["secret", "token", "password"].contains(&name);
        self.0.iter().any(|step| matches!(step, Step::Name(name) if secret(name)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if i == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is wrong with a configuration, or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where.
    pub key: Key,
    /// The line, from 1, where the file has the key or the table it is missing from.
    pub line: Option<usize>,
    /// The value as configured; none for a missing or secret one.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// Whether the text itself was wrong, not what it means.
    #[serde(skip)]
    pub syntax: bool,
}

impl Problem {
    /// A problem of what the configuration means; line and value are filled in from the file.
    pub fn new(key: Key, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key, line: None, value: None, problem: problem.into(), remedy: remedy.into(), syntax: false }
    }

    /// A problem of how the configuration is written.
    pub fn syntax(key: Key, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { syntax: true, ..Self::new(key, problem, remedy) }
    }
}

/// All that `check` found in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {}", file.display(), count(problems.len(), "problem"))]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// What must be changed.
    pub problems: Vec<Problem>,
    /// What is odd, but works.
    pub warnings: Vec<Problem>,
}

impl Report {
    /// The report for a person, one paragraph for each problem.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (label, list) in [("problem", &self.problems), ("warning", &self.warnings)] {
            for problem in list {
                text.push_str(&self.paragraph(label, problem));
            }
        }
        text
    }

    fn paragraph(&self, label: &str, problem: &Problem) -> String {
        let line = problem.line.map_or_else(String::new, |line| format!(":{line}"));
        let mut head = format!("{}{line}: {label}: ", self.file.display());
        if !problem.key.0.is_empty() {
            head.push_str(&problem.key.to_string());
            if let Some(value) = &problem.value {
                head.push_str(&format!(" = {value}"));
            }
            head.push_str(": ");
        }
        format!("{head}{}\n    remedy: {}\n", problem.problem, problem.remedy)
    }
}

/// `1 problem`, `2 problems`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_is_written() {
        for text in ["", "gateway.name", "domain[1].adapter", "adapter.native.user[0].token"] {
            assert_eq!(Key::parse(text).to_string(), text);
        }
        assert!(Key::parse("domain[1].adapter").is_within(&Key::parse("domain[1]")));
        assert!(!Key::parse("domain[1].adapter").is_within(&Key::parse("domain[0]")));
    }

    #[test]
    fn a_secret_is_known_by_its_key() {
        assert!(Key::parse("adapter.native.user[0].token").is_secret());
        assert!(!Key::parse("adapter.native.user[0].token_file").is_secret());
    }
}
