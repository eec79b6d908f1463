//! The adapter: what waits, who works, and what its parts share.

use crate::carry;
use crate::config::Config;
use crate::homeserver::Homeserver;
use crate::mapping::{MAX_BODY, Names, message_content};
use crate::pairs::{Pair, Pairs};
use crate::presence::Watches;
use crate::rooms::Rooms;
use crate::service::{self, Done};
use adapter_api::model::{Address, Cause, Failure, Kind, Operation, Side};
use adapter_api::{
    Acknowledgement, Adapter, AdapterError, Capabilities, Carries, Check, Delivery, Examine, FieldSupport, Findings,
    Full, Hub, InstanceName, PeerState, PresenceCapabilities, Provenance, Repetition, SendsAs, Shutdown, SourceProof,
    SpeaksFor, TellsFailure,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// One homeserver, whose application service this gateway is.
pub struct MatrixAdapter {
    shared: Arc<Shared>,
    capabilities: Capabilities,
    /// Pairs that somebody must begin to work for; taken by `run`.
    starts: Mutex<Option<mpsc::UnboundedReceiver<Pair>>>,
}

/// What all parts share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) names: Names,
    pub(crate) homeserver: Homeserver,
    pub(crate) hs_token: String,
    pub(crate) hub: OnceLock<Hub>,
    pub(crate) rooms: Mutex<Rooms>,
    pub(crate) watches: Mutex<Watches>,
    /// Ghosts that the homeserver knows.
    pub(crate) registered: Mutex<BTreeSet<Address>>,
    /// Who was typing in a room.
    pub(crate) typing: Mutex<BTreeMap<String, Vec<Address>>>,
    /// Transactions of the homeserver, one at a time.
    pub(crate) done: tokio::sync::Mutex<Done>,
    pairs: Mutex<Pairs>,
    /// As many as there are pairs with something to do.
    starts: mpsc::UnboundedSender<Pair>,
    reachable: AtomicBool,
    stopping: AtomicBool,
}

/// How often a homeserver that went away is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long what is under way may take when the gateway stops.
const DRAIN: Duration = Duration::from_secs(2);

impl MatrixAdapter {
    /// Makes an instance; reads the token files, opens nothing.
    pub fn new(instance: InstanceName, config: Config) -> Result<Self, AdapterError> {
        let _ = instance;
        let (as_token, hs_token) = config.tokens()?;
        let invalid = |problem| AdapterError::Config { key: "homeserver".to_owned(), problem };
        let homeserver = Homeserver::new(config.homeserver_url().map_err(invalid)?, as_token).map_err(invalid)?;
        let (starts, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            names: Names { domain: config.domain.clone(), ghosts: config.ghosts.clone() },
            config,
            homeserver,
            hs_token,
            hub: OnceLock::new(),
            rooms: Mutex::default(),
            watches: Mutex::default(),
            registered: Mutex::default(),
            typing: Mutex::default(),
            done: tokio::sync::Mutex::default(),
            pairs: Mutex::default(),
            starts,
            reachable: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), capabilities: capabilities(), starts: Mutex::new(Some(receiver)) })
    }
}

fn capabilities() -> Capabilities {
    use Carries::{Carried, Degraded, Dropped};
    Capabilities {
        protocol: "matrix".into(),
        srv_label: None,
        standing_link: true,
        proves_peers: false,
        transports: Vec::new(),
        kinds: vec![Kind::Message, Kind::Disposition, Kind::Composing, Kind::Subscribe, Kind::Notify, Kind::Authorize],
        sends_as: SendsAs::Anyone,
        acknowledgement: Acknowledgement::Answer,
        acknowledgement_of: BTreeMap::new(),
        answers_each: false,
        // A transaction that was not answered comes again.
        repetition: Repetition::Repeatable,
        tells_failure: TellsFailure::Always,
        seals: Vec::new(),
        max_content: Some(MAX_BODY),
        presence: Some(PresenceCapabilities { refreshed: false, publishes: true, devices: false, checked: false }),
        fields: vec![
            FieldSupport::new("content", Carried, "text/plain; /me as m.emote"),
            FieldSupport::new("id", Carried, "in the transaction's id"),
            FieldSupport::new("language", Dropped, ""),
            FieldSupport::new("thread", Dropped, ""),
            FieldSupport::new("subjects", Dropped, ""),
            FieldSupport::new("alternatives", Dropped, ""),
            FieldSupport::new("correction", Degraded, "a message of its own"),
            FieldSupport::new("reply", Degraded, "a message of its own"),
        ],
    }
}

