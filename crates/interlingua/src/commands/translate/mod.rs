//! `interlingua translate`: one message, word about one, or a presence notification through the hub's model, without a network.

mod presence;
mod read;
mod word;
mod write;

use std::path::PathBuf;
use std::time::SystemTime;

use adapter_xmpp::mapping::e2e;
use anyhow::Result;
use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use impp_model::domain::Domain;
use impp_model::{
    Address, Cause, ComposingOperation, DispositionOperation, Endpoint, Failure, Mapped, MessageOperation,
    PresenceInfo, Side,
};
use serde::Serialize;
use strict_xml::Element;

use crate::cli::Ended;
use crate::{input, output};

/// Translate one message, receipt, typing notification or presence notification, of a file or standard input, into another protocol
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The protocol it is in
    #[arg(long)]
    from: Protocol,
    /// The protocol to translate it to
    #[arg(long)]
    to: Protocol,
    /// Who sends it, where it does not say so itself: native requests, enveloped objects
    #[arg(long = "as", value_name = "ADDRESS", default_value = "sender@native.example")]
    sender: Address,
    /// Whom it is for, where it does not say so itself: presence without `to`, enveloped objects
    #[arg(long = "for", value_name = "ADDRESS", default_value = "receiver@native.example")]
    receiver: Address,
    /// The gateway's own name, as it stands in Via
    #[arg(long, value_name = "NAME", default_value = "gw.example.net")]
    gateway: Domain,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The file to read; without it standard input
    file: Option<PathBuf>,
}

/// A protocol or format that messages and presence can be translated between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// A SIP MESSAGE or NOTIFY request, as octets with CR LF
    Sip,
    /// An XMPP message stanza, or presence stanzas of one user
    Xmpp,
    /// The JSON of POST /v1/messages, /v1/dispositions, /v1/composing or PUT /v1/presence, or of one of their events
    Native,
    /// A message/cpim object, alone or under MIME headers, as octets with CR LF
    Cpim,
    /// A presence document
    Pidf,
}

/// What a translation depends on besides the message.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Who sends what does not say so itself.
    pub sender: Endpoint,
    /// Whom it is for when it does not say so itself.
    pub receiver: Endpoint,
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

/// What the hub's model carries.
enum Carried {
    Message(Box<MessageOperation>),
    Presence(Box<Notice>),
    Disposition(Box<DispositionOperation>),
    Composing(Box<ComposingOperation>),
}

/// A presence notification.
struct Notice {
    presentity: Address,
    watcher: Endpoint,
    info: PresenceInfo,
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
    let input = input::read(args.file.as_deref())?;
    let [sender, receiver] = [&args.sender, &args.receiver].map(|address| Endpoint::bare(address.clone()));
    let setting = Setting { sender, receiver, gateway: args.gateway.to_string(), now: SystemTime::now() };
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

/// Translates one message or presence notification.
pub fn translate(from: Protocol, to: Protocol, input: &[u8], setting: &Setting) -> Translation {
    // RFC 3862 §2.2, §3.5: an object goes on as it came, and what it requires is its recipient's to understand.
    if let Some(object) = (to == Protocol::Cpim).then(|| read::object(from, input)).flatten() {
        return match String::from_utf8(object.into()) {
            Ok(output) => Translation::Translated { output, degraded: Vec::new(), dropped: Vec::new() },
            Err(_) => stopped(binary()),
        };
    }
    let result = read::read(from, input, setting).and_then(|read| {
        // RFC 7247 §8: what demands TLS on every hop goes on as it is or not at all.
        let relayed = from == Protocol::Pidf && matches!(to, Protocol::Sip | Protocol::Cpim | Protocol::Pidf);
        if !relayed && read::demands_tls(from, input) {
            return Err(read::by_status(480, &"a sips: URI demands what other networks do not promise"));
        }
        let Mapped { value: carried, degraded, dropped } = read;
        let mut losses = Mapped { value: (), degraded, dropped };
        let written = match carried {
            Carried::Message(operation) => write_message(from, to, *operation, &mut losses, setting)?,
            Carried::Presence(notice) => write_presence(to, &notice, &mut losses, setting)?,
            Carried::Disposition(word) => word::write_disposition(to, *word, setting)?,
            Carried::Composing(told) => word::write_composing((from, to), *told, setting)?,
        };
        let Mapped { mut degraded, mut dropped, .. } = losses;
        degraded.extend(written.degraded);
        dropped.extend(written.dropped);
        for fields in [&mut degraded, &mut dropped] {
            fields.sort_unstable();
            fields.dedup();
        }
        degraded.retain(|field| !dropped.contains(field));
        let output = String::from_utf8(written.value.into()).map_err(|_| binary())?;
        Ok(Translation::Translated { output, degraded, dropped })
    });
    result.unwrap_or_else(stopped)
}

fn stopped(stop: Stop) -> Translation {
    match stop {
        Stop::Nothing(reason) => Translation::Nothing { reason },
        Stop::Refused { failure, sip_status, full } => refused(&failure, sip_status, full),
    }
}

fn write_message(
    from: Protocol,
    to: Protocol,
    mut operation: MessageOperation,
    losses: &mut Mapped<()>,
    setting: &Setting,
) -> Result<Mapped<Bytes>, Stop> {
    // RFC 3860 §3.4.2: the hub takes one hop off.
    let hops = operation.max_forwards.decremented();
    operation.max_forwards = hops.ok_or_else(|| Failure::new(Side::Near, Cause::HopsExhausted))?;
    // RFC 3862 §2.2: the object that a MESSAGE holds goes on whole.
    if (from, to) == (Protocol::Sip, Protocol::Sip) && operation.message.object.is_some() {
        *losses = Mapped::default();
    }
    // RFC 3922 §4.2.4: DateTime is when it was written, not how late it is.
    if (from, to) == (Protocol::Cpim, Protocol::Xmpp) && operation.message.sent.take().is_some() {
        losses.dropped.push("sent");
    }
    write::write(from, to, &operation, setting)
}

fn write_presence(
    to: Protocol,
    notice: &Notice,
    losses: &mut Mapped<()>,
    setting: &Setting,
) -> Result<Mapped<Bytes>, Stop> {
    if presence::is_relayed(to, notice) {
        *losses = Mapped::default();
    } else if pidf::mapping::is_silent(&notice.info, &losses.dropped) {
        return Err(Stop::Nothing("nothing is said of any device's availability".to_owned()));
    }
    presence::write(to, notice, setting)
}

/// A stanza by itself, in the namespace that a client's stream would give it.
fn stanza(output: &mut BytesMut, stanza: &Element) {
    e2e::encode(output, stanza, "");
}

/// CMP-070, SM-04: what only the addressee can read is neither taken apart nor shown.
fn unreadable() -> Stop {
    Failure::new(Side::Near, Cause::NotAcceptable).with_text("end-to-end protected content cannot be translated").into()
}

/// JSON and a terminal hold text only.
fn binary() -> Stop {
    Failure::new(Side::Far, Cause::UnsupportedMedia).with_text("the output is binary and can't be shown").into()
}

fn refused(failure: &Failure, sip_status: Option<u16>, full: bool) -> Translation {
    Translation::Refused {
        reason: failure.cause.code(),
        text: failure.text.clone().unwrap_or_default(),
        sip_status: sip_status.unwrap_or_else(|| adapter_sip::mapping::error::to_sip_status(failure, full)),
        stanza_error: adapter_xmpp::mapping::error::to_stanza_error(failure).condition.as_str(),
    }
}
