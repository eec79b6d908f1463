use super::{Header, KeyHeaders, Message};
use crate::{
    header::{Date, HeaderError, MediaType, NameAddr, delta_seconds, elements, tokens},
    header_id::HeaderId,
    limits::MAX_VIAS,
    uri::Uri,
};

/// RFC 3261 §7.3.1: fields that are no lists and may occur once, besides those of [`KeyHeaders`].
const SINGLE: [HeaderId; 6] = [
    HeaderId::ContentType,
    HeaderId::ContentDisposition,
    HeaderId::Date,
    HeaderId::Event,
    HeaderId::Expires,
    HeaderId::SubscriptionState,
];

impl Message {
    /// Judges the headers; what fails is a 400 for a request, and a response to drop (RFC 3261 §8.2.2, §8.1.3.3).
    ///
    /// Of a response only the mandatory headers count. The SIP version is not judged here, see
    /// [`Message::is_version_2`].
    pub fn verify(&self) -> Result<KeyHeaders<'_>, HeaderError> {
        let (key, rest) = self.key_headers_and_rest()?;
        let below = key.has_vias_below.then(|| self.vias_behind(rest));
        for (below, via) in (1..).zip(below.into_iter().flatten()) {
            via?;
            if below == MAX_VIAS {
                return Err(HeaderError::TooMany { id: HeaderId::Via, limit: MAX_VIAS });
            }
        }
        let Some(method) = self.method() else { return Ok(key) };
        self.verify_request_uri()?;
        verify_address(HeaderId::From, &key.from)?;
        verify_address(HeaderId::To, &key.to)?;
        verify_tag(HeaderId::From, &key.from)?;
        verify_tag(HeaderId::To, &key.to)?;
        let mut seen = [false; SINGLE.len()];
        for header in self.all_headers() {
            for (seen, _) in seen.iter_mut().zip(SINGLE).filter(|(_, id)| *id == header.id) {
                if std::mem::replace(seen, true) {
                    return Err(HeaderError::Repeated(header.id));
                }
            }
            verify_header(&header)?;
        }
        if key.cseq.is_for(method) { Ok(key) } else { Err(HeaderError::MethodMismatch) }
    }

    /// RFC 3261 §19.1.1: a Request-URI has no headers part.
    fn verify_request_uri(&self) -> Result<(), HeaderError> {
        match Uri::parse(self.request_uri().unwrap_or_default()) {
            Ok(Uri::Sip(uri)) if uri.has_headers() => Err(HeaderError::RequestUri),
            Ok(_) => Ok(()),
            Err(_) => Err(HeaderError::RequestUri),
        }
    }
}

/// The grammar of what an element acts on; other fields are judged by whoever reads them.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other headers are of no interest here")]
fn verify_header(header: &Header<'_>) -> Result<(), HeaderError> {
    let id = header.id;
    match id {
        HeaderId::Contact | HeaderId::Route | HeaderId::RecordRoute => {
            for value in elements(header.text()?) {
                // RFC 3261 §10.2.2: the wildcard of a REGISTER.
                if id != HeaderId::Contact || value != "*" {
                    verify_address(id, &NameAddr::parse(id, value)?)?;
                }
            }
        }
        HeaderId::Date => drop(Date::parse(header.text()?)?),
        HeaderId::Expires => drop(delta_seconds(id, header.text()?)?),
        HeaderId::ContentType => drop(MediaType::parse(header.text()?)?),
        HeaderId::Require => drop(tokens(id, header.text()?)?),
        _ => {}
    }
    Ok(())
}

fn verify_address(id: HeaderId, address: &NameAddr<'_>) -> Result<(), HeaderError> {
    address.parsed_uri().map(drop).map_err(|_| HeaderError::Syntax(id))
}

