//! RFC 3261 §22: users that prove themselves with a password.

use super::Core;
use super::inbound::Pending;
use crate::config::Config;
use crate::users::Users;
use adapter_api::{Provenance, SpeaksFor};
use impp_model::{Address, Domain};
use sip_proto::build::ResponseBuilder;
use sip_proto::digest::{Server, Verdict};
use sip_proto::header_id::HeaderId;
use std::sync::Arc;
use std::time::Instant;

/// The realm of an instance and its users.
#[derive(Debug)]
pub(crate) struct Auth {
    server: Server,
    users: Arc<Users>,
    began: Instant,
}

/// What a request without other proof is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// 401; `stale`: the password was right, the nonce too old.
    Credentials { stale: bool },
    /// 400: the credentials are for another URI (RFC 8760 §2.6).
    OtherUri,
}

impl Auth {
    pub(crate) fn new(config: &Config, users: Arc<Users>, gateway: &Domain) -> Self {
        let realm = config.realm.clone().unwrap_or_else(|| gateway.as_str().to_owned());
        Self { server: Server::new(realm, &config.hashes(), rand::random()), users, began: Instant::now() }
    }
}

/// Whether what was proven covers `source`.
pub(crate) fn speaks_for(provenance: &Provenance, source: &Address) -> bool {
    match &provenance.speaks_for {
        SpeaksFor::Address(address) => address == source,
        SpeaksFor::Domains(domains) => domains.contains(source.domain()),
        SpeaksFor::Nobody | SpeaksFor::Patterns(_) => false,
    }
}

impl Core {
    /// The proof that a request of `source` comes with: of its connection or address, else of its credentials. What can't be
    /// proven at all goes on, and the hub refuses it.
    pub(super) fn prove(
        &mut self,
        pending: &Pending,
        source: &Address,
        now: Instant,
    ) -> Result<Arc<Provenance>, Demand> {
        let given = self.provenance(pending.source, source.domain());
        let users = self.auth.users.load();
        if speaks_for(&given, source) || !users.may_prove(source) {
            return Ok(given);
        }
        let age = now.saturating_duration_since(self.auth.began);
        let password_of = |name: &str| users.password(name);
        match self.auth.server.verify(&pending.request, HeaderId::Authorization, password_of, age) {
            Verdict::Proven(name) => Ok(users.provenance(&name).unwrap_or(given)),
            Verdict::Missing | Verdict::Wrong => Err(Demand::Credentials { stale: false }),
            Verdict::Stale => Err(Demand::Credentials { stale: true }),
            Verdict::OtherUri => Err(Demand::OtherUri),
        }
    }

    /// Asks for credentials; keeps nothing of the request.
    pub(super) fn demand(&mut self, pending: &Pending, demand: Demand, now: Instant) {
        let Demand::Credentials { stale } = demand else { return self.answer(pending, 400, now) };
        let age = now.saturating_duration_since(self.auth.began);
        let challenges = self.auth.server.challenges(stale, age);
        let limit = if self.is_stranger(pending.source) { pending.request.octets().len() } else { usize::MAX };
        // SEC-006: the strongest alone, where there is no room for more; who sends so little can use TCP.
        for count in [challenges.len(), 1] {
            let values = challenges.iter().take(count);
            let response = ResponseBuilder::new(&pending.request, 401);
            let response = values.fold(response, |response, value| response.header(HeaderId::WwwAuthenticate, value));
            if pending.sized(&response) <= limit {
                return self.send_built(pending, response, now);
            }
        }
        self.answer(pending, 403, now);
    }
}
