//! Writing objects by the letter of RFC 3862.

use bytes::{BufMut, BytesMut};
use impp_model::DateTime;

use crate::header::{CoreHeader, LANG};
use crate::mailbox::{self, Mailbox};
use crate::uri::{self, UriShape};
use crate::{chars, escape_string, escape_value, media};

/// Why something cannot be written as message/cpim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// RFC 3862 §3.6: an address or namespace that is no absolute URI.
    #[error("not an absolute URI without fragment")]
    Uri,
    /// RFC 3862 §3.1.
    #[error("not a header name")]
    HeaderName,
    /// RFC 3862 §3.6.
    #[error("not a parameter")]
    Parameter,
    /// RFC 3066 §2.1.
    #[error("malformed language tag")]
    Language,
    /// RFC 3862 §2.2: a space must not be escaped, and no line ends with one; see [`representable`].
    #[error("a value cannot begin or end with a space")]
    EdgeSpace,
    /// RFC 3862 §2.2: an empty value would leave a space at the end of its line.
    #[error("a value cannot be empty")]
    EmptyValue,
    /// RFC 3862 §2.3.1: a value given as already escaped that holds a control character.
    #[error("a control character in a value that should be escaped already")]
    Control,
    /// RFC 3862 §3.4: a prefix that no NS header before it declares, or that one declares twice.
    #[error("a prefix that is not declared exactly once before its use")]
    Prefix,
    /// RFC 5438 §10: a Message-ID with a character that no token has.
    #[error("not a token")]
    Token,
    /// RFC 3862 §2.4.
    #[error("the content is no MIME entity with a Content-Type")]
    Content,
}

impl WriteError {
    /// The code of the error, of the same set as those of reading.
    pub fn code(self) -> &'static str {
        match self {
            Self::Uri => "E_URI",
            Self::HeaderName => "E_BAD_NAME",
            Self::Parameter => "E_PARAM",
            Self::Language => "E_LANG",
            Self::EdgeSpace => "E_TRAILING_WS",
            Self::EmptyValue => "E_EMPTY_VALUE",
            Self::Control => "E_CTL",
            Self::Token => "E_TOKEN",
            Self::Prefix => "E_PREFIX_UNDECLARED",
            Self::Content => "E_NO_CONTENT_TYPE",
        }
    }
}

/// The longest part of a text that a value can hold: without the spaces at its ends.
pub fn representable(text: &str) -> &str {
    text.trim_matches(' ')
}

/// Writes headers one after another into a buffer, without allocation of its own.
///
/// The order is the caller's; a prefix has to be declared before it is used, which [`Draft`](crate::Draft) sees to.
/// After an error nothing of the refused header is in the buffer.
///
/// ```
/// use bytes::BytesMut;
/// use cpim::{Mailbox, Writer};
///
/// let mut out = BytesMut::new();
/// let mut writer = Writer::new(&mut out);
/// writer.from(&Mailbox::new("im:juliet@example.com").with_name("Juliet"))?;
/// writer.to(&Mailbox::new("im:romeo@example.net"))?;
/// writer.subject(Some("fr"), "le balcon")?;
/// writer.content("text/plain; charset=utf-8", &[], b"Hi")?;
/// assert_eq!(
///     &out[..],
///     b"From: Juliet <im:juliet@example.com>\r\nTo: <im:romeo@example.net>\r\nSubject:;lang=fr le balcon\r\n\r\n\
///       Content-Type: text/plain; charset=utf-8\r\n\r\nHi"
/// );
/// # Ok::<(), cpim::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut BytesMut,
    space_after_string: bool,
}

impl<'o> Writer<'o> {
    /// A writer that appends to `out`.
    pub fn new(out: &'o mut BytesMut) -> Self {
        Self { out, space_after_string: false }
    }

    /// Writes a space between a quoted name and `<`.
    // COMPAT SIP user agents with RCS: they write the space and some read nothing else; the grammar has none.
    pub fn with_space_after_string(mut self) -> Self {
        self.space_after_string = true;
        self
    }

    /// RFC 3862 §4.1.
    pub fn from(&mut self, mailbox: &Mailbox<'_>) -> Result<(), WriteError> {
        self.mailbox(None, CoreHeader::From.name(), mailbox)
    }

    /// RFC 3862 §4.2.
    pub fn to(&mut self, mailbox: &Mailbox<'_>) -> Result<(), WriteError> {
        self.mailbox(None, CoreHeader::To.name(), mailbox)
    }

    /// RFC 3862 §4.3.
    pub fn cc(&mut self, mailbox: &Mailbox<'_>) -> Result<(), WriteError> {
        self.mailbox(None, CoreHeader::Cc.name(), mailbox)
    }

    /// RFC 3862 §4.4; written in capitals, as RFC 3339 §5.6 wants of generators.
    pub fn date_time(&mut self, time: &DateTime) {
        put_name(self.out, None, CoreHeader::DateTime.name());
        self.out.put_slice(b": ");
        self.out.put_slice(time.as_str().to_ascii_uppercase().as_bytes());
        self.out.put_slice(b"\r\n");
    }

