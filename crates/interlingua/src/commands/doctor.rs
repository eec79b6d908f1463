//! `interlingua doctor`

use std::path::PathBuf;

use adapter_api::Verdict;
use anyhow::Result;
use impp_model::domain::Domain;

use crate::cli::Ended;
use crate::doctor::{self, Report};
use crate::{config, output};

/// Look at DNS, certificates and peers as they are at this moment: a verdict for each, and what to do
///
/// It sends no message and may run beside the gateway.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The domains to look at, own or foreign, or the gateway's name; all that are configured if none is given
    #[arg(value_name = "DOMAIN", value_parser = domain)]
    domains: Vec<Domain>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
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
    let report = runtime.block_on(doctor::examine(&checked, &args.domains))?;
    runtime.shutdown_background();
    if args.json {
        output::json(&report)?;
    } else {
        output::text(&describe(&report))?;
    }
    Ok(Ended::well_if(report.verdict != Some(Verdict::Fail)))
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
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
