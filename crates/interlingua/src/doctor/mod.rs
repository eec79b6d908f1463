//! What `doctor` looks at: what a gateway has published, what it shows, and each peer as it answers at this moment.

mod certificates;
mod names;
mod peers;

use std::collections::BTreeMap;

use adapter_api::{Check, Verdict};
use anyhow::Result;
use impp_model::domain::Domain;
use serde::Serialize;

use crate::config::{Checked, Role};
use crate::gateway::Gateway;
use crate::stored::Stored;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The worst of the verdicts.
    pub(crate) verdict: Option<Verdict>,
    /// Everything that was looked at, in order.
    pub(crate) checks: Vec<Looked>,
    /// For each local domain, the records that lead others to its users, as a master file has them.
    pub(crate) publish: BTreeMap<String, Vec<String>>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Looked {
    /// The domain that it is about, or the gateway's name.
    pub(crate) domain: String,
    /// What was found.
    #[serde(flatten)]
    pub(crate) check: Check,
}

impl Report {
    fn add(&mut self, domain: &str, check: Check) {
        self.verdict = self.verdict.max(Some(check.verdict));
        self.checks.push(Looked { domain: domain.to_owned(), check });
    }
}

/// Looks at `domains`, or at the gateway and every domain it knows by name; to be called within a runtime.
pub(crate) async fn examine(checked: &Checked, domains: &[Domain]) -> Result<Report> {
    let gateway = Gateway::new(checked, Stored::none()?)?;
    let mut report = Report::default();
    let is_meant = |name: &Domain| domains.is_empty() || domains.contains(name);
    let own = &checked.config.gateway.name;
    if is_meant(own) {
        names::gateway(checked, &gateway, &mut report).await;
    }
    let tables = checked.config.domain.iter();
    for table in tables.clone().filter(|table| table.role == Role::Local && is_meant(table.seen_as())) {
        names::domain(checked, &gateway, table, &mut report).await;
        certificates::domain(checked, &gateway.tls, table, &mut report);
    }
    let known = tables.clone().map(|table| table.seen_as()).filter(|name| is_meant(name));
    let strangers = domains.iter().filter(|name| *name != own && tables.clone().all(|table| table.seen_as() != *name));
    for domain in known.chain(strangers) {
        peers::domain(checked, &gateway, domain, &mut report).await;
    }
    Ok(report)
}
