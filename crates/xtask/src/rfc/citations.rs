//! Citations in comments, documents and test names: `RFC n §s`, `XEP-nnnn §s`, `fn rfc3428_s8_…`.

use super::sections::{Known, Sections};
use crate::problem::Problem;
use crate::sources::{Language, Source};

/// Every citation of a section that does not exist, and every citation in another spelling.
pub(crate) fn check(source: &Source, sections: &Sections) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let number = at + 1;
        problems.extend(check_line(&source.path, number, line, sections));
        problems.extend(check_spelling(&source.path, number, line));
        if source.language == Language::Rust {
            problems.extend(check_test_name(&source.path, number, line, sections));
        }
    }
    problems
}

/// The same for the citations of one line.
pub(crate) fn check_line(file: &str, number: usize, line: &str, sections: &Sections) -> Vec<Problem> {
    let cited = find(line);
    let refuse = |(document, section): &(String, String)| match sections.look_up(document, section) {
        Known::Yes => None,
        Known::NoSection => Some(format!("{document} has no section {section}")),
        Known::NoDocument => {
            Some(format!("{document} §{section}: the document is not in tests/conformance/sections.json"))
        }
    };
    cited.iter().filter_map(refuse).map(|text| Problem::new(file, number, text)).collect()
}

/// The (document, section) pairs a line cites; a list after one document (`§4, §5.1 and §6`) counts for each.
fn find(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for prefix in ["RFC ", "XEP-"] {
        for part in line.split(prefix).skip(1) {
            let (digits, rest) = take_while(part, |c| c.is_ascii_digit());
            let document = format!("{prefix}{digits}");
            let mut rest = rest.strip_prefix(' ').unwrap_or(rest);
            while let Some(after) = rest.strip_prefix('§').filter(|_| !digits.is_empty()) {
                let (section, after) = section(after.trim_start_matches('§'));
                if !section.is_empty() {
                    found.push((document.clone(), section.to_owned()));
                }
                rest = after.trim_start_matches([',', ' ', '/', '-', '–']);
                rest = rest.strip_prefix("and ").or_else(|| rest.strip_prefix("or ")).unwrap_or(rest);
            }
        }
    }
    found
}

/// Takes a section number (`8.1.1`, `A.2`) without the full stop that may end the sentence.
fn section(text: &str) -> (&str, &str) {
    let (number, rest) = take_while(text, |c| c.is_ascii_digit() || c.is_ascii_uppercase() || c == '.');
    (number.trim_end_matches('.'), rest)
}

fn take_while(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A citation has one spelling; another one would escape the check of sections.
fn check_spelling(file: &str, number: usize, line: &str) -> Option<Problem> {
    let comment = line.trim_start();
    if !comment.starts_with("//") {
        return None;
    }
    let other = comment.split("RFC").skip(1).find_map(other_spelling)?;
    Some(Problem::new(file, number, format!("write a citation as `RFC n §s`, not {other}")))
}

fn other_spelling(after_rfc: &str) -> Option<String> {
    let (gap, rest) = take_while(after_rfc, |c| c == ' ' || c == '-');
    let (digits, rest) = take_while(rest, |c| c.is_ascii_digit());
    if digits.is_empty() {
        return None;
    }
    let word = ["section ", "sec. ", "sec ", "s. "].iter().find(|word| starts_with_word(rest, word));
    match word {
        Some(word) => Some(format!("`RFC{gap}{digits} {}`", word.trim_end())),
        None if gap != " " => Some(format!("`RFC{gap}{digits}`")),
        None => None,
    }
}

fn starts_with_word(rest: &str, word: &str) -> bool {
    rest.trim_start_matches([',', ' ']).to_ascii_lowercase().starts_with(word)
}

/// `fn rfc3261_s17_1_2_2_timer_e` names RFC 3261 §17.1.2.2; a number that belongs to the sentence may follow the section.
fn check_test_name(file: &str, number: usize, line: &str, sections: &Sections) -> Option<Problem> {
    let name = line.split("fn rfc").nth(1)?;
    let (digits, rest) = take_while(name, |c| c.is_ascii_digit());
    let rest = rest.strip_prefix("_s")?;
    let parts: Vec<&str> = rest.split('_').take_while(|part| is_section_part(part)).collect();
    let document = format!("RFC {digits}");
    let known = |length: usize| {
        let section = parts.get(..length).unwrap_or_default().join(".").to_ascii_uppercase();
        sections.look_up(&document, &section) == Known::Yes
    };
    if parts.is_empty() || (1..=parts.len()).any(known) {
        return None;
    }
    Some(Problem::new(
        file,
        number,
        format!("the test's name cites {document} §{}, which is not known", parts.join(".")),
    ))
}

fn is_section_part(part: &str) -> bool {
    !part.is_empty() && (part.bytes().all(|b| b.is_ascii_digit()) || (part.len() == 1 && part != "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the samples out of the check of this very file.
    fn rfc(rest: &str) -> String {
        format!("// R{}{rest}", "FC")
    }

    fn problems(text: String) -> Vec<Problem> {
        check(&Source { path: "a.rs".to_owned(), language: Language::Rust, text }, &Sections::sample())
    }

    #[test]
    fn a_section_that_exists_is_fine() {
        assert_eq!(problems(rfc(" 3261 §8.1.1: why; the sentence may end in §17.")), []);
    }

    #[test]
    fn each_section_of_a_list_is_looked_up() {
        assert_eq!(problems(rfc(" 3261 §8.1, §8.2 and §9")).len(), 2);
    }

    #[test]
    fn an_appendix_is_a_section() {
        assert_eq!(problems(rfc(" 3261 §A")), []);
        assert_eq!(problems(rfc(" 3261 §B.1")).len(), 1);
    }

    #[test]
    fn an_unknown_document_is_refused_and_an_extra_one_is_known() {
        assert_eq!(problems(rfc(" 9999 §1")).len(), 1);
        assert_eq!(problems(format!("// XE{} §7", "P-0071")), []);
        assert_eq!(problems(format!("// XE{} §8", "P-0071")).len(), 1);
    }

    #[test]
    fn other_spellings_are_refused_in_comments() {
        for text in ["3261 §8", "-3261", " 3261, section 8", " 3261 Sec. 8"] {
            assert_eq!(problems(rfc(text)).len(), 1, "{text}");
        }
        assert_eq!(problems(rfc(" 3261 says nothing of it")), []);
    }

    #[test]
    fn a_test_name_cites_a_section() {
        assert_eq!(problems(format!("fn r{}", "fc3261_s8_1_1_100_trying() {")), []);
        assert_eq!(problems(format!("fn r{}", "fc3261_s9_1_cancel() {")).len(), 1);
    }
}
