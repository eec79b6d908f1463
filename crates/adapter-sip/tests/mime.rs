//! Bodies that MIME readers fall out over: each gives the same text, or a refusal, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use adapter_sip::mapping::content::from_body;
use bytes::Bytes;
use sip_proto::header::MediaType;

const MIXED: &str = "multipart/mixed;boundary=b";

/// What is shown and whether something was lost, or the status of the refusal.
type Read = Result<(String, bool), u16>;

fn read(media: &str, body: &[u8]) -> Read {
    let Ok(media) = MediaType::parse(media) else { return Err(400) };
    match from_body(&media, Bytes::copy_from_slice(body), None) {
        Ok(mapped) => {
            let text = String::from_utf8(mapped.value.content.octets.to_vec()).unwrap();
            Ok((text, !mapped.degraded.is_empty() || !mapped.dropped.is_empty()))
        }
        Err(refusal) => Err(refusal.status()),
    }
}

fn whole(text: &str) -> Read {
    Ok((text.to_owned(), false))
}

fn lossy(text: &str) -> Read {
    Ok((text.to_owned(), true))
}

/// `levels` multipart bodies, each in the one before it.
fn nested(levels: usize) -> Vec<u8> {
    let innermost = "Content-Type: text/plain\r\n\r\nhi".to_owned();
    let wrap = |inner: String, level: usize| {
        format!("Content-Type: multipart/mixed;boundary=n{level}\r\n\r\n--n{level}\r\n{inner}\r\n--n{level}--")
    };
    let all = (1..levels).rev().fold(innermost, wrap);
    format!("--b\r\n{all}\r\n--b--").into_bytes()
}

// checks: SEC-004
#[test]
fn rfc2046_s5_1_where_a_part_begins_and_ends_is_told_in_one_way() {
    let cases: &[(&str, &[u8], Read)] = &[
        ("multipart/mixed", b"--b\r\n\r\nhi\r\n--b--", Err(400)),
        ("multipart/mixed;boundary=\"\"", b"--\r\n\r\nhi\r\n----", Err(400)),
        (MIXED, b"", Err(400)),
        (MIXED, b"hi", Err(400)),
        (MIXED, b"--b\r\n\r\nhi", Err(400)),
        (MIXED, b"--b\r\n\r\nhi\r\n--b-", Err(400)),
        (MIXED, b"--c\r\n\r\nhi\r\n--c--", Err(400)),
        (MIXED, b"--b\r\n\r\nhi\r\n--b--", whole("hi")),
        (MIXED, b"--b\n\nhi\n--b--", whole("hi")),
        (MIXED, b"--b  \t\r\n\r\nhi\r\n--b-- \r\n", whole("hi")),
        (MIXED, b"to be ignored\r\n--b\r\n\r\nhi\r\n--b--\r\n--b\r\n\r\nsmuggled\r\n--b--", whole("hi")),
        (MIXED, b"--b\r\n\r\nx--b\r\n--bb\r\n --b\r\n--b--", whole("x--b\r\n--bb\r\n --b")),
        (MIXED, b"--b\r\nContent-Type: text/plain\r\n--b--", whole("")),
        (MIXED, b"--b\r\n\r\nhi\r\n--b\r\n\r\nsecond\r\n--b--", lossy("hi")),
        (
            "multipart/mixed;boundary=\"gc0pJq0M:08jU534c0p=_?\"",
            b"--gc0pJq0M:08jU534c0p=_?\r\n\r\nhi\r\n--gc0pJq0M:08jU534c0p=_?--",
            whole("hi"),
        ),
        ("multipart/mixed;boundary=\".*\"", b"--xx\r\n\r\nhi\r\n--xx--", Err(400)),
        // A boundary that begins like the one around it, and one that is the same.
        (
            MIXED,
            b"--b\r\nContent-Type: multipart/alternative;boundary=bb\r\n\r\n--bb\r\n\r\nhi\r\n--bb--\r\n--b--",
            whole("hi"),
        ),
        (MIXED, b"--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b--\r\n--b--", Err(400)),
    ];
    for (media, body, expected) in cases {
        assert_eq!(&read(media, body), expected, "{media}: {}", body.escape_ascii());
    }
}

// checks: SEC-004
#[test]
fn rfc2045_s5_and_s6_what_a_part_is_and_how_it_is_encoded() {
    let part = |head: &str, body: &str| format!("--b\r\n{head}\r\n\r\n{body}\r\n--b--").into_bytes();
    let cases = [
        (part("Content-Type: text/plain", "hi"), whole("hi")),
        (part("cOnTeNt-TyPe:\r\n\ttext/plain;\r\n charset=utf-8", "hi"), whole("hi")),
        (part("Content-Type: text/plain\0", "hi"), Err(400)),
        (part("Content-Type: text", "hi"), Err(400)),
        (part("Content-Type: text/plain;charset=no-such", "hi"), Err(415)),
        (part("Content-Type: text/html;charset=utf-7", "+ADw-script+AD4-"), Err(415)),
        (part("Content-Type: text/html", "<script>steal()</script><b>hi</b>"), whole("hi")),
        // CMP-060: a reference is shown as its URL, which nobody here opens; of other schemes it is refused.
        (
            part("Content-Type: message/external-body;access-type=URL;URL=\"http://a.example/f\"", "x"),
            whole("http://a.example/f"),
        ),
        (part("Content-Type: message/external-body;access-type=URL;URL=\"file:///etc/passwd\"", "x"), Err(415)),
        (part("Content-Type: message/partial;id=a;number=1;total=2", "x"), Err(415)),
        (part("Content-Type: application/octet-stream", "x"), Err(415)),
        (part("Content-Transfer-Encoding: base64", "aGk="), whole("hi")),
        (part("Content-Transfer-Encoding: base64", "aGk=\r\n\r\n"), whole("hi")),
        (part("Content-Transfer-Encoding: base64", "a"), Err(415)),
        (part("Content-Transfer-Encoding: base64", "aGk=aGk="), Err(415)),
        (part("Content-Transfer-Encoding: uuencode", "hi"), Err(415)),
        (part("Content-Transfer-Encoding: quoted-printable", "h=69 =zz ="), whole("hi =zz =")),
        (part("Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain", "=FF"), Err(400)),
        (part("Content-Type: application/pdf\r\n\r\nx\r\n--b\r\nContent-Type: text/plain", "hi"), lossy("hi")),
    ];
    for (body, expected) in cases {
        assert_eq!(read(MIXED, &body), expected, "{}", body.escape_ascii());
    }
    assert_eq!(read("text/plain;charset=utf-8", b"\xff\xfe"), Err(400));
    assert_eq!(read("text/plain", b"\xc0\xaf"), Err(400));
}

// checks: SEC-004
#[test]
fn parts_and_levels_without_end_are_refused() {
    assert_eq!(read(MIXED, &nested(3)), whole("hi"));
    assert_eq!(read(MIXED, &nested(4)), Err(413));
    let many = |parts: usize| "--b\r\n\r\nhi\r\n".repeat(parts) + "--b--";
    assert_eq!(read(MIXED, many(16).as_bytes()), lossy("hi"));
    assert_eq!(read(MIXED, many(17).as_bytes()), Err(413));
    assert_eq!(read(MIXED, many(100_000).as_bytes()), Err(413));
}
