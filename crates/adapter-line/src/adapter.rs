//! The adapter: who is connected, what waits for an answer, and how a delivery ends.

use crate::config::Config;
use crate::line::Line;
use crate::{link, mapping};
use adapter_api::model::{Address, Cause, Failure, Kind, Operation, Outcome, Proof, Side, Wish};
use adapter_api::{
    Acknowledgement, Adapter, AdapterError, Capabilities, Carries, Delivery, Examine, FieldSupport, Findings, Full,
    Hub, PresenceCapabilities, Repetition, SendsAs, Settle, Shutdown, TellsFailure,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One instance of the line protocol.
pub struct LineAdapter {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

/// What connections and deliveries share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    tables: Mutex<Tables>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Tables {
    /// The queue of lines to each connected device.
    devices: BTreeMap<Address, BTreeMap<u64, mpsc::Sender<Line>>>,
    /// Deliveries by addressee and id. A second one under the same id is a repeat, and waits beside the first.
    waiting: BTreeMap<(Address, String), Vec<Waiting>>,
    waiting_len: usize,
}

struct Waiting {
    settle: Settle,
    deadline: Instant,
}

/// Lines on their way to one device; beyond that the delivery comes back.
const MAX_LINES: usize = 256;
/// Deliveries that wait for an answer, all users together.
const MAX_WAITING: usize = 4096;
/// How often deliveries are looked through for those that are due.
const SWEEP: Duration = Duration::from_millis(50);
/// When an addressee without a device is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl LineAdapter {
    /// Makes an instance; opens nothing.
    pub fn new(config: Config) -> Self {
        let shared = Shared { config, tables: Mutex::default(), stopped: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), capabilities: capabilities() }
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        protocol: "line".into(),
        srv_label: None,
        standing_link: true,
        proves_peers: false,
        transports: Vec::new(),
        kinds: vec![Kind::Message, Kind::Subscribe, Kind::Notify, Kind::Authorize],
        sends_as: SendsAs::Anyone,
        acknowledgement: Acknowledgement::Device,
        acknowledgement_of: BTreeMap::new(),
        answers_each: true,
        repetition: Repetition::Repeatable,
        tells_failure: TellsFailure::Never,
        seals: Vec::new(),
        max_content: Some(mapping::MAX_CONTENT),
        presence: Some(PresenceCapabilities { refreshed: false, publishes: true, devices: false, checked: false }),
        fields: vec![
            FieldSupport::new("content", Carries::Carried, "text only"),
            FieldSupport::new("id", Carries::Carried, ""),
            FieldSupport::new("thread", Carries::Dropped, ""),
            FieldSupport::new("subjects", Carries::Dropped, ""),
        ],
    }
}

#[async_trait::async_trait]
impl Adapter for LineAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        let listen = self.shared.config.listen;
        let fail = |source| AdapterError::Listen { listen: listen.to_string(), source };
        let listener = TcpListener::bind(listen).await.map_err(fail)?;
        hub.listening("tcp", listener.local_addr().map_err(fail)?);
        let mut links = tokio::task::JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP);
        let mut number = 0;
        loop {
            tokio::select! {
                () = shutdown.requested() => break,
                _ = sweep.tick() => self.shared.give_up(|waiting| waiting.deadline <= Instant::now(), Cause::Unconfirmed),
                Some(_) = links.join_next(), if !links.is_empty() => {}
                accepted = listener.accept() => {
                    let Ok((socket, _)) = accepted else { continue };
                    number += 1;
                    links.spawn(link::serve(Arc::clone(&self.shared), hub.clone(), socket, number));
                }
            }
        }
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.give_up(|_| true, Cause::Unconfirmed);
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        if self.shared.stopped.load(Ordering::SeqCst) {
            delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
            return Ok(());
        }
        let operation = Arc::clone(&delivery.operation);
        let Operation::Message(message) = &*operation else {
            delivery.settle(self.shared.tell_presence(&operation));
            return Ok(());
        };
        match mapping::to_line(message) {
            Ok((id, line)) => self.shared.send(&message.destination.address, id, line, delivery),
            Err(failure) => {
                delivery.settle(failure);
                Ok(())
            }
        }
    }

    async fn examine(&self, request: Examine) -> Findings {
        let mut findings = Findings::default();
        let Examine::DryRun { operation, .. } = request else { return findings };
        findings.add("transport", "lines over TCP");
        findings.add("acknowledgement", "the addressee's device");
        if let Operation::Message(message) = *operation {
            if let Err(failure) = mapping::to_line(&message) {
                findings.refuse(&failure);
            }
            let lost =
                [("thread", message.message.thread.is_some()), ("subjects", !message.message.subjects.is_empty())];
            findings.dropped = lost.iter().filter(|(_, lost)| *lost).map(|(field, _)| (*field).to_owned()).collect();
        }
        findings
    }
}