/// The fields of a message that are lost, as the capabilities list them.
pub(crate) fn lost(operation: &Operation) -> Vec<(&'static str, Carries)> {
    let Operation::Message(message) = operation else { return Vec::new() };
    let message = &message.message;
    let dropped = [
        ("language", message.content.language.is_some()),
        ("thread", message.thread.is_some()),
        ("subjects", !message.subjects.is_empty()),
        ("alternatives", !message.alternatives.is_empty()),
    ];
    let dropped = dropped.into_iter().filter(|(_, lost)| *lost).map(|(field, _)| (field, Carries::Dropped));
    let relations = message.relations.iter().map(|relation| (relation.field(), Carries::Degraded));
    dropped.chain(relations).collect()
}

#[async_trait::async_trait]
impl Adapter for MatrixAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        let shared = &self.shared;
        // Called once: there was none before.
        let _ = shared.hub.set(hub.clone());
        let Some(mut starts) = self.starts.lock().take() else { return Ok(()) };
        let records = tokio::task::spawn_blocking({
            let hub = hub.clone();
            move || hub.kept()
        });
        let records = records.await.unwrap_or_default();
        *shared.rooms.lock() = Rooms::load(&records);
        *shared.done.lock().await = Done::load(&records);
        let listen = shared.config.listen;
        let fail = |source| AdapterError::Listen { listen: listen.to_string(), source };
        let listener = TcpListener::bind(listen).await.map_err(fail)?;
        hub.listening("http", listener.local_addr().map_err(fail)?);
        let mut workers = JoinSet::new();
        let serve = service::serve(Arc::clone(shared), listener);
        tokio::pin!(serve);
        let showing = carry::keep_showing(shared);
        tokio::pin!(showing);
        let mut look = tokio::time::interval(LOOK_AGAIN);
        let mut looking = None;
        loop {
            tokio::select! {
                () = shutdown.requested() => break,
                () = &mut serve => break,
                () = &mut showing => break,
                Some(pair) = starts.recv() => {
                    workers.spawn(work(Arc::clone(shared), pair));
                }
                Some(_) = workers.join_next(), if !workers.is_empty() => {}
                _ = look.tick() => {
                    begin(&mut workers, &mut looking, look_for(Arc::clone(shared)));
                }
            }
        }
        shared.stop();
        let ended = async { while workers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, ended).await;
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.shared.deliver(delivery)
    }

    async fn examine(&self, request: Examine) -> Findings {
        let mut findings = Findings::default();
        match request {
            Examine::DryRun { operation, .. } => self.shared.dry_run(&operation, &mut findings),
            Examine::Probe { .. } => {
                findings.checks.push(match self.shared.homeserver.whoami().await {
                    Ok(user) => Check::ok("homeserver", format!("knows us as {user}")),
                    Err(error) => Check::fail(
                        "homeserver",
                        error.to_failure().to_string(),
                        "look at homeserver and as_token_file",
                    ),
                });
            }
            _ => {}
        }
        findings
    }
}

/// Begins what is done again and again, unless it is under way since the last time: the homeserver may hang.
fn begin(workers: &mut JoinSet<()>, last: &mut Option<AbortHandle>, task: impl Future<Output = ()> + Send + 'static) {
    if last.as_ref().is_none_or(AbortHandle::is_finished) {
        *last = Some(workers.spawn(task));
    }
}

