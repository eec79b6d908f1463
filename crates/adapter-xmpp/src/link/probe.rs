//! Whether the server behind a component link takes the secret, asked over a connection of its own.

use std::time::{Duration, Instant};

use adapter_api::{Check, Dns};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use xmpp_proto::component::{ComponentConfig, ComponentStream, LinkConfig, LinkError, Output, Secret};
use xmpp_proto::stream::StreamCondition;

use super::connect_to;
use crate::config::Settings;

/// What the whole handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets read at once: a handshake is short.
const READ_BUFFER: usize = 4 * 1024;

/// Connects, shows the secret and leaves.
pub(crate) async fn probe(settings: &Settings, dns: &dyn Dns) -> Vec<Check> {
    let hop = format!("{}:{}", settings.host, settings.port);
    let socket = match connect_to(dns, &settings.host, settings.port).await {
        Ok(socket) => socket,
        Err(error) => {
            let remedy = format!("start the XMPP server, have it listen for components at {hop}, or correct `connect`");
            return vec![Check::fail("server", format!("{hop}: {error}"), remedy)];
        }
    };
    let shaken = timeout(PATIENCE, shake_hands(settings, socket)).await.unwrap_or(Err(LinkError::Timeout));
    vec![Check::ok("server", format!("tcp {hop}")), judge(settings, shaken)]
}

fn judge(settings: &Settings, shaken: Result<(), LinkError>) -> Check {
    const ITEM: &str = "component secret";
    let domain = &settings.domain;
    let condition = match &shaken {
        Ok(()) => return Check::ok(ITEM, "taken"),
        Err(LinkError::Peer(said) | LinkError::Refused(said)) => Some(said.condition),
        Err(LinkError::Timeout | LinkError::Eof) => None,
    };
    match (condition, shaken) {
        (Some(StreamCondition::NotAuthorized), _) => {
            let remedy = format!("give `secret_file` and the server's component {domain} the same secret");
            Check::fail(ITEM, "refused: the secrets differ", remedy)
        }
        (Some(StreamCondition::HostUnknown), _) => {
            Check::fail(ITEM, "the server knows no such component", format!("add a component {domain} on the server"))
        }
        (Some(StreamCondition::Conflict), _) => Check::ok(ITEM, "taken; the component is connected already"),
        (_, Err(error)) => {
            let said = condition.map_or_else(|| error.to_string(), |condition| condition.to_string());
            Check::fail(ITEM, said, format!("see the XMPP server's log; it must have a component {domain}"))
        }
        (_, Ok(())) => Check::ok(ITEM, "taken"),
    }
}

async fn shake_hands(settings: &Settings, mut socket: TcpStream) -> Result<(), LinkError> {
    let config = ComponentConfig {
        domain: settings.domain.to_unicode().into_owned(),
        secret: Secret::new(settings.secret.expose()),
        link: LinkConfig { open_timeout: PATIENCE, ..LinkConfig::default() },
    };
    let mut stream = ComponentStream::new(config, Instant::now());
    let mut input = BytesMut::with_capacity(READ_BUFFER);
    loop {
        while let Some(output) = stream.poll_output() {
            match output {
                Output::Send(octets) => socket.write_all(&octets).await.map_err(|_| LinkError::Eof)?,
                Output::Opened => {
                    // The server must not count on this connection for a moment longer.
                    let _ = socket.write_all(xmpp_proto::stream::STREAM_END).await;
                    return Ok(());
                }
                Output::Failed(error) => return Err(error),
                Output::Closed => return Err(LinkError::Eof),
                Output::Stanza(_) => {}
            }
        }
        match socket.read_buf(&mut input).await {
            Ok(0) | Err(_) => stream.handle_eof(),
            Ok(_) => stream.handle_bytes(&input.split(), Instant::now()),
        }
    }
}
