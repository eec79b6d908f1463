//! What only vectors of presence have: dialogs, documents, and things that are due.

use std::collections::BTreeMap;
use std::time::Duration;

use strict_xml::Element;
use tokio::time::timeout;

use super::{Player, judge};
use crate::given::Dialog;
use crate::pattern::{Known, Pattern};
use crate::sip_peer::Transport;
use crate::sip_text::SipText;
use crate::suite::{ExpectRequest, ExpectStanza, Proto, Stimulus, vector};

pub(super) const SUITE: &str = "presence";

/// The vectors of presence that stand among those of streams.
pub(super) const AMONG_STREAMS: &[&str] = &["XML-29", "XML-30", "XML-31"];

/// Longer than presence takes through the hub, so that what has not come by then was not sent.
const GATHER: Duration = Duration::from_millis(700);

/// The tag of the peer's user in dialogs that the gateway begins.
const PEER_TAG: &str = "ffd2";

const SUBSCRIBE: &str = "<presence from='juliet@example.com' to='romeo@example.net' type='subscribe' id='s0'/>";
const SUBSCRIBED: &str = "<presence from='juliet@example.com' to='romeo@example.net' type='subscribed'/>";

impl Player {
    /// Makes the subscriptions that a vector takes as given.
    pub(super) async fn set_up(&mut self) {
        (self.is_presence, self.answers_notify) = (true, true);
        self.transport = Transport::Tcp;
        self.known.learn("gateway_jid", self.given.component);
        match self.given.presence.dialog {
            Dialog::None => {}
            Dialog::Watching => self.let_juliet_watch().await,
            Dialog::Asked => self.let_romeo_ask("romeo").await,
            Dialog::Watched => self.let_romeo_watch("romeo").await,
            Dialog::WatchedByTwo => {
                self.let_romeo_watch("mercutio").await;
                self.let_romeo_watch("romeo").await;
            }
        }
        self.gather().await;
        self.answers_notify = self.id != "PRS-18";
        self.requests.clear();
        self.responses.clear();
        self.stanzas.clear();
    }

    async fn let_juliet_watch(&mut self) {
        self.xmpp.send(SUBSCRIBE);
        if !self.given.presence.agent {
            let index = self.await_unanswered().await;
            self.answer(index, 200, "OK", &[("Expires".to_owned(), "3600".to_owned())]).await;
            let state = format!("active;expires={}", self.given.presence.expires);
            let headers =
                [("Event", "presence"), ("Subscription-State", &state), ("Content-Type", "application/pidf+xml")];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:romeo@example.net'>\
                <tuple id='ID-dr4hcr0st3lup4c'><status><basic>open</basic></status></tuple></presence>";
            self.notify(1, PEER_TAG, &headers, body).await;
        }
        let subscribed = |stanza: &Element| stanza.attr("type") == Some("subscribed");
        self.until("subscribed", |player| player.stanza_came(subscribed)).await;
    }

    async fn let_romeo_ask(&mut self, user: &str) {
        let first = vector(SUITE, "PRS-01").stimulus.into_iter().next();
        let Some(Stimulus::Raw { raw, .. }) = first else { panic!("PRS-01 is a SUBSCRIBE") };
        let raw = self.presence_stimulus(&raw).await;
        let raw = raw.replace("Accept:", &format!("Expires: {}\r\nAccept:", self.given.presence.expires));
        let raw = if user == "romeo" {
            raw
        } else {
            raw.replace("romeo", user).replace("AA5A8BE5", user).replace("bKs1", user)
        };
        self.responses.clear();
        self.sip.send(Transport::Tcp, self.gateway.sip(Transport::Tcp), &raw).await;
        self.until("a response", |player| !player.responses.is_empty()).await;
        let tag = self.responses[0].message.param("To", "tag").expect("a tag").to_owned();
        self.known.replace("local_tag", tag);
        let asked = format!("{user}@example.net");
        let asks = |stanza: &Element| stanza.attr("type") == Some("subscribe") && stanza.attr("from") == Some(&asked);
        self.until("a request to watch", |player| player.stanza_came(asks)).await;
    }

    async fn let_romeo_watch(&mut self, user: &str) {
        self.let_romeo_ask(user).await;
        self.xmpp.send(&SUBSCRIBED.replace("romeo", user));
        let told = |request: &super::Request| {
            let state = request.message.header("Subscription-State").unwrap_or_default();
            state.starts_with("active") && request.message.second_word().contains(user)
        };
        self.until("an active NOTIFY", |player| player.requests.iter().any(told)).await;
    }

