//! Stream headers (RFC 6120 §4.7).

use bytes::{BufMut, BytesMut};
use strict_xml::{Scope, SharedStr, StreamTag, XmlWriter};

use super::{StreamCondition, StreamError};
use crate::ns;

/// The start tag of a stream, either way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// RFC 6120 §4.7.2.
    pub to: Option<SharedStr>,
    /// RFC 6120 §4.7.1.
    pub from: Option<SharedStr>,
    /// RFC 6120 §4.7.3; only the receiving side sets it.
    pub id: Option<SharedStr>,
    /// RFC 6120 §4.7.4: the default language of stanzas.
    pub lang: Option<SharedStr>,
    /// RFC 6120 §4.7.5; none means a stream without features.
    pub version: Option<Version>,
}

/// RFC 6120 §4.7.5: major and minor, compared as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Before the point.
    pub major: u32,
    /// After the point.
    pub minor: u32,
}

impl Version {
    /// The version of RFC 6120.
    pub const V1_0: Self = Self { major: 1, minor: 0 };

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl StreamHeader {
    /// Reads a header and checks its namespaces against the content namespace expected.
    pub fn read(tag: &StreamTag, content_ns: &str) -> Result<Self, StreamError> {
        let refuse = |condition| Err(StreamError::new(condition));
        let element = &tag.element;
        if element.ns != *ns::STREAMS {
            return refuse(StreamCondition::InvalidNamespace);
        }
        if element.name != "stream" {
            return refuse(StreamCondition::BadFormat);
        }
        // RFC 6120 §4.8.2: the content namespace is the default one. DEVIATES RFC 6120 §4.8.5: streams that declare
        // it on each stanza instead are refused; nobody sends them.
        if tag.scope.default_ns() != content_ns {
            return refuse(StreamCondition::InvalidNamespace);
        }
        let version = match element.attr("version") {
            Some(text) => match Version::parse(text) {
                Some(version) => Some(version),
                None => return refuse(StreamCondition::UnsupportedVersion),
            },
            None => None,
        };
        let attr = |name| element.attr(name).map(SharedStr::copy);
        Ok(Self {
            to: attr("to"),
            from: attr("from"),
            id: attr("id"),
            lang: element.xml_lang().map(SharedStr::copy),
            version,
        })
    }

    /// Appends an XML declaration and the header.
    ///
    /// `declarations` are further prefixes to declare, such as `db` for dialback.
    pub fn write(&self, out: &mut BytesMut, content_ns: &str, declarations: &Scope) {
        out.put_slice(b"<?xml version='1.0'?>");
        let mut xml = XmlWriter::new(out);
        xml.start("stream:stream").attr("xmlns", content_ns).attr("xmlns:stream", ns::STREAMS);
        for (prefix, ns) in declarations.iter() {
            xml.attr(&format!("xmlns:{prefix}"), ns);
        }
        xml.attr_opt("from", self.from.as_deref()).attr_opt("to", self.to.as_deref());
        xml.attr_opt("id", self.id.as_deref()).attr_opt("xml:lang", self.lang.as_deref());
        if let Some(Version { major, minor }) = self.version {
            xml.attr("version", &format!("{major}.{minor}"));
        }
        xml.text("");
    }
}
