//! A running gateway: the one way in which `serve` and `demo` start, watch and stop it.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapter_api::{
    AdapterError, AdapterState, Carries, Configuration, Hub, HubCore, InstanceName, PeerState, Provenance,
    Registration, Settle, Shutdown, ShutdownTrigger, StateDone, TraceId,
};
use anyhow::{Context, Result, anyhow};
use impp_model::{DispositionOperation, Operation};
use interwork::Core;
use ops::{Admin, AdminToken, Audit, Readiness, Tokens};
use serde_json::Value;
use store::Store;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::archive::Clerk;
use crate::blocklists;
use crate::canaries;
use crate::config::{AdminListen, Checked};
use crate::doctor::Practice;
use crate::gateway::{Gateway, domains_of};
use crate::reload::Reloader;
use crate::stored::{Place, Stored, flush};

/// A gateway whose adapters have been started.
pub(crate) struct Running {
    /// The hub.
    pub(crate) core: Arc<Core>,
    /// Where the admin API is served.
    pub(crate) admin: AdminListen,
    /// Where changes are written down.
    pub(crate) audit: Audit,
    /// How it takes over a changed configuration.
    pub(crate) reloader: Arc<Reloader>,
    store: Arc<dyn Store>,
    observed: Arc<Observer>,
    adapters: JoinSet<(InstanceName, Result<(), AdapterError>)>,
    adapter_shutdown: ShutdownTrigger,
    /// The admin API and the hub's own clock; the API outlives the adapters, to show the drain.
    background: JoinSet<()>,
    stop_admin: watch::Sender<bool>,
}

/// An open listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The instance.
    pub(crate) adapter: InstanceName,
    /// `udp`, `tcp` or `http`.
    pub(crate) transport: String,
    /// With the port that was chosen for port 0.
    pub(crate) address: SocketAddr,
}

#[cfg(feature = "acme")]
fn acme_settings(acme: &crate::config::Acme) -> transport::acme::AcmeSettings {
    use crate::config::AcmeChallenge;
    use transport::acme::{AcmeSettings, Challenge};
    let external_account = acme.external_account.as_ref().map(crate::config::ExternalAccount::settings);
    AcmeSettings {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        domains: acme.domains.clone(),
        challenge: match acme.challenge {
            AcmeChallenge::Http01 => Challenge::Http01,
            AcmeChallenge::TlsAlpn01 => Challenge::TlsAlpn01,
        },
        listen: acme.listen(),
        folder: acme.folder.clone(),
        certificate: acme.certificate(),
        external_account,
    }
}

/// How long adapters may take to close their streams once nothing is held any more.
const CLOSING: Duration = Duration::from_secs(5);

