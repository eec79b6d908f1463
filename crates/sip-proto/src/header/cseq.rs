use super::HeaderError;
use crate::{
    grammar::{self, Cursor},
    header_id::HeaderId,
    method::Method,
};

/// RFC 3261 §20.16: orders requests within a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Less than 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method as spelled.
    pub method: &'a str,
}

/// What a sequence number stays below (RFC 3261 §8.1.1.5).
pub const CSEQ_END: u64 = 1 << 31;

impl<'a> CSeq<'a> {
    /// Parses the value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(grammar::trim(text));
        let digits = cursor.take_while(|octet| octet.is_ascii_digit());
        if digits.is_empty() || !cursor.lws() || !grammar::is_token(cursor.rest()) {
            return Err(HeaderError::Syntax(HeaderId::CSeq));
        }
        let number = grammar::number(digits).filter(|number| *number < CSEQ_END);
        let number = number.and_then(|number| u32::try_from(number).ok()).ok_or(HeaderError::Range(HeaderId::CSeq))?;
        Ok(Self { number, method: cursor.rest() })
    }

    /// Whether it names this method.
    pub fn is_for(&self, method: &Method) -> bool {
        self.method == method.as_str()
    }
}

/// RFC 3261 §20.8: one conversation's identifier; compared octet by octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId<'a>(&'a str);

impl<'a> CallId<'a> {
    /// Parses the value: a word, or two around an `@`.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let text = grammar::trim(text);
        let (left, right) = grammar::split_once(text, b'@').unwrap_or((text, "-"));
        let word = |part: &str| !part.is_empty() && part.bytes().all(grammar::word_octet);
        if word(left) && word(right) { Ok(Self(text)) } else { Err(HeaderError::Syntax(HeaderId::CallId)) }
    }

    /// The identifier.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: SIP-046, TOR-017
    #[test]
    fn rfc3261_s8_1_1_5_numbers_stay_below_two_to_the_31() {
        assert_eq!(CSeq::parse("0009\r\n  INVITE").unwrap(), CSeq { number: 9, method: "INVITE" });
        assert_eq!(CSeq::parse("2147483647 ACK").unwrap().number, 2_147_483_647);
        assert_eq!(CSeq::parse("2147483648 ACK"), Err(HeaderError::Range(HeaderId::CSeq)));
        assert_eq!(CSeq::parse("36893488147419103232 REGISTER"), Err(HeaderError::Range(HeaderId::CSeq)));
        for text in ["", "1", "ACK", "-1 ACK", "1ACK", "1 ACK now"] {
            assert_eq!(CSeq::parse(text), Err(HeaderError::Syntax(HeaderId::CSeq)), "{text}");
        }
    }

    #[test]
    fn call_ids_are_words() {
        assert!(CallId::parse("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{").is_ok());
        assert!(CallId::parse("a@b").is_ok() && CallId::parse("a").is_ok());
        for text in ["", "a@", "@b", "a b", "a@b@c", "ä"] {
            assert!(CallId::parse(text).is_err(), "{text}");
        }
    }
}
