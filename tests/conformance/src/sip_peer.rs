//! The SIP network around the gateway: UDP sockets that are its next hops, and a TCP connection to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::sip_text::SipText;

/// What came from the gateway.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) what: Came,
    pub(crate) way: Way,
    pub(crate) at: Instant,
}

#[derive(Debug)]
pub(crate) enum Came {
    Message(SipText),
    /// Line ends between messages.
    Pong,
}

/// How it came, and so how an answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the socket of this number, from that address.
    Udp(usize, SocketAddr),
    Tcp,
}

/// How a stimulus is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

pub(crate) struct SipPeer {
    sockets: Vec<Arc<UdpSocket>>,
    tcp: Option<OwnedWriteHalf>,
    sender: mpsc::UnboundedSender<Arrival>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

impl SipPeer {
    /// Opens two sockets: the first sends, both can be next hops.
    pub(crate) async fn open() -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let mut sockets = Vec::new();
        for number in 0..2 {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            tokio::spawn(read_datagrams(number, Arc::clone(&socket), sender.clone()));
            sockets.push(socket);
        }
        Self { sockets, tcp: None, sender, arrivals }
    }

    /// The address of a socket.
    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.sockets[number].local_addr().unwrap()
    }

    /// Connects to the gateway, once.
    pub(crate) async fn connect(&mut self, gateway: SocketAddr) {
        let (reader, writer) = TcpStream::connect(gateway).await.unwrap().into_split();
        tokio::spawn(read_stream(reader, self.sender.clone()));
        self.tcp = Some(writer);
    }

    pub(crate) async fn send(&mut self, transport: Transport, gateway: SocketAddr, text: &str) {
        match transport {
            Transport::Udp => self.answer(Way::Udp(0, gateway), text).await,
            Transport::Tcp => self.answer(Way::Tcp, text).await,
        }
    }

    pub(crate) async fn answer(&mut self, way: Way, text: &str) {
        match way {
            Way::Udp(number, address) => {
                self.sockets[number].send_to(text.as_bytes(), address).await.unwrap();
            }
            Way::Tcp => self.tcp.as_mut().expect("a connection").write_all(text.as_bytes()).await.unwrap(),
        }
    }

    /// The next arrival. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arrival {
        self.arrivals.recv().await.expect("the harness holds a sender")
    }
}

async fn read_datagrams(number: usize, socket: Arc<UdpSocket>, arrivals: mpsc::UnboundedSender<Arrival>) {
    let mut buffer = vec![0; 65_536];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let (message, used) = SipText::read(&buffer[..length]).expect("a whole message in a datagram");
        assert_eq!(used, length, "octets behind the message");
        let arrival = Arrival { what: Came::Message(message), way: Way::Udp(number, from), at: Instant::now() };
        if arrivals.send(arrival).is_err() {
            return;
        }
    }
}

async fn read_stream(mut socket: impl AsyncReadExt + Unpin, arrivals: mpsc::UnboundedSender<Arrival>) {
    let mut octets = Vec::new();
    while socket.read_buf(&mut octets).await.is_ok_and(|count| count > 0) {
        while let Some((what, used)) = first(&octets) {
            octets.drain(..used);
            if arrivals.send(Arrival { what, way: Way::Tcp, at: Instant::now() }).is_err() {
                return;
            }
        }
    }
}

fn first(octets: &[u8]) -> Option<(Came, usize)> {
    if octets.starts_with(b"\r\n") {
        return Some((Came::Pong, 2));
    }
    SipText::read(octets).map(|(message, used)| (Came::Message(message), used))
}
