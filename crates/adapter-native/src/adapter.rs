//! The adapter: what it shares between deliveries and calls, and how a delivery ends.

use crate::capabilities::capabilities;
use crate::config::Config;
use crate::deadlines::{Deadline, Deadlines};
use crate::mailbox::{DeviceError, Fate};
use crate::typing::Typing;
use crate::users::{self, Listed, Reader, User, Users, Waiting, now};
use crate::wire::EventId;
use crate::{http, mapping};
use adapter_api::{
    Adapter, AdapterError, Capabilities, Carries, Check, Context, Delivery, Examine, Findings, Full, Hub, InstanceName,
    PeerState, Shutdown, UserChanges,
};
use async_trait::async_trait;
use impp_model::{
    Address, Cause, ComposingOperation, Failure, MessageOperation, Operation, Outcome, Proof, Retry, Side,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// One instance of the native protocol.
pub struct NativeAdapter {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

/// What calls and deliveries share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) users: Users,
    pub(crate) typing: Typing,
    deadlines: Deadlines,
    hub: OnceLock<Hub>,
    stopped: AtomicBool,
    bound: watch::Sender<Option<SocketAddr>>,
}

impl NativeAdapter {
    /// Makes an instance; reads the token files, opens nothing.
    ///
    /// The shared configuration comes with the hub, and there is nothing to look up in DNS: the context is not used.
    pub fn new(instance: InstanceName, config: Config, _: Context) -> Result<Self, AdapterError> {
        Self::from_config(&instance, config)
    }

    fn from_config(instance: &InstanceName, config: Config) -> Result<Self, AdapterError> {
        let users = Users::new(instance, &config)?;
        let capabilities = capabilities(&config.limits);
        let shared = Shared {
            config,
            users,
            typing: Typing::default(),
            deadlines: Deadlines::default(),
            hub: OnceLock::new(),
            stopped: AtomicBool::new(false),
            bound: watch::Sender::new(None),
        };
        Ok(Self { shared: Arc::new(shared), capabilities })
    }

    /// Reads the users that a changed table lists, their token files too; of the table nothing else changes without a restart.
    pub fn prepare_users(&self, config: &Config) -> Result<NextUsers, AdapterError> {
        Ok(NextUsers { shared: Arc::clone(&self.shared), listed: users::listed(config)? })
    }

    /// Waits until [`run`](Adapter::run) listens and tells where, which is of use with port 0.
    pub async fn local_addr(&self) -> SocketAddr {
        let mut bound = self.shared.bound.subscribe();
        loop {
            if let Some(address) = *bound.borrow_and_update() {
                return address;
            }
            // The sender belongs to `self`: it can't go away meanwhile.
            let _ = bound.changed().await;
        }
    }
}

#[async_trait]
impl Adapter for NativeAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, shutdown: Shutdown) -> Result<(), AdapterError> {
        let listen = self.shared.config.listen;
        let fail = |source| AdapterError::Listen { listen: listen.to_string(), source };
        let listener = TcpListener::bind(listen).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        tracing::info!(adapter = %hub.instance(), %address, users = self.shared.users.all().len(), "listening");
        hub.listening("http", address);
        // Called once: there was none before.
        let _ = self.shared.hub.set(hub.clone());
        self.shared.bound.send_replace(Some(address));
        let app = http::App::new(Arc::clone(&self.shared), hub, shutdown.clone());
        tokio::select! {
            () = http::serve(listener, app, shutdown) => {}
            () = self.shared.give_up_in_time() => {}
        }
        self.shared.stop();
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        if let Operation::Composing(told) = &*delivery.operation {
            let outcome = self.shared.mention(told);
            delivery.settle(outcome);
            return Ok(());
        }
        if delivery.operation.kind().is_presence() {
            self.shared.deliver_presence(delivery);
            return Ok(());
        }
        match self.shared.prepare(&delivery) {
            Ok(prepared) => self.shared.append(delivery, prepared),
            Err(failure) => {
                delivery.settle(failure);
                Ok(())
            }
        }
    }

    async fn examine(&self, request: Examine) -> Findings {
        self.shared.examine(&request)
    }
}

/// A delivery that can be appended.
struct Prepared {
    user: Arc<User>,
    kind: &'static str,
    data: Box<str>,
    losses: Vec<(&'static str, Carries)>,
}

impl Shared {
    /// Checks a delivery and writes its event.
    fn prepare(&self, delivery: &Delivery) -> Result<Prepared, Failure> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        let (user, kind, data, losses) = match &*delivery.operation {
            Operation::Message(operation) => {
                let user = self.addressee(operation)?;
                let mapped = mapping::to_event(operation, Some(delivery.trace))?;
                (user, "message", json(&mapped.event)?, mapped.losses)
            }
            Operation::Disposition(word) => {
                let event = mapping::signals::to_disposition_event(word);
                (self.user(&word.destination.address)?, "disposition", json(&event)?, Vec::new())
            }
            Operation::Composing(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => return Err(Failure::new(Side::Far, Cause::NotImplemented).with_text("not carried to native users")),
        };
        if data.len() > self.config.limits.max_events_octets {
            return Err(too_large(self.config.limits.max_events_octets));
        }
        Ok(Prepared { user, kind, data, losses })
    }

