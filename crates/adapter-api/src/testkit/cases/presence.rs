//! Presence, for adapters that carry it.

use crate::testkit::network::{Act, Seen};
use crate::testkit::stand::{DEVICE, Fall, Judged, Stand, check};
use impp_model::{
    Address, AuthorizeOperation, Basic, Device, EndReason, Endpoint, Kind, News, NotifyOperation, Operation, Outcome,
    PresenceInfo, PresenceTuple, Show, Standing, SubscribeOperation, SubscriptId, Wish,
};
use std::sync::Arc;
use std::time::Duration;

/// As long as a subscription of SIP usually lasts.
const HOUR: Duration = Duration::from_secs(3600);

/// A stranger asks for the user's presence.
async fn ask(stand: &mut Stand<'_>, wish: Wish) -> Judged {
    stand.needs(Kind::Subscribe)?;
    let operation = SubscribeOperation {
        watcher: Endpoint::bare(stand.stranger(1)),
        target: Endpoint::bare(stand.profile.user.clone()),
        wish,
        subscript_id: "sub-1".into(),
        trans_id: format!("ask-{}", wish.label()).into(),
    };
    let outcome = stand.deliver(Operation::Subscribe(Box::new(operation)))?;
    let outcome = stand.outcome(outcome).await?;
    check(!matches!(outcome, Outcome::Failure(_)), format!("{} accepted", wish.label()), outcome)
}

fn first_wish(stand: &Stand<'_>) -> Wish {
    let refreshed = stand.capabilities().presence.is_some_and(|presence| presence.refreshed);
    if refreshed { Wish::Watch(HOUR) } else { Wish::Standing }
}

async fn asked(stand: &mut Stand<'_>) -> Judged {
    if !stand.profile.asks {
        return Ok(());
    }
    let (wanted, stranger) = (stand.profile.user.clone(), stand.stranger(1));
    stand
        .seen_where("the user is asked", |seen| match seen {
            Seen::Asked { user, watcher } => (user == wanted && watcher == stranger).then_some(()),
            Seen::Message { .. } | Seen::Answer { .. } | Seen::Presence { .. } | Seen::Ended { .. } => None,
        })
        .await
}

/// The user decides; what the hub hears of it: whether the watcher is allowed.
async fn decide(stand: &mut Stand<'_>, allow: bool) -> Result<bool, Fall> {
    let (user, watcher) = (stand.profile.user.clone(), stand.stranger(1));
    if stand.profile.asks {
        stand.act(Act::Authorize { user: user.clone(), watcher: watcher.clone(), allow }).await?;
    } else if !allow {
        return Err(Fall::NotApplicable("everybody may watch there".to_owned()));
    }
    let ours = move |target: &Address, other: &Address| *target == user && *other == watcher;
    stand
        .submitted_where("the hub hears the decision", |submitted| match submitted.operation {
            Operation::Authorize(told) if ours(&told.target.address, &told.watcher.address) => Some(told.allow),
            Operation::Notify(told) if ours(&told.target.address, &told.watcher.address) => match told.standing {
                Standing::Active { .. } => Some(true),
                Standing::Ended { .. } => Some(false),
                Standing::Pending { .. } => None,
            },
            _ => None,
        })
        .await
}

pub(super) async fn subscribe(stand: &mut Stand<'_>) -> Judged {
    let wish = first_wish(stand);
    ask(stand, wish).await?;
    asked(stand).await?;
    let allowed = decide(stand, true).await?;
    check(allowed, "the watcher is allowed", allowed)
}

pub(super) async fn deny(stand: &mut Stand<'_>) -> Judged {
    let wish = first_wish(stand);
    ask(stand, wish).await?;
    asked(stand).await?;
    let allowed = decide(stand, false).await?;
    check(!allowed, "the watcher is refused", allowed)
}

