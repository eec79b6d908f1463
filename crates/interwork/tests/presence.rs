//! The hub between a network whose subscriptions are refreshed and one whose subscriptions stand, with adapters that only listen.

#![allow(clippy::unwrap_used, reason = "a test's own data")]

mod common;

use adapter_api::{Delivery, DomainPattern, InstanceName, Provenance, SourceProof, SpeaksFor};
use common::{PLENTY, Shelf, Table, World, failure, publishing, tuned, world_on};
use impp_model::{
    AuthorizeOperation, Basic, Cause, Device, EndReason, Endpoint, Kind, News, NotifyOperation, Operation, Outcome,
    PresenceInfo, PresenceTuple, Proof, Standing, SubscribeOperation, Wish,
};
use interwork::{Archive, ArchiveEvent, Direction, PresenceLimits, Subscription, WhenAway};
use std::sync::Arc;
use std::time::Duration;
use store::{Limits, MemoryStore, SteadyClock};

const ROMEO: &str = "romeo@sip.example";
const JULIET: &str = "juliet@xmpp.example";
const HOUR: Duration = Duration::from_secs(3600);

/// A hub that runs.
struct Running {
    world: World,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(store: &Arc<MemoryStore>, clock: SteadyClock) -> Running {
    running(world_on(Table::new(0), PLENTY, store.clone(), clock, Limits::default()))
}

fn running(world: World) -> Running {
    let core = world.core.clone();
    Running { world, task: tokio::spawn(async move { core.run().await }) }
}

fn fresh() -> Running {
    start(&Arc::new(MemoryStore::new()), SteadyClock::start())
}

impl Running {
    async fn submit(&self, adapter: &str, operation: Operation) -> Outcome {
        let provenance = Provenance {
            may_repeat: false,
            adapter: InstanceName::from(adapter),
            peer: "peer".into(),
            proof: SourceProof::Secret,
            speaks_for: SpeaksFor::Patterns([DomainPattern::Any].into()),
        };
        let hub = self.world.core.hub(adapter.into());
        hub.submit_and_wait(operation, Arc::new(provenance)).await.1
    }

    /// What an adapter has been asked to do, as soon as it is something.
    async fn next(&self, shelf: &Shelf) -> Vec<String> {
        self.next_settled(shelf, &ok()).await
    }

    async fn next_settled(&self, shelf: &Shelf, outcome: &Outcome) -> Vec<String> {
        let taken = self.next_deliveries(shelf).await;
        taken.into_iter().map(|delivery| settled(delivery, outcome.clone())).collect()
    }

    async fn next_deliveries(&self, shelf: &Shelf) -> Vec<Delivery> {
        for _ in 0..10_000 {
            let taken = shelf.take();
            if !taken.is_empty() {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing came");
    }

    async fn subscriptions(&self) -> Vec<Subscription> {
        self.world.core.subscriptions(None, PLENTY).await.1
    }
}

/// What it is, in short; settled so.
fn settled(delivery: Delivery, outcome: Outcome) -> String {
    let text = match &*delivery.operation {
        Operation::Subscribe(subscribe) => {
            format!("{} {} -> {}", subscribe.wish.label(), subscribe.watcher.address, subscribe.target.address)
        }
        Operation::Authorize(authorize) => format!("authorize {}", authorize.allow),
        Operation::Notify(notify) => {
            let standing = match &notify.standing {
                Standing::Pending { .. } => "pending",
                Standing::Active { .. } => "active",
                Standing::Ended { reason, .. } => reason.label(),
            };
            let news = match &notify.news {
                News::Nothing => "-".to_owned(),
                News::Whole(info) => format!("{} tuples", info.tuples.len()),
                News::Device(tuple) => format!("{} {:?}", tuple.device.as_ref().unwrap().as_str(), tuple.basic),
            };
            format!("{standing} {news}")
        }
        Operation::Message(_) | Operation::Disposition(_) | Operation::Publish(_) | _ => panic!("not presence"),
    };
    delivery.settle(outcome);
    text
}

fn end(address: &str) -> Endpoint {
    Endpoint::bare(address.parse().unwrap())
}

fn subscribe(watcher: &str, target: &str, id: &str, wish: Wish) -> Operation {
    let (watcher, target) = (end(watcher), end(target));
    Operation::Subscribe(Box::new(SubscribeOperation {
        watcher,
        target,
        wish,
        subscript_id: id.into(),
        trans_id: "t".into(),
    }))
}

fn authorize(target: &str, watcher: &str, allow: bool) -> Operation {
    let (target, watcher) = (end(target), end(watcher));
    Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow, trans_id: "a".into() }))
}