    /// RFC 3862 §4.5.
    pub fn subject(&mut self, language: Option<&str>, text: &str) -> Result<(), WriteError> {
        if language.is_some_and(|tag| !chars::is_language_tag(tag)) {
            return Err(WriteError::Language);
        }
        check_edges(text)?;
        put_name(self.out, None, CoreHeader::Subject.name());
        self.out.put_u8(b':');
        if let Some(language) = language {
            self.out.put_slice(b";lang=");
            self.out.put_slice(language.as_bytes());
        }
        self.out.put_u8(b' ');
        escape_value(self.out, text);
        self.out.put_slice(b"\r\n");
        Ok(())
    }

    /// RFC 3862 §4.6, with the space after the prefix that every example of the RFC has.
    pub fn namespace(&mut self, prefix: Option<&str>, uri: &str) -> Result<(), WriteError> {
        if prefix.is_some_and(|prefix| !chars::is_name(prefix)) {
            return Err(WriteError::HeaderName);
        }
        if !matches!(uri::shape(uri), UriShape::Rfc2396 | UriShape::Rfc3986) {
            return Err(WriteError::Uri);
        }
        self.out.put_slice(b"NS: ");
        if let Some(prefix) = prefix {
            self.out.put_slice(prefix.as_bytes());
            self.out.put_u8(b' ');
        }
        self.out.put_u8(b'<');
        self.out.put_slice(uri.as_bytes());
        self.out.put_slice(b">\r\n");
        Ok(())
    }

    /// RFC 3862 §4.7: one header for all names, of which there is at least one.
    pub fn require<'n>(
        &mut self,
        names: impl Iterator<Item = (Option<&'n str>, &'n str)> + Clone,
    ) -> Result<(), WriteError> {
        if names.clone().any(|(prefix, name)| !is_qualified(prefix, name)) {
            return Err(WriteError::HeaderName);
        }
        if names.clone().next().is_none() {
            return Err(WriteError::EmptyValue);
        }
        for (number, (prefix, name)) in names.enumerate() {
            self.out.put_slice(if number == 0 { b"Require: " } else { b"," });
            put_name(self.out, prefix, name);
        }
        self.out.put_slice(b"\r\n");
        Ok(())
    }

    /// Another header whose value is an address, such as IMDN-Route.
    pub fn mailbox(&mut self, prefix: Option<&str>, name: &str, mailbox: &Mailbox<'_>) -> Result<(), WriteError> {
        if !is_qualified(prefix, name) {
            return Err(WriteError::HeaderName);
        }
        let shape = uri::shape(&mailbox.uri);
        // RFC 3862 §3.6 has RFC 2396's URIs; the brackets of RFC 3986 come with IPv6 addresses and cannot be avoided.
        if let UriShape::Invalid(_) = shape {
            return Err(WriteError::Uri);
        }
        put_name(self.out, prefix, name);
        self.out.put_slice(b": ");
        mailbox::write_name(self.out, mailbox.formal_name.as_deref().unwrap_or_default(), self.space_after_string);
        self.out.put_u8(b'<');
        mailbox::write_uri(self.out, &mailbox.uri);
        self.out.put_slice(b">\r\n");
        Ok(())
    }

    /// Any other header, whose value is text to escape.
    pub fn header(&mut self, prefix: Option<&str>, name: &str, text: &str) -> Result<(), WriteError> {
        check_edges(text)?;
        if !is_qualified(prefix, name) {
            return Err(WriteError::HeaderName);
        }
        put_name(self.out, prefix, name);
        self.out.put_slice(b": ");
        escape_value(self.out, text);
        self.out.put_slice(b"\r\n");
        Ok(())
    }

    /// Any other header with parameters, whose value is escaped already.
    pub fn escaped_header(
        &mut self,
        prefix: Option<&str>,
        name: &str,
        params: &[(String, String)],
        value: &str,
    ) -> Result<(), WriteError> {
        check_edges(value)?;
        if !is_qualified(prefix, name) {
            return Err(WriteError::HeaderName);
        }
        if chars::find_control(value.as_bytes()).is_some() {
            return Err(WriteError::Control);
        }
        for (name, value) in params {
            match name.as_str() {
                LANG if !chars::is_language_tag(value) => return Err(WriteError::Language),
                name if !chars::is_name(name) => return Err(WriteError::Parameter),
                _ => {}
            }
        }
        put_name(self.out, prefix, name);
        self.out.put_u8(b':');
        for (name, value) in params {
            put_param(self.out, name, value);
        }
        self.out.put_u8(b' ');
        self.out.put_slice(value.as_bytes());
        self.out.put_slice(b"\r\n");
        Ok(())
    }

    /// Ends the message headers and writes the content.
    pub fn content(self, content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(), WriteError> {
        check_mime(content_type, headers)?;
        self.out.put_slice(b"\r\n");
        put_entity(self.out, content_type, headers, body);
        Ok(())
    }
}

