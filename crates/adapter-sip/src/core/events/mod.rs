//! Presence over SIP (RFC 3856): the dialogs of watchers here and of presentities there, over the transactions of the core.
//!
//! What a dialog decides is in `sip_proto::event`; who may watch whom, and for how long, is the hub's.

mod agent; // RFC 3903, RFC 3856 §3
mod answers; // RFC 6665 §4.1.2, §4.2.2
mod both;
mod crowd;
mod dialog; // RFC 3261 §12
mod notifier; // RFC 6665 §4.2
mod reports; // RFC 3859 §3.3
mod subscriber; // RFC 6665 §4.1
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_api::{Hop, Provenance, Settle, SourceProof, SpeaksFor, StateDone};
use impp_model::{Operation, SubscriptId, TransId};
use sip_proto::build::RequestBuilder;
use sip_proto::event::{Notifier, Subscriber};

use super::Core;
use crate::config::Config;
use crate::mapping::presence::Document;
use agent::Agent;
use crowd::Crowd;
use dialog::Role;
use reports::Reports;
use table::{InDialog, Packed, Table};

pub(crate) use notifier::Accepting;

/// RFC 3856 §6.4.
pub(crate) const DEFAULT_EXPIRES: u32 = 3600;

/// A dialog of this instance: the SubscriptID that the hub knows it by.
pub(crate) type EventId = SubscriptId;

/// All dialogs of an instance.
#[derive(Debug)]
pub(crate) struct Events {
    /// Watchers of this network, by their subscription's id.
    watchers: Table<Watching>,
    /// Presentities of this network, by the id that the hub gave the subscription.
    presentities: Table<Watched>,
    dues: BTreeSet<(Instant, Role, EventId)>,
    interval: Duration,
    pub(super) min_expires: u32,
    max_expires: u32,
    limit: usize,
    crowd: Crowd,
    stamps: pidf::Stamps,
    numbers: u64,
    reports: Reports,
    agent: Agent,
}

/// A watcher here. There may be hundreds of thousands, and nothing is under way with nearly all of them.
#[derive(Debug)]
struct Watching {
    dialog: Packed,
    /// None for one at rest.
    busy: Option<Box<Notifying>>,
}

/// What is under way with a watcher.
#[derive(Debug)]
struct Notifying {
    machine: Notifier<Document>,
    due: Option<Instant>,
}

/// A presentity there; most are at rest as watchers are.
#[derive(Debug)]
struct Watched {
    dialog: Packed,
    /// Where requests outside the dialog go.
    hop: Arc<Hop>,
    /// None for one at rest.
    busy: Option<Box<Asking>>,
}

/// What is under way with a presentity.
#[derive(Debug)]
struct Asking {
    machine: Subscriber,
    /// What the SUBSCRIBE that is under way is for, and who waits for its answer.
    asked: Option<Settle>,
    /// Only one NOTIFY is wanted.
    fetch: bool,
    due: Option<Instant>,
}

impl Watching {
    /// What is under way; of one at rest as a SUBSCRIBE leaves it that was just accepted.
    fn wake(&mut self, interval: Duration) -> &mut Notifying {
        self.busy.get_or_insert_with(|| {
            let mut machine = Notifier::new(interval);
            machine.handle_accepted();
            Box::new(Notifying { machine, due: None })
        })
    }
}

impl Watched {
    /// Whether there is a dialog, which a NOTIFY has made.
    fn is_made(&self) -> bool {
        !self.dialog.remote_tag().is_empty()
    }

    /// What is under way; of one at rest as the last NOTIFY has left it.
    fn wake(&mut self) -> &mut Asking {
        let dialog = &self.dialog;
        self.busy.get_or_insert_with(|| {
            // No number is below the first.
            let machine = Subscriber::restored(dialog.remote_tag(), Some(dialog.remote_cseq()));
            Box::new(Asking { machine, asked: None, fetch: false, due: None })
        })
    }
}

