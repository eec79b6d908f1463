//! Twice what fits (DESIGN A5, backpressure): every bound refuses, nothing accepted is lost, and service returns.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use adapter_api::{HubCore as _, PeerState};
use common::{DELIVERED, Table, World, failure, from_sip, world_on};
use impp_model::{Cause, Kind, Outcome, Retry, Side};
use interwork::{Archive, ArchiveEvent, WhenAway};
use std::sync::Arc;
use std::time::Duration;
use store::{Limits, MemoryStore, SteadyClock};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// What the far side's adapter takes at once.
const ROOM: usize = 32;
/// What the ledger takes for one hop.
const RECORDS: usize = 40;

/// One message each of so many senders.
fn wave(world: &World, name: &str, count: usize) -> Vec<oneshot::Receiver<Outcome>> {
    let send = |number| world.submit(&format!("{name}{number}@sip.example"), "b@xmpp.example", "text", from_sip());
    (0..count).map(send).collect()
}

/// Those accepted and those refused; a refusal says that it is ours and when to come again.
async fn accepted_and_refused(wave: Vec<oneshot::Receiver<Outcome>>) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for outcome in wave {
        match outcome.await.unwrap() {
            Outcome::Indeterminant | Outcome::Success(_) | Outcome::HandedOver => accepted += 1,
            Outcome::Failure(failure) => {
                assert_eq!(failure.side, Side::Ours);
                assert!(matches!(failure.cause, Cause::Overload | Cause::HopBacklog), "{failure:?}");
                assert!(matches!(failure.retry, Retry::After(_)), "{failure:?}");
                refused += 1;
            }
        }
    }
    (accepted, refused)
}

fn settle_all(world: &World, outcome: &Outcome) -> usize {
    let deliveries = world.xmpp.take();
    let count = deliveries.len();
    deliveries.into_iter().for_each(|delivery| delivery.settle(outcome.clone()));
    count
}

#[tokio::test(start_paused = true)]
async fn twice_what_fits_is_refused_at_each_bound_and_service_returns() {
    let limits = Limits { records: 2 * RECORDS, ..Limits::default() };
    let world = world_on(Table::new(0), ROOM, Arc::new(MemoryStore::new()), SteadyClock::start(), limits);
    let down = Outcome::from(failure(Cause::LinkDown));

    // The adapter's queue: what it does not take is refused at once, and takes no room anywhere.
    let first = wave(&world, "a", 2 * ROOM);
    assert_eq!((settle_all(&world, &down), world.core.held()), (ROOM, 0));
    assert_eq!(accepted_and_refused(first).await, (ROOM, ROOM));
    assert_eq!(world.core.ledger().counts().entries, ROOM);

    // The ledger: the rest of its room is taken, no more.
    let second = wave(&world, "b", ROOM);
    assert_eq!(settle_all(&world, &down), ROOM);
    assert_eq!(accepted_and_refused(second).await, (RECORDS - ROOM, 2 * ROOM - RECORDS));
    assert_eq!(world.core.ledger().counts().entries, RECORDS);
    let [delivered, failed, _, _, pending] = world.books();
    assert_eq!((delivered, failed, pending), (0, 3 * ROOM as u64 - RECORDS as u64, RECORDS as u64));

    // The far side returns: all that was accepted arrives, though its adapter refuses at times, too.
    let running = world.run();
    world.core.peer_changed(&"xmpp".into(), "sip.example", PeerState::Up);
    let mut arrived = 0;
    while arrived < RECORDS {
        sleep(Duration::from_millis(20)).await;
        arrived += settle_all(&world, &DELIVERED);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.books()[0], world.books()[4]), (RECORDS as u64, 0));
    assert_eq!(settle_all(&world, &DELIVERED), 0, "each arrives once");

    // And as much as fits is taken as before.
    let third = wave(&world, "c", ROOM);
    assert_eq!(settle_all(&world, &DELIVERED), ROOM);
    assert_eq!(accepted_and_refused(third).await, (ROOM, 0));
    running.abort();
}

