use std::{borrow::Cow, fmt};

use super::{HeaderError, quote};
use crate::{
    grammar::{self, Cursor},
    header_id::HeaderId,
};

/// RFC 3261 §20.43: what a status code alone does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning<'a> {
    /// Three digits.
    pub code: u16,
    /// The host, or a pseudonym, that added it.
    pub agent: &'a str,
    /// For a person.
    pub text: Cow<'a, str>,
}

impl<'a> Warning<'a> {
    /// Parses one value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        Self::take(grammar::trim(text)).ok_or(HeaderError::Syntax(HeaderId::Warning))
    }

    fn take(text: &'a str) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        let digits = cursor.take_while(|octet| octet.is_ascii_digit());
        let code = if digits.len() == 3 { digits.parse().ok()? } else { return None };
        cursor.lws();
        let agent = cursor.take_while(|octet| !grammar::lws_octet(octet) && octet != b'"');
        if agent.is_empty() || !cursor.lws() {
            return None;
        }
        let text = grammar::unescape_quoted(cursor.quoted()?);
        cursor.is_done().then_some(Self { code, agent, text })
    }
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} {}", self.code, self.agent, quote(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let warning = Warning::parse("380 gw.example.com \"SIPS Not \\\"Allowed\\\"\"").unwrap();
        assert_eq!(
            (warning.code, warning.agent, warning.text.as_ref()),
            (380, "gw.example.com", "SIPS Not \"Allowed\"")
        );
        assert_eq!(warning.to_string(), "380 gw.example.com \"SIPS Not \\\"Allowed\\\"\"");
        for text in ["1812 overture \"x\"", "380 \"x\"", "380 a x", "380 a \"x", ""] {
            assert!(Warning::parse(text).is_err(), "{text}");
        }
    }
}
