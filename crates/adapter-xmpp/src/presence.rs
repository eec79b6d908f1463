//! Presence stanzas and the operations of RFC 3859, whatever the link: the gateway acts as the server of the users it
//! speaks for (RFC 6121 §3, §4).
//!
//! Nothing is remembered here of who watches whom: that is the hub's. Only questions whether a user is there wait for answers.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use adapter_api::Settle;
use impp_model::{
    AuthorizeOperation, Basic, Cause, Domain, EndReason, Endpoint, Failure, News, NotifyOperation, Operation, Outcome,
    Proof, Side, Standing, SubscribeOperation, SubscriptId, TransId, Wish,
};
use strict_xml::{Element, SharedStr};
use xmpp_proto::contact::ContactInfo;
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza::{Presence, PresenceType};

use crate::link::inbound::FEATURES;
use crate::mapping::address::{AddressError, from_jid, to_jid};
use crate::mapping::error;
use crate::mapping::presence::{self, Unwritable};
use crate::timers::Timers;

/// What a user's subscription is called: there is one for a pair (RFC 6121 §3.1.3).
pub(crate) fn roster() -> SubscriptId {
    static ROSTER: LazyLock<SubscriptId> = LazyLock::new(|| "roster".into());
    ROSTER.clone()
}

/// What the ids of requests for a subscription begin with: an error with it says that there is no such contact.
const REQUEST_ID: &str = "ilsub";

/// After an error that may pass.
const PAUSE: Duration = Duration::from_secs(300);

/// How long a server may take to answer a probe.
const CHECK_PATIENCE: Duration = Duration::from_secs(20);

/// Questions open at once; further ones are answered as if the server did not.
const MAX_CHECKS: usize = 65_536;

/// What a presence stanza asks of the gateway.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    /// An operation for the hub.
    Operation(Box<Operation>),
    /// Word of a user that was asked after: whether it has a session, or else why that is not known.
    Word(Jid, Result<bool, Box<Failure>>),
    /// What it tells cannot be passed on, and its sender is to know.
    Refused(Box<Failure>),
    /// Nothing.
    Nothing,
}

/// What a presence stanza means. `own` says whether a JID is the gateway's.
pub(crate) fn from_stanza(
    stanza: &Presence,
    own: impl Fn(&Jid) -> bool,
    trans_id: TransId,
) -> Result<Received, AddressError> {
    let parse = |jid: Option<&str>| Jid::parse(jid.unwrap_or_default()).map_err(AddressError::from);
    let (from, to) = (parse(stanza.from())?, parse(stanza.to())?);
    if own(&to) {
        return Ok(Received::Word(from.to_bare(), word(stanza)));
    }
    // RFC 6121 §3.1.3: a full JID counts as the bare one.
    let (far, near) = (bare(&from)?, bare(&to)?);
    let subscribe = |wish| {
        let (watcher, target, trans_id) = (far.clone(), near.clone(), trans_id.clone());
        Operation::Subscribe(Box::new(SubscribeOperation { watcher, target, wish, subscript_id: roster(), trans_id }))
    };
    let authorize = |allow| {
        let (target, watcher, trans_id) = (far.clone(), near.clone(), trans_id.clone());
        Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow, trans_id }))
    };
    let notify = |standing, news| {
        let (target, watcher, trans_id) = (far.clone(), near.clone(), trans_id.clone());
        Operation::Notify(Box::new(NotifyOperation { target, watcher, subscript_id: None, trans_id, standing, news }))
    };
    let operation = match stanza.kind() {
        Some(PresenceType::Subscribe) => subscribe(Wish::Standing),
        Some(PresenceType::Unsubscribe) => subscribe(Wish::Cancel),
        Some(PresenceType::Probe) => subscribe(Wish::Fetch),
        Some(PresenceType::Subscribed) => authorize(true),
        Some(PresenceType::Unsubscribed) => authorize(false),
        Some(PresenceType::Error) => match refusal(stanza) {
            Some(standing) => notify(standing, News::Nothing),
            None => return Ok(Received::Nothing),
        },
        Some(PresenceType::Unavailable) | None => match presence::from_stanza(stanza, &from) {
            Ok(Some(mapped)) => notify(Standing::Active { expires: None }, News::Device(Box::new(mapped.value))),
            Ok(None) => return Ok(Received::Nothing),
            Err(protected) => return Ok(Received::Refused(Box::new(protected.failure()))),
        },
    };
    Ok(Received::Operation(Box::new(operation)))
}