/// Carries out what waits for a pair until nothing does.
async fn work(shared: Arc<Shared>, pair: Pair) {
    loop {
        let Some(delivery) = shared.pairs.lock().next(&pair) else { return };
        let Delivery { operation, edition, deadline, settle, .. } = delivery;
        if deadline <= Instant::now() {
            let text = "not tried in time";
            settle.settle(Failure::new(Side::Far, Cause::ResourceConstraint).with_text(text));
            continue;
        }
        let carried = carry::carry(&shared, &operation, edition, deadline);
        let carried = tokio::time::timeout_at(deadline.into(), carried).await;
        match carried {
            Ok(outcome) => settle.settle(outcome),
            Err(_) => settle.settle(Failure::new(Side::Far, Cause::Unconfirmed)),
        }
    }
}

/// Looks for a homeserver that went away.
async fn look_for(shared: Arc<Shared>) {
    if !shared.reachable.load(Ordering::Relaxed) && shared.homeserver.whoami().await.is_ok() {
        shared.heard_of(true);
    }
}

impl Shared {
    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        if self.stopping.load(Ordering::SeqCst) || self.hub.get().is_none() {
            delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
            return Ok(());
        }
        let operation = &delivery.operation;
        let pair = (operation.source().address.clone(), operation.destination().address.clone());
        let begins = self.pairs.lock().push(&pair, delivery).map_err(|back| Full(Box::new(back)))?;
        if begins && self.starts.send(pair.clone()).is_err() {
            self.refuse_waiting();
        }
        Ok(())
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.refuse_waiting();
    }

    fn refuse_waiting(&self) {
        let waiting = self.pairs.lock().drain();
        waiting.into_iter().for_each(|delivery| delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown)));
    }

    /// The homeserver answers, or does not.
    pub(crate) fn heard_of(&self, reachable: bool) {
        if self.reachable.swap(reachable, Ordering::Relaxed) != reachable
            && let Some(hub) = self.hub.get()
        {
            let state = if reachable { PeerState::Up } else { PeerState::Down };
            hub.peer_changed(self.names.domain.as_str(), state);
        }
    }

    /// Who the homeserver is: it knows the token that it has of us.
    pub(crate) fn provenance(&self, hub: &Hub) -> Arc<Provenance> {
        let domain = self.names.domain.clone();
        Arc::new(Provenance {
            may_repeat: false,
            adapter: hub.instance().clone(),
            peer: domain.as_str().into(),
            proof: SourceProof::Token,
            speaks_for: SpeaksFor::Domains(vec![domain].into()),
        })
    }

    fn dry_run(&self, operation: &Operation, findings: &mut Findings) {
        findings.add("transport", format!("HTTP to {}", self.config.homeserver));
        findings.add("acknowledgement", "the homeserver's answer");
        let (source, destination) = (&operation.source().address, &operation.destination().address);
        let ends = [("source", self.names.ghost(source)), ("destination", self.names.user(destination))];
        for (end, id) in ends {
            match id {
                Some(id) => findings.add(end, id),
                None => findings.refuse(&Failure::new(Side::Far, Cause::AddressMalformed)),
            }
        }
        if let Operation::Message(message) = operation
            && let Err(failure) = message_content(message)
        {
            findings.refuse(&failure);
        }
        for (field, how) in lost(operation) {
            let list = if how == Carries::Dropped { &mut findings.dropped } else { &mut findings.degraded };
            list.push(field.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn what_hangs_is_not_begun_a_second_time_and_is_after_its_end() {
        let (mut workers, mut last) = (JoinSet::new(), None);
        begin(&mut workers, &mut last, pending());
        begin(&mut workers, &mut last, pending());
        assert_eq!(workers.len(), 1);
        workers.abort_all();
        assert!(workers.join_next().await.unwrap().unwrap_err().is_cancelled());
        begin(&mut workers, &mut last, pending());
        assert_eq!(workers.len(), 1);
    }
}