fn notify(target: &str, watcher: &str, standing: Standing, news: News) -> Operation {
    let (target, watcher) = (end(target), end(watcher));
    let trans_id = "n".into();
    Operation::Notify(Box::new(NotifyOperation { target, watcher, subscript_id: None, trans_id, standing, news }))
}

fn tuple(device: &str, basic: Basic) -> PresenceTuple {
    PresenceTuple::new(Some(Device::new(device).unwrap()), basic)
}

fn whole(tuples: &[PresenceTuple]) -> News {
    News::Whole(Arc::new(PresenceInfo { tuples: tuples.to_vec(), ..PresenceInfo::default() }))
}

fn active() -> Standing {
    Standing::Active { expires: Some(HOUR) }
}

fn ok() -> Outcome {
    Outcome::Success(Proof::Server)
}

// checks: PRS-002, PRS-013, PRS-014, PRS-062, PR-03
// checks: XM-16, REQ-2.4.1, REQ-2.4.2, REQ-5.1.10
#[tokio::test(start_paused = true)]
async fn rfc8048_s5_2_a_standing_watcher_hears_of_each_device_and_of_the_end() {
    let hub = fresh();
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await, ok());
    assert_eq!(hub.next(&hub.world.sip).await, ["watch juliet@xmpp.example -> romeo@sip.example"]);
    assert_eq!(hub.next(&hub.world.xmpp).await, ["pending -"]);
    let two = whole(&[tuple("a", Basic::Open), tuple("b", Basic::Open)]);
    hub.submit("sip", notify(ROMEO, JULIET, active(), two)).await;
    assert_eq!(hub.next(&hub.world.xmpp).await, ["authorize true", "active a Open", "active b Open"]);
    hub.submit("sip", notify(ROMEO, JULIET, active(), whole(&[tuple("b", Basic::Open)]))).await;
    assert_eq!(hub.next(&hub.world.xmpp).await, ["active a Closed"]);
    let rejected = Standing::Ended { reason: EndReason::Rejected, retry_after: None };
    hub.submit("sip", notify(ROMEO, JULIET, rejected, News::Nothing)).await;
    assert_eq!(hub.next(&hub.world.xmpp).await, ["rejected b Closed", "authorize false"]);
    assert!(hub.subscriptions().await.is_empty());
    let counted = |adapter: &str, direction| -> u64 {
        let operations = hub.world.core.counters().operations();
        let fits = operations.iter().filter(|(key, _)| key.adapter.as_str() == adapter && key.direction == direction);
        fits.map(|(_, count)| count).sum()
    };
    assert_eq!([counted("xmpp", Direction::In), counted("sip", Direction::In)], [1, 3], "each once");
}

