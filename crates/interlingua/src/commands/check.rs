//! `interlingua check`

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::cli::Ended;
use crate::config::count;
use crate::{config, output};

/// Report all problems of a configuration file, each with key, line, value and remedy
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let (problems, warnings, text) = match config::load(&args.config) {
        Ok(checked) => {
            let report = config::Report { file: args.config.clone(), problems: vec![], warnings: checked.warnings };
            let text = report.text();
            (vec![], report.warnings, text)
        }
        Err(report) => {
            let text = report.text();
            (report.problems, report.warnings, text)
        }
    };
    let ended = Ended::well_if(problems.is_empty());
    if args.json {
        let good = problems.is_empty();
        output::json(&json!({ "file": args.config, "ok": good, "problems": problems, "warnings": warnings }))?;
    } else {
        output::text(&format!("{text}{}", verdict(&args.config, problems.len(), warnings.len())))?;
    }
    Ok(ended)
}

fn verdict(file: &Path, problems: usize, warnings: usize) -> String {
    let file = file.display();
    match (problems, warnings) {
        (0, 0) => format!("{file}: no problems"),
        (0, warnings) => format!("{file}: no problems, {}", count(warnings, "warning")),
        (problems, 0) => format!("{file}: {}", count(problems, "problem")),
        (problems, warnings) => format!("{file}: {}, {}", count(problems, "problem"), count(warnings, "warning")),
    }
}
