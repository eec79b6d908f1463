use std::borrow::Cow;

use crate::grammar::{self, Cursor};

/// The parameters behind a header value, `;name=value` each, checked once and read lazily.
///
/// RFC 3261 §7.3.1: names are case-insensitive and may occur once; [`Params::get`] gives the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params<'a> {
    text: &'a str,
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as spelled.
    pub name: &'a str,
    /// The value without its quotes, escapes not resolved; `None` for a flag.
    pub value: Option<&'a str>,
    /// Whether the value stood in quotes.
    pub quoted: bool,
}

impl<'a> Param<'a> {
    /// The value with the escapes of a quoted string resolved.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        self.value.map(|value| if self.quoted { grammar::unescape_quoted(value) } else { Cow::Borrowed(value) })
    }
}

impl<'a> Params<'a> {
    /// Takes all parameters at the cursor; `None` when one is malformed.
    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        Self::take_each(cursor, |_| {})
    }

    /// The same, with a look at each.
    pub(crate) fn take_each(cursor: &mut Cursor<'a>, mut look: impl FnMut(Param<'a>)) -> Option<Self> {
        let start = *cursor;
        loop {
            let before = *cursor;
            cursor.lws();
            if !cursor.eat(b';') {
                *cursor = before;
                return Some(Self { text: cursor.since(&start) });
            }
            look(take_one(cursor)?);
        }
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.text);
        std::iter::from_fn(move || {
            cursor.lws();
            if cursor.eat(b';') { take_one(&mut cursor) } else { None }
        })
    }

    /// The first parameter of that name.
    pub fn find(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of that name, quotes removed, escapes not resolved; `None` also for a flag.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.find(name)?.value
    }

    /// Whether there is a parameter of that name, with or without value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// As written, with its leading semicolon; empty when there are none.
    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

fn take_one<'a>(cursor: &mut Cursor<'a>) -> Option<Param<'a>> {
    cursor.lws();
    let name = cursor.token()?;
    let after_name = *cursor;
    cursor.lws();
    if !cursor.eat(b'=') {
        *cursor = after_name;
        return Some(Param { name, value: None, quoted: false });
    }
    cursor.lws();
    if cursor.peek() == Some(b'"') {
        return Some(Param { name, value: Some(cursor.quoted()?), quoted: true });
    }
    let value = cursor.take_while(grammar::param_value_octet);
    (!value.is_empty()).then_some(Param { name, value: Some(value), quoted: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Params<'_>> {
        let mut cursor = Cursor::new(text);
        let params = Params::take(&mut cursor)?;
        cursor.is_done().then_some(params)
    }

    #[test]
    fn flags_tokens_quotes_and_white_space() {
        let params = parse(" ; lr;Tag = 1x\r\n ;q=\"a\\\"b\"").unwrap();
        assert!(params.has("LR") && params.get("lr").is_none());
        assert_eq!(params.get("tag"), Some("1x"));
        assert_eq!(params.find("q").unwrap().text().unwrap(), "a\"b");
        assert_eq!(params.iter().count(), 3);
    }

    // checks: TOR-014
    #[test]
    fn empty_parameters_are_malformed() {
        for text in [";;", ";", ";a=", ";a;;b", ";=1", ";a=\"open"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
