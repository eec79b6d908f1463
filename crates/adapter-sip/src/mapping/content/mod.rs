//! RFC 7572 §7, RFC 3261 §7.4: bodies as contents, and back.

mod files;
mod html;
mod multipart;
mod text;

use super::Mapped;
use bytes::Bytes;
use impp_model::{Content, LanguageTag, OutOfBand};
use sip_proto::header::MediaType;
use std::borrow::Cow;

pub use html::to_text as html_to_text;

/// What this gateway takes in a MESSAGE, in the form of an Accept value (RFC 3261 §20.1).
pub const ACCEPT: &str = "text/plain, text/html, multipart/alternative, multipart/mixed, multipart/signed, message/cpim, \
                           message/imdn+xml, application/im-iscomposing+xml, message/external-body, \
                           application/vnd.gsma.rcs-ft-http+xml";

/// The media ranges behind [`ACCEPT`], and envelopes: whether one can go on is known where it goes (CMP-071).
pub const ACCEPTED: &[&str] = &[
    "text/plain",
    "text/html",
    "multipart/alternative",
    "multipart/mixed",
    "multipart/signed",
    "message/cpim",
    "message/imdn+xml",
    "application/im-iscomposing+xml",
    "message/external-body",
    cpim::file::MEDIA_TYPE,
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "multipart/encrypted",
];

/// Why a body can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentRefusal {
    /// RFC 3261 §8.2.3: a type, charset or transfer encoding that is not understood.
    #[error("content type or charset is not supported")]
    MediaType,
    /// A multipart body without its boundary, or text that is not in its charset.
    #[error("body does not fit its content type")]
    Malformed,
    /// A local limit on nesting or on the number of parts.
    #[error("too many body parts")]
    TooComplex,
}

impl ContentRefusal {
    /// The status that tells the sender.
    pub fn status(self) -> u16 {
        match self {
            Self::MediaType => 415,
            Self::Malformed => 400,
            Self::TooComplex => 413,
        }
    }
}

/// The content to show and its richer forms, best last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What every addressee can be shown; empty text when the body was empty.
    pub content: Content,
    /// The same in richer types.
    pub alternatives: Vec<Content>,
    /// Files that it names; their URLs are the content.
    pub files: Vec<OutOfBand>,
}

impl Body {
    fn of(content: Content) -> Self {
        Self { content, alternatives: Vec::new(), files: Vec::new() }
    }
}

/// Reads a body of type `media`; `language` is that of the message.
pub fn from_body(
    media: &MediaType<'_>,
    body: Bytes,
    language: Option<LanguageTag>,
) -> Result<Mapped<Body>, ContentRefusal> {
    let mut reading = Reading { language, parts: 0, dropped: Vec::new(), degraded: Vec::new() };
    let value = reading.body(media, body, 0)?.ok_or(ContentRefusal::MediaType)?;
    Ok(Mapped { value, degraded: reading.degraded, dropped: reading.dropped })
}

/// Parts of one body, all levels together: a message has two or three.
const MAX_PARTS: usize = 16;

/// Levels of multipart bodies: signed, mixed, alternative.
const MAX_DEPTH: usize = 3;

/// The field that loses when a part of a body does.
const CONTENT: &str = "content";

struct Reading {
    language: Option<LanguageTag>,
    parts: usize,
    degraded: Vec<&'static str>,
    dropped: Vec<&'static str>,
}

impl Reading {
    /// `None` when the type is not one that is shown.
    fn body(&mut self, media: &MediaType<'_>, octets: Bytes, depth: usize) -> Result<Option<Body>, ContentRefusal> {
        if media.is("text", "plain") {
            let text = text::plain(media, octets)?;
            return Ok(Some(Body::of(self.content(Content::TEXT, text))));
        }
        if media.is("text", "html") {
            return self.html(media, octets).map(Some);
        }
        if let Some(files) = files::read(media, &octets)? {
            let links: Vec<&str> = files.iter().map(|file| file.url.as_str()).collect();
            let content = self.content(Content::TEXT, links.join("\r\n").into());
            return Ok(Some(Body { files, ..Body::of(content) }));
        }
        if !media.kind.eq_ignore_ascii_case("multipart") {
            return Ok(None);
        }
        if depth == MAX_DEPTH {
            return Err(ContentRefusal::TooComplex);
        }
        if media.is("multipart", "alternative") {
            self.alternative(media, &octets, depth)
        } else {
            self.mixed(media, &octets, depth)
        }
    }

