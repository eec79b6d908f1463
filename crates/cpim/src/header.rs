//! RFC 3862 §3, §4: one message header.

use std::borrow::Cow;
use std::fmt;

use crate::error::ErrorKind;
use crate::escape::unescape;
use crate::{chars, namespace};

/// A header of the core set (RFC 3862 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoreHeader {
    /// RFC 3862 §4.1.
    From,
    /// RFC 3862 §4.2.
    To,
    /// RFC 3862 §4.3.
    Cc,
    /// RFC 3862 §4.4.
    DateTime,
    /// RFC 3862 §4.5.
    Subject,
    /// RFC 3862 §4.6.
    Ns,
    /// RFC 3862 §4.7.
    Require,
}

impl CoreHeader {
    /// The name, exactly as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::From => "From",
            Self::To => "To",
            Self::Cc => "cc",
            Self::DateTime => "DateTime",
            Self::Subject => "Subject",
            Self::Ns => "NS",
            Self::Require => "Require",
        }
    }

    /// The header of this name; case counts.
    // RFC 3862 §2.2: names match exactly, so `from` is another header.
    pub fn named(name: &str) -> Option<Self> {
        // As octets: compared at once, without a call for each.
        Some(match name.as_bytes() {
            b"From" => Self::From,
            b"To" => Self::To,
            b"cc" => Self::Cc,
            b"DateTime" => Self::DateTime,
            b"Subject" => Self::Subject,
            b"NS" => Self::Ns,
            b"Require" => Self::Require,
            _ => return None,
        })
    }
}

impl fmt::Display for CoreHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One message header, borrowed from the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub(crate) prefix: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) params: &'a str,
    pub(crate) value: &'a str,
    pub(crate) core: Option<CoreHeader>,
    pub(crate) ignored: bool,
}

impl<'a> Header<'a> {
    /// The prefix as written.
    pub fn prefix(&self) -> Option<&'a str> {
        self.prefix
    }

    /// The name without prefix.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The URI of the namespace; `None` when the prefix was never declared or the name has two dots.
    pub fn namespace(&self) -> Option<&'a str> {
        self.namespace
    }

    /// Which of the core headers this is, by namespace and name.
    pub fn core(&self) -> Option<CoreHeader> {
        self.core
    }

    /// Whether its value is malformed and the header is passed over, as a gateway does with optional headers.
    pub fn is_ignored(&self) -> bool {
        self.ignored
    }

    /// Whether it is the header of this namespace and name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace == Some(namespace)
    }

    /// The value as written, escapes included.
    pub fn raw_value(&self) -> &'a str {
        self.value
    }

    /// The value with its escapes decoded; it may hold line ends, so never write it without [`escape_value`].
    ///
    /// [`escape_value`]: crate::escape_value
    pub fn value(&self) -> Cow<'a, str> {
        unescape(self.value)
    }

    /// The parameters in order.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut rest = self.params;
        std::iter::from_fn(move || {
            let (param, after) = parse_param(rest.strip_prefix(';')?).ok()?;
            rest = after;
            Some(param)
        })
    }

    /// The language of the value; without one it is `i-default` (RFC 3862 §3.3).
    pub fn language(&self) -> Option<&'a str> {
        self.params().find(|param| param.name == LANG).map(|param| param.raw)
    }

    /// The name with its prefix, as written.
    pub fn qualified_name(&self) -> String {
        match self.prefix {
            Some(prefix) => format!("{prefix}.{}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The URN of the header, when its namespace is that of message/cpim (RFC 3862 §7.2).
    pub fn urn(&self) -> Option<String> {
        (self.namespace == Some(namespace::CPIM)).then(|| namespace::header_urn(self.name))
    }
}

/// One parameter of a header (RFC 3862 §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, `lang` for the language.
    pub name: &'a str,
    /// The value as written, quotes included.
    pub(crate) raw: &'a str,
}

impl<'a> Param<'a> {
    /// The value without quotes and escapes.
    pub fn value(&self) -> Cow<'a, str> {
        match self.raw.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
            Some(inner) => unescape(inner),
            None => Cow::Borrowed(self.raw),
        }
    }
}

/// Reads one parameter, whose `;` is gone, and returns what follows it.
pub(crate) fn parse_param(text: &str) -> Result<(Param<'_>, &str), ErrorKind> {
    let (name, after) = text.split_once('=').ok_or(ErrorKind::Parameter)?;
    if !chars::is_name(name) {
        return Err(ErrorKind::Parameter);
    }
    if let Some(quoted) = after.strip_prefix('"').filter(|_| name != LANG) {
        let length = string_length(quoted).ok_or(ErrorKind::Parameter)? + 2;
        let (raw, rest) = after.split_at_checked(length).ok_or(ErrorKind::Parameter)?;
        return Ok((Param { name, raw }, rest));
    }
    let end = after.bytes().position(|octet| matches!(octet, b';' | b' ')).unwrap_or(after.len());
    let (raw, rest) = after.split_at_checked(end).ok_or(ErrorKind::Parameter)?;
    match name {
        LANG if !chars::is_language_tag(raw) => Err(ErrorKind::Language),
        LANG => Ok((Param { name, raw }, rest)),
        _ if chars::is_token(raw) => Ok((Param { name, raw }, rest)),
        _ => Err(ErrorKind::Parameter),
    }
}

/// Octets before the quote that ends the string whose first quote is gone.
pub(crate) fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|octet| {
        let end = octet == b'"' && !escaped;
        escaped = octet == b'\\' && !escaped;
        end
    })
}

/// RFC 3862 §3.3.
pub(crate) const LANG: &str = "lang";

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-26
    #[test]
    fn rfc3862_s3_6_parameters() {
        let (param, rest) = parse_param(r#"c="q \" ; s";lang=en value"#).unwrap();
        assert_eq!((param.name, param.value().as_ref(), rest), ("c", "q \" ; s", ";lang=en value"));
        assert_eq!(parse_param("lang=fr salut").unwrap().0.raw, "fr");
        assert_eq!(parse_param("n=42;x").unwrap().1, ";x");
        for bad in [" lang=fr x", "lang x", "a=\"b c", "=x y", "a= x", "a=b<c x", "a.b=c x"] {
            assert_eq!(parse_param(bad).err(), Some(ErrorKind::Parameter), "{bad}");
        }
        for bad in ["lang= x", "lang=\"fr\" x", "lang=fr_CA x"] {
            assert_eq!(parse_param(bad).err(), Some(ErrorKind::Language), "{bad}");
        }
    }

    // checks: MF-21, MF-62
    #[test]
    fn rfc3862_s2_2_names_match_exactly() {
        for name in ["From", "To", "cc", "DateTime", "Subject", "NS", "Require"] {
            assert_eq!(CoreHeader::named(name).map(CoreHeader::name), Some(name));
        }
        for other in ["from", "CC", "Cc", "Datetime", "SUBJECT", "ns"] {
            assert_eq!(CoreHeader::named(other), None);
        }
    }
}
