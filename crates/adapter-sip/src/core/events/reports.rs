//! What the hub is told of presentities of this network: of a pair one thing at a time, and again what it could not take.
//!
//! No watcher is left with an older state in silence: what the hub has no room for is told again until it takes it, or something
//! newer of the same pair. There are no more of these than dialogs.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use adapter_api::Token;
use impp_model::{
    Address, AuthorizeOperation, Endpoint, News, NotifyOperation, Operation, Outcome, Retry, Standing, TransId,
};
use sip_proto::header_id::HeaderId;
use sip_proto::transaction::Handle;

use super::EventId;
use crate::core::Core;
use crate::core::inbound::OVERLOAD_PAUSE;

/// Something that the hub is to know of a presentity and a watcher of it.
#[derive(Debug)]
pub(super) struct Report {
    watcher: Endpoint,
    target: Endpoint,
    said: Said,
    /// The NOTIFY requests that are answered by what becomes of it.
    requests: Vec<Handle>,
}

#[derive(Debug)]
enum Said {
    State(Standing, News),
    /// The presentity refuses the watcher.
    Denied,
}

/// The reports that the hub has not settled, and those that it is to hear again.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pairs: HashMap<Pair, Slot>,
    under_way: HashMap<Token, Report>,
    dues: BTreeMap<Due, Pair>,
    last: Token,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pair {
    watcher: Address,
    target: Address,
}

/// What is with a pair.
#[derive(Debug)]
enum Slot {
    /// The hub has one, and another is to follow.
    UnderWay(Token, Option<Box<Report>>),
    /// The hub had no room for it.
    Waiting(Due, Box<Report>),
}

/// When something is told again; the number tells those of one moment apart.
type Due = (Instant, Token);

/// Before the hub hears again what it had no room for: as long as its sender is asked to wait.
const PAUSE: Duration = Duration::from_secs(5);

impl Report {
    /// How a subscription stands.
    pub(super) fn state(watcher: Endpoint, target: Endpoint, standing: Standing, news: News) -> Self {
        Self { watcher, target, said: Said::State(standing, news), requests: Vec::new() }
    }

    /// The presentity refuses the watcher.
    pub(super) fn denied(watcher: Endpoint, target: Endpoint) -> Self {
        Self { watcher, target, said: Said::Denied, requests: Vec::new() }
    }

    /// With the NOTIFY that is answered by what becomes of it.
    pub(super) fn answering(mut self, request: Option<Handle>) -> Self {
        self.requests.extend(request);
        self
    }

    fn pair(&self) -> Pair {
        Pair { watcher: self.watcher.address.clone(), target: self.target.address.clone() }
    }

    /// What stands for this one and for an earlier one. RFC 3856 §6.8: without a document the earlier one's stays true.
    fn after(mut self, earlier: Self) -> Self {
        if let (Said::State(_, news @ News::Nothing), Said::State(_, before)) = (&mut self.said, earlier.said) {
            *news = before;
        }
        self.requests.extend(earlier.requests);
        self
    }

    fn operation(&self, trans_id: TransId) -> Operation {
        let (watcher, target) = (self.watcher.clone(), self.target.clone());
        match &self.said {
            Said::State(standing, news) => {
                let (standing, news) = (standing.clone(), news.clone());
                let notify = NotifyOperation { target, watcher, subscript_id: None, trans_id, standing, news };
                Operation::Notify(Box::new(notify))
            }
            Said::Denied => {
                Operation::Authorize(Box::new(AuthorizeOperation { target, watcher, allow: false, trans_id }))
            }
        }
    }
}

impl Reports {
    /// When something is to be told again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.dues.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes a report; the token under which it goes to the hub, if it does at once.
    fn push(&mut self, report: Report) -> Option<Token> {
        let pair = report.pair();
        let report = match self.pairs.remove(&pair) {
            Some(Slot::UnderWay(token, next)) => {
                let next = match next {
                    Some(earlier) => report.after(*earlier),
                    None => report,
                };
                self.pairs.insert(pair, Slot::UnderWay(token, Some(Box::new(next))));
                return None;
            }
            Some(Slot::Waiting(due, earlier)) => {
                self.dues.remove(&due);
                report.after(*earlier)
            }
            None => report,
        };
        Some(self.start(pair, report))
    }

