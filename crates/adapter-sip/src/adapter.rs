//! One SIP instance as the hub sees it.

use crate::config::{Approval, Config, LargeMessages, Wrapping};
use crate::core::{
    self, FixedHop, MAX_UNSAFE_REQUEST, Place, Setup, describe_trunk, fits_datagram, located_places, via_name,
};
use crate::ids::RequestIds;
use crate::mapping::message::Form;
use crate::mapping::{address, message};
use crate::probe::Probe;
use crate::users::{NextUsers, Users};
use adapter_api::{
    Acknowledgement, Adapter, AdapterError, Capabilities, Context, Delivery, Examine, Findings, Full, Hop, Hub,
    InstanceName, PresenceCapabilities, Repetition, SendsAs, Shutdown, TellsFailure, Transport,
};
use async_trait::async_trait;
use impp_model::{DateTime, Domain, Kind, MessageOperation, Operation, SubscribeOperation};
use impp_resolve::Limits;
use parking_lot::Mutex;
use sip_proto::build::TopVia;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;

/// A SIP/SIMPLE network.
pub struct SipAdapter {
    config: Config,
    users: Arc<Users>,
    context: Context,
    capabilities: Capabilities,
    queue: mpsc::Sender<Delivery>,
    deliveries: Mutex<Option<mpsc::Receiver<Delivery>>>,
}

/// Makes the adapter of `[adapter.NAME]` with `type = "sip"`.
pub fn new(instance: InstanceName, config: Config, context: Context) -> Result<Arc<SipAdapter>, AdapterError> {
    if let Some(problem) = config.problems().into_iter().next() {
        return Err(AdapterError::Config {
            key: problem.key,
            problem: format!("{}; {}", problem.problem, problem.remedy),
        });
    }
    tracing::debug!(%instance, "SIP adapter made");
    let (queue, deliveries) = mpsc::channel(config.limits.queue);
    let capabilities = capabilities(&config);
    let users = Arc::new(Users::new(instance, &config)?);
    let deliveries = Mutex::new(Some(deliveries));
    Ok(Arc::new(SipAdapter { config, users, context, capabilities, queue, deliveries }))
}

/// What this protocol carries.
pub fn capabilities(config: &Config) -> Capabilities {
    Capabilities {
        protocol: Cow::Borrowed("sip"),
        srv_label: Some(Cow::Borrowed("_sip")),
        standing_link: false,
        proves_peers: false,
        transports: core::SUPPORTED.to_vec(),
        kinds: vec![Kind::Message, Kind::Disposition, Kind::Composing, Kind::Subscribe, Kind::Notify, Kind::Authorize],
        sends_as: SendsAs::Anyone,
        acknowledgement: Acknowledgement::Answer,
        acknowledgement_of: BTreeMap::new(),
        answers_each: true,
        tells_failure: TellsFailure::WhenAsked,
        seals: vec![Cow::Borrowed(::cpim::mapping::SEAL)],
        repetition: Repetition::Repeatable,
        max_content: Some(config.max_message),
        presence: Some(PresenceCapabilities { refreshed: true, publishes: false, devices: false, checked: false }),
        fields: message::FIELDS.to_vec(),
    }
}

#[async_trait]
impl Adapter for SipAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, shutdown: Shutdown) -> Result<(), AdapterError> {
        let Some(deliveries) = self.deliveries.lock().take() else {
            return Ok(()); // the contract says once
        };
        let (config, users, context) = (self.config.clone(), self.users.clone(), self.context.clone());
        core::run(Setup { config, users, context, hub, deliveries }, shutdown).await
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.queue.try_send(delivery).map_err(|error| Full(Box::new(error.into_inner())))
    }

    async fn examine(&self, request: Examine) -> Findings {
        let mut findings = Findings::default();
        match request {
            Examine::DryRun { operation, hop } => match *operation {
                Operation::Message(operation) => self.dry_run(&operation, &hop, &mut findings).await,
                Operation::Subscribe(operation) => self.dry_subscription(&operation, &hop, &mut findings).await,
                Operation::Disposition(_)
                | Operation::Composing(_)
                | Operation::Notify(_)
                | Operation::Authorize(_)
                | Operation::Publish(_)
                | _ => findings.add("kind", "not carried"),
            },
            Examine::Probe { domain, source, hop } => self.probe(&domain, &source, &hop, &mut findings).await,
            _ => {}
        }
        findings
    }
}

/// RFC 5922 §7.3: whom the next hop has to prove to be; one of these.
fn expected_names(destination: &Domain, hop: &Hop) -> Vec<Domain> {
    match hop {
        Hop::Located { domain, .. } => vec![domain.clone()],
        Hop::Fixed(text) => FixedHop::parse(text).map(|hop| hop.peer(destination).to_vec()).unwrap_or_default(),
        Hop::Link => Vec::new(),
    }
}

fn tls_expectation(destination: &Domain, hop: &Hop, transport: Transport) -> String {
    let names: Vec<_> = expected_names(destination, hop).iter().map(ToString::to_string).collect();
    if transport.is_secure() {
        format!("the next hop must prove to be {} (RFC 5922)", names.join(" or "))
    } else {
        "none: this hop is reached in clear".to_owned()
    }
}

impl SipAdapter {
    /// Reads the users that a changed table lists, the files of their passwords too; of the table nothing else changes without
    /// a restart.
    pub fn prepare_users(&self, config: &Config) -> Result<NextUsers, AdapterError> {
        NextUsers::read(self.users.clone(), config)
    }