impl Running {
    /// Opens the admin API and starts every adapter; their listeners open a moment later. `file` is read again at a reload.
    pub(crate) async fn start(checked: &Checked, stored: Stored, file: Option<PathBuf>) -> Result<Self> {
        let Gateway { core, store, instances, live, tls, dns } = Gateway::new(checked, stored)?;
        let readiness = Readiness::default();
        let observed = Arc::new(Observer::new(core.clone(), readiness.clone(), checked));
        let (adapter_shutdown, shutdown) = Shutdown::new();
        let mut adapters = JoinSet::new();
        for instance in instances {
            let (hub, shutdown) = (Hub::new(observed.clone(), instance.name.clone()), shutdown.clone());
            adapters.spawn(async move { (instance.name, instance.adapter.run(hub, shutdown).await) });
        }
        let mut background = JoinSet::new();
        let clock = core.clone();
        background.spawn(async move { clock.run().await });
        let files = tls.clone();
        background.spawn(async move { files.watch().await });
        #[cfg(feature = "acme")]
        if let Some(acme) = &checked.config.tls.acme {
            background.spawn(transport::acme::keep(acme_settings(acme), tls.clone()));
        }
        if let Some(archive) = &checked.config.archive {
            let clerk = Clerk::new(archive, Place::of(&checked.config.gateway).as_ref(), core.clone())?;
            background.spawn(clerk.run());
        }
        #[cfg(feature = "otel")]
        if let Some(endpoint) = checked.config.trace.otlp_endpoint.clone() {
            background.spawn(crate::telemetry::export(core.clone(), endpoint, env!("CARGO_PKG_VERSION")));
        }
        let reloader = Arc::new(Reloader::new(file, checked.config.clone(), core.clone(), tls.clone(), live));
        let lists = reloader.clone();
        background.spawn(async move { blocklists::watch(&lists).await });
        let planned = reloader.clone();
        background.spawn(async move { canaries::send(&planned).await });
        let (stop_admin, admin_stops) = watch::channel(false);
        let audit = Audit::new(audit_file(checked)?);
        let admin = Admin {
            core: core.clone(),
            doctor: Arc::new(Practice::new(reloader.clone(), tls.clone(), dns)),
            tls,
            readiness,
            configured: reloader.clone(),
            tokens: admin_tokens(checked)?,
            audit: audit.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let admin = serve_admin(checked, admin, admin_stops, &mut background).await?;
        Ok(Self { core, admin, audit, reloader, store, observed, adapters, adapter_shutdown, background, stop_admin })
    }

    /// Waits until every listener is open and each component link has been up once; fails when an adapter can't start.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let mut changes = self.observed.changes.subscribe();
        loop {
            if self.observed.readiness.missing().is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(ended) = self.adapters.join_next() => return Err(self.early_end(ended)),
                _ = changes.changed() => {}
            }
        }
    }

    /// Waits until every listener is open, whatever the peers do.
    pub(crate) async fn listening(&mut self) -> Result<Vec<Listener>> {
        let mut changes = self.observed.changes.subscribe();
        loop {
            if !self.observed.readiness.missing().iter().any(|what| what.starts_with(LISTENERS)) {
                return Ok(self.observed.changes.borrow().clone());
            }
            tokio::select! {
                Some(ended) = self.adapters.join_next() => return Err(self.early_end(ended)),
                _ = changes.changed() => {}
            }
        }
    }

    /// Waits for an adapter to end by itself, which none should; marks it as failed.
    pub(crate) async fn adapter_failed(&mut self) {
        let Some(ended) = self.adapters.join_next().await else { return std::future::pending().await };
        let name = ended.as_ref().map_or_else(|_| "an adapter".to_owned(), |(name, _)| format!("adapter {name}"));
        tracing::error!("{:#}; restart the gateway to start it again", self.early_end(ended));
        self.observed.readiness.awaits(format!("{name}, which has stopped"));
    }

    /// Refuses what is new, waits for what is held at most `limit`, then closes every stream. Returns what was still
    /// held at the end of the wait.
    pub(crate) async fn stop(mut self, limit: Duration) -> usize {
        let held = self.core.drain(limit).await;
        self.adapter_shutdown.shut_down();
        let closed =
            tokio::time::timeout(limit.max(CLOSING), async { while self.adapters.join_next().await.is_some() {} });
        if closed.await.is_err() {
            tracing::warn!("an adapter did not close in time");
        }
        self.adapters.abort_all();
        self.archive_rest().await;
        self.stop_admin.send_replace(true);
        self.background.abort_all();
        let (ledger, now) = (self.core.ledger(), self.core.timestamp());
        if held == 0 {
            ledger.end(now)
        } else {
            ledger.checkpoint(now, true)
        }
        let store = self.store.clone();
        if tokio::time::timeout(CLOSING, tokio::task::spawn_blocking(move || flush(&*store))).await.is_err() {
            tracing::error!("the store did not write what was left in time");
        }
        held
    }
}

impl Running {
    /// Why an adapter has ended, and what to do.
    fn early_end(
        &self,
        ended: Result<(InstanceName, Result<(), AdapterError>), tokio::task::JoinError>,
    ) -> anyhow::Error {
        match ended {
            Ok((name, Err(error))) => {
                let (key, remedy) = if let AdapterError::Listen { listen, source } = &error {
                    let config = self.reloader.running();
                    let key = listen_key(config.adapter.get(name.as_str()), &name, listen);
                    (key, transport::listen_remedy(source))
                } else {
                    (format!("adapter.{name}"), "correct the key; `interlingua check` says more")
                };
                anyhow::Error::new(error).context(format!("{key}: {remedy}"))
            }
            Ok((name, Ok(()))) => anyhow!("adapter.{name} ended by itself"),
            Err(error) => anyhow::Error::new(error).context("an adapter broke down"),
        }
    }

    /// Waits for the archive to take what is left, as long as it takes anything.
    async fn archive_rest(&self) {
        let Some(archive) = self.core.archive() else { return };
        let end = tokio::time::Instant::now() + CLOSING;
        while archive.is_up() && archive.counts().0 > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if archive.counts().0 > 0 {
            tracing::warn!(records = archive.counts().0, "stopped with records that the archive has not taken");
        }
    }
}

/// The key of a listener, with its place in the list.
fn listen_key(table: Option<&Value>, name: &InstanceName, listen: &str) -> String {
    let listed = table.and_then(|table| table.get("listen")?.as_array());
    let place = listed.and_then(|list| list.iter().position(|one| one.as_str() == Some(listen)));
    place.map_or_else(|| format!("adapter.{name}.listen"), |place| format!("adapter.{name}.listen[{place}]"))
}

fn admin_tokens(checked: &Checked) -> Result<Tokens> {
    let read = |key: &str, path: &Option<PathBuf>| {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("admin.{key}: {}", path.display()));
        path.as_ref().map(read).transpose().map(|text| text.map(|text: String| AdminToken::new(&text)))
    };
    let admin = &checked.config.admin;
    Ok(Tokens { full: read("token_file", &admin.token_file)?, read: read("read_token_file", &admin.read_token_file)? })
}

fn audit_file(checked: &Checked) -> Result<Option<File>> {
    let open = |path: &PathBuf| {
        let file = File::options().append(true).create(true).open(path);
        file.with_context(|| format!("admin.audit_file: cannot write {}", path.display()))
    };
    checked.config.admin.audit_file.as_ref().map(open).transpose()
}