// checks: PRS-031, PRS-032, PRS-047, PRS-056
// checks: PR-01, PR-08, REQ-5.1.11, AMB-15
#[tokio::test(start_paused = true)]
async fn rfc8048_s5_3_a_watcher_for_a_time_gets_whole_documents() {
    let hub = fresh();
    assert_eq!(hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Watch(HOUR))).await, ok());
    assert_eq!(hub.next(&hub.world.sip).await, ["pending -"]);
    assert_eq!(hub.next(&hub.world.xmpp).await, ["standing romeo@sip.example -> juliet@xmpp.example"]);
    hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
    assert_eq!(hub.next(&hub.world.sip).await, ["authorize true", "active -"]);
    for (device, count) in [("a", 1), ("b", 2)] {
        let news = News::Device(Box::new(tuple(device, Basic::Open)));
        hub.submit("xmpp", notify(JULIET, ROMEO, Standing::Active { expires: None }, news)).await;
        assert_eq!(hub.next(&hub.world.sip).await, [format!("active {count} tuples")]);
    }
    tokio::time::sleep(HOUR).await;
    assert_eq!(hub.next(&hub.world.sip).await, ["timeout 2 tuples"]);
    assert_eq!(hub.next(&hub.world.xmpp).await, ["pause romeo@sip.example -> juliet@xmpp.example"]);
    let [only] = &hub.subscriptions().await[..] else { panic!("the authorization stays") };
    assert_eq!((only.authorization, only.state, only.subscriptions), ("granted", "idle", 0));
}

#[tokio::test(start_paused = true)]
async fn the_archive_hears_of_presence_when_it_is_taken_and_what_became_of_it() {
    let hub = fresh();
    let archive = Arc::new(Archive::new(vec![Kind::Subscribe], WhenAway::Continue));
    hub.world.core.archive_to(archive.clone());
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await, ok());
    assert_ne!(hub.submit("xmpp", subscribe(JULIET, JULIET, "y", Wish::Standing)).await, ok());
    hub.next(&hub.world.sip).await;
    let records = archive.batch(usize::MAX).await;
    let events: Vec<_> = records
        .iter()
        .map(|record| match &record.event {
            ArchiveEvent::Taken(..) => "taken",
            ArchiveEvent::Ended(what, _) => what,
        })
        .collect();
    assert_eq!(events, ["taken", "delivered", "taken", "failed", "delivered"]);
    let traces: Vec<_> = records.iter().map(|record| record.trace).collect();
    assert_eq!((traces[0], traces[2]), (traces[1], traces[3]));
    assert!(!traces[..4].contains(&traces[4]), "what the hub has sent for it is an operation of its own");
}

// checks: PR-06, PRS-001
// checks: REQ-5.2.2
#[tokio::test(start_paused = true)]
async fn a_restart_loses_no_subscription_and_closes_nothing() {
    let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
    {
        let hub = start(&store, clock);
        for number in 0..50 {
            let (watcher, target) = (format!("w{number}@xmpp.example"), format!("t{number}@sip.example"));
            hub.submit("xmpp", subscribe(&watcher, &target, "x", Wish::Standing)).await;
            hub.submit("sip", notify(&target, &watcher, active(), whole(&[tuple("a", Basic::Open)]))).await;
        }
    }
    let hub = start(&store, clock);
    let mut asked = Vec::new();
    while asked.len() < 50 {
        asked.extend(hub.next(&hub.world.sip).await);
    }
    assert!(asked.iter().all(|ask| ask.starts_with("watch ")), "{asked:?}");
    assert!(hub.world.xmpp.take().is_empty(), "until they answer, watchers keep what they know");
    hub.submit("sip", notify("t7@sip.example", "w7@xmpp.example", active(), whole(&[tuple("b", Basic::Open)]))).await;
    assert_eq!(hub.next(&hub.world.xmpp).await, ["active a Closed", "active b Open"]);
    assert!(hub.subscriptions().await.iter().all(|pair| pair.authorization == "granted"));
}

// checks: PR-18, PRS-063
// checks: REQ-2.2.4
#[tokio::test(start_paused = true)]
async fn nobody_watches_himself_nor_more_than_the_bound() {
    let hub = fresh();
    let refused = hub.submit("xmpp", subscribe(JULIET, JULIET, "x", Wish::Standing)).await;
    assert_eq!(refused.reason(), "loop-detected");
    for number in 0..1_000 {
        let target = format!("t{number}@sip.example");
        assert_eq!(hub.submit("xmpp", subscribe(JULIET, &target, "x", Wish::Standing)).await, ok());
        hub.world.sip.take();
        hub.world.xmpp.take();
    }
    let refused = hub.submit("xmpp", subscribe(JULIET, "t1000@sip.example", "x", Wish::Standing)).await;
    assert_eq!(refused.reason(), "resource-constraint");
}