    /// RFC 3261 §11: OPTIONS to a domain's server, and what it says.
    async fn probe(&self, domain: &Domain, source: &Domain, hop: &Hop, findings: &mut Findings) {
        let names = expected_names(domain, hop);
        let places = self.places(hop).await;
        let probe = Probe { context: &self.context, domain, source };
        probe.run(places.as_deref().map_err(Clone::clone), &names, findings).await;
    }

    async fn dry_run(&self, operation: &MessageOperation, hop: &Hop, findings: &mut Findings) {
        findings.add("source", address::to_sip_uri(&operation.source));
        findings.add("destination", address::to_sip_uri(&operation.destination));
        let ids = RequestIds::of_message(operation, 0);
        let call_id = match &operation.message.thread {
            Some(thread) => {
                crate::mapping::thread::to_call_id(thread, &operation.source.address, &operation.destination.address)
            }
            None => ids.call_id(),
        };
        let now = DateTime::from_system_time(SystemTime::now());
        let wanted = (operation.message.object.is_some() || operation.message.receipts.any())
            && self.config.receipts == Wrapping::Auto;
        let form = now.as_ref().filter(|_| wanted).map_or(Form::Plain, Form::Wrapped);
        let mapped = message::to_request(operation, &ids, &call_id, form);
        findings.add("form", if wanted { "message/cpim, as itself to a peer that refuses that" } else { "as itself" });
        if let Some(field) = message::unsayable(operation) {
            findings.add("mapping", format!("nothing is sent: SIP has no form for a {field} without text"));
            findings.dropped.push(field.to_owned());
        }
        findings.degraded = mapped.degraded.iter().map(|field| (*field).to_owned()).collect();
        findings.dropped = mapped.dropped.iter().map(|field| (*field).to_owned()).collect();
        let places = match self.places(hop).await {
            Ok(places) => places,
            Err(problem) => return findings.add("transport", problem),
        };
        for (index, place) in places.iter().enumerate() {
            let what = if index == 0 { "transport" } else { "next" };
            findings.add(what, format!("{} {}", place.transport, place.address));
        }
        let transport = places.first().map_or(Transport::Udp, |place| place.transport);
        let host =
            self.config.listens().first().map(|listen| format!("{}:{}", listen.host, listen.port)).unwrap_or_default();
        let via = TopVia {
            transport: via_name(transport),
            sent_by: &host,
            branch: &ids.branch(0),
            rport: true,
            alias: false,
        };
        let octets = mapped.value.encode(&via).len();
        findings.add("size", self.size_path(octets, transport));
        let domain = operation.destination.address.domain();
        findings.add("tls", tls_expectation(domain, hop, transport));
        self.describe_vouched(domain, hop, &places, findings).await;
        findings.add("acknowledgement", "the next hop's final response");
        let trunk = self.context.configuration.borrow().trunks.get(operation.destination.address.domain()).cloned();
        if let Some(trunk) = trunk {
            findings.add("trunk", describe_trunk(&trunk));
        }
    }

    async fn dry_subscription(&self, operation: &SubscribeOperation, hop: &Hop, findings: &mut Findings) {
        findings.add("watcher", address::to_sip_uri(&operation.watcher));
        findings.add("presentity", address::to_sip_uri(&operation.target));
        let domain = operation.target.address.domain();
        if self.config.presence.agent.contains(domain) {
            findings.add("request", "none: users of this domain publish here (PUBLISH)");
            let approved = match self.config.presence.agent_approval {
                Approval::Contacts => "the presentity watches, or has watched, the watcher (agent_approval)",
                Approval::Everyone => "everyone whom the policy admits (agent_approval)",
            };
            return findings.add("authorization", approved);
        }
        findings
            .add("request", "SUBSCRIBE, Event: presence, refreshed before its end once the watcher answers a probe");
        match self.places(hop).await {
            Ok(places) => {
                for place in &*places {
                    findings.add("transport", format!("{} {}", place.transport, place.address));
                }
                let transport = places.first().map_or(Transport::Udp, |place| place.transport);
                findings.add("tls", tls_expectation(domain, hop, transport));
                self.describe_vouched(domain, hop, &places, findings).await;
            }
            Err(problem) => findings.add("transport", problem),
        }
        findings.add("authorization", "the first NOTIFY that is active");
    }

    /// RFC 7673 §3: what the name system vouches for at the first server.
    async fn describe_vouched(&self, destination: &Domain, hop: &Hop, places: &[Place], findings: &mut Findings) {
        let names = expected_names(destination, hop);
        let first = places.first().filter(|place| place.transport.is_secure() && self.context.tls.asks_dnssec());
        if let (Some(place), Some(name)) = (first, names.first()) {
            let found = self.context.tls.discover_sip(name, place.address).await;
            findings
                .add("dane", found.map_or_else(|error| format!("{error}: nothing is sent"), |found| found.to_string()));
        }
    }

    async fn places(&self, hop: &Hop) -> Result<Arc<[Place]>, String> {
        let Hop::Fixed(text) = hop else { return located_places(hop).map_err(|failure| failure.to_string()) };
        let fixed = FixedHop::parse(text).ok_or_else(|| format!("{text} is no SIP URI over a known transport"))?;
        if let Some(place) = fixed.place() {
            return Ok(Arc::new([place]));
        }
        let found = fixed.locate(&*self.context.dns, &Limits::default()).await;
        found.result.map_err(|cause| format!("{text}: {cause}"))
    }

    fn size_path(&self, octets: usize, transport: Transport) -> String {
        let over = if transport != Transport::Udp || fits_datagram(octets) {
            transport.to_string()
        } else if self.config.large_messages == LargeMessages::Tcp {
            format!("tcp, being above {MAX_UNSAFE_REQUEST}")
        } else {
            format!("refused, being above {MAX_UNSAFE_REQUEST}")
        };
        format!("{octets} octets: {over}")
    }
}