impl Shared {
    fn knows(&self, user: &Address) -> Result<(), Failure> {
        let known = *user.domain() == self.config.domain && self.config.users.iter().any(|name| name == user.local());
        if known { Ok(()) } else { Err(Failure::new(Side::Far, Cause::NotFound)) }
    }

    /// Sends a message to every device of its addressee; whichever answers first settles it.
    fn send(&self, user: &Address, id: String, line: Line, delivery: Delivery) -> Result<(), Full> {
        if let Err(failure) = self.knows(user) {
            delivery.settle(failure);
            return Ok(());
        }
        let mut tables = self.tables.lock();
        let devices: Vec<_> = tables.devices.get(user).into_iter().flat_map(BTreeMap::values).cloned().collect();
        if devices.is_empty() {
            drop(tables);
            let failure = Failure::new(Side::Far, Cause::RecipientUnavailable);
            delivery.settle(failure.with_retry(adapter_api::model::Retry::After(LOOK_AGAIN)));
            return Ok(());
        }
        let room: Vec<_> = devices.iter().filter_map(|device| device.try_reserve().ok()).collect();
        if room.is_empty() || tables.waiting_len >= MAX_WAITING {
            return Err(Full(Box::new(delivery)));
        }
        let waiting = Waiting { settle: delivery.settle, deadline: delivery.deadline };
        tables.waiting.entry((user.clone(), id)).or_default().push(waiting);
        tables.waiting_len += 1;
        room.into_iter().for_each(|slot| slot.send(line.clone()));
        Ok(())
    }

    fn tell_presence(&self, operation: &Operation) -> Outcome {
        let (user, lines) = match operation {
            Operation::Subscribe(told) => {
                let asks = matches!(told.wish, Wish::Watch(_) | Wish::Standing);
                let line = asks.then(|| Line::new("ASK", [&*told.watcher.address.to_string()]));
                (&told.target.address, line.into_iter().collect())
            }
            Operation::Notify(told) => (&told.watcher.address, mapping::to_presence(told)),
            Operation::Authorize(told) => (&told.watcher.address, Vec::new()),
            Operation::Message(_) | Operation::Disposition(_) | Operation::Composing(_) | Operation::Publish(_) | _ => {
                return Failure::new(Side::Far, Cause::NotImplemented).into();
            }
        };
        if let Err(failure) = self.knows(user) {
            return failure.into();
        }
        let tables = self.tables.lock();
        for device in tables.devices.get(user).into_iter().flat_map(BTreeMap::values) {
            for line in &lines {
                if device.try_send(line.clone()).is_err() {
                    return Failure::new(Side::Ours, Cause::Overload).into();
                }
            }
        }
        Outcome::Success(Proof::Server)
    }

    /// A device of `user` is there; gives the lines for it. None if there is no such user.
    pub(crate) fn enter(&self, user: &Address, number: u64) -> Option<mpsc::Receiver<Line>> {
        self.knows(user).ok()?;
        let (sender, lines) = mpsc::channel(MAX_LINES);
        self.tables.lock().devices.entry(user.clone()).or_default().insert(number, sender);
        Some(lines)
    }

    /// It is gone; what waits for a user without another device may have arrived.
    pub(crate) fn leave(&self, user: &Address, number: u64) {
        let mut tables = self.tables.lock();
        let others = tables.devices.get_mut(user).is_some_and(|devices| {
            devices.remove(&number);
            !devices.is_empty()
        });
        if others {
            return;
        }
        tables.devices.remove(user);
        let gone: Vec<_> = tables.waiting.extract_if(.., |(addressee, _), _| addressee == user).collect();
        tables.waiting_len -= gone.iter().map(|(_, waiting)| waiting.len()).sum::<usize>();
        drop(tables);
        for waiting in gone.into_iter().flat_map(|(_, waiting)| waiting) {
            waiting.settle.settle(Failure::new(Side::Far, Cause::Unconfirmed));
        }
    }

    /// A device of `user` has answered the message `id`.
    pub(crate) fn answered(&self, user: &Address, id: &str, outcome: &Outcome) {
        let mut tables = self.tables.lock();
        let answered = tables.waiting.remove(&(user.clone(), id.to_owned())).unwrap_or_default();
        tables.waiting_len -= answered.len();
        drop(tables);
        answered.into_iter().for_each(|waiting| waiting.settle.settle(outcome.clone()));
    }

    fn give_up(&self, which: impl Fn(&Waiting) -> bool, cause: Cause) {
        let mut tables = self.tables.lock();
        let mut due = Vec::new();
        tables.waiting.retain(|_, waiting| {
            due.extend(waiting.extract_if(.., |one| which(one)));
            !waiting.is_empty()
        });
        tables.waiting_len -= due.len();
        drop(tables);
        due.into_iter().for_each(|waiting| waiting.settle.settle(Failure::new(Side::Far, cause)));
    }
}
