//! Checks that the repository keeps its own promises: `cargo xtask rfc` and `cargo xtask pure`.
#![allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

mod problem;
mod pure;
mod rfc;
mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::problem::Problem;

/// The command line.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "Repository checks")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks rule marks and citations, then writes the conformance ledger and the README's support table
    Rfc {
        /// Writes nothing; fails when the written text is stale
        #[arg(long)]
        check: bool,
    },
    /// Checks that the protocol machines hold no runtime, no socket and no clock
    Pure,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => report(&problems),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<Vec<Problem>> {
    let root = root()?;
    match command {
        Command::Rfc { check } => rfc::run(&root, *check),
        Command::Pure => pure::run(&root),
    }
}

fn report(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    eprintln!("{} problems", problems.len());
    ExitCode::FAILURE
}

/// The repository, two levels above this crate.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_path_buf).context("the xtask crate lies in crates/xtask")
}
