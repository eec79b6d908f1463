//! `[domain.trunk]`: the servers that want to know who we are before they take anything, and that are watched.
//!
//! A line is what is known of one such server: the nonces it gave us, when we register next, when it is asked next whether
//! it answers. What is sent for a line, or to probe a domain, is an errand: a request that carries no operation.

mod errands; // RFC 3261 §10.2, §11
mod registration; // RFC 3261 §10.2

use super::Core;
use super::hop::FixedHop;
use super::outbound::Id;
use adapter_api::{Configuration, InstanceName, Trunk};
use errands::Errand;
use impp_model::Domain;
use registration::Registration;
use sip_proto::build::RequestBuilder;
use sip_proto::digest::{Account, Client, Password, Tries};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// All lines of an instance, and the errands that are under way.
#[derive(Debug, Default)]
pub(crate) struct Trunks {
    lines: BTreeMap<Domain, Line>,
    errands: BTreeMap<Id, Errand>,
}

/// One server.
#[derive(Debug)]
struct Line {
    trunk: Trunk,
    hop: Arc<str>,
    client: Option<Client>,
    registration: Option<Registration>,
    next_ping: Option<Instant>,
}

impl Line {
    fn new(trunk: &Trunk, hop: Arc<str>, now: Instant) -> Self {
        let account = trunk.credentials.as_ref().map(|credentials| {
            let account = Account::new(&*credentials.username, Password::new(&*credentials.password));
            match &credentials.realm {
                Some(realm) => account.at(&**realm),
                None => account,
            }
        });
        let registration = trunk.credentials.as_ref().filter(|_| trunk.register);
        Self {
            client: account.map(Client::new),
            registration: registration.map(|credentials| Registration::new(credentials.username.clone(), now)),
            next_ping: trunk.keep_alive.map(|_| now),
            hop,
            trunk: trunk.clone(),
        }
    }

    fn due(&self) -> Option<Instant> {
        [self.registration.as_ref().and_then(Registration::due), self.next_ping].into_iter().flatten().min()
    }
}

impl Trunks {
    /// Takes the configuration; lines that stay as they were keep what they know.
    pub(crate) fn configure(&mut self, configuration: &Configuration, instance: &InstanceName, now: Instant) {
        let mut old = std::mem::take(&mut self.lines);
        for entry in configuration.domains.iter().filter(|entry| entry.adapter.as_ref() == Some(instance)) {
            let domain = entry.own_name.as_ref().unwrap_or(&entry.name);
            let Some(trunk) = configuration.trunks.get(domain) else { continue };
            let hop = entry.next_hop.clone().unwrap_or_else(|| default_hop(domain));
            let line = match old.remove(domain) {
                Some(line) if line.trunk == *trunk && line.hop == hop => line,
                Some(_) | None => Line::new(trunk, hop, now),
            };
            self.lines.insert(domain.clone(), line);
        }
    }

    /// When to call [`Core::handle_trunks`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.lines.values().filter_map(Line::due).min()
    }

    /// Whether a Request-URI is one that we have registered somewhere.
    pub(crate) fn is_contact(&self, uri: &str) -> bool {
        self.lines.values().filter_map(|line| line.registration.as_ref()).any(|place| place.is_contact(uri))
    }

    /// Whether no errand is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.errands.is_empty()
    }

    /// RFC 3261 §22.2, §22.3: what proves a request to the server of `domain`, as far as it has asked.
    fn authorize(&mut self, domain: &Domain, request: RequestBuilder) -> RequestBuilder {
        let Some(client) = self.lines.get_mut(domain).and_then(|line| line.client.as_mut()) else { return request };
        let headers = client.authorize(request.method().as_str(), request.uri(), request.body_octets());
        headers.into_iter().fold(request, |request, (id, value)| request.header(id, &value))
    }

    /// Takes a 401 or 407 to a request that has met `tries`; whether it is to be sent again.
    fn challenged(&mut self, domain: &Domain, tries: &mut Tries, response: &Message) -> bool {
        let Some(client) = self.lines.get_mut(domain).and_then(|line| line.client.as_mut()) else { return false };
        let cnonce = format!("{:032x}", rand::random::<u128>());
        let taken = client.handle_challenge(tries, response, &cnonce);
        if let Err(why) = &taken {
            tracing::warn!(%domain, reason = %why, "the trunk's challenge is not answered");
        }
        taken.is_ok()
    }
}

impl Core {
    /// Adds to a request what its way wants: the outbound proxy, and the proof that the server asks for.
    pub(super) fn dress(&mut self, request: RequestBuilder, hop: Option<&str>, domain: &Domain) -> RequestBuilder {
        // RFC 3261 §8.1.2: a proxy written with `lr` stands in Route; requests of a dialog have the dialog's.
        let has_lr = |text: &str| text.split(';').skip(1).any(|param| param.get(..2).is_some_and(is_lr));
        let is_proxy = |text: &str| has_lr(text) && FixedHop::parse(text).is_some_and(|hop| hop.route);
        let request = match hop.filter(|text| is_proxy(text) && !request.has(HeaderId::Route)) {
            Some(text) => request.header(HeaderId::Route, &format!("<{text}>")),
            None => request,
        };
        self.trunks.authorize(domain, request)
    }

    /// Takes a 401 or 407 to a request for `domain`; whether it is to be sent again.
    pub(super) fn handle_challenge(&mut self, domain: &Domain, tries: &mut Tries, response: &Message) -> bool {
        self.trunks.challenged(domain, tries, response)
    }
}

/// Whether a parameter whose first two letters these are may be `lr`.
fn is_lr(begin: &str) -> bool {
    begin.eq_ignore_ascii_case("lr")
}

/// Where a domain without `next_hop` is looked for (RFC 3263 §4).
fn default_hop(domain: &Domain) -> Arc<str> {
    format!("sip:{domain}").into()
}

/// What a line is, for `explain`.
pub(crate) fn describe(trunk: &Trunk) -> String {
    let digest = trunk.credentials.as_ref().map(|credentials| match &credentials.realm {
        Some(realm) => format!("answers challenges of {realm}"),
        None => "answers challenges".to_owned(),
    });
    let registers = trunk.register.then(|| "registers".to_owned());
    let asks = trunk.keep_alive.map(|every| format!("asks every {}", adapter_api::duration::format(every)));
    [digest, registers, asks].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
