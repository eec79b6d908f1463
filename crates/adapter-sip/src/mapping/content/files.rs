//! RFC 4483, RCS: bodies that say where the content is.

use super::ContentRefusal;
use cpim::file;
use impp_model::OutOfBand;
use sip_proto::header::MediaType;

/// The files that a body names; `None` for a body of another type.
pub(super) fn read(media: &MediaType<'_>, octets: &[u8]) -> Result<Option<Vec<OutOfBand>>, ContentRefusal> {
    if media.is("message", "external-body") {
        return external(media).map(Some).ok_or(ContentRefusal::MediaType);
    }
    if !media.is("application", "vnd.gsma.rcs-ft-http+xml") {
        return Ok(None);
    }
    file::parse(octets).map(Some).ok_or(ContentRefusal::Malformed)
}

/// RFC 4483: the URL is a parameter; what the body says of the content helps nobody who only sees the link.
fn external(media: &MediaType<'_>) -> Option<Vec<OutOfBand>> {
    let text = |name| media.params.find(name).and_then(|param| param.text());
    text("access-type").filter(|access| access.eq_ignore_ascii_case("URL"))?;
    let url = text("URL").filter(|url| file::is_fetchable(url))?.into_owned();
    Some(vec![OutOfBand { url, description: None }])
}

#[cfg(test)]
mod tests {
    use crate::mapping::content::{ContentRefusal, from_body};
    use bytes::Bytes;
    use sip_proto::header::MediaType;

    fn read(media: &str, body: &'static str) -> Result<(String, usize), ContentRefusal> {
        let body = from_body(&MediaType::parse(media).unwrap(), Bytes::from_static(body.as_bytes()), None)?.value;
        Ok((body.content.as_text().unwrap().to_owned(), body.files.len()))
    }

    // checks: CMP-060
    #[test]
    fn a_file_elsewhere_is_its_address() {
        let url = "https://files.example/a?b=c";
        let external = format!(
            "message/external-body;access-type=\"URL\";expiration=\"Mon, 24 June 2027 09:00:00 GMT\";URL=\"{url}\";size=9"
        );
        assert_eq!(read(&external, "Content-Type: image/jpeg\r\n\r\n"), Ok((url.to_owned(), 1)));
        let rcs = "<file><file-info type=\"file\"><file-name>a</file-name><data url=\"https://files.example/1\"/></file-info></file>";
        assert_eq!(read("application/vnd.gsma.rcs-ft-http+xml", rcs), Ok(("https://files.example/1".to_owned(), 1)));
        for refused in [
            "message/external-body;access-type=ftp;URL=\"ftp://a\"",
            "message/external-body;access-type=URL;URL=\"data:x\"",
        ] {
            assert_eq!(read(refused, ""), Err(ContentRefusal::MediaType), "{refused}");
        }
        assert_eq!(read("application/vnd.gsma.rcs-ft-http+xml", "<file/>"), Err(ContentRefusal::Malformed));
    }
}
