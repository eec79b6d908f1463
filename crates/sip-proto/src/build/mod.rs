//! Writing messages, safe against header injection.
//!
//! Whatever is put into a header loses CR, LF and other controls on the way (SEC-003); quoting is the caller's part,
//! see [`crate::header::quote`]. Content-Length is always written.

mod request;
mod response;

pub use request::{RequestBuilder, TopVia};
pub use response::{Brief, ResponseBuilder};

use bytes::{BufMut, BytesMut};
use memchr::memchr3;

use crate::{grammar, header_id::HeaderId, message::Header};

/// Appends one header line, its value without controls; line ends and tabs become a space.
///
/// A name that is no token writes nothing.
pub fn put_header(out: &mut BytesMut, name: &str, value: &[u8]) {
    if !grammar::is_token(name) {
        return;
    }
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    put_clean(out, value);
    out.put_slice(b"\r\n");
}

/// As `put_header`, for a name of this crate and a value in pieces, of which none ends within white space.
fn put_pieces(out: &mut BytesMut, name: &str, value: &[&str]) {
    put_texts(out, &[name, ": "]);
    value.iter().for_each(|piece| put_clean(out, piece.as_bytes()));
    put_texts(out, &["\r\n"]);
}

/// Appends a header line of a received message.
fn put_copy(out: &mut BytesMut, name: &str, header: &Header<'_>) {
    put_received(out, name, header.octets());
}

/// Appends a header line whose value was received: only its folds are undone, for its controls are quoted pairs.
fn put_received(out: &mut BytesMut, name: &str, value: &[u8]) {
    put_texts(out, &[name, ": "]);
    let begin = out.len();
    out.put_slice(value);
    undo_folds(out, begin);
    out.put_slice(b"\r\n");
}

/// Makes one space of each fold in what was written from `begin` on.
fn undo_folds(out: &mut BytesMut, begin: usize) {
    if memchr3(b'\r', b'\n', b'\t', out.get(begin..).unwrap_or_default()).is_some() {
        let written = out.split_off(begin);
        put_without_line_ends(out, &written, |_| true);
    }
}

fn put_texts(out: &mut BytesMut, texts: &[&str]) {
    texts.iter().for_each(|text| out.put_slice(text.as_bytes()));
}

/// Appends a number in decimal digits.
fn put_number(out: &mut BytesMut, number: u64) {
    let (mut digits, mut rest, mut begin) = ([0; MAX_DIGITS], number, MAX_DIGITS);
    for digit in digits.iter_mut().rev() {
        // The remainder is below ten.
        *digit = b'0' + (rest % 10) as u8;
        (rest, begin) = (rest / 10, begin - 1);
        if rest == 0 {
            break;
        }
    }
    out.put_slice(digits.get(begin..).unwrap_or_default());
}

/// Those of the largest number of 64 bits.
const MAX_DIGITS: usize = 20;

fn put_clean(out: &mut BytesMut, value: &[u8]) {
    if !grammar::has_control(value) {
        out.put_slice(value);
    } else {
        put_without_line_ends(out, value, |octet| octet >= b' ' && octet != 0x7f);
    }
}

/// White space with a line end in it becomes one space, a tab too; other octets stay if `keep` says so.
fn put_without_line_ends(out: &mut BytesMut, value: &[u8], keep: impl Fn(u8) -> bool) {
    let mut rest = value;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'\r' | b'\n' => {
                rest = grammar::trim_octets_start(after);
                out.put_u8(b' ');
            }
            b'\t' => out.put_u8(b' '),
            octet if keep(*octet) => out.put_u8(*octet),
            _ => {}
        }
    }
}

/// Ends the head and appends the body: Content-Type when there is one, Content-Length, empty line.
fn put_body(out: &mut BytesMut, content_type: Option<&str>, body: &[u8]) {
    if let Some(content_type) = content_type {
        put_header(out, HeaderId::ContentType.name(), content_type.as_bytes());
    }
    put_texts(out, &[HeaderId::ContentLength.name(), ": "]);
    put_number(out, body.len() as u64);
    put_texts(out, &["\r\n\r\n"]);
    out.put_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, value: &str) -> String {
        let mut out = BytesMut::new();
        put_header(&mut out, name, value.as_bytes());
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 5060, u64::MAX] {
            let mut out = BytesMut::new();
            put_number(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }

    // checks: SEC-003
    #[test]
    fn nothing_can_start_a_line() {
        assert_eq!(line("Subject", "a\r\nVia: b"), "Subject: a Via: b\r\n");
        assert_eq!(line("Subject", "a\r\n b\tc\0\u{7f}"), "Subject: a b c\r\n");
        assert_eq!(line("Subject", "a\n"), "Subject: a \r\n");
        assert_eq!(line("Sub: ject\r\n", "a"), "");
        assert_eq!(line("Subject", "Zoë"), "Subject: Zoë\r\n");
    }
}
