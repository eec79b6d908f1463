//! Files that lie elsewhere, as RCS clients name them: application/vnd.gsma.rcs-ft-http+xml.

use impp_model::OutOfBand;
use strict_xml::{Element, Limits, parse_document};

use crate::limits::MAX_DOCUMENT;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/vnd.gsma.rcs-ft-http+xml";

/// The files that a document names, their thumbnails left out; `None` for what is no such document or names none.
///
/// The namespace is not looked at: deployed clients write several.
///
/// ```
/// let document = b"<file xmlns='urn:gsma:params:xml:ns:rcs:rcs:fthttp'><file-info type='file'>\
///     <file-name>cat.jpg</file-name><data url='https://files.example/1' until='2026-11-29T12:00:00Z'/></file-info></file>";
/// let files = cpim::file::parse(document).unwrap();
/// assert_eq!((files[0].url.as_str(), files[0].description.as_deref()), ("https://files.example/1", Some("cat.jpg")));
/// ```
pub fn parse(octets: &[u8]) -> Option<Vec<OutOfBand>> {
    let root = parse_document(octets, &Limits::default().with_bytes(MAX_DOCUMENT)).ok()?;
    let infos = root.elements().filter(|child| root.name == *"file" && child.name == *"file-info");
    let infos = infos.filter(|info| info.attr("type") == Some("file"));
    let files: Vec<OutOfBand> = infos.filter_map(file).take(MAX_FILES).collect();
    (!files.is_empty()).then_some(files)
}

/// Files of one document; clients send one.
const MAX_FILES: usize = 16;

fn file(info: &Element) -> Option<OutOfBand> {
    let child = |name: &str| info.elements().find(|child| child.name == *name);
    let url = child("data")?.attr("url").filter(|url| is_fetchable(url))?.to_owned();
    let name = child("file-name").map(|name| name.text().trim().to_owned());
    Some(OutOfBand { url, description: name.filter(|name| !name.is_empty()) })
}

/// Octets of a URL: more than any that a person could be shown.
const MAX_URL: usize = 4096;

/// Whether a person's client may be pointed to it: over HTTP, and without what would end a line.
pub fn is_fetchable(url: &str) -> bool {
    let scheme = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let visible = url.bytes().all(|octet| octet.is_ascii_graphic());
    url.len() <= MAX_URL && visible && (scheme("https://") || scheme("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: CMP-060
    #[test]
    fn only_files_over_http_are_named_and_no_thumbnails() {
        let document = |inside: &str| format!("<?xml version='1.0'?><file>{inside}</file>");
        let info = |kind: &str, url: &str| format!("<file-info type='{kind}'><data url='{url}'/></file-info>");
        let both = document(&(info("thumbnail", "https://a.example/t") + &info("file", "https://a.example/f")));
        let urls =
            |text: &str| parse(text.as_bytes()).map(|files| files.into_iter().map(|file| file.url).collect::<Vec<_>>());
        assert_eq!(urls(&both), Some(vec!["https://a.example/f".to_owned()]));
        for refused in ["javascript:alert(1)", "file:///etc/passwd", "https://a.example/a b", ""] {
            assert_eq!(urls(&document(&info("file", refused))), None, "{refused}");
        }
        assert_eq!((urls("<file/>"), urls("<other/>"), urls("x")), (None, None, None));
    }
}