    /// Tells devices that listen at this moment: a state is worth nothing later.
    fn mention(&self, told: &ComposingOperation) -> Outcome {
        let user = match self.user(&told.destination.address) {
            Ok(user) => user,
            Err(failure) => return failure.into(),
        };
        if user.mailbox(|mailbox| mailbox.streams()) > 0 {
            self.tell(&user.address, "composing", &mapping::signals::to_composing_event(told));
        }
        Outcome::HandedOver
    }

    fn user(&self, address: &Address) -> Result<Arc<User>, Failure> {
        self.users.at(address).ok_or_else(no_such_user)
    }

    /// The user a message is for, if it can take it.
    fn addressee(&self, operation: &MessageOperation) -> Result<Arc<User>, Failure> {
        let user = self.user(&operation.destination.address)?;
        let limit = self.config.limits.max_message;
        if operation.message.content.octets.len() > limit { Err(too_large(limit)) } else { Ok(user) }
    }

    fn append(&self, delivery: Delivery, Prepared { user, kind, data, losses }: Prepared) -> Result<(), Full> {
        let deadline = Instant::from_std(delivery.deadline);
        let Delivery { trace, operation, repeat, edition, proven_only, hop, settle, .. } = delivery;
        let waiting = Waiting { settle, deadline };
        match user.mailbox(|mailbox| mailbox.append(kind, data, waiting)) {
            Err(Waiting { settle, .. }) => {
                let deadline = deadline.into_std();
                let delivery = Delivery { trace, operation, repeat, edition, proven_only, hop, deadline, settle };
                return Err(Full(Box::new(delivery)));
            }
            Ok(event) => {
                tracing::debug!(%trace, %event, "event appended");
                self.deadlines.add(Deadline { at: deadline, event, user: user.address.clone() });
            }
        }
        if let Some(hub) = self.hub.get() {
            losses.iter().for_each(|(field, how)| hub.translation_loss(field, *how));
        }
        user.announce();
        if self.stopped.load(Ordering::SeqCst) {
            self.stop();
        }
        if user.is_gone() {
            dismiss(&user);
        }
        Ok(())
    }

    /// Opens a stream of events for a device; the hub hears that its user can be reached.
    pub(crate) fn open_stream(
        &self,
        user: &Arc<User>,
        device: Arc<str>,
        after: Option<EventId>,
    ) -> Result<Reader, DeviceError> {
        let reader = Reader::open(user, device, after)?;
        if let Some(hub) = self.hub.get() {
            hub.peer_changed(&user.address.to_string(), PeerState::Up);
        }
        Ok(reader)
    }

    /// Takes a device's word for everything up to `id`, and tells those who waited for it.
    pub(crate) fn acknowledge(&self, user: &User, device: &Arc<str>, id: EventId) -> Result<EventId, DeviceError> {
        let (cursor, waiting) = user.mailbox(|mailbox| mailbox.acknowledge(device, id, now()))?;
        for (event, Waiting { settle, deadline }) in waiting {
            self.deadlines.remove(&Deadline { at: deadline, event, user: user.address.clone() });
            settle.settle(Outcome::Success(Proof::Recipient));
        }
        Ok(cursor)
    }

    /// Settles each delivery whose deadline passes; never returns.
    async fn give_up_in_time(&self) {
        loop {
            let Deadline { event, user, .. } = self.deadlines.passed().await;
            if let Some(user) = self.users.at(&user) {
                give_up(&user, event, unconfirmed);
            }
        }
    }

    /// Settles everything that waits: nothing can be acknowledged any more.
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for user in self.users.all() {
            for event in user.mailbox(|mailbox| mailbox.waiting()) {
                give_up(&user, event, stopping);
            }
        }
    }

    fn examine(&self, request: &Examine) -> Findings {
        let mut findings = Findings::default();
        match request {
            Examine::DryRun { operation, .. } => self.dry_run(operation, &mut findings),
            Examine::Probe { domain, .. } => {
                let bound = *self.bound.borrow();
                findings.add("listening", bound.map_or_else(|| "no".to_owned(), |address| address.to_string()));
                let known = self.users.of_domain(domain);
                let users = known.len();
                findings.add("users", users.to_string());
                findings.checks.push(if users == 0 {
                    let remedy = format!("add an [[adapter.native.user]] of {domain}");
                    Check::warn("users", "nobody of this domain is known", remedy)
                } else {
                    Check::ok("users", users.to_string())
                });
                let streams: usize = known.iter().map(|user| user.mailbox(|mailbox| mailbox.streams())).sum();
                findings.add("open streams", streams.to_string());
            }
            _ => {}
        }
        findings
    }

