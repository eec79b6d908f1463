//! The gateway under test: the hub, the SIP adapter and the component adapter, in this process, over loopback sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter_api::{
    AdapterState, Carries, Configuration, Context, DomainEntry, Hub, HubCore, InstanceName, PeerState, Provenance,
    Registration, Role, Settle, Shutdown, ShutdownTrigger, StateDone, TraceId,
};
use impp_model::{DispositionOperation, Domain, Operation};
use impp_resolve::{Dns, Zone};
use interwork::{Core, CoreConfig, DeliveryLimits, Instance, Policy, PresenceLimits, RoutingConfig, Rulebook, Storage};
use serde_json::json;
use store::{Ledger, Limits, MemoryStore, Shard, SteadyClock, TraceLimits, TraceLog};
use tokio::sync::{mpsc, watch};

use crate::given::{Given, SIP_DOMAIN};
use crate::secured::SecuredServer;
use crate::sip_peer::{SipPeer, Transport};
use crate::xmpp_server::SECRET;

pub(crate) struct Gateway {
    udp: SocketAddr,
    tcp: SocketAddr,
    ws: SocketAddr,
    _stop: ShutdownTrigger,
}

impl Gateway {
    /// Starts it between the SIP peer, or `secured` in its place, and the XMPP server at `xmpp`.
    pub(crate) async fn start(given: &Given, sip: &SipPeer, secured: Option<&SecuredServer>, xmpp: SocketAddr) -> Self {
        let configuration = Arc::new(configuration(given, sip, secured));
        let sender = watch::Sender::new(Arc::clone(&configuration));
        let dns: Arc<dyn Dns> = Arc::new(zone(given, sip, secured));
        let nobody = || adapter_api::Tls::none(Domain::parse("gw.example.com").unwrap());
        let tls = secured.map_or_else(nobody, SecuredServer::trusted);
        let context = Context { configuration: sender.subscribe(), dns: Arc::clone(&dns), tls: Arc::new(tls) };
        let instances = instances(given, xmpp, &context);
        let config = CoreConfig {
            rules: Rulebook {
                configuration,
                routing: RoutingConfig { routes: vec![], supported: vec!["_sip".into(), "_xmpp".into()] },
                policy: Policy::default(),
                rates: interwork::RateLimits::default(),
            },
            configuration: sender,
            delivery: DeliveryLimits { hold_timeout: given.hold, ..DeliveryLimits::default() },
            presence: PresenceLimits::default(),
            discovery: impp_resolve::Limits::default(),
            traces: 100,
        };
        let core = Core::new(config, instances.clone(), dns, no_spool(), 1);
        let clock = Arc::clone(&core);
        tokio::spawn(async move { clock.run().await });
        let (listening, mut listeners) = mpsc::unbounded_channel();
        let core: Arc<dyn HubCore> = Arc::new(Listening { core, listening });
        let (stop, shutdown) = Shutdown::new();
        for Instance { name, adapter } in instances {
            let (hub, shutdown) = (Hub::new(Arc::clone(&core), name.clone()), shutdown.clone());
            tokio::spawn(async move {
                adapter.run(hub, shutdown).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            });
        }
        let mut address = async |transport: &str| {
            let (found, address) = listeners.recv().await.expect("a listener");
            assert_eq!(found, transport);
            address
        };
        let (udp, tcp, ws) = (address("udp").await, address("tcp").await, address("ws").await);
        Self { udp, tcp, ws, _stop: stop }
    }

    /// Where it listens for SIP over WebSocket.
    pub(crate) fn websocket(&self) -> SocketAddr {
        self.ws
    }

    /// Where it listens for SIP.
    pub(crate) fn sip(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
        }
    }
}

/// A ledger that takes nothing in: these tests are about what a sender hears of each failure.
fn no_spool() -> Storage {
    let (store, clock) = (Arc::new(MemoryStore::new()), SteadyClock::start());
    let limits = Limits { records: 0, ..Limits::default() };
    let (ledger, _) = Ledger::open(store.clone(), Shard::all(), limits, clock.now()).unwrap();
    let traces = TraceLog::open(store, TraceLimits::default()).unwrap();
    Storage { ledger, clock, traces }
}