// checks: PRS-063
// checks: REQ-2.2.4
#[tokio::test(start_paused = true)]
async fn rfc3857_s4_7_1_each_bound_holds_and_an_end_makes_room() {
    let presence = PresenceLimits { per_watcher: 2, per_presentity: 2, per_domain: 3, ..PresenceLimits::default() };
    let hub = running(tuned(Table::new(0), |config| config.presence = presence));
    let watch = async |watcher: &str, target: &str, wish| {
        let outcome = hub.submit("xmpp", subscribe(watcher, target, "x", wish)).await;
        for shelf in [&hub.world.sip, &hub.world.xmpp] {
            shelf.take().into_iter().for_each(|delivery| delivery.settle(ok()));
        }
        outcome
    };
    let full = "resource-constraint";
    for (watcher, target, allowed) in [
        ("a@xmpp.example", ROMEO, true),
        (JULIET, ROMEO, true),
        ("c@xmpp.example", ROMEO, false),
        ("c@xmpp.example", "b@sip.example", true),
        ("a@xmpp.example", "b@sip.example", false),
    ] {
        let outcome = watch(watcher, target, Wish::Standing).await;
        assert_eq!((outcome == ok(), outcome == ok() || outcome.reason() == full), (allowed, true), "{watcher}");
    }
    assert_eq!(watch(JULIET, ROMEO, Wish::Standing).await, ok(), "who watches already takes no further place");
    assert_eq!(watch(JULIET, ROMEO, Wish::Cancel).await, ok());
    hub.world.sip.take().into_iter().for_each(|delivery| delivery.settle(ok()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        watch("a@xmpp.example", "b@sip.example", Wish::Standing).await,
        ok(),
        "two of its own, three of the domain"
    );
    assert_eq!(watch("a@xmpp.example", "d@sip.example", Wish::Standing).await.reason(), full, "a third of its own");
}

// checks: REQ-2.3.3, REQ-3.3.3, REQ-5.2.3, REQ-5.3.2, REQ-5.1.8, PR-13
#[tokio::test(start_paused = true)]
async fn rfc2779_s2_3_what_one_watcher_sees_and_holds_is_not_anothers() {
    const NURSE: &str = "nurse@xmpp.example";
    let hub = fresh();
    for watcher in [JULIET, NURSE] {
        assert_eq!(hub.submit("xmpp", subscribe(watcher, ROMEO, "x", Wish::Standing)).await, ok());
        hub.next(&hub.world.sip).await;
        assert_eq!(hub.next(&hub.world.xmpp).await, ["pending -"]);
    }
    hub.submit("sip", notify(ROMEO, JULIET, active(), whole(&[tuple("a", Basic::Open)]))).await;
    assert_eq!(hub.next(&hub.world.xmpp).await, ["authorize true", "active a Open"], "told to one");
    // Who has no subscription is told nothing, and nobody cancels what another holds under the same id.
    hub.submit("sip", notify(ROMEO, "paris@xmpp.example", active(), whole(&[tuple("a", Basic::Open)]))).await;
    hub.submit("xmpp", subscribe(NURSE, ROMEO, "x", Wish::Cancel)).await;
    let standing: Vec<_> = hub.subscriptions().await.iter().map(|pair| pair.authorization).collect();
    assert_eq!(standing, ["granted", "none"], "hers is leaving, the other's stands");
    hub.submit("sip", notify(ROMEO, JULIET, active(), whole(&[tuple("a", Basic::Closed)]))).await;
    let told = hub.next(&hub.world.xmpp).await;
    assert!(told.contains(&"active a Closed".to_owned()) && !told.contains(&"active a Open".to_owned()), "{told:?}");
}

// checks: REQ-5.1.6, REQ-5.1.12, REQ-5.2.4, REQ-2.3.4, MOD-15
#[tokio::test(start_paused = true)]
async fn rfc2779_s5_nobody_subscribes_or_tells_presence_in_anothers_name() {
    let hub = fresh();
    let refused = hub.submit("xmpp", subscribe("mallory@sip.example", JULIET, "x", Wish::Standing)).await;
    assert_eq!(refused.reason(), "source-not-proven");
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await, ok());
    assert_eq!(hub.next(&hub.world.xmpp).await, ["pending -"]);
    let forged = hub.submit("xmpp", notify(ROMEO, JULIET, active(), whole(&[tuple("a", Basic::Open)]))).await;
    assert_eq!(forged.reason(), "source-not-proven");
    assert!(hub.world.xmpp.take().is_empty());
}