impl InDialog for Watching {
    fn packed(&self) -> &Packed {
        &self.dialog
    }
}

impl InDialog for Watched {
    fn packed(&self) -> &Packed {
        &self.dialog
    }
}

/// A request of ours that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::core) enum Sent {
    Notify(EventId),
    Subscribe(EventId, u32),
}

impl Events {
    pub(crate) fn new(config: &Config) -> Self {
        let presence = &config.presence;
        Self {
            watchers: Table::new(),
            presentities: Table::new(),
            dues: BTreeSet::new(),
            interval: presence.notify_interval,
            min_expires: u32::try_from(presence.min_expires.as_secs()).unwrap_or(u32::MAX),
            max_expires: u32::try_from(presence.max_expires.as_secs()).unwrap_or(u32::MAX),
            limit: presence.dialogs,
            crowd: Crowd::new(presence.dialogs_per_watcher),
            stamps: pidf::Stamps::default(),
            numbers: 0,
            reports: Reports::default(),
            agent: Agent::new(config),
        }
    }

    /// Which dialog a request of the other side is in.
    pub(in crate::core) fn find(&self, call_id: &str, own_tag: &str) -> Option<(Role, EventId)> {
        let watcher = self.watchers.find(call_id, own_tag).map(|id| (Role::Watcher, id));
        watcher.or_else(|| self.presentities.find(call_id, own_tag).map(|id| (Role::Presentity, id)))
    }

    pub(in crate::core) fn poll_timeout(&self) -> Option<Instant> {
        let dues = [self.dues.first().map(|(due, _, _)| *due), self.reports.poll_timeout(), self.agent.poll_timeout()];
        dues.into_iter().flatten().min()
    }

    /// Whether a request that is to be sent is in a dialog.
    pub(in crate::core) fn is_within(&self, sent: &Sent) -> bool {
        match sent {
            Sent::Notify(_) => true,
            Sent::Subscribe(id, _) => self.presentities.get(id).is_some_and(Watched::is_made),
        }
    }

    fn is_full(&self) -> bool {
        self.watchers.len() + self.presentities.len() >= self.limit
    }

    // RFC 3859 §3.4.2: unique for each operation.
    fn trans_id(&mut self) -> TransId {
        self.numbers += 1;
        TransId::from(format!("event-{}", self.numbers))
    }
}

impl Core {
    /// Finds the dialogs of an earlier process again, among what it has kept.
    pub(in crate::core) fn restore_events(&mut self, kept: Vec<(Vec<u8>, Vec<u8>)>) {
        let (mut count, link) = (0, Arc::new(Hop::Link));
        for (key, value) in kept {
            if self.events.agent.restore(&key) || key.contains(&0) {
                continue; // no dialog
            }
            let id = std::str::from_utf8(&key).ok().map(EventId::from);
            let Some((role, dialog)) = id.and_then(|id| Packed::decode(&id, &value)) else {
                tracing::error!("a dialog is not understood; it stays stored");
                continue;
            };
            count += 1;
            match role {
                Role::Watcher => {
                    self.events.crowd.enter(dialog.watcher());
                    self.events.watchers.insert(Watching { dialog, busy: None });
                }
                Role::Presentity => {
                    let hop = link.clone();
                    self.events.presentities.insert(Watched { dialog, hop, busy: None });
                }
            }
        }
        if count > 0 {
            tracing::info!(dialogs = count, "presence dialogs restored");
        }
    }

    /// Keeps a dialog for the next process; `done` hears when that is durable.
    fn keep_dialog(&self, role: Role, dialog: &Packed, done: StateDone) {
        self.hub.keep(dialog.id().as_bytes(), Some(dialog.encode(role)), done);
    }

