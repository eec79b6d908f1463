use std::iter::Peekable;
use std::str::Chars;

use super::{ZoneError, ZoneProblem};

/// One entry of a master file: a line, or several joined by parentheses.
pub(super) struct Line {
    /// Where it begins, counted from 1.
    pub(super) number: usize,
    /// Whether it begins with white space and so has the owner of the entry before.
    pub(super) owner_omitted: bool,
    pub(super) words: Vec<String>,
}

/// RFC 1035 §5.1: divides the text into entries and their words, without comments.
///
/// Escapes are resolved, but an escaped dot stays escaped: it is no separator of labels.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, ZoneError> {
    let mut lexer = Lexer { chars: text.chars().peekable(), line: 1, depth: 0 };
    let mut lines = Vec::new();
    while lexer.chars.peek().is_some() {
        let line = lexer.line()?;
        if !line.words.is_empty() {
            lines.push(line);
        }
    }
    Ok(lines)
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
    depth: usize,
}

impl Lexer<'_> {
    fn line(&mut self) -> Result<Line, ZoneError> {
        let number = self.line;
        let owner_omitted = self.chars.peek().is_some_and(|c| matches!(c, ' ' | '\t'));
        let mut words = Vec::new();
        while let Some(c) = self.chars.next() {
            match c {
                '\n' => {
                    self.line += 1;
                    if self.depth == 0 {
                        break;
                    }
                }
                ' ' | '\t' | '\r' => {}
                ';' => while self.chars.next_if(|c| *c != '\n').is_some() {},
                '(' => self.depth += 1,
                ')' => self.depth = self.depth.checked_sub(1).ok_or(self.error(ZoneProblem::Unbalanced(')')))?,
                '"' => words.push(self.quoted()?),
                _ => words.push(self.word(c)?),
            }
        }
        if self.depth > 0 {
            return Err(ZoneError { line: number, problem: ZoneProblem::Unbalanced('(') });
        }
        Ok(Line { number, owner_omitted, words })
    }

    fn quoted(&mut self) -> Result<String, ZoneError> {
        let mut word = String::new();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(word),
                Some('\\') => self.escape(&mut word)?,
                None | Some('\n') => return Err(self.error(ZoneProblem::Unbalanced('"'))),
                Some(c) => word.push(c),
            }
        }
    }

    fn word(&mut self, first: char) -> Result<String, ZoneError> {
        let mut word = String::new();
        let mut next = Some(first);
        while let Some(c) = next {
            if c == '\\' {
                self.escape(&mut word)?;
            } else {
                word.push(c);
            }
            next = self.chars.next_if(|c| !c.is_whitespace() && !";()\"".contains(*c));
        }
        Ok(word)
    }

    /// RFC 1035 §5.1: three decimal digits are an octet, any other character stands for itself.
    fn escape(&mut self, word: &mut String) -> Result<(), ZoneError> {
        let bad = self.error(ZoneProblem::Escape);
        let first = self.chars.next().filter(|c| *c != '\n').ok_or(bad.clone())?;
        let escaped = match first.to_digit(10) {
            None => first,
            Some(digit) => {
                let mut octet = digit;
                for _ in 0..2 {
                    octet = octet * 10 + self.chars.next().and_then(|c| c.to_digit(10)).ok_or(bad.clone())?;
                }
                u8::try_from(octet).map(char::from).map_err(|_| bad)?
            }
        };
        if escaped == '.' {
            word.push('\\');
        }
        word.push(escaped);
        Ok(())
    }

    fn error(&self, problem: ZoneProblem) -> ZoneError {
        ZoneError { line: self.line, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        lines(text).unwrap().into_iter().map(|line| line.words).collect()
    }

    #[test]
    fn rfc1035_s5_1_parentheses_join_lines_and_comments_vanish() {
        assert_eq!(words("a ( b ; x\n c ) d\r\n\n; only this\ne\"f g\""), [vec!["a", "b", "c", "d"], vec!["e", "f g"]]);
    }

    #[test]
    fn rfc1035_s5_1_escapes_are_resolved() {
        assert_eq!(words(r#"a\059b "x\"y" \; p\.q"#), [vec!["a;b", "x\"y", ";", "p\\.q"]]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let lines = lines("a\n\n b (\n)\nc").unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.number, line.owner_omitted)).collect();
        assert_eq!(seen, [(1, false), (3, true), (5, false)]);
    }

    #[test]
    fn unbalanced_text_is_refused() {
        let refused = |text| lines(text).err().unwrap();
        assert_eq!(refused("a\nb ("), ZoneError { line: 2, problem: ZoneProblem::Unbalanced('(') });
        assert_eq!(refused("a )").problem, ZoneProblem::Unbalanced(')'));
        assert_eq!(refused("a \"b\nc\"").problem, ZoneProblem::Unbalanced('"'));
        assert_eq!(refused("a \\300").problem, ZoneProblem::Escape);
    }
}
