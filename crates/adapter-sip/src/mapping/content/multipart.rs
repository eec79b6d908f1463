//! RFC 2046 §5.1: multipart bodies cut into their parts.

use super::ContentRefusal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use sip_proto::header::ContentDisposition;

/// One part, sharing the body's buffer.
#[derive(Debug)]
pub(super) struct Part {
    /// The value of Content-Type.
    pub(super) content_type: Option<String>,
    /// Whether it may be left out without loss (RFC 3261 §20.11).
    pub(super) optional: bool,
    encoding: Option<String>,
    body: Bytes,
}

/// The parts between the boundary's lines; what stands before and behind them is not part of the message.
pub(super) fn split(body: &Bytes, boundary: &str, limit: usize) -> Result<Vec<Part>, ContentRefusal> {
    if boundary.is_empty() {
        return Err(ContentRefusal::Malformed);
    }
    let delimiter = format!("--{boundary}");
    let (mut parts, mut begin, mut at) = (Vec::new(), None, 0);
    while let Some(line) = next_line(body, at) {
        if let Some(last) = is_delimiter(line.text, delimiter.as_bytes()) {
            if let Some(begin) = begin {
                if parts.len() == limit {
                    return Err(ContentRefusal::TooComplex);
                }
                // RFC 2046 §5.1.1: the line end before a delimiter belongs to the delimiter.
                parts.push(parse(body.slice(begin..before_line_end(body, at).max(begin))));
            }
            if last {
                return Ok(parts);
            }
            begin = Some(line.next);
        }
        at = line.next;
    }
    // No closing delimiter: the body was cut.
    Err(ContentRefusal::Malformed)
}

struct Line<'a> {
    text: &'a [u8],
    next: usize,
}

fn next_line(octets: &[u8], at: usize) -> Option<Line<'_>> {
    let rest = octets.get(at..).filter(|rest| !rest.is_empty())?;
    let length = rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |end| end + 1);
    Some(Line { text: rest.get(..length)?.trim_ascii_end(), next: at + length })
}

/// Whether a line is the delimiter, and then whether it is the last one.
fn is_delimiter(line: &[u8], delimiter: &[u8]) -> Option<bool> {
    match line.strip_prefix(delimiter)? {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

fn before_line_end(octets: &[u8], at: usize) -> usize {
    let before = octets.get(..at).unwrap_or_default();
    let before = before.strip_suffix(b"\n").unwrap_or(before);
    before.strip_suffix(b"\r").unwrap_or(before).len()
}

fn parse(octets: Bytes) -> Part {
    let mut part = Part { content_type: None, optional: false, encoding: None, body: Bytes::new() };
    let (mut at, mut header) = (0, String::new());
    while let Some(line) = next_line(&octets, at) {
        let folded = line.text.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'));
        if !folded {
            part.read_header(&std::mem::take(&mut header));
        }
        at = line.next;
        if line.text.is_empty() {
            break;
        }
        header.push_str(&String::from_utf8_lossy(line.text));
    }
    part.read_header(&header);
    part.body = octets.slice(at.min(octets.len())..);
    part
}

impl Part {
    fn read_header(&mut self, header: &str) {
        let Some((name, value)) = header.split_once(':') else { return };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" => self.content_type = Some(value.to_owned()),
            "content-transfer-encoding" => self.encoding = Some(value.to_ascii_lowercase()),
            "content-disposition" => self.optional = ContentDisposition::parse(value).is_ok_and(|d| d.is_optional()),
            _ => {}
        }
    }

    /// The octets behind the transfer encoding; `None` when it is unknown or broken (RFC 2045 §6).
    pub(super) fn decoded(&self) -> Option<Bytes> {
        match self.encoding.as_deref() {
            None | Some("7bit" | "8bit" | "binary") => Some(self.body.clone()),
            Some("base64") => {
                let digits: Vec<u8> = self.body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
                BASE64.decode(digits).ok().map(Bytes::from)
            }
            Some("quoted-printable") => Some(quoted_printable(&self.body).into()),
            Some(_) => None,
        }
    }
}

/// RFC 2045 §6.7; what is no escape stays as it is.
fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'=', [b'\r', b'\n', behind @ ..] | [b'\n', behind @ ..]) => rest = behind,
            (b'=', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = behind;
                }
                _ => out.push(b'='),
            },
            _ => out.push(*first),
        }
    }
    out
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(body: &'static [u8]) -> Vec<String> {
        let parts = split(&Bytes::from_static(body), "b", 9).unwrap();
        parts.iter().map(|part| String::from_utf8(part.decoded().unwrap().to_vec()).unwrap()).collect()
    }

    #[test]
    fn rfc2046_s5_1_1_parts_lie_between_delimiters() {
        assert_eq!(
            bodies(b"preamble\r\n--b\r\n\r\none\r\n\r\n--bx\r\n--b  \r\nX: y\r\n\r\ntwo\r\n--b--\r\nepilogue"),
            ["one\r\n\r\n--bx", "two"]
        );
        assert_eq!(bodies(b"--b\n\none\n--b--"), ["one"]);
        assert_eq!(bodies(b"--b\r\n--b--"), [""]);
        assert_eq!(split(&Bytes::from_static(b"--b\r\n\r\ncut"), "b", 9).unwrap_err(), ContentRefusal::Malformed);
    }

    #[test]
    fn rfc2045_s6_transfer_encodings() {
        assert_eq!(bodies(b"--b\r\nContent-Transfer-Encoding:\r\n BASE64\r\n\r\naGVs\r\nbG8=\r\n--b--"), ["hello"]);
        assert_eq!(
            bodies(b"--b\r\ncontent-transfer-encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n\xc3=9F=5\r\n--b--"),
            ["Grüß=5"]
        );
        let unknown =
            split(&Bytes::from_static(b"--b\r\nContent-Transfer-Encoding: x\r\n\r\na\r\n--b--"), "b", 9).unwrap();
        assert!(unknown[0].decoded().is_none());
    }
}
