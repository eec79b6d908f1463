//! RFC 3261 §18.4: ICMP errors, which tell that a peer's port, host or network is not there.
//!
//! Linux keeps them in a queue of the socket when asked; other systems say nothing, and a peer is then found missing by
//! its silence.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// A datagram to `peer` did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreachable {
    pub(crate) socket: usize,
    pub(crate) peer: SocketAddr,
}

/// Reports errors of a socket until the task is aborted.
#[cfg(target_os = "linux")]
pub(crate) async fn watch(index: usize, socket: Arc<UdpSocket>, reports: mpsc::Sender<Unreachable>) {
    if linux::enable(&socket).is_err() {
        return;
    }
    while socket.ready(tokio::io::Interest::ERROR).await.is_ok() {
        while let Ok(found) = socket.try_io(tokio::io::Interest::ERROR, || linux::next(&socket)) {
            let Some(peer) = found else { continue };
            if reports.send(Unreachable { socket: index, peer }).await.is_err() {
                return;
            }
        }
    }
}

/// Nothing is reported here.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn watch(_: usize, _: Arc<UdpSocket>, _: mpsc::Sender<Unreachable>) {}

#[cfg(target_os = "linux")]
mod linux {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
    use std::io;
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd as _;
    use tokio::net::UdpSocket;

    /// Asks for the queue.
    pub(super) fn enable(socket: &UdpSocket) -> io::Result<()> {
        let set = match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
        };
        set.map_err(io::Error::from)
    }

    /// Takes one error: where its datagram was to go, if the error says that nobody is there.
    pub(super) fn next(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
        let mut control = [0; CONTROL];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut control), flags)
            .map_err(io::Error::from)?;
        let missing = message.cmsgs().map_err(io::Error::from)?.any(|control| says_missing(&control));
        Ok(message.address.filter(|_| missing).and_then(|address| peer_of(&address)))
    }

    /// Room for one error with the address of who found it.
    const CONTROL: usize = 256;

    // RFC 3261 §18.4: unreachable counts, time exceeded and source quench do not.
    #[allow(clippy::wildcard_enum_match_arm, reason = "a foreign enum of every control message there is")]
    fn says_missing(control: &ControlMessageOwned) -> bool {
        match control {
            // RFC 792: type 3, destination unreachable.
            ControlMessageOwned::Ipv4RecvErr(error, _) => error.ee_origin == ORIGIN_ICMP && error.ee_type == 3,
            // RFC 4443 §3.1: type 1, destination unreachable.
            ControlMessageOwned::Ipv6RecvErr(error, _) => error.ee_origin == ORIGIN_ICMP6 && error.ee_type == 1,
            _ => false,
        }
    }

    /// Linux's numbers for errors that came from the network.
    const ORIGIN_ICMP: u8 = 2;
    const ORIGIN_ICMP6: u8 = 3;

    fn peer_of(address: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    }
}
