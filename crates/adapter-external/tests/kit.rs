//! The conformance kit on an adapter behind the stream: as good as in the gateway's own process.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../adapter-line/tests/users/mod.rs"]
mod users;

use adapter_api::testkit::{Act, Kit, Network, Profile, Seen, Unable};
use adapter_api::{Adapter, Shutdown, ShutdownTrigger, Tls};
use adapter_external::client::{Settings, serve};
use adapter_external::{Config, Dial, ExternalAdapter};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;
use transport::tls::testkit::{Authority, San};
use users::Users;

/// The toy network, with its adapter at the other end of a socket, or of mutual TLS.
struct External {
    users: Users,
    tls: bool,
    folder: tempfile::TempDir,
    process: JoinSet<()>,
    trigger: Option<ShutdownTrigger>,
    starts: u32,
}

#[async_trait::async_trait]
impl Network for External {
    fn profile(&self) -> Profile {
        self.users.profile()
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        self.process = JoinSet::new();
        self.starts += 1;
        let line = self.users.adapter().await?;
        let capabilities_file = self.folder.path().join("line.json");
        std::fs::write(&capabilities_file, serde_json::to_vec(line.capabilities()).unwrap()).unwrap();
        let domain = self.profile().user.domain().clone();
        let folder = self.folder.path();
        let mut config = Config {
            socket_file: Some(folder.join(format!("{}.sock", self.starts))),
            listen: None,
            client_authority_file: None,
            client_name: None,
            capabilities_file,
            domains: vec![domain.clone()],
            command: Vec::new(),
            resume_within: std::time::Duration::from_secs(10),
            heartbeat: std::time::Duration::from_secs(5),
        };
        let mut tls = Tls::none(domain.clone());
        let ours = Authority::new("ours");
        if self.tls {
            config.socket_file = None;
            config.listen = Some("tls:127.0.0.1:0".parse().unwrap());
            config.client_authority_file = Some(folder.join("ca.pem"));
            config.client_name = Some("adapter.example".parse().unwrap());
            tls = Tls::load(ours.settings(folder, &[("gw", &ours.issue(&[San::Dns("gw.example")]))]), domain.clone())
                .unwrap();
        }
        assert_eq!(config.problems(), []);
        let socket = config.socket_file.clone();
        let adapter = Arc::new(ExternalAdapter::new("kit".into(), config, Arc::new(tls)).unwrap());
        let files = ours.issue(&[San::Dns("adapter.example")]).write(folder, "adapter");
        let (gateway, authority) = (Arc::clone(&adapter), folder.join("ca.pem"));
        let (trigger, shutdown) = Shutdown::new();
        self.trigger = Some(trigger);
        self.process.spawn(async move {
            let dial = match socket {
                Some(socket) => Dial::Socket(socket),
                None => {
                    let address = gateway.listening_at().await.unwrap().to_string();
                    Dial::tls(&address, "gw.example".parse().unwrap(), files, authority).unwrap()
                }
            };
            let settings = Settings { gateway: dial, instance: "kit".into(), domains: vec![domain] };
            serve(line, settings, shutdown).await.unwrap();
        });
        Ok(adapter)
    }

    fn listening(&mut self, address: SocketAddr) {
        self.users.listening(address);
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        self.users.act(act).await
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.users.seen().await
    }
}

async fn judge(tls: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut network = External { users: Users::new(), tls, folder, process: JoinSet::new(), trigger: None, starts: 0 };
    let report = Kit::default().judge(&mut network).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn an_adapter_behind_the_stream_passes_the_kit() {
    judge(false).await;
}

#[tokio::test]
async fn an_adapter_behind_mutual_tls_passes_the_kit() {
    judge(true).await;
}
