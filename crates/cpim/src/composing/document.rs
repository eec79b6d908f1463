//! RFC 3994 §6: the status document.

use bytes::{BufMut, BytesMut};
use impp_model::DateTime;
use serde::{Deserialize, Serialize};
use strict_xml::{Element, Limits, XmlError, XmlWriter, parse_document};

use super::XML_NAMESPACE;
use crate::limits::MAX_DOCUMENT;

/// One status message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsComposing {
    /// Whether the sender is composing.
    pub state: State,
    /// When it last was.
    pub last_active: Option<DateTime>,
    /// What it composes: a media type or the first half of one.
    pub content_type: Option<String>,
    /// Seconds until the sender says so again; never 0.
    pub refresh: Option<u32>,
}

/// The composer's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Composing.
    Active,
    /// Not composing.
    Idle,
}

/// Why octets are not a status message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IsComposingError {
    /// No well-formed XML.
    #[error("not well-formed XML: {0}")]
    Xml(XmlError),
    /// RFC 3994 §6.
    #[error("the root element is not isComposing")]
    Root,
    /// RFC 3994 §6.1.
    #[error("no state element")]
    NoState,
    /// RFC 3994 §6.1.
    #[error("refresh is not a positive whole number")]
    Refresh,
    /// RFC 3994 §6.1.
    #[error("{0} stands there twice")]
    Repeated(&'static str),
}

impl IsComposingError {
    /// The code of the error, stable for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Xml(_) => "E_NOT_WELL_FORMED",
            Self::Root => "E_ROOT",
            Self::NoState => "E_MISSING_ELEMENT",
            Self::Refresh => "E_REFRESH",
            Self::Repeated(_) => "E_DUP_ELEMENT",
        }
    }

    /// Octets before the fault, where it is one of the XML; what is missing or stands there twice is named instead.
    pub fn octet(&self) -> Option<usize> {
        if let Self::Xml(error) = self { Some(error.offset) } else { None }
    }
}

impl IsComposing {
    /// "active", to be repeated after so many seconds.
    pub fn active(refresh: Option<u32>) -> Self {
        Self { state: State::Active, last_active: None, content_type: None, refresh }
    }

    /// "idle".
    pub fn idle() -> Self {
        Self { state: State::Idle, last_active: None, content_type: None, refresh: None }
    }

    /// Reads a document; elements of other namespaces, and a last activity without offset, are passed over.
    ///
    /// ```
    /// use cpim::composing::{IsComposing, State};
    ///
    /// let status = IsComposing::parse(
    ///     b"<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state>\
    ///       <contenttype>text/plain</contenttype><refresh>90</refresh></isComposing>",
    /// )?;
    /// assert_eq!((status.state, status.refresh), (State::Active, Some(90)));
    /// # Ok::<(), cpim::composing::IsComposingError>(())
    /// ```
    pub fn parse(octets: &[u8]) -> Result<Self, IsComposingError> {
        let root =
            parse_document(octets, &Limits::default().with_bytes(MAX_DOCUMENT)).map_err(IsComposingError::Xml)?;
        if !root.is("isComposing", XML_NAMESPACE) {
            return Err(IsComposingError::Root);
        }
        // RFC 3994 §3.5: every other state counts as idle.
        let state = match text(&root, "state")?.ok_or(IsComposingError::NoState)?.as_str() {
            "active" => State::Active,
            _ => State::Idle,
        };
        Ok(Self {
            state,
            last_active: text(&root, "lastactive")?.and_then(|text| DateTime::parse(&text).ok()),
            content_type: text(&root, "contenttype")?,
            refresh: text(&root, "refresh")?.map(|text| seconds(&text)).transpose()?,
        })
    }

    /// Writes the document.
    pub fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        let mut xml = XmlWriter::new(&mut out);
        xml.start("isComposing").attr("xmlns", XML_NAMESPACE);
        xml.start("state").text(self.state.name()).end("state");
        if let Some(time) = &self.last_active {
            xml.start("lastactive").text(&time.as_str().to_ascii_uppercase()).end("lastactive");
        }
        if let Some(content_type) = &self.content_type {
            xml.start("contenttype").text(content_type).end("contenttype");
        }
        if let Some(refresh) = self.refresh.filter(|refresh| *refresh > 0) {
            xml.start("refresh").text(&refresh.to_string()).end("refresh");
        }
        xml.end("isComposing");
        out
    }
}

impl State {
    /// The text of its element.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
        }
    }
}

fn text(root: &Element, name: &'static str) -> Result<Option<String>, IsComposingError> {
    let mut found = root.children_named(name, XML_NAMESPACE);
    match (found.next(), found.next()) {
        (first, None) => Ok(first.map(|element| element.text().trim().to_owned())),
        (_, Some(_)) => Err(IsComposingError::Repeated(name)),
    }
}

/// xs:positiveInteger; more seconds than fit are as many as fit.
fn seconds(text: &str) -> Result<u32, IsComposingError> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(IsComposingError::Refresh);
    }
    match digits.parse().unwrap_or(u32::MAX) {
        0 => Err(IsComposingError::Refresh),
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Result<IsComposing, IsComposingError> {
        IsComposing::parse(format!("<isComposing xmlns='{XML_NAMESPACE}'>{inner}</isComposing>").as_bytes())
    }

    // checks: ISC-001
    #[test]
    fn rfc3994_s6_documents_are_read_and_written() {
        let full = IsComposing {
            state: State::Idle,
            last_active: DateTime::parse("2003-01-27T10:43:00Z").ok(),
            content_type: Some("audio".into()),
            refresh: Some(90),
        };
        let octets = full.encode();
        assert_eq!(IsComposing::parse(&octets), Ok(full));
        let text = std::str::from_utf8(&octets).unwrap();
        let order = ["<state>", "<lastactive>", "<contenttype>", "<refresh>"].map(|name| text.find(name).unwrap());
        assert!(order.is_sorted());
        for plain in [IsComposing::active(None), IsComposing::active(Some(60)), IsComposing::idle()] {
            assert_eq!(IsComposing::parse(&plain.encode()), Ok(plain));
        }
    }

    // checks: ISC-004, CMP-005
    #[test]
    fn rfc3994_s3_5_other_states_count_as_idle() {
        for state in ["idle", "paused", "Active", ""] {
            assert_eq!(parse(&format!("<state>{state}</state>")).map(|status| status.state), Ok(State::Idle));
        }
        assert_eq!(parse("<state> active\n</state><x xmlns='urn:x'/>").map(|status| status.state), Ok(State::Active));
    }

    #[test]
    fn what_the_schema_refuses_is_refused() {
        assert_eq!(parse(""), Err(IsComposingError::NoState));
        assert_eq!(parse("<state>idle</state><state/>"), Err(IsComposingError::Repeated("state")));
        for refresh in ["0", "-1", "", "1.5", "x", "00"] {
            let inner = format!("<state>active</state><refresh>{refresh}</refresh>");
            assert_eq!(parse(&inner), Err(IsComposingError::Refresh), "{refresh}");
        }
        let huge = parse("<state>active</state><refresh>99999999999999999999</refresh>").unwrap();
        assert_eq!(huge.refresh, Some(u32::MAX));
        assert_eq!(parse("<state>idle</state><lastactive>2003-01-27T10:43:00</lastactive>").unwrap().last_active, None);
        assert_eq!(IsComposing::parse(b"<isComposing/>"), Err(IsComposingError::Root));
        assert!(matches!(IsComposing::parse(b"<"), Err(IsComposingError::Xml(_))));
    }
}
