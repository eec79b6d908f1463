//! An adapter for a network in memory, which can be wrong in one way for each case of the kit.

mod network;

pub(crate) use network::Pipe;

use adapter_api::model::{
    Address, AuthorizeOperation, Basic, Cause, Device, Disposition, DispositionOperation, Endpoint, Failure,
    InstantMessage, Kind, MaxForwards, MessageOperation, News, Operation, Outcome, PresenceInfo, PresenceTuple, Proof,
    PublishOperation, Side, Standing, SubscribeOperation, Wish,
};
use adapter_api::testkit::{Act, Answer, Manner, Seen};
use adapter_api::{
    Acknowledgement, Adapter, AdapterError, Capabilities, Delivery, Examine, Findings, Full, Hub, PresenceCapabilities,
    Provenance, Repetition, SendsAs, Shutdown, SourceProof, SpeaksFor, TellsFailure,
};
use network::Wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// As many deliveries as may be under way.
const ROOM: usize = 200;

/// The adapter.
pub(crate) struct PipeAdapter {
    capabilities: Capabilities,
    fault: Option<&'static str>,
    life: u64,
    wire: Arc<Wire>,
    room: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<Queued>,
    rest: Mutex<Option<(mpsc::UnboundedReceiver<Queued>, mpsc::UnboundedReceiver<Act>)>>,
    stopped: AtomicBool,
}

type Queued = (Delivery, Option<OwnedSemaphorePermit>);

pub(crate) fn capabilities(fault: Option<&str>) -> Capabilities {
    let presence = PresenceCapabilities { refreshed: false, publishes: true, devices: false, checked: false };
    Capabilities {
        protocol: "pipe".into(),
        srv_label: None,
        standing_link: true,
        proves_peers: false,
        transports: Vec::new(),
        kinds: vec![Kind::Message, Kind::Subscribe, Kind::Notify, Kind::Authorize],
        sends_as: SendsAs::Anyone,
        acknowledgement: Acknowledgement::Device,
        acknowledgement_of: Default::default(),
        // So that failures are told over a link that can break.
        answers_each: false,
        repetition: Repetition::Repeatable,
        tells_failure: TellsFailure::Never,
        seals: Vec::new(),
        max_content: None,
        presence: (fault != Some("capabilities")).then_some(presence),
        fields: Vec::new(),
    }
}

