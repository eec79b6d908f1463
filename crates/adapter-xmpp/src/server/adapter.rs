//! The adapter as the hub sees it.

use std::sync::Arc;

use adapter_api::{
    Adapter, AdapterError, Capabilities, Context, Delivery, Examine, Findings, Full, Hop, Hub, InstanceName,
    Repetition, SendsAs, Shutdown,
};
use async_trait::async_trait;
use impp_model::Domain;
use transport::{Transport, bind_tcp};
use xmpp_proto::jid;

use super::config::{Config, Settings};
use super::connection::service;
use super::core::Core;
use super::probe::Probe;
use crate::adapter::{dry_run, unusable};
use crate::capabilities::capabilities;
use crate::config::Acknowledge;
use crate::link::Shared;
use crate::queue::Queue;

/// A server among XMPP servers.
pub struct XmppServer {
    settings: Settings,
    capabilities: Capabilities,
    context: Context,
    shared: Arc<Shared>,
    queue: Queue,
}

impl XmppServer {
    /// Checks the configuration; listens and connects nothing yet.
    pub fn new(_: InstanceName, config: &Config, context: Context) -> Result<Self, AdapterError> {
        let settings = config.settings().map_err(unusable)?;
        let gateway = context.configuration.borrow().gateway.clone();
        let capabilities = Capabilities {
            standing_link: false,
            proves_peers: true,
            transports: vec![Transport::Tcp, Transport::Tls],
            sends_as: SendsAs::Anyone,
            acknowledgement_of: settings.acknowledgement_of(),
            repetition: if settings.stream_management { Repetition::WhereManaged } else { Repetition::Unrepeatable },
            ..capabilities(&gateway, settings.acknowledge, settings.limits.max_stanza)
        };
        let shared = Arc::<Shared>::default();
        let queue = Queue::new(Arc::clone(&shared), settings.limits.max_queue);
        Ok(Self { settings, capabilities, context, shared, queue })
    }

    /// RFC 7673 §3: what the name system vouches for at the first server.
    async fn describe_vouched(&self, domain: &Domain, hop: &Hop, findings: &mut Findings) {
        let Hop::Located { targets, .. } = hop else { return };
        let Some(target) = targets.first().filter(|_| self.context.tls.asks_dnssec()) else { return };
        let direct = target.transport == Some(Transport::Tls);
        let found = self.context.tls.discover(&service(domain, direct), &target.host, target.address.port()).await;
        findings.add("dane", found.map_or_else(|error| format!("{error}: nothing is sent"), |found| found.to_string()));
    }

    fn describe(&self, domain: Option<&Domain>, hop: Option<&Hop>, findings: &mut Findings) {
        match hop {
            Some(Hop::Located { targets, .. }) => {
                for target in targets {
                    let how = match target.transport {
                        Some(Transport::Tls) => "TLS from the start",
                        _ if self.settings.policy.require_tls => "STARTTLS required",
                        _ => "STARTTLS if offered",
                    };
                    findings.add("transport", format!("tcp {} ({}), {how}", target.address, target.host));
                }
            }
            Some(Hop::Fixed(hop)) => findings.add("transport", hop.to_string()),
            Some(Hop::Link) | None => findings.add("transport", "by discovery"),
        }
        let domain = domain.and_then(|domain| jid::Domain::parse(&domain.to_unicode()).ok());
        let policy = domain.as_ref().map_or(self.settings.policy, |domain| self.settings.policy(domain));
        findings.add(
            "tls",
            match (policy.require_tls, policy.dialback) {
                (true, true) => "required; the peer is proven by its certificate, else by dialback",
                (true, false) => "required; the peer is proven by its certificate alone",
                (false, true) => "used where offered; the peer is proven by its certificate, else by dialback",
                (false, false) => "used where offered; the peer is proven by its certificate alone",
            },
        );
        let acknowledge = domain.as_ref().map_or(self.settings.acknowledge, |domain| self.settings.acknowledge(domain));
        findings.add(
            "acknowledgement",
            match (self.settings.stream_management, acknowledge) {
                (true, Acknowledge::Barrier) => "stream management where the peer has it, else a barrier",
                (true, Acknowledge::None) => "stream management where the peer has it, else none: handed over",
                (false, Acknowledge::Barrier) => "barrier: an IQ ping to the addressee's domain",
                (false, Acknowledge::None) => "none: messages end as handed over",
            },
        );
    }
}

#[async_trait]
impl Adapter for XmppServer {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, shutdown: Shutdown) -> Result<(), AdapterError> {
        let queue = self.queue.receiver()?;
        let mut listeners = Vec::new();
        for listen in &self.settings.listen {
            let failed = |source| AdapterError::Listen { listen: listen.to_string(), source };
            let listener = bind_tcp(listen.addr).map_err(|error| failed(error.source))?;
            let address = listener.local_addr().map_err(failed)?;
            hub.listening(listen.transport.as_str(), address);
            listeners.push((*listen, listener));
        }
        if !self.context.tls.has_certificates() && self.settings.policy.require_tls {
            tracing::warn!("no [tls] certificates: servers that require TLS, as this one does, cannot connect here");
        }
        let (settings, context) = (self.settings.clone(), self.context.clone());
        Core::new(settings, context, hub, shutdown, Arc::clone(&self.shared), queue).run(listeners).await;
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.queue.push(delivery)
    }

    async fn examine(&self, request: Examine) -> Findings {
        let mut findings = Findings::default();
        match &request {
            Examine::DryRun { operation, hop, .. } => {
                let gateway = operation.source().address.domain().clone();
                dry_run(operation, gateway.as_str(), self.settings.limits.max_stanza, &mut findings);
                let domain = operation.destination().address.domain();
                self.describe(Some(domain), Some(hop), &mut findings);
                self.describe_vouched(domain, hop, &mut findings).await;
            }
            Examine::Probe { domain, source, hop } => {
                self.describe(Some(domain), Some(hop), &mut findings);
                let named = jid::Domain::parse(&domain.to_unicode()).ok();
                let policy = named.map_or(self.settings.policy, |domain| self.settings.policy(&domain));
                let is_managed = self.settings.stream_management;
                let probe = Probe { context: &self.context, policy, domain, source, is_managed };
                probe.run(hop, &mut findings).await;
            }
            _ => {}
        }
        findings
    }
}
