//! From the hub to the homeserver: what each operation becomes there.

use crate::adapter::{Shared, lost};
use crate::arrive;
use crate::homeserver::CallError;
use crate::mapping::{message_content, notice};
use crate::presence::Shown;
use crate::rooms::{Room, Watched};
use adapter_api::Hub;
use adapter_api::model::{
    Address, Cause, ComposingOperation, DispositionOperation, Failure, MessageOperation, NotifyOperation, Operation,
    Outcome, Proof, Side, SubscribeOperation, Wish,
};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a ghost is shown as typing where its source does not say so again sooner.
const TYPING: Duration = Duration::from_secs(30);

/// Ghosts that are remembered as registered; they are registered again after that.
const MAX_REGISTERED: usize = 100_000;

/// How often a state is told again that the homeserver did not take: it may allow a ghost one in 10 s.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Every so many rounds the homeserver is told again who is present: each 20 s, since it forgets after 30 s.
const SHOW_AGAIN: u32 = 4;

const DONE: Outcome = Outcome::Success(Proof::Server);

/// Keeps the ids of transactions apart from other uses of the hash.
const DOMAIN: &[u8] = b"interlingua matrix transaction v1\0";

/// Carries out one operation, and does not wait beyond `deadline` where the homeserver asks for a pause.
pub(crate) async fn carry(shared: &Arc<Shared>, operation: &Operation, edition: u32, deadline: Instant) -> Outcome {
    let Some(hub) = shared.hub.get() else { return Failure::new(Side::Ours, Cause::ShuttingDown).into() };
    let task = Task { shared, hub, deadline };
    let carried = match operation {
        Operation::Message(message) => task.message(operation, message, edition).await,
        Operation::Disposition(word) => task.disposition(word).await,
        Operation::Composing(composing) => task.composing(composing).await,
        Operation::Subscribe(subscribe) => task.subscribe(subscribe).await,
        Operation::Notify(notify) => task.notify(notify).await,
        Operation::Authorize(answer) => {
            if !answer.allow {
                let (ghost, watcher) = (&answer.target.address, &answer.watcher.address);
                shared.watches.lock().ended(ghost, watcher);
                show(shared, ghost).await;
            }
            Ok(())
        }
        Operation::Publish(_) | _ => Err(Failure::new(Side::Far, Cause::NotImplemented)),
    };
    carried.map_or_else(Into::into, |()| DONE)
}

struct Task<'t> {
    shared: &'t Arc<Shared>,
    hub: &'t Hub,
    deadline: Instant,
}

