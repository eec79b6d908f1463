//! One adapter between a hub and a network, with the words in which cases are written.

use super::{Act, KitHub, Manner, Network, Profile, Records, Seen, Submitted, Unable, Verdict};
use crate::{
    Adapter, AdapterError, Capabilities, Delivery, Hub, InstanceName, Shutdown, ShutdownTrigger, TraceId,
    settle_channel,
};
use bytes::Bytes;
use impp_model::{Address, Content, Endpoint, InstantMessage, Kind, MaxForwards, MessageOperation, Operation, Outcome};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How a case ends that does not pass.
#[derive(Debug)]
pub enum Fall {
    /// The adapter does not do what it must.
    Wrong {
        /// What it must do.
        expected: String,
        /// What it does.
        found: String,
    },
    /// The case says nothing about this adapter.
    NotApplicable(String),
}

/// How a case ends.
pub type Judged = Result<(), Fall>;

impl From<Unable> for Fall {
    fn from(unable: Unable) -> Self {
        Self::NotApplicable(unable.to_string())
    }
}

impl From<Fall> for Verdict {
    fn from(fall: Fall) -> Self {
        match fall {
            Fall::Wrong { expected, found } => Self::Failed { expected, found },
            Fall::NotApplicable(why) => Self::NotApplicable { why },
        }
    }
}

/// The device that the kit's users have unless a case says otherwise.
pub const DEVICE: &str = "desk";

/// A running adapter, between the kit's hub and its network.
pub struct Stand<'n> {
    /// The network.
    pub network: &'n mut dyn Network,
    /// What the network can do.
    pub profile: Profile,
    /// The hub.
    pub hub: Arc<KitHub>,
    /// How long something that must happen may take.
    pub patience: Duration,
    adapter: Arc<dyn Adapter>,
    submitted: mpsc::UnboundedReceiver<Submitted>,
    records: Arc<Records>,
    trigger: ShutdownTrigger,
    run: JoinHandle<Result<(), AdapterError>>,
    numbers: u64,
}

impl<'n> Stand<'n> {
    /// Starts an adapter; its user and the other one are connected.
    pub(super) async fn start(network: &'n mut dyn Network, patience: Duration) -> Result<Self, Fall> {
        let profile = network.profile();
        let records = Arc::default();
        let (adapter, hub, submitted, trigger, run) = launch(network, &profile, &records, patience).await?;
        let mut stand = Self { network, profile, hub, patience, adapter, submitted, records, trigger, run, numbers: 0 };
        stand.connect_both().await?;
        Ok(stand)
    }

    async fn connect_both(&mut self) -> Judged {
        for user in [self.profile.user.clone(), self.profile.other.clone()] {
            self.act(Act::Connect { user, device: DEVICE.to_owned() }).await?;
        }
        Ok(())
    }

    /// The adapter's capabilities.
    pub fn capabilities(&self) -> &Capabilities {
        self.adapter.capabilities()
    }

    /// The adapter.
    pub fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    /// Ends the case as not applicable unless the adapter carries operations of `kind`.
    pub fn needs(&self, kind: Kind) -> Judged {
        if self.capabilities().carries(kind) {
            return Ok(());
        }
        Err(Fall::NotApplicable(format!("its capabilities do not list {}", kind.label())))
    }

    /// Makes something happen in the network.
    pub async fn act(&mut self, act: Act) -> Judged {
        let what = format!("{act:?}");
        match tokio::time::timeout(self.patience, self.network.act(act)).await {
            Ok(done) => Ok(done?),
            Err(_) => wrong("the adapter serves its network", format!("no answer to {what:.60}")),
        }
    }

    /// From here on the network receives messages like this.
    pub async fn receive(&mut self, manner: Manner) -> Judged {
        self.act(Act::Receive(manner)).await
    }

    /// A user of another network; the number tells one from the other.
    pub fn stranger(&self, number: usize) -> Address {
        address(&format!("stranger{number}@kit.example"))
    }

    /// An operation that carries text from a stranger to the user.
    pub fn text(&mut self, body: &str) -> MessageOperation {
        self.content(Content::text(body))
    }

    /// An operation that carries `content` from a stranger to the user.
    pub fn content(&mut self, content: Content) -> MessageOperation {
        self.numbers += 1;
        let mut message = InstantMessage::new(content);
        message.id = Some(format!("kit-{}", self.numbers).into());
        MessageOperation {
            source: Endpoint::bare(self.stranger(1)),
            destination: Endpoint::bare(self.profile.user.clone()),
            max_forwards: MaxForwards::INITIAL,
            trans_id: format!("t{}", self.numbers).into(),
            message,
        }
    }

