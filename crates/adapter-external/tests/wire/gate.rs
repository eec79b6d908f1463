//! A gateway's side that runs, and raw streams to it.

use adapter_api::model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Outcome, Proof};
use adapter_api::testkit::{KitHub, Records, Submitted};
use adapter_api::{Adapter, Delivery, Hop, Hub, Settle, Shutdown, ShutdownTrigger, Tls, TraceId, settle_channel};
use adapter_external::wire::gateway_client::GatewayClient;
use adapter_external::wire::{self, FromAdapter, FromGateway, from_adapter, from_gateway};
use adapter_external::{Config, ExternalAdapter, mapping};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Streaming;
use tonic::transport::Endpoint as Dial;

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const CAPABILITIES: &str = r#"{"protocol":"raw","srv_label":null,"standing_link":true,"transports":[],
    "kinds":["message"],"sends_as":"anyone","acknowledgement":"answer","acknowledgement_of":{},"answers_each":true,
    "repetition":"repeatable","tells_failure":"never","seals":[],"max_content":null,"presence":null,
    "fields":[{"field":"thread","support":"dropped","note":""}]}"#;

pub(crate) struct Gate {
    pub(crate) adapter: Arc<ExternalAdapter>,
    pub(crate) submitted: mpsc::UnboundedReceiver<Submitted>,
    pub(crate) hub: Arc<KitHub>,
    pub(crate) folder: tempfile::TempDir,
    trigger: ShutdownTrigger,
    run: JoinHandle<()>,
}

