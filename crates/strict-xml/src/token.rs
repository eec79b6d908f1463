//! Cuts an element or document into tags, text and the rest; judges only where each of them ends.

use memchr::{memchr, memchr2, memchr3};

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
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { rest: text, at: 0 }
    }

    /// Octets of the text before the next token.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The next token; a fault lies at [`position`](Self::position).
    pub(crate) fn next_token(&mut self) -> Result<Option<Token<'a>>, XmlErrorKind> {
        let (token, length) = match self.rest.as_bytes() {
            [] => return Ok(None),
            [b'<', b'/', ..] => self.end()?,
            [b'<', b'!', ..] => self.bang()?,
            [b'<', b'?', ..] => self.instruction()?,
            [b'<', ..] => self.start()?,
            [b'&', ..] => self.reference()?,
            text => {
                let length = memchr2(b'<', b'&', text).unwrap_or(text.len());
                (Token::Text(self.slice(0, length)), length)
            }
        };
        self.at += length;
        self.rest = self.rest.get(length..).unwrap_or_default();
        Ok(Some(token))
    }

    fn start(&self) -> Result<(Token<'a>, usize), XmlErrorKind> {
        // XML 1.0 §2.4: '>' may stand in an attribute value.
        let mut end = 1;
        loop {
            let rest = self.bytes_from(end);
            let found = memchr3(b'>', b'"', b'\'', rest).ok_or(XmlErrorKind::Incomplete)?;
            end += found;
            match rest.get(found) {
                Some(quote @ (b'"' | b'\'')) => {
                    let value = self.bytes_from(end + 1);
                    end += memchr(*quote, value).ok_or(XmlErrorKind::Incomplete)? + 2;
                }
                Some(_) | None => break,
            }
        }
        let empty = self.bytes_from(end - 1).first() == Some(&b'/');
        let inside = self.slice(1, if empty { end - 1 } else { end });
        Ok((Token::Start { inside, empty }, end + 1))
    }

    fn end(&self) -> Result<(Token<'a>, usize), XmlErrorKind> {
        let end = memchr(b'>', self.rest.as_bytes()).ok_or(XmlErrorKind::Incomplete)?;
        Ok((Token::End(self.slice(2, end)), end + 1))
    }

    fn reference(&self) -> Result<(Token<'a>, usize), XmlErrorKind> {
        let inside = self.bytes_from(1);
        match memchr3(b';', b'&', b'<', inside).map(|end| (end, inside.get(end))) {
            Some((end, Some(b';'))) => Ok((Token::Reference(self.slice(1, end + 1)), end + 2)),
            Some(_) | None => Err(XmlErrorKind::Reference),
        }
    }

    fn instruction(&self) -> Result<(Token<'a>, usize), XmlErrorKind> {
        let end = self.find(2, "?>").ok_or(XmlErrorKind::ProcessingInstruction)?;
        Ok((Token::Instruction(self.slice(2, end)), end + 2))
    }

    fn bang(&self) -> Result<(Token<'a>, usize), XmlErrorKind> {
        if self.rest.starts_with("<!--") {
            // XML 1.0 §2.5: no two hyphens within.
            let end = self.find(4, "--").filter(|end| self.bytes_from(end + 2).first() == Some(&b'>'));
            return Ok((Token::Comment, end.ok_or(XmlErrorKind::Comment)? + 3));
        }
        if !self.rest.starts_with(CDATA) {
            return Err(XmlErrorKind::Declaration);
        }
        let end = self.find(CDATA.len(), "]]>").ok_or(XmlErrorKind::Incomplete)?;
        Ok((Token::Cdata(self.slice(CDATA.len(), end)), end + 3))
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.rest.get(from..to).unwrap_or_default()
    }

    fn bytes_from(&self, at: usize) -> &'a [u8] {
        self.rest.as_bytes().get(at..).unwrap_or_default()
    }

    fn find(&self, from: usize, what: &str) -> Option<usize> {
        self.rest.get(from..)?.find(what).map(|at| from + at)
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
