//! RFC 3862 §5: objects that are signed or enveloped, and the MIME headers around any of them.

use std::borrow::Cow;

use memchr::memmem;

use crate::error::{ErrorKind, ParseError};
use crate::media::MediaType;
use crate::mime::{CONTENT_TYPE, Entity};

/// What may be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Readable and not protected: it may be translated.
    Plain,
    /// Readable and signed: a translation destroys the signature.
    Signed,
    /// Enveloped, or signed so that reading needs cryptography: nothing inside can be seen.
    Opaque,
}

impl Class {
    /// The class of an entity of this media type.
    pub fn of(media_type: &MediaType<'_>) -> Self {
        if media_type.is("multipart/signed") {
            return Self::Signed;
        }
        let opaque = ["application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted"];
        if opaque.iter().any(|essence| media_type.is(essence)) { Self::Opaque } else { Self::Plain }
    }

    /// The name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Signed => "signed",
            Self::Opaque => "opaque",
        }
    }
}

impl Entity<'_> {
    /// The class of what the entity holds.
    pub fn class(&self) -> Class {
        let value = self.value(CONTENT_TYPE);
        value.and_then(|value| MediaType::parse(&value).map(|media| Class::of(&media))).unwrap_or(Class::Plain)
    }
}

/// An object with the MIME headers it travels under.
///
/// ```
/// use cpim::{Class, Package, SignedPolicy};
///
/// let octets = b"Content-Type: message/cpim\r\nContent-Transfer-Encoding: base64\r\n\r\nRnJvbTog";
/// let package = Package::parse(octets)?;
/// assert_eq!(package.class(), Class::Plain);
/// assert_eq!(package.translatable(SignedPolicy::Refuse).as_deref(), Ok(&b"From: "[..]));
/// # Ok::<(), cpim::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package<'a> {
    entity: Entity<'a>,
    class: Class,
}

/// What to do when a signed object has to be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignedPolicy {
    /// Refuse; the sender is told.
    #[default]
    Refuse,
    /// Translate what was signed; the result must not be shown as signed.
    DropSignature,
}

/// Why an object may not be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untranslatable {
    /// Policy keeps signatures.
    #[error("a translation would destroy the signature")]
    Signed,
    /// There is nothing to read.
    #[error("the object is enveloped")]
    Opaque,
    /// It is not what it says.
    #[error("the object is malformed")]
    Malformed(#[source] ParseError),
}

/// The first part of a multipart/signed: the octets that the signature covers (RFC 1847 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPart<'a> {
    /// The part with its own MIME headers, which are signed too.
    pub octets: &'a [u8],
    /// Octets before it.
    pub offset: usize,
}

