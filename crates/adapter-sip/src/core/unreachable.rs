//! RFC 3261 §18.4: ICMP errors, which tell that a peer's port, host or network is not there.
//!
//! Linux keeps them in a queue of the socket when asked; other systems say nothing, and a peer is then found missing by
//! its silence.

use super::datagrams::Watched;
use sip_proto::transaction::{Key, Keys};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A datagram to `peer` did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreachable {
    pub(crate) socket: usize,
    pub(crate) peer: SocketAddr,
    /// How it began, as far as the error quotes it: another may have arrived there before.
    quoted: Vec<u8>,
}

impl Unreachable {
    /// The transaction of a request of ours that did not arrive.
    pub(crate) fn request(&self, keys: &Keys) -> Option<Key> {
        let mut lines = self.quoted.split(|octet| *octet == b'\n');
        let method = lines.next()?.split(|octet| *octet == b' ').next()?;
        // RFC 3261 §8.1.1.7: we write it first of all headers.
        let via = lines.next()?.strip_prefix(b"Via:")?;
        let branch = via.split(|octet| *octet == b';').find_map(|parameter| parameter.strip_prefix(b"branch="))?;
        Some(keys.client(branch.trim_ascii_end(), method))
    }
}

/// Reports errors of a socket until the task is aborted.
#[cfg(target_os = "linux")]
pub(crate) async fn watch(index: usize, socket: Arc<Watched>, reports: mpsc::Sender<Unreachable>) {
    use tokio::io::Interest;
    if linux::enable(socket.get_ref()).is_err() {
        return;
    }
    while socket.ready(Interest::ERROR).await.is_ok() {
        while let Ok(found) = socket.try_io(Interest::ERROR, linux::next) {
            let Some((peer, quoted)) = found else { continue };
            if reports.send(Unreachable { socket: index, peer, quoted }).await.is_err() {
                return;
            }
        }
    }
}

/// Nothing is reported here.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn watch(_: usize, _: Arc<Watched>, _: mpsc::Sender<Unreachable>) {}

#[cfg(target_os = "linux")]
mod linux {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
    use std::io::{self, IoSliceMut};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd as _;

    /// Asks for the queue.
    pub(super) fn enable(socket: &UdpSocket) -> io::Result<()> {
        let set = match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
        };
        set.map_err(io::Error::from)
    }

    /// Takes one error: where its datagram was to go and how that began, if the error says that nobody is there.
    pub(super) fn next(socket: &UdpSocket) -> io::Result<Option<(SocketAddr, Vec<u8>)>> {
        let (mut control, mut quoted) = ([0; CONTROL], vec![0; QUOTED]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let (peer, length) = {
            let mut into = [IoSliceMut::new(&mut quoted)];
            let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut into, Some(&mut control), flags)
                .map_err(io::Error::from)?;
            let missing = message.cmsgs().map_err(io::Error::from)?.any(|control| says_missing(&control));
            (message.address.filter(|_| missing).and_then(|address| peer_of(&address)), message.bytes)
        };
        quoted.truncate(length);
        Ok(peer.map(|peer| (peer, quoted)))
    }

    /// Room for one error with the address of who found it.
    const CONTROL: usize = 256;

    /// An ICMP error is no longer than 576 octets; the first two lines of a request are what we look for.
    const QUOTED: usize = 576;

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

#[cfg(test)]
mod tests {
    use super::*;

    // checks: SIP-019
    #[test]
    fn rfc3261_s18_4_an_error_names_the_request_that_it_quotes() {
        let keys = Keys::new([7, 7]);
        let lost = |quoted: &str| {
            let (peer, quoted) = (SocketAddr::from(([127, 0, 0, 1], 5060)), quoted.as_bytes().to_vec());
            Unreachable { socket: 0, peer, quoted }.request(&keys)
        };
        let ours = Some(keys.client(b"z9hG4bKa", b"MESSAGE"));
        let head = "MESSAGE sip:a;branch=z9hG4bKno@example.net SIP/2.0\r\nVia: SIP/2.0/UDP gw.example.net";
        assert_eq!(lost(&format!("{head};branch=z9hG4bKa\r\nMax-For")), ours);
        assert_eq!(lost(&format!("{head};branch=z9hG4bKa;rport\r\n")), ours);
        assert_eq!(lost(&format!("{head};rport;branch=z9hG4bKb\r\n")), Some(keys.client(b"z9hG4bKb", b"MESSAGE")));
        // RFC 792: eight octets of UDP are all that an error must quote.
        for short in ["", "MESSAGE sip:a@example.net SIP/2.0\r\n", head] {
            assert_eq!(lost(short), None);
        }
    }
}
