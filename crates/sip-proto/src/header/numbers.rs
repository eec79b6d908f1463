use super::{HeaderError, Params};
use crate::{
    grammar::{self, Cursor},
    header_id::HeaderId,
};

/// RFC 3261 §20.22: hops a request may still make, 0 to 255.
pub fn max_forwards(text: &str) -> Result<u8, HeaderError> {
    let number = digits(HeaderId::MaxForwards, text)?;
    number.and_then(|number| u8::try_from(number).ok()).ok_or(HeaderError::Range(HeaderId::MaxForwards))
}

/// RFC 3261 §20.19, §20.23: seconds of Expires and Min-Expires, below 2^32.
pub fn delta_seconds(id: HeaderId, text: &str) -> Result<u32, HeaderError> {
    let number = digits(id, text)?;
    number.and_then(|number| u32::try_from(number).ok()).ok_or(HeaderError::Range(id))
}

/// Inner `None`: digits, but more than a `u64` holds.
fn digits(id: HeaderId, text: &str) -> Result<Option<u64>, HeaderError> {
    let text = grammar::trim(text);
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(HeaderError::Syntax(id));
    }
    Ok(grammar::number(text))
}

/// RFC 3261 §20.33: when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// Seconds to wait.
    pub seconds: u32,
    /// The comment without its parentheses, escapes not resolved.
    pub comment: Option<&'a str>,
    /// How long it will be reachable from then on, among others.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Parses the value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let error = HeaderError::Syntax(HeaderId::RetryAfter);
        let mut cursor = Cursor::new(grammar::trim(text));
        let number = cursor.take_while(|octet| octet.is_ascii_digit());
        let seconds = delta_seconds(HeaderId::RetryAfter, number)?;
        cursor.lws();
        let comment = if cursor.eat(b'(') { Some(cursor.take_until(b')').ok_or(error)?) } else { None };
        let params = Params::take(&mut cursor).ok_or(error)?;
        if cursor.is_done() { Ok(Self { seconds, comment, params }) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(max_forwards("0068"), Ok(68));
        assert_eq!(max_forwards("300"), Err(HeaderError::Range(HeaderId::MaxForwards)));
        assert_eq!(max_forwards("7 0"), Err(HeaderError::Syntax(HeaderId::MaxForwards)));
        assert_eq!(delta_seconds(HeaderId::Expires, "4294967295"), Ok(u32::MAX));
        assert_eq!(delta_seconds(HeaderId::Expires, "10000000000"), Err(HeaderError::Range(HeaderId::Expires)));
    }

    #[test]
    fn retry_after_with_comment_and_duration() {
        let retry = RetryAfter::parse("18000 (in a meeting);duration=3600").unwrap();
        assert_eq!((retry.seconds, retry.comment), (18_000, Some("in a meeting")));
        assert_eq!(retry.params.get("duration"), Some("3600"));
        assert!(RetryAfter::parse("949302838503028349304023988").is_err());
        assert!(RetryAfter::parse("10 (open").is_err());
    }
}
