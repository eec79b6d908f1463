//! `interlingua inspect`

pub mod cpim;
pub mod pidf;
pub mod sip;
pub mod stanza;
pub mod uri;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use impp_model::datetime::DateTimeReport;
use serde_json::Value;

use crate::cli::Ended;
use crate::{input, output, show};

/// Parse a file, an argument or standard input and print what it is, or the error with its position
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A message/cpim object (RFC 3862), alone or under MIME headers, as octets with CR LF
    Cpim {
        /// Whose rules it has to satisfy
        #[arg(long, value_enum, default_value = "base")]
        profile: cpim::ProfileName,
        #[command(flatten)]
        input: Octets,
    },
    /// A date-time (RFC 3339), with the profiles of PIDF and XMPP
    Datetime(Line),
    /// A presence document (RFC 3863)
    Pidf {
        /// The Content-Type it came with, whose charset overrides the document's own
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
        #[command(flatten)]
        input: Octets,
    },
    /// A URI: im, pres, sip, sips, xmpp
    Uri {
        /// Tell whether the URI is equivalent to this one
        #[arg(long, value_name = "URI")]
        compare: Option<String>,
        #[command(flatten)]
        input: Line,
    },
    /// A SIP message, as octets with CR LF
    Sip(Octets),
    /// An XMPP stanza
    Stanza(Octets),
}

/// What is looked at octet for octet.
#[derive(Debug, clap::Args)]
struct Octets {
    /// The file to read; without it standard input
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is one line.
#[derive(Debug, clap::Args)]
struct Line {
    /// The text; without it standard input, where one line end behind it, LF or CR LF, is the shell's
    text: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Octets {
    fn read(&self) -> Result<Vec<u8>> {
        input::read(self.file.as_deref())
    }
}

impl Line {
    fn read(&self) -> Result<String> {
        self.text.clone().map_or_else(|| Ok(line(&input::read(None)?)), Ok)
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let (report, json) = match &args.what {
        What::Cpim { profile, input } => (cpim::inspect(&input.read()?, *profile)?, input.json),
        What::Datetime(input) => (serde_json::to_value(DateTimeReport::inspect(&input.read()?))?, input.json),
        What::Pidf { content_type, input } => (pidf::inspect(&input.read()?, content_type.as_deref())?, input.json),
        What::Uri { compare: Some(other), input } => (uri::compare(&input.read()?, other), input.json),
        What::Uri { compare: None, input } => (uri::inspect(&input.read()?), input.json),
        What::Sip(input) => (sip::inspect(&input.read()?), input.json),
        What::Stanza(input) => (stanza::inspect(&input.read()?), input.json),
    };
    if json {
        output::json(&report)?;
    } else {
        output::text(&show::describe(&report))?;
    }
    Ok(Ended::well_if(is_good(&report)))
}

/// The text without the one line end that a shell adds; anything else belongs to it.
fn line(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text).to_owned()
}

/// Whether each verdict in the report is a good one; a protected message/cpim object has none.
fn is_good(report: &Value) -> bool {
    let good = |verdict: &str, good: &[Value]| report.pointer(verdict).is_none_or(|found| good.contains(found));
    good("/valid", &[true.into()])
        && good("/equivalent", &[true.into()])
        && good("/result", &["ok".into(), "accept".into()])
        && good("/strict/result", &["ok".into()])
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn one_line_end_is_the_shells_and_no_more() {
        for (input, expected) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\r", "a\r"), ("a\n\n", "a\n"), (" a ", " a ")]
        {
            assert_eq!(line(input.as_bytes()), expected);
        }
    }
}