fn configuration(given: &Given, sip: &SipPeer, secured: Option<&SecuredServer>) -> Configuration {
    let hop = sip.hop(given.over.unwrap_or(Transport::Udp));
    let entry = |name: &str, adapter: &str, next_hop: Option<&str>, trusted: &[&str]| DomainEntry {
        name: Domain::parse(name).unwrap(),
        own_name: None,
        role: Role::Local,
        adapter: Some(adapter.into()),
        next_hop: next_hop.map(Into::into),
        trusted: trusted.iter().map(|network| network.parse().unwrap()).collect(),
    };
    // RFC 863: what listens there answers nothing.
    let hop = if given.no_sip { "sip:127.0.0.1:9;transport=tcp" } else { hop.as_str() };
    let next_hop = (!given.two_servers && secured.is_none()).then_some(hop);
    let trusted: &[&str] = if given.digest { &[] } else { &["127.0.0.1/32"] };
    Configuration::new(
        Domain::parse("gw.example.com").unwrap(),
        vec![entry("example.com", "office", None, &[]), entry(SIP_DOMAIN, "sip", next_hop, trusted)],
    )
}

fn zone(given: &Given, sip: &SipPeer, secured: Option<&SecuredServer>) -> Zone {
    if let Some(server) = secured {
        let port = server.address().port();
        let text =
            format!("$ORIGIN example.net.\n_sips._tcp 60 IN SRV 0 0 {port} server1\nserver1 60 IN A 127.0.0.1\n");
        return Zone::parse(&text).unwrap();
    }
    if !given.two_servers {
        return Zone::new();
    }
    let (first, second) = (sip.address(0).port(), sip.address(1).port());
    let text = format!(
        "$ORIGIN example.net.\n\
         _sip._udp 60 IN SRV 0 0 {first} server1\n\
         _sip._udp 60 IN SRV 1 0 {second} server2\n\
         server1 60 IN A 127.0.0.1\n\
         server2 60 IN A 127.0.0.1\n"
    );
    Zone::parse(&text).unwrap()
}

fn instances(given: &Given, xmpp: SocketAddr, context: &Context) -> Vec<Instance> {
    let mut sip = json!({
        "listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "ws:127.0.0.1:0"],
        "large_messages": if given.refuse_large { "refuse" } else { "tcp" },
        "presence": {
            "min_expires": given.presence.min_expires,
            "notify_interval": given.presence.notify_interval,
            "agent": if given.presence.agent { vec![SIP_DOMAIN] } else { vec![] },
            "agent_approval": "everyone",
        },
    });
    if given.digest {
        sip["digest"] = json!(["sha-256", "md5"]);
        sip["user"] = json!([{ "address": "romeo@example.net", "password": "montague" }]);
    }
    let sip = adapter_sip::new("sip".into(), serde_json::from_value(sip).unwrap(), context.clone()).unwrap();
    let vouches_for = [given.presence.vouches_for];
    let office = json!({
        "connect": xmpp.to_string(), "domain": given.component, "secret": SECRET, "vouches_for": vouches_for,
    });
    let office = adapter_xmpp::new("office".into(), serde_json::from_value(office).unwrap(), context.clone()).unwrap();
    vec![Instance { name: "sip".into(), adapter: sip }, Instance { name: "office".into(), adapter: office }]
}

/// The hub, and where its adapters listen.
struct Listening {
    core: Arc<Core>,
    listening: mpsc::UnboundedSender<(String, SocketAddr)>,
}

impl HubCore for Listening {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        self.core.submit(operation, provenance, settle)
    }

    fn peer_changed(&self, adapter: &InstanceName, peer: &str, state: PeerState) {
        self.core.peer_changed(adapter, peer, state);
    }

    fn translation_loss(&self, adapter: &InstanceName, field: &str, how: Carries) {
        self.core.translation_loss(adapter, field, how);
    }

    fn configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.core.configuration()
    }

    fn state(&self) -> Option<Arc<dyn AdapterState>> {
        self.core.state()
    }

    fn peer_proven(&self, adapter: &InstanceName, peer: &str, proof: &str, protection: &str) {
        self.core.peer_proven(adapter, peer, proof, protection);
    }

    fn peer_registered(&self, adapter: &InstanceName, peer: &str, registration: Registration) {
        self.core.peer_registered(adapter, peer, registration);
    }

    fn commit(&self) {
        self.core.commit();
    }

    fn owe(&self, adapter: &InstanceName, word: DispositionOperation, repeat: bool, done: StateDone) {
        self.core.owe(adapter, word, repeat, done);
    }

    fn listening(&self, _: &InstanceName, transport: &str, address: SocketAddr) {
        // The receiver goes once both addresses are known.
        let _ = self.listening.send((transport.to_owned(), address));
    }
}
