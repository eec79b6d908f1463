//! From a transaction of the homeserver to the hub.

use crate::adapter::Shared;
use crate::carry::{self, ghost};
use crate::mapping::{Member, Seen, notice, read_event};
use crate::rooms::{Room, Watched};
use adapter_api::model::{
    Address, AuthorizeOperation, ComposingOperation, ComposingState, DateTime, Disposition, DispositionOperation,
    Endpoint, Failure, MaxForwards, MessageOperation, Operation, Outcome, PresenceInfo, PublishOperation,
    SubscribeOperation, Wish,
};
use adapter_api::{Hub, Settle, Settlement, Token};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, oneshot};

/// How long messages of one transaction may take until they are safe; then the homeserver sends it again.
const SAFE_WITHIN: Duration = Duration::from_secs(30);

/// How long a call may take that a transaction waits for.
const CALL: Duration = Duration::from_secs(10);

/// Rooms in which somebody is typing.
const MAX_TYPING: usize = 10_000;

/// Takes one transaction; true when everything in it is safe, so that it need not come again.
pub(crate) async fn transaction(shared: &Arc<Shared>, hub: &Hub, events: &[Value]) -> bool {
    let told = Arc::new(Told { slots: Mutex::default(), changed: Notify::new() });
    let mut said = Vec::new();
    for event in events {
        let Some(seen) = read_event(&shared.names, event) else { continue };
        match seen {
            Seen::Said { sender, room, event, message } => {
                let Some(known) = shared.rooms.lock().get(&room).cloned() else { continue };
                let token = told.open();
                let operation = MessageOperation {
                    source: Endpoint::bare(sender),
                    destination: Endpoint::bare(known.ghost.clone()),
                    // Matrix counts no hops.
                    max_forwards: MaxForwards::INITIAL,
                    trans_id: event.as_str().into(),
                    message: *message,
                };
                said.push((token, known, event));
                let settle = Settle::new(Arc::clone(&told) as _, token);
                hub.submit(Operation::Message(Box::new(operation)), shared.provenance(hub), settle);
            }
            Seen::Unreadable { room, event, failure } => {
                let known = shared.rooms.lock().get(&room).cloned();
                if let Some(room) = known
                    && !tell(shared, hub, &room, &event, &failure).await
                {
                    return false;
                }
            }
            Seen::Member { room, sender, who, member } => self::member(shared, hub, &room, &sender, &who, member).await,
            Seen::Typing { room, users } => typing(shared, hub, &room, users),
            Seen::Presence { user, state } => publish(shared, hub, user, state),
        }
    }
    if said.is_empty() {
        return true;
    }
    // What is not settled by then goes to disk; the homeserver waits, and must not for long.
    hub.commit();
    if tokio::time::timeout(SAFE_WITHIN, told.all()).await.is_err() {
        return false;
    }
    for (token, room, event) in said {
        if let Some(Outcome::Failure(failure)) = told.outcome(token)
            && !tell(shared, hub, &room, &event, &failure).await
        {
            return false;
        }
    }
    true
}

/// Tells a user in his room that what he said did not arrive, or has the hub do it once that can be; true when either is safe.
async fn tell(shared: &Shared, hub: &Hub, room: &Room, event: &str, failure: &Failure) -> bool {
    let Some(ghost) = shared.names.ghost(&room.ghost) else { return true };
    let (transaction, content) = (format!("notice-{event}"), notice(failure, event));
    let sent = shared.homeserver.send(&ghost, &room.id, &transaction, &content);
    let repeat = match tokio::time::timeout(CALL, sent).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_failure().may_have_arrived(),
        Err(_) => true,
    };
    let Some(accepted) = DateTime::from_system_time(SystemTime::now()) else { return true };
    let word = DispositionOperation {
        source: Endpoint::bare(room.ghost.clone()),
        destination: Endpoint::bare(room.user.clone()),
        max_forwards: MaxForwards::INITIAL,
        message_id: Some(event.into()),
        // The homeserver shows one notice for all tries of a transaction.
        trans_id: transaction.as_str().into(),
        accepted,
        disposition: Disposition::Failed(Box::new(failure.clone())),
        and_earlier: false,
        return_path: None,
    };
    let (done, answered) = oneshot::channel();
    let told = move |_| {
        // A receiver that is gone has waited too long.
        let _ = done.send(());
    };
    hub.owe(word, repeat, Box::new(told));
    // What found no place was counted by the hub as told to nobody: another try of the transaction would change nothing.
    tokio::time::timeout(CALL, answered).await.is_ok()
}

