//! The conformance kit on an adapter behind the stream: as good as in the gateway's own process.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../adapter-line/tests/users/mod.rs"]
mod users;

use adapter_api::testkit::{Act, Kit, Network, Profile, Seen, Unable};
use adapter_api::{Adapter, Shutdown, ShutdownTrigger};
use adapter_external::client::{Settings, serve};
use adapter_external::{Config, ExternalAdapter};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;
use users::Users;

/// The toy network, with its adapter at the other end of a socket.
struct External {
    users: Users,
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
        let config = Config {
            socket_file: self.folder.path().join(format!("{}.sock", self.starts)),
            capabilities_file,
            domains: vec![domain.clone()],
            command: Vec::new(),
            resume_within: std::time::Duration::from_secs(10),
            heartbeat: std::time::Duration::from_secs(5),
        };
        assert_eq!(config.problems(), []);
        let settings = Settings { socket: config.socket_file.clone(), instance: "kit".into(), domains: vec![domain] };
        let (trigger, shutdown) = Shutdown::new();
        self.trigger = Some(trigger);
        self.process.spawn(async move { serve(line, settings, shutdown).await.unwrap() });
        Ok(Arc::new(ExternalAdapter::new("kit".into(), config).unwrap()))
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

#[tokio::test]
async fn an_adapter_behind_the_stream_passes_the_kit() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = External { users: Users::new(), folder, process: JoinSet::new(), trigger: None, starts: 0 };
    let report = Kit::default().judge(&mut network).await;
    assert!(report.passed(), "{report}");
}