impl Gate {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Tls::none("raw.example".parse().unwrap());
        Self::open_in(folder, Arc::new(nothing), change).await
    }

    pub(crate) async fn open_in(folder: tempfile::TempDir, tls: Arc<Tls>, change: impl FnOnce(&mut Config)) -> Self {
        let capabilities_file = folder.path().join("raw.json");
        std::fs::write(&capabilities_file, CAPABILITIES).unwrap();
        let mut config = Config {
            socket_file: Some(folder.path().join("s")),
            listen: None,
            client_authority_file: None,
            client_name: None,
            capabilities_file,
            domains: vec!["raw.example".parse().unwrap()],
            command: Vec::new(),
            resume_within: Duration::from_secs(60),
            heartbeat: Duration::from_secs(20),
        };
        change(&mut config);
        let adapter = Arc::new(ExternalAdapter::new("raw".into(), config, tls).unwrap());
        let records = Arc::new(Records::default());
        let (hub, submitted) = KitHub::new(&"raw".into(), &"raw.example".parse().unwrap(), records);
        let (trigger, shutdown) = Shutdown::new();
        let run = tokio::spawn({
            let (adapter, hub) = (Arc::clone(&adapter), Hub::new(hub.clone(), "raw".into()));
            async move { adapter.run(hub, shutdown).await.unwrap() }
        });
        Self { adapter, submitted, hub, folder, trigger, run }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) async fn dial(&self) -> Raw {
        let until = Instant::now() + PATIENCE;
        let channel = loop {
            let dial = Dial::from_shared(format!("unix://{}", self.socket().display())).unwrap();
            match dial.connect().await {
                Ok(channel) => break channel,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        Raw {
            client: GatewayClient::new(channel).max_decoding_message_size(32 << 20),
            sender: mpsc::channel(1).0,
            streaming: None,
        }
    }

    pub(crate) fn deliver(&self, body: &str, time: Duration) -> oneshot::Receiver<Outcome> {
        let (settle, outcome) = settle_channel();
        assert!(self.adapter.deliver(delivery(body, time, settle)).is_ok());
        outcome
    }

    pub(crate) fn begin_stop(&self) {
        self.trigger.shut_down();
    }

    pub(crate) async fn stop(self) {
        self.trigger.shut_down();
        self.run.await.unwrap();
    }
}

pub(crate) fn delivery(body: &str, time: Duration, settle: Settle) -> Delivery {
    Delivery {
        trace: TraceId(7),
        operation: Arc::new(message("romeo@kit.example", "user@raw.example", body)),
        repeat: false,
        edition: 0,
        proven_only: false,
        hop: Arc::new(Hop::Link),
        deadline: Instant::now() + time,
        settle,
    }
}

pub(crate) fn message(from: &str, to: &str, body: &str) -> Operation {
    let end = |text: &str| Endpoint::bare(text.parse().unwrap());
    Operation::Message(Box::new(MessageOperation {
        source: end(from),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        trans_id: "t".into(),
        message: InstantMessage { id: Some(body.into()), ..InstantMessage::new(Content::text(body)) },
    }))
}

pub(crate) fn hello() -> wire::Hello {
    let capabilities = serde_json::from_str(CAPABILITIES).unwrap();
    wire::Hello {
        version: 1,
        instance: "raw".to_owned(),
        capabilities: Some(mapping::write_capabilities(&capabilities)),
        domains: vec!["raw.example".to_owned()],
        resume: None,
    }
}

pub(crate) fn settled(of: u64) -> from_adapter::Frame {
    let outcome = Some(mapping::write_outcome(&Outcome::Success(Proof::Recipient)));
    from_adapter::Frame::Settled(wire::Settled { of, outcome })
}

pub(crate) fn submit(from: &str, body: &str) -> from_adapter::Frame {
    let operation = mapping::write_operation(&message(from, "juliet@kit.example", body));
    from_adapter::Frame::Submit(wire::Submit { operation, peer: String::new() })
}

/// A stream that sends what a test says.
pub(crate) struct Raw {
    client: GatewayClient<tonic::transport::Channel>,
    sender: mpsc::Sender<FromAdapter>,
    streaming: Option<Streaming<FromGateway>>,
}

impl Raw {
    /// Opens the stream and says hello; gives the answer.
    pub(crate) async fn hello(&mut self, hello: wire::Hello) -> from_gateway::Frame {
        let (sender, mut receiver) = mpsc::channel(2000);
        self.sender = sender;
        self.send(0, from_adapter::Frame::Hello(hello)).await;
        let outgoing = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        self.streaming = Some(self.client.attach(outgoing).await.unwrap().into_inner());
        self.next().await.unwrap().frame.unwrap()
    }

    /// The same, welcomed.
    pub(crate) async fn welcome(&mut self, said: wire::Hello) -> wire::Welcome {
        match self.hello(said).await {
            from_gateway::Frame::Welcome(welcome) => welcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&self, number: u64, frame: from_adapter::Frame) {
        // A stream that was cut takes no more: its goodbye is what counts.
        let _ = self.sender.send(FromAdapter { number, frame: Some(frame) }).await;
    }

    /// The next frame; none at the end.
    pub(crate) async fn next(&mut self) -> Option<FromGateway> {
        let next = self.streaming.as_mut().unwrap().message();
        tokio::time::timeout(PATIENCE, next).await.unwrap().ok().flatten()
    }

    /// The next frame with a number.
    pub(crate) async fn numbered(&mut self) -> (u64, from_gateway::Frame) {
        loop {
            match self.next().await.unwrap() {
                FromGateway { number: 0, frame: Some(from_gateway::Frame::Goodbye(goodbye)) } => panic!("{goodbye:?}"),
                FromGateway { number: 0, .. } => {}
                FromGateway { number, frame } => return (number, frame.unwrap()),
            }
        }
    }

    /// The reason with which the stream is cut.
    pub(crate) async fn goodbye(&mut self) -> String {
        loop {
            if let Some(from_gateway::Frame::Goodbye(goodbye)) = self.next().await.unwrap().frame {
                return goodbye.reason;
            }
        }
    }
}

pub(crate) fn body_of(frame: &from_gateway::Frame) -> String {
    let from_gateway::Frame::Deliver(deliver) = frame else { panic!("{frame:?}") };
    match deliver.operation.as_ref().unwrap().operation.as_ref().unwrap() {
        wire::operation::Operation::Message(message) => {
            String::from_utf8(message.content.as_ref().unwrap().octets.to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}
