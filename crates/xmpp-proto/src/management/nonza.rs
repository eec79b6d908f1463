//! The elements of stream management.

use std::time::Duration;

use bytes::BytesMut;
use strict_xml::{Element, SharedStr, XmlWriter};

use crate::ns;
use crate::stanza::Condition;

/// An element that is no stanza and is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nonza {
    /// XEP-0198 §3: to manage the stream.
    Enable {
        /// Whether resumption is wanted.
        resume: bool,
        /// For how long at most.
        max: Option<Duration>,
    },
    /// The stream is managed.
    Enabled {
        /// The stream's name, if it may be resumed.
        id: Option<SharedStr>,
        /// For how long.
        max: Option<Duration>,
    },
    /// XEP-0198 §5: to go on with a stream that broke.
    Resume {
        /// Its name.
        previd: SharedStr,
        /// What the initiator has handled.
        h: u32,
    },
    /// The stream goes on.
    Resumed {
        /// Its name.
        previd: SharedStr,
        /// What the receiver has handled.
        h: u32,
    },
    /// XEP-0198 §6: neither enabled nor resumed.
    Failed {
        /// What the receiver had handled of a stream that is too old.
        h: Option<u32>,
        /// Why.
        condition: Condition,
    },
    /// XEP-0198 §4: asks what is handled.
    Request,
    /// Says what is handled.
    Ack {
        /// How many stanzas, modulo 2^32.
        h: u32,
    },
}

/// An element of stream management that is unknown or lacks a counter or name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed element of stream management")]
pub struct MalformedNonza;

impl Nonza {
    /// Whether the element belongs to stream management.
    pub fn is_nonza(element: &Element) -> bool {
        element.ns == *ns::MANAGEMENT
    }

    /// Reads an element.
    pub fn read(element: &Element) -> Result<Self, MalformedNonza> {
        if !Self::is_nonza(element) {
            return Err(MalformedNonza);
        }
        let max = || element.attr("max").and_then(|max| max.parse().ok()).map(Duration::from_secs);
        let resume = matches!(element.attr("resume"), Some("true" | "1"));
        let id = |name| element.attr(name).filter(|id| !id.is_empty()).map(SharedStr::copy);
        let h = || element.attr("h").and_then(|h| h.parse().ok());
        match element.name.as_str() {
            "enable" => Ok(Self::Enable { resume, max: max() }),
            "enabled" => Ok(Self::Enabled { id: id("id").filter(|_| resume), max: max() }),
            "resume" | "resumed" => {
                let (previd, h) = id("previd").zip(h()).ok_or(MalformedNonza)?;
                let is_request = element.name.as_str() == "resume";
                Ok(if is_request { Self::Resume { previd, h } } else { Self::Resumed { previd, h } })
            }
            "failed" => Ok(Self::Failed { h: h(), condition: condition(element) }),
            "r" => Ok(Self::Request),
            "a" => h().map(|h| Self::Ack { h }).ok_or(MalformedNonza),
            _ => Err(MalformedNonza),
        }
    }

    /// Appends the element.
    pub fn write(&self, out: &mut BytesMut) {
        let mut xml = XmlWriter::new(out);
        let name = self.name();
        xml.start(name).attr("xmlns", ns::MANAGEMENT);
        let seconds = |max: &Option<Duration>| max.map(|max| max.as_secs().to_string());
        match self {
            Self::Enable { resume, max } => {
                xml.attr_opt("resume", resume.then_some("true")).attr_opt("max", seconds(max).as_deref());
            }
            Self::Enabled { id, max } => {
                xml.attr_opt("id", id.as_deref()).attr_opt("resume", id.as_ref().map(|_| "true"));
                xml.attr_opt("max", seconds(max).as_deref());
            }
            Self::Resume { previd, h } | Self::Resumed { previd, h } => {
                xml.attr("h", &h.to_string()).attr("previd", previd);
            }
            Self::Failed { h, condition } => {
                let condition = condition.as_str();
                xml.attr_opt("h", h.map(|h| h.to_string()).as_deref());
                xml.start(condition).attr("xmlns", ns::STANZA_ERRORS).end(condition);
            }
            Self::Request => {}
            Self::Ack { h } => {
                xml.attr("h", &h.to_string());
            }
        }
        xml.end(name);
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Enable { .. } => "enable",
            Self::Enabled { .. } => "enabled",
            Self::Resume { .. } => "resume",
            Self::Resumed { .. } => "resumed",
            Self::Failed { .. } => "failed",
            Self::Request => "r",
            Self::Ack { .. } => "a",
        }
    }
}

fn condition(failed: &Element) -> Condition {
    let defined = failed.elements().filter(|child| child.ns == ns::STANZA_ERRORS && child.name != "text");
    defined.filter_map(|child| Condition::parse(&child.name)).next().unwrap_or(Condition::UndefinedCondition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strict_xml::{Limits, Scope, parse_element};

    fn read(text: &str) -> Result<Nonza, MalformedNonza> {
        let scope = Scope::with_default(ns::MANAGEMENT);
        Nonza::read(&parse_element(text.as_bytes(), &scope, &Limits::default()).unwrap())
    }

    // checks: SMG-001
    #[test]
    fn xep0198_what_is_written_is_read() {
        let (id, max) = (SharedStr::copy("x'1"), Some(Duration::from_secs(60)));
        for nonza in [
            Nonza::Enable { resume: true, max },
            Nonza::Enable { resume: false, max: None },
            Nonza::Enabled { id: Some(id.clone()), max },
            Nonza::Enabled { id: None, max: None },
            Nonza::Resume { previd: id.clone(), h: 0 },
            Nonza::Resumed { previd: id, h: u32::MAX },
            Nonza::Failed { h: Some(7), condition: Condition::ItemNotFound },
            Nonza::Failed { h: None, condition: Condition::UnexpectedRequest },
            Nonza::Request,
            Nonza::Ack { h: 4_294_967_295 },
        ] {
            let mut out = BytesMut::new();
            nonza.write(&mut out);
            assert_eq!(read(std::str::from_utf8(&out).unwrap()), Ok(nonza));
        }
    }

    #[test]
    fn xep0198_s4_a_counter_is_an_unsigned_int() {
        for malformed in ["<a/>", "<a h='-1'/>", "<a h='4294967296'/>", "<a h='x'/>", "<resume h='1'/>", "<b/>"] {
            assert_eq!(read(malformed), Err(MalformedNonza), "{malformed}");
        }
        assert_eq!(read("<enable resume='1'/>"), Ok(Nonza::Enable { resume: true, max: None }));
        let unknown = Nonza::Failed { h: None, condition: Condition::UndefinedCondition };
        assert_eq!(read("<failed><x/></failed>"), Ok(unknown));
    }
}
