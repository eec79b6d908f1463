//! What `doctor` looks at: what a gateway has published, what it shows, and each peer as it answers at this moment.

mod canaries;
mod certificates;
mod names;
mod peers;
mod running;

use std::collections::BTreeMap;

use adapter_api::{Check, Verdict};
use impp_model::domain::Domain;
use impp_resolve::Dns;
use interwork::Core;
use serde::{Deserialize, Serialize};
use transport::Tls;

use crate::config::{Config, Role};

pub(crate) use running::Practice;

/// What was found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Who looked, if it was not the process that shows this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// The worst of the verdicts.
    pub(crate) verdict: Option<Verdict>,
    /// Everything that was looked at, in order.
    pub(crate) checks: Vec<Looked>,
    /// For each local domain, the records that lead others to its users, as a master file has them.
    pub(crate) publish: BTreeMap<String, Vec<String>>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, Deserialize)]
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

/// The gateway that is looked at.
pub(crate) struct Patient<'p> {
    /// What it is configured with.
    pub(crate) config: &'p Config,
    /// Its hub.
    pub(crate) core: &'p Core,
    /// Its certificates.
    pub(crate) tls: &'p Tls,
    /// Its name service.
    pub(crate) dns: &'p dyn Dns,
    /// Whether its adapters run; else they are asked, and carry nothing.
    pub(crate) runs: bool,
}

/// Looks at `domains`, or at the gateway and every domain it knows by name; `began` hears the name of each before it is looked at.
pub(crate) async fn examine(patient: &Patient<'_>, domains: &[Domain], began: impl Fn(&Domain)) -> Report {
    let mut report = Report::default();
    let is_meant = |name: &Domain| domains.is_empty() || domains.contains(name);
    let own = &patient.config.gateway.name;
    if is_meant(own) {
        began(own);
        names::gateway(patient, &mut report).await;
    }
    let tables = patient.config.domain.iter();
    for table in tables.clone().filter(|table| table.role == Role::Local && is_meant(table.seen_as())) {
        began(table.seen_as());
        names::domain(patient, table, &mut report).await;
        certificates::domain(patient, table, &mut report);
    }
    for table in tables.clone().filter(|table| is_meant(table.seen_as())) {
        began(table.seen_as());
        peers::domain(patient, table.seen_as(), &mut report).await;
        canaries::domain(patient, table, &mut report).await;
    }
    let strangers = domains.iter().filter(|name| *name != own && tables.clone().all(|table| table.seen_as() != *name));
    for domain in strangers {
        began(domain);
        peers::domain(patient, domain, &mut report).await;
    }
    report
}
