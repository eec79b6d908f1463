//! quick-xml's events as ranges of the text they were read from; judges only where each of them ends.

use quick_xml::Reader;
use quick_xml::errors::{Error as TokenError, IllFormedError};
use quick_xml::events::Event;

use crate::XmlErrorKind;
use crate::chars::is_space;

/// A piece of the text; together they are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Character data without markup and references; never empty.
    Text(&'a str),
    /// What stands between `&` and `;`.
    Reference(&'a str),
    /// What stands between `<` and `>` or `/>`.
    Start { inside: &'a str, empty: bool },
    /// What stands between `</` and `>`.
    End(&'a str),
    /// What stands between `<![CDATA[` and `]]>`.
    Cdata(&'a str),
    /// A comment.
    Comment,
    /// What stands between `<?` and `?>`.
    Instruction(&'a str),
}

/// Gives the tokens of a text one after another.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        // The parser compares end tags with the names it has at hand anyway.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.check_comments = true;
        Self { text, reader, at: 0 }
    }

    /// Octets of the text before the next token.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The next token; a fault lies at [`position`](Self::position).
    pub(crate) fn next_token(&mut self) -> Result<Option<Token<'a>>, XmlErrorKind> {
        let event = self.reader.read_event().map_err(|error| self.fault(&error))?;
        let end = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        let token = self.text.get(self.at..end).unwrap_or_default();
        self.at = end;
        let inside = |open: usize, close: usize| token.get(open..token.len().saturating_sub(close)).unwrap_or_default();
        Ok(Some(match event {
            Event::Text(_) => Token::Text(token),
            Event::Start(_) => Token::Start { inside: inside(1, 1), empty: false },
            Event::Empty(_) => Token::Start { inside: inside(1, 2), empty: true },
            Event::End(_) => Token::End(inside(2, 1)),
            Event::GeneralRef(_) => Token::Reference(inside(1, 1)),
            Event::CData(_) => Token::Cdata(inside(CDATA.len(), 3)),
            Event::Comment(_) => Token::Comment,
            Event::Decl(_) | Event::PI(_) => Token::Instruction(inside(2, 2)),
            Event::DocType(_) => return Err(self.declaration(token)),
            Event::Eof => return Ok(None),
        }))
    }

    /// A document type declaration is a fault of its beginning.
    fn declaration(&mut self, token: &str) -> XmlErrorKind {
        self.at -= token.len();
        XmlErrorKind::Declaration
    }

    fn fault(&self, error: &TokenError) -> XmlErrorKind {
        let rest = self.text.get(self.at..).unwrap_or_default();
        #[allow(clippy::wildcard_enum_match_arm, reason = "quick-xml's enums are non-exhaustive")]
        match error {
            TokenError::IllFormed(IllFormedError::UnclosedReference) => XmlErrorKind::Reference,
            _ if rest.starts_with("<!--") => XmlErrorKind::Comment,
            _ if rest.starts_with(CDATA) => XmlErrorKind::Incomplete,
            _ if rest.starts_with("<!") => XmlErrorKind::Declaration,
            _ if rest.starts_with("<?") => XmlErrorKind::ProcessingInstruction,
            TokenError::Syntax(_) => XmlErrorKind::Incomplete,
            _ => XmlErrorKind::Tag,
        }
    }
}

/// XML 1.0 §2.7.
pub(crate) const CDATA: &str = "<![CDATA[";

/// The name in an end tag, without white space behind it (XML 1.0 §3.1).
pub(crate) fn end_name(inside: &str) -> &str {
    inside.trim_end_matches(|c: char| u8::try_from(c).is_ok_and(is_space))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token<'_>>, (XmlErrorKind, usize)> {
        let mut tokens = Tokens::new(text);
        let mut all = Vec::new();
        while let Some(token) = tokens.next_token().map_err(|kind| (kind, tokens.position()))? {
            all.push(token);
        }
        Ok(all)
    }

    #[test]
    fn a_text_is_cut_at_its_markup() {
        let found = tokens("<?xml v?><a x='>'>1&lt;<b/><![CDATA[]]]]><!-- - --></a >").unwrap();
        let expected = [
            Token::Instruction("xml v"),
            Token::Start { inside: "a x='>'", empty: false },
            Token::Text("1"),
            Token::Reference("lt"),
            Token::Start { inside: "b", empty: true },
            Token::Cdata("]]"),
            Token::Comment,
            Token::End("a "),
        ];
        assert_eq!(found, expected);
        assert_eq!(end_name("a \r\n"), "a");
    }

    // checks: XST-021
    #[test]
    fn what_does_not_end_is_told_where_it_begins() {
        for (text, kind) in [
            ("x<a", XmlErrorKind::Incomplete),
            ("x<a b='>", XmlErrorKind::Incomplete),
            ("x</a", XmlErrorKind::Incomplete),
            ("x<", XmlErrorKind::Incomplete),
            ("x&amp", XmlErrorKind::Reference),
            ("x&amp<b/>;", XmlErrorKind::Reference),
            ("x<!-- c", XmlErrorKind::Comment),
            ("x<!-->", XmlErrorKind::Comment),
            ("x<!--->", XmlErrorKind::Comment),
            ("x<!-- c --->", XmlErrorKind::Comment),
            ("x<![CDATA[c]]", XmlErrorKind::Incomplete),
            ("x<![CDATA", XmlErrorKind::Declaration),
            ("x<!DOCTYPE a>", XmlErrorKind::Declaration),
            ("x<?p?", XmlErrorKind::ProcessingInstruction),
        ] {
            assert_eq!(tokens(text), Err((kind, 1)), "{text}");
        }
    }
}
