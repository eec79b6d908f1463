//! The values of the match language (`tests/vectors/interwork/env.json`).

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Deserialize;

/// What a value must be: equal text, `/a regular expression/`, or any one of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Pattern {
    /// Text, or an expression between slashes.
    One(String),
    /// A number, as in a status.
    Number(u64),
    /// Any of these.
    Any(Vec<Self>),
}

impl Pattern {
    /// Whether `value` is meant; `{{x}}` stands for what `known` holds under `x`.
    pub fn matches(&self, value: &str, known: &Known) -> bool {
        match self {
            Self::One(text) => match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                Some(expression) if !expression.is_empty() => {
                    Regex::new(expression).unwrap_or_else(|error| panic!("{text}: {error}")).is_match(value)
                }
                _ => known.fill(text) == value,
            },
            Self::Number(number) => number.to_string() == value,
            Self::Any(several) => several.iter().any(|pattern| pattern.matches(value, known)),
        }
    }

    /// The same with other text in each place where `from` stands.
    pub(crate) fn replaced(&self, from: &str, to: &str) -> Self {
        match self {
            Self::One(text) => Self::One(text.replace(from, to)),
            Self::Number(number) => Self::Number(*number),
            Self::Any(several) => Self::Any(several.iter().map(|pattern| pattern.replaced(from, to)).collect()),
        }
    }
}

/// The values of placeholders.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<&'static str, String>);

impl Known {
    /// Remembers the first value that a placeholder gets.
    pub fn learn(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.entry(name).or_insert_with(|| value.into());
    }

    /// Remembers the last value that a placeholder gets.
    pub fn replace(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// Replaces each `{{x}}`; one without a value fails the test.
    pub fn fill(&self, text: &str) -> String {
        let filled =
            self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
        assert!(!filled.contains("{{"), "a placeholder without a value: {filled}");
        filled
    }
}

/// The names of the placeholders in `text`.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}").map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: serde_json::Value, value: &str) -> bool {
        let mut known = Known::default();
        known.learn("x", "y");
        serde_json::from_value::<Pattern>(pattern).unwrap().matches(value, &known)
    }

    #[test]
    fn values_are_text_expressions_lists_and_placeholders() {
        assert!(matches("a".into(), "a") && !matches("a".into(), "ab"));
        assert!(matches("/^a+$/".into(), "aa") && !matches("/^a+$/".into(), "ab"));
        assert!(matches(serde_json::json!([200, 202]), "202") && !matches(serde_json::json!([200, 202]), "20"));
        assert!(matches("<{{x}}>".into(), "<y>"));
        assert!(matches("/".into(), "/"));
    }

    #[test]
    #[should_panic(expected = "without a value")]
    fn an_unknown_placeholder_fails() {
        matches("{{nobody}}".into(), "");
    }

    #[test]
    fn placeholders_are_found() {
        assert_eq!(placeholders("a{{b}}c{{d}}").collect::<Vec<_>>(), ["b", "d"]);
    }
}
