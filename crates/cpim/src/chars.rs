//! RFC 3862 §3.6: classes of characters.

/// Whether the octet may stand in a name (NAMECHAR).
pub(crate) fn is_name_octet(octet: u8) -> bool {
    is(octet, NAME)
}

/// Whether the octet of UTF-8 may stand in a token (TOKENCHAR).
pub(crate) fn is_token_octet(octet: u8) -> bool {
    is(octet, TOKEN)
}

/// RFC 2396 §2.2, §2.3: reserved and unreserved characters.
pub(crate) fn is_uri_octet(octet: u8) -> bool {
    is(octet, URI)
}

/// Whether the text is a name, which has at least one character.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_octet)
}

/// Whether the text is a token, which has at least one character.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_octet)
}

/// Whether the text is tokens with one space between them.
pub(crate) fn is_tokens(text: &str) -> bool {
    let mut inside = false;
    let sound = text.bytes().all(|octet| {
        let fits = is_token_octet(octet) || (octet == b' ' && inside);
        inside = octet != b' ';
        fits
    });
    sound && inside
}

/// Where the first character stands that a header must escape, if any.
pub(crate) fn find_control(octets: &[u8]) -> Option<usize> {
    let control = |octet: u8| octet < 0x20 || octet == 0x7f;
    // Without an early end the loop takes many octets at once, and nearly every line is clean.
    let any = octets.iter().fold(false, |any, &octet| any | control(octet));
    any.then(|| octets.iter().position(|&octet| control(octet))).flatten()
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
    let first = name_length(text);
    if first == text.len() {
        return (first > 0).then_some((None, text));
    }
    let (prefix, name) = text.split_at_checked(first)?;
    let name = name.strip_prefix('.')?;
    (first > 0 && is_name(name)).then_some((Some(prefix), name))
}

/// How many octets at the start may stand in a name.
fn name_length(text: &str) -> usize {
    text.bytes().position(|octet| !is_name_octet(octet)).unwrap_or(text.len())
}

fn is(octet: u8, class: u8) -> bool {
    CLASSES.get(usize::from(octet)).is_some_and(|classes| classes & class != 0)
}

const NAME: u8 = 1;
const TOKEN: u8 = 2;
const URI: u8 = 4;

static CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, on constants")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = classes_of(octet as u8);
        octet += 1;
    }
    table
}

const fn classes_of(octet: u8) -> u8 {
    let alphanumeric = octet.is_ascii_alphanumeric();
    let name =
        alphanumeric || matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'^' | b'_' | b'`' | b'|' | b'~');
    let uri = alphanumeric
        || matches!(octet, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',')
        || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
    let token = name || octet == b'.' || octet >= 0x80;
    (if name { NAME } else { 0 }) | (if token { TOKEN } else { 0 }) | (if uri { URI } else { 0 })
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
        for (text, fits) in [("a", true), ("a b.", true), ("", false), ("a ", false), (" a", false), ("a  b", false)] {
            assert_eq!(is_tokens(text), fits, "{text:?}");
        }
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