// checks: PR-06, REQ-5.2.2
#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_has_not_happened_and_an_end_needs_no_room() {
    const NOT_STORED: &str = "resource-constraint";
    let hub = fresh();
    let store = &hub.world.store;
    store.set_free(0);
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await.reason(), NOT_STORED);
    assert!(hub.subscriptions().await.is_empty());
    assert!(hub.world.sip.take().is_empty() && hub.world.xmpp.take().is_empty(), "nobody has heard of it");
    store.set_free(u64::MAX);
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await, ok());
    hub.next(&hub.world.sip).await;
    hub.next(&hub.world.xmpp).await;
    hub.submit("sip", notify(ROMEO, JULIET, active(), whole(&[tuple("a", Basic::Open)]))).await;
    hub.next(&hub.world.xmpp).await;
    store.set_free(0);
    assert_eq!(
        hub.submit("xmpp", subscribe("nurse@xmpp.example", ROMEO, "x", Wish::Standing)).await.reason(),
        NOT_STORED
    );
    assert!(hub.world.xmpp.take().is_empty() && hub.world.sip.take().is_empty(), "neither side has heard of it");
    // Who ends something needs no room.
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Cancel)).await, ok());
    assert_eq!(hub.next(&hub.world.sip).await, ["cancel juliet@xmpp.example -> romeo@sip.example"]);
    hub.next(&hub.world.xmpp).await;
    assert!(hub.subscriptions().await.is_empty());
    store.set_free(u64::MAX);
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await, ok());
    assert_eq!(store.reopen().unwrap().1.gaps, [], "the store's sums hold");
}

// checks: PR-06
#[tokio::test(start_paused = true)]
async fn who_begins_and_ends_again_and_again_leaves_the_store_whole() {
    let hub = fresh();
    for _ in 0..3 {
        for who in [JULIET, "nurse@xmpp.example"] {
            assert_eq!(hub.submit("xmpp", subscribe(who, ROMEO, "x", Wish::Standing)).await, ok());
        }
        hub.next(&hub.world.sip).await;
        assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Cancel)).await, ok());
        hub.next(&hub.world.sip).await;
        while hub.subscriptions().await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (again, opened) = hub.world.store.reopen().unwrap();
    assert_eq!(opened.gaps, [], "each record was counted once");
    let later = start(&Arc::new(again), SteadyClock::start());
    assert_eq!(later.subscriptions().await.len(), 1);
}

// checks: PR-06
#[tokio::test(start_paused = true)]
async fn a_grant_that_cannot_be_stored_is_asked_for_once_more() {
    let hub = fresh();
    hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await;
    hub.next(&hub.world.sip).await;
    hub.next(&hub.world.xmpp).await;
    hub.world.store.set_free(0);
    let grant = || notify(ROMEO, JULIET, active(), whole(&[tuple("a", Basic::Open)]));
    assert_eq!(hub.submit("sip", grant()).await.reason(), "resource-constraint");
    let [only] = &hub.subscriptions().await[..] else { panic!("it stands") };
    assert_eq!((only.authorization, only.subscriptions), ("asked", 1));
    assert!(hub.world.xmpp.take().is_empty(), "the watcher has not heard of it");
    hub.world.store.set_free(u64::MAX);
    assert_eq!(hub.next(&hub.world.sip).await, ["watch juliet@xmpp.example -> romeo@sip.example"]);
    assert_eq!(hub.submit("sip", grant()).await, ok());
    assert_eq!(hub.next(&hub.world.xmpp).await, ["authorize true", "active a Open"]);
    // The presentity's side takes it back although there is no room.
    hub.world.store.set_free(0);
    let rejected = Standing::Ended { reason: EndReason::Rejected, retry_after: None };
    assert_eq!(hub.submit("sip", notify(ROMEO, JULIET, rejected, News::Nothing)).await, ok());
    assert_eq!(hub.next(&hub.world.xmpp).await, ["rejected a Closed", "authorize false"]);
    assert!(hub.subscriptions().await.is_empty());
}

