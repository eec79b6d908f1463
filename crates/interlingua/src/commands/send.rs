//! `interlingua send`

use std::io::Read;

use adapter_native::client::{Client, ClientError};
use adapter_native::wire::{DeliveryStatus, SendMessage, SendResult};
use anyhow::{Context, Result};
use serde_json::json;

use super::server::Server;
use crate::cli::Ended;
use crate::output;

/// Send one message as a native user, and say what became of it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The addressee: juliet@example.com or im:juliet@example.com
    to: String,
    /// The text; without it standard input
    text: Option<String>,
    #[command(flatten)]
    server: Server,
    /// The subject
    #[arg(long)]
    subject: Option<String>,
    /// The conversation it belongs to
    #[arg(long)]
    thread: Option<String>,
    /// The language, as en or de
    #[arg(long)]
    lang: Option<String>,
    /// An id of one's own; the same id again sends nothing and gives the first result
    #[arg(long)]
    id: Option<String>,
    /// The media type
    #[arg(long, default_value = "text/plain")]
    content_type: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let body = match &args.text {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).context("standard input is not text in UTF-8")?;
            text
        }
    };
    let message = SendMessage {
        to: args.to.clone(),
        content_type: args.content_type.clone(),
        body,
        subject: args.subject.clone(),
        thread: args.thread.clone(),
        lang: args.lang.clone(),
        id: args.id.clone(),
        ..SendMessage::default()
    };
    let client = args.server.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(send(&client, &message)) {
        Ok(result) => {
            if args.json {
                output::json(&result)?;
            } else {
                output::text(&describe(&result))?;
            }
            Ok(Ended::well_if(result.status != DeliveryStatus::Failure))
        }
        Err(ClientError::Refused { status, error, field, problem, .. }) if args.json => {
            output::json(
                &json!({ "status": "refused", "http_status": status, "error": error, "field": field, "problem": problem }),
            )?;
            Ok(Ended::Refused)
        }
        Err(error) => Err(args.server.explain(error)),
    }
}

async fn send(client: &Client, message: &SendMessage) -> Result<SendResult, ClientError> {
    client.send(message).await
}

fn describe(result: &SendResult) -> String {
    let proof = result.proof.as_deref().unwrap_or_default();
    let what = match result.status {
        DeliveryStatus::Success => format!("delivered ({proof})"),
        DeliveryStatus::Indeterminant => "accepted, no final word".to_owned(),
        DeliveryStatus::Failure => {
            let text = result.text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            format!("failed ({}){text}", result.reason.as_deref().unwrap_or_default())
        }
    };
    output::foreign(&format!("{what}  trace {}", result.trace))
}
