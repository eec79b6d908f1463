//! What the stream costs: messages out and in through an adapter in this process, and through the same one in another.
//!
//! Each row has so many messages under way as a window allows; CPU is that of both processes. Run by `tests/bench/run external`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

use adapter_api::model::{
    Content, DispositionOperation, Domain, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation, Outcome,
    Proof,
};
use adapter_api::{
    Adapter, AdapterError, AdapterState, Capabilities, Carries, Configuration, Delivery, Examine, Findings, Full, Hop,
    Hub, HubCore, InstanceName, PeerState, Provenance, Registration, Settle, Settlement, Shutdown, SourceProof,
    SpeaksFor, Tls, Token, TraceId,
};
use adapter_external::client::{Settings, serve};
use adapter_external::{Config, Dial, ExternalAdapter};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// Messages under way at a time.
const WINDOW: usize = 512;

const CAPABILITIES: &str = r#"{"protocol":"rate","srv_label":null,"standing_link":true,"transports":[],
    "kinds":["message"],"sends_as":"anyone","acknowledgement":"answer","acknowledgement_of":{},"answers_each":true,
    "repetition":"repeatable","tells_failure":"never","seals":[],"max_content":null,"presence":null,"fields":[]}"#;

/// Confirms what it is given, in a task of its own, and hands in as many messages as it is told by one whose text is a number.
struct Echo {
    capabilities: Capabilities,
    queue: mpsc::Sender<Delivery>,
    deliveries: Mutex<Option<mpsc::Receiver<Delivery>>>,
}

impl Echo {
    fn new() -> Arc<Self> {
        let (queue, deliveries) = mpsc::channel(4096);
        let capabilities = serde_json::from_str(CAPABILITIES).unwrap();
        Arc::new(Self { capabilities, queue, deliveries: Mutex::new(Some(deliveries)) })
    }
}

#[async_trait::async_trait]
impl Adapter for Echo {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, hub: Hub, mut shutdown: Shutdown) -> Result<(), AdapterError> {
        let mut deliveries = self.deliveries.lock().unwrap().take().unwrap();
        loop {
            let delivery = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Some(delivery) = deliveries.recv() => delivery,
            };
            let Operation::Message(message) = &*delivery.operation else { continue };
            let wanted = message.message.content.as_text().and_then(|text| text.parse::<usize>().ok());
            delivery.settle(Outcome::Success(Proof::Recipient));
            if let Some(count) = wanted {
                tokio::spawn(submit(hub.clone(), count));
            }
        }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Full> {
        self.queue.try_send(delivery).map_err(|full| Full(Box::new(full.into_inner())))
    }

    async fn examine(&self, _: Examine) -> Findings {
        Findings::default()
    }
}

/// Frees a place of the window for each answer.
struct Window(Semaphore);

impl Settlement for Window {
    fn settled(&self, _: Token, outcome: Outcome) {
        assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
        self.0.add_permits(1);
    }
}

async fn submit(hub: Hub, count: usize) {
    let window = Arc::new(Window(Semaphore::new(WINDOW)));
    let provenance = Arc::new(Provenance {
        may_repeat: false,
        adapter: hub.instance().clone(),
        peer: "rate.example".into(),
        proof: SourceProof::Secret,
        speaks_for: SpeaksFor::Domains(vec!["rate.example".parse().unwrap()].into()),
    });
    for number in 0..count {
        window.0.acquire().await.unwrap().forget();
        let settle = Settle::new(Arc::clone(&window) as _, 0);
        hub.submit(message(number, "alice@rate.example", "bob@hub.example"), Arc::clone(&provenance), settle);
    }
}

fn message(number: usize, from: &str, to: &str) -> Operation {
    let end = |text: &str| Endpoint::bare(text.parse().unwrap());
    let text = "a line of text that is as long as people write them in a conversation";
    Operation::Message(Box::new(MessageOperation {
        source: end(from),
        destination: end(to),
        max_forwards: MaxForwards::INITIAL,
        trans_id: format!("t{number}").as_str().into(),
        message: InstantMessage {
            id: Some(format!("id-{number}").as_str().into()),
            ..InstantMessage::new(Content::text(text))
        },
    }))
}

/// Confirms what comes in, and counts it.
struct Count {
    came: AtomicU64,
    changed: Notify,
    up: watch::Sender<bool>,
}

impl HubCore for Count {
    fn submit(&self, _: Operation, _: Arc<Provenance>, settle: Settle) -> TraceId {
        settle.settle(Outcome::Success(Proof::Server));
        self.came.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        TraceId(1)
    }
    fn peer_changed(&self, _: &InstanceName, _: &str, state: PeerState) {
        self.up.send_replace(state == PeerState::Up);
    }
    fn translation_loss(&self, _: &InstanceName, _: &str, _: Carries) {}
    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        watch::Sender::new(Arc::new(Configuration::new(domain(), Vec::new()))).subscribe()
    }
    fn peer_proven(&self, _: &InstanceName, _: &str, _: &str, _: &str) {}
    fn peer_registered(&self, _: &InstanceName, _: &str, _: Registration) {}
    fn state(&self) -> Option<Arc<dyn AdapterState>> {
        None
    }
    fn commit(&self) {}
    fn owe(&self, _: &InstanceName, _: DispositionOperation, _: bool, _: adapter_api::StateDone) {}
    fn listening(&self, _: &InstanceName, _: &str, _: SocketAddr) {}
}

