//! What only vectors of connections have: certificates, passwords, WebSockets.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{PATIENCE, Player};

impl Player {
    /// Something happens that is no octets of a peer.
    pub(super) async fn happen(&mut self, event: &str) {
        match event {
            "gateway connects to example.net; server certificate SAN dNSName *.example.net only"
            | "server certificate SAN: URI sip:other.example, DNS example.net" => self.xmpp.send(MESSAGE),
            "gateway challenges a MESSAGE" => {
                self.send_sip(&request("TCP proxy.example.net", 1), None).await;
                self.until("a challenge", |player| !player.responses.is_empty()).await;
                // RFC 8760 §2.4: the first is the one preferred.
                let first = self.responses[0].message.header("WWW-Authenticate").expect("a challenge");
                assert!(first.contains("algorithm=SHA-256") && first.contains("qop="), "{}: {first}", self.id);
            }
            "HTTP upgrade with Sec-WebSocket-Protocol: sip" => {}
            other => self.await_event(other).await,
        }
    }

    pub(super) async fn expect_secured(&mut self, property: &str) {
        match property {
            "connection is closed; message answered with remote-server-not-found or internal-server-error on the XMPP side"
            | "identity set is {other.example}: not authenticated for example.net" => self.server_is_refused().await,
            "101 with Sec-WebSocket-Protocol: sip; one SIP message per WebSocket message; text and binary frames accepted; \
             reliable-transport timers" => self.websocket().await,
            other => self.expect_presence_property(other).await,
        }
    }

    /// RFC 5922 §7.3: nothing is said to a server that is not the domain, and the sender hears of it.
    async fn server_is_refused(&mut self) {
        let server = self.secured.as_ref().expect("a server over TLS");
        assert!(server.is_left(PATIENCE).await, "{}: something was sent", self.id);
        self.until("an error", |player| !player.stanzas.is_empty()).await;
        let error = self.stanzas.remove(0).element;
        assert_eq!(error.attr("type"), Some("error"), "{}: {error:?}", self.id);
        let conditions: Vec<_> =
            error.elements().flat_map(|child| child.elements()).map(|child| &*child.name).collect();
        let allowed = |name: &&str| matches!(*name, "remote-server-not-found" | "internal-server-error");
        assert!(conditions.iter().any(allowed), "{}: {conditions:?}", self.id);
    }

    /// RFC 7118 §4, §5: messages in frames of both kinds, each answered once in a frame of its own.
    #[allow(clippy::result_large_err, reason = "the error is the library's own")]
    async fn websocket(&mut self) {
        let address = self.gateway.websocket();
        let mut handshake = format!("ws://{address}/").into_client_request().unwrap();
        handshake.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, upgraded) = tokio_tungstenite::client_async(handshake, stream).await.unwrap();
        assert_eq!(upgraded.status(), 101, "{}", self.id);
        assert_eq!(upgraded.headers()["sec-websocket-protocol"], "sip", "{}", self.id);
        let frames =
            [Message::Text(request("WS a.invalid", 1).into()), Message::Binary(request("WS a.invalid", 2).into())];
        for (number, frame) in (1..).zip(frames) {
            socket.send(frame).await.unwrap();
            let answer = timeout(PATIENCE, socket.next()).await.expect("an answer").unwrap().unwrap();
            let answer = answer.into_text().unwrap();
            assert!(answer.starts_with("SIP/2.0 ") && answer.contains(&format!("CSeq: {number} MESSAGE")), "{answer}");
        }
        // RFC 3261 §17.2.2: over a reliable transport no final response is repeated.
        let again = timeout(QUIET, socket.next()).await;
        assert!(again.is_err(), "{}: {again:?}", self.id);
    }
}

/// Twice T1: a response would have been repeated by then.
const QUIET: Duration = Duration::from_secs(1);

const MESSAGE: &str =
    "<message from='juliet@example.com/yn0cl4bnw0yr3vym' to='romeo@example.net' id='m1'><body>hi</body></message>";

/// From romeo, who has proven nothing.
fn request(via: &str, number: u32) -> String {
    format!(
        "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bKspl{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:romeo@example.net>;tag=49583\r\nTo: <sip:juliet@example.com>\r\nCall-ID: spl@proxy.example.net\r\n\
         CSeq: {number} MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    )
}
