use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use impp_resolve::Transport;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A socket cannot be opened for listening.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {transport} {addr}")]
pub struct BindError {
    /// UDP or TCP.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl BindError {
    /// What an operator can do about it.
    #[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum of every error there is")]
    pub fn remedy(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "another process listens there: stop it or choose another port",
            io::ErrorKind::AddrNotAvailable => "no interface of this host has the address: choose one that has",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE or choose a higher port"
            }
            _ => "check address and port",
        }
    }
}

/// A peer cannot be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No answer in time.
    #[error("{addr} did not answer within {timeout:?}")]
    Timeout {
        /// The peer.
        addr: SocketAddr,
        /// How long was waited.
        timeout: Duration,
    },
    /// Refused, or no way there.
    #[error("cannot connect to {addr}")]
    Io {
        /// The peer.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Opens a UDP socket with buffers for bursts.
///
/// The port is not shared: `SO_REUSEADDR` would let a second process take over the datagrams of the first unseen.
/// An IPv6 wildcard does not include IPv4.
pub fn bind_udp(addr: SocketAddr) -> Result<UdpSocket, BindError> {
    open(addr, Type::DGRAM, Protocol::UDP)
        .and_then(|socket| {
            // The kernel cuts this to its own limit, which is no error.
            socket.set_recv_buffer_size(UDP_RECEIVE_BUFFER)?;
            socket.set_send_buffer_size(UDP_SEND_BUFFER)?;
            socket.bind(&addr.into())?;
            UdpSocket::from_std(socket.into())
        })
        .map_err(|source| BindError { transport: Transport::Udp, addr, source })
}

/// Opens a TCP socket for listening, also where connections of a former process linger.
///
/// An IPv6 wildcard does not include IPv4.
pub fn bind_tcp(addr: SocketAddr) -> Result<TcpListener, BindError> {
    open(addr, Type::STREAM, Protocol::TCP)
        .and_then(|socket| {
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(TCP_BACKLOG)?;
            TcpListener::from_std(socket.into())
        })
        .map_err(|source| BindError { transport: Transport::Tcp, addr, source })
}

fn open(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects within a time, and tunes the stream as [`tune_stream`] does.
pub async fn connect_tcp(addr: SocketAddr, timeout: Duration) -> Result<TcpStream, ConnectError> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(addr))
        .await
        .map_err(|_| ConnectError::Timeout { addr, timeout })?
        .map_err(|source| ConnectError::Io { addr, source })?;
    tune_stream(&stream).map_err(|source| ConnectError::Io { addr, source })?;
    Ok(stream)
}

/// Connects to the first address that answers, each within `timeout`; if none does, every attempt's error is kept.
pub async fn connect_any(
    addrs: impl IntoIterator<Item = SocketAddr>,
    timeout: Duration,
) -> Result<TcpStream, Vec<ConnectError>> {
    let mut errors = Vec::new();
    for addr in addrs {
        match connect_tcp(addr, timeout).await {
            Ok(stream) => return Ok(stream),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

/// Has a stream send small writes at once and notice a peer that vanished; for accepted streams too.
pub fn tune_stream(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE))
}

/// Holds some thousand messages while the reader is busy; the kernel's default holds about two hundred.
const UDP_RECEIVE_BUFFER: usize = 4 << 20;

/// A burst of answers to such a buffer.
const UDP_SEND_BUFFER: usize = 1 << 20;

/// After a restart every peer connects at once.
const TCP_BACKLOG: i32 = 1024;

/// Shorter than the five minutes after which address translators forget a connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn a_stream_sends_at_once() {
        let listener = bind_tcp(loopback()).unwrap();
        let stream = connect_tcp(listener.local_addr().unwrap(), PATIENCE).await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_with_a_remedy() {
        let udp = bind_udp(loopback()).unwrap();
        let taken = bind_udp(udp.local_addr().unwrap()).unwrap_err();
        assert_eq!((taken.source.kind(), taken.transport), (io::ErrorKind::AddrInUse, Transport::Udp));
        assert!(taken.remedy().contains("another process"));
        let tcp = bind_tcp(loopback()).unwrap();
        assert_eq!(bind_tcp(tcp.local_addr().unwrap()).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn udp_buffers_are_larger_than_the_default() {
        let plain = SockRef::from(&UdpSocket::bind(loopback()).await.unwrap()).recv_buffer_size().unwrap();
        let tuned = SockRef::from(&bind_udp(loopback()).unwrap()).recv_buffer_size().unwrap();
        assert!(tuned >= plain, "{tuned} {plain}");
    }

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken() {
        let listener = bind_tcp(loopback()).unwrap();
        let open = listener.local_addr().unwrap();
        let closed = bind_tcp(loopback()).unwrap().local_addr().unwrap();
        assert_eq!(connect_any([closed, open], PATIENCE).await.unwrap().peer_addr().unwrap(), open);
        let errors = connect_any([closed, closed], PATIENCE).await.unwrap_err();
        assert!(matches!(&errors[..], [ConnectError::Io { .. }, ConnectError::Io { .. }]), "{errors:?}");
    }
}
