//! `interlingua demo`: a gateway and its peers in one process, over real sockets on loopback.

mod native_user;
mod report;
mod sip_user;
mod world;
mod xmpp_domain;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::Ended;
use crate::output;
use world::World;

/// Start a gateway on loopback with simulated peers, and send messages and presence between all of them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after the report, with status 0 if everything was as expected
    #[arg(long)]
    exit: bool,
    /// Print the report as one JSON object
    #[arg(long, requires = "exit")]
    json: bool,
}

/// A user of the demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Sip,
    Xmpp,
    Native,
}

impl Side {
    const ALL: [Self; 3] = [Self::Sip, Self::Xmpp, Self::Native];

    /// As the report names it.
    fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Xmpp => "xmpp",
            Self::Native => "native",
        }
    }

    fn domain(self) -> &'static str {
        match self {
            Self::Sip => "sip.demo.example",
            Self::Xmpp => "xmpp.demo.example",
            Self::Native => "native.demo.example",
        }
    }

    /// The one user there is on this side.
    fn user(self) -> &'static str {
        match self {
            Self::Sip => "romeo",
            Self::Xmpp => "juliet",
            Self::Native => "carol",
        }
    }

    /// The status text that watchers of this user see.
    fn note(self) -> &'static str {
        match self {
            Self::Sip => "Grüße vom Balkon",
            Self::Xmpp => "im Garten",
            Self::Native => "at home 🏡",
        }
    }

    fn address(self) -> String {
        format!("{}@{}", self.user(), self.domain())
    }
}

/// A message as a user got it, or a contact's presence as it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    by: Side,
    from: String,
    text: String,
}

impl Heard {
    /// That `by` saw `of` there, with this status text.
    fn seen(by: Side, of: String, note: &str) -> Self {
        Self { by, from: of, text: format!("there: {note}") }
    }
}

/// What a sender is told of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Accepted(String),
    Refused(String),
}

/// All steps of the report together take well under a second; what hangs must not hang for long.
const REPORT_LIMIT: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(demo(args))?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(ended)
}

async fn demo(args: &Args) -> Result<Ended> {
    let late = "the demonstration took too long";
    let mut world = tokio::time::timeout(REPORT_LIMIT, World::start()).await.context(late)??;
    if !args.json {
        output::text(&world.describe())?;
    }
    let rows = tokio::time::timeout(REPORT_LIMIT, report::run(&mut world, !args.json)).await.context(late)??;
    let good = report::show(&rows, args.json)?;
    if !args.exit {
        output::text(&world.hints())?;
        keep_serving(&mut world).await?;
    }
    world.stop().await;
    Ok(Ended::well_if(good))
}

/// Shows what the simulated users get until Ctrl-C.
async fn keep_serving(world: &mut World) -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            heard = world.heard.recv() => {
                let Some(Heard { by, from, text }) = heard else { return Ok(()) };
                output::text(&output::foreign(&format!("{} got from {from}: {text}", by.address())))?;
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = world.gateway.adapter_failed() => return Ok(()),
        }
    }
}
