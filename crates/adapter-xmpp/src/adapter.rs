//! The adapter as the hub sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use adapter_api::{
    Adapter, AdapterError, Capabilities, Check, Context, Delivery, Examine, Findings, Full, Hub, InstanceName, Problem,
    Shutdown,
};
use async_trait::async_trait;
use bytes::BytesMut;
use impp_model::{Cause, Failure, MessageOperation, Operation, Side};

use crate::capabilities::capabilities;
use crate::config::{Acknowledge, Config, Settings};
use crate::link::{Link, Shared, probe};
use crate::mapping::message;
use crate::presence;
use crate::queue::Queue;

/// A component of an XMPP server (XEP-0114).
pub struct XmppComponent {
    settings: Settings,
    capabilities: Capabilities,
    context: Context,
    shared: Arc<Shared>,
    queue: Queue,
}

impl XmppComponent {
    /// Checks the configuration; connects nothing yet.
    pub fn new(_: InstanceName, config: &Config, context: Context) -> Result<Self, AdapterError> {
        let settings = config.settings().map_err(unusable)?;
        let capabilities = capabilities(&settings.domain, settings.acknowledge, settings.limits.max_stanza);
        let shared = Arc::<Shared>::default();
        let queue = Queue::new(Arc::clone(&shared), settings.limits.max_queue);
        Ok(Self { settings, capabilities, context, shared, queue })
    }

    fn describe_link(&self, findings: &mut Findings) {
        let Settings { host, port, .. } = &self.settings;
        findings.add("transport", format!("tcp {host}:{port} (component link)"));
        findings.add("tls", "none: the component protocol has none");
        findings.add(
            "acknowledgement",
            match self.settings.acknowledge {
                Acknowledge::Barrier => "barrier: an IQ ping to the addressee's domain",
                Acknowledge::None => "none: messages end as handed over",
            },
        );
        findings.add("link", if self.shared.up.load(Ordering::Relaxed) { "up" } else { "down" });
    }
}

#[async_trait]
impl Adapter for XmppComponent {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, shutdown: Shutdown) -> Result<(), AdapterError> {
        let queue = self.queue.receiver()?;
        let dns = Arc::clone(&self.context.dns);
        let link = Link::new(self.settings.clone(), dns, hub, shutdown, Arc::clone(&self.shared), queue);
        link.run().await;
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.queue.push(delivery)
    }

    async fn examine(&self, request: Examine) -> Findings {
        let mut findings = Findings::default();
        if let Examine::DryRun { operation, .. } = &request {
            dry_run(operation, self.settings.domain.as_str(), self.settings.limits.max_stanza, &mut findings);
        }
        self.describe_link(&mut findings);
        if let Examine::Probe { .. } = &request {
            // A second connection would take a part of what is for the first.
            findings.checks = if self.shared.up.load(Ordering::Relaxed) {
                vec![Check::ok("component secret", "taken; the link is up")]
            } else {
                probe(&self.settings, &*self.context.dns).await
            };
        }
        findings
    }
}

/// What would be sent, and how large it is.
pub(crate) fn dry_run(operation: &Operation, gateway: &str, limit: usize, findings: &mut Findings) {
    match operation {
        Operation::Message(message) => dry_message(message, gateway, limit, findings),
        Operation::Subscribe(_) => dry_subscription(operation, gateway, findings),
        Operation::Disposition(_)
        | Operation::Composing(_)
        | Operation::Notify(_)
        | Operation::Authorize(_)
        | Operation::Publish(_)
        | _ => {}
    }
}

fn dry_subscription(operation: &Operation, gateway: &str, findings: &mut Findings) {
    match presence::to_stanzas(operation, gateway) {
        Ok(stanzas) => {
            for stanza in stanzas {
                findings.add("watcher", stanza.attr("from").unwrap_or_default());
                findings.add("presentity", stanza.attr("to").unwrap_or_default());
                findings.add("request", format!("presence {}", stanza.attr("type").unwrap_or_default()));
            }
            findings.add("authorization", "the contact's subscribed");
        }
        Err(failure) => findings.refuse(&failure),
    }
}

fn dry_message(operation: &MessageOperation, gateway: &str, limit: usize, findings: &mut Findings) {
    let id = message::stanza_id(operation);
    let mut octets = BytesMut::new();
    match message::write(&mut octets, operation, message::Stamp { id: &id, gateway, now: SystemTime::now() }) {
        Ok(Some(mapped)) => {
            findings.add("source", mapped.value.from.as_str());
            findings.add("destination", mapped.value.to.as_str());
            findings.add("size", format!("{} of at most {limit} octets", octets.len()));
            if octets.len() > limit {
                findings.refuse(&Failure::new(Side::Ours, Cause::TooLarge));
            }
            findings.degraded.extend(mapped.degraded.into_iter().map(String::from));
            findings.dropped.extend(mapped.dropped.into_iter().map(String::from));
        }
        Ok(None) => findings.add("mapping", "an empty message: no stanza is sent"),
        Err(error) => findings.refuse(&error.failure()),
    }
}

/// The first of what `check` would have told.
pub(crate) fn unusable(problems: Vec<Problem>) -> AdapterError {
    match problems.into_iter().next() {
        Some(first) => AdapterError::Config { key: first.key, problem: format!("{}; {}", first.problem, first.remedy) },
        None => AdapterError::Config { key: String::new(), problem: "unusable".into() },
    }
}