impl<'a> Package<'a> {
    /// Reads the outer MIME headers; what is inside is not looked at.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let entity = Entity::parse(octets)?;
        let class = entity.class();
        if class == Class::Plain && !entity.is(crate::MEDIA_TYPE) {
            return Err(ParseError { kind: ErrorKind::NotCpim, line: 1, octet: 0 });
        }
        Ok(Self { entity, class })
    }

    /// Whether octets begin with MIME headers that announce an object, rather than with the object.
    pub fn begins(octets: &[u8]) -> bool {
        let first = octets.get(..CONTENT_PREFIX.len()).unwrap_or_default();
        let mime = first.eq_ignore_ascii_case(CONTENT_PREFIX) || first.eq_ignore_ascii_case(VERSION_PREFIX);
        mime && Package::parse(octets).is_ok()
    }

    /// All octets, to be passed on.
    pub fn octets(&self) -> &'a [u8] {
        self.entity.octets()
    }

    /// What may be done with it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The outer entity.
    pub fn entity(&self) -> &Entity<'a> {
        &self.entity
    }

    /// The message/cpim object that a translation may read.
    pub fn translatable(&self, policy: SignedPolicy) -> Result<Cow<'a, [u8]>, Untranslatable> {
        match (self.class, policy) {
            (Class::Plain, _) => self.object().map_err(Untranslatable::Malformed),
            (Class::Signed, SignedPolicy::DropSignature) => {
                let part = self.signed_part().map_err(Untranslatable::Malformed)?;
                Package::parse(part.octets).and_then(|inner| inner.object()).map_err(Untranslatable::Malformed)
            }
            // RFC 3862 §6: a signed object stays whole unless policy says otherwise.
            (Class::Signed, SignedPolicy::Refuse) => Err(Untranslatable::Signed),
            (Class::Opaque, _) => Err(Untranslatable::Opaque),
        }
    }

    /// What the signature covers; to look at, for instance to compare From with the certificate.
    pub fn signed_part(&self) -> Result<SignedPart<'a>, ParseError> {
        let body = self.entity.body();
        let base = self.octets().len() - body.len();
        let fault = self.body_error(ErrorKind::SignedParts);
        let value = self.entity.value(CONTENT_TYPE).unwrap_or_default();
        let boundary = MediaType::parse(&value).and_then(|media| media.param("boundary")).ok_or(fault)?;
        let (start, end) = first_part(body, &boundary).ok_or(fault)?;
        let octets = body.get(start..end).ok_or(fault)?;
        Ok(SignedPart { octets, offset: base + start })
    }

    // RFC 3862 §7.1: an encoding of the whole object is reversed exactly before anything else.
    pub(crate) fn object(&self) -> Result<Cow<'a, [u8]>, ParseError> {
        if self.class != Class::Plain {
            return Err(ParseError { kind: ErrorKind::NotCpim, line: 1, octet: 0 });
        }
        self.entity.decoded_body().ok_or_else(|| self.body_error(ErrorKind::TransferEncoding))
    }

    /// A fault of the body, told at its start.
    fn body_error(&self, kind: ErrorKind) -> ParseError {
        let octets = self.octets();
        let octet = octets.len() - self.entity.body().len();
        let before = octets.get(..octet).unwrap_or_default();
        ParseError { kind, line: 1 + memchr::memchr_iter(b'\n', before).count(), octet }
    }
}

/// Where the first part of a multipart begins and ends; another delimiter must follow it (RFC 2046 §5.1.1).
fn first_part(body: &[u8], boundary: &str) -> Option<(usize, usize)> {
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return None;
    }
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    let opening = delimiter.strip_prefix(b"\r\n")?;
    let line_ends = |at: usize| {
        let rest = body.get(at..)?;
        let padding = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        rest.get(padding..)?.starts_with(b"\r\n").then_some(at + padding + 2)
    };
    let start = match body.starts_with(opening) {
        true => line_ends(opening.len())?,
        false => memmem::find_iter(body, &delimiter).find_map(|at| line_ends(at + delimiter.len()))?,
    };
    // The CR LF that ends the opening line may begin the next delimiter, around an empty part.
    let searched = body.get(start - 2..)?;
    let end =
        memmem::find_iter(searched, &delimiter).find(|at| line_ends(start - 2 + at + delimiter.len()).is_some())?;
    let end = start - 2 + end;
    Some((start, end.max(start)))
}