// checks: PR-06
#[tokio::test(start_paused = true)]
async fn an_expiry_needs_no_room_on_the_disk() {
    let hub = fresh();
    hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Watch(HOUR))).await;
    hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
    assert_eq!(hub.next(&hub.world.sip).await, ["pending -", "authorize true", "active -"]);
    hub.next(&hub.world.xmpp).await;
    hub.world.store.set_free(0);
    tokio::time::sleep(HOUR).await;
    assert_eq!(hub.next(&hub.world.sip).await, ["timeout 1 tuples"]);
    let told = hub.next(&hub.world.xmpp).await;
    assert!(told.iter().any(|told| told.starts_with("pause ")), "{told:?}");
}

// checks: PRS-055, INV-04
#[tokio::test(start_paused = true)]
async fn rfc6121_s4_6_directed_presence_is_kept_for_a_later_subscription() {
    let hub = fresh();
    let shown =
        |basic| notify(JULIET, ROMEO, Standing::Active { expires: None }, News::Device(Box::new(tuple("a", basic))));
    hub.submit("xmpp", shown(Basic::Open)).await;
    assert!(hub.world.sip.take().is_empty() && hub.subscriptions().await.is_empty(), "it is no subscription");
    for poll in ["f", "g", "h"] {
        hub.submit("sip", subscribe(ROMEO, JULIET, poll, Wish::Fetch)).await;
        assert_eq!(hub.next(&hub.world.sip).await, ["timeout 1 tuples"], "each poll finds it");
    }
    assert!(hub.world.xmpp.take().is_empty(), "nobody needs to be asked");
    hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Watch(HOUR))).await;
    assert_eq!(hub.next(&hub.world.sip).await, ["pending -"], "state is for those who may watch");
    hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
    assert_eq!(hub.next(&hub.world.sip).await, ["authorize true", "active 1 tuples"]);
}

// checks: PRL-024
#[tokio::test(start_paused = true)]
async fn an_end_that_a_crash_cut_short_is_told_again() {
    let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
    {
        let hub = start(&store, clock);
        hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Watch(HOUR))).await;
        hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
        hub.next(&hub.world.xmpp).await;
        assert_eq!(hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Cancel)).await, ok());
        // Nothing is settled: the process ends amid it.
    }
    let hub = start(&store, clock);
    assert_eq!(hub.next(&hub.world.xmpp).await, ["cancel romeo@sip.example -> juliet@xmpp.example"]);
    assert_eq!(hub.next(&hub.world.sip).await, ["authorize false"]);
    assert!(hub.subscriptions().await.is_empty());
}