    fn content(&self, media_type: &str, octets: Bytes) -> Content {
        Content { media_type: media_type.into(), language: self.language.clone(), octets }
    }

    fn html(&self, media: &MediaType<'_>, octets: Bytes) -> Result<Body, ContentRefusal> {
        let html = text::recode(media, octets)?;
        // `recode` gives UTF-8 only.
        let plain = html::to_text(&String::from_utf8_lossy(&html));
        let content = self.content(Content::TEXT, plain.into());
        Ok(Body { alternatives: vec![self.content("text/html", html)], ..Body::of(content) })
    }

    /// RFC 2046 §5.1.4: the same thing several times, best last.
    fn alternative(
        &mut self,
        media: &MediaType<'_>,
        octets: &Bytes,
        depth: usize,
    ) -> Result<Option<Body>, ContentRefusal> {
        let (mut plain, mut rich): (Option<Content>, Option<Body>) = (None, None);
        for part in self.parts(media, octets)? {
            let Some(body) = self.part(&part, depth)? else { continue };
            if body.alternatives.is_empty() { plain = plain.or(Some(body.content)) } else { rich = Some(body) }
        }
        Ok(match (plain, rich) {
            (Some(content), rich) => {
                Some(Body { alternatives: rich.map(|body| body.alternatives).unwrap_or_default(), ..Body::of(content) })
            }
            (None, rich) => rich,
        })
    }

    /// The first part that can be shown; what else there is does not arrive (IM-046, CMP-072).
    fn mixed(&mut self, media: &MediaType<'_>, octets: &Bytes, depth: usize) -> Result<Option<Body>, ContentRefusal> {
        let mut shown = None;
        for part in self.parts(media, octets)? {
            if shown.is_none()
                && let Some(body) = self.part(&part, depth)?
            {
                shown = Some(body);
            } else if !part.optional && self.degraded.is_empty() {
                self.degraded.push(CONTENT);
            }
        }
        Ok(shown)
    }

    fn parts(&mut self, media: &MediaType<'_>, octets: &Bytes) -> Result<Vec<multipart::Part>, ContentRefusal> {
        let boundary = media.params.find("boundary").and_then(|param| param.text()).ok_or(ContentRefusal::Malformed)?;
        let parts = multipart::split(octets, &boundary, MAX_PARTS - self.parts)?;
        self.parts += parts.len();
        Ok(parts)
    }

    fn part(&mut self, part: &multipart::Part, depth: usize) -> Result<Option<Body>, ContentRefusal> {
        let media = MediaType::parse(part.content_type.as_deref().unwrap_or(Content::TEXT))
            .map_err(|_| ContentRefusal::Malformed)?;
        match part.decoded() {
            Some(octets) => self.body(&media, octets, depth + 1),
            None => Ok(None),
        }
    }
}

