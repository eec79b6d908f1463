//! `interlingua doctor`

use std::path::PathBuf;
use std::sync::Arc;

use adapter_api::Verdict;
use anyhow::{Context, Result};
use impp_model::domain::Domain;
use parking_lot::Mutex;

use crate::cli::Ended;
use crate::commands::running::Asking;
use crate::config::{Checked, Config};
use crate::doctor::{self, Patient, Report};
use crate::gateway::Gateway;
use crate::progress::Progress;
use crate::stored::Stored;
use crate::{config, output};

/// Look at DNS, certificates and peers as they are at this moment: a verdict for each, and what to do
///
/// A gateway that runs with this configuration is asked to look over its own links, and sends a canary to each `echo`. Where
/// nobody listens at `admin.listen`, this process looks by itself.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The domains to look at, own or foreign, or the gateway's name; all that are configured if none is given
    #[arg(value_name = "DOMAIN", value_parser = domain)]
    domains: Vec<Domain>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Look from this process alone, also where a gateway runs: no canary is sent
    #[arg(long)]
    apart: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse_host(text).map_err(|error| error.to_string())
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let checked = config::load(&args.config).inspect_err(|report| output::diagnose(&report.text()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let at = Arc::new(Mutex::new("a running gateway".to_owned()));
    let shown = at.clone();
    let progress = Progress::start(move || format!("looks at {}", shown.lock()));
    let report = runtime.block_on(async {
        let asked = if args.apart { None } else { ask(&checked.config, &args.domains).await? };
        match asked {
            Some(report) => Ok(report),
            None => alone(&checked, &args.domains, &at).await,
        }
    });
    drop(progress);
    let report = report?;
    runtime.shutdown_background();
    if args.json {
        output::json(&report)?;
    } else {
        output::text(&describe(&report))?;
    }
    Ok(Ended::well_if(report.verdict != Some(Verdict::Fail)))
}

/// Has the gateway look that runs with this configuration, if one does.
async fn ask(config: &Config, domains: &[Domain]) -> Result<Option<Report>> {
    let Some(asking) = Asking::of(&config.admin)? else { return Ok(None) };
    if !asking.is_run_by(config.gateway.name.as_str()).await? {
        return Ok(None);
    }
    let names: Vec<_> = domains.iter().map(Domain::as_str).collect();
    let mut answer = asking.examine(&names.join(",")).await?;
    let report = answer.get_mut("report").map(serde_json::Value::take).unwrap_or_default();
    let mut report: Report = serde_json::from_value(report).context("not a report of this version's doctor")?;
    report.by = Some(format!("the running gateway at {}", config.admin.listen));
    Ok(Some(report))
}

async fn alone(checked: &Checked, domains: &[Domain], at: &Mutex<String>) -> Result<Report> {
    let gateway = Gateway::new(checked, Stored::none()?)?;
    let Gateway { core, tls, dns, .. } = &gateway;
    let patient = Patient { config: &checked.config, core, tls, dns: &**dns, runs: false };
    Ok(doctor::examine(&patient, domains, |domain| *at.lock() = domain.to_string()).await)
}

fn describe(report: &Report) -> String {
    let mut text = report.by.as_ref().map_or_else(String::new, |by| format!("Looked at by {by}.\n"));
    let mut about = "";
    for looked in &report.checks {
        if looked.domain != about {
            text.push_str(&format!("{}\n", looked.domain));
            about = &looked.domain;
        }
        let check = &looked.check;
        let word = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&format!("  {word:<5}{}: {}\n", check.item, output::foreign(&check.found)));
        if let Some(remedy) = &check.remedy {
            text.push_str(&format!("       -> {remedy}\n"));
        }
    }
    if !report.publish.is_empty() {
        text.push_str("\nTo publish:\n");
        report.publish.values().flatten().for_each(|line| text.push_str(&format!("{line}\n")));
    }
    let count = |verdict| report.checks.iter().filter(|looked| looked.check.verdict == verdict).count();
    let (ok, warn, fail) = (count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
    format!("{text}\n{ok} ok, {warn} to look at, {fail} failed\n")
}