    /// A delivery of `operation`, due after `time`, and where its outcome comes.
    pub fn delivery(&self, operation: Operation, time: Duration) -> (Delivery, oneshot::Receiver<Outcome>) {
        let (settle, outcome) = settle_channel();
        let delivery = Delivery {
            trace: TraceId(7),
            operation: Arc::new(operation),
            repeat: false,
            edition: 0,
            proven_only: false,
            hop: Arc::new(self.network.hop()),
            deadline: Instant::now() + time,
            settle,
        };
        (delivery, outcome)
    }

    /// Hands the adapter an operation with all the kit's patience before it is due.
    pub fn deliver(&self, operation: Operation) -> Result<oneshot::Receiver<Outcome>, Fall> {
        self.deliver_within(operation, self.patience)
    }

    /// Hands the adapter an operation that is due after `time`.
    pub fn deliver_within(&self, operation: Operation, time: Duration) -> Result<oneshot::Receiver<Outcome>, Fall> {
        let (delivery, outcome) = self.delivery(operation, time);
        match self.adapter.deliver(delivery) {
            Ok(()) => Ok(outcome),
            Err(_) => wrong("a queue with room for one delivery", "Full"),
        }
    }

    /// Hands the adapter a message.
    pub fn send(&self, message: MessageOperation) -> Result<oneshot::Receiver<Outcome>, Fall> {
        self.deliver(Operation::Message(Box::new(message)))
    }

    /// What became of a delivery.
    pub async fn outcome(&self, outcome: oneshot::Receiver<Outcome>) -> Result<Outcome, Fall> {
        match self.in_time("the delivery is settled", outcome).await? {
            Ok(outcome) => Ok(outcome),
            Err(_) => wrong("the delivery is settled", "it was lost"),
        }
    }