/// RFC 2046 §5.1.1.
const MAX_BOUNDARY: usize = 70;
const CONTENT_PREFIX: &[u8] = b"Content-";
const VERSION_PREFIX: &[u8] = b"MIME-Ver";

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "Content-Type: multipart/signed; boundary=b\r\n\r\npreamble\r\n--bc\r\n--b \r\n\
        content-type: Message/CPIM\r\n\r\nFrom: <im:a@b>\r\n--bx\r\n--b\r\n\
        Content-Type: application/pkcs7-signature\r\n\r\nsig\r\n--b--\r\n";

    // checks: SM-01, SM-02, SM-04
    #[test]
    fn rfc1847_s2_1_the_signed_part_is_found_and_kept_from_translation() {
        let package = Package::parse(SIGNED.as_bytes()).unwrap();
        assert_eq!((package.class(), package.octets()), (Class::Signed, SIGNED.as_bytes()));
        let part = package.signed_part().unwrap();
        assert_eq!(part.octets, b"content-type: Message/CPIM\r\n\r\nFrom: <im:a@b>\r\n--bx");
        assert_eq!(&SIGNED.as_bytes()[part.offset..part.offset + part.octets.len()], part.octets);
        assert_eq!(package.translatable(SignedPolicy::Refuse), Err(Untranslatable::Signed));
        let dropped = package.translatable(SignedPolicy::DropSignature).unwrap();
        assert_eq!(&dropped[..], b"From: <im:a@b>\r\n--bx");
    }

    #[test]
    fn faults_of_the_body_are_told_with_the_line_it_begins_on() {
        let encoded = b"Content-Type: message/cpim\r\nContent-Transfer-Encoding: base64\r\n\r\n!";
        let error = Package::parse(encoded).unwrap().object().unwrap_err();
        assert_eq!((error.kind, error.line, error.octet), (ErrorKind::TransferEncoding, 4, encoded.len() - 1));
        let signed = b"Content-Type: multipart/signed;\r\n boundary=b\r\n\r\n--c\r\n";
        let error = Package::parse(signed).unwrap().signed_part().unwrap_err();
        assert_eq!((error.kind, error.line, error.octet), (ErrorKind::SignedParts, 4, signed.len() - 5));
    }

    // checks: SM-03
    #[test]
    fn rfc3860_s3_3_enveloped_objects_stay_closed() {
        for essence in
            ["application/pkcs7-mime; smime-type=enveloped-data", "Application/X-PKCS7-MIME", "multipart/encrypted"]
        {
            let octets = format!("Content-Type: {essence}\r\n\r\n\0\u{1}");
            let package = Package::parse(octets.as_bytes()).unwrap();
            assert_eq!(package.class(), Class::Opaque, "{essence}");
            assert_eq!(package.translatable(SignedPolicy::DropSignature), Err(Untranslatable::Opaque));
            assert!(Package::begins(octets.as_bytes()));
        }
    }

    // checks: MF-02, MF-04
    #[test]
    fn rfc3862_s7_1_outer_headers() {
        let plain = Package::parse(b"content-TYPE: MESSAGE/cpim\r\n\r\nx").unwrap();
        assert_eq!(plain.translatable(SignedPolicy::Refuse).as_deref(), Ok(&b"x"[..]));
        let bad = Package::parse(b"Content-Type: message/cpim\r\nContent-Transfer-Encoding: x\r\n\r\n").unwrap();
        let error = bad.translatable(SignedPolicy::Refuse).unwrap_err();
        assert!(matches!(error, Untranslatable::Malformed(ParseError { kind: ErrorKind::TransferEncoding, .. })));
        assert_eq!(Package::parse(b"Content-Type: text/plain\r\n\r\n").unwrap_err().kind, ErrorKind::NotCpim);
        assert!(!Package::begins(b"From: <im:a@b>\r\nContent-type: message/cpim\r\n\r\n"));
        assert!(Package::begins(b"MIME-Version: 1.0\r\nContent-Type: message/cpim\r\n\r\n"));
    }

    #[test]
    fn malformed_multiparts_have_no_signed_part() {
        for body in ["", "--b", "--b\r\n", "--b\r\nx", "--b\r\nx\r\n--bb\r\n", "--b--\r\n"] {
            let octets = format!("Content-Type: multipart/signed; boundary=\"b\"\r\n\r\n{body}");
            let error = Package::parse(octets.as_bytes()).unwrap().signed_part().unwrap_err();
            assert_eq!(error.kind, ErrorKind::SignedParts, "{body}");
        }
        let none = Package::parse(b"Content-Type: multipart/signed\r\n\r\n--\r\nx\r\n--\r\n").unwrap();
        assert!(none.signed_part().is_err());
    }
}