    fn start(&mut self, pair: Pair, report: Report) -> Token {
        self.last += 1;
        self.under_way.insert(self.last, report);
        self.pairs.insert(pair, Slot::UnderWay(self.last, None));
        self.last
    }

    /// Takes what became of a report: the requests that wait for it, and the token of what goes to the hub next.
    fn settle(&mut self, token: Token, refused_for_now: bool, now: Instant) -> (Vec<Handle>, Option<Token>) {
        let Some(mut report) = self.under_way.remove(&token) else { return (Vec::new(), None) };
        let mut requests = std::mem::take(&mut report.requests);
        let pair = report.pair();
        let next = match self.pairs.remove(&pair) {
            Some(Slot::UnderWay(own, next)) if own == token => next,
            // It was void before it was settled.
            Some(other) => {
                self.pairs.insert(pair, other);
                return (requests, None);
            }
            None => return (requests, None),
        };
        if !refused_for_now {
            return (requests, next.map(|next| self.start(pair, *next)));
        }
        let mut report = match next {
            Some(next) => next.after(report),
            None => report,
        };
        requests.append(&mut report.requests);
        self.last += 1;
        let due = (now + PAUSE, self.last);
        self.dues.insert(due, pair.clone());
        self.pairs.insert(pair, Slot::Waiting(due, Box::new(report)));
        (requests, None)
    }

    /// The token of something that is to be told again.
    fn pop_due(&mut self, now: Instant) -> Option<Token> {
        if self.poll_timeout()? > now {
            return None;
        }
        let (_, pair) = self.dues.pop_first()?;
        match self.pairs.remove(&pair)? {
            Slot::Waiting(_, report) => Some(self.start(pair, *report)),
            slot @ Slot::UnderWay(..) => {
                self.pairs.insert(pair, slot);
                None
            }
        }
    }

    /// Forgets what the hub has not been told of a pair; the requests that wait for that.
    fn forget(&mut self, pair: &Pair) -> Vec<Handle> {
        match self.pairs.remove(pair) {
            Some(Slot::UnderWay(_, next)) => next.map(|next| next.requests).unwrap_or_default(),
            Some(Slot::Waiting(due, report)) => {
                self.dues.remove(&due);
                report.requests
            }
            None => Vec::new(),
        }
    }
}

impl Core {
    /// Tells the hub of a presentity here.
    pub(super) fn tell_hub(&mut self, report: Report) {
        if let Some(token) = self.events.reports.push(report) {
            self.submit_report(token);
        }
    }

    fn submit_report(&mut self, token: Token) {
        let trans_id = self.events.trans_id();
        let Some(report) = self.events.reports.under_way.get(&token) else { return };
        let provenance = self.by_dialog(&report.target);
        self.hub.submit(report.operation(trans_id), provenance, self.answers.settle_report(token));
    }

    /// Takes what the hub says of a report.
    pub(in crate::core) fn handle_report_answer(&mut self, token: Token, outcome: &Outcome, now: Instant) {
        let refused_for_now = match outcome {
            Outcome::Failure(failure) => failure.retry != Retry::Never,
            Outcome::Indeterminant => true,
            Outcome::Success(_) | Outcome::HandedOver => false,
        };
        let (requests, next) = self.events.reports.settle(token, refused_for_now, now);
        for request in requests {
            self.answer_notify(request, outcome, refused_for_now, now);
        }
        if let Some(next) = next {
            self.submit_report(next);
        }
    }

    /// Tells the hub again what it had no room for.
    pub(super) fn report_again(&mut self, now: Instant) {
        while let Some(token) = self.events.reports.pop_due(now) {
            self.submit_report(token);
        }
    }

