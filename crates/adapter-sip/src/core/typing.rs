//! Who is composing: the receivers' and senders' timers of RFC 3994, for both directions.

use adapter_api::{Delivery, Hop, Provenance, TraceId};
use cpim::composing::{Change, Composer, ComposerConfig, ComposingWatch, IsComposing, State};
use impp_model::{Address, ComposingOperation, ComposingState, Operation};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Conversations in which somebody composes, each way; a few hundred octets each.
const MAX_TYPING: usize = 4096;

/// CMP-006, RFC 3994 §3.2: how often "active" is said at most, and repeated: as often as allowed, since who pauses and goes
/// on is told of only then.
const REFRESH: Duration = Duration::from_secs(60);

/// How long somebody composes who says nothing more: XMPP repeats nothing (XEP-0085 §5.3), and its clients go away.
const LONGEST: Duration = Duration::from_secs(600);

/// The source and destination of a state.
type Conversation = (Address, Address);

/// All of an instance.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    watched: BTreeMap<Conversation, Watched>,
    told: BTreeMap<Conversation, Told>,
    /// No timer is due before this.
    next: Option<Instant>,
}

/// A SIP user who composes.
#[derive(Debug)]
struct Watched {
    watch: ComposingWatch,
    operation: ComposingOperation,
    provenance: Arc<Provenance>,
}

/// Somebody of another network who composes for a SIP user.
#[derive(Debug)]
struct Told {
    composer: Composer,
    operation: ComposingOperation,
    hop: Arc<Hop>,
    trace: TraceId,
}

/// What a timer brings about.
#[derive(Debug)]
pub(crate) enum Due {
    /// For the hub: a SIP user stopped without a word.
    Stopped(ComposingOperation, Arc<Provenance>),
    /// For a SIP user.
    Tell(ComposingOperation, Arc<Hop>, TraceId),
}

impl Typing {
    /// A SIP user's state; the operation that tells the other side of a change.
    pub(crate) fn watch(
        &mut self,
        operation: ComposingOperation,
        provenance: &Arc<Provenance>,
        now: Instant,
    ) -> Option<ComposingOperation> {
        let conversation = (operation.source.address.clone(), operation.destination.address.clone());
        let status = IsComposing {
            state: if operation.state.is_composing() { State::Active } else { State::Idle },
            ..IsComposing::active(operation.refresh.and_then(|refresh| u32::try_from(refresh.as_secs()).ok()))
        };
        if !self.watched.contains_key(&conversation) {
            // RFC 3994 §3.3: whoever was not composing has not stopped.
            if status.state == State::Idle || self.watched.len() >= MAX_TYPING {
                return None;
            }
        }
        let watched = self.watched.entry(conversation.clone()).or_insert_with(|| Watched {
            watch: ComposingWatch::new(),
            operation: operation.clone(),
            provenance: provenance.clone(),
        });
        watched.watch.handle_status(&status, now);
        let change = watched.watch.poll_output();
        let timeout = watched.watch.poll_timeout();
        if timeout.is_none() {
            self.watched.remove(&conversation);
        }
        self.arm(timeout);
        change.map(|_| operation)
    }

    /// A SIP user's message came: it has stopped composing (CMP-003).
    pub(crate) fn message_came(&mut self, source: &Address, destination: &Address) {
        if !self.watched.is_empty() {
            self.watched.remove(&(source.clone(), destination.clone()));
        }
    }

    /// Another network's state for a SIP user; what to tell him, if anything.
    pub(crate) fn tell(
        &mut self,
        delivery: &Delivery,
        told: &ComposingOperation,
        now: Instant,
    ) -> Option<ComposingOperation> {
        let conversation = (told.source.address.clone(), told.destination.address.clone());
        if !self.told.contains_key(&conversation) && (!told.state.is_composing() || self.told.len() >= MAX_TYPING) {
            return None;
        }
        let entry = self.told.entry(conversation.clone()).or_insert_with(|| Told {
            composer: Composer::new(ComposerConfig { refresh: REFRESH, idle: Some(LONGEST) }),
            operation: told.clone(),
            hop: delivery.hop.clone(),
            trace: delivery.trace,
        });
        if told.state.is_composing() {
            entry.composer.handle_activity(now)
        } else {
            entry.composer.handle_stop()
        }
        let status = entry.composer.poll_output().map(|status| entry.operation(&status));
        let timeout = entry.due(now);
        self.arm(timeout);
        status
    }