async fn serve_admin(
    checked: &Checked,
    admin: Admin,
    mut stops: watch::Receiver<bool>,
    background: &mut JoinSet<()>,
) -> Result<AdminListen> {
    let listen = &checked.config.admin.listen;
    let in_the_way = || {
        let remedy = "stop who listens there, or name a file in a folder that the gateway may write to";
        format!("admin.listen = \"{listen}\": {remedy}")
    };
    let (listener, at) = match listen {
        AdminListen::Network(address) => {
            let listener = TcpListener::bind(address).await.map_err(|error| {
                let remedy = transport::listen_remedy(&error);
                anyhow::Error::new(error).context(format!("admin.listen = \"{listen}\": {remedy}"))
            })?;
            let address = listener.local_addr()?;
            (ops::Listener::Tcp(listener), AdminListen::Network(address))
        }
        AdminListen::Socket(path) => (ops::Listener::Unix(bind_socket(path).with_context(in_the_way)?), listen.clone()),
    };
    background.spawn(async move {
        let stopped = async move {
            // An error means that the gateway is gone.
            let _ = stops.wait_for(|stop| *stop).await;
        };
        ops::serve(listener, admin, stopped).await;
    });
    Ok(at)
}

/// Opens a socket file for its owner and group, in place of one that nobody listens at any more.
fn bind_socket(path: &Path) -> Result<UnixListener> {
    let left_over = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if left_over && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// The hub as adapters see it here: what they tell about themselves decides when the gateway is ready.
struct Observer {
    core: Arc<Core>,
    readiness: Readiness,
    /// Listeners that each instance has still to open.
    closed: parking_lot::Mutex<BTreeMap<InstanceName, usize>>,
    changes: watch::Sender<Vec<Listener>>,
}

/// Listeners that are shown: more than any configuration has, and what an adapter's process tells without end goes no further.
const MAX_LISTENERS: usize = 256;

/// How readiness calls what it awaits.
const LISTENERS: &str = "listeners of ";
const LINK: &str = "link of ";

impl Observer {
    fn new(core: Arc<Core>, readiness: Readiness, checked: &Checked) -> Self {
        let mut closed = BTreeMap::new();
        for (name, configured) in &checked.adapters {
            let table = checked.config.adapter.get(name);
            // What an external adapter tells are listeners of its own; where it connects itself is none for peers.
            let table = table.filter(|_| configured.type_name() != "external");
            match table.and_then(|table| table.get("listen")) {
                Some(Value::Array(several)) => drop(closed.insert(InstanceName::from(name.as_str()), several.len())),
                Some(_) => drop(closed.insert(InstanceName::from(name.as_str()), 1)),
                None => {}
            }
            if closed.contains_key(&InstanceName::from(name.as_str())) {
                readiness.awaits(format!("{LISTENERS}{name}"));
            }
            if configured.type_name() == "xmpp-component" {
                readiness.awaits(format!("{LINK}{name}"));
            }
            let domains: Vec<_> = domains_of(&checked.config, name).into_iter().collect();
            tracing::info!(adapter = name, kind = configured.type_name(), domains = domains.join(" "), "serves");
        }
        Self { core, readiness, closed: closed.into(), changes: watch::Sender::new(Vec::new()) }
    }

    fn one_more_open(&self, adapter: &InstanceName) {
        let mut closed = self.closed.lock();
        if let Some(left) = closed.get_mut(adapter) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.readiness.reached(&format!("{LISTENERS}{adapter}"));
            }
        }
    }
}

impl HubCore for Observer {
    fn submit(&self, operation: Operation, provenance: Arc<Provenance>, settle: Settle) -> TraceId {
        self.core.submit(operation, provenance, settle)
    }

    fn peer_changed(&self, adapter: &InstanceName, peer: &str, state: PeerState) {
        self.core.peer_changed(adapter, peer, state);
        if state == PeerState::Up {
            self.readiness.reached(&format!("{LINK}{adapter}"));
            self.changes.send_modify(|_| {});
        }
    }

    fn peer_proven(&self, adapter: &InstanceName, peer: &str, proof: &str, protection: &str) {
        self.core.peer_proven(adapter, peer, proof, protection);
    }

    fn peer_registered(&self, adapter: &InstanceName, peer: &str, registration: Registration) {
        self.core.peer_registered(adapter, peer, registration);
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

    fn commit(&self) {
        self.core.commit();
    }

    fn owe(&self, adapter: &InstanceName, word: DispositionOperation, repeat: bool, done: StateDone) {
        self.core.owe(adapter, word, repeat, done);
    }

    fn listening(&self, adapter: &InstanceName, transport: &str, address: SocketAddr) {
        self.one_more_open(adapter);
        let listener = Listener { adapter: adapter.clone(), transport: transport.to_owned(), address };
        self.changes.send_modify(|listeners| {
            // An adapter's process that starts again tells the same again.
            if listeners.len() < MAX_LISTENERS && !listeners.contains(&listener) {
                listeners.push(listener);
            }
        });
    }
}
