//! Messages through a network that works.

use crate::testkit::network::{Act, Answer, Manner, Seen};
use crate::testkit::stand::{Fall, Judged, Stand, address, check, wrong};
use crate::{Acknowledgement, SourceProof, SpeaksFor};
use impp_model::{Cause, Failure, Kind, MessageOperation, Operation, Outcome, Proof, Retry, Side};
use std::time::Duration;

/// Local parts that mappings get wrong: each kind of character that some protocol forbids, quotes or folds.
const HARD_ADDRESSES: [&str; 8] = ["alice", "o'malley", "a.b+c", "x#y", "under_score", "a=b", "100%sure", "jürgen"];

pub(super) async fn addresses(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    for local in HARD_ADDRESSES {
        let stranger = address(&format!("{local}@kit.example"));
        let mut message = stand.text("to you");
        message.source.address = stranger.clone();
        let outcome = stand.send(message)?;
        if let Outcome::Failure(failure) = stand.outcome(outcome).await? {
            // Some addresses have no form in some protocols; but that is said.
            check(
                failure.cause == Cause::AddressMalformed,
                format!("{local}: carried, or address-malformed"),
                failure,
            )?;
            continue;
        }
        let seen = stand.seen_message().await?;
        check(seen.from == stranger, format!("from {stranger}"), &seen)?;
        let from = stand.profile.user.clone();
        let (id, content_type) = (format!("back-{local}"), "text/plain".to_owned());
        stand.act(Act::Send { from, to: seen.from, id, content_type, body: "back".into() }).await?;
        let back = stand.submitted_message().await?;
        check(back.destination.address == stranger, format!("an answer to {stranger}"), &back.destination)?;
        check(back.source.address == stand.profile.user, format!("from {}", stand.profile.user), &back.source)?;
    }
    Ok(())
}

pub(super) async fn delivered(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let message = stand.text("hello");
    let outcome = stand.send(message)?;
    let seen = stand.seen_message().await?;
    check(seen.to == stand.profile.user, format!("a message for {}", stand.profile.user), &seen)?;
    check(&seen.body[..] == b"hello", "the body as it was", &seen)?;
    let outcome = stand.outcome(outcome).await?;
    let right = match stand.capabilities().acknowledgement {
        Acknowledgement::Answer => matches!(outcome, Outcome::Success(_)),
        Acknowledgement::Barrier => outcome == Outcome::Success(Proof::Server),
        Acknowledgement::Device => outcome == Outcome::Success(Proof::Recipient),
        Acknowledgement::None => outcome == Outcome::HandedOver,
    };
    check(right, format!("an outcome that fits acknowledgement {:?}", stand.capabilities().acknowledgement), outcome)
}

pub(super) async fn refused(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let causes = stand.profile.refusals.clone();
    if causes.is_empty() {
        return Err(Fall::NotApplicable("nobody there can refuse a message".to_owned()));
    }
    for cause in causes {
        stand.receive(Manner::Refuse(cause)).await?;
        let message = stand.text("no");
        let outcome = stand.send(message)?;
        match stand.outcome(outcome).await? {
            Outcome::Failure(failure) => {
                check(failure.cause == cause, format!("failure {cause}"), &failure)?;
                let again = failure.retry != Retry::Never;
                let usual = cause.usual_retry() != Retry::Never;
                check(
                    again == usual || failure.native.is_some(),
                    format!("retry {:?}", cause.usual_retry()),
                    &failure,
                )?;
            }
            other @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant) => {
                return wrong(format!("failure {cause}"), format!("{other:?}"));
            }
        }
    }
    Ok(())
}

pub(super) async fn answers(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let failure = |side, cause| Outcome::from(Failure::new(side, cause));
    let told = [
        (Outcome::Success(Proof::Recipient), &[Answer::Delivered, Answer::Accepted][..]),
        (Outcome::Success(Proof::Server), &[Answer::Delivered, Answer::Accepted]),
        (Outcome::Indeterminant, &[Answer::Accepted]),
        (Outcome::HandedOver, &[Answer::Accepted]),
        (failure(Side::Far, Cause::NotFound), &[Answer::Failed]),
        (failure(Side::Ours, Cause::Overload), &[Answer::Failed]),
        (failure(Side::Near, Cause::NotAcceptable), &[Answer::Failed]),
        (failure(Side::Far, Cause::Undefined), &[Answer::Failed]),
    ];
    for (number, (outcome, right)) in told.into_iter().enumerate() {
        if !stand.capabilities().answers_each && right != [Answer::Failed] {
            continue;
        }
        stand.hub.answers(Some(outcome.clone()));
        let wanted = format!("answer-{number}");
        stand.user_sends(&wanted, "text/plain", "question").await?;
        let expected = format!("one of {right:?} for {outcome:?}");
        let answer = stand
            .seen_where(&expected, |seen| match seen {
                Seen::Answer { id, answer } if id == wanted => Some(answer),
                Seen::Answer { .. } | Seen::Message { .. } | Seen::Asked { .. } => None,
                Seen::Presence { .. } | Seen::Ended { .. } => None,
            })
            .await?;
        check(right.contains(&answer), expected, answer)?;
    }
    Ok(())
}