// checks: PRS-047, PRS-013
#[tokio::test(start_paused = true)]
async fn what_fails_of_a_state_is_tried_once_however_many_devices_there_are_and_only_that() {
    let hub = fresh();
    hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await;
    hub.next(&hub.world.sip).await;
    hub.next(&hub.world.xmpp).await;
    let away = failure(Cause::LinkDown).into();
    let three = ["a", "b", "c"].map(|device| tuple(device, Basic::Open));
    hub.submit("sip", notify(ROMEO, JULIET, active(), whole(&three))).await;
    let all = ["active a Open", "active b Open", "active c Open"];
    assert_eq!(hub.next_settled(&hub.world.xmpp, &away).await, [&["authorize true"][..], &all].concat());
    for _ in 0..3 {
        let mut again = hub.next_settled(&hub.world.xmpp, &away).await;
        again.retain(|told| told != "authorize true");
        assert_eq!(again, all, "no more than are due");
    }
    // Only one of them fails the next time, and is gone by the time of the next.
    let mut told = Vec::new();
    for delivery in hub.next_deliveries(&hub.world.xmpp).await {
        let failed = matches!(&*delivery.operation, Operation::Notify(notify)
            if matches!(&notify.news, News::Device(tuple) if tuple.device == Device::new("b").ok()));
        told.push(settled(delivery, if failed { away.clone() } else { ok() }));
    }
    told.retain(|told| told != "authorize true");
    assert_eq!(told, all);
    assert_eq!(hub.next(&hub.world.xmpp).await, ["active b Open"]);
}

// checks: PRS-049, PRS-013
#[tokio::test(start_paused = true)]
async fn of_a_presentity_with_too_many_devices_the_oldest_go_and_are_counted() {
    let hub = fresh();
    hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Watch(HOUR))).await;
    hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
    for number in 0..100 {
        let device = News::Device(Box::new(tuple(&format!("r{number}"), Basic::Open)));
        hub.submit("xmpp", notify(JULIET, ROMEO, Standing::Active { expires: None }, device)).await;
    }
    let mut told = Vec::new();
    while told.len() < 103 {
        told.extend(hub.next(&hub.world.sip).await);
    }
    assert_eq!(told.get(34).map(String::as_str), Some("active 32 tuples"));
    assert!(told[34..].iter().all(|told| told == "active 32 tuples"), "{told:?}");
    let losses = hub.world.core.counters().losses();
    let counted = losses.iter().filter(|((_, field, _), _)| field == "presence").map(|(_, count)| count);
    assert_eq!(counted.sum::<u64>(), 68);
}

// checks: PR-10
#[tokio::test(start_paused = true)]
async fn rfc3859_s3_4_who_has_several_subscriptions_ends_the_one_that_is_named() {
    let hub = running(publishing());
    let ask = |id: &str, wish| hub.submit("sip", subscribe(ROMEO, JULIET, id, wish));
    assert_eq!(ask("made-up", Wish::Cancel).await.reason(), "item-not-found");
    assert!(hub.subscriptions().await.is_empty() && hub.world.xmpp.take().is_empty(), "nothing has happened");
    for id in ["earlier", "standing"] {
        assert_eq!(ask(id, Wish::Standing).await, ok());
    }
    hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
    let count = || async { hub.subscriptions().await.iter().map(|pair| pair.subscriptions).collect::<Vec<_>>() };
    assert_eq!(count().await, [1], "one that stands");
    for number in 1..16 {
        assert_eq!(ask(&format!("t{number}"), Wish::Watch(HOUR)).await, ok());
    }
    assert_eq!(ask("t16", Wish::Watch(HOUR)).await.reason(), "resource-constraint");
    assert_eq!(count().await, [16]);
    for unknown in ["made-up", "earlier", "t16"] {
        assert_eq!(ask(unknown, Wish::Cancel).await.reason(), "item-not-found");
    }
    for id in ["standing", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13", "t14"] {
        assert_eq!(ask(id, Wish::Cancel).await, ok());
        assert_eq!(ask(id, Wish::Cancel).await.reason(), "item-not-found", "it has ended");
    }
    assert_eq!(count().await, [1]);
    assert_eq!(hub.subscriptions().await.first().map(|pair| pair.authorization), Some("granted"));
    let before = hub.next(&hub.world.xmpp).await;
    assert!(!before.iter().any(|told| told.starts_with("cancel")), "{before:?}");
    assert_eq!(ask("t15", Wish::Cancel).await, ok());
    assert_eq!(hub.next(&hub.world.xmpp).await, ["cancel romeo@sip.example -> juliet@xmpp.example"]);
}

