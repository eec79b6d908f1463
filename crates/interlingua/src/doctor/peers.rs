//! Each domain as its servers answer at this moment.

use adapter_api::Check;
use impp_model::domain::Domain;

use super::{Patient, Report};
use crate::canaries;

/// Finds the way to a domain and has its adapter look at who is there.
pub(super) async fn domain(patient: &Patient<'_>, domain: &Domain, report: &mut Report) {
    let from = canaries::source(patient.config, domain).unwrap_or_else(|| patient.config.gateway.name.clone());
    let probed = patient.core.probe(&from, domain).await;
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