pub(super) async fn refresh(stand: &mut Stand<'_>) -> Judged {
    let wish = first_wish(stand);
    ask(stand, wish).await?;
    asked(stand).await?;
    decide(stand, true).await?;
    let again = if matches!(wish, Wish::Watch(_)) { Wish::Extend(HOUR) } else { Wish::Fetch };
    ask(stand, again).await?;
    // A message behind it tells that nobody is asked again.
    let behind = stand.text("behind");
    let outcome = stand.send(behind)?;
    loop {
        match stand.seen("the message behind the refresh").await? {
            Seen::Message { .. } => break,
            Seen::Asked { .. } => return check(false, "a refresh asks nobody again", "the user was asked again"),
            Seen::Answer { .. } | Seen::Presence { .. } | Seen::Ended { .. } => {}
        }
    }
    stand.outcome(outcome).await.map(drop)
}

/// The user subscribes to a stranger's presence, and the stranger allows it; gives the subscription's id.
async fn begin_watch(stand: &mut Stand<'_>) -> Result<SubscriptId, Fall> {
    stand.needs(Kind::Notify)?;
    let (user, presentity) = (stand.profile.user.clone(), stand.stranger(1));
    stand.act(Act::Watch { user: user.clone(), presentity: presentity.clone() }).await?;
    let id = stand
        .submitted_where("the hub hears of the subscription", |submitted| match submitted.operation {
            Operation::Subscribe(told) => {
                let right = told.watcher.address == user && told.target.address == presentity;
                (right && matches!(told.wish, Wish::Watch(_) | Wish::Standing)).then_some(told.subscript_id)
            }
            _ => None,
        })
        .await?;
    if stand.capabilities().carries(Kind::Authorize) {
        let operation = AuthorizeOperation {
            target: Endpoint::bare(stand.stranger(1)),
            watcher: Endpoint::bare(stand.profile.user.clone()),
            allow: true,
            trans_id: "allow-1".into(),
        };
        let outcome = stand.deliver(Operation::Authorize(Box::new(operation)))?;
        let outcome = stand.outcome(outcome).await?;
        check(!matches!(outcome, Outcome::Failure(_)), "the answer accepted", outcome)?;
    }
    Ok(id)
}

async fn notify(stand: &mut Stand<'_>, id: &SubscriptId, number: u32, standing: Standing, news: News) -> Judged {
    let operation = NotifyOperation {
        target: Endpoint::bare(stand.stranger(1)),
        watcher: Endpoint::bare(stand.profile.user.clone()),
        subscript_id: Some(id.clone()),
        trans_id: format!("notify-{number}").into(),
        standing,
        news,
    };
    let outcome = stand.deliver(Operation::Notify(Box::new(operation)))?;
    let outcome = stand.outcome(outcome).await?;
    check(!matches!(outcome, Outcome::Failure(_)), "the notification accepted", outcome)
}

fn tuple(device: &str, basic: Basic, show: Option<Show>) -> PresenceTuple {
    PresenceTuple { show, ..PresenceTuple::new(Device::new(device).ok(), basic) }
}

/// The state of all devices.
async fn tell(stand: &mut Stand<'_>, id: &SubscriptId, number: u32, tuples: Vec<PresenceTuple>) -> Judged {
    tell_standing(stand, id, number, Standing::Active { expires: Some(HOUR) }, tuples).await
}

/// The state of all devices, in as many notifications as the protocol needs for them.
async fn tell_standing(
    stand: &mut Stand<'_>,
    id: &SubscriptId,
    number: u32,
    standing: Standing,
    tuples: Vec<PresenceTuple>,
) -> Judged {
    if stand.capabilities().presence.is_some_and(|presence| presence.devices) {
        for tuple in tuples {
            notify(stand, id, number, standing.clone(), News::Device(Box::new(tuple))).await?;
        }
        return Ok(());
    }
    let info = PresenceInfo { tuples, ..PresenceInfo::default() };
    notify(stand, id, number, standing, News::Whole(Arc::new(info))).await
}