fn bare(jid: &Jid) -> Result<Endpoint, AddressError> {
    Ok(Endpoint::bare(from_jid(jid)?.address))
}

/// RFC 8048 §8.1: any answer shows that the server is there; one that is unavailable, that the user is not.
fn word(stanza: &Presence) -> Result<bool, Box<Failure>> {
    match stanza.kind() {
        Some(PresenceType::Unavailable) => Ok(false),
        Some(PresenceType::Error) => Err(Box::new(failure(stanza))),
        Some(
            PresenceType::Probe
            | PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed,
        )
        | None => Ok(true),
    }
}

fn failure(stanza: &Presence) -> Failure {
    stanza.error().map_or_else(|| Failure::new(Side::Far, Cause::Undefined), |error| error::from_stanza_error(&error))
}

/// RFC 6121 §3.1.3: what an error says of a request for a subscription; nothing when it is about another stanza.
fn refusal(stanza: &Presence) -> Option<Standing> {
    stanza.id().filter(|id| id.starts_with(REQUEST_ID))?;
    let passing = matches!(
        failure(stanza).cause,
        Cause::RemoteTimeout | Cause::ResourceConstraint | Cause::InternalError | Cause::RecipientUnavailable
    );
    Some(if passing {
        Standing::Ended { reason: EndReason::Probation, retry_after: Some(PAUSE) }
    } else {
        Standing::Ended { reason: EndReason::NoResource, retry_after: None }
    })
}

/// Whether a failed operation is told to who sent its stanza: those who only ask again by themselves are not.
pub(crate) fn is_told(operation: &Operation) -> bool {
    matches!(operation, Operation::Subscribe(subscribe) if matches!(subscribe.wish, Wish::Standing))
}

/// The stanzas that carry an operation out; [`Wish::Check`] has the probe from `gateway` (RFC 8048 §8.1).
pub(crate) fn to_stanzas(operation: &Operation, gateway: &str) -> Result<Vec<Element>, Box<Failure>> {
    let mapped = match operation {
        Operation::Subscribe(subscribe) => subscription(subscribe, gateway),
        Operation::Authorize(authorize) => {
            let kind = if authorize.allow { PresenceType::Subscribed } else { PresenceType::Unsubscribed };
            stanza(kind, &authorize.target, &authorize.watcher).map(|stanza| vec![stanza]).map_err(Unwritable::from)
        }
        Operation::Notify(notify) => notification(notify),
        Operation::Message(_) | Operation::Disposition(_) | Operation::Composing(_) | Operation::Publish(_) | _ => {
            return Err(Box::new(Failure::new(Side::Ours, Cause::NotImplemented)));
        }
    };
    let stanzas = mapped.map_err(|error| error.failure())?;
    Ok(stanzas.into_iter().map(with_caps).collect())
}

/// What the contacts of other networks can do.
pub(crate) fn contact() -> &'static ContactInfo {
    static CONTACT: LazyLock<ContactInfo> = LazyLock::new(|| ContactInfo::new(FEATURES));
    &CONTACT
}

/// XEP-0115 §5: only who is there can do something, and the gateway can do it for him.
fn with_caps(stanza: Presence) -> Element {
    let available = stanza.kind().is_none();
    let element = stanza.into_element();
    if available { element.with_child(contact().caps()) } else { element }
}

