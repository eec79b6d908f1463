//! Character and name productions of XML 1.0 (fifth edition) and Namespaces in XML 1.0.

/// Whether XML 1.0 §2.2 allows the character in a document.
pub const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether a document may contain the text as it is.
pub fn is_xml_text(text: &str) -> bool {
    find_illegal(text).is_none()
}

/// Whether the text is an `NCName`: a name without a colon.
pub fn is_ncname(name: &str) -> bool {
    // Names in use are ASCII; the others are looked at character by character.
    match name.as_bytes() {
        [first, rest @ ..] if is(*first, NAME_START) && rest.iter().all(|byte| is(*byte, NAME)) => true,
        _ if name.is_ascii() => false,
        _ => {
            let mut chars = name.chars();
            chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
        }
    }
}

/// Whether the byte is white space (XML 1.0 §2.3).
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Position of the first character that no document may contain.
pub(crate) fn find_illegal(text: &str) -> Option<usize> {
    // Most stanzas have no line ends and nothing that begins with EF, as U+FFFE and U+FFFF do.
    if !may_be_illegal(text.as_bytes()) || !text.bytes().fold(false, |found, byte| found | is_suspect(byte)) {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_xml_char(*c)).map(|(at, _)| at)
}

/// Whether there is any control, or an octet that may begin a character that XML lacks; looks at eight octets at a time.
fn may_be_illegal(octets: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let is_zero = |word: u64| word.wrapping_sub(EACH) & !word;
    let suspects = |word: u64| word.wrapping_sub(EACH * 0x20) & !word | is_zero(word ^ (EACH * 0xEF));
    let (words, rest) = octets.as_chunks();
    words.iter().any(|word| suspects(u64::from_le_bytes(*word)) & (EACH << 7) != 0)
        || rest.iter().any(|octet| *octet < 0x20 || *octet == 0xEF)
}

/// Whether the octet is a control that XML lacks, or may begin such a character.
const fn is_suspect(byte: u8) -> bool {
    // Bitwise on purpose: the loop over a document then works on many octets at once.
    (byte < 0x20) & (byte != b'\n') & (byte != b'\r') & (byte != b'\t') | (byte == 0xEF)
}

/// Whether an ASCII octet is of this class.
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// May begin a name.
pub(crate) const NAME_START: u8 = 1;
/// May stand in a name.
pub(crate) const NAME: u8 = 2;

/// The classes of each ASCII octet.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut all = [0; 256];
    let mut rest: &mut [u8] = &mut all;
    let mut byte = 0_u8;
    while let Some((classes, after)) = rest.split_first_mut() {
        let c = byte as char;
        if byte < 0x80 {
            *classes = (if is_name_start(c) { NAME_START } else { 0 }) | (if is_name_char(c) { NAME } else { 0 });
        }
        byte = byte.wrapping_add(1);
        rest = after;
    }
    all
}

const fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

const fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: IM-044
    #[test]
    fn only_the_char_production_passes() {
        for c in ['\0', '\u{8}', '\u{B}', '\u{1F}', '\u{FFFE}', '\u{FFFF}'] {
            assert!(!is_xml_char(c), "{c:?}");
            for before in 0..20 {
                let text = format!("{}{c}abcdefgh", "a".repeat(before));
                assert_eq!(find_illegal(&text), Some(before), "{text:?}");
            }
        }
        for c in ['\t', '\n', '\r', ' ', '\u{7F}', '\u{85}', '\u{FFFD}', '\u{FEFF}', '\u{1F600}'] {
            assert!(is_xml_char(c), "{c:?}");
            assert_eq!(find_illegal(&format!("ab{c}cdefghijkl")), None, "{c:?}");
        }
    }

    #[test]
    fn names_follow_the_fifth_edition() {
        for name in ["a", "_a", "é", "a-b.c1", "名前", "x\u{B7}"] {
            assert!(is_ncname(name), "{name}");
        }
        for name in ["", "1a", "-a", "a:b", "a b", "\u{B7}", "a\u{D7}", "×"] {
            assert!(!is_ncname(name), "{name}");
        }
    }
}
