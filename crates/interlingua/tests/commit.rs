//! A peer of an adapter waits to hear that what it sent is safe (DESIGN A5, `ack_delay`): through `serve` to the disk.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;
mod serving;

use adapter_api::{
    Adapter, AdapterError, Capabilities, Delivery, Examine, Findings, Full, Hub, Provenance, Settle, Settlement,
    Shutdown, SourceProof, SpeaksFor, Token,
};
use adapter_external::Dial;
use adapter_external::client::{Settings, serve};
use impp_model::{
    Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Outcome, Proof, TransId,
};
use serving::Gateway;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longer than anything here takes on a busy machine, and shorter than `write_ahead_after`.
const PATIENCE: Duration = Duration::from_secs(25);

const CAPABILITIES: &str = r#"{"protocol":"raw","srv_label":null,"standing_link":true,"transports":[],
    "kinds":["message"],"sends_as":"anyone","acknowledgement":"device","acknowledgement_of":{},"answers_each":false,
    "repetition":"repeatable","tells_failure":"always","seals":[],"max_content":null,"presence":null,"fields":[]}"#;

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Kept,
    Settled(Outcome),
}

/// Hears what becomes of a message.
struct Ear(mpsc::UnboundedSender<Heard>);

impl Settlement for Ear {
    fn settled(&self, _: Token, outcome: Outcome) {
        self.0.send(Heard::Settled(outcome)).unwrap();
    }

    fn kept(&self, _: Token) {
        self.0.send(Heard::Kept).unwrap();
    }
}

/// An adapter that hands in one message, and asks for it to be safe.
struct Sender {
    capabilities: Capabilities,
    heard: mpsc::UnboundedSender<Heard>,
}

#[async_trait::async_trait]
impl Adapter for Sender {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        let operation = MessageOperation {
            source: end("user@raw.example"),
            destination: end("silent@sip.example"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: TransId::from("t"),
            message: InstantMessage { id: Some("m1".into()), ..InstantMessage::new(Content::text("hi")) },
        };
        let provenance = Arc::new(Provenance {
            may_repeat: false,
            adapter: hub.instance().clone(),
            peer: "peer.example".into(),
            proof: SourceProof::Secret,
            speaks_for: SpeaksFor::Nobody,
        });
        let settle = Settle::new(Arc::new(Ear(self.heard.clone())), 1);
        hub.submit(Operation::Message(Box::new(operation)), provenance, settle);
        hub.commit();
        shutdown.requested().await;
        Ok(())
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        delivery.settle(Outcome::Success(Proof::Recipient));
        Ok(())
    }

    async fn examine(&self, _: Examine) -> Findings {
        Findings::default()
    }
}

#[tokio::test]
async fn what_a_peer_waits_for_is_on_disk_long_before_it_would_be_written() {
    // It takes what is sent to it, and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = format!(
        r#"
[gateway]
name = "gw.example.net"
data_dir = "data"
[gateway.limits]
disk_reserve = 0
[admin]
listen = "127.0.0.1:0"
token_file = "admin.token"
[log]
format = "json"
[delivery]
write_ahead_after = "60s"
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
[adapter.raw]
type = "external"
socket_file = "raw.sock"
capabilities_file = "raw.json"
domains = ["raw.example"]
[[domain]]
name = "raw.example"
adapter = "raw"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "sip:{};transport=udp"
"#,
        silent.local_addr().unwrap()
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.json"), CAPABILITIES).unwrap();
    let socket = folder.path().join("raw.sock");
    let _gateway = Gateway::start_in(folder, &config);
    let (heard, mut hears) = mpsc::unbounded_channel();
    let adapter = Arc::new(Sender { capabilities: serde_json::from_str(CAPABILITIES).unwrap(), heard });
    let (gateway, domains) = (Dial::Socket(socket), vec!["raw.example".parse().unwrap()]);
    let settings = Settings { gateway, instance: "raw".into(), domains };
    let (_trigger, shutdown) = Shutdown::new();
    tokio::spawn(serve(adapter, settings, shutdown));
    let first = tokio::time::timeout(PATIENCE, hears.recv()).await.expect("word of the message").unwrap();
    assert_eq!(first, Heard::Kept);
}