    fn dry_run(&self, operation: &Operation, findings: &mut Findings) {
        if let Operation::Subscribe(subscribe) = operation {
            findings.add("watcher", subscribe.watcher.address.to_string());
            findings.add("presentity", subscribe.target.address.to_string());
            findings.add("request", "event subscription (requested)");
            return findings.add("authorization", "the user's POST /v1/authorizations");
        }
        let Operation::Message(operation) = operation else { return };
        findings.add("source", operation.source.address.to_string());
        findings.add("destination", operation.destination.address.to_string());
        findings.add("transport", "events over HTTP or WebSocket");
        findings.add("acknowledgement", "the addressee's device");
        match self.addressee(operation).and_then(|user| mapping::to_event(operation, None).map(|mapped| (user, mapped)))
        {
            Err(failure) => findings.refuse(&failure),
            Ok((user, mapped)) => {
                findings.add("open streams", user.mailbox(|mailbox| mailbox.streams()).to_string());
                findings.degraded = mapped.losses.iter().map(|(field, _)| (*field).to_owned()).collect();
            }
        }
        let size = format!("{} of {} octets", operation.message.content.octets.len(), self.config.limits.max_message);
        findings.add("size", size);
    }
}

/// Users to come, as a changed configuration lists them; nobody has changed yet.
pub struct NextUsers {
    shared: Arc<Shared>,
    listed: Listed,
}

impl NextUsers {
    /// From now on these are the users. Streams of those who stay go on; what waits for others fails.
    pub fn take_over(self) -> UserChanges {
        let (changes, gone) = self.shared.users.replace(self.listed);
        gone.iter().for_each(|user| dismiss(user));
        changes
    }
}

/// Settles what waits for somebody who is no user any longer.
fn dismiss(user: &User) {
    for event in user.mailbox(|mailbox| mailbox.waiting()) {
        give_up(user, event, |fate| match fate {
            Fate::Sent => unconfirmed(fate),
            Fate::Unsent | Fate::NoDevice => no_such_user(),
        });
    }
}

fn no_such_user() -> Failure {
    Failure::new(Side::Far, Cause::NotFound).with_text("no such native user")
}

fn give_up(user: &User, event: EventId, why: fn(Fate) -> Failure) {
    if let Some((Waiting { settle, .. }, fate)) = user.mailbox(|mailbox| mailbox.give_up(event)) {
        tracing::debug!(%event, ?fate, "not acknowledged");
        settle.settle(why(fate));
    }
}

/// How long a message waits before it is seen again whether its addressee has a device: what a person who has just come back
/// bears, and few tries for one who is away all day.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What a sender hears when the deadline has passed.
fn unconfirmed(fate: Fate) -> Failure {
    match fate {
        Fate::Sent => Failure::new(Side::Far, Cause::Unconfirmed)
            .with_text("sent to a device, which has not acknowledged it: it may have arrived"),
        Fate::Unsent => Failure::new(Side::Far, Cause::Unconfirmed)
            .with_text("not sent to any device in time, and withdrawn: it will not arrive"),
        // It waits for a device in the ledger, where there is one.
        Fate::NoDevice => Failure::new(Side::Far, Cause::RecipientUnavailable)
            .with_retry(Retry::After(LOOK_AGAIN))
            .with_text("no device of the addressee was connected; withdrawn: it will not arrive"),
    }
}

/// What a sender hears when the gateway stops before anybody acknowledged.
fn stopping(fate: Fate) -> Failure {
    match fate {
        Fate::Sent => unconfirmed(fate),
        Fate::Unsent | Fate::NoDevice => Failure::new(Side::Ours, Cause::ShuttingDown),
    }
}

fn json(event: &impl serde::Serialize) -> Result<Box<str>, Failure> {
    let text = serde_json::to_string(event).map_err(|_| Failure::new(Side::Ours, Cause::InternalError))?;
    Ok(text.into())
}

fn too_large(limit: usize) -> Failure {
    Failure::new(Side::Far, Cause::TooLarge).with_text(format!("more than {limit} octets"))
}

impl std::fmt::Debug for NativeAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeAdapter").field("listen", &self.shared.config.listen).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl NativeAdapter {
    /// The adapter of a test, with what its calls and deliveries share.
    pub(crate) fn for_test(config: Config) -> (Self, Arc<Shared>) {
        let adapter = Self::from_config(&"native".into(), config).unwrap();
        let shared = Arc::clone(&adapter.shared);
        (adapter, shared)
    }
}

mod presence;
#[cfg(test)]
mod tests;