/// A content as body and Content-Type: text with CRLF line ends, anything else as it is.
pub fn to_body(content: &Content) -> (Cow<'_, str>, Bytes) {
    if !content.media_type.starts_with("text/") {
        return (Cow::Borrowed(&content.media_type), content.octets.clone());
    }
    let octets = text::with_crlf(&content.octets);
    // RFC 2046 §4.1.2: without the parameter some take it for US-ASCII.
    if octets.is_ascii() {
        (Cow::Borrowed(&content.media_type), octets)
    } else {
        (Cow::Owned(format!("{};charset=UTF-8", content.media_type)), octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media: &str, body: &[u8]) -> Result<Mapped<Body>, ContentRefusal> {
        from_body(&MediaType::parse(media).unwrap(), Bytes::copy_from_slice(body), None)
    }

    fn shown(mapped: &Mapped<Body>) -> (&str, usize) {
        (mapped.value.content.as_text().unwrap(), mapped.value.alternatives.len())
    }

    // checks: IM-040, IM-041, CMP-040
    #[test]
    fn rfc7572_s7_plain_text_and_html() {
        assert_eq!(shown(&read("text/plain", "grüße".as_bytes()).unwrap()), ("grüße", 0));
        let html = read("text/html", b"<p>Hi <b>Juliet</b><script>alert(1)</script></p>").unwrap();
        assert_eq!(shown(&html), ("Hi Juliet", 1));
        assert_eq!(&*html.value.alternatives[0].media_type, "text/html");
    }

    // checks: IM-043
    #[test]
    fn rfc3261_s8_2_3_charsets_are_recoded_and_unknown_ones_refused() {
        assert_eq!(shown(&read("text/plain;charset=ISO-8859-1", b"Gr\xfc\xdfe").unwrap()), ("Grüße", 0));
        assert_eq!(read("text/plain;charset=x-nonsense", b"a"), Err(ContentRefusal::MediaType));
        assert_eq!(read("text/plain", b"a\xff"), Err(ContentRefusal::Malformed));
        assert_eq!(read("text/plain;charset=\"utf-8\"", b"a\xff"), Err(ContentRefusal::Malformed));
    }

    // checks: IM-046
    #[test]
    fn rfc2046_s5_1_4_alternative_gives_text_and_html() {
        let body = b"--b1\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b1\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b1--\r\n";
        let mapped = read("multipart/alternative;boundary=b1", body).unwrap();
        assert_eq!((shown(&mapped), mapped.degraded.len()), (("plain", 1), 0));
        let only_html = b"--b1\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b1--";
        assert_eq!(shown(&read("multipart/alternative;boundary=b1", only_html).unwrap()), ("html", 1));
    }

    // checks: IM-046, CMP-072
    #[test]
    fn mixed_and_signed_show_the_first_text_and_say_what_is_lost() {
        let body = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nAAAA\r\n--b--\r\n";
        let mapped =
            read("multipart/signed;protocol=\"application/pkcs7-signature\";micalg=sha-256;boundary=b", body).unwrap();
        assert_eq!((shown(&mapped), mapped.degraded.as_slice()), (("hi", 0), [CONTENT].as_slice()));
        let optional = b"--b\r\nContent-Type: image/png\r\nContent-Disposition: icon;handling=optional\r\n\r\nx\r\n--b\r\n\r\nhi\r\n--b--";
        let mapped = read("multipart/mixed;boundary=b", optional).unwrap();
        assert_eq!((shown(&mapped), mapped.degraded.len()), (("hi", 0), 0));
    }

    #[test]
    fn nesting_and_parts_are_bounded() {
        let nested = (0..5).fold("\r\nhi".to_owned(), |inner, depth| {
            let type_line = if depth == 0 {
                String::new()
            } else {
                format!("Content-Type: multipart/mixed;boundary=b{}\r\n", depth - 1)
            };
            format!("--b{depth}\r\n{type_line}{}{inner}\r\n--b{depth}--", if depth == 0 { "" } else { "\r\n" })
        });
        assert_eq!(read("multipart/mixed;boundary=b4", nested.as_bytes()), Err(ContentRefusal::TooComplex));
        let many = "--b\r\n\r\nx\r\n".repeat(MAX_PARTS + 1) + "--b--";
        assert_eq!(read("multipart/mixed;boundary=b", many.as_bytes()), Err(ContentRefusal::TooComplex));
        assert_eq!(read("multipart/mixed", b"x"), Err(ContentRefusal::Malformed));
    }

    // checks: IM-042, SIP-026, CMP-071
    #[test]
    fn other_types_are_refused() {
        assert_eq!(read("application/pkcs7-mime", b"MIIB"), Err(ContentRefusal::MediaType));
        assert_eq!(
            read("multipart/mixed;boundary=b", b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--"),
            Err(ContentRefusal::MediaType)
        );
    }

    // checks: IM-015, AMB-08
    #[test]
    fn text_goes_out_with_crlf_and_charset_only_where_needed() {
        let body = |text: &str| {
            let content = Content::text(text);
            let (media, octets) = to_body(&content);
            (media.into_owned(), String::from_utf8(octets.to_vec()).unwrap())
        };
        assert_eq!(body("a\nb\r\nc"), ("text/plain".to_owned(), "a\r\nb\r\nc".to_owned()));
        assert_eq!(body("Proč?"), ("text/plain;charset=UTF-8".to_owned(), "Proč?".to_owned()));
    }
}
