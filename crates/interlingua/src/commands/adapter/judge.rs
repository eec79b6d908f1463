//! `interlingua adapter test`: judges an adapter in another process by the conformance kit.

use std::path::PathBuf;
use std::time::Duration;

use adapter_api::testkit::{Kit, Verdict};
use anyhow::{Context, Result, bail};

use super::network::ProcessNetwork;
use crate::cli::Ended;
use crate::config::{self, Checked};
use crate::{logging, output};

/// What is judged, and how.
#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// The configuration file with the adapter: `type = "external"`, with a `command`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Its name; omitted: the only external one
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Only these cases, separated by commas
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    only: Vec<String>,
    /// After how many seconds what must happen counts as not happening
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    patience: u64,
    /// Log what the adapter and the gateway's side of it say, to standard error
    #[arg(long)]
    verbose: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The scripted network: a program that takes acts and tells what users see, as JSON lines
    #[arg(last = true, required = true, value_name = "NETWORK")]
    network: Vec<String>,
}

/// Runs the command.
pub(super) fn run(args: &TestArgs) -> Result<Ended> {
    let checked = match config::load(&args.config) {
        Ok(checked) => checked,
        Err(report) => bail!("{}", report.text().trim_end()),
    };
    if args.verbose {
        logging::start(&checked.config.log);
    }
    let (name, config) = match external(&checked, args.adapter.as_deref()) {
        Ok(found) => found,
        Err(problem) => {
            output::diagnose(&problem);
            return Ok(Ended::Misused);
        }
    };
    let mut kit = Kit::default().patience(Duration::from_secs(args.patience));
    if !args.only.is_empty() {
        kit = kit.only(args.only.iter().map(String::as_str));
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(async {
        let mut network = ProcessNetwork::start(&args.network, &name, config).await?;
        let report = kit.judge(&mut network).await;
        network.end().map(|()| report)
    })?;
    // Nothing but cases that don't apply proves nothing.
    let good = report.passed() && report.results.iter().any(|result| result.verdict == Verdict::Passed);
    if args.json {
        output::json(&report.to_json())?;
    } else {
        output::text(&report.to_string())?;
    }
    Ok(Ended::well_if(good))
}

/// The external adapter of this name, or the only one.
fn external(checked: &Checked, name: Option<&str>) -> Result<(String, adapter_external::Config), String> {
    let mut found =
        checked.adapters.iter().filter(|(_, configured)| configured.type_name() == "external").map(|(name, _)| name);
    let name = match (name, found.next(), found.next()) {
        (Some(name), first, second) => {
            first.into_iter().chain(second).chain(found).find(|known| *known == name).ok_or_else(|| {
                format!("no [adapter.{name}] with type = \"external\"; what is built in is judged by `cargo test`")
            })?
        }
        (None, Some(only), None) => only,
        (None, None, _) => return Err("no adapter with type = \"external\"".to_owned()),
        (None, Some(_), Some(_)) => return Err("several external adapters: name one with --adapter".to_owned()),
    };
    let mut table = checked.config.adapter.get(name).cloned().unwrap_or_default();
    if let Some(table) = table.as_object_mut() {
        table.shift_remove("type");
    }
    let config: adapter_external::Config = serde_json::from_value(table).map_err(|error| error.to_string())?;
    if config.command.is_empty() {
        return Err(format!("[adapter.{name}] has no command: each case starts the adapter anew"));
    }
    Ok((name.clone(), config))
}