    /// Keeps a dialog whose numbers are used up, or that the other side has changed.
    fn keep_changed(&self, role: Role, id: &EventId) {
        let dialog = match role {
            Role::Watcher => self.events.watchers.get(id).map(InDialog::packed),
            Role::Presentity => self.events.presentities.get(id).map(InDialog::packed),
        };
        if let Some(dialog) = dialog {
            self.keep_dialog(role, dialog, Box::new(|_| {}));
        }
    }

    fn forget_dialog(&self, id: &EventId) {
        self.hub.keep(id.as_str().as_bytes(), None, Box::new(|_| {}));
    }

    /// RFC 3261 §22.2: a request of a dialog goes once more under the next number, which is the dialog's, too.
    pub(in crate::core) fn spend_number(&mut self, sent: &Sent) {
        let (role, id, packed) = match sent {
            Sent::Notify(id) => {
                (Role::Watcher, id, self.events.watchers.get_mut(id).map(|watching| &mut watching.dialog))
            }
            Sent::Subscribe(id, _) => {
                (Role::Presentity, id, self.events.presentities.get_mut(id).map(|watched| &mut watched.dialog))
            }
        };
        let Some(packed) = packed else { return };
        let Some(mut dialog) = packed.open() else { return };
        let (_, used_up) = dialog.next_cseq();
        packed.close(&dialog);
        if used_up {
            self.keep_changed(role, id);
        }
    }

    /// Sets when a dialog is looked at again.
    fn rearm_event(&mut self, role: Role, id: &EventId, now: Instant) {
        let (old, new) = match role {
            Role::Watcher => {
                let Some(watching) = self.events.watchers.get_mut(id) else { return };
                let Some(busy) = &mut watching.busy else { return };
                let rest = busy.machine.at_rest_from(now);
                let new = busy.machine.poll_timeout(now).or(rest.filter(|from| *from > now));
                let old = std::mem::replace(&mut busy.due, new);
                if new.is_none() && rest.is_some() {
                    watching.busy = None;
                }
                (old, new)
            }
            Role::Presentity => {
                let Some(watched) = self.events.presentities.get_mut(id) else { return };
                let Some(busy) = &mut watched.busy else { return };
                let new = busy.machine.poll_timeout();
                let old = std::mem::replace(&mut busy.due, new);
                if busy.machine.is_at_rest() && busy.asked.is_none() && !busy.fetch {
                    watched.busy = None;
                }
                (old, new)
            }
        };
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.events.dues.remove(&(old, role, id.clone()));
        }
        if let Some(new) = new {
            self.events.dues.insert((new, role, id.clone()));
        }
    }

    /// Does what is due.
    pub(in crate::core) fn handle_event_timeouts(&mut self, now: Instant) {
        self.handle_agent_timeout(now);
        self.report_again(now);
        while let Some((due, role, id)) = self.events.dues.first().cloned() {
            if due > now {
                return;
            }
            self.events.dues.remove(&(due, role, id.clone()));
            match role {
                Role::Watcher => {
                    if let Some(busy) = self.events.watchers.get_mut(&id).and_then(|watching| watching.busy.as_mut()) {
                        busy.due = None;
                    }
                    self.send_due_notify(&id, now);
                }
                Role::Presentity => self.handle_timer_n(&id, now),
            }
        }
    }

    /// Sends a request in or for a dialog.
    fn send_in_dialog(&mut self, request: RequestBuilder, hop: Arc<Hop>, about: Operation, sent: Sent, now: Instant) {
        self.send_event(request, hop, Arc::new(about), sent, now);
    }

    /// What vouches for a presentity whose NOTIFY is within a dialog that this gateway has begun.
    fn by_dialog(&self, presentity: &impp_model::Endpoint) -> Arc<Provenance> {
        Arc::new(Provenance {
            may_repeat: false,
            adapter: self.hub.instance().clone(),
            peer: presentity.address.domain().as_str().into(),
            proof: SourceProof::Dialog,
            speaks_for: SpeaksFor::Address(presentity.address.clone()),
        })
    }
}
