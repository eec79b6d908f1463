//! Shows that something did not come: a message sent after it comes, and nothing before it.

use strict_xml::Element;

use super::Player;
use crate::given::SIP_DOMAIN;
use crate::suite::{Expect, ExpectStanza, Proto, Stimulus, Vector};

impl Player {
    /// Nothing of that kind has come, and nothing is on its way.
    pub(super) async fn expect_none(&mut self, side: Proto, of: &str, until: Option<&str>) {
        match side {
            Proto::Xmpp => self.fence_into_xmpp().await,
            Proto::Sip => self.fence_into_sip().await,
        }
        if self.is_presence {
            self.gather().await;
        }
        let came = match (side, of) {
            (side, of) if self.is_presence => self.presence_came(side, of),
            (Proto::Xmpp, "anything" | "stanza") => self.stanza_came(|_| true),
            (Proto::Xmpp, "message") => self.stanza_came(|stanza| stanza.name == *"message"),
            (Proto::Xmpp, "message with <received/>") => {
                self.stanza_came(|stanza| stanza.elements().any(|child| child.name == *"received"))
            }
            (Proto::Sip, "anything") => {
                self.request_came("") || self.responses.iter().any(|response| !response.claimed)
            }
            (Proto::Xmpp, "error") => self.stanza_came(|stanza| stanza.attr("type") == Some("error")),
            (Proto::Xmpp, "composing") => {
                self.stanza_came(|stanza| stanza.elements().any(|child| child.name == *"composing"))
            }
            (Proto::Xmpp, "message with body MIIB") => {
                self.stanza_came(|stanza| stanza.elements().any(|child| child.text() == "MIIB"))
            }
            (Proto::Sip, "MESSAGE" | "second MESSAGE" | "MESSAGE with empty text" | "second isComposing MESSAGE") => {
                self.request_came("MESSAGE ")
            }
            (Proto::Sip, "MESSAGE with Content-Type text/plain") => {
                let plain = |value: Option<&str>| value.is_some_and(|value| value.starts_with("text/plain"));
                self.requests.iter().any(|request| !request.claimed && plain(request.message.header("Content-Type")))
            }
            (side, other) => panic!("{}: unknown kind on {side:?}: {other}", self.id),
        };
        assert!(!came, "{}: no {of} expected, got\n{}", self.id, self.got());
        match until {
            // How long it waits is seen in virtual time (PRL-014).
            None | Some("60 s") => {}
            Some("final response or timeout of the first") => {
                let first = self.await_unanswered().await;
                self.answer(first, 200, "OK", &[]).await;
                self.until("a second request", |player| player.request_came("MESSAGE ")).await;
            }
            Some(other) => panic!("{}: unknown end: {other}", self.id),
        }
    }

    /// Exactly `count` stanzas like `expected` have come.
    pub(super) async fn expect_no_more_than(&mut self, count: Option<usize>, expected: &ExpectStanza) {
        let Some(count) = count else { return };
        self.fence_into_xmpp().await;
        let alike = self.stanzas.iter().filter(|stanza| stanza.element.name == *expected.name).count();
        assert_eq!(alike, count, "{}: number of {}, got\n{}", self.id, expected.name, self.got());
    }

    /// No stanza, response or, where the SIP side began, request has come that no expectation speaks of.
    pub(super) async fn expect_nothing_else(&mut self, vector: &Vector) {
        let can_fence = !self.given.mute_xmpp && !self.given.digest && self.given.component == SIP_DOMAIN;
        if can_fence {
            self.fence_into_xmpp().await;
        }
        let began_at_sip =
            !vector.stimulus.iter().any(|stimulus| matches!(stimulus, Stimulus::Raw { proto: Proto::Xmpp, .. }));
        let only_properties = vector.expect.iter().all(|expect| matches!(expect, Expect::Property { .. }));
        // A message that only serves another is answered like any other.
        let judges_responses = vector.expect.iter().any(|expect| matches!(expect, Expect::Response(_)));
        let more = self.stanza_came(|_| true)
            || judges_responses && self.responses.iter().any(|response| !response.claimed)
            || began_at_sip && self.request_came("");
        assert!(!more || only_properties, "{}: nothing else expected, got\n{}", self.id, self.got());
    }

    pub(super) fn stanza_came(&self, of: impl Fn(&Element) -> bool) -> bool {
        self.stanzas.iter().any(|stanza| !stanza.claimed && of(&stanza.element))
    }

    fn request_came(&self, start: &str) -> bool {
        self.requests.iter().any(|request| !request.claimed && request.message.start.starts_with(start))
    }

    /// Sends a message from the SIP side and takes all that comes before it on the XMPP side.
    pub(super) async fn fence_into_xmpp(&mut self) {
        self.fences += 1;
        let (number, name) = (self.fences, self.transport.name());
        let mark = format!("fence {number}");
        let text = format!(
            "MESSAGE sip:fence@example.com SIP/2.0\r\nVia: {name}fence.example.net;branch=z9hG4bKfence{number};rport\r\n\
             Max-Forwards: 70\r\nTo: <sip:fence@example.com>\r\nFrom: <sip:fence@example.net>;tag=f{number}\r\n\
             Call-ID: fence{number}\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{mark}",
            mark.len()
        );
        self.sip.send(self.transport, self.gateway.sip(self.transport), &text).await;
        self.until("the fence", |player| player.stanza_of(&mark).is_some()).await;
        let at = self.stanza_of(&mark).unwrap();
        self.stanzas.remove(at);
        let call_id = format!("fence{number}");
        let of_fence = |player: &Self| {
            player.responses.iter().position(|response| response.message.header("Call-ID") == Some(call_id.as_str()))
        };
        self.until("the fence's response", |player| of_fence(player).is_some()).await;
        let at = of_fence(self).unwrap();
        self.responses.remove(at);
    }

    fn stanza_of(&self, body: &str) -> Option<usize> {
        self.stanzas
            .iter()
            .position(|stanza| stanza.element.elements().any(|child| child.name == *"body" && child.text() == body))
    }

    /// Sends a message from the XMPP side and takes all that comes before it on the SIP side.
    async fn fence_into_sip(&mut self) {
        self.fences += 1;
        let (mark, number) = (format!("fence {}", self.fences), self.fences);
        self.xmpp.send(&format!(
            "<message from='fence@example.com/f' to='fence{number}@example.net' id='fence{number}'><body>{mark}</body></message>"
        ));
        let of_fence = |player: &Self| player.requests.iter().position(|request| request.message.body == mark);
        self.until("the fence", |player| of_fence(player).is_some()).await;
        let at = of_fence(self).unwrap();
        self.answer(at, 200, "OK", &[]).await;
        self.requests.remove(at);
    }
}