    /// A message goes to a SIP user: its sender has stopped composing, which needs no word.
    pub(crate) fn message_goes(&mut self, source: &Address, destination: &Address) {
        if !self.told.is_empty() {
            self.told.remove(&(source.clone(), destination.clone()));
        }
    }

    /// A SIP user refuses to be told (RFC 3994 §4).
    pub(crate) fn refused(&mut self, source: &Address, destination: &Address) {
        self.told.remove(&(source.clone(), destination.clone()));
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Everything whose timer has run out.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Due> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        self.watched.retain(|_, watched| {
            watched.watch.handle_timeout(now);
            if watched.watch.poll_output() == Some(Change::Expired) {
                let stopped =
                    ComposingOperation { state: ComposingState::Active, refresh: None, ..watched.operation.clone() };
                due.push(Due::Stopped(stopped, watched.provenance.clone()));
            }
            watched.watch.poll_timeout().is_some()
        });
        self.told.retain(|_, told| {
            told.composer.handle_timeout(now);
            while let Some(status) = told.composer.poll_output() {
                due.push(Due::Tell(told.operation(&status), told.hop.clone(), told.trace));
            }
            told.due(now).is_some()
        });
        let watched = self.watched.values().filter_map(|watched| watched.watch.poll_timeout());
        self.next = watched.chain(self.told.values().filter_map(|told| told.due(now))).min();
        due
    }

    fn arm(&mut self, timeout: Option<Instant>) {
        self.next = [self.next, timeout].into_iter().flatten().min();
    }
}

impl Told {
    /// When it is to be looked at again; never, when it may be forgotten.
    // RFC 3994 §3.2: who was told "active" hears the next one an interval later, even if composing ended meanwhile.
    fn due(&self, now: Instant) -> Option<Instant> {
        self.composer.poll_timeout().or_else(|| self.composer.quiet_until().filter(|until| *until > now))
    }

    /// The state as it is told to a SIP user.
    fn operation(&self, status: &IsComposing) -> ComposingOperation {
        let state = if status.state == State::Active { ComposingState::Composing } else { ComposingState::Active };
        let refresh = status.refresh.map(|seconds| Duration::from_secs(seconds.into()));
        ComposingOperation { state, refresh, ..self.operation.clone() }
    }
}