/// Waits until the user has seen the stranger with, or without, an open device.
async fn sees(stand: &mut Stand<'_>, open: bool) -> Judged {
    let expected = if open { "the user sees the presentity open" } else { "the user sees it closed" };
    stand
        .seen_where(expected, |seen| match seen {
            Seen::Presence { open: devices, .. } => (devices.is_empty() != open).then_some(()),
            Seen::Ended { .. } => (!open).then_some(()),
            Seen::Message { .. } | Seen::Answer { .. } | Seen::Asked { .. } => None,
        })
        .await
}

pub(super) async fn watch(stand: &mut Stand<'_>) -> Judged {
    let id = begin_watch(stand).await?;
    tell(stand, &id, 1, vec![tuple("phone", Basic::Open, Some(Show::Away))]).await?;
    sees(stand, true).await?;
    tell(stand, &id, 2, vec![tuple("phone", Basic::Closed, None)]).await?;
    sees(stand, false).await?;
    let (user, presentity) = (stand.profile.user.clone(), stand.stranger(1));
    stand.act(Act::Unwatch { user, presentity }).await?;
    stand
        .submitted_where("the hub hears that the subscription is over", |submitted| match submitted.operation {
            Operation::Subscribe(told) => matches!(told.wish, Wish::Cancel | Wish::Pause).then_some(()),
            _ => None,
        })
        .await
}

pub(super) async fn expire(stand: &mut Stand<'_>) -> Judged {
    let id = begin_watch(stand).await?;
    tell(stand, &id, 1, vec![tuple("phone", Basic::Open, None)]).await?;
    sees(stand, true).await?;
    // As the hub ends it: nobody is left there.
    let over = Standing::Ended { reason: EndReason::Timeout, retry_after: None };
    tell_standing(stand, &id, 2, over, vec![tuple("phone", Basic::Closed, None)]).await?;
    sees(stand, false).await
}

pub(super) async fn devices(stand: &mut Stand<'_>) -> Judged {
    stand.needs(Kind::Notify)?;
    let user = stand.profile.user.clone();
    stand.act(Act::Connect { user: user.clone(), device: "second".to_owned() }).await?;
    for device in [DEVICE, "second"] {
        publish(stand, device, true).await?;
    }
    publish(stand, "second", false).await?;
    let id = begin_watch(stand).await?;
    tell(stand, &id, 1, vec![tuple("phone", Basic::Open, None), tuple("tablet", Basic::Open, Some(Show::Dnd))]).await?;
    sees(stand, true).await?;
    tell(stand, &id, 2, vec![tuple("phone", Basic::Closed, None), tuple("tablet", Basic::Open, None)]).await?;
    sees(stand, true).await?;
    tell(stand, &id, 3, vec![tuple("phone", Basic::Closed, None), tuple("tablet", Basic::Closed, None)]).await?;
    sees(stand, false).await
}

/// A device of the user tells its state, and the hub hears that of this device.
async fn publish(stand: &mut Stand<'_>, device: &str, open: bool) -> Judged {
    let user = stand.profile.user.clone();
    stand.act(Act::Publish { user: user.clone(), device: device.to_owned(), open, show: None }).await?;
    let expected = format!("the hub hears {device} {}", if open { "open" } else { "closed" });
    let device_is = |told: Option<&Device>| told.is_none_or(|told| told.as_str() == device);
    stand
        .submitted_where(&expected, |submitted| match &submitted.operation {
            Operation::Publish(told) if told.source.address == user => {
                let state = told.state.as_ref();
                let now = state.and_then(|state| state.tuples.iter().find(|tuple| device_is(tuple.device.as_ref())));
                let is_open = now.is_some_and(|tuple| tuple.basic == Basic::Open);
                (device_is(told.source.device.as_ref()) && is_open == open).then_some(())
            }
            Operation::Notify(told) if told.target.address == user => match &told.news {
                News::Whole(info) => (info
                    .tuples
                    .iter()
                    .any(|tuple| device_is(tuple.device.as_ref()) && (tuple.basic == Basic::Open) == open))
                .then_some(()),
                News::Device(tuple) => {
                    (device_is(tuple.device.as_ref()) && (tuple.basic == Basic::Open) == open).then_some(())
                }
                News::Nothing => None,
            },
            _ => None,
        })
        .await
}
