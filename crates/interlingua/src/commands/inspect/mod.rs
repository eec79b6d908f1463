//! `interlingua inspect`

pub mod sip;
pub mod stanza;
pub mod uri;

use std::io::Read;

use anyhow::{Context, Result};
use clap::Subcommand;
use impp_model::datetime::DateTimeReport;
use serde_json::Value;

use crate::cli::Ended;
use crate::output;

/// Parse standard input and print what it is, or the error with its position
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A date-time (RFC 3339), with the profiles of PIDF and XMPP
    Datetime(Format),
    /// A URI: im, pres, sip, sips, xmpp
    Uri {
        /// Tell whether the URI on standard input is equivalent to this one
        #[arg(long, value_name = "URI")]
        compare: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// A SIP message, as octets with CR LF
    Sip(Format),
    /// An XMPP stanza
    Stanza(Format),
}

#[derive(Debug, clap::Args)]
struct Format {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let mut input = Vec::new();
    std::io::stdin().lock().read_to_end(&mut input).context("cannot read standard input")?;
    let (report, format) = match &args.what {
        What::Datetime(format) => (serde_json::to_value(DateTimeReport::inspect(&line(&input)))?, format),
        What::Uri { compare: Some(other), format } => (uri::compare(&line(&input), other), format),
        What::Uri { compare: None, format } => (uri::inspect(&line(&input)), format),
        What::Sip(format) => (sip::inspect(&input), format),
        What::Stanza(format) => (stanza::inspect(&input), format),
    };
    if format.json {
        output::json(&report)?;
    } else {
        output::text(&describe(&report, 0))?;
    }
    Ok(Ended::well_if(is_good(&report)))
}

/// One line of text without its end.
fn line(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}

fn is_good(report: &Value) -> bool {
    let good = |key: &str, good: Value| report.get(key).is_none_or(|value| *value == good);
    good("valid", Value::Bool(true)) && good("result", Value::from("ok")) && good("equivalent", Value::Bool(true))
}

/// The report as indented lines.
fn describe(report: &Value, indent: usize) -> String {
    let mut text = String::new();
    let entries: Vec<(String, &Value)> = match report {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{name}: "), value)).collect(),
        Value::Array(items) => items.iter().map(|value| ("- ".to_owned(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return scalar(report),
    };
    for (label, value) in entries.into_iter().filter(|(_, value)| !value.is_null()) {
        let nested = value.as_object().is_some_and(|fields| !fields.is_empty())
            || value.as_array().is_some_and(|items| items.iter().any(|item| item.is_object() || item.is_array()));
        let value = match value {
            value if nested => format!("\n{}", describe(value, indent + 2)),
            Value::Array(items) => format!("{}\n", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
            other => format!("{}\n", scalar(other)),
        };
        text.push_str(&format!("{:indent$}{}{value}", "", if nested { label.trim_end() } else { &label }));
    }
    text
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
