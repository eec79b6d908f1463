//! The part of routing that asks DNS.

use crate::core::Core;
use crate::decisions::PairOfDomains;
use crate::explain::not_found;
use crate::routing::{Decision, Plan, Router};
use adapter_api::{Hop, InstanceName, Role, Target};
use impp_model::uri::UriError;
use impp_model::{Cause, Domain, Failure, Side};
use impp_resolve::{
    Dns, Limits, Options, Outcome, Protocol, Reason, Resolution, Resolver, Service, SipLocation, Transport, locate_sip,
    locate_xmpp,
};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// Finds the servers of a domain.
pub(crate) struct Locator {
    dns: Arc<dyn Dns>,
    limits: Limits,
    random: Mutex<SmallRng>,
}

/// No decision is kept longer, so that a mistake in a zone with a long lifetime ends by itself.
const MAX_LIFE: Duration = Duration::from_secs(3600);
/// No decision is kept shorter: a zone of lifetime 0 must not cost a query for each message.
const MIN_LIFE: Duration = Duration::from_secs(1);

impl Locator {
    pub(crate) fn new(dns: Arc<dyn Dns>, limits: Limits, seed: u64) -> Self {
        Self { dns, limits, random: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    fn draw(&self, bound: u32) -> u32 {
        self.random.lock().random_range(0..=bound)
    }

    /// RFC 3861, then native discovery (DESIGN B2).
    async fn discover(
        &self,
        labels: &[Arc<str>],
        to: &Domain,
        source: Option<&str>,
        transports: impl Fn(&str) -> Vec<Transport>,
    ) -> Resolution {
        let options = Options {
            supported: labels.iter().filter_map(|label| Protocol::parse(label).ok()).collect(),
            limits: self.limits.clone(),
            sip_transports: transports("_sip"),
            xmpp_direct_tls: transports("_xmpp").contains(&Transport::Tls),
            // The next hop of a domain that is no service of any kind is not guessed (RFC 3861 §4 leaves it open).
            implicit: false,
            ..Options::default()
        };
        let source = source.and_then(|label| Protocol::parse(label).ok());
        let resolver = Resolver::new(self.dns.clone(), options);
        resolver.resolve(Service::Im, to, source.as_ref(), &mut |bound| self.draw(bound)).await
    }

    /// One protocol's own discovery.
    async fn native(&self, label: Option<&str>, to: &Domain, transports: &[Transport]) -> Option<Resolution> {
        let mut draw = |bound| self.draw(bound);
        match label {
            Some("_sip") => {
                let location =
                    SipLocation { host: to, port: None, transport: None, secure: false, supported: transports };
                Some(locate_sip(&*self.dns, &location, &self.limits, &mut draw).await)
            }
            Some("_xmpp") => {
                Some(locate_xmpp(&*self.dns, to, transports.contains(&Transport::Tls), &self.limits, &mut draw).await)
            }
            Some(_) | None => None,
        }
    }
}

impl Core {
    /// RFC 3861 for an `im:` or `pres:` URI, with native discovery behind it, whatever routes say. Asks DNS.
    pub async fn resolve(&self, uri: &str) -> Result<Resolution, UriError> {
        let book = self.rulebook();
        let local = book.configuration.domains.iter().filter(|entry| entry.role == Role::Local);
        let options = Options {
            supported: book.routing.supported.iter().filter_map(|label| Protocol::parse(label).ok()).collect(),
            local_domains: local.map(|entry| entry.name.clone()).collect(),
            limits: self.locator.limits.clone(),
            ..Options::default()
        };
        let resolver = Resolver::new(self.locator.dns.clone(), options);
        resolver.resolve_uri(uri, None, &mut |bound| self.locator.draw(bound)).await
    }

    /// Decides about a pair of domains, with DNS where configuration does not suffice.
    pub(crate) async fn locate(&self, (near, from, to): &PairOfDomains) -> Decision {
        let mut steps = Vec::new();
        let book = self.rulebook();
        let wire = book.wire_name(to);
        let router = self.router(&book);
        match router.plan(near, from, to, &mut steps) {
            Plan::Ready(result) => {
                let result = result.map(|(index, hop)| self.choice(index, hop));
                Decision { steps, result, valid_until: None }
            }
            Plan::Native(index) => {
                let capabilities = self.candidates.get(index).map(|c| &c.capabilities);
                let label = capabilities.and_then(|c| c.srv_label.as_deref());
                let transports = capabilities.map_or_else(Vec::new, |c| c.transports.clone());
                match self.locator.native(label, wire, &transports).await {
                    Some(resolution) => self.located(steps, Ok(index), &resolution, wire),
                    None => {
                        let failure =
                            Failure::new(Side::Ours, Cause::NoRoute).with_text("that protocol has no discovery");
                        Decision { steps, result: Err(failure), valid_until: None }
                    }
                }
            }
            Plan::Discover(labels) => {
                let near_label = self.candidates.iter().find(|c| c.name == *near);
                let near_label = near_label.and_then(|c| c.capabilities.srv_label.as_deref());
                let resolution = self
                    .locator
                    .discover(&labels, to, near_label, |label| self.transports_of(&router, label, near, from))
                    .await;
                let found = resolution.protocol.as_ref().map(Protocol::as_str);
                let index = found.map_or(Ok(0), |label| router.discovered(label, near, from));
                self.located(steps, index, &resolution, to)
            }
        }
    }

    /// What the instance that would serve `label` sends over; of the source's own network it only matters whether it is there.
    fn transports_of(&self, router: &Router<'_>, label: &str, near: &InstanceName, from: &Domain) -> Vec<Transport> {
        let candidate = match router.of_label(label, from) {
            Some(index) => self.candidates.get(index),
            None => self.candidates.iter().find(|c| c.name == *near),
        };
        candidate.map_or_else(Vec::new, |c| c.capabilities.transports.clone())
    }

    fn located(
        &self,
        mut steps: Vec<String>,
        index: Result<usize, Failure>,
        resolution: &Resolution,
        to: &Domain,
    ) -> Decision {
        steps.extend(resolution.steps.iter().map(|step| match &step.query {
            Some(query) => format!("{query}: {} ({})", step.result, step.why),
            None => format!("{}: {}", step.result, step.why),
        }));
        let result = match resolution.outcome {
            Outcome::Deliver => index.map(|index| {
                let protocol = resolution.protocol.as_ref().map_or("", Protocol::as_str);
                steps.push(format!("{to} is served by {protocol}: adapter {}", self.name_of(index)));
                self.choice(index, self.hop(index, resolution, to))
            }),
            Outcome::TemporaryFailure => {
                Err(Failure::new(Side::Far, Cause::DnsFailure).with_text("the domain could not be looked up"))
            }
            Outcome::Failure | Outcome::Local => {
                let reason = resolution.reason.as_ref().map_or_else(String::new, ToString::to_string);
                steps.push(format!("{to}: {reason}"));
                match resolution.reason {
                    Some(Reason::OwnListener) => Err(Failure::new(Side::Far, Cause::Loop).with_text(reason)),
                    Some(_) | None => Err(not_found(reason)),
                }
            }
        };
        let valid_until = Some(crate::core::now() + resolution.ttl.clamp(MIN_LIFE, MAX_LIFE));
        Decision { steps, result, valid_until }
    }

    fn hop(&self, index: usize, resolution: &Resolution, to: &Domain) -> Hop {
        if self.candidates.get(index).is_some_and(|c| c.capabilities.standing_link) {
            return Hop::Link;
        }
        let place = |target: &impp_resolve::Target| {
            // XEP-0368: an XMPP target that begins with TLS is a TLS target, the others start in clear.
            let of_tls = |direct: bool| if direct { Transport::Tls } else { Transport::Tcp };
            let (host, transport) =
                (target.target.to_string(), target.transport.or_else(|| target.direct_tls.map(of_tls)));
            target
                .socket_addrs()
                .map(move |address| Target { host: host.clone(), address, transport })
                .collect::<Vec<_>>()
        };
        Hop::Located { domain: to.clone(), targets: resolution.targets.iter().flat_map(place).collect() }
    }
}
