//! `// checks: ID, ID` on the line above a test: which test checks which rules.

use crate::problem::Problem;
use crate::sources::{Language, Source};

/// One test's claim to check one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) rule: String,
    pub(crate) file: String,
    pub(crate) line: usize,
    /// Path and name of the test, as the ledger shows it.
    pub(crate) test: String,
}

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) marks: Vec<Mark>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads the marks of one file.
pub(crate) fn find(source: &Source) -> Found {
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let mut found = Found::default();
    for (at, line) in lines.iter().enumerate() {
        let Some(list) = mark(line, source.language) else { continue };
        let below = lines.get(at + 1..).unwrap_or_default();
        match test_below(below, source) {
            None => found.problems.push(Problem::new(&source.path, at + 1, "`checks:` is not above a test")),
            Some(test) => found.add(source, at + 1, list, &test),
        }
    }
    found
}

impl Found {
    fn add(&mut self, source: &Source, line: usize, list: &str, test: &str) {
        for rule in list.split(',').map(str::trim) {
            if rule.is_empty() {
                self.problems.push(Problem::new(&source.path, line, "`checks:` names no rule"));
                continue;
            }
            let test = format!("{} {test}", source.path);
            self.marks.push(Mark { rule: rule.to_owned(), file: source.path.clone(), line, test });
        }
    }
}

fn mark(line: &str, language: Language) -> Option<&str> {
    let comment = match language {
        Language::Rust => line.strip_prefix("//")?.trim_start_matches('/'),
        Language::Python | Language::Play => line.strip_prefix('#')?,
    };
    comment.trim_start().strip_prefix("checks:").map(str::trim)
}

/// The name of the test that the lines below a mark begin with.
fn test_below(lines: &[&str], source: &Source) -> Option<String> {
    match source.language {
        Language::Rust => rust_test(lines),
        Language::Python => python_test(lines),
        Language::Play => Some(file_stem(&source.path)),
    }
}

/// Passes comments and attributes; the function counts as a test when one attribute says so.
fn rust_test(lines: &[&str]) -> Option<String> {
    let mut is_test = false;
    let mut open = 0;
    for line in lines {
        if open > 0 || line.starts_with("#[") {
            is_test |= line.contains("test");
            open += brackets(line);
        } else if !line.starts_with("//") {
            return function_name(line, "fn ").filter(|_| is_test);
        }
    }
    None
}

fn brackets(line: &str) -> i32 {
    line.chars().map(|c| i32::from("([".contains(c)) - i32::from(")]".contains(c))).sum()
}

/// Passes comments and decorators, which may go over several lines.
fn python_test(lines: &[&str]) -> Option<String> {
    let mut open = 0;
    for line in lines {
        if open > 0 || line.starts_with('@') {
            open += brackets(line);
        } else if !line.starts_with('#') {
            return function_name(line, "def ");
        }
    }
    None
}

fn function_name(line: &str, keyword: &str) -> Option<String> {
    let (before, after) = line.split_once(keyword)?;
    let plain = before.split_whitespace().all(|word| FUNCTION_WORDS.contains(&word));
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (plain && !name.is_empty()).then_some(name)
}

fn file_stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name).to_owned()
}

/// What may stand before `fn` and `def`.
const FUNCTION_WORDS: &[&str] = &["pub", "async", "pub(crate)"];

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(language: Language, text: &str) -> Found {
        find(&Source { path: "tests/a.x".to_owned(), language, text: text.to_owned() })
    }

    #[test]
    fn each_rule_of_a_mark_is_kept_with_its_test() {
        let found = find_in(Language::Rust, "// checks: IM-031, ERR-002\n#[test]\nfn answers() {}\n");
        let rules: Vec<_> =
            found.marks.iter().map(|mark| (mark.rule.as_str(), mark.test.as_str(), mark.line)).collect();
        assert_eq!(rules, [("IM-031", "tests/a.x answers", 1), ("ERR-002", "tests/a.x answers", 1)]);
        assert_eq!(found.problems, []);
    }

    #[test]
    fn comments_and_attributes_of_any_shape_may_stand_between() {
        let text = "// checks: A-1\n/// Says why.\n#[tokio::test(\n  flavor = \"x\",\n)]\nasync fn answers() {}\n";
        assert_eq!(find_in(Language::Rust, text).marks.len(), 1);
    }

    #[test]
    fn a_mark_above_anything_else_is_refused() {
        for text in
            ["// checks: A-1\nfn helper() {}\n", "// checks: A-1\n\n#[test]\nfn late() {}\n", "// checks: A-1\n"]
        {
            assert_eq!(find_in(Language::Rust, text).problems.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_mark_without_a_rule_is_refused() {
        assert_eq!(find_in(Language::Rust, "// checks: A-1,\n#[test]\nfn a() {}\n").problems.len(), 1);
    }

    #[test]
    fn python_tests_and_plays_mark_rules_too() {
        let python = find_in(Language::Python, "# checks: A-1\n@slow(1,\n  [2])\nasync def test_one():\n");
        assert_eq!(python.marks.first().map(|mark| mark.test.as_str()), Some("tests/a.x test_one"));
        let play = find_in(Language::Play, "# checks: A-1\nromeo sends \"hello\"\n");
        assert_eq!(play.marks.first().map(|mark| mark.test.as_str()), Some("tests/a.x a"));
    }
}
