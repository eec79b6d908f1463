//! RFC 2045 §5.1: media types.

use std::borrow::Cow;

use memchr::memchr;

/// A media type with its parameters, borrowed from a Content-Type value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    essence: &'a str,
    params: &'a str,
}

impl<'a> MediaType<'a> {
    /// Reads a Content-Type value; `None` without a type and subtype.
    pub fn parse(value: &'a str) -> Option<Self> {
        let octets = value.as_bytes();
        let (essence, params) = value.split_at_checked(memchr(b';', octets).unwrap_or(octets.len()))?;
        // RFC 2045 §5.1: a comment may stand behind.
        let essence = essence.get(..memchr(b'(', essence.as_bytes()).unwrap_or(essence.len()))?.trim_matches(is_blank);
        let (kind, subtype) = essence.split_at_checked(memchr(b'/', essence.as_bytes())?)?;
        (is_token(kind) && is_token(subtype.get(1..)?)).then_some(Self { essence, params })
    }

    /// Type and subtype as written.
    pub fn essence(&self) -> &'a str {
        self.essence
    }

    /// Whether this is the media type `essence`; case does not count.
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    /// The value of a parameter, without quotes; the name's case does not count.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.params;
        loop {
            rest = rest.trim_start_matches(|c| is_blank(c) || c == ';');
            let (found, after) = rest.split_once('=')?;
            let (value, next) = param_value(after.trim_start_matches(is_blank))?;
            if found.trim_matches(is_blank).eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = next;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn param_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| is_blank(c) || c == ';').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return Some((Cow::Borrowed(value), rest));
    };
    let length = crate::header::string_length(quoted)?;
    let (inner, rest) = quoted.split_at_checked(length)?;
    let value = if inner.contains('\\') { Cow::Owned(without_backslashes(inner)) } else { Cow::Borrowed(inner) };
    Some((value, rest.strip_prefix('"')?))
}

fn without_backslashes(text: &str) -> String {
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    text.chars().filter(keep).collect()
}

/// RFC 2045 §5.1: any printable ASCII but the special characters.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| TOKEN.get(usize::from(octet)) == Some(&true))
}

/// Whether each octet may stand in a token.
static TOKEN: [bool; 256] = token();

const fn token() -> [bool; 256] {
    let mut all = [false; 256];
    let mut rest: &mut [bool] = &mut all;
    let mut octet = 0_u8;
    while let Some((may, after)) = rest.split_first_mut() {
        *may =
            matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'~');
        rest = after;
        octet = octet.wrapping_add(1);
    }
    all
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-02, MF-03
    #[test]
    fn rfc2045_s5_1_types_and_parameters() {
        let text = MediaType::parse("Text/Plain ; Charset=\"utf\\-8\" ;format=flowed").unwrap();
        assert!(text.is("text/plain") && text.essence() == "Text/Plain");
        assert_eq!(text.param("charset").as_deref(), Some("utf-8"));
        assert_eq!(text.param("FORMAT").as_deref(), Some("flowed"));
        assert_eq!(text.param("boundary"), None);
        assert_eq!(MediaType::parse("text/plain (words); a=b").unwrap().essence(), "text/plain");
        for bad in ["", "text", "text/", "/plain", "te xt/plain", "text/plain/x"] {
            assert_eq!(MediaType::parse(bad), None, "{bad}");
        }
        assert_eq!(MediaType::parse("a/b; x=\"y").unwrap().param("x"), None);
    }
}
