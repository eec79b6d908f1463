//! The command line: every command, and how a process ends.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    adapter, address, check, config, demo, doctor, explain, inspect, manual, resolve, running, send, serve, store,
    translate, watch,
};
use crate::examples;

/// A gateway between instant-messaging networks: SIP/SIMPLE, XMPP and a native protocol.
#[derive(Debug, Parser)]
#[command(name = "interlingua", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 success, 1 refused or failed, 2 wrong usage. \
    Results go to standard output, diagnostics to standard error.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Demo(demo::Args),
    Address(address::Args),
    Inspect(inspect::Args),
    Translate(translate::Args),
    Resolve(resolve::Args),
    Explain(explain::Args),
    Doctor(doctor::Args),
    Send(send::Args),
    Watch(watch::Args),
    Health(running::HealthArgs),
    Status(running::StatusArgs),
    Peers(running::PeersArgs),
    Subscriptions(running::SubscriptionsArgs),
    Trace(running::TraceArgs),
    Queue(running::QueueArgs),
    Reload(running::ReloadArgs),
    Store(store::Args),
    Config(config::Args),
    Adapter(adapter::Args),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

/// How a command that ran to its end ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did what it was asked to.
    Well,
    /// What it was asked about was refused, or failed.
    Refused,
    /// It was asked for something that makes no sense.
    Misused,
}

impl Ended {
    /// `Well` if `good`, else `Refused`.
    pub fn well_if(good: bool) -> Self {
        if good { Self::Well } else { Self::Refused }
    }
}

/// The whole command line with its help; each command with its examples.
pub(crate) fn command() -> clap::Command {
    examples::attach(Cli::command())
}

/// Reads the command line, runs the command and says how it ended.
pub fn main() -> ExitCode {
    let given = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    let result = match given.command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Address(args) => address::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Resolve(args) => resolve::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Health(args) => running::health(&args),
        Command::Status(args) => running::status(&args),
        Command::Peers(args) => running::peers(&args),
        Command::Subscriptions(args) => running::subscriptions(&args),
        Command::Trace(args) => running::trace(&args),
        Command::Queue(args) => running::queue(&args),
        Command::Reload(args) => running::reload(&args),
        Command::Store(args) => store::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Adapter(args) => adapter::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match result {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Refused) => ExitCode::FAILURE,
        Ok(Ended::Misused) => ExitCode::from(2),
        Err(error) => {
            // A script that asked for JSON gets it, whatever happened.
            if std::env::args().any(|argument| argument == "--json") {
                let _ = crate::output::json(&serde_json::json!({ "error": format!("{error:#}") }));
            }
            crate::output::diagnose(&format!("interlingua: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
