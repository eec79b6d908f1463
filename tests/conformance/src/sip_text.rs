//! A reader of SIP messages of its own, so that the gateway is not judged by its own parser. It takes only plain form:
//! full header names, no folding, a correct Content-Length.

/// A request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SipText {
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl SipText {
    /// Reads one message from the front of `octets`, with how many octets it takes; `None` while some are missing.
    pub(crate) fn read(octets: &[u8]) -> Option<(Self, usize)> {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&octets[..end]).expect("the gateway writes UTF-8");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<_> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no plain header: {line:?}"));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let mut message = Self { start, headers, body: String::new() };
        let length: usize = message.header("Content-Length").expect("a Content-Length").parse().unwrap();
        let body = octets.get(end + 4..end + 4 + length)?;
        message.body = String::from_utf8(body.to_vec()).expect("text in UTF-8");
        Some((message, end + 4 + length))
    }

    pub(crate) fn is_response(&self) -> bool {
        self.start.starts_with("SIP/2.0 ")
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The Request-URI of a request, the status code of a response.
    pub(crate) fn second_word(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The Reason-Phrase of a response.
    pub(crate) fn reason(&self) -> &str {
        self.start.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// The first header field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Each header field of that name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A parameter of a header field.
    pub(crate) fn param(&self, header: &str, name: &str) -> Option<&str> {
        self.header(header)?.split(';').skip(1).find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    }

    /// The answer to this request, with a tag of the answering side.
    pub(crate) fn answer(&self, status: u16, reason: &str, more: &[(String, String)]) -> String {
        let mut text = format!("SIP/2.0 {status} {reason}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in self.all(name) {
                let tag = if name == "To" && !value.contains(";tag=") { ";tag=peer1" } else { "" };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        for (name, value) in more {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        text
    }

    /// How many octets it has on the wire.
    pub(crate) fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        self.start.len() + 2 + headers + 2 + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_and_answered() {
        let octets =
            b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\n\
            Call-ID: i\r\nCSeq: 1 MESSAGE\r\nContent-Length: 2\r\n\r\nhi+";
        let (message, used) = SipText::read(octets).unwrap();
        assert_eq!((used, message.size(), &octets[used..]), (octets.len() - 1, used, &b"+"[..]));
        assert_eq!((message.method(), message.second_word(), message.body.as_str()), ("MESSAGE", "sip:a@b", "hi"));
        assert_eq!(message.param("via", "branch"), Some("z9"));
        assert_eq!(SipText::read(&octets[..used - 1]), None);
        let answer = message.answer(302, "Moved", &[("Contact".into(), "<sip:z@b>".into())]);
        let (answer, _) = SipText::read(answer.as_bytes()).unwrap();
        assert_eq!(
            (answer.second_word(), answer.reason(), answer.header("To")),
            ("302", "Moved", Some("<sip:a@b>;tag=peer1"))
        );
        assert!(answer.is_response() && answer.header("Contact").is_some());
    }
}
