//! The lifecycle of `tests/vectors/presence.json`, as far as it is not a matter of SIP dialogs (those: `sip-proto`), row by row.

use super::*;
use impp_model::{Cause, Device, News, Side};

const WATCHER: &str = "near";
/// An XMPP user watches a SIP contact.
const X2S: Sides = Sides { refreshed: true, checked: true, polls: true, devices: false };
/// A SIP user watches an XMPP contact.
const S2X: Sides = Sides { refreshed: false, checked: false, polls: true, devices: false };
const START: Timestamp = Timestamp(1_000_000);

fn id() -> SubscriptId {
    WATCHER.into()
}

fn tuple(device: &str, basic: Basic) -> PresenceTuple {
    PresenceTuple::new(Some(Device::new(device).unwrap()), basic)
}

fn open() -> News {
    News::Whole(Arc::new(PresenceInfo { tuples: vec![tuple("a", Basic::Open)], ..PresenceInfo::default() }))
}

fn device(name: &str, basic: Basic) -> News {
    News::Device(Box::new(tuple(name, basic)))
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn active() -> Standing {
    Standing::Active { expires: Some(secs(3600)) }
}

fn ended(reason: EndReason) -> Standing {
    Standing::Ended { reason, retry_after: None }
}

/// What happens to a watch.
#[derive(Debug, Clone)]
enum Event {
    Subscribe(Wish),
    Notify(Standing, News),
    Authorize(bool),
    FarOutcome(Wish, Option<Cause>),
    NearGone,
    Check(bool),
    /// So long passes.
    Time(u64),
}
use Event as E;

/// A watch at work, at its time.
struct Play {
    watch: Watch,
    sides: Sides,
    now: Timestamp,
}

impl Play {
    fn new(sides: Sides) -> Self {
        Self { watch: Watch::new(), sides, now: START }
    }

    /// Lets an event happen; says in short what must be done.
    fn on(&mut self, event: Event) -> Vec<String> {
        let (sides, now) = (self.sides, self.now);
        let effects = match event {
            E::Subscribe(wish) => match self.watch.handle_subscribe(&id(), wish, sides, now) {
                Ok(effects) => effects,
                Err(error) => return vec![format!("refused: {error}")],
            },
            E::Notify(standing, news) => self.watch.handle_notify(&standing, &news, sides, now),
            E::Authorize(allow) => self.watch.handle_authorize(allow, now),
            E::FarOutcome(wish, cause) => {
                let failure = cause.map(|cause| Failure::new(Side::Far, cause));
                self.watch.handle_far_outcome(wish, failure.as_ref(), sides, now)
            }
            E::NearGone => self.watch.handle_near_gone(&id()),
            E::Check(present) => self.watch.handle_check(present, now),
            E::Time(seconds) => {
                self.now = now.after(secs(seconds));
                let mut effects = Vec::new();
                while self.watch.poll_timeout() <= self.now {
                    effects.extend(self.watch.handle_timeout(sides, self.now));
                }
                effects
            }
        };
        effects.iter().map(short).collect()
    }

    /// Brings it into one of the vectors' states.
    fn reach(&mut self, state: &str) {
        let wish = if self.sides == X2S { Wish::Standing } else { Wish::Watch(secs(3600)) };
        let steps = match (state, self.sides == X2S) {
            ("none", _) => vec![],
            ("notify_wait", true) => vec![E::Subscribe(wish)],
            ("pending", true) => {
                vec![E::Subscribe(wish), E::Notify(Standing::Pending { expires: Some(secs(3600)) }, News::Nothing)]
            }
            ("active", true) => vec![E::Subscribe(wish), E::Notify(active(), open())],
            ("pending", false) => vec![E::Subscribe(wish)],
            ("active", false) => {
                vec![E::Subscribe(wish), E::Authorize(true), E::Notify(active(), device("a", Basic::Open))]
            }
            ("waiting", false) => vec![E::Subscribe(wish), E::Time(3600)],
            other => panic!("unknown state {other:?}"),
        };
        for step in steps {
            self.on(step);
        }
    }

    fn state(&self) -> String {
        let authorization = match self.watch.authorization() {
            Authorization::None => "none",
            Authorization::Asked => "asked",
            Authorization::Granted => "granted",
        };
        format!("{authorization} {:?}", self.watch.far()).to_lowercase()
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Store => "store".into(),
        Effect::Far(wish) => format!("far {}", wish.label()),
        Effect::Authorize(allow) => format!("authorize {allow}"),
        Effect::Check => "check".into(),
        Effect::Cut => "cut".into(),
        Effect::Tell(Tell { standing, state, .. }) => {
            let standing = match standing {
                Standing::Pending { .. } => "pending".to_owned(),
                Standing::Active { .. } => "active".to_owned(),
                Standing::Ended { reason, .. } => reason.label().to_owned(),
            };
            let state = state.as_ref().map(Known::info).map_or("empty".to_owned(), |info| {
                let basics = info.tuples.iter().map(|tuple| format!("{:?}", tuple.basic).to_lowercase());
                basics.collect::<Vec<_>>().join("+")
            });
            format!("tell {standing} {state}")
        }
    }
}

/// A row of the table: vector, sides, the state before, what happens, what is done, the state after.
type Row = (&'static str, Sides, &'static str, Vec<Event>, Vec<&'static str>, &'static str);

fn row(
    id: &'static str,
    sides: Sides,
    state: &'static str,
    events: Vec<Event>,
    effects: &[&'static str],
    next: &'static str,
) -> Row {
    (id, sides, state, events, effects.to_vec(), next)
}

#[rustfmt::skip]
fn x2s_rows() -> Vec<Row> {
    use EndReason as R;
    let over = |reason| vec![E::Notify(ended(reason), News::Nothing)];
    let after = |reason, seconds| {
        vec![E::Notify(Standing::Ended { reason, retry_after: Some(secs(seconds)) }, News::Nothing)]
    };
    let refused = |cause| vec![E::FarOutcome(Wish::Watch(FAR_DURATION), Some(cause))];
    let refresh = 3600 * 17 / 20;
    vec![
        row("PRL-001", X2S, "none", vec![E::Subscribe(Wish::Standing)], &["store", "tell pending empty", "far watch"], "asked asking"),
        row("PRL-002", X2S, "notify_wait", vec![E::FarOutcome(Wish::Watch(FAR_DURATION), None)], &[], "asked asking"),
        row("PRL-003", X2S, "notify_wait", vec![E::Notify(Standing::Pending { expires: None }, News::Nothing)], &[], "asked pending"),
        row("PRL-004", X2S, "notify_wait", vec![E::Notify(active(), open())], &["store", "authorize true", "tell active open"], "granted active"),
        row("PRL-004", X2S, "pending", vec![E::Notify(active(), open())], &["store", "authorize true", "tell active open"], "granted active"),
        row("PRL-004", X2S, "pending", vec![E::Notify(active(), News::Nothing)], &["store", "authorize true", "tell active empty"], "granted active"),
        row("PRL-005", X2S, "active", vec![E::Notify(active(), device("b", Basic::Open))], &["tell active open+open"], "granted active"),
        row("PRL-005", X2S, "active", vec![E::Notify(active(), open())], &[], "granted active"),
        row("PRL-006", X2S, "active", vec![E::Notify(active(), News::Nothing)], &[], "granted active"),
        row("PRL-007", X2S, "notify_wait", vec![E::Authorize(false)], &["store", "tell rejected empty", "authorize false"], "none idle"),
        row("PRL-007", X2S, "active", vec![E::Authorize(false)], &["store", "tell rejected closed", "authorize false"], "none idle"),
        row("PRL-010", X2S, "active", over(R::Probation), &["tell active closed"], "granted waiting"),
        row("PRL-010", X2S, "notify_wait", [refused(Cause::NotFound), vec![E::Time(30)], refused(Cause::NotFound)].concat(), &["far watch", "store", "tell noresource empty", "authorize false"], "none idle"),
        row("PRL-011", X2S, "active", refused(Cause::InternalError), &[], "granted active"),
        row("PRL-011", X2S, "active", [refused(Cause::InternalError), vec![E::Time(30), E::Check(true)]].concat(), &["check", "far watch"], "granted active"),
        row("PRL-012", X2S, "notify_wait", refused(Cause::RemoteTimeout), &[], "asked waiting"),
        row("PRL-013", X2S, "pending", over(R::Deactivated), &["far watch"], "asked asking"),
        row("PRL-013", X2S, "active", over(R::Deactivated), &["tell active closed", "far watch"], "granted asking"),
        row("PRL-014", X2S, "active", after(R::Probation, 90), &["tell active closed"], "granted waiting"),
        row("PRL-014", X2S, "active", [after(R::Probation, 90), vec![E::Time(89)], vec![E::Time(1)]].concat(), &["tell active closed", "far watch"], "granted asking"),
        row("PRL-015", X2S, "active", over(R::Rejected), &["store", "tell rejected closed", "authorize false"], "none idle"),
        row("PRL-015", X2S, "pending", over(R::Rejected), &["store", "tell rejected empty", "authorize false"], "none idle"),
        row("PRL-016", X2S, "active", over(R::Timeout), &["far watch"], "granted asking"),
        row("PRL-016", X2S, "active", [vec![E::Subscribe(Wish::Pause)], over(R::Timeout)].concat(), &["tell active closed"], "granted idle"),
        row("PRL-017", X2S, "pending", after(R::GiveUp, 60), &[], "asked waiting"),
        row("PRL-018", X2S, "active", over(R::NoResource), &["store", "tell noresource closed", "authorize false"], "none idle"),
        row("PRL-019", X2S, "active", over(R::Invariant), &[], "granted frozen"),
        row("PRL-019", X2S, "active", [over(R::Invariant), vec![E::Time(9999)]].concat(), &[], "granted frozen"),
        row("PRL-020", X2S, "active", over(R::Unknown), &["far watch"], "granted asking"),
        row("PRL-020", X2S, "active", after(R::Unknown, 5), &[], "granted waiting"),
        row("PRL-020", X2S, "active", [after(R::Unknown, 7200), vec![E::Time(3600)]].concat(), &["tell active closed"], "granted waiting"),
        row("PRL-021", X2S, "active", vec![E::Subscribe(Wish::Fetch)], &["tell active open", "far watch"], "granted active"),
        row("PRL-022", X2S, "active", vec![E::Time(refresh)], &["check"], "granted active"),
        row("PRL-022", X2S, "active", vec![E::Time(refresh), E::Check(true)], &["check", "far watch"], "granted active"),
        row("PRL-022", X2S, "active", vec![E::Time(refresh), E::Check(false), E::Time(540)], &["check", "tell active closed"], "granted idle"),
        row("PRL-023", X2S, "active", vec![E::Subscribe(Wish::Pause)], &[], "granted active"),
        row("PRL-023", X2S, "active", vec![E::Subscribe(Wish::Pause), E::Time(refresh), E::Check(false), E::Time(600), E::Subscribe(Wish::Fetch)], &["check", "tell active closed", "tell active empty", "far watch"], "granted asking"),
        row("PRL-024", X2S, "active", vec![E::Subscribe(Wish::Cancel)], &["store", "tell timeout closed", "far cancel"], "none leaving"),
        row("PRL-024", X2S, "pending", vec![E::Subscribe(Wish::Cancel), E::FarOutcome(Wish::Cancel, None)], &["store", "far cancel", "authorize false"], "none idle"),
        row("PRL-024", X2S, "active", [after(R::Probation, 90), vec![E::Subscribe(Wish::Cancel)]].concat(), &["tell active closed", "store", "far cancel"], "none leaving"),
        row("PRL-025", X2S, "none", vec![E::Subscribe(Wish::Cancel)], &["store", "authorize false"], "none idle"),
        row("PRL-026", X2S, "none", vec![E::Subscribe(Wish::Fetch), E::Notify(ended(R::Timeout), open())], &["far fetch", "tell timeout open"], "none idle"),
    ]
}

#[rustfmt::skip]
fn s2x_rows() -> Vec<Row> {
    use EndReason as R;
    let watch = || E::Subscribe(Wish::Watch(secs(3600)));
    vec![
        row("PRL-101", S2X, "none", vec![watch()], &["store", "tell pending empty", "far standing"], "asked asking"),
        row("PRL-102", S2X, "pending", vec![E::Authorize(true)], &["store", "authorize true", "tell active empty"], "granted active"),
        row("PRL-102", S2X, "pending", vec![E::Notify(active(), device("a", Basic::Closed)), E::Authorize(true)], &["store", "authorize true", "tell active empty"], "granted active"),
        row("PRL-103", S2X, "pending", vec![E::Authorize(false)], &["store", "tell rejected empty", "authorize false"], "none idle"),
        row("PRL-104", S2X, "active", vec![E::Authorize(false)], &["store", "tell rejected closed", "authorize false"], "none idle"),
        row("PRL-105", S2X, "active", vec![E::Notify(active(), device("b", Basic::Open))], &["tell active open+open"], "granted active"),
        row("PRL-106", S2X, "active", vec![E::Notify(active(), device("b", Basic::Open)), E::Notify(active(), device("a", Basic::Closed))], &["tell active open+open", "tell active closed+open"], "granted active"),
        row("PRL-107", S2X, "active", vec![E::Subscribe(Wish::Extend(secs(600)))], &["tell active open"], "granted active"),
        row("PRL-108", S2X, "active", vec![E::Subscribe(Wish::Pause)], &["tell timeout closed", "store", "far pause"], "granted idle"),
        row("PRL-109", S2X, "none", vec![E::Subscribe(Wish::Fetch)], &["tell timeout empty", "far fetch"], "none idle"),
        row("PRL-110", S2X, "active", vec![E::Time(3600)], &["tell timeout closed", "store", "far pause"], "granted idle"),
        row("PRL-111", S2X, "active", vec![E::NearGone], &["store", "far pause"], "granted idle"),
        row("PRL-116", S2X, "none", vec![watch(), E::Authorize(true)], &["store", "tell pending empty", "far standing", "store", "authorize true", "tell active empty"], "granted active"),
        row("PRL-117", S2X, "pending", vec![E::Time(3600)], &["tell timeout empty", "store"], "asked idle"),
        row("PRL-118", S2X, "waiting", vec![E::Authorize(true)], &["store", "authorize true"], "granted idle"),
        row("PRL-119", S2X, "pending", vec![E::Notify(ended(R::NoResource), News::Nothing)], &["store", "tell noresource empty", "authorize false"], "none idle"),
        row("PRL-121", X2S, "none", vec![E::Subscribe(Wish::Standing)], &["store", "tell pending empty", "far watch"], "asked asking"),
        row("PRL-122", S2X, "pending", vec![E::Notify(active(), device("a", Basic::Open)), E::Authorize(true)], &["store", "authorize true", "tell active open"], "granted active"),
        row("PRL-123", Sides { polls: false, ..X2S }, "none", vec![E::Subscribe(Wish::Fetch)], &["authorize false"], "none idle"),
    ]
}

// checks: PRS-001, PRS-010, PRS-011, PRS-012, PRS-013, PRS-014, PRS-015, PRS-016, PRS-017, PRS-018, PRS-020, PRS-022, PRS-050, PRS-061, EVT-008, EVT-012, XSU-003, XSU-004, XSU-009
// checks: PRL-001, PRL-002, PRL-003, PRL-004, PRL-005, PRL-006, PRL-007, PRL-010, PRL-011, PRL-012, PRL-013, PRL-014, PRL-015, PRL-016
// checks: PRL-017, PRL-018, PRL-019, PRL-020, PRL-021, PRL-022, PRL-023, PRL-024, PRL-025, PRL-026
// checks: XSU-001, XM-18, XM-19, REQ-3.2.4, REQ-3.2.5, REQ-5.1.7, PR-11, MOD-03
#[test]
fn rfc8048_s5_2_each_transition_of_a_watcher_whose_contact_must_be_asked_again_and_again() {
    check(x2s_rows());
}

// checks: PRS-030, PRS-031, PRS-032, PRS-033, PRS-034, PRS-035, PRS-036, PRS-051, PRS-055, EVT-021, EVT-024, XSU-007, XSU-008, XSU-011, PR-09, PR-10
// checks: PRL-101, PRL-102, PRL-103, PRL-104, PRL-105, PRL-106, PRL-107, PRL-108, PRL-109, PRL-110, PRL-111, PRL-116, PRL-117, PRL-118
// checks: PRL-119, PRL-121, PRL-122, PRL-123
// checks: XSU-001, XSU-005, REQ-2.3.1, REQ-2.3.2, REQ-3.2.1, REQ-3.2.2, REQ-3.2.3, REQ-5.1.5, REQ-5.1.9, REQ-5.1.13, REQ-5.1.16, MOD-11
#[test]
fn rfc8048_s5_3_each_transition_of_a_watcher_whose_contact_answers_for_good() {
    check(s2x_rows());
}

/// Transitions of SIP dialogs: the file and the test that make them.
const OF_SIP: &[(&str, &str, &str)] = &[
    ("PRL-008", SUBSCRIBER, "rfc6665_s4_1_2_2_what_each_status_means_for_a_new_dialog_and_for_a_refresh"),
    ("PRL-009", SUBSCRIBER, "rfc6665_s4_1_2_2_what_each_status_means_for_a_new_dialog_and_for_a_refresh"),
    ("PRL-027", SUBSCRIBER, "rfc6665_s4_1_3_the_first_notify_makes_the_dialog_others_are_unknown_or_old"),
    ("PRL-028", "adapter-sip/src/mapping/presence.rs", "what_is_no_notification_of_presence_is_refused"),
    ("PRL-029", SUBSCRIBER, "rfc6665_s4_1_3_the_first_notify_makes_the_dialog_others_are_unknown_or_old"),
    ("PRL-030", SUBSCRIBER, "rfc6665_s4_1_3_the_first_notify_makes_the_dialog_others_are_unknown_or_old"),
    ("PRL-112", "sip-proto/src/uas.rs", "rfc6665_s4_2_1_1_events"),
    ("PRL-113", "sip-proto/src/uas.rs", "rfc6665_s4_2_1_1_events"),
    ("PRL-114", INBOUND, "rfc6665_s4_2_1_1_a_subscribe_without_a_common_format_or_too_brief_is_refused"),
    ("PRL-115", INBOUND, "rfc6665_s4_2_1_1_a_subscribe_without_a_common_format_or_too_brief_is_refused"),
    (
        "PRL-120",
        "sip-proto/src/event/notifier.rs",
        "rfc3856_s6_10_changes_are_told_together_and_the_last_one_is_never_lost",
    ),
];
const SUBSCRIBER: &str = "sip-proto/src/event/subscriber.rs";
const INBOUND: &str = "adapter-sip/tests/shell/inbound.rs";

#[test]
fn each_transition_of_the_vectors_has_a_machine_and_none_has_two() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&read("../tests/vectors/presence.json")).unwrap();
    let listed: Vec<&str> =
        vectors["lifecycle"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let mut made: Vec<&str> = [x2s_rows(), s2x_rows()].concat().iter().map(|row| row.0).collect();
    made.dedup();
    for (id, path, test) in OF_SIP {
        assert!(read(path).contains(&format!("fn {test}(")), "{id}: {path} has no {test}");
        made.push(id);
    }
    made.sort_unstable();
    assert_eq!(listed.len(), 53);
    assert_eq!(made, listed);
}

fn check(rows: Vec<Row>) {
    for (id, sides, state, events, effects, next) in rows {
        let mut play = Play::new(sides);
        play.reach(state);
        let done: Vec<String> = events.iter().cloned().flat_map(|event| play.on(event)).collect();
        assert_eq!(done, effects, "{id} in {state} after {events:?}");
        assert_eq!(play.state(), next, "{id} in {state} after {events:?}");
    }
}

// checks: PR-07, PR-12
// checks: MOD-04, REQ-2.3.7
#[test]
fn rfc3859_s3_4_1_one_subscription_in_progress_for_each_id() {
    let mut play = Play::new(S2X);
    play.reach("active");
    assert_eq!(play.on(E::Subscribe(Wish::Watch(secs(60)))), ["refused: a subscription of this id is under way"]);
    let other = play.watch.handle_subscribe(&"another".into(), Wish::Watch(secs(60)), S2X, START).unwrap();
    assert_eq!(other.iter().map(short).collect::<Vec<_>>(), ["store", "authorize true", "tell active open"]);
    assert_eq!(play.on(E::Subscribe(Wish::Pause)), ["tell timeout closed", "store"], "the other one goes on");
    assert_eq!(play.watch.near().len(), 1);
}

// checks: REQ-3.3.1, REQ-3.3.2
#[test]
fn a_restored_watch_says_nothing_until_the_far_side_has_answered() {
    let near = vec![Near { id: id(), until: Timestamp::NEVER }];
    let info = Known::from(&PresenceInfo { tuples: vec![tuple("a", Basic::Open)], ..PresenceInfo::default() });
    let ask = START.after(secs(20));
    let watch = Watch::restored(Authorization::Granted, near, START.after(secs(900)), Some(info), ask);
    let mut play = Play { watch, sides: X2S, now: START };
    assert!(play.on(E::Time(19)).is_empty());
    assert_eq!(play.on(E::Time(1)), ["far watch"]);
    assert_eq!(play.on(E::Notify(active(), open())), ["tell active open"]);
    assert!(play.on(E::Notify(active(), open())).is_empty(), "what is the same is not told again");
    assert_eq!(play.on(E::Notify(active(), device("a", Basic::Closed))), ["tell active closed"]);
}

// checks: PRL-024
#[test]
fn what_is_cancelled_before_it_was_asked_for_again_is_cancelled_there_too() {
    let near = vec![Near { id: id(), until: Timestamp::NEVER }];
    let watch = Watch::restored(Authorization::Granted, near, START.after(secs(900)), None, START.after(secs(20)));
    let mut play = Play { watch, sides: X2S, now: START };
    assert_eq!(play.on(E::Subscribe(Wish::Cancel)), ["store", "far cancel"]);
    assert_eq!(play.on(E::FarOutcome(Wish::Cancel, None)), ["authorize false"]);
    assert_eq!(play.state(), "none idle");
}

// checks: XSU-015
#[test]
fn rfc6121_s3_1_2_a_request_that_is_left_open_is_sent_again() {
    let mut play = Play::new(S2X);
    play.on(E::Subscribe(Wish::Watch(secs(7 * 86_400))));
    assert!(play.on(E::FarOutcome(Wish::Standing, None)).is_empty());
    assert!(play.on(E::Time(23 * 3600)).is_empty());
    assert_eq!(play.on(E::Time(3600)), ["far standing"]);
    play.on(E::FarOutcome(Wish::Standing, None));
    assert_eq!(play.on(E::Authorize(true)), ["store", "authorize true", "tell active empty"]);
    assert!(play.on(E::Time(2 * 86_400)).is_empty(), "it is answered");
}

// checks: PRL-020
#[test]
fn who_subscribes_anew_before_the_end_is_known_is_asked_for_again() {
    let mut play = Play::new(X2S);
    play.reach("active");
    play.on(E::Subscribe(Wish::Cancel));
    assert_eq!(play.state(), "none leaving");
    assert_eq!(play.on(E::Subscribe(Wish::Standing)), ["store", "tell pending empty"]);
    assert_eq!(play.on(E::FarOutcome(Wish::Cancel, None)), ["far watch"]);
    assert_eq!(play.state(), "asked asking");
}

// checks: PRS-052
#[test]
fn rfc6121_s4_3_2_a_probe_is_answered_as_a_server_does() {
    let mut play = Play::new(Sides { polls: false, ..X2S });
    assert_eq!(play.on(E::Subscribe(Wish::Fetch)), ["authorize false"], "who may not watch");
    let mut play = Play::new(X2S);
    play.reach("active");
    play.on(E::Notify(active(), device("b", Basic::Open)));
    assert_eq!(play.on(E::Subscribe(Wish::Fetch)), ["tell active open+open", "far watch"], "each device");
    play.on(E::Notify(active(), News::Whole(Arc::new(closed(&PresenceInfo::default())))));
    assert_eq!(play.on(E::Subscribe(Wish::Fetch)), ["tell active closed", "far watch"], "nobody is there");
}

// checks: XSU-013
#[test]
fn rfc6121_s4_3_1_whoever_comes_online_again_has_his_contacts_probed() {
    let mut play = Play::new(S2X);
    play.reach("active");
    play.on(E::Subscribe(Wish::Pause));
    assert_eq!(
        play.on(E::Subscribe(Wish::Watch(secs(3600)))),
        ["store", "authorize true", "tell active empty", "far fetch"]
    );
}