impl Task<'_> {
    async fn message(&self, operation: &Operation, message: &MessageOperation, edition: u32) -> Result<(), Failure> {
        let content = message_content(message)?;
        let (from, to) = (&message.source.address, &message.destination.address);
        let ghost = self.ghost(from).await?;
        let transaction = transaction(message, edition);
        let mut room = self.room(&ghost, from, to).await?;
        let mut sent = self.patient(|| self.shared.homeserver.send(&ghost, &room.id, &transaction, &content)).await;
        if sent.as_ref().is_err_and(is_outside) {
            // The ghost is in that room no longer; perhaps another one can be had.
            self.shared.rooms.lock().remove(self.hub, &room.id);
            room = self.room(&ghost, from, to).await?;
            sent = self.patient(|| self.shared.homeserver.send(&ghost, &room.id, &transaction, &content)).await;
        }
        sent.map_err(|error| error.to_failure())?;
        lost(operation).into_iter().for_each(|(field, how)| self.hub.translation_loss(field, how));
        Ok(())
    }

    async fn disposition(&self, word: &DispositionOperation) -> Result<(), Failure> {
        use adapter_api::model::Disposition::Displayed;
        let Some((ghost, room)) = self.conversation(&word.source.address, &word.destination.address) else {
            return Ok(());
        };
        let Some(event) = &word.message_id else { return Ok(()) };
        let told = match word.disposition.failure() {
            Some(failure) => {
                let (content, transaction) = (notice(&failure, event.as_str()), word.trans_id.as_str());
                self.patient(|| self.shared.homeserver.send(&ghost, &room.id, transaction, &content)).await
            }
            None if word.disposition == Displayed => {
                self.patient(|| self.shared.homeserver.read(&ghost, &room.id, event.as_str())).await
            }
            None => Ok(()),
        };
        told.map_err(|error| error.to_failure())
    }

    /// Never answered with a failure.
    async fn composing(&self, composing: &ComposingOperation) -> Result<(), Failure> {
        let ends = (&composing.source.address, &composing.destination.address);
        if let Some((ghost, room)) = self.conversation(ends.0, ends.1) {
            let typing = composing.state.is_composing().then(|| composing.refresh.unwrap_or(TYPING));
            let _ = self.shared.homeserver.typing(&ghost, &room.id, typing).await;
        }
        Ok(())
    }

    /// A watcher elsewhere: the invitation asks, and who comes consents.
    async fn subscribe(&self, subscribe: &SubscribeOperation) -> Result<(), Failure> {
        let (watcher, user) = (&subscribe.watcher.address, &subscribe.target.address);
        let watched = match subscribe.wish {
            Wish::Watch(_) | Wish::Standing => Watched::Asked,
            Wish::Cancel => Watched::No,
            Wish::Extend(_) | Wish::Fetch | Wish::Pause | Wish::Check => return Ok(()),
        };
        let room = match watched {
            Watched::Asked => self.room(&self.ghost(watcher).await?, watcher, user).await?,
            Watched::No | Watched::Allowed => match self.shared.rooms.lock().of(watcher, user) {
                Some(room) => room.clone(),
                None => return Ok(()),
            },
        };
        let allowed = watched == Watched::Asked && room.joined;
        let watched = if allowed { Watched::Allowed } else { watched };
        self.shared.rooms.lock().change(self.hub, &room.id, |room| room.watched = watched);
        if allowed {
            arrive::allow(self.shared, self.hub, &room).await;
        }
        Ok(())
    }

    async fn notify(&self, notify: &NotifyOperation) -> Result<(), Failure> {
        self.shared.watches.lock().told(notify);
        show(self.shared, &notify.target.address).await;
        Ok(())
    }

    /// The room of two who have one, and the ghost's id.
    fn conversation(&self, elsewhere: &Address, user: &Address) -> Option<(String, Room)> {
        let room = self.shared.rooms.lock().of(elsewhere, user)?.clone();
        Some((self.shared.names.ghost(elsewhere)?, room))
    }

    async fn ghost(&self, address: &Address) -> Result<String, Failure> {
        self.patient(|| ghost(self.shared, address)).await.map_err(|error| match error {
            GhostError::Malformed => Failure::new(Side::Far, Cause::AddressMalformed),
            GhostError::Call(error) => error.to_failure(),
        })
    }

    /// The room of the two; makes one where there is none, and has it on disk before anything is said there.
    async fn room(&self, ghost: &str, elsewhere: &Address, user: &Address) -> Result<Room, Failure> {
        let known = self.shared.rooms.lock().of(elsewhere, user).cloned();
        if let Some(room) = known {
            return Ok(room);
        }
        let malformed = || Failure::new(Side::Far, Cause::AddressMalformed);
        let user_id = self.shared.names.user(user).ok_or_else(malformed)?;
        if self.shared.rooms.lock().is_full() {
            return Err(Failure::new(Side::Ours, Cause::Overload).with_text("no room for another room"));
        }
        let homeserver = &self.shared.homeserver;
        let fail = |error: CallError| error.to_failure();
        if !self.patient(|| homeserver.knows(&user_id, ghost)).await.map_err(fail)? {
            return Err(Failure::new(Side::Far, Cause::NotFound));
        }
        let id = self.patient(|| homeserver.create_room(ghost, &user_id)).await.map_err(fail)?;
        let room = Room {
            id,
            ghost: elsewhere.clone(),
            user: user.clone(),
            joined: false,
            watched: Watched::No,
            watches: false,
        };
        let placed = {
            let mut rooms = self.shared.rooms.lock();
            let known = rooms.of(elsewhere, user).cloned();
            known.map_or_else(|| Ok(rooms.put(self.hub, room.clone())), Err)
        };
        let durable = match placed {
            Ok(durable) => durable,
            Err(known) => {
                // The user opened one meanwhile.
                let _ = homeserver.leave(ghost, &room.id).await;
                return Ok(known);
            }
        };
        match durable.await {
            Ok(true) => Ok(room),
            Ok(false) | Err(_) => Err(Failure::new(Side::Ours, Cause::Overload).with_text("the room can't be kept")),
        }
    }

    /// Calls, and again after the pause that the homeserver asks for, where that ends in time.
    async fn patient<T, E: Paused, F: Future<Output = Result<T, E>>>(&self, call: impl Fn() -> F) -> Result<T, E> {
        loop {
            let error = match call().await {
                Ok(value) => {
                    self.shared.heard_of(true);
                    return Ok(value);
                }
                Err(error) => error,
            };
            self.shared.heard_of(!error.is_unreachable());
            match error.pause().map(|pause| Instant::now() + pause) {
                Some(until) if until < self.deadline => tokio::time::sleep_until(until.into()).await,
                Some(_) | None => return Err(error),
            }
        }
    }
}

