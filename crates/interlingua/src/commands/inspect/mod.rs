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
use crate::{output, show};

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
        output::text(&show::describe(&report))?;
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
