//! What one user has submitted of late: tickets to wait for outcomes by, and the window in which an id gives the first result.

use adapter_api::{Settlement, Token, TraceId};
use impp_model::{Cause, MessageId, MessageOperation, Outcome, TransId};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// One submitted message, waited for by everybody who sent its id.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) trans_id: TransId,
    text: Text,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    trace: Option<TraceId>,
    outcome: Option<Outcome>,
    /// The place among the user's messages in flight, given up with the outcome.
    place: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    fn new(trans_id: TransId, text: Text, place: OwnedSemaphorePermit) -> Self {
        let progress = Progress { place: Some(place), ..Progress::default() };
        Self { trans_id, text, progress: watch::Sender::new(progress) }
    }

    /// Notes the trace that the hub gave.
    pub(crate) fn traced(&self, trace: TraceId) {
        self.progress.send_modify(|progress| progress.trace = Some(trace));
    }

    /// Waits for the trace and the outcome. Cancel-safe.
    pub(crate) async fn finished(&self) -> (TraceId, Outcome) {
        let mut progress = self.progress.subscribe();
        loop {
            if let Progress { trace: Some(trace), outcome: Some(outcome), .. } = &*progress.borrow_and_update() {
                return (*trace, outcome.clone());
            }
            // The sender is a field of `self`: it can't go away meanwhile.
            let _ = progress.changed().await;
        }
    }

    fn is_settled(&self) -> bool {
        self.progress.borrow().outcome.is_some()
    }

    /// Whether the gateway took no part in it: such an answer is not a result, so the same id may be tried again.
    fn was_turned_away(&self) -> bool {
        matches!(&self.progress.borrow().outcome, Some(Outcome::Failure(failure)) if is_turned_away(failure.cause))
    }
}

/// Whether `cause` says that this gateway could not even try.
pub(crate) fn is_turned_away(cause: Cause) -> bool {
    matches!(cause, Cause::Overload | Cause::HopBacklog | Cause::ShuttingDown)
}

impl Settlement for Ticket {
    fn settled(&self, _: Token, outcome: Outcome) {
        self.progress.send_modify(|progress| {
            progress.outcome = Some(outcome);
            progress.place = None;
        });
    }
}

/// A user's messages in flight and the ids of its recent ones.
#[derive(Debug)]
pub(crate) struct Window {
    places: Arc<Semaphore>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    tickets: BTreeMap<MessageId, Arc<Ticket>>,
    order: VecDeque<MessageId>,
}

/// A hash of what a message says to whom.
type Text = [u8; 32];

fn text_of(operation: &MessageOperation) -> Text {
    let (to, content) = (&operation.destination.address, &operation.message.content);
    let subject = operation.message.subjects.first().map_or("", |subject| subject.text.as_str());
    let fields = [to.local(), to.domain().as_str(), subject, &*content.media_type].map(str::as_bytes);
    let mut hash = Sha256::new();
    for field in fields.into_iter().chain([&*content.octets]) {
        hash.update(field.len().to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// What to do with a message.
#[derive(Debug)]
pub(crate) enum Begin {
    /// Submit it.
    New(Arc<Ticket>),
    /// Wait for the first of this id.
    Repeat(Arc<Ticket>),
    /// Refuse it: its id belongs to another message.
    IdInUse,
    /// Too many of this user's messages wait for their answers.
    Busy,
}

/// How many ids are remembered for each user, besides those in flight: an hour of a busy person, a minute of a service.
const REMEMBERED: usize = 1000;

impl Window {
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max_in_flight)), recent: Mutex::default() }
    }

    /// Decides about a message, by the sender's own id if it has one.
    pub(crate) fn begin(&self, operation: &MessageOperation) -> Begin {
        let Some(id) = &operation.message.id else { return self.place(operation).map_or(Begin::Busy, Begin::New) };
        let mut recent = self.recent.lock();
        if let Some(ticket) = recent.tickets.get(id).filter(|ticket| !ticket.was_turned_away()) {
            // To send nothing and report the first one's result would lose this one in silence.
            let same = ticket.text == text_of(operation);
            return if same { Begin::Repeat(Arc::clone(ticket)) } else { Begin::IdInUse };
        }
        let Some(ticket) = self.place(operation) else { return Begin::Busy };
        recent.remember(id.clone(), Arc::clone(&ticket));
        Begin::New(ticket)
    }

    fn place(&self, operation: &MessageOperation) -> Option<Arc<Ticket>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Arc::new(Ticket::new(operation.trans_id.clone(), text_of(operation), place)))
    }
}

