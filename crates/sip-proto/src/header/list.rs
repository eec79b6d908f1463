use super::HeaderError;
use crate::{grammar, header_id::HeaderId};

/// The tokens of Require, Supported, Allow, Content-Language, Content-Encoding and their like.
pub type Tokens<'a> = Vec<&'a str>;

/// The elements of a comma list, trimmed; commas in quotes and angle brackets do not count (RFC 3261 §7.3.1).
///
/// Empty elements are given as they are, an empty value has none.
pub fn elements(text: &str) -> impl Iterator<Item = &str> {
    grammar::split_list(text)
}

/// The tokens of one value of the field `id`, which errors name.
pub fn tokens(id: HeaderId, text: &str) -> Result<Tokens<'_>, HeaderError> {
    elements(text)
        .map(|element| if grammar::is_token(element) { Ok(element) } else { Err(HeaderError::Syntax(id)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_lists_may_be_empty_but_hold_tokens_only() {
        assert_eq!(tokens(HeaderId::Require, "a, b\r\n ,c").unwrap(), ["a", "b", "c"]);
        assert!(tokens(HeaderId::Supported, "").unwrap().is_empty());
        assert_eq!(tokens(HeaderId::Require, "a,,b"), Err(HeaderError::Syntax(HeaderId::Require)));
        assert_eq!(tokens(HeaderId::Require, "a b"), Err(HeaderError::Syntax(HeaderId::Require)));
    }
}
