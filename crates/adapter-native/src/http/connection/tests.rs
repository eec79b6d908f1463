//! Connections in virtual time, over pipes in place of sockets.

use super::*;
use crate::adapter::{NativeAdapter, Shared};
use adapter_api::{
    Carries, Configuration, Hub, HubCore, InstanceName, PeerState, Provenance, Settle, ShutdownTrigger, TraceId,
};
use impp_model::{Operation, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::Instant;
use transport::http::HEADER_TIMEOUT;

/// A hub that knows nothing.
struct Silent;

impl HubCore for Silent {
    fn submit(&self, _: Operation, _: Arc<Provenance>, settle: Settle) -> TraceId {
        settle.settle(Outcome::Indeterminant);
        TraceId(1)
    }

    fn peer_changed(&self, _: &InstanceName, _: &str, _: PeerState) {}

    fn translation_loss(&self, _: &InstanceName, _: &str, _: Carries) {}

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        let gateway = "gw.example.net".parse().unwrap();
        watch::Sender::new(Arc::new(Configuration::new(gateway, vec![]))).subscribe()
    }

    fn peer_proven(&self, _: &InstanceName, _: &str, _: &str, _: &str) {}

    fn peer_registered(&self, _: &InstanceName, _: &str, _: adapter_api::Registration) {}

    fn state(&self) -> Option<Arc<dyn adapter_api::AdapterState>> {
        None
    }

    fn commit(&self) {}

    fn owe(&self, _: &InstanceName, _: impp_model::DispositionOperation, _: bool, done: adapter_api::StateDone) {
        done(true);
    }

    fn listening(&self, _: &InstanceName, _: &str, _: std::net::SocketAddr) {}
}

/// One connection to a gateway whose pipes hold 4096 octets.
struct Fixture {
    client: DuplexStream,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    trigger: ShutdownTrigger,
    start: Instant,
}

impl Fixture {
    async fn new() -> Self {
        let config = r#"{"listen":"127.0.0.1:0","user":[{"address":"carol@native.example","token":"c4r0l"}]}"#;
        let (_, shared) = NativeAdapter::for_test(serde_json::from_str(config).unwrap());
        let (trigger, shutdown) = Shutdown::new();
        let app = App::new(Arc::clone(&shared), Hub::new(Arc::new(Silent), "native".into()), shutdown.clone());
        let (client, server) = duplex(4096);
        let places = Arc::new(Semaphore::new(1));
        let permit = Arc::new(Arc::clone(&places).acquire_owned().await.unwrap());
        tokio::spawn(serve_connection(server, router(app), Place { _permit: permit }, shutdown));
        Self { client, shared, places, trigger, start: Instant::now() }
    }

    async fn write(&mut self, text: &str) {
        self.client.write_all(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
    }

    /// Reads until `end` has been read.
    async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut chunk = [0; 1024];
        while !text.contains(end) {
            let length = self.client.read(&mut chunk).await.unwrap();
            assert!(length > 0, "ended after {text:?}");
            text.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
        text
    }

    /// Waits until the gateway has let go of the connection; gives the seconds that took.
    async fn ended(&self) -> u64 {
        drop(self.places.acquire().await.unwrap());
        self.start.elapsed().as_secs()
    }

    fn streams(&self) -> usize {
        self.shared.users.all().iter().map(|user| user.mailbox(|mailbox| mailbox.streams())).sum()
    }
}

const EVENTS: &str = "GET /v1/events HTTP/1.1\nHost: x\nAuthorization: Bearer c4r0l\n\n";

#[tokio::test(start_paused = true)]
async fn half_a_head_ends_in_time() {
    let mut f = Fixture::new().await;
    f.write("GET /v1/eve").await;
    assert_eq!(f.ended().await, HEADER_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_in_time() {
    let mut f = Fixture::new().await;
    f.write("GET /nothing HTTP/1.1\nHost: x\n\n").await;
    assert!(f.read_until("no such call").await.starts_with("HTTP/1.1 404"));
    assert_eq!(f.ended().await, HEADER_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_refused_in_time() {
    let mut f = Fixture::new().await;
    f.write("POST /v1/messages HTTP/1.1\nHost: x\nAuthorization: Bearer c4r0l\n").await;
    f.write("Content-Type: application/json\nContent-Length: 100\n\n{").await;
    assert!(f.read_until("in time").await.starts_with("HTTP/1.1 408"));
    assert_eq!(f.start.elapsed().as_secs(), 30);
    f.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_of_events_is_kept_alive() {
    let mut f = Fixture::new().await;
    f.write(EVENTS).await;
    f.read_until(": interlingua").await;
    f.read_until(": keep-alive").await;
    assert_eq!(f.start.elapsed().as_secs(), 15);
    f.read_until(": keep-alive").await;
    assert_eq!(f.start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_let_go_and_costs_no_more_than_its_pipe() {
    let mut f = Fixture::new().await;
    f.write(EVENTS).await;
    f.read_until(": interlingua").await;
    assert_eq!(f.streams(), 1);
    for user in f.shared.users.all() {
        let waiting = || crate::users::Waiting { settle: adapter_api::settle_channel().0, deadline: Instant::now() };
        for _ in 0..100 {
            user.mailbox(|mailbox| mailbox.append("message", "x".repeat(1000).into(), waiting())).unwrap();
        }
        user.announce();
    }
    let seconds = f.ended().await;
    assert!((STALL.as_secs()..=STALL.as_secs() + 15).contains(&seconds), "{seconds}");
    assert_eq!(f.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_answers_no_ping_is_closed() {
    let mut f = Fixture::new().await;
    f.write("GET /v1/ws HTTP/1.1\nHost: x\nAuthorization: Bearer c4r0l\nConnection: Upgrade\nUpgrade: websocket\n")
        .await;
    f.write("Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n").await;
    // RFC 6455 §1.3: the answer to this key.
    assert!(f.read_until("\r\n\r\n").await.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let seconds = f.ended().await;
    assert!((60..=120).contains(&seconds), "{seconds}");
    assert_eq!(f.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_streams_at_once_and_half_requests_after_the_grace() {
    let mut f = Fixture::new().await;
    f.write(EVENTS).await;
    f.read_until(": interlingua").await;
    f.trigger.shut_down();
    f.read_until("0\r\n\r\n").await;
    assert_eq!(f.ended().await, 0);
    let mut f = Fixture::new().await;
    f.write("POST /v1/messages HTTP/1.1\nHost: x\nAuthorization: Bearer c4r0l\n").await;
    f.write("Content-Type: application/json\nContent-Length: 100\n\n{").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    f.trigger.shut_down();
    assert_eq!(f.ended().await, 1 + DRAIN.as_secs());
}