/// What a due state is delivered as.
pub(crate) fn as_operation(told: ComposingOperation) -> Arc<Operation> {
    Arc::new(Operation::Composing(Box::new(told)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::{SourceProof, SpeaksFor, settle_channel};
    use impp_model::{Endpoint, MaxForwards};

    fn told(state: ComposingState, refresh: Option<u64>) -> ComposingOperation {
        let end = |text: &str| Endpoint::bare(text.parse().unwrap());
        ComposingOperation {
            source: end("romeo@example.net"),
            destination: end("juliet@example.com"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: "t".into(),
            thread: None,
            state,
            refresh: refresh.map(Duration::from_secs),
            content_type: None,
        }
    }

    fn provenance() -> Arc<Provenance> {
        Arc::new(Provenance {
            may_repeat: false,
            adapter: "sip".into(),
            peer: "p".into(),
            proof: SourceProof::None,
            speaks_for: SpeaksFor::Nobody,
        })
    }

    // checks: CMP-003, ISC-003, ISC-004, CMP-005
    #[test]
    fn rfc3994_s3_3_a_sip_user_composes_until_idle_a_message_or_the_refresh_is_over() {
        let (mut typing, start) = (Typing::default(), Instant::now());
        let seconds = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(typing.watch(told(ComposingState::Active, None), &provenance(), start), None, "was not composing");
        let first = typing.watch(told(ComposingState::Composing, Some(90)), &provenance(), start);
        assert_eq!(first.map(|it| it.state), Some(ComposingState::Composing));
        assert_eq!(
            typing.watch(told(ComposingState::Composing, Some(90)), &provenance(), seconds(60)),
            None,
            "a refresh"
        );
        assert!(typing.handle_timeout(seconds(100)).is_empty());
        let due = typing.handle_timeout(seconds(150));
        assert!(matches!(due.as_slice(), [Due::Stopped(it, _)] if it.state == ComposingState::Active), "{due:?}");
        assert!(typing.watched.is_empty() && typing.poll_timeout().is_none());
        typing.watch(told(ComposingState::Composing, None), &provenance(), start);
        assert_eq!(typing.poll_timeout(), Some(seconds(120)));
        let ends = told(ComposingState::Active, None);
        typing.message_came(&ends.source.address, &ends.destination.address);
        assert_eq!(typing.watch(ends, &provenance(), start), None, "its message said so");
    }

    // checks: CMP-006, ISC-002, CMP-001
    #[test]
    fn rfc3994_s3_2_active_is_repeated_to_a_sip_user_until_another_state_comes() {
        let (mut typing, start) = (Typing::default(), Instant::now());
        let seconds = |seconds| start + Duration::from_secs(seconds);
        let delivery = Delivery {
            trace: TraceId(1),
            operation: as_operation(told(ComposingState::Composing, None)),
            repeat: false,
            edition: 0,
            proven_only: false,
            hop: Arc::new(Hop::Link),
            deadline: start,
            settle: settle_channel().0,
        };
        assert_eq!(typing.tell(&delivery, &told(ComposingState::Gone, None), start), None);
        let active = typing.tell(&delivery, &told(ComposingState::Composing, None), start).unwrap();
        assert_eq!((active.state, active.refresh), (ComposingState::Composing, Some(REFRESH)));
        assert_eq!(typing.tell(&delivery, &told(ComposingState::Composing, None), seconds(5)), None);
        let due = typing.handle_timeout(seconds(60));
        assert!(matches!(due.as_slice(), [Due::Tell(it, _, _)] if it.state == ComposingState::Composing), "{due:?}");
        let idle = typing.tell(&delivery, &told(ComposingState::Paused, None), seconds(70)).unwrap();
        assert_eq!(idle.state, ComposingState::Active);
        // Back to composing: one "active" an interval, so it is said when the interval is over.
        assert_eq!(typing.tell(&delivery, &told(ComposingState::Composing, None), seconds(80)), None);
        let due = typing.handle_timeout(seconds(120));
        assert!(matches!(due.as_slice(), [Due::Tell(it, _, _)] if it.state == ComposingState::Composing), "{due:?}");
        typing.tell(&delivery, &told(ComposingState::Paused, None), seconds(130));
        assert!(typing.handle_timeout(seconds(180)).is_empty() && typing.told.is_empty());
        typing.tell(&delivery, &told(ComposingState::Composing, None), seconds(200));
        let due: Vec<_> = (1..20).flat_map(|round| typing.handle_timeout(seconds(200 + round * 60))).collect();
        assert!(matches!(due.last(), Some(Due::Tell(it, _, _)) if it.state == ComposingState::Active), "{due:?}");
        assert!(typing.poll_timeout().is_none());
        // A message ends it and begins anew (Figure 1).
        typing.tell(&delivery, &told(ComposingState::Composing, None), seconds(2000));
        let ends = told(ComposingState::Gone, None);
        typing.message_goes(&ends.source.address, &ends.destination.address);
        assert!(typing.tell(&delivery, &told(ComposingState::Composing, None), seconds(2005)).is_some());
    }
}