// checks: PRS-047, PR-18
#[tokio::test(start_paused = true)]
async fn what_answers_our_own_subscription_is_not_counted_against_the_rate_of_its_source() {
    let one = std::num::NonZeroU32::new(1);
    let rates = interwork::RateLimits { source: one, domain: one };
    let hub = running(common::tuned(Table::new(0), |config| config.rules.rates = rates));
    assert_eq!(hub.submit("xmpp", subscribe(JULIET, ROMEO, "x", Wish::Standing)).await, ok());
    let state = || notify(ROMEO, JULIET, active(), whole(&[tuple("a", Basic::Open)]));
    let by = |proof| Provenance {
        may_repeat: false,
        adapter: InstanceName::from("sip"),
        peer: "peer".into(),
        proof,
        speaks_for: SpeaksFor::Address(ROMEO.parse().unwrap()),
    };
    let core = hub.world.core.hub("sip".into());
    for _ in 0..10 {
        assert_eq!(core.submit_and_wait(state(), Arc::new(by(SourceProof::Dialog))).await.1, ok());
    }
    let mut refused = 0;
    for _ in 0..10 {
        let outcome = core.submit_and_wait(state(), Arc::new(by(SourceProof::Digest))).await.1;
        refused += usize::from(outcome.reason() == "overload");
    }
    assert_eq!(refused, 8, "others are");
}

// checks: PRS-013, PRS-063
#[tokio::test(start_paused = true)]
async fn watchers_whose_link_is_up_again_are_told_at_the_pace_and_each_once() {
    const WATCHERS: usize = 40;
    let hub = running(common::tuned(Table::new(0), |config| config.presence.restart_rate = 10));
    for number in 0..WATCHERS {
        let watcher = format!("w{number}@xmpp.example");
        assert_eq!(hub.submit("xmpp", subscribe(&watcher, ROMEO, "x", Wish::Standing)).await, ok());
        hub.submit("sip", notify(ROMEO, &watcher, active(), whole(&[tuple("a", Basic::Open)]))).await;
        hub.next(&hub.world.sip).await;
    }
    let told = || hub.world.xmpp.take().into_iter().map(|delivery| settled(delivery, ok())).collect::<Vec<_>>();
    told();
    for _ in 0..3 {
        hub.world.core.hub("xmpp".into()).peer_changed("xmpp.example", adapter_api::PeerState::Up);
    }
    let mut counts = Vec::new();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = told();
        assert!(told.iter().all(|told| told == "active a Open"), "{told:?}");
        counts.push(told.len());
    }
    assert!(counts.iter().all(|count| *count <= 11), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), WATCHERS, "{counts:?}");
}

// checks: PRS-047, PR-18
#[tokio::test(start_paused = true)]
async fn a_state_that_was_refused_for_its_senders_rate_is_asked_for_later() {
    let rates = interwork::RateLimits { source: std::num::NonZeroU32::new(1), domain: None };
    let hub = running(common::tuned(Table::new(0), |config| config.rules.rates = rates));
    hub.submit("sip", subscribe(ROMEO, JULIET, "d", Wish::Watch(HOUR))).await;
    hub.submit("xmpp", authorize(JULIET, ROMEO, true)).await;
    hub.next(&hub.world.xmpp).await;
    let show = |device: String| {
        let news = News::Device(Box::new(tuple(&device, Basic::Open)));
        hub.submit("xmpp", notify(JULIET, ROMEO, Standing::Active { expires: None }, news))
    };
    let mut refused = 0;
    for number in 0..10 {
        refused += usize::from(show(format!("r{number}")).await.reason() == "overload");
    }
    assert_eq!(refused, 9);
    assert_eq!(hub.next(&hub.world.xmpp).await, ["fetch romeo@sip.example -> juliet@xmpp.example"], "once");
    assert_eq!(show("last".into()).await, ok(), "the answer");
    let told = hub.next(&hub.world.sip).await;
    assert_eq!(told.last().map(String::as_str), Some("active 2 tuples"));
    tokio::time::sleep(HOUR / 2).await;
    assert!(hub.world.xmpp.take().is_empty(), "and not again");
}