fn domain() -> Domain {
    "rate.example".parse().unwrap()
}

fn delivery(operation: Operation, settle: Settle) -> Delivery {
    Delivery {
        trace: TraceId(1),
        operation: Arc::new(operation),
        repeat: false,
        edition: 0,
        proven_only: false,
        hop: Arc::new(Hop::Link),
        deadline: Instant::now() + Duration::from_secs(60),
        settle,
    }
}

/// One adapter, and the hub behind it.
struct Bench<'b> {
    adapter: Arc<dyn Adapter>,
    hub: Arc<Count>,
    child: Option<&'b Child>,
}

/// Messages a second, and CPU time of each in microseconds.
type Row = (f64, f64);

impl Bench<'_> {
    fn cpu(&self) -> Duration {
        let of = |process: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
            // Behind the name: user and system time in hundredths of a second, fields 14 and 15.
            let rest = stat.rsplit(')').next().unwrap();
            let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
            Duration::from_millis(ticks * 10)
        };
        of("self") + self.child.map_or(Duration::ZERO, |child| of(&child.id().to_string()))
    }

    async fn timed(&self, count: usize, run: impl Future<Output = ()>) -> Row {
        let (begun, cpu) = (Instant::now(), self.cpu());
        run.await;
        let (took, cpu) = (begun.elapsed(), self.cpu() - cpu);
        (count as f64 / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count as f64)
    }

    async fn out(&self, count: usize) -> Row {
        let window = Arc::new(Window(Semaphore::new(WINDOW)));
        self.timed(count, async {
            for number in 0..count {
                window.0.acquire().await.unwrap().forget();
                let operation = message(number, "bob@hub.example", "alice@rate.example");
                let settle = Settle::new(Arc::clone(&window) as _, 0);
                assert!(self.adapter.deliver(delivery(operation, settle)).is_ok());
            }
            let _ = window.0.acquire_many(u32::try_from(WINDOW).unwrap()).await.unwrap();
        })
        .await
    }

    async fn inwards(&self, count: usize) -> Row {
        self.hub.came.store(0, Ordering::Relaxed);
        self.timed(count, async {
            let (settle, outcome) = adapter_api::settle_channel();
            let Operation::Message(mut ask) = message(0, "bob@hub.example", "alice@rate.example") else { return };
            ask.message.content = Content::text(count.to_string());
            assert!(self.adapter.deliver(delivery(Operation::Message(ask), settle)).is_ok());
            outcome.await.unwrap();
            while self.hub.came.load(Ordering::Relaxed) < count as u64 {
                self.hub.changed.notified().await;
            }
        })
        .await
    }
}

async fn start(adapter: Arc<dyn Adapter>) -> Arc<Count> {
    let hub = Arc::new(Count { came: AtomicU64::new(0), changed: Notify::new(), up: watch::Sender::new(false) });
    let run = Hub::new(Arc::clone(&hub) as _, "rate".into());
    tokio::spawn(async move {
        let (_trigger, shutdown) = Shutdown::new();
        adapter.run(run, shutdown).await.unwrap();
    });
    hub
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(socket) =
        arguments.iter().position(|argument| argument == "--serve").and_then(|at| arguments.get(at + 1))
    {
        let settings =
            Settings { gateway: Dial::Socket(socket.into()), instance: "rate".into(), domains: vec![domain()] };
        let (_trigger, shutdown) = Shutdown::new();
        return serve(Echo::new(), settings, shutdown).await.unwrap();
    }
    let count = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(200_000);
    let folder = std::env::temp_dir().join(format!("external-rate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (socket, capabilities) = (folder.join("s"), folder.join("c.json"));
    std::fs::write(&capabilities, CAPABILITIES).unwrap();
    let table =
        serde_json::json!({ "socket_file": socket, "capabilities_file": capabilities, "domains": ["rate.example"] });
    let config: Config = serde_json::from_value(table).unwrap();
    let external = Arc::new(ExternalAdapter::new("rate".into(), config, Arc::new(Tls::none(domain()))).unwrap());
    let hub = start(external.clone()).await;
    let mut child = Command::new(std::env::current_exe().unwrap()).arg("--serve").arg(&socket).spawn().unwrap();
    hub.up.subscribe().wait_for(|up| *up).await.unwrap();
    let own = Echo::new();
    let inside = Bench { hub: start(own.clone()).await, adapter: own, child: None };
    let outside = Bench { adapter: external, hub, child: Some(&child) };
    println!("{count} messages each, {WINDOW} under way");
    println!("{:<10} {:>22} {:>22} {:>14}", "", "in process: /s, us", "other process: /s, us", "us more");
    for (name, is_out) in [("out", true), ("in", false)] {
        let mut rows = Vec::new();
        for bench in [&inside, &outside] {
            // The first is for caches and allocators.
            let rate = async |count| if is_out { bench.out(count).await } else { bench.inwards(count).await };
            rate(count / 10).await;
            rows.push(rate(count).await);
        }
        let ((near, near_us), (far, far_us)) = (rows[0], rows[1]);
        println!("{name:<10} {near:>13.0} {near_us:>8.1} {far:>13.0} {far_us:>8.1} {:>14.1}", far_us - near_us);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