pub(super) async fn provenance(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    stand.user_sends("proven", "text/plain", "it is me").await?;
    let (source, provenance) = stand
        .submitted_where("the message is submitted", |submitted| match submitted.operation {
            Operation::Message(message) => Some((message.source.address, submitted.provenance)),
            _ => None,
        })
        .await?;
    let speaks = match &provenance.speaks_for {
        SpeaksFor::Nobody => false,
        SpeaksFor::Address(address) => *address == source,
        SpeaksFor::Domains(domains) => domains.contains(source.domain()),
        SpeaksFor::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(source.domain())),
    };
    check(speaks, "the peer may speak for the source", &provenance)?;
    check(provenance.proof != SourceProof::None, "the peer is authenticated somehow", &provenance)?;
    check(!provenance.peer.contains('@'), "the peer is a domain or a host, never a user", &provenance.peer)
}

/// As many messages as show a race, few enough for a slow network.
const MANY: usize = 40;

pub(super) async fn order_out(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let mut outcomes = Vec::new();
    for number in 0..MANY {
        let message = stand.text(&number.to_string());
        outcomes.push(stand.send(message)?);
    }
    for number in 0..MANY {
        let seen = stand.seen_message().await?;
        check(seen.body == number.to_string().as_bytes(), format!("message {number} next"), &seen)?;
    }
    for outcome in outcomes {
        let outcome = stand.outcome(outcome).await?;
        check(!matches!(outcome, Outcome::Failure(_)), "each of them delivered", outcome)?;
    }
    Ok(())
}

pub(super) async fn order_in(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    for number in 0..MANY {
        stand.user_sends(&format!("in-{number}"), "text/plain", number.to_string()).await?;
    }
    for number in 0..MANY {
        let submitted = stand.submitted_message().await?;
        let body = &submitted.message.content.octets;
        check(*body == number.to_string().as_bytes(), format!("message {number} next"), body)?;
    }
    Ok(())
}

pub(super) async fn repeat_out(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    if !stand.profile.shows_ids {
        return Err(Fall::NotApplicable("its users see no ids".to_owned()));
    }
    let message = stand.text("once");
    let first = seen_id(stand, message.clone(), false, 0).await?;
    check(first.is_some(), "an id on the far side", &first)?;
    let repeat = seen_id(stand, message.clone(), true, 0).await?;
    check(repeat.is_none() || repeat == first, format!("the repeat under {first:?}, or suppressed"), &repeat)?;
    if !stand.profile.remembers_ids {
        return Ok(());
    }
    let edition = seen_id(stand, message, false, 1).await?;
    check(edition.is_some() && edition != first, "another id for another edition", &edition)
}

/// The id under which the network sees a message; none when it shows that message no more.
pub(super) async fn seen_id(
    stand: &mut Stand<'_>,
    message: MessageOperation,
    repeat: bool,
    edition: u32,
) -> Result<Option<String>, Fall> {
    let (mut delivery, outcome) = stand.delivery(Operation::Message(Box::new(message)), stand.patience);
    (delivery.repeat, delivery.edition) = (repeat, edition);
    if stand.adapter().deliver(delivery).is_err() {
        return wrong("a queue with room for one delivery", "Full");
    }
    // A message behind it tells that it is not to come.
    let behind = stand.text("behind");
    let second = stand.send(behind)?;
    let mut id = None;
    loop {
        let seen = stand.seen_message().await?;
        if &seen.body[..] == b"behind" {
            break;
        }
        id = seen.id;
    }
    for outcome in [outcome, second] {
        let outcome = stand.outcome(outcome).await?;
        check(!matches!(outcome, Outcome::Failure(_)), "delivered", outcome)?;
    }
    Ok(id)
}

pub(super) async fn repeat_in(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    for (id, body) in [("twice", "same"), ("twice", "same"), ("after", "other")] {
        stand.user_sends(id, "text/plain", body).await?;
    }
    let mut ids = Vec::new();
    loop {
        let submitted = stand.submitted_message().await?;
        if &submitted.message.content.octets[..] == b"other" {
            break;
        }
        ids.push(submitted.carried_id().into_owned());
    }
    // Once, if the adapter knows the repeat; twice under one id, and the hub knows it.
    let known = ids.len() == 1 || (ids.len() == 2 && ids.first() == ids.last());
    check(known, "one submission, or two of one carried id, by which the hub knows a repeat", &ids)
}

/// Long enough for a network on this machine to confirm, short enough to wait for.
pub(super) const A_WHILE: Duration = Duration::from_millis(300);
