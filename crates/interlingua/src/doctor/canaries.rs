//! Whether a peer's echo sends back what it gets.

use std::time::Duration;

use adapter_api::Check;
use interwork::{Canary, Sample};

use super::{Patient, Report};
use crate::canaries::{self, PATIENCE};
use crate::config::DomainTable;

/// Sends a message and asks for presence, where the domain has an echo.
pub(super) async fn domain(patient: &Patient<'_>, table: &DomainTable, report: &mut Report) {
    let Some(echo) = table.echo_address() else { return };
    let name = table.seen_as().as_str();
    let is_running = patient.runs;
    for (kind, item) in [(Sample::Message, "canary message"), (Sample::Presence, "canary presence")] {
        let check = match canaries::source(patient.config, table.seen_as()) {
            _ if !is_running => {
                let remedy = "start the gateway: only over its own links does a canary come back";
                Check::warn(item, "not sent: no gateway runs with this configuration", remedy)
            }
            None => {
                let remedy = "add a [[domain]] with role = \"local\" of another network than this one";
                Check::warn(item, "not sent: there is no local domain that it could come from", remedy)
            }
            Some(from) => judge(item, &echo.to_string(), patient.core.canary(&from, &echo, kind, PATIENCE).await),
        };
        report.add(name, check);
    }
}

fn judge(item: &str, echo: &str, canary: Canary) -> Check {
    match canary.result {
        Ok(took) => Check::ok(item, format!("back from {echo} after {}", in_words(took))),
        Err(failure) => {
            let remedy = format!(
                "interlingua trace {} says how far it came; {echo} must send back what it gets and let itself be watched",
                canary.trace
            );
            Check::fail(item, failure.to_string(), remedy)
        }
    }
}

fn in_words(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