/// RFC 3261 §25.1: a tag is a token; one in quotes may hold a fold, and could not be written back as it came.
fn verify_tag(id: HeaderId, address: &NameAddr<'_>) -> Result<(), HeaderError> {
    let is_quoted = address.params.find("tag").is_some_and(|tag| tag.quoted);
    if is_quoted { Err(HeaderError::Syntax(id)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn verify(line: &str, headers: &str) -> Result<(), HeaderError> {
        let text = format!(
            "{line}\r\nVia: SIP/2.0/UDP c\r\nFrom: <sip:c@d>\r\nTo: sip:a@b\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n{headers}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap().verify().map(drop)
    }

    const LINE: &str = "OPTIONS sip:a@b SIP/2.0";

    // checks: TOR-020, TOR-024, TOR-102
    #[test]
    fn rfc3261_s19_1_1_request_uris() {
        assert_eq!(verify(LINE, ""), Ok(()));
        assert_eq!(verify("OPTIONS im:a@b SIP/2.0", ""), Ok(()));
        for uri in ["<sip:a@b>", "sip:a@b?Route=%3Csip:c%3E", "sip:2001:db8::10", "nothing"] {
            assert_eq!(verify(&format!("OPTIONS {uri} SIP/2.0"), ""), Err(HeaderError::RequestUri), "{uri}");
        }
    }

    // checks: SIP-046, TOR-030
    #[test]
    fn rfc3261_s8_1_1_5_cseq_names_the_method() {
        assert_eq!(verify("MESSAGE sip:a@b SIP/2.0", ""), Err(HeaderError::MethodMismatch));
    }

    #[test]
    fn what_is_acted_on_is_judged() {
        for (headers, error) in [
            ("Contact: <sip:a@b>;;;;\r\n", HeaderError::Syntax(HeaderId::Contact)),
            ("Contact: <sip:a b>\r\n", HeaderError::Syntax(HeaderId::Contact)),
            ("Route: *\r\n", HeaderError::Syntax(HeaderId::Route)),
            ("Date: Fri, 01 Jan 2010 16:00:00 EST\r\n", HeaderError::Syntax(HeaderId::Date)),
            ("Expires: 5000000000\r\n", HeaderError::Range(HeaderId::Expires)),
            ("Expires: 5\r\nExpires: 5\r\n", HeaderError::Repeated(HeaderId::Expires)),
            ("Max-Forwards: 300\r\n", HeaderError::Range(HeaderId::MaxForwards)),
            ("Content-Type: text\r\n", HeaderError::Syntax(HeaderId::ContentType)),
            ("Via: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n", HeaderError::Syntax(HeaderId::Via)),
        ] {
            assert_eq!(verify(LINE, headers), Err(error), "{headers}");
        }
        assert_eq!(verify(LINE, "Contact: *\r\nSubject: \"\r\n"), Ok(()));
        let vias = "Via: SIP/2.0/UDP c\r\n".repeat(MAX_VIAS);
        assert_eq!(verify(LINE, &vias), Err(HeaderError::TooMany { id: HeaderId::Via, limit: MAX_VIAS }));
    }

    // checks: SEC-003
    #[test]
    fn rfc3261_s25_1_a_tag_in_quotes_is_none() {
        let verify = |from: &str, to: &str| {
            let text = format!(
                "{LINE}\r\nVia: SIP/2.0/UDP c\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n"
            );
            Message::parse(Bytes::from(text)).unwrap().verify().map(drop)
        };
        let (plain, quoted) = ("<sip:c@d> ; Tag = 1", "<sip:c@d>;tag=\"a\r\n sip:e@f\"");
        assert_eq!(verify(plain, plain), Ok(()));
        assert_eq!(verify(quoted, plain), Err(HeaderError::Syntax(HeaderId::From)));
        assert_eq!(verify(plain, quoted), Err(HeaderError::Syntax(HeaderId::To)));
    }

    #[test]
    fn of_a_response_only_the_mandatory_headers_count() {
        assert_eq!(verify("SIP/2.0 200 OK", "Contact: <\r\n"), Ok(()));
        assert!(verify("SIP/2.0 200 OK", "To: <sip:x@y>\r\n").is_err());
    }
}