impl PipeAdapter {
    fn new(fault: Option<&'static str>, life: u64, wire: Arc<Wire>, acts: mpsc::UnboundedReceiver<Act>) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        Self {
            capabilities: capabilities(fault),
            fault,
            life,
            wire,
            room: Arc::new(Semaphore::new(ROOM)),
            queue,
            rest: Mutex::new(Some((queued, acts))),
            stopped: AtomicBool::new(false),
        }
    }

    fn wrong(&self, fault: &str) -> bool {
        self.fault == Some(fault)
    }

    fn see_message(&self, operation: &MessageOperation, edition: u32) {
        let message = &operation.message;
        let id = message.id.as_ref().map_or("", |id| id.as_str());
        let mut id = format!("{}-{id}-{edition}", operation.source.address);
        if self.wrong("repeat-out") || self.wrong("restart") {
            id = format!("{id}-{}-{:?}", self.life, Instant::now());
        }
        let mut body = message.content.octets.clone();
        let text = String::from_utf8_lossy(&body).into_owned();
        if self.wrong("unknown-type") {
            body = text.clone().into();
        } else if self.wrong("unicode") {
            body = text.replace(|c: char| !c.is_ascii(), "?").into();
        } else if self.wrong("large") {
            body.truncate(1000);
        } else if self.wrong("empty") && body.is_empty() {
            body = " ".into();
        }
        let mut from = operation.source.address.clone();
        if self.wrong("addresses") {
            from = Address::new(&from.local().replace('\'', "_"), from.domain().clone()).unwrap();
        }
        let bodies = match self.wrong("controls") {
            true => text.lines().map(|line| line.to_owned().into()).collect(),
            false => vec![body],
        };
        for body in bodies {
            let content_type = message.content.media_type.to_string();
            let (to, from, id) = (operation.destination.address.clone(), from.clone(), Some(id.clone()));
            self.wire.see(Seen::Message { to, from, id, content_type, body });
        }
    }

    /// Carries one message; gives how it ends.
    fn carry(&self, operation: &MessageOperation, edition: u32, deadline: Instant) -> Ending {
        let failure = |cause| Ending::now(Failure::new(Side::Far, cause));
        if operation.message.sealed.is_some() && !self.wrong("sealed") {
            return failure(Cause::NotAcceptable);
        }
        self.see_message(operation, edition);
        let success = Outcome::Success(Proof::Recipient);
        match self.wire.manner() {
            _ if self.wrong("crash") => Ending::now(success),
            Manner::Confirm if self.wrong("delivered") => Ending::now(Outcome::HandedOver),
            Manner::Confirm | Manner::Cut => Ending::now(success),
            Manner::After(time) => Ending { after: time, outcome: success },
            Manner::Silent if self.wrong("silent") => Ending::now(success),
            Manner::Silent => Ending {
                after: deadline.saturating_duration_since(Instant::now()),
                outcome: Failure::new(Side::Far, Cause::Unconfirmed).into(),
            },
            Manner::Refuse(_) if self.wrong("refused") => failure(Cause::Undefined),
            Manner::Refuse(cause) => failure(cause),
            Manner::Vanish if self.wrong("vanish") => Ending::now(success),
            Manner::Vanish => failure(Cause::LinkDown),
        }
    }

    fn tell(&self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Subscribe(told) => {
                let first = matches!(told.wish, Wish::Watch(_) | Wish::Standing) || self.wrong("refresh");
                if first && !self.wrong("subscribe") {
                    let (user, watcher) = (told.target.address.clone(), told.watcher.address.clone());
                    self.wire.see(Seen::Asked { user, watcher });
                }
            }
            Operation::Notify(told) if matches!(told.standing, Standing::Ended { .. }) && self.wrong("expire") => {}
            Operation::Notify(told) => {
                let (user, presentity) = (told.watcher.address.clone(), told.target.address.clone());
                if let News::Whole(info) = &told.news
                    && !self.wrong("watch")
                {
                    let name = |tuple: &PresenceTuple| tuple.device.as_ref().map_or("", Device::as_str).to_owned();
                    let open = info.tuples.iter().filter(|tuple| tuple.basic == Basic::Open).map(name).collect();
                    self.wire.see(Seen::Presence { user: user.clone(), presentity: presentity.clone(), open });
                }
                if matches!(told.standing, Standing::Ended { .. }) {
                    self.wire.see(Seen::Ended { user, presentity });
                }
            }
            Operation::Authorize(_) => {}
            _ if self.wrong("kinds") => {}
            _ => return Failure::new(Side::Ours, Cause::NotImplemented).into(),
        }
        Outcome::Success(Proof::Server)
    }

    /// What a user of the network does, as an operation.
    fn operation(&self, act: Act) -> Option<(Address, Operation)> {
        let end = |address: &Address| Endpoint::bare(address.clone());
        Some(match act {
            Act::Send { from, to, id, content_type, body } => {
                let content =
                    adapter_api::model::Content { media_type: content_type.into(), language: None, octets: body };
                let mut message = InstantMessage::new(content);
                let unlike = if self.wrong("repeat-in") { format!("{:?}", Instant::now()) } else { String::new() };
                message.id = Some(format!("{id}{unlike}").into());
                let operation = MessageOperation {
                    source: end(&from),
                    destination: end(&to),
                    max_forwards: MaxForwards::INITIAL,
                    trans_id: id.as_str().into(),
                    message,
                };
                (from, Operation::Message(Box::new(operation)))
            }
            Act::Authorize { user, watcher, allow } => {
                let allow = allow || self.wrong("deny");
                let (target, watcher, trans_id) = (end(&user), end(&watcher), "a".into());
                (user, Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow, trans_id })))
            }
            Act::Watch { user, presentity } => subscribe(user, &presentity, Wish::Standing),
            Act::Unwatch { user, presentity } => subscribe(user, &presentity, Wish::Cancel),
            Act::Publish { user, device, open, show } => {
                let device = if self.wrong("devices") { "desk".to_owned() } else { device };
                let device = Device::new(&device).ok();
                let basic = if open { Basic::Open } else { Basic::Closed };
                let tuple = PresenceTuple { show, ..PresenceTuple::new(device.clone(), basic) };
                let state = Some(Arc::new(PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() }));
                let source = Endpoint { address: user.clone(), device };
                (user, Operation::Publish(Box::new(PublishOperation { source, state, trans_id: "p".into() })))
            }
            Act::Connect { .. } | Act::Disconnect { .. } | Act::Receive(_) => return None,
        })
    }

    fn provenance(&self, hub: &Hub, user: Address) -> Arc<Provenance> {
        let speaks_for = if self.wrong("proven-source") { SpeaksFor::Nobody } else { SpeaksFor::Address(user.clone()) };
        let peer = user.domain().as_str().into();
        Arc::new(Provenance {
            may_repeat: false,
            adapter: hub.instance().clone(),
            peer,
            proof: SourceProof::Token,
            speaks_for,
        })
    }

    async fn hand_in(&self, hub: &Hub, act: Act) {
        let id = if let Act::Send { id, .. } = &act { Some(id.clone()) } else { None };
        let Some((user, operation)) = self.operation(act) else { return };
        let about = operation.clone();
        let (_, outcome) = hub.submit_and_wait(operation, self.provenance(hub, user)).await;
        let Some(id) = id else { return };
        if let (Operation::Message(message), Outcome::Failure(failure), Manner::Cut) =
            (about, &outcome, self.wire.manner())
            && !self.wrong("owed")
        {
            hub.owe(word(*message, failure), !self.wrong("owed-unflagged"), Box::new(drop));
        }
        let answer = match outcome {
            _ if self.wrong("answers") => Answer::Delivered,
            Outcome::Success(_) => Answer::Delivered,
            Outcome::HandedOver | Outcome::Indeterminant => Answer::Accepted,
            Outcome::Failure(_) => Answer::Failed,
        };
        self.wire.see(Seen::Answer { id, answer });
    }
}