    /// Sends a NOTIFY in the dialog that the gateway has begun.
    pub(super) async fn notify(&mut self, cseq: u32, tag: &str, headers: &BTreeMap<String, String>, body: &str) {
        let is_first = |request: &&super::Request| request.message.method() == "SUBSCRIBE";
        if self.dialog.is_none() {
            self.until("a SUBSCRIBE", |player| player.requests.iter().any(|request| is_first(&request))).await;
            self.dialog = self.requests.iter().find(is_first).map(|request| request.message.clone());
        }
        let subscribe = self.dialog.as_ref().expect("a dialog");
        let header = |name| subscribe.header(name).expect("a dialog's header").split(";tag=").next().unwrap();
        let contact = header("Contact").split(['<', '>']).nth(1).expect("a URI");
        let (from, to, call_id) = (header("To"), subscribe.header("From").unwrap(), header("Call-ID"));
        let route = self.own_route();
        let mut text = format!(
            "NOTIFY {contact} SIP/2.0\r\nVia: SIP/2.0/TCP proxy.example.net;branch=z9hG4bKn{cseq}\r\nMax-Forwards: 70\r\n{route}\
             From: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\n"
        );
        if !headers.contains_key("Contact") {
            text.push_str("Contact: <sip:romeo@192.0.2.10;gr=dr4hcr0st3lup4c>\r\n");
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let before = self.responses.len();
        self.sip.send(Transport::Tcp, self.gateway.sip(Transport::Tcp), &text).await;
        self.until("a response to NOTIFY", |player| player.responses.len() > before).await;
    }

    /// Puts the harness on the way of requests to what the vectors call 192.0.2.10.
    fn own_route(&self) -> String {
        format!("Record-Route: <{};lr>\r\n", self.sip.hop(Transport::Tcp))
    }

    /// What is sent, as this world has it.
    pub(super) async fn presence_stimulus(&mut self, raw: &str) -> String {
        if let Some((start, rest)) = raw.split_once("\r\n") {
            return format!("{start}\r\n{}{rest}", self.own_route());
        }
        if self.id == "PRS-22" {
            self.until("a request to watch", |player| !player.stanzas.is_empty()).await;
        }
        if self.id == "PRS-17" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // A component has no other address than its domain.
        raw.replace("gw.example.net", self.given.component)
    }

    pub(super) async fn answer_notify(&mut self) {
        let open = self.requests.iter().position(|request| !request.answered && request.message.method() == "NOTIFY");
        if let Some(index) = open.filter(|_| self.answers_notify) {
            self.answer(index, 200, "OK", &[]).await;
        }
    }

    /// Waits until something is due.
    pub(super) async fn await_event(&mut self, event: &str) {
        let probe = |stanza: &Element| stanza.attr("type") == Some("probe");
        match event {
            "refresh timer" => {
                self.until("a probe", |player| player.stanza_came(probe)).await;
                if self.id == "PRX-09" {
                    self.xmpp.send("<presence from='juliet@example.com/r' to='example.net'/>");
                }
            }
            "64*T1 without NOTIFY" => {
                // A connection that is not used is closed before, and so is a link whose pings nobody answers.
                self.xmpp.answer_pings();
                self.fence_into_xmpp().await;
                tokio::time::sleep(sip_proto::event::TIMER_N / 2).await;
                self.fence_into_xmpp().await;
                tokio::time::sleep(sip_proto::event::TIMER_N / 2).await;
            }
            "subscription expires" => {}
            other => panic!("{}: unknown event: {other}", self.id),
        }
    }

    /// Takes what comes for a while.
    pub(super) async fn gather(&mut self) {
        let end = tokio::time::Instant::now() + GATHER;
        while let Some(left) = end.checked_duration_since(tokio::time::Instant::now()).filter(|left| !left.is_zero()) {
            // Nothing more comes, or the next one does.
            let _ = timeout(left, self.next_arrival()).await;
            self.answer_notify().await;
        }
    }

    /// Stanzas that are expected come in their order, others between them.
    pub(super) async fn expect_presence(&mut self, expected: &ExpectStanza) {
        let fits = |player: &Self| {
            player
                .stanzas
                .iter()
                .position(|stanza| !stanza.claimed && judge::judge_stanza(stanza, expected, &player.known).is_empty())
        };
        self.until(&format!("{expected:?}"), |player| fits(player).is_some()).await;
        let at = fits(self).expect("it has come");
        self.stanzas.drain(..=at);
    }

    /// Claims requests before the one that is meant.
    pub(super) async fn skip_to_last(&mut self, expected: &ExpectRequest) {
        self.gather().await;
        let last = self.requests.iter().rposition(|request| request.message.method() == expected.method);
        for request in self.requests.iter_mut().take(last.unwrap_or(0)) {
            request.claimed = true;
        }
    }

    pub(super) fn presence_came(&self, side: Proto, of: &str) -> bool {
        let typed =
            |kind: Option<&str>| self.stanza_came(|stanza| stanza.name == *"presence" && stanza.attr("type") == kind);
        let requests = || self.requests.iter().filter(|request| !request.claimed);
        let sent = |method: &str| requests().any(|request| request.message.method() == method);
        match (side, of) {
            (Proto::Xmpp, "presence") => self.stanza_came(|stanza| stanza.name == *"presence"),
            (Proto::Xmpp, "anything") => self.stanza_came(|_| true),
            (Proto::Xmpp, kind) => typed(Some(kind.strip_prefix("presence ").expect("a kind of presence"))),
            (Proto::Sip, "SUBSCRIBE") => sent("SUBSCRIBE"),
            (Proto::Sip, "SUBSCRIBE with Expires > 0") => requests().any(|request| {
                request.message.method() == "SUBSCRIBE" && request.message.header("Expires") != Some("0")
            }),
            (Proto::Sip, "NOTIFY" | "second NOTIFY" | "NOTIFY sent by the gateway in this dialog") => sent("NOTIFY"),
            (Proto::Sip, "NOTIFY to mercutio") => {
                requests().any(|request| request.message.second_word().contains("mercutio"))
            }
            (Proto::Sip, other) => panic!("{}: unknown kind: {other}", self.id),
        }
    }

    pub(super) fn is_new_dialog(&self, index: usize) {
        let (old, new) = (self.dialog.as_ref().expect("a dialog"), &self.requests[index].message);
        assert_ne!(old.header("Call-ID"), new.header("Call-ID"), "{}: Call-ID", self.id);
        assert_ne!(old.param("From", "tag"), new.param("From", "tag"), "{}: From tag", self.id);
    }

    pub(super) async fn expect_presence_property(&mut self, property: &str) {
        match property {
            "SUBSCRIBE in the dialog (To tag present)" | "SUBSCRIBE refresh in the dialog" => {
                self.subscribe_in_dialog(None).await;
            }
            "SUBSCRIBE in the dialog, Expires: 0, To tag present" => self.subscribe_in_dialog(Some("0")).await,
            "a NOTIFY with basic open for tuple ID-b follows (may be coalesced)" => {
                let is_open = |message: &SipText| message.body.contains("ID-b") && message.body.contains(">open<");
                self.until("the state", |player| player.requests.iter().any(|request| is_open(&request.message))).await;
            }
            "at most one NOTIFY in any 5 s window (the first may be immediate), the last one shows xa" => {
                let last =
                    |player: &Self| player.requests.last().is_some_and(|request| request.message.body.contains(">xa<"));
                self.until("the last state", last).await;
                assert_eq!(self.requests.len(), 1, "{}: {}", self.id, self.got());
            }
            "200 or 400 to the NOTIFY; no entity expansion" => {
                let status = self.responses[0].message.second_word();
                assert!(matches!(status, "200" | "400"), "{}: {status}", self.id);
            }
            "one SUBSCRIBE dialog only" => {
                let index = self.await_unanswered().await;
                self.answer(index, 200, "OK", &[("Expires".to_owned(), "3600".to_owned())]).await;
                self.gather().await;
                let asks = self.requests.iter().filter(|request| request.message.method() == "SUBSCRIBE").count();
                assert_eq!(asks, 1, "{}: {}", self.id, self.got());
            }
            other => panic!("{}: unknown property: {other}", self.id),
        }
    }

    async fn subscribe_in_dialog(&mut self, expires: Option<&str>) {
        let is_it = |request: &super::Request| !request.claimed && request.message.method() == "SUBSCRIBE";
        self.until("a SUBSCRIBE", |player| player.requests.iter().any(is_it)).await;
        let index = self.requests.iter().position(is_it).expect("it has come");
        self.requests[index].claimed = true;
        let (first, again) = (self.dialog.as_ref().expect("a dialog"), &self.requests[index].message);
        assert_eq!(again.param("To", "tag"), Some(PEER_TAG), "{}", self.id);
        assert_eq!(again.header("Call-ID"), first.header("Call-ID"), "{}", self.id);
        assert!(expires.is_none_or(|expires| again.header("Expires") == Some(expires)), "{}: {}", self.id, self.got());
    }
}

/// What is wrong at paths of a document: `/a/b`, `//a`, an attribute at the end, the `count()` of any of these.
pub(super) fn judge_xml(body: &str, expected: &[(String, Pattern)], known: &Known) -> Vec<String> {
    let Ok(root) = strict_xml::parse_document(body.as_bytes(), &strict_xml::Limits::default()) else {
        return vec![format!("the body is {body:?}")];
    };
    let wrong = expected.iter().filter_map(|(path, pattern)| {
        let counted = path.strip_prefix("count(").and_then(|rest| rest.strip_suffix(')'));
        let values = values_at(&root, counted.unwrap_or(path));
        let value = if counted.is_some() { Some(values.len().to_string()) } else { values.into_iter().next() };
        let fits = value.as_deref().is_some_and(|value| pattern.matches(value, known));
        (!fits).then(|| format!("{path} is {value:?}"))
    });
    wrong.collect()
}

fn values_at(root: &Element, path: &str) -> Vec<String> {
    let (elements, attribute) = match path.split_once('@') {
        Some((elements, attribute)) => (elements.trim_end_matches('/'), Some(attribute)),
        None => (path, None),
    };
    let name = elements.trim_start_matches('/').rsplit(':').next().unwrap_or_default();
    let (mut all, mut next) = (vec![root], vec![root]);
    while let Some(element) = next.pop() {
        let children: Vec<_> = element.elements().collect();
        all.extend(&children);
        next.extend(children);
    }
    let found = all.into_iter().filter(|element| name.is_empty() || element.name == *name);
    match attribute {
        Some(attribute) => found.filter_map(|element| element.attr(attribute).map(str::to_owned)).collect(),
        None => found.map(|element| element.text().into_owned()).collect(),
    }
}
