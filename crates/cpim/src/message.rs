//! RFC 3862 §2: one object, read and borrowed.

use std::borrow::Cow;

use impp_model::DateTime;

use crate::error::{Deviation, ParseError};
use crate::header::{CoreHeader, Header};
use crate::mailbox::{self, Mailbox};
use crate::mime::Entity;
use crate::namespace::NamespaceDeclaration;
use crate::profile::Profile;
use crate::read;

/// A message/cpim object: message headers, blank line, MIME entity.
///
/// Nothing is copied: to pass the object on, pass on the octets it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    pub(crate) octets: &'a [u8],
    pub(crate) headers: Vec<Header<'a>>,
    pub(crate) namespaces: Vec<NamespaceDeclaration<'a>>,
    pub(crate) required: Vec<Requirement<'a>>,
    pub(crate) content: Entity<'a>,
}

/// A header or feature that the recipient has to understand (RFC 3862 §4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement<'a> {
    /// The URI of its namespace.
    pub namespace: &'a str,
    /// Its name there.
    pub name: &'a str,
}

/// A Subject with its language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The language tag; without one the language is `i-default`.
    pub language: Option<&'a str>,
    /// The text, decoded.
    pub text: Cow<'a, str>,
}

impl<'a> Message<'a> {
    /// Reads an object by the letter of RFC 3862 and of the profile.
    ///
    /// # Errors
    ///
    /// The first place where it differs.
    pub fn parse(octets: &'a [u8], profile: Profile) -> Result<Self, ParseError> {
        let (result, deviations) = read::read(octets, profile);
        match deviations.first() {
            Some(deviation) => Err(deviation.error),
            None => result,
        }
    }

    /// Reads an object as a gateway should that has to translate it, with the places where it differs from RFC 3862.
    ///
    /// Structure, addresses, namespaces and Require must be sound; optional headers that are not are passed over.
    ///
    /// # Errors
    ///
    /// The first place that has no defensible reading.
    pub fn interpret(octets: &'a [u8], profile: Profile) -> Result<(Self, Vec<Deviation>), ParseError> {
        let (result, deviations) = read::read(octets, profile);
        result.map(|message| (message, deviations))
    }

    /// The octets it was read from, which alone may be passed on as the same object (RFC 3862 §2.2).
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// All message headers in order, unknown ones included.
    pub fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// The headers of one namespace and name, under whatever prefix.
    pub fn headers_of(&self, namespace: &str, name: &str) -> impl Iterator<Item = &Header<'a>> {
        self.headers.iter().filter(move |header| !header.ignored && header.is(namespace, name))
    }

    /// The originator; the first, where the profile allows several.
    pub fn from(&self) -> Option<Mailbox<'a>> {
        self.mailboxes(CoreHeader::From).next()
    }

    /// All From headers.
    pub fn froms(&self) -> impl Iterator<Item = Mailbox<'a>> {
        self.mailboxes(CoreHeader::From)
    }

    /// The recipients.
    pub fn to(&self) -> impl Iterator<Item = Mailbox<'a>> {
        self.mailboxes(CoreHeader::To)
    }

    /// The recipients of copies.
    pub fn cc(&self) -> impl Iterator<Item = Mailbox<'a>> {
        self.mailboxes(CoreHeader::Cc)
    }

    /// When it was sent; the first, where the profile allows several.
    pub fn date_time(&self) -> Option<DateTime> {
        self.core(CoreHeader::DateTime).find_map(|header| DateTime::parse(header.value).ok())
    }

    /// All date-times as written, in order.
    pub fn date_times(&self) -> impl Iterator<Item = &'a str> {
        self.core(CoreHeader::DateTime).map(|header| header.value)
    }

    /// All subjects, in order.
    pub fn subjects(&self) -> impl Iterator<Item = Subject<'a>> {
        self.core(CoreHeader::Subject).map(|header| Subject { language: header.language(), text: header.value() })
    }

    /// The subject to show to a reader of one language: that of the best-fitting tag, else the first without a tag,
    /// else the first.
    pub fn subject(&self, language: Option<&str>) -> Option<Subject<'a>> {
        let fits = |subject: &Subject<'_>| match (subject.language, language) {
            (Some(has), Some(wanted)) => covers(wanted, has),
            (Some(_), None) | (None, _) => false,
        };
        self.subjects()
            .find(fits)
            .or_else(|| self.subjects().find(|subject| subject.language.is_none()))
            .or_else(|| self.subjects().next())
    }

    /// The namespace declarations in order.
    pub fn namespaces(&self) -> &[NamespaceDeclaration<'a>] {
        &self.namespaces
    }

    /// What the recipient has to understand.
    pub fn required(&self) -> &[Requirement<'a>] {
        &self.required
    }

    /// The first required name that `understands` does not know; the core headers are known anyway.
    ///
    /// A relay does not ask. Who re-creates the message in another format is its recipient, and fails if there is one.
    // RFC 3862 §3.5: the recipient must understand what Require names, or not process the message.
    pub fn first_not_understood(&self, understands: impl Fn(&Requirement<'a>) -> bool) -> Option<&Requirement<'a>> {
        self.required.iter().find(|required| !required.is_core() && !understands(required))
    }

    /// The encapsulated MIME entity.
    pub fn content(&self) -> &Entity<'a> {
        &self.content
    }

    /// The object inside, when this one wraps another (RFC 3862 §6), with its transfer encoding reversed.
    pub fn wrapped(&self) -> Option<Cow<'a, [u8]>> {
        self.content.is(crate::MEDIA_TYPE).then(|| self.content.decoded_body()).flatten()
    }

    fn core(&self, core: CoreHeader) -> impl Iterator<Item = &Header<'a>> {
        self.headers.iter().filter(move |header| header.core == Some(core) && !header.ignored)
    }

    fn mailboxes(&self, core: CoreHeader) -> impl Iterator<Item = Mailbox<'a>> {
        self.core(core).filter_map(|header| mailbox::scan(header.value).ok()).map(|scanned| scanned.mailbox())
    }
}

