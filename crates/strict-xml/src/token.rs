//! The tokens of a text as ranges of it; judges only where each of them ends.
//!
//! quick-xml's parsers find the ends of tags and instructions. Its reader would copy names and check the UTF-8 of each piece
//! once more, which costs more than all else that is done with a token.

use memchr::{memchr, memchr2, memchr3, memmem};
use quick_xml::parser::{ElementParser, Parser, PiParser};

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
    rest: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, at: 0 }
    }

    /// Octets of the text before the next token.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The next token; a fault lies at [`position`](Self::position).
    pub(crate) fn next_token(&mut self) -> Result<Option<Token<'a>>, XmlErrorKind> {
        let (length, token) = match self.rest.as_bytes() {
            [] => return Ok(None),
            [b'<', b'/', inside @ ..] => self.end(inside)?,
            [b'<', b'?', inside @ ..] => self.instruction(inside)?,
            [b'<', b'!', ..] => self.declaration()?,
            [b'<', inside @ ..] => self.start(inside)?,
            [b'&', name @ ..] => self.reference(name)?,
            text => {
                let length = memchr2(b'<', b'&', text).unwrap_or(text.len());
                (length, Token::Text(self.piece(0, length)))
            }
        };
        self.at += length;
        self.rest = self.rest.get(length..).unwrap_or_default();
        Ok(Some(token))
    }

    /// A range of what is left.
    fn piece(&self, start: usize, end: usize) -> &'a str {
        self.rest.get(start..end).unwrap_or_default()
    }

    fn start(&self, inside: &[u8]) -> Result<(usize, Token<'a>), XmlErrorKind> {
        // XML 1.0 §2.4: a tag ends at the first `>` outside quotes.
        let end = 1 + ElementParser::default().feed(inside).ok_or(XmlErrorKind::Incomplete)?;
        let inside = self.piece(1, end);
        Ok((
            end + 1,
            match inside.strip_suffix('/') {
                Some(inside) => Token::Start { inside, empty: true },
                None => Token::Start { inside, empty: false },
            },
        ))
    }

    fn end(&self, inside: &[u8]) -> Result<(usize, Token<'a>), XmlErrorKind> {
        let end = 2 + memchr(b'>', inside).ok_or(XmlErrorKind::Incomplete)?;
        Ok((end + 1, Token::End(self.piece(2, end))))
    }

    fn instruction(&self, inside: &[u8]) -> Result<(usize, Token<'a>), XmlErrorKind> {
        let end = 2 + PiParser::default().feed(inside).ok_or(XmlErrorKind::ProcessingInstruction)?;
        Ok((end + 1, Token::Instruction(self.piece(2, end - 1))))
    }

    fn reference(&self, name: &[u8]) -> Result<(usize, Token<'a>), XmlErrorKind> {
        match memchr3(b';', b'&', b'<', name).and_then(|end| Some((end, name.get(end)?))) {
            Some((end, b';')) => Ok((end + 2, Token::Reference(self.piece(1, end + 1)))),
            Some(_) | None => Err(XmlErrorKind::Reference),
        }
    }

    /// What begins with `<!`.
    fn declaration(&self) -> Result<(usize, Token<'a>), XmlErrorKind> {
        if let Some(content) = self.rest.strip_prefix(CDATA) {
            let length = memmem::find(content.as_bytes(), b"]]>").ok_or(XmlErrorKind::Incomplete)?;
            let end = CDATA.len() + length;
            return Ok((end + "]]>".len(), Token::Cdata(self.piece(CDATA.len(), end))));
        }
        let Some(content) = self.rest.strip_prefix(COMMENT) else { return Err(XmlErrorKind::Declaration) };
        // XML 1.0 §2.5: two hyphens stand in a comment only at its end.
        let length = memmem::find(content.as_bytes(), b"--").ok_or(XmlErrorKind::Comment)?;
        let end = COMMENT.len() + length + "-->".len();
        if self.piece(0, end).ends_with('>') { Ok((end, Token::Comment)) } else { Err(XmlErrorKind::Comment) }
    }
}

/// XML 1.0 §2.5.
const COMMENT: &str = "<!--";
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
        assert_eq!(tokens("<!----><a/ >").unwrap(), [Token::Comment, Token::Start { inside: "a/ ", empty: false }]);
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
            ("x<!-- a--b -->", XmlErrorKind::Comment),
            ("x<?>", XmlErrorKind::ProcessingInstruction),
            ("x<!>", XmlErrorKind::Declaration),
            ("x<?p?", XmlErrorKind::ProcessingInstruction),
        ] {
            assert_eq!(tokens(text), Err((kind, 1)), "{text}");
        }
    }
}
