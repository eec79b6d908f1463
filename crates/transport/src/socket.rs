use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use impp_resolve::Transport;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

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

/// What an operator can do about an address that cannot be listened on.
#[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum of every error there is")]
pub fn listen_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: stop it, or choose another address",
        io::ErrorKind::AddrNotAvailable => "no interface of this host has the address: choose one that has",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE, or choose a higher port"
        }
        _ => "check address and port",
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

/// Opens a UDP socket that does not block, with buffers for bursts.
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
            Ok(socket.into())
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

/// Connects to the first address that answers (RFC 8305 §5), each within `timeout`; if none does, every error is kept.
///
/// The next address is tried when one fails, or is silent for `ATTEMPT_DELAY`, without giving up the earlier ones.
pub async fn connect_any(
    addrs: impl IntoIterator<Item = SocketAddr>,
    timeout: Duration,
) -> Result<TcpStream, Vec<ConnectError>> {
    let mut addrs = addrs.into_iter().peekable();
    let (mut under_way, mut errors) = (FuturesUnordered::new(), Vec::new());
    loop {
        under_way.extend(addrs.next().map(|addr| connect_tcp(addr, timeout)));
        let patience = if addrs.peek().is_some() { ATTEMPT_DELAY } else { Duration::MAX };
        match tokio::time::timeout(patience, under_way.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => errors.push(error),
            Ok(None) => return Err(errors),
            Err(_) => {}
        }
    }
}

/// Puts the addresses of one host in the order in which to connect to them: IPv6 first, then by turns (RFC 8305 §4).
pub fn by_turns(addrs: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addrs.into_iter().partition(SocketAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut mixed = Vec::with_capacity(six.len() + four.len());
    while six.len() + four.len() > 0 {
        mixed.extend(six.next().into_iter().chain(four.next()));
    }
    mixed
}

/// Whether an address is one of this host's: no other can be bound.
pub fn is_here(addr: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(addr, 0)).is_ok()
}

/// What limits of one address count as one: an address of IPv4, and all of IPv6 that one host can give itself.
pub fn site_of(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        // RFC 4291 §2.5.4: the last 64 bits are the interface's own choice.
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        four @ IpAddr::V4(_) => four,
    }
}

/// RFC 8305 §8: the recommended Connection Attempt Delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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
        assert!(listen_remedy(&taken.source).contains("another process"));
        let tcp = bind_tcp(loopback()).unwrap();
        assert_eq!(bind_tcp(tcp.local_addr().unwrap()).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn udp_buffers_are_larger_than_the_default() {
        let plain = SockRef::from(&UdpSocket::bind(loopback()).unwrap()).recv_buffer_size().unwrap();
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
        assert!(connect_any([], PATIENCE).await.unwrap_err().is_empty());
    }

    /// A listener whose queue is full: the kernel answers no further SYN.
    fn silent() -> (Socket, Vec<Socket>, SocketAddr) {
        let listener = open(loopback(), Type::STREAM, Protocol::TCP).unwrap();
        listener.bind(&loopback().into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let fill = || {
            let socket = open(addr, Type::STREAM, Protocol::TCP).unwrap();
            // Under way, not done: the socket does not block.
            let _ = socket.connect(&addr.into());
            socket
        };
        let waiting = (0..4).map(|_| fill()).collect();
        (listener, waiting, addr)
    }

    // checks: AR-12
    #[tokio::test]
    async fn rfc8305_s5_silence_of_one_address_delays_the_next_by_a_moment_only() {
        let (_listener, _waiting, silent) = silent();
        let listener = bind_tcp(loopback()).unwrap();
        let open = listener.local_addr().unwrap();
        // Far longer than the test may take: only the race brings the second address in time.
        let patience = Duration::from_secs(3600);
        let stream = tokio::time::timeout(Duration::from_secs(60), connect_any([silent, open], patience)).await;
        assert_eq!(stream.unwrap().unwrap().peer_addr().unwrap(), open);
    }

    #[test]
    fn rfc8305_s4_families_take_turns() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c) = (addr("192.0.2.1:1"), addr("192.0.2.2:1"), addr("[2001:db8::1]:1"));
        assert_eq!(by_turns([a, b, c]), [c, a, b]);
        assert_eq!(by_turns([c]), [c]);
    }

    // checks: XST-031
    #[test]
    fn rfc4291_s2_5_4_all_addresses_of_one_host_count_as_one() {
        let site = |text: &str| site_of(text.parse().unwrap()).to_string();
        assert_eq!(site("2001:db8:1:2:aaaa::1"), site("2001:db8:1:2::ffff"));
        assert_ne!(site("2001:db8:1:2::1"), site("2001:db8:1:3::1"));
        assert_eq!([site("192.0.2.1"), site("::ffff:192.0.2.1")], ["192.0.2.1"; 2]);
        assert_ne!(site("192.0.2.1"), site("192.0.2.2"));
    }

    #[test]
    fn an_address_of_this_host_is_told_from_others() {
        assert!(is_here("127.0.0.1".parse().unwrap()) && is_here("0.0.0.0".parse().unwrap()));
        assert!(!is_here("192.0.2.77".parse().unwrap()));
    }
}
