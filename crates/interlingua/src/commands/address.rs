//! `interlingua address`: one address in another network's form (RFC 7247 §6).

use std::borrow::Cow;

use adapter_sip::mapping::address::{self as sip, AddressRefusal};
use adapter_xmpp::mapping::address as xmpp;
use anyhow::Result;
use clap::ValueEnum;
use impp_model::uri::XmppUri;
use impp_model::{Address, Device, Domain, Endpoint};
use serde::Serialize;
use serde_json::json;
use sip_proto::uri::{self, Scheme, SipUri, SipUriBuilder};
use xmpp_proto::jid::Jid;

use crate::cli::Ended;
use crate::output;

/// Show an address in the form of another network (RFC 7247 §6)
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A JID, or a URI: sip, sips, im, pres, xmpp
    address: String,
    /// The form to show it in
    #[arg(long)]
    to: Form,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The form of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// sip: URI, the device as its gr parameter
    Sip,
    /// sips: URI
    Sips,
    /// JID, the device as its resource
    Xmpp,
    /// im: URI
    Im,
    /// pres: URI
    Pres,
}

/// Why an address has no such form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{class}: {text}")]
pub struct Refused {
    /// One of the classes of the contract.
    pub class: &'static str,
    /// For a person.
    pub text: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let result = map(&args.address, args.to);
    let ended = Ended::well_if(result.is_ok());
    match (result, args.json) {
        (Ok(output), true) => output::json(&json!({ "input": args.address, "output": output, "error": null }))?,
        (Err(error), true) => output::json(&json!({ "input": args.address, "output": null, "error": error }))?,
        (Ok(output), false) => output::text(&output)?,
        (Err(error), false) => output::diagnose(&error.to_string()),
    }
    Ok(ended)
}

/// The address in another form.
pub fn map(input: &str, to: Form) -> Result<String, Refused> {
    let name = read(input)?;
    match to {
        Form::Sip => Ok(name.to_sip(Scheme::Sip)),
        Form::Sips => Ok(name.to_sip(Scheme::Sips)),
        Form::Xmpp => name.to_jid(),
        Form::Im => Ok(name.address()?.to_im_uri()),
        Form::Pres => Ok(name.address()?.to_pres_uri()),
    }
}

/// Whom an address of any form names.
pub(crate) fn read_address(input: &str) -> Result<Address, Refused> {
    read(input)?.address()
}

/// An address in decoded parts. Unlike an [`Endpoint`] it may name a domain alone.
struct Name {
    local: Option<String>,
    domain: Domain,
    device: Option<String>,
}

impl From<Endpoint> for Name {
    fn from(end: Endpoint) -> Self {
        Self {
            local: Some(end.address.local().to_owned()),
            domain: end.address.domain().clone(),
            device: end.device.as_ref().map(|device| device.as_str().to_owned()),
        }
    }
}

impl Name {
    fn to_sip(&self, scheme: Scheme) -> String {
        let uri = SipUriBuilder::new(scheme, self.local.as_deref(), self.domain.as_str());
        match &self.device {
            Some(device) => uri.param("gr", Some(device)).build(),
            None => uri.build(),
        }
    }

    fn to_jid(&self) -> Result<String, Refused> {
        xmpp::join(self.local.as_deref(), &self.domain, self.device.as_deref())
            .map(|jid| jid.as_str().to_owned())
            .map_err(|error| Refused { class: error.class(), text: error.to_string() })
    }

    fn address(&self) -> Result<Address, Refused> {
        let bad = |text: String| Refused { class: "bad-uri", text };
        let local = self.local.as_deref().ok_or_else(|| bad("a domain alone names no inbox".to_owned()))?;
        Address::new(local, self.domain.clone()).map_err(|error| bad(error.to_string()))
    }
}

fn read(input: &str) -> Result<Name, Refused> {
    match scheme_of(input).map(str::to_ascii_lowercase).as_deref() {
        None => read_jid(input),
        Some("xmpp") => read_xmpp_uri(input),
        Some("sip" | "sips") => read_sip(input),
        Some(_) => sip::from_sip_uri(input).map(Name::from).map_err(refused),
    }
}

/// The scheme, if this is a URI: a JID has none of these characters before its first colon.
fn scheme_of(input: &str) -> Option<&str> {
    let (scheme, _) = input.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain)).then_some(scheme)
}

fn read_jid(input: &str) -> Result<Name, Refused> {
    let malformed = |error: &dyn std::fmt::Display| Refused { class: "jid-malformed", text: error.to_string() };
    let jid = Jid::parse(input).map_err(|error| malformed(&error))?;
    let (local, domain) = xmpp::split(&jid).map_err(|error| malformed(&error))?;
    Ok(Name { local: local.map(Cow::into_owned), domain, device: jid.resource().map(str::to_owned) })
}

fn read_xmpp_uri(input: &str) -> Result<Name, Refused> {
    let bad = |text: String| Refused { class: "bad-uri", text };
    let uri = XmppUri::parse(input).map_err(|error| bad(error.to_string()))?;
    let domain = uri.domain.ok_or_else(|| bad("no path: it names only the account to act as".to_owned()))?;
    let local = uri.local.map(|local| format!("{local}@")).unwrap_or_default();
    let resource = uri.resource.map(|resource| format!("/{resource}")).unwrap_or_default();
    read_jid(&format!("{local}{}{resource}", domain.to_unicode()))
}

/// As [`sip::from_sip_uri`], but also for a host without a user.
fn read_sip(input: &str) -> Result<Name, Refused> {
    match sip::from_sip_uri(input) {
        Err(AddressRefusal::NoUser) => {}
        result => return result.map(Name::from).map_err(refused),
    }
    let bad = |_| refused(AddressRefusal::BadUri);
    let parsed = SipUri::parse(input).map_err(|error| refused(error.into()))?;
    let domain = Domain::parse_host(parsed.host.as_str()).map_err(bad)?;
    let device = parsed.gr().flatten().map(uri::decode).transpose().map_err(|error| refused(error.into()))?;
    let device = device.map(|device| Device::new(&device)).transpose().map_err(|error| refused(error.into()))?;
    Ok(Name { local: None, domain, device: device.map(|device| device.as_str().to_owned()) })
}

fn refused(refusal: AddressRefusal) -> Refused {
    Refused { class: refusal.class(), text: refusal.to_string() }
}