fn subscription(subscribe: &SubscribeOperation, gateway: &str) -> Result<Vec<Presence>, Unwritable> {
    let (watcher, target) = (&subscribe.watcher, &subscribe.target);
    Ok(match subscribe.wish {
        Wish::Watch(_) | Wish::Standing => {
            let id = format!("{REQUEST_ID}{}", subscribe.trans_id);
            vec![stanza(PresenceType::Subscribe, watcher, target)?.with_id(id)]
        }
        Wish::Extend(_) => Vec::new(),
        Wish::Fetch => vec![stanza(PresenceType::Probe, watcher, target)?],
        // RFC 8048 §5.3.3: who watches no longer is away for whom it watched.
        Wish::Pause => vec![stanza(PresenceType::Unavailable, watcher, target)?],
        Wish::Cancel => vec![stanza(PresenceType::Unsubscribe, watcher, target)?],
        Wish::Check => {
            let to = to_jid(&bare_end(target))?;
            let probe = Presence::new(Some(PresenceType::Probe)).with_from(SharedStr::copy(gateway));
            vec![probe.with_to(SharedStr::copy(to.as_str()))]
        }
    })
}

fn notification(notify: &NotifyOperation) -> Result<Vec<Presence>, Unwritable> {
    let (from, to) = (&notify.target.address, bare_end(&notify.watcher));
    match &notify.news {
        // RFC 8048 §5.2.1: a subscription that is pending is no news.
        News::Nothing => Ok(Vec::new()),
        News::Device(tuple) if tuple.device.is_none() && tuple.basic == Basic::Closed => {
            Ok(vec![presence::unavailable(from, &to)?])
        }
        News::Device(tuple) => Ok(vec![presence::to_stanza(tuple, from, &to)?]),
        News::Whole(info) => Ok(presence::to_stanzas(info, from, &to)?.value),
    }
}

/// RFC 6121 §3.1.2: from the bare JID to the bare JID.
fn stanza(kind: PresenceType, from: &Endpoint, to: &Endpoint) -> Result<Presence, AddressError> {
    let (from, to) = (to_jid(&bare_end(from))?, to_jid(&bare_end(to))?);
    Ok(Presence::new(Some(kind)).with_from(SharedStr::copy(from.as_str())).with_to(SharedStr::copy(to.as_str())))
}

fn bare_end(end: &Endpoint) -> Endpoint {
    Endpoint::bare(end.address.clone())
}

/// The domain that a stanza made of the operation comes from.
pub(crate) fn source_domain<'a>(operation: &'a Operation, gateway: &'a Domain) -> &'a Domain {
    match operation {
        Operation::Subscribe(subscribe) if subscribe.wish == Wish::Check => gateway,
        Operation::Subscribe(_) | Operation::Authorize(_) | Operation::Notify(_) => operation.source().address.domain(),
        Operation::Message(_) | Operation::Disposition(_) | Operation::Composing(_) | Operation::Publish(_) | _ => {
            operation.source().address.domain()
        }
    }
}

/// Questions whether a user is there, by bare JID.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    open: BTreeMap<Box<str>, Vec<Settle>>,
    due: Timers<Box<str>>,
}

impl Checks {
    /// Waits for an answer about `user`.
    pub(crate) fn ask(&mut self, user: &str, settle: Settle, now: Instant) {
        if self.open.len() >= MAX_CHECKS {
            return settle.settle(Failure::new(Side::Ours, Cause::Overload));
        }
        let waiting = self.open.entry(user.into()).or_insert_with(|| {
            self.due.set(user.into(), Some(now + CHECK_PATIENCE));
            Vec::new()
        });
        waiting.push(settle);
    }

    /// Takes word of a user.
    pub(crate) fn handle_word(&mut self, user: &Jid, word: &Result<bool, Box<Failure>>) {
        let Some(waiting) = self.open.remove(user.as_str()) else { return };
        self.due.set(user.as_str().into(), None);
        let outcome = match word {
            Ok(true) => Outcome::Success(Proof::Server),
            Ok(false) => Failure::new(Side::Far, Cause::RecipientUnavailable).into(),
            Err(failure) => Outcome::Failure(failure.clone()),
        };
        waiting.into_iter().for_each(|settle| settle.settle(outcome.clone()));
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.due.next()
    }

