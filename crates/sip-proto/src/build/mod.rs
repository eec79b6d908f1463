//! Writing messages, safe against header injection.
//!
//! Whatever is put into a header loses CR, LF and other controls on the way (SEC-003); quoting is the caller's part,
//! see [`crate::header::quote`]. Content-Length is always written.

mod request;
mod response;

pub use request::{RequestBuilder, TopVia};
pub use response::ResponseBuilder;

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

/// Appends a header line of a received message.
fn put_copy(out: &mut BytesMut, name: &str, header: &Header<'_>) {
    put_received(out, name, header.octets());
}

/// Appends a header line whose value was received: only its folds are undone, for its controls are quoted pairs.
fn put_received(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    if memchr3(b'\r', b'\n', b'\t', value).is_none() {
        out.put_slice(value);
    } else {
        put_without_line_ends(out, value, |_| true);
    }
    out.put_slice(b"\r\n");
}

fn put_clean(out: &mut BytesMut, value: &[u8]) {
    let clean = value.iter().fold(true, |clean, octet| clean & (*octet >= b' ' && *octet != 0x7f));
    if clean {
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
    put_header(out, HeaderId::ContentLength.name(), body.len().to_string().as_bytes());
    out.put_slice(b"\r\n");
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
