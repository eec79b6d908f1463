//! Stream errors (RFC 6120 §4.9).

use bytes::{BufMut, BytesMut};
use strict_xml::{Element, Fault, SharedStr, XmlError, XmlWriter};

use crate::named::named;
use crate::ns;

named! {
    /// RFC 6120 §4.9.3: the defined conditions.
    pub enum StreamCondition {
        /// XML that cannot be processed.
        BadFormat => "bad-format",
        /// An unsupported or missing prefix.
        BadNamespacePrefix => "bad-namespace-prefix",
        /// A newer stream takes the place of this one, or the name is taken.
        Conflict => "conflict",
        /// The peer does not respond.
        ConnectionTimeout => "connection-timeout",
        /// The domain is no longer served here.
        HostGone => "host-gone",
        /// The domain is not served here.
        HostUnknown => "host-unknown",
        /// A stanza between servers lacks an address.
        ImproperAddressing => "improper-addressing",
        /// The server failed.
        InternalServerError => "internal-server-error",
        /// The sender's address is not one the peer may use.
        InvalidFrom => "invalid-from",
        /// The stream or content namespace is not supported.
        InvalidNamespace => "invalid-namespace",
        /// Does not fit its schema.
        InvalidXml => "invalid-xml",
        /// Stanzas before authentication, or authentication failed.
        NotAuthorized => "not-authorized",
        /// Not well-formed XML.
        NotWellFormed => "not-well-formed",
        /// Against a local policy.
        PolicyViolation => "policy-violation",
        /// A further server needed for authentication cannot be reached.
        RemoteConnectionFailed => "remote-connection-failed",
        /// To be negotiated anew, for security.
        Reset => "reset",
        /// The server is busy.
        ResourceConstraint => "resource-constraint",
        /// A comment, processing instruction, DTD or entity.
        RestrictedXml => "restricted-xml",
        /// To connect elsewhere.
        SeeOtherHost => "see-other-host",
        /// The server stops.
        SystemShutdown => "system-shutdown",
        /// None of the others; also any that is not known.
        UndefinedCondition => "undefined-condition",
        /// Not UTF-8.
        UnsupportedEncoding => "unsupported-encoding",
        /// A mandatory feature is not supported.
        UnsupportedFeature => "unsupported-feature",
        /// A first-level element that is no stanza.
        UnsupportedStanzaType => "unsupported-stanza-type",
        /// The stream's version.
        UnsupportedVersion => "unsupported-version",
    }
}

/// A `<stream:error/>`; the stream does not survive it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream error {condition}")]
pub struct StreamError {
    /// What happened.
    pub condition: StreamCondition,
    /// For people.
    pub text: Option<SharedStr>,
    /// Where to connect to, with `see-other-host`.
    pub host: Option<SharedStr>,
    /// An application's own condition (RFC 6120 §4.9.4).
    pub application: Option<Box<Element>>,
}

impl StreamError {
    /// An error without text.
    pub const fn new(condition: StreamCondition) -> Self {
        Self { condition, text: None, host: None, application: None }
    }

    /// Sets the text, in English.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<SharedStr>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets an application's own condition.
    #[must_use]
    pub fn with_application(mut self, condition: Element) -> Self {
        self.application = Some(Box::new(condition));
        self
    }

    /// Whether the element is a stream error.
    pub fn is_error(element: &Element) -> bool {
        element.is("error", ns::STREAMS)
    }

    /// Reads a stream error; an unknown condition becomes `undefined-condition`.
    pub fn read(error: &Element) -> Self {
        let own_text =
            |element: &Element| Some(element.text()).filter(|text| !text.is_empty()).map(|text| SharedStr::copy(&text));
        let defined = error.elements().find(|child| child.ns == ns::STREAM_ERRORS && child.name != "text");
        let condition = defined
            .and_then(|child| StreamCondition::parse(&child.name))
            .unwrap_or(StreamCondition::UndefinedCondition);
        Self {
            condition,
            text: error.child("text", ns::STREAM_ERRORS).and_then(own_text),
            host: defined.filter(|_| condition == StreamCondition::SeeOtherHost).and_then(own_text),
            application: error.elements().find(|child| child.ns != ns::STREAM_ERRORS).cloned().map(Box::new),
        }
    }

    /// Appends the error and the end of a stream whose prefix is `stream`.
    pub fn write(&self, out: &mut BytesMut) {
        let mut xml = XmlWriter::new(out);
        let condition = self.condition.as_str();
        xml.start("stream:error");
        xml.start(condition).attr("xmlns", ns::STREAM_ERRORS);
        if let Some(host) = &self.host {
            xml.text(host);
        }
        xml.end(condition);
        if let Some(text) = &self.text {
            xml.start("text").attr("xmlns", ns::STREAM_ERRORS).attr("xml:lang", "en").text(text).end("text");
        }
        if let Some(application) = &self.application {
            // No namespace in force fits, so the element declares its own.
            xml.element(application, ns::STREAMS);
        }
        xml.end("stream:error");
        // RFC 6120 §4.9.1.1: the stream is closed after its error.
        out.put_slice(super::STREAM_END);
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}

impl From<&XmlError> for StreamError {
    fn from(error: &XmlError) -> Self {
        let condition = match error.fault() {
            Fault::NotWellFormed => StreamCondition::NotWellFormed,
            Fault::RestrictedXml => StreamCondition::RestrictedXml,
            Fault::UnsupportedEncoding => StreamCondition::UnsupportedEncoding,
            Fault::PolicyViolation => StreamCondition::PolicyViolation,
        };
        Self::new(condition).with_text(error.kind.to_string())
    }
}
