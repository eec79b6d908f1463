//! Each domain as its servers answer at this moment.

use adapter_api::Check;
use impp_model::domain::Domain;

use super::Report;
use crate::config::{Checked, Role};
use crate::gateway::Gateway;

/// Finds the way to a domain and has its adapter look at who is there.
pub(super) async fn domain(checked: &Checked, gateway: &Gateway, domain: &Domain, report: &mut Report) {
    let from = source(checked, domain);
    let probed = gateway.core.probe(&from, domain).await;
    let route = match &probed.decision.result {
        Ok(choice) => Check::ok("route", format!("{}: {}", choice.adapter, probed.decision.why())),
        Err(failure) => {
            let remedy = "its owner must publish how it is reached; or add a [[domain]] or [[route]] for it";
            Check::fail("route", failure.to_string(), remedy)
        }
    };
    report.add(domain.as_str(), route);
    let mut checks = probed.findings.checks;
    if checks.is_empty() {
        // Adapters of other processes tell facts without verdicts.
        checks.extend(probed.findings.findings.into_iter().map(|finding| Check::ok(finding.what, finding.value)));
    }
    for check in checks {
        report.add(domain.as_str(), check);
    }
}

/// On whose behalf a domain is asked: a local one of another network, if there is one.
fn source(checked: &Checked, domain: &Domain) -> Domain {
    let tables = &checked.config.domain;
    let adapter = tables.iter().find(|table| table.seen_as() == domain).and_then(|table| table.adapter.as_ref());
    // A component speaks for one domain alone (XEP-0114).
    let link = adapter.and_then(|name| checked.config.adapter.get(name)?.get("domain")?.as_str());
    if let Some(link) = link.and_then(|name| Domain::parse_host(name).ok()) {
        return link;
    }
    let other = tables.iter().find(|table| {
        table.role == Role::Local
            && table.seen_as() != domain
            && (adapter.is_none() || table.adapter.as_ref() != adapter)
    });
    other.map_or_else(|| checked.config.gateway.name.clone(), |table| table.seen_as().clone())
}
