//! The SIP network around the gateway: sockets that are its next hops, and a TCP connection to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Mutex, mpsc};

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
    /// Over the connection of this number; the first is the peer's own.
    Tcp(usize),
}

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In datagrams.
    Udp,
    /// Over connections.
    Tcp,
}

impl Transport {
    /// RFC 3261 §20.42: its name in Via.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "SIP/2.0/UDP ",
            Self::Tcp => "SIP/2.0/TCP ",
        }
    }
}

pub(crate) struct SipPeer {
    sockets: Vec<Arc<UdpSocket>>,
    listener: SocketAddr,
    connections: Connections,
    sender: mpsc::UnboundedSender<Arrival>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

type Connections = Arc<Mutex<Vec<OwnedWriteHalf>>>;

impl SipPeer {
    /// Opens two UDP sockets and a TCP listener, all of which can be next hops; the first socket sends.
    pub(crate) async fn open() -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let mut sockets = Vec::new();
        for number in 0..2 {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            tokio::spawn(read_datagrams(number, Arc::clone(&socket), sender.clone()));
            sockets.push(socket);
        }
        let acceptor = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = acceptor.local_addr().unwrap();
        let connections = Connections::default();
        tokio::spawn(accept(acceptor, Arc::clone(&connections), sender.clone()));
        Self { sockets, listener, connections, sender, arrivals }
    }

    /// The address of a socket.
    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.sockets[number].local_addr().unwrap()
    }

    /// Itself as a next hop.
    pub(crate) fn hop(&self, transport: Transport) -> String {
        match transport {
            Transport::Udp => format!("sip:{};transport=udp", self.address(0)),
            Transport::Tcp => format!("sip:{};transport=tcp", self.listener),
        }
    }

    /// Connects to the gateway, once and before it connects.
    pub(crate) async fn connect(&mut self, gateway: SocketAddr) {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let number = serve(stream, &self.connections, &self.sender).await;
        assert_eq!(number, OWN);
    }

    pub(crate) async fn send(&mut self, transport: Transport, gateway: SocketAddr, text: &str) {
        match transport {
            Transport::Udp => self.answer(Way::Udp(0, gateway), text).await,
            Transport::Tcp => self.answer(Way::Tcp(OWN), text).await,
        }
    }

    pub(crate) async fn answer(&mut self, way: Way, text: &str) {
        match way {
            Way::Udp(number, address) => {
                self.sockets[number].send_to(text.as_bytes(), address).await.unwrap();
            }
            Way::Tcp(number) => self.connections.lock().await[number].write_all(text.as_bytes()).await.unwrap(),
        }
    }

    /// The next arrival. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arrival {
        self.arrivals.recv().await.expect("the harness holds a sender")
    }
}

/// The number of the connection that the peer opened itself.
pub(crate) const OWN: usize = 0;

async fn accept(listener: TcpListener, connections: Connections, arrivals: mpsc::UnboundedSender<Arrival>) {
    while let Ok((stream, _)) = listener.accept().await {
        serve(stream, &connections, &arrivals).await;
    }
}

async fn serve(stream: TcpStream, connections: &Connections, arrivals: &mpsc::UnboundedSender<Arrival>) -> usize {
    let (reader, writer) = stream.into_split();
    let mut connections = connections.lock().await;
    connections.push(writer);
    let number = connections.len() - 1;
    tokio::spawn(read_stream(number, reader, arrivals.clone()));
    number
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

async fn read_stream(number: usize, mut socket: OwnedReadHalf, arrivals: mpsc::UnboundedSender<Arrival>) {
    let mut octets = Vec::new();
    while socket.read_buf(&mut octets).await.is_ok_and(|count| count > 0) {
        while let Some((what, used)) = first(&octets) {
            octets.drain(..used);
            if arrivals.send(Arrival { what, way: Way::Tcp(number), at: Instant::now() }).is_err() {
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