/// What tells a sender that his message failed.
fn word(about: MessageOperation, failure: &Failure) -> DispositionOperation {
    DispositionOperation {
        source: about.destination,
        destination: about.source,
        max_forwards: MaxForwards::INITIAL,
        message_id: about.message.id,
        trans_id: about.trans_id,
        accepted: "2026-11-23T12:00:00Z".parse().unwrap(),
        disposition: Disposition::Failed(Box::new(failure.clone())),
        and_earlier: false,
        return_path: None,
    }
}

fn subscribe(user: Address, presentity: &Address, wish: Wish) -> (Address, Operation) {
    let operation = SubscribeOperation {
        watcher: Endpoint::bare(user.clone()),
        target: Endpoint::bare(presentity.clone()),
        wish,
        subscript_id: "s".into(),
        trans_id: "s".into(),
    };
    (user, Operation::Subscribe(Box::new(operation)))
}

struct Ending {
    after: Duration,
    outcome: Outcome,
}

impl Ending {
    fn now(outcome: impl Into<Outcome>) -> Self {
        Self { after: Duration::ZERO, outcome: outcome.into() }
    }
}

#[async_trait::async_trait]
impl Adapter for PipeAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        let (mut queued, mut acts) = self.rest.lock().await.take().unwrap();
        let mut endings = JoinSet::new();
        let mut held = None;
        loop {
            tokio::select! {
                () = shutdown.requested(), if !self.wrong("shutdown") => break,
                Some(_) = endings.join_next(), if !endings.is_empty() => {}
                Some((delivery, permit)) = queued.recv() => {
                    if self.wrong("order-out") && held.is_none() && !queued.is_empty() {
                        held = Some((delivery, permit));
                        continue;
                    }
                    for (delivery, permit) in [Some((delivery, permit)), held.take()].into_iter().flatten() {
                        let ending = match &*delivery.operation {
                            Operation::Message(message) => self.carry(message, delivery.edition, delivery.deadline),
                            other => Ending::now(self.tell(other)),
                        };
                        if ending.after.is_zero() {
                            delivery.settle(ending.outcome);
                            continue;
                        }
                        endings.spawn(async move {
                            tokio::time::sleep(ending.after).await;
                            delivery.settle(ending.outcome);
                            drop(permit);
                        });
                    }
                }
                Some(act) = acts.recv() => {
                    if self.wrong("order-in") && let Ok(next) = acts.try_recv() {
                        self.hand_in(&hub, next).await;
                    }
                    self.hand_in(&hub, act).await;
                }
            }
        }
        self.stopped.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        if self.stopped.load(Ordering::SeqCst) {
            delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
            return Ok(());
        }
        if self.wrong("slow") {
            std::thread::sleep(Duration::from_millis(400));
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().ok();
        if permit.is_none() && !self.wrong("back-pressure") {
            return Err(Full(Box::new(delivery)));
        }
        // Without a receiver the delivery settles itself: it is dropped.
        let _ = self.queue.send((delivery, permit));
        Ok(())
    }

    async fn examine(&self, request: Examine) -> Findings {
        if let Examine::DryRun { operation, .. } = request
            && let Operation::Message(message) = *operation
            && self.wrong("examine")
        {
            self.see_message(&message, 0);
        }
        Findings::default()
    }
}
