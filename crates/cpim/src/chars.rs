//! RFC 3862 §3.6: classes of characters.

/// Whether the octet may stand in a name (NAMECHAR).
pub(crate) const fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether the octet of UTF-8 may stand in a token (TOKENCHAR).
pub(crate) const fn is_token_octet(octet: u8) -> bool {
    is_name_octet(octet) || octet == b'.' || octet >= 0x80
}

/// Whether the text is a name, which has at least one character.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_octet)
}

/// Whether the text is a token, which has at least one character.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_octet)
}

/// Where the first character stands that a header must escape, if any.
pub(crate) fn find_control(octets: &[u8]) -> Option<usize> {
    octets.iter().position(|&octet| octet < 0x20 || octet == 0x7f)
}

/// RFC 3066 §2.1: subtags of up to eight letters, digits after the first, joined by hyphens.
pub(crate) fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let fits = |subtag: &str| (1..=8).contains(&subtag.len());
    let primary = subtags.next().is_some_and(|tag| fits(tag) && tag.bytes().all(|octet| octet.is_ascii_alphabetic()));
    primary && subtags.all(|tag| fits(tag) && tag.bytes().all(|octet| octet.is_ascii_alphanumeric()))
}

/// A header name as written: an optional prefix and a name (RFC 3862 §3.1).
pub(crate) fn split_name(text: &str) -> Option<(Option<&str>, &str)> {
    match text.split_once('.') {
        None => is_name(text).then_some((None, text)),
        Some((prefix, name)) => (is_name(prefix) && is_name(name)).then_some((Some(prefix), name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-20
    #[test]
    fn rfc3862_s3_6_name_and_token_characters() {
        let names: String = (0..=127u8).filter(|&octet| is_name_octet(octet)).map(char::from).collect();
        let expected = "!#$%&'*+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";
        assert_eq!(names, expected);
        assert!(is_token("J.") && is_token("李") && !is_token("a b") && !is_token(""));
        assert_eq!(split_name("imdn.Message-ID"), Some((Some("imdn"), "Message-ID")));
        for bad in ["", ".x", "x.", "a.b.c", "a/b", "é", "a b"] {
            assert_eq!(split_name(bad), None, "{bad}");
        }
    }

    // checks: MF-26
    #[test]
    fn rfc3066_s2_1_language_tags() {
        for good in ["en", "zh-Hant-TW", "i-default", "x-a1"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in ["", "-", "en-", "e1", "abcdefghi", "en_GB", "fr-é"] {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }
}
