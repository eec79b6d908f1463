//! What a vector says in words, each sentence with its check.

use std::time::Duration;

use super::Player;

impl Player {
    pub(super) async fn expect_property(&mut self, property: &str) {
        match property {
            "two identical responses (same To tag)" => self.two_identical_responses().await,
            "second request has the same Call-ID but a different (From tag, CSeq number) pair and a different branch" =>
            {
                self.second_request_of_thread().await;
            }
            "with a body chosen so that the serialized request (start line, all headers, body) is 1300 octets the request \
             is sent; with one more octet it is refused as in IMX-09" => self.limit_of_1300_octets().await,
            "if the final response is delayed: no 1xx other than 100, no 100 before 3.5 s (0.5+1+2 s), 408 never" => {
                self.no_early_100_and_no_408().await;
            }
            "exactly one delivery-notification for message-id 34jk324j" => self.one_notification().await,
            "sent at once or failed; never written to the offline store" => {
                // The ledger of this gateway takes nothing in: the sender hears at once.
                self.until("an error", |player| !player.stanzas.is_empty()).await;
                let error = self.stanzas.remove(0).element;
                assert_eq!(error.attr("type"), Some("error"), "{}: {error:?}", self.id);
            }
            other => self.expect_secured(other).await,
        }
    }

    pub(super) fn expect_property_of_request(&self, index: usize, property: &str) {
        if property == "new Call-ID and new From tag" {
            return self.is_new_dialog(index);
        }
        assert_eq!(property, "same Call-ID, From tag, CSeq; new branch", "{}: unknown property", self.id);
        let (first, second) = (&self.requests[0].message, &self.requests[index].message);
        for header in ["Call-ID", "From", "CSeq"] {
            assert_eq!(first.header(header), second.header(header), "{}: {header}", self.id);
        }
        assert_ne!(first.param("Via", "branch"), second.param("Via", "branch"), "{}: branch", self.id);
    }

    async fn one_notification(&mut self) {
        let first = self.await_unanswered().await;
        self.answer(first, 200, "OK", &[]).await;
        let body = &self.requests[first].message.body;
        assert!(body.contains("<delivery-notification>") && body.contains("34jk324j"), "{}: {body}", self.id);
        self.requests[first].claimed = true;
        self.expect_none(crate::suite::Proto::Sip, "MESSAGE", None).await;
    }

    async fn two_identical_responses(&mut self) {
        self.until("two responses", |player| player.responses.len() >= 2).await;
        assert_eq!(self.responses[0].message, self.responses[1].message, "{}", self.id);
        assert!(self.responses[0].message.param("To", "tag").is_some(), "{}", self.id);
        self.responses.iter_mut().for_each(|response| response.claimed = true);
    }

    async fn second_request_of_thread(&mut self) {
        let first = self.await_unanswered().await;
        self.answer(first, 200, "OK", &[]).await;
        self.until("a second request", |player| player.requests.len() > first + 1).await;
        let (one, two) = (&self.requests[first].message, &self.requests[first + 1].message);
        assert_eq!(one.header("Call-ID"), two.header("Call-ID"), "{}", self.id);
        let pair = |message: &crate::sip_text::SipText| {
            (message.param("From", "tag").map(str::to_owned), message.header("CSeq").map(str::to_owned))
        };
        assert_ne!(pair(one), pair(two), "{}", self.id);
        assert_ne!(one.param("Via", "branch"), two.param("Via", "branch"), "{}", self.id);
        assert_eq!(two.body, "two");
    }

    /// Measures a request, then sends one of exactly the limit and one beyond.
    async fn limit_of_1300_octets(&mut self) {
        const LIMIT: usize = 1300;
        let mut length = 500;
        for round in 1.. {
            assert!(round <= 2, "{}: the size does not settle", self.id);
            let size = self.size_with_body(length).await;
            if size == LIMIT {
                break;
            }
            length = length + LIMIT - size;
        }
        self.send_body(length + 1);
        self.until("an error", |player| !player.stanzas.is_empty()).await;
        let error = self.stanzas.remove(0).element;
        assert_eq!(error.attr("type"), Some("error"), "{}", self.id);
        let has_violation =
            |error: &strict_xml::Element| error.elements().any(|child| child.name == *"policy-violation");
        assert!(error.elements().any(has_violation), "{}: {error:?}", self.id);
        self.expect_none(crate::suite::Proto::Sip, "MESSAGE", None).await;
    }

    async fn size_with_body(&mut self, length: usize) -> usize {
        self.send_body(length);
        let index = self.await_unanswered().await;
        self.answer(index, 200, "OK", &[]).await;
        self.requests[index].claimed = true;
        self.requests[index].message.size()
    }

    fn send_body(&self, length: usize) {
        let body = "a".repeat(length);
        self.xmpp.send(&format!(
            "<message from='juliet@example.com/yn0cl4bnw0yr3vym' to='romeo@example.net'><body>{body}</body></message>"
        ));
    }

    async fn no_early_100_and_no_408(&mut self) {
        let is_final = |status: &str| !status.starts_with('1');
        self.until("a final response", |player| {
            player.responses.iter().any(|response| is_final(response.message.second_word()))
        })
        .await;
        for response in &self.responses {
            let (status, after) = (response.message.second_word(), response.at - self.began);
            assert!(is_final(status) || status == "100", "{}: {status}", self.id);
            assert!(status != "100" || after >= Duration::from_millis(3500), "{}: 100 after {after:?}", self.id);
            assert_ne!(status, "408", "{}", self.id);
        }
        let last = self.responses.last().unwrap();
        assert!(last.at - self.began > Duration::from_millis(3500), "{}: the final response was not delayed", self.id);
    }
}
