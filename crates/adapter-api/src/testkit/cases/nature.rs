//! What an adapter says of itself.

use crate::testkit::stand::{Judged, Stand, check, wrong};
use crate::{Capabilities, Carries, Examine};
use impp_model::{
    AuthorizeOperation, Basic, Cause, ComposingOperation, ComposingState, Disposition, DispositionOperation, Endpoint,
    Kind, LangText, MaxForwards, NotifyOperation, Operation, Outcome, PresenceInfo, PresenceTuple, Standing,
    SubscribeOperation, Wish, presence::News,
};
use std::sync::Arc;

pub(super) async fn capabilities(stand: &mut Stand<'_>) -> Judged {
    let capabilities = stand.capabilities();
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    check(is_name(&capabilities.protocol), "a protocol name of a-z, 0-9 and -", &capabilities.protocol)?;
    if let Some(label) = &capabilities.srv_label {
        check(label.strip_prefix('_').is_some_and(is_name), "an SRV label as _sip", label)?;
    }
    check(!capabilities.kinds.is_empty(), "at least one kind of operation", &capabilities.kinds)?;
    let watches = capabilities.kinds.iter().any(|kind| kind.is_presence());
    check(
        watches == capabilities.presence.is_some(),
        "`presence` exactly where kinds of presence are listed",
        capabilities,
    )?;
    check(capabilities.max_content != Some(0), "room for content", capabilities.max_content)?;
    let mut names: Vec<_> = capabilities.fields.iter().map(|field| &field.field).collect();
    names.sort_unstable();
    names.dedup();
    check(names.len() == capabilities.fields.len(), "each field once", &capabilities.fields)?;
    let json = |capabilities: &Capabilities| serde_json::to_string(capabilities).unwrap_or_default();
    let read: Result<Capabilities, _> = serde_json::from_str(&json(capabilities));
    check(
        read.is_ok_and(|read| json(&read) == json(capabilities)),
        "capabilities that survive JSON",
        json(capabilities),
    )?;
    let again = stand.capabilities();
    check(json(again) == json(capabilities), "the same capabilities at each call", json(again))
}

pub(super) async fn kinds(stand: &mut Stand<'_>) -> Judged {
    let (watcher, target) = (Endpoint::bare(stand.stranger(1)), Endpoint::bare(stand.profile.user.clone()));
    let mut refused = 0;
    for operation in one_of_each(watcher, target) {
        let kind = operation.kind();
        if stand.capabilities().carries(kind) {
            continue;
        }
        refused += 1;
        let outcome = stand.deliver(operation)?;
        match stand.outcome(outcome).await? {
            Outcome::Failure(failure) if failure.cause == Cause::NotImplemented => {}
            other @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant | Outcome::Failure(_)) => {
                return wrong(format!("{}: feature-not-implemented", kind.label()), format!("{other:?}"));
            }
        }
    }
    if refused == 0 {
        return Err(crate::testkit::Fall::NotApplicable("it lists every kind".to_owned()));
    }
    Ok(())
}

/// An operation of each kind that the kit otherwise does not send.
fn one_of_each(watcher: Endpoint, target: Endpoint) -> Vec<Operation> {
    let accepted = impp_model::DateTime::parse("2026-01-01T00:00:00Z").ok();
    let mut operations = vec![
        Operation::Composing(Box::new(ComposingOperation {
            source: watcher.clone(),
            destination: target.clone(),
            max_forwards: MaxForwards::INITIAL,
            thread: None,
            trans_id: "c1".into(),
            state: ComposingState::Active,
            refresh: None,
            content_type: None,
        })),
        Operation::Subscribe(Box::new(SubscribeOperation {
            watcher: watcher.clone(),
            target: target.clone(),
            wish: Wish::Standing,
            subscript_id: "s1".into(),
            trans_id: "s1".into(),
        })),
        Operation::Notify(Box::new(NotifyOperation {
            target: watcher.clone(),
            watcher: target.clone(),
            subscript_id: None,
            trans_id: "n1".into(),
            standing: Standing::Active { expires: None },
            news: News::Whole(Arc::new(PresenceInfo {
                tuples: vec![PresenceTuple::new(None, Basic::Open)],
                ..PresenceInfo::default()
            })),
        })),
        Operation::Authorize(Box::new(AuthorizeOperation {
            target: watcher.clone(),
            watcher: target.clone(),
            allow: true,
            trans_id: "a1".into(),
        })),
    ];
    operations.extend(accepted.map(|accepted| {
        Operation::Disposition(Box::new(DispositionOperation {
            source: watcher,
            destination: target,
            max_forwards: MaxForwards::INITIAL,
            message_id: Some("m1".into()),
            trans_id: "d1".into(),
            accepted,
            disposition: Disposition::Delivered,
            and_earlier: false,
            return_path: None,
        }))
    }));
    operations
}

pub(super) async fn examine(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Message)?;
    let mut full = stand.text("dry");
    full.message.thread = Some("thread".into());
    full.message.subjects =
        vec![LangText { language: Some("en".into()), text: "a".into() }, LangText { language: None, text: "b".into() }];
    let operation = Box::new(Operation::Message(Box::new(full)));
    let request = Examine::DryRun { operation, hop: Arc::new(stand.network.hop()) };
    let findings = stand.in_time("examine answers", stand.adapter().examine(request)).await?;
    check(findings.refused.is_none(), "a dry run of a message that would be sent", &findings)?;
    for (names, support) in [(&findings.degraded, Carries::Degraded), (&findings.dropped, Carries::Dropped)] {
        for name in names {
            let listed =
                stand.capabilities().fields.iter().any(|field| field.field == *name && field.support == support);
            check(listed, format!("the capabilities list {name:?} as {support:?}"), &stand.capabilities().fields)?;
        }
    }
    // Nothing was sent if the next message is the first to be seen.
    let wet = stand.text("wet");
    let outcome = stand.send(wet)?;
    let seen = stand.seen_message().await?;
    check(&seen.body[..] == b"wet", "a dry run sends nothing", &seen)?;
    stand.outcome(outcome).await.map(drop)
}
