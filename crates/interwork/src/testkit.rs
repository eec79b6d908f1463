//! Small stand-ins for the hub's own tests.

use crate::routing::Candidate;
use adapter_api::{
    Acknowledgement, Capabilities, Configuration, DomainEntry, Repetition, Role, SendsAs, TellsFailure, Transport,
};
use impp_model::{Address, Content, Domain, Endpoint, InstantMessage, Kind, MaxForwards, MessageOperation, Operation};
use std::collections::BTreeMap;

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse_host(name).unwrap()
}

/// Local domains, each with its adapter.
pub(crate) fn configuration(domains: &[(&str, &str)]) -> Configuration {
    let entry = |(name, adapter): &(&str, &str)| DomainEntry {
        name: domain(name),
        own_name: None,
        role: Role::Local,
        adapter: Some((*adapter).into()),
        next_hop: None,
        trusted: Vec::new(),
    };
    Configuration::new(domain("gw.example"), domains.iter().map(entry).collect())
}

pub(crate) fn candidate(name: &str, protocol: &'static str, label: Option<&'static str>, standing: bool) -> Candidate {
    Candidate { name: name.into(), capabilities: capabilities(protocol, label, standing) }
}

pub(crate) fn capabilities(protocol: &'static str, label: Option<&'static str>, standing: bool) -> Capabilities {
    Capabilities {
        protocol: protocol.into(),
        srv_label: label.map(Into::into),
        standing_link: standing,
        proves_peers: false,
        kinds: vec![Kind::Message],
        transports: vec![Transport::Tcp],
        sends_as: SendsAs::Anyone,
        acknowledgement: Acknowledgement::Answer,
        acknowledgement_of: BTreeMap::new(),
        answers_each: true,
        tells_failure: TellsFailure::Never,
        seals: Vec::new(),
        repetition: Repetition::Repeatable,
        max_content: None,
        presence: None,
        fields: Vec::new(),
    }
}

pub(crate) fn message(from: &str, to: &str) -> Operation {
    let end = |text: &str| Endpoint::bare(Address::parse_bare(text).unwrap());
    Operation::Message(Box::new(MessageOperation {
        source: end(from),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t1".into(),
        message: InstantMessage::new(Content::text("hello")),
    }))
}