/// The pairs of the next test.
const SENDERS: usize = 120;

fn from_one_of_many(world: &World, number: usize) -> oneshot::Receiver<Outcome> {
    let sender = format!("s{}@sip.example", number % SENDERS);
    world.submit(&sender, "b@xmpp.example", &format!("number {number}"), from_sip())
}

// The far side answers, but is given what waited no faster than it bears: four times that in new messages must not keep the
// spool full, or no message would ever go live again.
#[tokio::test(start_paused = true)]
async fn a_load_that_refills_the_spool_faster_than_it_empties_is_refused_until_it_is_empty() {
    let world =
        world_on(Table::new(0), 10 * SENDERS, Arc::new(MemoryStore::new()), SteadyClock::start(), Limits::default());
    let backlog: Vec<_> = (0..10 * SENDERS).map(|number| from_one_of_many(&world, number)).collect();
    settle_all(&world, &Outcome::from(failure(Cause::LinkDown)));
    // The far side is silent: all of it is kept.
    assert_eq!(accepted_and_refused(backlog).await, (10 * SENDERS, 0));
    assert_eq!(world.core.ledger().counts().entries, 10 * SENDERS);

    let running = world.run();
    world.core.peer_changed(&"xmpp".into(), "sip.example", PeerState::Up);
    let (mut sent, mut load) = (10 * SENDERS, Vec::new());
    while world.core.ledger().counts().entries > 0 {
        load.extend((sent..sent + 4).map(|number| from_one_of_many(&world, number)));
        sent += 4;
        sleep(Duration::from_millis(20)).await;
        settle_all(&world, &DELIVERED);
        assert!(sent < 10_000, "the spool does not empty: {}", world.core.ledger().counts().entries);
    }
    while settle_all(&world, &DELIVERED) > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    let (accepted, refused) = accepted_and_refused(load).await;
    assert!(refused > 100 && accepted > 100, "{refused} refused, {accepted} accepted");
    // What is refused before it is handed to anybody is not accepted.
    assert_eq!(world.books(), [(10 * SENDERS + accepted) as u64, 0, 0, 0, 0]);

    // Everybody goes live again.
    let after: Vec<_> = (sent..sent + SENDERS).map(|number| from_one_of_many(&world, number)).collect();
    assert_eq!(settle_all(&world, &DELIVERED), SENDERS);
    for outcome in after {
        assert_eq!(outcome.await, Ok(DELIVERED));
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_is_away_is_not_filled_by_what_is_refused() {
    // `archive::ROOM`, and some.
    let (room, beyond) = (10_000, 100_u64);
    let world = world_on(Table::new(0), ROOM, Arc::new(MemoryStore::new()), SteadyClock::start(), Limits::default());
    let archive = Arc::new(Archive::new(vec![Kind::Message], WhenAway::Spool));
    world.core.archive_to(archive.clone());
    for _ in 0..room as u64 + beyond {
        let refused = world.submit("a@xmpp.example", "b@xmpp.example", "not his name", from_sip()).await.unwrap();
        assert!(matches!(refused, Outcome::Failure(_)), "{refused:?}");
    }
    assert_eq!(archive.counts(), (room, 0, beyond));
    let refused = world.submit("a@sip.example", "b@xmpp.example", "no room", from_sip()).await.unwrap();
    assert!(matches!(refused, Outcome::Failure(failure) if failure.cause == Cause::Overload));
    assert_eq!(archive.counts(), (room, 0, beyond + 1));

    // Whose beginning was told has its end told, too.
    world.core.archived(1);
    let mut told = world.submit("a@sip.example", "b@xmpp.example", "text", from_sip());
    assert_eq!(archive.counts().0, room);
    assert_eq!(settle_all(&world, &DELIVERED), 1);
    assert_eq!(told.try_recv(), Ok(DELIVERED));
    assert_eq!(archive.counts(), (room + 1, 1, beyond + 1));
    let records = archive.batch(usize::MAX).await;
    assert!(matches!(&records.last().unwrap().event, ArchiveEvent::Ended("delivered", _)));
}