/// Checks the headers of a MIME entity to be written.
pub(crate) fn check_mime(content_type: &str, headers: &[(&str, &str)]) -> Result<(), WriteError> {
    let one_line = |value: &str| chars::find_control(value.as_bytes()).is_none();
    let sound = media::MediaType::parse(content_type).is_some()
        && one_line(content_type)
        && headers.iter().all(|(name, value)| media::is_token(name) && one_line(value));
    if sound { Ok(()) } else { Err(WriteError::Content) }
}

/// Appends a MIME entity whose headers were checked.
pub(crate) fn put_entity(out: &mut BytesMut, content_type: &str, headers: &[(&str, &str)], body: &[u8]) {
    for (name, value) in std::iter::once(&("Content-Type", content_type)).chain(headers) {
        out.put_slice(name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
    out.put_slice(body);
}

fn check_edges(value: &str) -> Result<(), WriteError> {
    match value {
        "" => Err(WriteError::EmptyValue),
        _ if representable(value).len() != value.len() => Err(WriteError::EdgeSpace),
        _ => Ok(()),
    }
}

fn is_qualified(prefix: Option<&str>, name: &str) -> bool {
    prefix.is_none_or(chars::is_name) && chars::is_name(name)
}

fn put_name(out: &mut BytesMut, prefix: Option<&str>, name: &str) {
    if let Some(prefix) = prefix {
        out.put_slice(prefix.as_bytes());
        out.put_u8(b'.');
    }
    out.put_slice(name.as_bytes());
}

fn put_param(out: &mut BytesMut, name: &str, value: &str) {
    out.put_u8(b';');
    out.put_slice(name.as_bytes());
    out.put_u8(b'=');
    if chars::is_token(value) {
        out.put_slice(value.as_bytes());
    } else {
        escape_string(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), WriteError>) -> Result<String, WriteError> {
        let mut out = BytesMut::new();
        write(&mut Writer::new(&mut out))?;
        Ok(String::from_utf8(out.to_vec()).unwrap())
    }

    // checks: MF-33, MF-18
    #[test]
    fn rfc3862_s2_2_spaces_at_the_edges_are_refused() {
        for (text, error) in
            [("", WriteError::EmptyValue), (" a", WriteError::EdgeSpace), ("trail ", WriteError::EdgeSpace)]
        {
            assert_eq!(written(|writer| writer.subject(None, text)), Err(error));
            assert_eq!(written(|writer| writer.header(None, "X", text)), Err(error));
        }
        assert_eq!(representable(" trail "), "trail");
    }

    // checks: MF-30, MF-36
    #[test]
    fn rfc3862_s2_3_1_nothing_begins_another_header() {
        let subject = written(|writer| writer.subject(None, "a\r\nTo: <im:evil@example.com>"));
        assert_eq!(subject.as_deref(), Ok("Subject: a\\r\\nTo: <im:evil@example.com>\r\n"));
        let name = Mailbox::new("im:a@b").with_name("a\r\nTo: <im:evil@example.com>");
        assert_eq!(
            written(|writer| writer.from(&name)).as_deref(),
            Ok("From: \"a\\r\\nTo: <im:evil@example.com>\"<im:a@b>\r\n")
        );
        for uri in ["im:a@b>\r\nTo: <im:c@d", "im:a b", "a@b", "im:a#b"] {
            assert_eq!(written(|writer| writer.to(&Mailbox::new(uri))), Err(WriteError::Uri), "{uri}");
        }
        assert_eq!(written(|writer| writer.header(None, "X: y\r\nTo", "v")), Err(WriteError::HeaderName));
        assert_eq!(written(|writer| writer.escaped_header(None, "X", &[], "a\r\nb")), Err(WriteError::Control));
        let content = |kind: &str| Writer::new(&mut BytesMut::new()).content(kind, &[], b"");
        assert_eq!(content("text/plain\r\nX: y"), Err(WriteError::Content));
        assert_eq!(content("text"), Err(WriteError::Content));
    }

    // checks: MF-25, X-08
    #[test]
    fn rfc3862_s3_6_names_are_quoted_when_they_must_be() {
        let name = |name: &'static str| written(|writer| writer.from(&Mailbox::new("im:a@b").with_name(name))).unwrap();
        assert_eq!(name("Al B."), "From: Al B. <im:a@b>\r\n");
        assert_eq!(name("B, Al"), "From: \"B, Al\"<im:a@b>\r\n");
        assert_eq!(name("two  spaces"), "From: \"two  spaces\"<im:a@b>\r\n");
        assert_eq!(name(""), "From: <im:a@b>\r\n");
        let mut out = BytesMut::new();
        Writer::new(&mut out).with_space_after_string().from(&Mailbox::new("im:a@b").with_name("B, Al")).unwrap();
        assert_eq!(&out[..], b"From: \"B, Al\" <im:a@b>\r\n");
    }

    // checks: MF-24
    #[test]
    fn an_iri_is_written_as_the_uri_it_stands_for() {
        let to = written(|writer| writer.to(&Mailbox::new("im:jürgen@example.com")));
        assert_eq!(to.as_deref(), Ok("To: <im:j%C3%BCrgen@example.com>\r\n"));
    }
}
