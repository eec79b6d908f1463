//! The file as text: TOML with the place of each key, environment variables filled in, file names made absolute.

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Key, Problem, Step};

/// A parsed file that remembers where each key stands.
pub(super) struct Document<'a> {
    text: &'a str,
    root: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// Parses `text`, adding each syntax error to `problems`.
    pub(super) fn parse(text: &'a str, problems: &mut Vec<Problem>) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let mut problem =
                Problem::syntax(Key::default(), format!("not TOML: {}", error.message()), "see https://toml.io");
            problem.line = error.span().map(|span| line_at(text, span.start));
            problems.push(problem);
        }
        Self { text, root: root.into_inner() }
    }

    /// The whole file as one value.
    ///
    /// `${NAME}` in text becomes that environment variable; a key that ends in `_file` holds a path relative to
    /// `folder`.
    pub(super) fn value(&self, folder: &Path, problems: &mut Vec<Problem>) -> Value {
        Filler { folder, problems }.table(&self.root, &Key::default())
    }

    /// Fills in line and value of `problem`, as far as the file has them.
    pub(super) fn locate(&self, problem: &mut Problem) {
        if let Some((span, value)) = self.find(&problem.key) {
            problem.line.get_or_insert_with(|| line_at(self.text, span.start));
            if problem.value.is_none() && !problem.key.is_secret() {
                problem.value = value;
            }
        }
    }

    /// The place of `key`, or of the nearest table around it; the value if it stands there and is no table.
    fn find(&self, key: &Key) -> Option<(Range<usize>, Option<String>)> {
        let mut steps = key.0.iter();
        let Some(Step::Name(first)) = steps.next() else {
            return None;
        };
        let (name, mut value) = entry(&self.root, first)?;
        let mut span = name.span();
        for step in steps {
            let below = match (step, value.get_ref()) {
                (Step::Name(name), DeValue::Table(table)) => {
                    entry(table, name).map(|(name, value)| (name.span(), value))
                }
                (Step::Index(index), DeValue::Array(array)) => array.get(*index).map(|value| (value.span(), value)),
                (Step::Name(_) | Step::Index(_), _) => None,
            };
            let Some(below) = below else {
                return Some((span, None));
            };
            (span, value) = below;
        }
        Some((span, shown(self.text, value)))
    }
}

fn entry<'t, 'a>(
    table: &'t DeTable<'a>,
    name: &str,
) -> Option<(&'t Spanned<std::borrow::Cow<'a, str>>, &'t Spanned<DeValue<'a>>)> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

/// The value as the file has it, if it is short enough to show.
fn shown(text: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let source = text.get(value.span())?;
    let plain = !value.get_ref().is_table() && !source.contains('\n') && source.len() <= MAX_SHOWN;
    plain.then(|| source.to_owned())
}

/// Longer values would push the problem off the screen.
const MAX_SHOWN: usize = 80;

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

struct Filler<'f> {
    folder: &'f Path,
    problems: &'f mut Vec<Problem>,
}

impl Filler<'_> {
    fn table(&mut self, table: &DeTable<'_>, key: &Key) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entries = entries.into_iter().map(|(name, value)| {
            let below = key.name(name.get_ref());
            (name.get_ref().clone().into_owned(), self.any(value.get_ref(), &below))
        });
        Value::Object(entries.collect::<Map<_, _>>())
    }

    fn any(&mut self, value: &DeValue<'_>, key: &Key) -> Value {
        match value {
            DeValue::String(text) => Value::String(self.text(text, key)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::from(number.as_str()), Value::from),
            DeValue::Float(number) => {
                number.as_str().parse::<f64>().map_or_else(|_| Value::from(number.as_str()), Value::from)
            }
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(array) => Value::Array(
                array.iter().enumerate().map(|(i, value)| self.any(value.get_ref(), &key.index(i))).collect(),
            ),
            DeValue::Table(table) => self.table(table, key),
        }
    }

    fn text(&mut self, text: &str, key: &Key) -> String {
        let text = self.fill(text, key);
        let is_file = key.last_name().is_some_and(|name| name.ends_with("_file"));
        if is_file && !text.is_empty() { self.folder.join(text).display().to_string() } else { text }
    }

    /// `${NAME}` becomes the value of that environment variable.
    fn fill(&mut self, text: &str, key: &Key) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, (name, after))) =
            rest.split_once("${").and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            filled.push_str(before);
            match std::env::var(name) {
                Ok(value) => filled.push_str(value.trim_end_matches(['\r', '\n'])),
                Err(_) => self.problems.push(Problem::syntax(
                    key.clone(),
                    format!("the environment variable {name} is not set, or not UTF-8"),
                    format!("set {name} for the process, or write the value (a secret: into a file)"),
                )),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_line_and_a_missing_one_that_of_its_table() {
        let text = "[gateway]\nname = \"gw.example.net\"\n\n[[domain]]\nname = \"a.example\"\n[[domain]]\nname = \"b.example\"\n";
        let document = Document::parse(text, &mut Vec::new());
        let located = |key: &str| {
            let mut problem = Problem::new(Key::parse(key), "", "");
            document.locate(&mut problem);
            (problem.line, problem.value)
        };
        assert_eq!(located("gateway.name"), (Some(2), Some("\"gw.example.net\"".to_owned())));
        assert_eq!(located("domain[1].name"), (Some(7), Some("\"b.example\"".to_owned())));
        assert_eq!(located("domain[1].adapter"), (Some(6), None));
        assert_eq!(located("route[0].to"), (None, None));
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let mut problems = Vec::new();
        Document::parse("[gateway]\nname = \nx = 1\n\n[admin\ny = 2\n", &mut problems);
        assert!(problems.len() >= 2, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.line == Some(2)), "{problems:?}");
    }

    #[test]
    fn file_names_are_relative_to_the_configuration() {
        let document = Document::parse("token_file = \"a.token\"\nx_file = \"/abs\"\nname = \"b\"\n", &mut Vec::new());
        let value = document.value(Path::new("etc"), &mut Vec::new());
        assert_eq!(value, serde_json::json!({"token_file": "etc/a.token", "x_file": "/abs", "name": "b"}));
    }

    #[test]
    fn an_unset_variable_is_a_problem() {
        let document = Document::parse("secret = \"${INTERLINGUA_NO_SUCH_VARIABLE}\"\n", &mut Vec::new());
        let mut problems = Vec::new();
        document.value(Path::new(""), &mut problems);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].key, Key::parse("secret"));
    }
}