impl Requirement<'_> {
    /// Whether it names a header of RFC 3862 itself.
    pub fn is_core(&self) -> bool {
        self.namespace == crate::namespace::CPIM && CoreHeader::named(self.name).is_some()
    }
}

/// RFC 3066 §2.5: a wanted tag covers those that begin with it and a hyphen; case does not count.
fn covers(wanted: &str, has: &str) -> bool {
    match has.split_at_checked(wanted.len()) {
        Some((start, rest)) => start.eq_ignore_ascii_case(wanted) && (rest.is_empty() || rest.starts_with('-')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::CPIM;

    fn with(headers: &str) -> String {
        format!("From: <im:a@b>\r\nTo: <im:c@d>\r\n{headers}\r\nContent-Type: text/plain\r\n\r\nhi")
    }

    // checks: MF-50, MF-51, CPM-006
    #[test]
    fn rfc3862_s3_5_what_is_required_has_to_be_understood() {
        let octets = with("NS: x <urn:x:y>\r\nRequire: From,Subject,x.Kanji\r\nRequire: Other\r\n");
        let message = Message::parse(octets.as_bytes(), Profile::Gateway).unwrap();
        let first = message.first_not_understood(|_| false);
        assert_eq!(first, Some(&Requirement { namespace: "urn:x:y", name: "Kanji" }));
        let second = message.first_not_understood(|required| required.name == "Kanji");
        assert_eq!(second, Some(&Requirement { namespace: CPIM, name: "Other" }));
        assert_eq!(message.first_not_understood(|_| true), None);
        assert_eq!(message.octets(), octets.as_bytes(), "a relay passes it on unasked");
    }

    // checks: MF-27, MF-64, CPM-007
    #[test]
    fn rfc3862_s3_3_subjects_are_chosen_by_language() {
        let octets = with("Subject:;lang=fr-CA froid\r\nSubject: cold\r\nSubject:;lang=fr froid aussi\r\n");
        let message = Message::parse(octets.as_bytes(), Profile::Base).unwrap();
        let shown = |language| message.subject(language).map(|subject| (subject.language, subject.text.into_owned()));
        assert_eq!(shown(Some("FR")), Some((Some("fr-CA"), "froid".into())));
        assert_eq!(shown(Some("f")), Some((None, "cold".into())));
        assert_eq!(shown(None), Some((None, "cold".into())));
        let french = with("Subject:;lang=fr froid\r\n");
        let message = Message::parse(french.as_bytes(), Profile::Base).unwrap();
        assert_eq!(message.subject(Some("de")).map(|subject| subject.language), Some(Some("fr")));
    }

    // checks: MF-06
    #[test]
    fn rfc3862_s6_the_wrapped_object_is_found() {
        let inner = with("");
        let octets = format!("From: <im:g@h>\r\n\r\ncontent-type: Message/CPIM\r\n\r\n{inner}");
        let message = Message::parse(octets.as_bytes(), Profile::Base).unwrap();
        assert_eq!(message.wrapped().as_deref(), Some(inner.as_bytes()));
        assert_eq!(Message::parse(inner.as_bytes(), Profile::Base).unwrap().wrapped(), None);
    }

    // checks: MF-61, MF-62, MF-63, CPM-009
    #[test]
    fn rfc3862_s4_what_cannot_be_read_is_passed_over() {
        let octets = with("DateTime: never\r\nDateTime: 2004-08-13T13:40:00Z\r\nTo: B <im:e@f>\r\ncc: <im:g@h>\r\n");
        let (message, deviations) = Message::interpret(octets.as_bytes(), Profile::Gateway).unwrap();
        assert_eq!(message.date_time().map(|time| time.to_string()).as_deref(), Some("2004-08-13T13:40:00Z"));
        assert_eq!((message.to().count(), message.cc().count(), deviations.len()), (2, 1, 1));
        assert_eq!(message.headers().iter().filter(|header| header.is_ignored()).count(), 1);
    }
}