/// The transaction's id: the same in every repeat of a message; another one for each edition, and where an id is used for
/// two messages.
fn transaction(message: &MessageOperation, edition: u32) -> String {
    let mut hash = Sha256::new_with_prefix(DOMAIN).chain_update(edition.to_be_bytes());
    let (source, destination, id) = (&message.source, &message.destination.address, message.carried_id());
    let device = source.device.as_ref().map_or("", |device| device.as_str());
    let (from, to) = (&source.address, destination);
    let ends = [from.local(), from.domain().as_str(), device, to.local(), to.domain().as_str(), &id];
    for field in ends.map(str::as_bytes).into_iter().chain([&*message.message.content.octets]) {
        hash.update(field.len().to_be_bytes());
        hash.update(field);
    }
    hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Errors that may ask for a pause.
pub(crate) trait Paused {
    fn pause(&self) -> Option<Duration>;
    fn is_unreachable(&self) -> bool;
}

impl Paused for CallError {
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.pause(),
            Self::Unreachable | Self::Unanswered => None,
        }
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable)
    }
}

/// Why there is no ghost.
#[derive(Debug)]
pub(crate) enum GhostError {
    Malformed,
    Call(CallError),
}

impl Paused for GhostError {
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Malformed => None,
            Self::Call(error) => error.pause(),
        }
    }

    fn is_unreachable(&self) -> bool {
        matches!(self, Self::Call(CallError::Unreachable))
    }
}

/// The ghost of somebody elsewhere, whom the homeserver knows from here on; gives its id.
pub(crate) async fn ghost(shared: &Shared, address: &Address) -> Result<String, GhostError> {
    let id = shared.names.ghost(address).ok_or(GhostError::Malformed)?;
    if shared.registered.lock().contains(address) {
        return Ok(id);
    }
    let localpart = id.strip_prefix('@').and_then(|id| id.split(':').next()).unwrap_or_default();
    shared.homeserver.register(localpart).await.map_err(GhostError::Call)?;
    // Without it the ghost is shown by its id.
    let _ = shared.homeserver.set_name(&id, &address.to_string()).await;
    let mut registered = shared.registered.lock();
    if registered.len() >= MAX_REGISTERED {
        registered.clear();
    }
    registered.insert(address.clone());
    Ok(id)
}

/// Has a ghost show what it has to, if that changed.
pub(crate) async fn show(shared: &Shared, address: &Address) {
    let shown = {
        let rooms = shared.rooms.lock();
        shared.watches.lock().next_shown(address, &rooms)
    };
    if let Some(shown) = shown {
        tell_presence(shared, address, &shown).await;
    }
}

/// Says again who is present, and sooner what the homeserver did not take.
pub(crate) async fn keep_showing(shared: &Shared) {
    let mut rounds = tokio::time::interval(TELL_AGAIN);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in (0..SHOW_AGAIN).cycle() {
        rounds.tick().await;
        let ghosts = shared.watches.lock().to_tell(round == 0);
        for (address, shown) in ghosts {
            tell_presence(shared, &address, &shown).await;
        }
    }
}

/// What is not taken is told again soon; until then the last state stands.
async fn tell_presence(shared: &Shared, address: &Address, shown: &Shown) {
    let told = match ghost(shared, address).await {
        Ok(id) => shared.homeserver.presence(&id, shown.0, &shown.1).await.is_ok(),
        // Who has no name there is never shown.
        Err(GhostError::Malformed) => true,
        Err(GhostError::Call(_)) => false,
    };
    if !told {
        tracing::debug!("a ghost's presence was not taken");
    }
    shared.watches.lock().taken(address, shown, told);
}

/// Whether a ghost is not, or no longer, in a room.
fn is_outside(error: &CallError) -> bool {
    error.is("M_FORBIDDEN") || error.is("M_NOT_FOUND")
}