    /// The hub gives a subscription up: what it has not heard of it must not count for a later one.
    pub(super) fn forget_report(&mut self, id: &EventId, now: Instant) {
        let dialog = self.events.presentities.get(id).and_then(|watched| watched.dialog.open());
        let Some(dialog) = dialog else { return };
        let pair = Pair { watcher: dialog.watcher.address, target: dialog.target.address };
        for request in self.events.reports.forget(&pair) {
            self.answer_notify(request, &Outcome::HandedOver, false, now);
        }
    }

    /// RFC 6665 §4.1.3: a NOTIFY is answered by what became of what it says.
    fn answer_notify(&mut self, request: Handle, outcome: &Outcome, refused_for_now: bool, now: Instant) {
        let Some(pending) = self.server.user(request) else { return };
        let response = match outcome {
            _ if refused_for_now => pending.response(503).header(HeaderId::RetryAfter, OVERLOAD_PAUSE),
            Outcome::Failure(_) => pending.answer(outcome),
            Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => pending.response(200),
        };
        let response = pending.encode(&response);
        if self.server.respond(request, response, now).is_some() {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its origin once")]
mod tests {
    use super::*;
    use impp_model::{EndReason, PresenceInfo};
    use std::sync::Arc;

    fn end(address: &str) -> Endpoint {
        Endpoint::bare(address.parse().unwrap())
    }

    fn report(news: News) -> Report {
        Report::state(end("w@a.example"), end("t@b.example"), Standing::Active { expires: None }, news)
    }

    fn document() -> News {
        News::Whole(Arc::new(PresenceInfo::default()))
    }

    fn news(reports: &Reports, token: Token) -> (Standing, News) {
        match &reports.under_way.get(&token).unwrap().said {
            Said::State(standing, news) => (standing.clone(), news.clone()),
            Said::Denied => panic!("not a state"),
        }
    }

    // checks: EVT-036
    #[test]
    fn rfc3856_s6_10_of_a_pair_one_report_is_under_way_and_the_newest_follows() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let first = reports.push(report(News::Nothing)).unwrap();
        assert_eq!(reports.push(report(document())), None);
        assert_eq!(reports.push(report(News::Nothing)), None);
        let other = Report::denied(end("v@a.example"), end("t@b.example"));
        assert!(reports.push(other).is_some(), "another pair does not wait for it");
        let (_, next) = reports.settle(first, false, now);
        assert_eq!(news(&reports, next.unwrap()).1, document(), "without a document the one before it stays");
        assert_eq!(reports.settle(next.unwrap(), false, now).1, None);
    }

    // checks: EVT-036
    #[test]
    fn what_the_hub_has_no_room_for_is_told_again_or_what_is_newer() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let first = reports.push(report(document())).unwrap();
        reports.settle(first, true, now);
        assert_eq!((reports.poll_timeout(), reports.pop_due(now)), (Some(now + PAUSE), None));
        let again = reports.pop_due(now + PAUSE).unwrap();
        assert_eq!(news(&reports, again).1, document());
        reports.settle(again, true, now);
        let over = Standing::Ended { reason: EndReason::Unknown, retry_after: None };
        let last = Report::state(end("w@a.example"), end("t@b.example"), over.clone(), News::Nothing);
        let at_once = reports.push(last).unwrap();
        assert_eq!((news(&reports, at_once).0, reports.poll_timeout()), (over, None));
        reports.settle(at_once, false, now);
        assert!(reports.pairs.is_empty() && reports.under_way.is_empty() && reports.dues.is_empty());
    }

    // checks: EVT-036
    #[test]
    fn what_is_void_is_not_told_again() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let pair = report(News::Nothing).pair();
        let first = reports.push(report(document())).unwrap();
        reports.push(report(document()));
        reports.forget(&pair);
        let second = reports.push(report(News::Nothing)).unwrap();
        reports.settle(first, true, now);
        assert_eq!(reports.poll_timeout(), None);
        reports.settle(second, true, now);
        reports.forget(&pair);
        assert!(reports.pairs.is_empty() && reports.under_way.is_empty() && reports.dues.is_empty());
    }
}
