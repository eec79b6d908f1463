//! `interlingua resolve`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use impp_model::Domain;
use impp_resolve::{Dns, Options, Outcome, Protocol, Resolution, Resolver};
use serde_json::{Value, json};

use crate::cli::Ended;
use crate::config::{self, Checked, Role};
use crate::gateway::discovery_limits;
use crate::{output, zone};

/// Show which protocol serves an im: or pres: URI, with every DNS query and why (RFC 3861)
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As im:juliet@example.com or pres:juliet@example.com; without a scheme im: is meant
    uri: String,
    /// Answer from this master file instead of the network
    #[arg(long, value_name = "FILE")]
    zone: Option<PathBuf>,
    /// Take name servers, local domains and preferences from this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The sender, as sip:romeo@example.net; the discovery of the sender's own protocol goes first
    #[arg(long, value_name = "ADDR")]
    from: Option<String>,
    /// Protocols in the order of preference
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    supported: Option<Vec<String>>,
    /// RFC 3861 alone, without the discovery of SIP and XMPP themselves behind it
    #[arg(long)]
    no_native: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let config = match &args.config {
        Some(path) => Some(config::load(path).inspect_err(|report| output::diagnose(&report.text()))?),
        None => None,
    };
    let options = options(args, config.as_ref())?;
    let source = args.from.as_deref().map(|from| protocol_of(from, config.as_ref())).transpose()?.flatten();
    let uri = if args.uri.contains(':') { args.uri.clone() } else { format!("im:{}", args.uri) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let resolution = runtime.block_on(async {
        let dns = dns(args, config.as_ref())?;
        let mut draw = |limit: u32| rand::random_range(0..=limit);
        Resolver::new(dns, options).resolve_uri(&uri, source.as_ref(), &mut draw).await.context(args.uri.clone())
    });
    match resolution {
        Ok(resolution) => print(args, &resolution),
        Err(error) if args.json => {
            let error = format!("{error:#}");
            output::json(&json!({ "outcome": "failure", "reason": error, "queries": [], "steps": [] }))?;
            Ok(Ended::Refused)
        }
        Err(error) => Err(error),
    }
}

fn options(args: &Args, config: Option<&Checked>) -> Result<Options> {
    let mut options = Options { native: !args.no_native, ..Options::default() };
    if let Some(Checked { config, .. }) = config {
        options.supported = labels(&config.routing.supported)?;
        let local = config.domain.iter().filter(|domain| domain.role == Role::Local);
        options.local_domains = local.map(|domain| domain.name.clone()).collect();
        options.limits = discovery_limits(config);
    }
    if let Some(supported) = &args.supported {
        options.supported = labels(supported)?;
    }
    Ok(options)
}

fn labels(labels: &[String]) -> Result<Vec<Protocol>> {
    labels.iter().map(|label| Protocol::parse(label.trim()).with_context(|| format!("{label:?}"))).collect()
}

fn dns(args: &Args, config: Option<&Checked>) -> Result<Arc<dyn Dns>> {
    match (&args.zone, config) {
        (Some(path), _) => Ok(Arc::new(zone::read(path)?)),
        (None, Some(checked)) => zone::dns(&checked.config.dns),
        (None, None) => zone::dns(&config::Dns::default()),
    }
}

/// The protocol a sender's address belongs to: by its scheme, or by the configured adapter of its domain.
fn protocol_of(from: &str, config: Option<&Checked>) -> Result<Option<Protocol>> {
    let (scheme, rest) = from.split_once(':').unwrap_or(("", from));
    match scheme {
        "sip" | "sips" => return Ok(Some(Protocol::SIP)),
        "xmpp" => return Ok(Some(Protocol::XMPP)),
        "" | "im" | "pres" => {}
        other => bail!("--from {from}: {other}: is no scheme of a sender"),
    }
    let Some(checked) = config else { return Ok(scheme.is_empty().then_some(Protocol::XMPP)) };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host).split(['/', ';', '?']).next().unwrap_or_default();
    let domain = Domain::parse_host(host).with_context(|| format!("--from {from}"))?;
    let entry = checked.config.domain.iter().find(|entry| entry.name == domain);
    let instance = entry.and_then(|entry| entry.adapter.as_ref());
    let adapter = checked.adapters.iter().find(|(name, _)| Some(name) == instance);
    Ok(match adapter.map(|(_, adapter)| adapter.type_name()) {
        Some("sip") => Some(Protocol::SIP),
        Some("xmpp" | "xmpp-component") => Some(Protocol::XMPP),
        Some(_) | None => None,
    })
}

fn print(args: &Args, resolution: &Resolution) -> Result<Ended> {
    if args.json {
        let mut value = serde_json::to_value(resolution)?;
        if let Value::Object(fields) = &mut value {
            fields.shift_insert(0, "uri".to_owned(), json!(args.uri));
        }
        output::json(&value)?;
    } else {
        output::text(&describe(&args.uri, resolution))?;
    }
    Ok(Ended::well_if(matches!(resolution.outcome, Outcome::Deliver | Outcome::Local)))
}

/// The decision for a person: every step, then the result.
fn describe(uri: &str, resolution: &Resolution) -> String {
    let mut text = String::new();
    for step in &resolution.steps {
        let what = step.query.as_deref().unwrap_or("-");
        text.push_str(&format!("  {what:<44} {:<22} {}\n", step.result, step.why));
    }
    text.push_str(uri);
    match (&resolution.protocol, &resolution.reason) {
        (Some(protocol), _) => text.push_str(&format!(": served by {protocol}")),
        (None, Some(reason)) => text.push_str(&format!(": no way: {reason}")),
        (None, None) => text.push_str(": served here"),
    }
    for target in &resolution.targets {
        let addresses: Vec<_> = target.addresses.iter().map(ToString::to_string).collect();
        let transport = target.transport.map(|transport| format!(" {transport}")).unwrap_or_default();
        let shown = if addresses.is_empty() { "no address, skipped".to_owned() } else { addresses.join(" ") };
        text.push_str(&format!(
            "\n  {}:{}{transport}  priority {} weight {}  {shown}",
            target.target, target.port, target.priority, target.weight
        ));
    }
    text
}
