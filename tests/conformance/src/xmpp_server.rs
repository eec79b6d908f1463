//! The XMPP network around the gateway: a server whose component it is.

use std::collections::VecDeque;
use std::time::Instant;

use strict_xml::Element;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use xmpp_proto::component::{ComponentServer, Output, Secret, ServerConfig};

/// What both ends know.
pub(crate) const SECRET: &str = "s3cret";

/// The server; its connection is served by a task.
pub(crate) struct XmppServer {
    commands: mpsc::UnboundedSender<Command>,
    stanzas: mpsc::UnboundedReceiver<Arrival>,
}

/// What came over the link.
pub(crate) enum Arrival {
    /// The stream is open.
    Open,
    /// A stanza other than a ping, and the octets that have come since the one before.
    Stanza(Element, Vec<u8>),
}

enum Command {
    Send(String),
    AnswerPings,
}

impl XmppServer {
    /// Serves the first connection to `listener` that opens a stream for `domain`. Pings are held back until
    /// [`answer_pings`](Self::answer_pings).
    pub(crate) fn serve(listener: TcpListener, domain: &str) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (sender, stanzas) = mpsc::unbounded_channel();
        let mut config = ServerConfig::default();
        config.components.insert(domain.to_owned(), Secret::new(SECRET));
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let machine = ComponentServer::new(config, "stream-1".into(), Instant::now());
            let pings = Pings { held: VecDeque::new(), answering: false };
            Connection { socket, machine, pings, wire: Vec::new(), stanzas: sender }.run(receiver).await;
        });
        Self { commands, stanzas }
    }

    /// Sends octets as they are.
    pub(crate) fn send(&self, xml: &str) {
        self.commands.send(Command::Send(xml.to_owned())).expect("the link is up");
    }

    /// Answers the pings that were held back, in order, and later ones as they come.
    pub(crate) fn answer_pings(&self) {
        self.commands.send(Command::AnswerPings).expect("the link is up");
    }

    /// The next arrival. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arrival {
        self.stanzas.recv().await.expect("the component's link ended")
    }
}

struct Connection {
    socket: TcpStream,
    machine: ComponentServer,
    pings: Pings,
    wire: Vec<u8>,
    stanzas: mpsc::UnboundedSender<Arrival>,
}

struct Pings {
    held: VecDeque<Element>,
    answering: bool,
}

impl Connection {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut buffer = vec![0; 65_536];
        loop {
            tokio::select! {
                count = self.socket.read(&mut buffer) => {
                    let Ok(count @ 1..) = count else { return };
                    self.wire.extend_from_slice(&buffer[..count]);
                    self.machine.handle_bytes(&buffer[..count], Instant::now());
                }
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Send(xml)) => self.send(&xml),
                    Some(Command::AnswerPings) => self.pings.answering = true,
                },
            }
            if !self.drain().await {
                return;
            }
        }
    }

    fn send(&mut self, xml: &str) {
        self.machine.send_encoded(xml.as_bytes(), Instant::now()).expect("an open stream");
    }

    /// Whether the stream goes on.
    async fn drain(&mut self) -> bool {
        loop {
            while self.pings.answering
                && let Some(ping) = self.pings.held.pop_front()
            {
                let end = |name: &str| ping.attr(name).unwrap();
                self.send(&format!("<iq type='result' from='{}' to='{}' id='{}'/>", end("to"), end("from"), end("id")));
            }
            let Some(output) = self.machine.poll_output() else { return true };
            match output {
                Output::Send(octets) => {
                    if self.socket.write_all(&octets).await.is_err() {
                        return false;
                    }
                }
                Output::Opened => drop(self.stanzas.send(Arrival::Open)),
                Output::Stanza(stanza) if is_ping(&stanza) => self.pings.held.push_back(stanza),
                Output::Stanza(stanza) => {
                    drop(self.stanzas.send(Arrival::Stanza(stanza, std::mem::take(&mut self.wire))));
                }
                Output::Failed(error) => panic!("the component's stream failed: {error:?}"),
                Output::Closed => return false,
            }
        }
    }
}

/// XEP-0199 §4.2: the barrier of a component.
fn is_ping(stanza: &Element) -> bool {
    stanza.name == *"iq" && stanza.attr("type") == Some("get") && stanza.child("ping", "urn:xmpp:ping").is_some()
}