impl Recent {
    fn remember(&mut self, id: MessageId, ticket: Arc<Ticket>) {
        if self.tickets.insert(id.clone(), ticket).is_some() {
            self.order.retain(|other| *other != id);
        }
        self.order.push_back(id);
        // One step of forgetting for each that is remembered; what is in flight keeps its place.
        let excess = self.order.len().saturating_sub(REMEMBERED);
        for _ in 0..excess {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.tickets.get(&oldest).is_some_and(|ticket| ticket.is_settled()) {
                self.tickets.remove(&oldest);
            } else {
                self.order.push_back(oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Content, Endpoint, Failure, InstantMessage, MaxForwards, Proof, Side};

    fn message(id: Option<&str>, text: &str) -> MessageOperation {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        MessageOperation {
            source: end("carol@native.example"),
            destination: end("alice@sip.example"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: format!("t-{}", id.unwrap_or_default()).into(),
            message: InstantMessage { id: id.map(Into::into), ..InstantMessage::new(Content::text(text)) },
        }
    }

    fn begin(window: &Window, id: &str) -> Begin {
        window.begin(&message(Some(id), "hi"))
    }

    fn new(window: &Window, id: &str) -> Arc<Ticket> {
        let Begin::New(ticket) = begin(window, id) else { panic!("{id} is not new") };
        ticket
    }

    fn finish(ticket: &Ticket, outcome: impl Into<Outcome>) {
        ticket.traced(TraceId(1));
        ticket.settled(0, outcome.into());
    }

    #[tokio::test]
    async fn the_same_id_gives_the_first_result_also_while_it_is_in_flight() {
        let window = Window::new(8);
        let first = new(&window, "a");
        let Begin::Repeat(early) = begin(&window, "a") else { panic!("not a repeat") };
        finish(&first, Outcome::Success(Proof::Recipient));
        let Begin::Repeat(late) = begin(&window, "a") else { panic!("not a repeat") };
        for ticket in [early, late] {
            assert_eq!(ticket.trans_id.as_str(), "t-a");
            assert_eq!(ticket.finished().await, (TraceId(1), Outcome::Success(Proof::Recipient)));
        }
    }

    #[test]
    fn an_id_is_no_cover_for_another_message() {
        let window = Window::new(8);
        finish(&new(&window, "a"), Outcome::Success(Proof::Recipient));
        assert!(matches!(window.begin(&message(Some("a"), "another text")), Begin::IdInUse));
        assert!(matches!(begin(&window, "a"), Begin::Repeat(_)));
    }

    #[test]
    fn what_was_turned_away_may_be_tried_again() {
        let window = Window::new(8);
        finish(&new(&window, "a"), Failure::new(Side::Ours, Cause::Overload));
        finish(&new(&window, "a"), Failure::new(Side::Far, Cause::NotFound));
        assert!(matches!(begin(&window, "a"), Begin::Repeat(_)));
    }

    #[test]
    fn messages_in_flight_are_bounded() {
        let window = Window::new(2);
        let (first, _second) = (new(&window, "a"), new(&window, "b"));
        assert!(matches!(begin(&window, "c"), Begin::Busy));
        assert!(matches!(window.begin(&message(None, "hi")), Begin::Busy));
        finish(&first, Outcome::Indeterminant);
        new(&window, "c");
    }

    #[test]
    fn the_window_is_bounded_and_keeps_what_is_in_flight() {
        let window = Window::new(2);
        let _in_flight = new(&window, "in flight");
        for n in 0..2 * REMEMBERED {
            finish(&new(&window, &n.to_string()), Outcome::Indeterminant);
        }
        assert!(matches!(begin(&window, "in flight"), Begin::Repeat(_)));
        assert!(window.recent.lock().tickets.len() <= REMEMBERED + 1);
        new(&window, "0");
    }
}
