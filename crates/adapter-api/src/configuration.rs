//! The part of the configuration that adapters share; changes arrive by [`crate::Hub::configuration`].

use crate::{InstanceName, Trunk};
use impp_model::domain::Domain;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use transport::Tls;

/// What adapters need to know of the whole gateway's configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// `gateway.name`: this gateway's FQDN.
    pub gateway: Domain,
    /// The `[[domain]]` tables, in order.
    pub domains: Vec<DomainEntry>,
    /// `delivery.hold_timeout`: how long a sender who is told of each message waits.
    pub hold_timeout: Duration,
    /// The `[domain.trunk]` tables, by their domains.
    pub trunks: BTreeMap<Domain, Trunk>,
}

/// One `[[domain]]` table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DomainEntry {
    /// The domain, by the name under which other networks know it.
    pub name: Domain,
    /// What its own network calls it, where that is something else (`shown_as`): the same domain lives in several
    /// networks. Only what passes between its adapter and that network has this name.
    pub own_name: Option<Domain>,
    /// Whether we speak for it.
    pub role: Role,
    /// The adapter instance that reaches it.
    pub adapter: Option<InstanceName>,
    /// A fixed next hop, in that adapter's own form.
    pub next_hop: Option<Arc<str>>,
    /// Who may send as this domain without further proof.
    pub trusted: Vec<IpNet>,
}

/// Whether a known domain is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// We speak for it towards other networks.
    Local,
    /// A partner with a fixed route.
    Remote,
}

impl Configuration {
    /// These domains, and otherwise the defaults.
    pub fn new(gateway: Domain, domains: Vec<DomainEntry>) -> Self {
        Self { gateway, domains, hold_timeout: Duration::from_secs(2), trunks: BTreeMap::new() }
    }

    /// The entry of `domain`, if it has one.
    pub fn domain(&self, domain: &Domain) -> Option<&DomainEntry> {
        self.domains.iter().find(|entry| entry.name == *domain)
    }

    /// The entry of the domain that `adapter`'s network calls `domain`, where other networks call it something else.
    pub fn renamed(&self, adapter: &InstanceName, domain: &Domain) -> Option<&DomainEntry> {
        self.domains
            .iter()
            .find(|entry| entry.own_name.as_ref() == Some(domain) && entry.adapter.as_ref() == Some(adapter))
    }

    /// Whether `domain` is one we speak for.
    pub fn is_local(&self, domain: &Domain) -> bool {
        self.domain(domain).is_some_and(|entry| entry.role == Role::Local)
    }

    /// The domains of `adapter` for which the host at `address` is trusted by configuration.
    pub fn trusted_for<'a>(&'a self, adapter: &'a InstanceName, address: IpAddr) -> impl Iterator<Item = &'a Domain> {
        self.domains
            .iter()
            .filter(move |entry| entry.adapter.as_ref() == Some(adapter))
            .filter(move |entry| entry.trusted.iter().any(|net| net.contains(&address)))
            .map(DomainEntry::wire_name)
    }
}

impl DomainEntry {
    /// Its name within its own network.
    pub fn wire_name(&self) -> &Domain {
        self.own_name.as_ref().unwrap_or(&self.name)
    }
}

/// What an adapter is made with, besides its own configuration.
#[derive(Clone)]
pub struct Context {
    /// The shared configuration, as it changes.
    pub configuration: tokio::sync::watch::Receiver<Arc<Configuration>>,
    /// Name service, for an adapter's own next hops.
    pub dns: Arc<dyn impp_resolve::Dns>,
    /// Our certificates, and whose signatures count: the table `[tls]`.
    pub tls: Arc<Tls>,
}

/// One thing that is wrong with an adapter's own configuration, for `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key below `[adapter.NAME]`.
    pub key: String,
    /// The value as configured; empty when it is missing or secret.
    pub value: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}
