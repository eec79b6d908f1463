//! What a contact of another network can do, as its gateway says it in its place (XEP-0115, XEP-0030).

use strict_xml::{Element, SharedStr};

use crate::stanza::{Condition, Iq, IqType, StanzaError};
use crate::{caps, ns};

/// The features of every contact: what the gateway carries to and from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactInfo {
    features: Vec<&'static str>,
    version: String,
}

/// What stands before the hash in the node of a question.
const NODE: &str = "urn:interlingua:contact";
/// DSC-004: the registered identity of such a device.
const CATEGORY: &str = "client";
const KIND: &str = "phone";

impl ContactInfo {
    /// Contacts with these features besides answering about them.
    pub fn new(features: &[&'static str]) -> Self {
        let features: Vec<&'static str> = [ns::DISCO_INFO].iter().chain(features).copied().collect();
        let version = caps::version(CATEGORY, KIND, "", features.iter().copied());
        Self { features, version }
    }

    /// XEP-0115 §5: what goes into each available presence of a contact.
    pub fn caps(&self) -> Element {
        Element::new("c", ns::CAPS)
            .with_attr("hash", "sha-1")
            .with_attr("node", NODE)
            .with_attr("ver", SharedStr::copy(&self.version))
    }

    /// The one answer to a request addressed to a device of a contact; `None` for results and errors.
    ///
    /// It is the same whether the contact is there or not, so it tells nothing of its presence.
    pub fn answer(&self, iq: &Iq) -> Option<Element> {
        if !iq.is_request() {
            return None;
        }
        let query = iq.query().filter(|query| {
            iq.kind() == IqType::Get && query.name.as_str() == "query" && query.ns.as_str() == ns::DISCO_INFO
        });
        let condition = match query.map(|query| query.attr("node")) {
            Some(None) => return iq.result(Some(self.disco_info())).map(Iq::into_element),
            Some(Some(node)) if self.is_node(node) => {
                let answer = self.disco_info().with_attr("node", SharedStr::copy(node));
                return iq.result(Some(answer)).map(Iq::into_element);
            }
            // XEP-0030 §7.
            Some(Some(_)) => Condition::ItemNotFound,
            // RFC 6121 §8.5.3.
            None => Condition::ServiceUnavailable,
        };
        iq.error_reply(&StanzaError::new(condition))
    }

    fn disco_info(&self) -> Element {
        let identity = Element::new("identity", ns::DISCO_INFO).with_attr("category", CATEGORY).with_attr("type", KIND);
        self.features
            .iter()
            .map(|feature| Element::new("feature", ns::DISCO_INFO).with_attr("var", *feature))
            .fold(Element::new("query", ns::DISCO_INFO).with_child(identity), Element::with_child)
    }

    /// XEP-0115 §6.2.
    fn is_node(&self, node: &str) -> bool {
        node.rsplit_once('#').is_some_and(|(node, version)| node == NODE && version == self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Stanza;

    fn answer(query: &str) -> String {
        let xml = format!(
            "<iq xmlns='jabber:client' type='get' id='1' from='juliet@x.example/r' to='romeo@sip.example/d'>{query}</iq>"
        );
        let element = strict_xml::parse_document(xml.as_bytes(), &strict_xml::Limits::default()).unwrap();
        let Ok(Stanza::Iq(iq)) = Stanza::from_element(element) else { panic!("{xml}") };
        let mut text = bytes::BytesMut::new();
        crate::stanza::encode(&mut text, &ContactInfo::new(&[ns::RECEIPTS]).answer(&iq).unwrap());
        String::from_utf8(text.to_vec()).unwrap()
    }

    // checks: DSC-004, DSC-005, DSC-008
    #[test]
    fn xep0115_s5_the_hash_in_presence_is_that_of_the_features_in_the_answer() {
        let info = ContactInfo::new(&[ns::RECEIPTS]);
        let version = caps::version("client", "phone", "", [ns::RECEIPTS, ns::DISCO_INFO]);
        assert_eq!(info.caps().attr("ver"), Some(version.as_str()));
        let node = format!("{NODE}#{version}");
        let answered = answer(&format!("<query xmlns='{}' node='{node}'/>", ns::DISCO_INFO));
        assert!(
            answered.contains(&node) && answered.contains(ns::RECEIPTS) && answered.contains("result"),
            "{answered}"
        );
        assert!(answer(&format!("<query xmlns='{}'/>", ns::DISCO_INFO)).contains("category"));
    }

    // checks: DSC-004
    #[test]
    fn xep0030_s7_other_nodes_and_other_requests_are_refused() {
        assert!(answer(&format!("<query xmlns='{}' node='x#y'/>", ns::DISCO_INFO)).contains("item-not-found"));
        assert!(answer("<ping xmlns='urn:xmpp:ping'/>").contains("service-unavailable"));
    }
}
