//! `interlingua explain`

use std::num::NonZeroU32;
use std::path::PathBuf;

use adapter_api::Repetition;
use anyhow::{Context, Result};
use interwork::{Explanation, RateLimits, Sample};

use crate::cli::Ended;
use crate::commands::address;
use crate::gateway::Gateway;
use crate::stored::Stored;
use crate::{config, output};

/// Run a message or a subscription dry: policy, resolution, adapter, mapping and transport, and why
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The sender: a JID or a URI
    from: String,
    /// The addressee: a JID or a URI
    to: String,
    /// The kind of operation
    #[arg(long, value_enum, default_value = "message")]
    kind: Kind,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The kinds of operation that this version carries.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Message,
    Presence,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let sample = match args.kind {
        Kind::Message => Sample::Message,
        Kind::Presence => Sample::Presence,
    };
    let from = address::read_address(&args.from).with_context(|| args.from.clone())?;
    let to = address::read_address(&args.to).with_context(|| args.to.clone())?;
    let checked = config::load(&args.config).inspect_err(|report| output::diagnose(&report.text()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let explanation = runtime.block_on(async {
        let gateway = Gateway::new(&checked, Stored::none()?)?;
        let mut explanation = gateway.core.explain(from, to, sample).await;
        // No link is up in a process that has opened none.
        explanation.findings.findings.retain(|finding| finding.what != "link");
        anyhow::Ok(explanation)
    })?;
    if args.json {
        output::json(&explanation)?;
    } else {
        output::text(&describe(&explanation))?;
    }
    let chosen = explanation.decision.as_ref().is_some_and(|decision| decision.result.is_ok());
    Ok(Ended::well_if(chosen && explanation.findings.refused.is_none()))
}

fn describe(explanation: &Explanation) -> String {
    let mut lines = vec![("from".to_owned(), explanation.from.clone()), ("to".to_owned(), explanation.to.clone())];
    if let Some(near) = &explanation.near {
        lines.push(("comes in by".to_owned(), near.clone()));
    }
    lines.extend(explanation.near_link.map(|link| ("near link".to_owned(), near_link(link).to_owned())));
    lines.push(("rates".to_owned(), rates(explanation.rates)));
    lines.push(("policy".to_owned(), explanation.policy.clone()));
    lines.extend(explanation.steps.iter().map(|step| ("route".to_owned(), step.clone())));
    let findings = &explanation.findings;
    lines.extend(findings.findings.iter().map(|finding| (finding.what.clone(), finding.value.clone())));
    for (what, fields) in [("degraded", &findings.degraded), ("dropped", &findings.dropped)] {
        if !fields.is_empty() {
            lines.push((what.to_owned(), fields.join(", ")));
        }
    }
    lines.push(("verdict".to_owned(), explanation.verdict.to_owned()));
    lines.iter().map(|(what, value)| format!("{what:<16}{value}\n")).collect()
}

/// DESIGN A5: what a kill of this process can take with it.
fn near_link(link: Repetition) -> &'static str {
    match link {
        Repetition::Repeatable => "repeatable: senders keep a message until it is answered",
        Repetition::WhereManaged => "repeatable where the peer uses stream management, else unrepeatable",
        Repetition::Unrepeatable => {
            "unrepeatable: what came in within write_ahead_after of a crash can be lost; prefer streams with stream management"
        }
    }
}

fn rates(limits: RateLimits) -> String {
    let said =
        |limit: Option<NonZeroU32>| limit.map_or_else(|| "no limit".to_owned(), |rate| format!("{rate} a second"));
    format!("each sender: {}; each domain: {}", said(limits.source), said(limits.domain))
}
