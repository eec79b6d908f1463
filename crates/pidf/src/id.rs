//! Ids that are XML names.

use strict_xml::{SharedStr, is_ncname};

/// The tuple id for a device name such as an XMPP resource: `ID-` and the name, escaped where it is no XML name.
///
/// Different names give different ids; [`device_name`] gives the name back.
pub fn tuple_id(device: &str) -> String {
    // RFC 8048 §6.2: an xs:ID must not start with a digit.
    format!("{PREFIX}{}", escaped(device))
}

/// The device name in a tuple id: [`tuple_id`] undone, or the id of another's making as it is.
pub fn device_name(tuple_id: &str) -> String {
    tuple_id.strip_prefix(PREFIX).map_or_else(|| tuple_id.to_owned(), unescaped)
}

/// The id itself if it is an XML name, else one made from it, always the same.
pub(crate) fn sound(id: &SharedStr) -> SharedStr {
    if is_ncname(id) { id.clone() } else { tuple_id(id).into() }
}

const PREFIX: &str = "ID-";

/// Puts `_xHHHH_` for what cannot stand in a name, and for what such an escape begins with.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut buffer = [b'a', 0, 0, 0, 0];
        if is_name_char(c, &mut buffer) && !rest.starts_with("_x") {
            out.push(c);
        } else {
            out.push_str(&format!("_x{:04X}_", u32::from(c)));
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (c, used) = escape_at(rest).unwrap_or((c, c.len_utf8()));
        out.push(c);
        rest = rest.get(used..).unwrap_or_default();
    }
    out
}

/// Whether the character may stand in a name, after its first character.
fn is_name_char(c: char, buffer: &mut [u8; 5]) -> bool {
    let [_, tail @ ..] = buffer;
    let length = c.encode_utf8(tail).len();
    buffer.get(..=length).and_then(|name| std::str::from_utf8(name).ok()).is_some_and(is_ncname)
}

/// The character that an escape at the start of the text stands for, and the octets of the escape.
fn escape_at(text: &str) -> Option<(char, usize)> {
    let (digits, _) = text.strip_prefix("_x")?.split_once('_')?;
    let hex = (4..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    hex.then_some((c, "_x".len() + digits.len() + "_".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PRS-044, PD-07
    #[test]
    fn rfc8048_s6_2_a_resource_makes_an_xml_id() {
        for (device, id) in [
            ("yn0cl4bnw0yr3vym", "ID-yn0cl4bnw0yr3vym"),
            ("", "ID-"),
            ("1", "ID-1"),
            ("Büro PC", "ID-Büro_x0020_PC"),
            ("a_x0020_b", "ID-a_x005F_x0020_b"),
            ("_x0041 ", "ID-_x005F_x0041_x0020_"),
            ("_x_x0041_", "ID-_x005F_x_x005F_x0041_"),
            ("a/b:c\u{1F600}", "ID-a_x002F_b_x003A_c\u{1F600}"),
            ("\u{10FFFF}", "ID-_x10FFFF_"),
        ] {
            assert_eq!(tuple_id(device), id);
            assert!(is_ncname(id), "{id}");
            assert_eq!(device_name(id), device);
        }
        assert_eq!(device_name("t8a2"), "t8a2");
        assert_eq!(device_name("a_x0020_b"), "a_x0020_b");
        assert_eq!(device_name("ID-_xD800__xZZ_"), "_xD800__xZZ_");
    }
}