/// Somebody came or went.
async fn member(shared: &Arc<Shared>, hub: &Hub, id: &str, sender: &str, who: &str, member: Member) {
    if let Some(elsewhere) = shared.names.behind(who) {
        match member {
            Member::Invited => invited(shared, hub, id, sender, &elsewhere).await,
            Member::Joined => {}
            Member::Gone => {
                // Another ghost that was invited there and left again ends nothing.
                let own = shared.rooms.lock().get(id).is_some_and(|room| room.ghost == elsewhere);
                if own {
                    ended(shared, hub, id).await;
                }
            }
        }
        return;
    }
    let Some(room) =
        shared.rooms.lock().get(id).filter(|room| shared.names.user(&room.user).as_deref() == Some(who)).cloned()
    else {
        return;
    };
    match member {
        Member::Invited => {}
        Member::Joined => {
            let allowed = room.watched == Watched::Asked;
            shared.rooms.lock().change(hub, id, |room| {
                room.joined = true;
                room.watched = if allowed { Watched::Allowed } else { room.watched };
            });
            if allowed {
                allow(shared, hub, &room).await;
            }
            show(shared, &room.ghost).await;
        }
        Member::Gone => {
            ended(shared, hub, id).await;
            if let Some(ghost) = shared.names.ghost(&room.ghost) {
                // Whoever is alone there says nothing to nobody.
                let _ = tokio::time::timeout(CALL, shared.homeserver.leave(&ghost, id)).await;
            }
        }
    }
}

/// A user opens a room with somebody elsewhere, and watches him from here on.
async fn invited(shared: &Arc<Shared>, hub: &Hub, id: &str, sender: &str, elsewhere: &Address) {
    let Ok(Ok(ghost)) = tokio::time::timeout(CALL, ghost(shared, elsewhere)).await else { return };
    let taken = shared.rooms.lock().get(id).is_some_and(|room| room.ghost != *elsewhere);
    let user = shared.names.address(sender).filter(|_| !taken && !shared.rooms.lock().is_full());
    let Some(user) = user else {
        // A room is one conversation of two; users of other servers are not known here.
        let _ = tokio::time::timeout(CALL, shared.homeserver.leave(&ghost, id)).await;
        return;
    };
    let joined = tokio::time::timeout(CALL, shared.homeserver.join(&ghost, id)).await;
    if !matches!(joined, Ok(Ok(()))) {
        tracing::warn!("a ghost could not come into a room that it was invited into");
        return;
    }
    let earlier = shared.rooms.lock().of(elsewhere, &user).cloned();
    let watched = earlier.as_ref().map_or(Watched::No, |room| room.watched);
    let allowed = watched == Watched::Asked;
    let watched = if allowed { Watched::Allowed } else { watched };
    let room = Room { id: id.to_owned(), ghost: elsewhere.clone(), user, joined: true, watched, watches: true };
    drop(shared.rooms.lock().put(hub, room.clone()));
    if let Some(earlier) = earlier.filter(|earlier| earlier.id != id) {
        // What is said there is heard no longer: the user must see that.
        let left = tokio::time::timeout(CALL, shared.homeserver.leave(&ghost, &earlier.id)).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::warn!("a ghost could not leave a room in whose place another one came");
        }
    }
    if allowed {
        allow(shared, hub, &room).await;
    }
    watch(shared, hub, &room, Wish::Standing);
    show(shared, elsewhere).await;
}

/// A room is over: so is what its user may see and show there.
async fn ended(shared: &Arc<Shared>, hub: &Hub, id: &str) {
    let Some(room) = shared.rooms.lock().remove(hub, id) else { return };
    if room.watched != Watched::No {
        authorize(shared, hub, &room, false);
    }
    if room.watches {
        watch(shared, hub, &room, Wish::Cancel);
    }
    shared.watches.lock().ended(&room.ghost, &room.user);
    show(shared, &room.ghost).await;
}

/// As [`carry::show`], where a transaction waits for it.
async fn show(shared: &Shared, address: &Address) {
    let _ = tokio::time::timeout(CALL, carry::show(shared, address)).await;
}

/// The user of a room lets the one elsewhere watch him: the homeserver tells changes alone, so his state is asked for.
pub(crate) async fn allow(shared: &Shared, hub: &Hub, room: &Room) {
    authorize(shared, hub, room, true);
    let (Some(user), Some(ghost)) = (shared.names.user(&room.user), shared.names.ghost(&room.ghost)) else { return };
    match tokio::time::timeout(CALL, shared.homeserver.state(&user, &ghost)).await {
        Ok(Ok(Some(state))) => publish(shared, hub, room.user.clone(), state),
        Ok(Ok(None) | Err(_)) | Err(_) => {
            tracing::debug!("the homeserver does not tell the state of a user who is watched")
        }
    }
}

