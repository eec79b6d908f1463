//! `interlingua watch`

use adapter_native::client::{Client, Incoming, Received};
use adapter_native::wire::MessageEvent;
use anyhow::{Context, Result};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::server::Server;
use crate::cli::Ended;
use crate::{output, show};

/// Print what arrives for a native user, and acknowledge it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// The device; each has its own place in the events
    #[arg(long, default_value = "main")]
    device: String,
    /// End after so many events
    #[arg(long, value_name = "NUMBER")]
    count: Option<usize>,
    /// Do not acknowledge: the sender will not hear that it arrived
    #[arg(long)]
    no_ack: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let client = args.server.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(args, &client))?;
    Ok(Ended::Well)
}

async fn watch(args: &Args, client: &Client) -> Result<()> {
    let mut events = client.events(&args.device, None).await.map_err(|error| args.server.explain(error))?;
    let mut left = args.count.unwrap_or(usize::MAX);
    while left > 0 {
        let received = events.next().await.context("the gateway has closed the stream")?;
        let received = received.map_err(|error| args.server.explain(error))?;
        if args.json {
            output::json(&as_json(&received))?;
        } else {
            output::text(&describe(&received.event))?;
        }
        if !args.no_ack {
            client.ack(&args.device, received.id).await.map_err(|error| args.server.explain(error))?;
        }
        left -= 1;
    }
    Ok(())
}

fn as_json(received: &Received) -> Value {
    match &received.event {
        Incoming::Message(message) => json!({ "id": received.id, "type": "message", "data": message }),
        Incoming::Other { kind, data } => json!({ "id": received.id, "type": kind, "data": parsed(data) }),
        _ => json!({ "id": received.id }),
    }
}

/// What the event says; as text if it is no JSON after all.
fn parsed(data: &str) -> Value {
    serde_json::from_str(data).unwrap_or_else(|_| data.into())
}

fn describe(event: &Incoming) -> String {
    match event {
        Incoming::Message(message) => describe_message(message),
        Incoming::Other { kind, data } => {
            let data = output::foreign(&show::describe(&parsed(data)));
            format!("[{kind}]\n    {}", data.trim_end())
        }
        _ => String::new(),
    }
}

fn describe_message(message: &MessageEvent) -> String {
    let subject = message.subject.as_deref().map(|subject| format!(" [{subject}]")).unwrap_or_default();
    output::foreign(&format!("{}{subject}: {}", message.from, message.body))
}