    /// Ends questions that nobody answers.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(user) = self.due.due(now) {
            for settle in self.open.remove(&user).into_iter().flatten() {
                settle.settle(Failure::new(Side::Far, Cause::RemoteTimeout));
            }
        }
    }

    /// Ends all of them: the link is gone.
    pub(crate) fn end(&mut self) {
        for settle in std::mem::take(self).open.into_values().flatten() {
            settle.settle(Failure::new(Side::Far, Cause::LinkDown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_api::settle_channel;
    use impp_model::PresenceTuple;

    fn read(xml: &str) -> Received {
        let element = strict_xml::parse_document(xml.as_bytes(), &strict_xml::Limits::default()).unwrap();
        let xmpp_proto::stanza::Stanza::Presence(presence) = xmpp_proto::stanza::Stanza::from_element(element).unwrap()
        else {
            panic!("not presence")
        };
        from_stanza(&presence, |jid| jid.as_str() == "sip.example", "t".into()).unwrap()
    }

    fn operation(kind: &str) -> Operation {
        let xml =
            format!("<presence xmlns='jabber:client' from='juliet@x.example/r' to='romeo@sip.example/d' {kind}/>");
        match read(&xml) {
            Received::Operation(operation) => *operation,
            other @ (Received::Word(..) | Received::Refused(_) | Received::Nothing) => panic!("{other:?}"),
        }
    }

    // checks: XE-04, XE-05
    #[test]
    fn rfc3923_s7_protected_presence_is_refused_with_an_error() {
        let xml = "<presence xmlns='jabber:client' from='juliet@x.example/r' to='romeo@sip.example'>\
            <e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>x</e2e></presence>";
        let Received::Refused(failure) = read(xml) else { panic!("not refused") };
        assert_eq!(failure.cause, Cause::ServiceUnavailable);
    }

    fn written(operation: &Operation) -> Vec<(Option<String>, String, String)> {
        let text = |stanza: &Element, name| stanza.attr(name).map(str::to_owned);
        let stanzas = to_stanzas(operation, "sip.example").unwrap();
        stanzas.iter().map(|s| (text(s, "type"), text(s, "from").unwrap(), text(s, "to").unwrap())).collect()
    }

    fn end(address: &str) -> Endpoint {
        Endpoint::bare(address.parse().unwrap())
    }

    fn subscribe(wish: Wish) -> Operation {
        let (watcher, target) = (end("romeo@sip.example"), end("juliet@x.example"));
        Operation::Subscribe(Box::new(SubscribeOperation {
            watcher,
            target,
            wish,
            subscript_id: "s".into(),
            trans_id: "1".into(),
        }))
    }

    // checks: PRS-010, PRS-040, XSU-002, PRS-050
    #[test]
    fn rfc6121_s3_subscription_stanzas_are_operations_between_bare_addresses() {
        for (kind, wish) in [("subscribe", Wish::Standing), ("unsubscribe", Wish::Cancel), ("probe", Wish::Fetch)] {
            let Operation::Subscribe(found) = operation(&format!("type='{kind}'")) else { panic!("{kind}") };
            assert_eq!(
                (found.wish, found.watcher, found.target),
                (wish, end("juliet@x.example"), end("romeo@sip.example"))
            );
        }
        for (kind, allow) in [("subscribed", true), ("unsubscribed", false)] {
            let Operation::Authorize(found) = operation(&format!("type='{kind}'")) else { panic!("{kind}") };
            assert_eq!(
                (found.allow, found.target, found.watcher),
                (allow, end("juliet@x.example"), end("romeo@sip.example"))
            );
        }
        let Operation::Notify(found) = operation("type='unavailable'") else { panic!() };
        let News::Device(tuple) = &found.news else { panic!() };
        assert_eq!((tuple.basic, tuple.device.as_ref().map(|d| d.as_str())), (Basic::Closed, Some("r")));
    }

    // checks: ERR-007, PRS-040
    #[test]
    fn an_error_counts_only_when_it_is_about_a_request_for_a_subscription() {
        let error =
            "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
        let about = |id: &str| {
            let start = format!(
                "<presence xmlns='jabber:client' from='j@x.example' to='r@sip.example' type='error' id='{id}'>"
            );
            read(&(start + error))
        };
        assert_eq!(about("other"), Received::Nothing);
        let Received::Operation(operation) = about("ilsub7") else { panic!() };
        let Operation::Notify(notify) = *operation else { panic!() };
        assert_eq!(notify.standing, Standing::Ended { reason: EndReason::NoResource, retry_after: None });
    }

    // checks: DSC-005, PRS-020, PRS-035, PRS-051, XSU-002, XSU-010
    #[test]
    fn rfc8048_s5_operations_are_stanzas_from_bare_to_bare() {
        let ends = ("romeo@sip.example".to_owned(), "juliet@x.example".to_owned());
        for (wish, kind) in [
            (Wish::Standing, "subscribe"),
            (Wish::Fetch, "probe"),
            (Wish::Pause, "unavailable"),
            (Wish::Cancel, "unsubscribe"),
        ] {
            assert_eq!(written(&subscribe(wish)), [(Some(kind.to_owned()), ends.0.clone(), ends.1.clone())]);
        }
        let check = written(&subscribe(Wish::Check));
        assert_eq!(check, [(Some("probe".to_owned()), "sip.example".to_owned(), ends.1.clone())]);
        let notify = |news| {
            Operation::Notify(Box::new(NotifyOperation {
                target: end("romeo@sip.example"),
                watcher: end("juliet@x.example"),
                subscript_id: None,
                trans_id: "n".into(),
                standing: Standing::Pending { expires: None },
                news,
            }))
        };
        assert!(written(&notify(News::Nothing)).is_empty());
        for (basic, told) in [(Basic::Open, true), (Basic::Closed, false)] {
            let news = News::Device(Box::new(PresenceTuple::new(None, basic)));
            let stanzas = to_stanzas(&notify(news), "sip.example").unwrap();
            assert_eq!(
                stanzas[0].child("c", xmpp_proto::ns::CAPS).is_some(),
                told,
                "only who is there can do something"
            );
        }
        let gone = written(&notify(News::Device(Box::new(PresenceTuple::new(None, Basic::Closed)))));
        assert_eq!(gone, [(Some("unavailable".to_owned()), ends.0, ends.1)]);
    }

    // checks: PRS-015, PRS-061
    #[tokio::test]
    async fn rfc8048_s8_1_a_question_is_answered_by_any_word_of_the_user_or_by_silence() {
        let (mut checks, now) = (Checks::default(), Instant::now());
        let jid = Jid::parse("juliet@x.example").unwrap();
        let mut outcomes = Vec::new();
        for word in [Some(Ok(true)), Some(Ok(false)), None] {
            let (settle, outcome) = settle_channel();
            checks.ask(jid.as_str(), settle, now);
            match word {
                Some(word) => checks.handle_word(&jid, &word),
                None => checks.expire(checks.next_timeout().unwrap()),
            }
            outcomes.push(outcome.await.unwrap().reason());
        }
        assert_eq!(outcomes, ["server", "recipient-unavailable", "remote-server-timeout"]);
    }

    // checks: PRS-061
    #[tokio::test]
    async fn rfc8048_s8_1_as_many_questions_as_there_may_be_end_each_at_its_own_time() {
        let (mut checks, start) = (Checks::default(), Instant::now());
        let asked = |number: usize| start + Duration::from_millis(number as u64);
        let jid = |number: usize| Jid::parse(&format!("u{number}@x.example")).unwrap();
        let ask = |checks: &mut Checks, number| {
            let (settle, outcome) = settle_channel();
            checks.ask(jid(number).as_str(), settle, asked(number));
            outcome
        };
        let outcomes: Vec<_> = (0..MAX_CHECKS).map(|number| ask(&mut checks, number)).collect();
        assert_eq!(ask(&mut checks, MAX_CHECKS).await.unwrap().reason(), "overload");
        for number in (0..MAX_CHECKS).step_by(2) {
            checks.handle_word(&jid(number), &Ok(true));
        }
        for number in (1..MAX_CHECKS).step_by(2) {
            let due = asked(number) + CHECK_PATIENCE;
            assert_eq!(checks.next_timeout(), Some(due), "{number}");
            checks.expire(due);
        }
        assert_eq!(checks.next_timeout(), None);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let reason = if number % 2 == 0 { "server" } else { "remote-server-timeout" };
            assert_eq!(outcome.await.unwrap().reason(), reason, "{number}");
        }
    }
}
