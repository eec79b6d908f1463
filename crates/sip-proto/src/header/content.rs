use std::borrow::Cow;

use super::{HeaderError, Params};
use crate::{
    grammar::{self, Cursor},
    header_id::HeaderId,
};

/// A media type or range with parameters: Content-Type (RFC 3261 §20.15) and the elements of Accept (§20.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type as spelled, `*` in a range.
    pub kind: &'a str,
    /// The subtype as spelled, `*` in a range.
    pub subtype: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Parses a Content-Type.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        Self::parse_as(HeaderId::ContentType, text)
    }

    /// Parses a value of the field `id`, which errors name.
    pub fn parse_as(id: HeaderId, text: &'a str) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(grammar::trim(text));
        match Self::take(&mut cursor) {
            Some(media) if cursor.is_done() => Ok(media),
            _ => Err(HeaderError::Syntax(id)),
        }
    }

    /// Whether it is this type; names compare without case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether a range such as `text/*` or `text/plain` covers it; parameters do not count.
    pub fn is_within(&self, range: &str) -> bool {
        let (kind, subtype) = range.split_once('/').unwrap_or((range, ""));
        (kind == "*" || self.kind.eq_ignore_ascii_case(kind))
            && (subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
    }

    /// `type/subtype` in lower case.
    pub fn essence(&self) -> String {
        format!("{}/{}", self.kind, self.subtype).to_ascii_lowercase()
    }

    /// The charset parameter, without quotes.
    pub fn charset(&self) -> Option<Cow<'a, str>> {
        self.params.find("charset")?.text()
    }

    fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        let kind = cursor.token()?;
        cursor.lws();
        if !cursor.eat(b'/') {
            return None;
        }
        cursor.lws();
        let subtype = cursor.token()?;
        let params = Params::take(cursor)?;
        Some(Self { kind, subtype, params })
    }
}

/// RFC 3261 §20.11: what a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDisposition<'a> {
    /// `render`, `session`, `icon`, `alert` or another token.
    pub kind: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> ContentDisposition<'a> {
    /// Parses the value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let error = HeaderError::Syntax(HeaderId::ContentDisposition);
        let mut cursor = Cursor::new(grammar::trim(text));
        let kind = cursor.token().ok_or(error)?;
        let params = Params::take(&mut cursor).ok_or(error)?;
        if cursor.is_done() { Ok(Self { kind, params }) } else { Err(error) }
    }

    /// RFC 3261 §20.11: a body that is not understood may be left out.
    pub fn is_optional(&self) -> bool {
        self.params.get("handling").is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_parameters_and_ranges() {
        let media = MediaType::parse("Text / Plain;charset=\"UTF-8\";format=flowed").unwrap();
        assert!(media.is("text", "plain") && media.is_within("text/*") && media.is_within("*/*"));
        assert!(!media.is_within("text/html") && !media.is_within("text"));
        assert_eq!((media.essence().as_str(), media.charset().unwrap().as_ref()), ("text/plain", "UTF-8"));
        for text in ["", "text", "text/", "text/plain;", "text/plain;charset=\"x", "text/plain x"] {
            assert!(MediaType::parse(text).is_err(), "{text}");
        }
    }

    // checks: SIP-026
    #[test]
    fn handling_optional_is_recognised() {
        assert!(ContentDisposition::parse("icon;handling=optional").unwrap().is_optional());
        assert!(!ContentDisposition::parse("session").unwrap().is_optional());
    }
}