    /// What a user of the network sees next.
    pub async fn seen(&mut self, expected: &str) -> Result<Seen, Fall> {
        match tokio::time::timeout(self.patience, self.network.seen()).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => wrong(expected, "the network ended"),
            Err(_) => wrong(expected, "the network saw nothing in time"),
        }
    }

    /// The first thing that the network sees of which `pick` makes something; what comes before it is passed over.
    pub async fn seen_where<T>(&mut self, expected: &str, mut pick: impl FnMut(Seen) -> Option<T>) -> Result<T, Fall> {
        let until = Instant::now() + self.patience;
        let mut last = String::from("nothing");
        while Instant::now() < until {
            match tokio::time::timeout(until.saturating_duration_since(Instant::now()), self.network.seen()).await {
                Ok(Some(seen)) => {
                    last = brief(&seen);
                    if let Some(picked) = pick(seen) {
                        return Ok(picked);
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        wrong(expected, format!("not seen in time; last was {last}"))
    }

    /// The next message that a user of the network sees: its id, content type and body.
    pub async fn seen_message(&mut self) -> Result<SeenMessage, Fall> {
        self.seen_where("a user of the network sees the message", |seen| match seen {
            Seen::Message { to, from, id, content_type, body } => {
                Some(SeenMessage { to, from, id, content_type, body })
            }
            Seen::Answer { .. } | Seen::Asked { .. } | Seen::Presence { .. } | Seen::Ended { .. } => None,
        })
        .await
    }

    /// The user sends a message to a stranger.
    pub async fn user_sends(&mut self, id: &str, content_type: &str, body: impl Into<Bytes>) -> Judged {
        let (from, to) = (self.profile.user.clone(), self.stranger(1));
        let (id, content_type) = (id.to_owned(), content_type.to_owned());
        self.act(Act::Send { from, to, id, content_type, body: body.into() }).await
    }

    /// The next submission of which `pick` makes something; what comes before it is passed over.
    pub async fn submitted_where<T>(
        &mut self,
        expected: &str,
        mut pick: impl FnMut(Submitted) -> Option<T>,
    ) -> Result<T, Fall> {
        let until = Instant::now() + self.patience;
        let mut last = "nothing";
        while Instant::now() < until {
            match tokio::time::timeout(until.saturating_duration_since(Instant::now()), self.submitted.recv()).await {
                Ok(Some(submitted)) => {
                    last = submitted.operation.kind().label();
                    if let Some(picked) = pick(submitted) {
                        return Ok(picked);
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
        wrong(expected, format!("not submitted in time; last was {last}"))
    }

    /// The next message that the adapter submits.
    pub async fn submitted_message(&mut self) -> Result<MessageOperation, Fall> {
        self.submitted_where("the message is submitted", |submitted| match submitted.operation {
            Operation::Message(message) => Some(*message),
            _ => None,
        })
        .await
    }

    /// Waits for something that must happen.
    pub async fn in_time<T>(&self, expected: &str, what: impl Future<Output = T>) -> Result<T, Fall> {
        match tokio::time::timeout(self.patience, what).await {
            Ok(value) => Ok(value),
            Err(_) => wrong(expected, format!("not within {:?}", self.patience)),
        }
    }

    /// Tells the adapter to stop, and waits until it has.
    pub async fn stop(&mut self) -> Judged {
        self.trigger.shut_down();
        match tokio::time::timeout(self.patience, &mut self.run).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => wrong("run returns Ok after shutdown", error.to_string()),
            Ok(Err(_)) => wrong("run returns Ok after shutdown", "it panicked"),
            Err(_) => wrong("run returns after shutdown", format!("it ran on for {:?}", self.patience)),
        }
    }

    /// Kills the adapter as a crash would: its task ends where it stands, and nothing of it is left.
    pub fn crash(&mut self) {
        self.run.abort();
        self.adapter = Arc::new(Nobody(self.adapter.capabilities().clone()));
    }

    /// Starts another adapter in place of the last one, with the records that it kept.
    pub async fn restart(&mut self) -> Judged {
        let launched = launch(self.network, &self.profile, &self.records, self.patience).await?;
        (self.adapter, self.hub, self.submitted, self.trigger, self.run) = launched;
        self.connect_both().await
    }

    /// Ends the adapter, however the case ended.
    pub(super) fn abandon(self) {
        self.trigger.shut_down();
        self.run.abort();
    }
}

/// A message as a user of the network sees it.
#[derive(Debug)]
pub struct SeenMessage {
    /// The addressee.
    pub to: Address,
    /// The sender.
    pub from: Address,
    /// The id it is carried under.
    pub id: Option<String>,
    /// Its media type.
    pub content_type: String,
    /// What it says.
    pub body: Bytes,
}

type Launched = (
    Arc<dyn Adapter>,
    Arc<KitHub>,
    mpsc::UnboundedReceiver<Submitted>,
    ShutdownTrigger,
    JoinHandle<Result<(), AdapterError>>,
);

async fn launch(
    network: &mut dyn Network,
    profile: &Profile,
    records: &Arc<Records>,
    patience: Duration,
) -> Result<Launched, Fall> {
    let adapter = network.adapter().await?;
    let instance = InstanceName::from("kit");
    let (hub, submitted) = KitHub::new(&instance, profile.user.domain(), Arc::clone(records));
    let (trigger, shutdown) = Shutdown::new();
    let mut run = tokio::spawn({
        let (adapter, hub) = (Arc::clone(&adapter), Hub::new(Arc::clone(&hub) as _, instance));
        async move { adapter.run(hub, shutdown).await }
    });
    if profile.listens {
        let waiting = async {
            tokio::select! {
                ended = &mut run => Err(format!("it ended: {ended:?}")),
                address = hub.listening_at() => address.ok_or_else(|| "no address".to_owned()),
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(Ok(address)) => network.listening(address),
            Ok(Err(found)) => return wrong("the adapter listens", found),
            Err(_) => return wrong("the adapter listens and tells where", "it did not tell in time"),
        }
    }
    Ok((adapter, hub, submitted, trigger, run))
}

/// What is left of an adapter that has crashed.
struct Nobody(Capabilities);

#[async_trait::async_trait]
impl Adapter for Nobody {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }
    async fn run(&self, _: Hub, _: Shutdown) -> Result<(), AdapterError> {
        Ok(())
    }
    fn deliver(&self, delivery: Delivery) -> Result<(), crate::Full> {
        Err(crate::Full(Box::new(delivery)))
    }
    async fn examine(&self, _: crate::Examine) -> crate::Findings {
        crate::Findings::default()
    }
}

impl fmt::Debug for Stand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stand").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The case fails.
pub(super) fn wrong<T>(expected: impl Into<String>, found: impl Into<String>) -> Result<T, Fall> {
    Err(Fall::Wrong { expected: expected.into(), found: found.into() })
}

/// The case fails unless `holds`.
pub(super) fn check(holds: bool, expected: impl Into<String>, found: impl fmt::Debug) -> Judged {
    if holds { Ok(()) } else { wrong(expected, shorten(format!("{found:?}"))) }
}

fn brief(seen: &Seen) -> String {
    shorten(format!("{seen:?}"))
}

/// At most 200 characters: a report is for reading.
fn shorten(text: String) -> String {
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}...", text.split_at(at).0),
        None => text,
    }
}

/// An address that the kit itself writes.
pub(super) fn address(text: &str) -> Address {
    Address::parse_bare(text).expect("the kit's own addresses are valid")
}
