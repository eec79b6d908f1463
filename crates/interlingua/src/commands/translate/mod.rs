//! `interlingua translate`: one message through the hub's model, without a network.

mod read;
mod write;

use std::io::Read;
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::ValueEnum;
use impp_model::domain::Domain;
use impp_model::{Address, Cause, Endpoint, Failure, Side};
use serde::Serialize;

use crate::cli::Ended;
use crate::output;

/// Translate one message from standard input into another protocol
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The protocol of the message
    #[arg(long)]
    from: Protocol,
    /// The protocol to translate it to
    #[arg(long)]
    to: Protocol,
    /// Who sends it, for a native message, which does not say so itself
    #[arg(long = "as", value_name = "ADDRESS", default_value = "sender@native.example")]
    sender: Address,
    /// The gateway's own name, as it stands in Via
    #[arg(long, value_name = "NAME", default_value = "gw.example.net")]
    gateway: Domain,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A protocol that messages can be translated between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// A SIP MESSAGE request, as octets with CR LF
    Sip,
    /// An XMPP message stanza
    Xmpp,
    /// The JSON of POST /v1/messages, or of a message event
    Native,
}

/// What a translation depends on besides the message.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The sender of a native message.
    pub sender: Endpoint,
    /// The gateway's own name.
    pub gateway: String,
    /// The time of day.
    pub now: SystemTime,
}

/// What came of a translation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Translation {
    /// The message in the other protocol.
    Translated {
        /// As it would go over the wire.
        output: String,
        /// Fields that arrive in a poorer form.
        degraded: Vec<&'static str>,
        /// Fields that do not arrive.
        dropped: Vec<&'static str>,
    },
    /// Nothing would be sent, and nobody told: there is nothing to deliver.
    Nothing {
        /// Why not.
        reason: String,
    },
    /// The sender would be told that it can't be delivered.
    Refused {
        /// The reason code.
        reason: &'static str,
        /// For a person.
        text: String,
        /// What a SIP sender would be told.
        sip_status: u16,
        /// What an XMPP sender would be told.
        stanza_error: &'static str,
    },
}

/// Why a message is not translated.
enum Stop {
    Nothing(String),
    Refused { failure: Box<Failure>, sip_status: Option<u16>, full: bool },
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Refused { failure: Box::new(failure), sip_status: None, full: false }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let mut input = Vec::new();
    std::io::stdin().lock().read_to_end(&mut input).context("cannot read standard input")?;
    let sender = Endpoint::bare(args.sender.clone());
    let setting = Setting { sender, gateway: args.gateway.to_string(), now: SystemTime::now() };
    let translation = translate(args.from, args.to, &input, &setting);
    let ended = Ended::well_if(!matches!(translation, Translation::Refused { .. }));
    if args.json {
        output::json(&translation)?;
    } else {
        show(&translation)?;
    }
    Ok(ended)
}

fn show(translation: &Translation) -> Result<()> {
    match translation {
        Translation::Translated { output, degraded, dropped } => {
            output::text(output)?;
            for (what, fields) in [("degraded", degraded), ("dropped", dropped)] {
                if !fields.is_empty() {
                    output::diagnose(&format!("{what}: {}", fields.join(", ")));
                }
            }
        }
        Translation::Nothing { reason } => output::diagnose(&format!("nothing to deliver: {reason}")),
        Translation::Refused { reason, text, sip_status, stanza_error } => {
            output::diagnose(&format!("refused: {reason}: {text} (SIP {sip_status}, XMPP {stanza_error})"));
        }
    }
    Ok(())
}

/// Translates one message.
pub fn translate(from: Protocol, to: Protocol, input: &[u8], setting: &Setting) -> Translation {
    let result = read::read(from, input, setting).and_then(|mut read| {
        // RFC 3860 §3.4.2: the hub takes one hop off.
        let hops = read.operation.max_forwards.decremented();
        read.operation.max_forwards = hops.ok_or_else(|| Failure::new(Side::Near, Cause::HopsExhausted))?;
        let written = write::write(to, &read.operation, setting)?;
        let mut degraded = read.degraded;
        let mut dropped = read.dropped;
        degraded.extend(written.degraded);
        dropped.extend(written.dropped);
        for fields in [&mut degraded, &mut dropped] {
            fields.sort_unstable();
            fields.dedup();
        }
        degraded.retain(|field| !dropped.contains(field));
        Ok(Translation::Translated { output: written.output, degraded, dropped })
    });
    match result {
        Ok(translation) => translation,
        Err(Stop::Nothing(reason)) => Translation::Nothing { reason },
        Err(Stop::Refused { failure, sip_status, full }) => refused(&failure, sip_status, full),
    }
}

fn refused(failure: &Failure, sip_status: Option<u16>, full: bool) -> Translation {
    Translation::Refused {
        reason: failure.cause.code(),
        text: failure.text.clone().unwrap_or_default(),
        sip_status: sip_status.unwrap_or_else(|| adapter_sip::mapping::error::to_sip_status(failure, full)),
        stanza_error: adapter_xmpp::mapping::error::to_stanza_error(failure).condition.as_str(),
    }
}
