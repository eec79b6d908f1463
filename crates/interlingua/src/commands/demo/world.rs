//! The gateway and everybody around it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use super::native_user::NativeUser;
use super::sip_user::SipUser;
use super::xmpp_domain::XmppDomain;
use super::{Heard, Side, Told};
use crate::config::{self, Checked};
use crate::running::{Listener, Running};
use crate::stored::Stored;
use crate::{logging, output};

/// The gateway and its peers, all of them running.
pub(super) struct World {
    pub(super) gateway: Running,
    pub(super) users: Users,
    pub(super) heard: mpsc::Receiver<Heard>,
    listeners: Vec<Listener>,
    token: String,
}

/// One user of each network.
pub(super) struct Users {
    sip: SipUser,
    xmpp: XmppDomain,
    native: NativeUser,
}

impl Users {
    /// Sends one message as the user of `from`; waits for what that user is told.
    ///
    /// An XMPP user is told of failures only: `None` when nothing came in `patience`.
    pub(super) async fn send(&self, from: Side, to: &str, text: &str, patience: Duration) -> Result<Option<Told>> {
        match from {
            Side::Sip => self.sip.send(to, text).await.map(Some),
            Side::Xmpp => self.xmpp.send(to, text, patience).await,
            Side::Native => self.native.send(to, text).await.map(Some),
        }
    }
}

impl Users {
    /// Subscribes the user of `watcher` to somebody's presence.
    pub(super) async fn watch(&self, watcher: Side, target: &str) -> Result<()> {
        match watcher {
            Side::Sip => self.sip.watch(target).await,
            Side::Xmpp => self.xmpp.watch(target).await,
            Side::Native => self.native.watch(target).await,
        }
    }
}

/// Messages that nobody has looked at yet; a person at the demonstration sends fewer.
const HEARD: usize = 64;

impl World {
    pub(super) async fn start() -> Result<Self> {
        let sip_socket = UdpSocket::bind("127.0.0.1:0").await.context("the SIP user's socket")?;
        let xmpp_listener = TcpListener::bind("127.0.0.1:0").await.context("the XMPP server's socket")?;
        let (token, secret) = (random_text(), random_text());
        let file = configuration(sip_socket.local_addr()?, xmpp_listener.local_addr()?, &secret, &token);
        let checked = load(&file)?;
        logging::start(&checked.config.log);
        let (ears, heard) = mpsc::channel(HEARD);
        let xmpp = XmppDomain::start(xmpp_listener, secret, ears.clone());
        let mut gateway = Running::start(&checked, Stored::none()?, None).await?;
        let listeners = gateway.listening().await?;
        let address = |transport: &str| {
            let listener = listeners.iter().find(|listener| listener.transport == transport);
            listener
                .map(|listener| listener.address)
                .with_context(|| format!("the gateway has no {transport} listener"))
        };
        let sip = SipUser::start(sip_socket, address("udp")?, ears.clone())?;
        let native = NativeUser::start(address("http")?, &token, ears).await?;
        gateway.ready().await?;
        Ok(Self { gateway, users: Users { sip, xmpp, native }, heard, listeners, token })
    }

    /// What listens where, for a person.
    pub(super) fn describe(&self) -> String {
        let mut text = "Interlingua demonstration: everything on 127.0.0.1, over real sockets.\n".to_owned();
        for listener in &self.listeners {
            text.push_str(&format!("  gateway  {:<6} {}\n", listener.transport, listener.address));
        }
        text.push_str(&format!("  gateway  admin  http://{}\n", self.gateway.admin));
        for side in Side::ALL {
            text.push_str(&format!("  {:<7}  user   {}\n", side.name(), side.address()));
        }
        text
    }

    /// How to go on by hand.
    pub(super) fn hints(&self) -> String {
        let program = std::env::args().next().unwrap_or_else(|| "interlingua".to_owned());
        let native = self.users.native.server();
        let admin = format!("http://{}", self.gateway.admin);
        let (sip, xmpp, carol) = (Side::Sip.address(), Side::Xmpp.address(), Side::Native.address());
        format!(
            "\nThe gateway keeps serving until Ctrl-C. In another terminal:\n\
             \n  export INTERLINGUA_SERVER={native} INTERLINGUA_TOKEN={token} INTERLINGUA_ADMIN={admin}\n\
             \n  {program} send {sip} \"Grüße an SIP\"\n  {program} send {xmpp} \"Grüße an XMPP\"\n  \
             {program} send nobody@{sip_domain} \"Is anybody there?\"\n  \
             {program} watch --device terminal        # what arrives for {carol}\n  \
             {program} send {carol} \"a note to self\"\n  \
             {program} status\n  {program} trace ID                        # the trace that send prints\n  \
             curl -s {admin}/metrics\n  \
             curl -s -H \"Authorization: Bearer {token}\" -H \"Content-Type: application/json\" \\\n    \
             -d '{{\"to\":\"{xmpp}\",\"content_type\":\"text/plain\",\"body\":\"Hi\"}}' {native}/v1/messages\n",
            token = self.token,
            sip_domain = Side::Sip.domain(),
        )
    }

    /// Ends the gateway in order; the peers go with it.
    pub(super) async fn stop(self) {
        self.gateway.stop(Duration::from_secs(3)).await;
    }
}

fn load(file: &str) -> Result<Checked> {
    config::load_text(file, Path::new("demo.toml"))
        .inspect_err(|report| output::diagnose(&report.text()))
        .map_err(Into::into)
}

/// The gateway's configuration, read as any other.
fn configuration(sip: std::net::SocketAddr, xmpp: std::net::SocketAddr, secret: &str, token: &str) -> String {
    let [sip_domain, xmpp_domain, native_domain] = Side::ALL.map(Side::domain);
    let carol = Side::Native.address();
    format!(
        r#"
[gateway]
name = "gw.demo.example"
[admin]
listen = "127.0.0.1:0"
[log]
level = "warn"

[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
[adapter.sip.presence]
notify_interval = "0s"
[adapter.xmpp]
type = "xmpp-component"
connect = "{xmpp}"
domain = "{sip_domain}"
secret = "{secret}"
[adapter.xmpp-native]
type = "xmpp-component"
connect = "{xmpp}"
domain = "{native_domain}"
secret = "{secret}"
[adapter.native]
type = "native"
listen = "127.0.0.1:0"
[[adapter.native.user]]
address = "{carol}"
token = "{token}"

[[domain]]
name = "{sip_domain}"
adapter = "sip"
next_hop = "sip:{sip};transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "{xmpp_domain}"
adapter = "xmpp"
[[domain]]
name = "{native_domain}"
adapter = "native"
"#
    )
}

/// 128 random bits as text.
pub(super) fn random_text() -> String {
    format!("{:032x}", rand::random::<u128>())
}