fn publish(shared: &Shared, hub: &Hub, user: Address, state: PresenceInfo) {
    let source = Endpoint::bare(user);
    let operation = PublishOperation { source, state: Some(Arc::new(state)), trans_id: "presence".into() };
    hub.submit(Operation::Publish(Box::new(operation)), shared.provenance(hub), nobody());
}

fn authorize(shared: &Shared, hub: &Hub, room: &Room, allow: bool) {
    let operation = AuthorizeOperation {
        target: Endpoint::bare(room.user.clone()),
        watcher: Endpoint::bare(room.ghost.clone()),
        allow,
        trans_id: format!("authorize-{}", room.id).as_str().into(),
    };
    hub.submit(Operation::Authorize(Box::new(operation)), shared.provenance(hub), nobody());
}

fn watch(shared: &Shared, hub: &Hub, room: &Room, wish: Wish) {
    let operation = SubscribeOperation {
        watcher: Endpoint::bare(room.user.clone()),
        target: Endpoint::bare(room.ghost.clone()),
        wish,
        subscript_id: room.id.as_str().into(),
        trans_id: format!("{}-{}", wish.label(), room.id).as_str().into(),
    };
    hub.submit(Operation::Subscribe(Box::new(operation)), shared.provenance(hub), nobody());
}

/// Tells who began to type in a room, and who stopped.
fn typing(shared: &Shared, hub: &Hub, id: &str, users: Vec<Address>) {
    let Some(room) = shared.rooms.lock().get(id).cloned() else { return };
    let before = {
        let mut typing = shared.typing.lock();
        if users.is_empty() {
            typing.remove(id).unwrap_or_default()
        } else if typing.len() < MAX_TYPING || typing.contains_key(id) {
            typing.insert(id.to_owned(), users.clone()).unwrap_or_default()
        } else {
            return;
        }
    };
    let began = users.iter().filter(|user| !before.contains(user)).map(|user| (user, ComposingState::Composing));
    let stopped = before.iter().filter(|user| !users.contains(user)).map(|user| (user, ComposingState::Active));
    for (user, state) in began.chain(stopped) {
        let operation = ComposingOperation {
            source: Endpoint::bare(user.clone()),
            destination: Endpoint::bare(room.ghost.clone()),
            max_forwards: MaxForwards::INITIAL,
            trans_id: "typing".into(),
            thread: None,
            state,
            refresh: None,
            content_type: None,
        };
        hub.submit(Operation::Composing(Box::new(operation)), shared.provenance(hub), nobody());
    }
}

/// For what nobody waits for.
fn nobody() -> Settle {
    struct Nobody;
    impl Settlement for Nobody {
        fn settled(&self, _: Token, _: Outcome) {}
    }
    Settle::new(Arc::new(Nobody), 0)
}

/// What became of the messages of a transaction.
struct Told {
    slots: Mutex<Vec<Slot>>,
    changed: Notify,
}

#[derive(Clone)]
enum Slot {
    Open,
    /// On disk: the hub tells what becomes of it.
    Kept,
    Settled(Outcome),
}

impl Told {
    fn open(&self) -> Token {
        let mut slots = self.slots.lock();
        slots.push(Slot::Open);
        slots.len() as Token - 1
    }

    /// Waits until none is open. Cancel-safe.
    async fn all(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.slots.lock().iter().any(|slot| matches!(slot, Slot::Open)) {
                return;
            }
            changed.await;
        }
    }

    fn outcome(&self, token: Token) -> Option<Outcome> {
        let slots = self.slots.lock();
        match slots.get(usize::try_from(token).ok()?)? {
            Slot::Settled(outcome) => Some(outcome.clone()),
            Slot::Open | Slot::Kept => None,
        }
    }

    fn set(&self, token: Token, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = usize::try_from(token).ok().and_then(|token| self.slots.lock().get_mut(token).map(change)) {
            let () = slot;
        }
        self.changed.notify_waiters();
    }
}

impl Settlement for Told {
    fn settled(&self, token: Token, outcome: Outcome) {
        // After it was kept, the hub tells of a failure by itself.
        self.set(token, |slot| {
            if matches!(slot, Slot::Open) {
                *slot = Slot::Settled(outcome);
            }
        });
    }

    fn kept(&self, token: Token) {
        self.set(token, |slot| {
            if matches!(slot, Slot::Open) {
                *slot = Slot::Kept;
            }
        });
    }
}
