//! Networks that are slow, silent, away or full, and an adapter that crashes.

use super::messages::{A_WHILE, seen_id};
use crate::testkit::hub::{Owed, Submitted};
use crate::testkit::network::{Act, Answer, Manner, Seen};
use crate::testkit::stand::{DEVICE, Fall, Judged, Stand, check, wrong};
use impp_model::{Cause, Failure, Kind, Operation, Outcome, Retry, Side};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) async fn slow(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    stand.receive(Manner::After(A_WHILE)).await?;
    let message = stand.text("slowly");
    let begun = Instant::now();
    let outcome = stand.send(message)?;
    let took = begun.elapsed();
    check(took < A_WHILE, "deliver returns before the network answers", took)?;
    let outcome = stand.outcome(outcome).await?;
    check(matches!(outcome, Outcome::Success(_) | Outcome::HandedOver), "delivered in the end", outcome)
}

/// Whether an outcome admits that the message may not have arrived, and lets it be tried again.
fn open(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Success(_) | Outcome::HandedOver => false,
        Outcome::Indeterminant => true,
        Outcome::Failure(failure) => failure.retry != Retry::Never,
    }
}

pub(super) async fn silent(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    stand.receive(Manner::Silent).await?;
    let message = stand.text("anybody?");
    let outcome = stand.deliver_within(Operation::Message(Box::new(message)), A_WHILE)?;
    let outcome = stand.outcome(outcome).await?;
    if outcome == Outcome::HandedOver && stand.capabilities().acknowledgement == crate::Acknowledgement::None {
        return Err(Fall::NotApplicable("nobody confirms there".to_owned()));
    }
    check(open(&outcome), "a failure that may be tried again, at the deadline", outcome)
}

pub(super) async fn vanish(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    stand.receive(Manner::Vanish).await?;
    let message = stand.text("gone?");
    let outcome = stand.deliver_within(Operation::Message(Box::new(message)), Duration::from_secs(2))?;
    let outcome = stand.outcome(outcome).await?;
    check(open(&outcome), "a failure that may be tried again", outcome)?;
    stand.receive(Manner::Confirm).await?;
    let user = stand.profile.user.clone();
    stand.act(Act::Connect { user, device: DEVICE.to_owned() }).await?;
    // Whoever connects anew may need a moment before it is found again.
    let until = Instant::now() + stand.patience;
    loop {
        let message = stand.text("back again");
        let outcome = stand.deliver_within(Operation::Message(Box::new(message)), Duration::from_secs(2))?;
        let outcome = stand.outcome(outcome).await?;
        if !matches!(outcome, Outcome::Failure(_)) {
            return Ok(());
        }
        check(open(&outcome) && Instant::now() < until, "messages arrive again once the network is back", outcome)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// More than any queue of an adapter should hold for one network.
const FLOOD: usize = 100_000;
/// So long each of them may take: on a slow machine, too, the queue must fill before the first of it runs out.
const FLOOD_LASTS: Duration = Duration::from_secs(12);

pub(super) async fn back_pressure(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    stand.receive(Manner::Silent).await?;
    let mut outcomes = Vec::new();
    for number in 0..FLOOD {
        let message = stand.text("more");
        let trans_id = message.trans_id.clone();
        let (delivery, outcome) = stand.delivery(Operation::Message(Box::new(message)), FLOOD_LASTS);
        match stand.adapter().deliver(delivery) {
            Ok(()) => outcomes.push(outcome),
            Err(full) => {
                let same = matches!(&*full.0.operation, Operation::Message(back) if back.trans_id == trans_id);
                check(same, "Full gives back the delivery that it was given", &full)?;
                drop(full);
                return settled(stand, outcomes).await;
            }
        }
        // A refusal by a full far side says as much.
        if number % 1000 == 999 && refused_for_room(&mut outcomes) {
            return settled(stand, outcomes).await;
        }
        if number % 100 == 99 {
            tokio::task::yield_now().await;
        }
    }
    wrong(format!("Full, or overload, before {FLOOD} deliveries wait"), "it took them all")
}

fn refused_for_room(outcomes: &mut Vec<tokio::sync::oneshot::Receiver<Outcome>>) -> bool {
    let mut refused = false;
    outcomes.retain_mut(|outcome| match outcome.try_recv() {
        Ok(Outcome::Failure(failure)) => {
            refused |= [Cause::Overload, Cause::ResourceConstraint].contains(&failure.cause);
            false
        }
        Ok(_) => false,
        Err(_) => true,
    });
    refused
}

async fn settled(stand: &Stand<'_>, outcomes: Vec<tokio::sync::oneshot::Receiver<Outcome>>) -> Judged {
    for outcome in outcomes {
        let outcome = stand.outcome(outcome).await?;
        check(open(&outcome), "what a silent network holds is not called delivered", outcome)?;
    }
    Ok(())
}

/// So long an adapter may try by itself to get through what it owes.
const BY_ITSELF: Duration = Duration::from_secs(4);

pub(super) async fn owed(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    if stand.capabilities().answers_each {
        return Err(Fall::NotApplicable("its senders wait for an answer to each message, and miss one".to_owned()));
    }
    stand.receive(Manner::Cut).await?;
    stand.hub.answers(None);
    stand.user_sends("owed", "text/plain", "anybody there?").await?;
    let submitted = stand.submitted_where("the message is submitted", |submitted| {
        let Submitted { operation: Operation::Message(message), settle, .. } = submitted else { return None };
        Some((message, settle?))
    });
    let (message, settle) = submitted.await?;
    settle.settle(Failure::new(Side::Far, Cause::NotFound));
    let is_told = |seen| matches!(seen, Seen::Answer { id, answer: Answer::Failed } if id == "owed").then_some(());
    stand.seen_where("the user hears that it failed, and the link breaks", is_told).await?;
    // While it lives it may go on by itself; what it leaves behind is the hub's.
    let hub = Arc::clone(&stand.hub);
    let early = tokio::time::timeout(BY_ITSELF.min(stand.patience), hub.first_owed()).await;
    let owed = if let Ok(owed) = early {
        owed
    } else {
        stand.stop().await?;
        stand.in_time("what nobody has proven to be heard is given to the hub", hub.first_owed()).await?
    };
    let Some(Owed { word, repeat }) = owed else { return wrong("a word that is owed", "none") };
    check(repeat, "a flag: the user may have heard it", &word)?;
    let ends = (&word.source.address, &word.destination.address);
    check(ends == (&message.destination.address, &message.source.address), "from the addressee to the sender", ends)?;
    check(word.message_id == message.message.id, "the id of the message that failed", &word.message_id)?;
    let cause = word.disposition.failure().map(|failure| failure.cause);
    check(cause == Some(Cause::NotFound), "the cause of its failure", cause)
}

pub(super) async fn crash(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    stand.receive(Manner::Silent).await?;
    let message = stand.text("under way");
    let mut outcome = stand.send(message.clone())?;
    let first = stand.seen_message().await?;
    stand.crash();
    // What the crash left unsettled the hub hears as unconfirmed; what was said before must not be success.
    let said = outcome.try_recv();
    check(!matches!(said, Ok(Outcome::Success(_) | Outcome::HandedOver)), "no success before anybody confirmed", said)?;
    stand.restart().await?;
    stand.receive(Manner::Confirm).await?;
    let again = seen_id(stand, message, true, 0).await?;
    let same = !stand.profile.shows_ids || again.is_none() || again == first.id;
    check(same, format!("the repeat under {:?}", first.id), again)
}
