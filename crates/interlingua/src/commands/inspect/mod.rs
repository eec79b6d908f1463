//! `interlingua inspect`

pub mod cpim;
pub mod pidf;
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
    /// A message/cpim object (RFC 3862), alone or under MIME headers, as octets with CR LF
    Cpim {
        /// Whose rules it has to satisfy
        #[arg(long, value_enum, default_value = "base")]
        profile: cpim::ProfileName,
        #[command(flatten)]
        format: Format,
    },
    /// A date-time (RFC 3339), with the profiles of PIDF and XMPP; one line end behind it, LF or CR LF, is the shell's
    Datetime(Format),
    /// A presence document (RFC 3863)
    Pidf {
        /// The Content-Type it came with, whose charset overrides the document's own
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// A URI: im, pres, sip, sips, xmpp; one line end behind it, LF or CR LF, is the shell's
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
        What::Cpim { profile, format } => (cpim::inspect(&input, *profile)?, format),
        What::Datetime(format) => (serde_json::to_value(DateTimeReport::inspect(&line(&input)))?, format),
        What::Pidf { content_type, format } => (pidf::inspect(&input, content_type.as_deref())?, format),
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
