//! Escaping that cannot emit what XML forbids.

use bytes::{BufMut, BytesMut};

/// Appends text as character data.
///
/// Characters that XML cannot hold become U+FFFD; CR is written as a reference, for a parser would turn it into LF.
pub fn escape_text(out: &mut BytesMut, text: &str) {
    escape(out, text, &TEXT);
}

/// Appends text as the inside of an attribute value, whichever quote surrounds it.
pub fn escape_attr(out: &mut BytesMut, value: &str) {
    escape(out, value, &ATTRIBUTE);
}

/// Copies runs of plain octets and replaces the rest.
fn escape(out: &mut BytesMut, text: &str, special: &[bool; 256]) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| special.get(usize::from(*byte)) == Some(&true)) {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.put_slice(plain);
        let (replacement, used) = replace(tail);
        out.put_slice(replacement);
        rest = tail.get(used..).unwrap_or_default();
    }
    out.put_slice(rest);
}

/// What stands for the special octets at the start of `tail`, and how many they are.
fn replace(tail: &[u8]) -> (&'static [u8], usize) {
    match tail {
        [b'&', ..] => (b"&amp;", 1),
        [b'<', ..] => (b"&lt;", 1),
        [b'>', ..] => (b"&gt;", 1),
        [b'\'', ..] => (b"&apos;", 1),
        [b'"', ..] => (b"&quot;", 1),
        [b'\t', ..] => (b"&#9;", 1),
        [b'\n', ..] => (b"&#10;", 1),
        [b'\r', ..] => (b"&#13;", 1),
        // U+FFFE and U+FFFF; the rest of their row is legal and not one octet longer.
        [0xEF, 0xBF, 0xBE | 0xBF, ..] => (REPLACEMENT, 3),
        [0xEF, ..] => (b"\xEF", 1),
        [_, ..] => (REPLACEMENT, 1),
        [] => (b"", 0),
    }
}

const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

static TEXT: [bool; 256] = special(b"&<>\r", b"\t\n");
static ATTRIBUTE: [bool; 256] = special(b"&<>'\"\t\n\r", b"");

/// Marks the listed octets, controls but for `allowed`, and EF, which begins U+FFFE and U+FFFF.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, on constants")]
const fn special(listed: &[u8], allowed: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = false;
        at += 1;
    }
    at = 0;
    while at < listed.len() {
        table[listed[at] as usize] = true;
        at += 1;
    }
    table[0xEF] = true;
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        let mut out = BytesMut::new();
        escape_text(&mut out, input);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn attr(input: &str) -> String {
        let mut out = BytesMut::new();
        escape_attr(&mut out, input);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(text("a<b>&c ]]> 'q' \"d\"\n\t"), "a&lt;b&gt;&amp;c ]]&gt; 'q' \"d\"\n\t");
        assert_eq!(attr("a<b>&'\"\n\t\r"), "a&lt;b&gt;&amp;&apos;&quot;&#10;&#9;&#13;");
        assert_eq!(text("a\rb"), "a&#13;b");
    }

    // checks: IM-044
    #[test]
    fn illegal_characters_become_u_fffd() {
        assert_eq!(text("a\0b\u{1F}c\u{FFFE}d\u{FFFF}e"), "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}e");
        assert_eq!(text("\u{FEFF}\u{FFFD}\u{F900}\u{1F600}é"), "\u{FEFF}\u{FFFD}\u{F900}\u{1F600}é");
        assert_eq!(attr("\u{B}"), "\u{FFFD}");
    }
}
