//! What a gateway's own address answers to requests, as pure functions.

use strict_xml::{Element, SharedStr};

use crate::stanza::{Condition, Iq, IqType, StanzaError};
use crate::{caps, ns};

/// What the gateway tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayInfo {
    /// Shown to people who browse services.
    pub name: SharedStr,
    /// Registered type of gateway, such as `simple`.
    pub gateway_type: SharedStr,
    /// Features besides those answered here, such as `urn:xmpp:receipts` where they are mapped.
    pub features: Vec<SharedStr>,
    /// XEP-0092; none keeps the version to itself.
    pub software: Option<Software>,
}

/// XEP-0092: what software this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// Its name.
    pub name: SharedStr,
    /// Its version.
    pub version: SharedStr,
}

/// XEP-0202: the time of the answer, both in XEP-0082 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTime<'a> {
    /// UTC date-time.
    pub utc: &'a str,
    /// Offset of the zone, such as `+01:00`.
    pub tzo: &'a str,
}

impl GatewayInfo {
    /// A gateway to SIP/SIMPLE.
    pub fn simple(name: impl Into<SharedStr>) -> Self {
        Self { name: name.into(), gateway_type: SharedStr::constant("simple"), features: Vec::new(), software: None }
    }

    /// The one answer to a request addressed to the gateway itself; `None` for results and errors.
    pub fn answer(&self, iq: &Iq, time: EntityTime<'_>) -> Option<Element> {
        // RFC 6120 §8.2.3: each request has exactly one answer; results and errors have none.
        if !iq.is_request() {
            return None;
        }
        match self.payload(iq, time) {
            Ok(payload) => iq.result(payload).map(Iq::into_element),
            Err(condition) => iq.error_reply(&StanzaError::new(condition)),
        }
    }

    /// XEP-0115 §5.1: what a presence stanza of the gateway's own says it can do, in place of a question for each contact.
    pub fn caps(&self, node: &str) -> Element {
        Element::new("c", ns::CAPS)
            .with_attr("hash", "sha-1")
            .with_attr("node", SharedStr::copy(node))
            .with_attr("ver", self.caps_version())
    }

    fn caps_version(&self) -> String {
        let features: Vec<SharedStr> = self.all_features().collect();
        caps::version("gateway", &self.gateway_type, &self.name, features.iter().map(|feature| &**feature))
    }

    fn payload(&self, iq: &Iq, time: EntityTime<'_>) -> Result<Option<Element>, Condition> {
        let query = iq.query().ok_or(Condition::BadRequest)?;
        match (iq.kind(), query.name.as_str(), query.ns.as_str()) {
            (IqType::Get, "query", ns::DISCO_INFO)
                if query.attr("node").is_some_and(|node| self.is_caps_node(node)) =>
            {
                Ok(Some(self.disco_info().with_attr("node", SharedStr::copy(query.attr("node").unwrap_or_default()))))
            }
            (IqType::Get, "query", ns::DISCO_INFO | ns::DISCO_ITEMS) if query.attr("node").is_some() => {
                // XEP-0030 §7: a node that does not exist.
                Err(Condition::ItemNotFound)
            }
            (IqType::Get, "query", ns::DISCO_INFO) => Ok(Some(self.disco_info())),
            (IqType::Get, "query", ns::DISCO_ITEMS) => Ok(Some(Element::new("query", ns::DISCO_ITEMS))),
            // XEP-0199 §4.2: an empty result.
            (IqType::Get, "ping", ns::PING) => Ok(None),
            (IqType::Get, "query", ns::VERSION) => self.version().map(Some).ok_or(Condition::ServiceUnavailable),
            (IqType::Get, "time", ns::TIME) => Ok(Some(entity_time(time))),
            // RFC 6121 §8.5: what is not understood.
            _ => Err(Condition::ServiceUnavailable),
        }
    }

    /// XEP-0030 §3.1: identity and features.
    fn disco_info(&self) -> Element {
        let identity = Element::new("identity", ns::DISCO_INFO)
            .with_attr("category", "gateway")
            .with_attr("type", &self.gateway_type)
            .with_attr("name", &self.name);
        self.all_features()
            .map(|feature| Element::new("feature", ns::DISCO_INFO).with_attr("var", feature))
            .fold(Element::new("query", ns::DISCO_INFO).with_child(identity), Element::with_child)
    }

    fn all_features(&self) -> impl Iterator<Item = SharedStr> {
        let own = FEATURES.iter().map(|feature| SharedStr::constant(feature));
        let version = self.software.iter().map(|_| SharedStr::constant(ns::VERSION));
        own.chain(version).chain(self.features.iter().cloned())
    }

    /// XEP-0115 §6.2: any node with our own hash behind it.
    fn is_caps_node(&self, node: &str) -> bool {
        node.rsplit_once('#').is_some_and(|(_, version)| version == self.caps_version())
    }

    fn version(&self) -> Option<Element> {
        let text = |name: &'static str, text: &SharedStr| Element::new(name, ns::VERSION).with_text(text);
        self.software.as_ref().map(|software| {
            Element::new("query", ns::VERSION)
                .with_child(text("name", &software.name))
                .with_child(text("version", &software.version))
        })
    }
}

fn entity_time(time: EntityTime<'_>) -> Element {
    let text = |name: &'static str, text: &str| Element::new(name, ns::TIME).with_text(SharedStr::copy(text));
    Element::new("time", ns::TIME).with_child(text("tzo", time.tzo)).with_child(text("utc", time.utc))
}

/// What every gateway address offers.
const FEATURES: &[&str] = &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::JID_ESCAPING, ns::PING, ns::TIME];
