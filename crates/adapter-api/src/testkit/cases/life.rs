//! The life of an adapter: restart and end.

use super::messages::{A_WHILE, seen_id};
use crate::testkit::network::Manner;
use crate::testkit::stand::{Judged, Stand, check};
use impp_model::{Kind, Operation, Outcome};

pub(super) async fn restart(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let message = stand.text("before");
    let first = seen_id(stand, message.clone(), false, 0).await?;
    stand.stop().await?;
    stand.restart().await?;
    let again = seen_id(stand, message, true, 0).await?;
    let same = !stand.profile.shows_ids || again.is_none() || again == first;
    check(same, format!("the repeat under {first:?}"), again)?;
    stand.user_sends("after-restart", "text/plain", "still here").await?;
    let submitted = stand.submitted_message().await?;
    check(submitted.message.content.as_text() == Some("still here"), "messages after a restart", &submitted.message)
}

pub(super) async fn shutdown(stand: &mut Stand<'_>) -> Judged {
    let mut waiting = None;
    if stand.capabilities().carries(Kind::Message) {
        stand.receive(Manner::Silent).await?;
        let message = stand.text("at the end");
        waiting = Some(stand.send(message)?);
    }
    stand.stop().await?;
    if let Some(outcome) = waiting {
        let outcome = stand.outcome(outcome).await?;
        check(!matches!(outcome, Outcome::Success(_)), "an unconfirmed delivery is settled, not as success", outcome)?;
        let late = stand.text("too late");
        let (delivery, outcome) = stand.delivery(Operation::Message(Box::new(late)), A_WHILE);
        // `Full` says it as well as an outcome does.
        if stand.adapter().deliver(delivery).is_ok() {
            let outcome = stand.outcome(outcome).await?;
            check(!matches!(outcome, Outcome::Success(_)), "no success after the end", outcome)?;
        }
    }
    Ok(())
}
