use std::borrow::Cow;

use super::DigestError;
use crate::grammar::{self, Cursor};

/// The parameters behind `Digest`, each at most once.
pub(super) struct AuthParams<'a> {
    list: Vec<(&'a str, &'a str, bool)>, // name, value without quotes, whether there were any
}

/// More than any scheme defines.
const MAX_PARAMS: usize = 32;

/// Octets of one value: nonces that carry a whole state of a server stay far below.
const MAX_VALUE: usize = 2048;

impl<'a> AuthParams<'a> {
    /// RFC 7616 §3.3, §3.4: the scheme, then `name=value` with commas between.
    pub(super) fn parse(text: &'a str) -> Result<Self, DigestError> {
        let mut cursor = Cursor::new(text);
        cursor.lws();
        let scheme = cursor.token().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(DigestError::Scheme);
        }
        let mut list = Vec::new();
        let broken = |cursor: &Cursor<'_>| DigestError::Syntax { offset: text.len() - cursor.rest().len() };
        if !cursor.lws() {
            return Err(broken(&cursor));
        }
        while list.len() < MAX_PARAMS {
            list.push(take(&mut cursor).ok_or_else(|| broken(&cursor))?);
            cursor.lws();
            if cursor.is_done() {
                return Ok(Self { list });
            }
            if !cursor.eat(b',') {
                break;
            }
        }
        Err(broken(&cursor))
    }

    /// The value of a parameter, escapes resolved.
    pub(super) fn find(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, DigestError> {
        let mut found = self.list.iter().filter(|(known, ..)| known.eq_ignore_ascii_case(name));
        let Some((_, value, quoted)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(DigestError::Repeated(name));
        }
        let value = if *quoted { grammar::unescape_quoted(value) } else { Cow::Borrowed(*value) };
        // What is sent back must be the same octets, and controls are never sent.
        if value.chars().any(char::is_control) { Err(DigestError::Value(name)) } else { Ok(Some(value)) }
    }

    /// The value of a parameter that must be there.
    pub(super) fn require(&self, name: &'static str) -> Result<String, DigestError> {
        self.find(name)?.map(Cow::into_owned).ok_or(DigestError::Missing(name))
    }
}

fn take<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a str, &'a str, bool)> {
    cursor.lws();
    let name = cursor.token()?;
    cursor.lws();
    if !cursor.eat(b'=') {
        return None;
    }
    cursor.lws();
    let quoted = cursor.peek() == Some(b'"');
    let value = if quoted { cursor.quoted()? } else { cursor.token()? };
    (value.len() <= MAX_VALUE).then_some((name, value, quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_quotes_and_white_space() {
        let params = AuthParams::parse("digest realm=\"a \\\"b\\\"\" ,\r\n nc = 00000001,x=y").unwrap();
        assert_eq!(params.find("Realm").unwrap().unwrap(), "a \"b\"");
        assert_eq!(params.require("nc").unwrap(), "00000001");
        assert_eq!(params.require("nonce"), Err(DigestError::Missing("nonce")));
    }

    // checks: DIG-005
    #[test]
    fn what_is_malformed_is_refused() {
        let error = |text| AuthParams::parse(text).err().unwrap();
        assert_eq!(error("Basic YTpi"), DigestError::Scheme);
        assert_eq!(error(""), DigestError::Scheme);
        for text in ["Digest", "Digest ", "Digest a", "Digest a=", "Digest a=\"b", "Digest a=b c=d", "Digest a=b,"] {
            assert!(matches!(error(text), DigestError::Syntax { .. }), "{text}");
        }
        let twice = AuthParams::parse("Digest nc=1,NC=2").unwrap();
        assert_eq!(twice.find("nc"), Err(DigestError::Repeated("nc")));
        assert_eq!(AuthParams::parse("Digest a=\"b\tc\"").unwrap().find("a"), Err(DigestError::Value("a")));
        let many = format!("Digest {}", vec!["a=b"; MAX_PARAMS + 1].join(","));
        assert!(matches!(error(&many), DigestError::Syntax { .. }));
    }
}
