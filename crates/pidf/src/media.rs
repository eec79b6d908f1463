//! What a Content-Type says about a presence document.

use crate::error::ErrorKind;

/// The media type of a presence document (RFC 3863 §5.1).
pub const MEDIA_TYPE: &str = "application/pidf+xml";
/// The media type of a partial presence document (RFC 5262 §3).
pub const DIFF_MEDIA_TYPE: &str = "application/pidf-diff+xml";

/// Which root elements a media type admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Nothing is known of the type.
    Any,
    /// RFC 3863 §4.1.1: `presence`.
    Presence,
    /// RFC 5262 §3: `pidf-full` and `pidf-diff`, never `presence`.
    Partial,
}

/// The type and the charset parameter of a Content-Type value.
pub(crate) fn content_type(value: &str) -> Result<(Roots, Option<&str>), ErrorKind> {
    let mut parts = value.split(';');
    let media = parts.next().unwrap_or_default().trim();
    let roots = if media.eq_ignore_ascii_case(MEDIA_TYPE) {
        Roots::Presence
    } else if media.eq_ignore_ascii_case(DIFF_MEDIA_TYPE) {
        Roots::Partial
    } else {
        return Err(ErrorKind::MediaType);
    };
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    Ok((roots, charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PD-28
    #[test]
    fn rfc3863_s5_1_type_and_charset_are_read() {
        assert_eq!(content_type("application/pidf+xml"), Ok((Roots::Presence, None)));
        let quoted = content_type("Application/PIDF+xml ; q=1; Charset=\"UTF-8\"");
        assert_eq!(quoted, Ok((Roots::Presence, Some("UTF-8"))));
        assert_eq!(content_type("application/pidf-diff+xml;charset=utf-8"), Ok((Roots::Partial, Some("utf-8"))));
        assert_eq!(content_type("application/xpidf+xml"), Err(ErrorKind::MediaType));
    }
}
