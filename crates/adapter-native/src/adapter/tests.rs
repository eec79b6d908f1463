use super::*;
use crate::users::Reader;
use adapter_api::{Hop, Settle, TraceId, settle_channel};
use impp_model::{Content, Endpoint, InstantMessage, MaxForwards};
use tokio::sync::oneshot;

const CAROL: &str = "carol@native.example";
const HOLD: Duration = Duration::from_secs(2);

/// An adapter that gives up in time, and no more.
struct Fixture {
    adapter: NativeAdapter,
    shared: Arc<Shared>,
}

impl Fixture {
    fn new() -> Self {
        let config = r#"{"listen":"127.0.0.1:0","user":[{"address":"carol@native.example","token":"c4r0l"}]}"#;
        let (adapter, shared) = NativeAdapter::for_test(serde_json::from_str(config).unwrap());
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.give_up_in_time().await }
        });
        Self { adapter, shared }
    }

    fn user(&self) -> Arc<User> {
        self.shared.users.at(&CAROL.parse().unwrap()).unwrap()
    }

    fn reader(&self, device: &str) -> Reader {
        Reader::open(&self.user(), device.into(), None).unwrap()
    }

    fn deliver(&self, to: &str, content: Content) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        self.adapter.deliver(delivery(to, content, settle)).unwrap();
        outcome
    }
}

fn delivery(to: &str, content: Content, settle: Settle) -> Delivery {
    let operation = MessageOperation {
        source: Endpoint::bare("romeo@example.com".parse().unwrap()),
        destination: Endpoint::bare(to.parse().unwrap()),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t1".into(),
        message: InstantMessage::new(content),
    };
    Delivery {
        trace: TraceId(1),
        operation: Arc::new(Operation::Message(Box::new(operation))),
        repeat: false,
        edition: 0,
        proven_only: false,
        hop: Arc::new(Hop::Link),
        deadline: now() + HOLD,
        settle,
    }
}

async fn failure(outcome: oneshot::Receiver<Outcome>) -> Failure {
    match outcome.await.unwrap() {
        Outcome::Failure(failure) => *failure,
        other @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_device_the_addressee_is_unavailable_at_the_deadline() {
    let f = Fixture::new();
    let start = Instant::now();
    let failure = failure(f.deliver(CAROL, Content::text("hello"))).await;
    assert_eq!((failure.cause, failure.side), (Cause::RecipientUnavailable, Side::Far));
    assert_eq!(failure.retry, Retry::After(LOOK_AGAIN), "where there is a ledger it waits there");
    assert!(failure.text.unwrap().contains("withdrawn"));
    let elapsed = start.elapsed();
    assert!(elapsed >= HOLD && elapsed < HOLD + Duration::from_millis(10), "{elapsed:?}");
    let mut reader = f.reader("main");
    let late = tokio::time::timeout(HOLD, reader.next()).await;
    assert!(late.is_err(), "what was withdrawn never arrives");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_before_the_deadline_gets_the_message() {
    let f = Fixture::new();
    let outcome = f.deliver(CAROL, Content::text("hello"));
    tokio::time::advance(HOLD / 2).await;
    let event = f.reader("main").next().await;
    f.shared.acknowledge(&f.user(), &"main".into(), event.id).unwrap();
    assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Recipient)));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_acknowledged_may_have_arrived() {
    let f = Fixture::new();
    let mut reader = f.reader("main");
    let outcome = f.deliver(CAROL, Content::text("hello"));
    let event = reader.next().await;
    let failure = failure(outcome).await;
    assert_eq!(failure.cause, Cause::Unconfirmed);
    assert!(failure.text.unwrap().contains("may have arrived"));
    assert!(f.shared.acknowledge(&f.user(), &"main".into(), event.id).is_ok(), "a late word is no error");
}

#[tokio::test(start_paused = true)]
async fn a_connected_device_that_was_not_reached_leaves_nothing_behind() {
    let f = Fixture::new();
    let mut reader = f.reader("main");
    let failure = failure(f.deliver(CAROL, Content::text("hello"))).await;
    assert_eq!(failure.cause, Cause::Unconfirmed);
    assert!(failure.text.unwrap().contains("will not arrive"));
    assert!(tokio::time::timeout(HOLD, reader.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_acknowledgement_covers_all_before_it_and_leaves_no_deadline() {
    let f = Fixture::new();
    let outcomes: Vec<_> = ["a", "b", "c"].map(|text| f.deliver(CAROL, Content::text(text))).into();
    let mut reader = f.reader("main");
    reader.next().await;
    reader.next().await;
    let last = reader.next().await;
    f.shared.acknowledge(&f.user(), &"other".into(), last.id).unwrap();
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome::Success(Proof::Recipient)));
    }
    assert!(tokio::time::timeout(2 * HOLD, f.shared.deadlines.passed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn octets_that_are_no_text_are_refused() {
    let f = Fixture::new();
    let image = Content { media_type: "image/png".into(), language: None, octets: vec![0x89, 0xff].into() };
    assert_eq!(failure(f.deliver(CAROL, image)).await.cause, Cause::UnsupportedMedia);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_what_would_happen() {
    let f = Fixture::new();
    let examine = |to: &str| {
        let Delivery { operation, hop, .. } = delivery(to, Content::text("hello"), settle_channel().0);
        f.shared.examine(&Examine::DryRun { operation: Box::new((*operation).clone()), hop })
    };
    let has = |findings: &Findings, what: &str| findings.findings.iter().any(|finding| finding.what == what);
    let known = examine(CAROL);
    assert!(has(&known, "acknowledgement") && has(&known, "open streams") && !has(&known, "refused"));
    assert!(has(&examine("nobody@native.example"), "refused"));
    let probe = f.shared.examine(&Examine::Probe {
        domain: "native.example".parse().unwrap(),
        source: "gw.example".parse().unwrap(),
        hop: Arc::new(Hop::Link),
    });
    assert!(has(&probe, "listening") && has(&probe, "users"));
}
