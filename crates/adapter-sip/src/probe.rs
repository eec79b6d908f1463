//! A live probe of one domain: OPTIONS to its server (RFC 3261 §11) over a connection of its own.

use crate::core::{Place, via_name};
use crate::ids::RequestIds;
use adapter_api::{Check, Context, Findings, Transport};
use bytes::BytesMut;
use impp_model::Domain;
use sip_proto::build::{RequestBuilder, TopVia};
use sip_proto::framer::{Event, StreamFramer, datagram};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};
use transport::dane::Discovery;
use transport::tls::Handshake;

/// What a server may take to answer: over UDP some tries of RFC 3261 §17.1.2.2.
const PATIENCE: Duration = Duration::from_secs(6);

/// RFC 3261 §17.1.1.1: T1.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// RFC 3261 §17.1.2.2: T2.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// One question to one domain.
pub(crate) struct Probe<'p> {
    pub(crate) context: &'p Context,
    pub(crate) domain: &'p Domain,
    pub(crate) source: &'p Domain,
}

impl Probe<'_> {
    /// Asks the first of the servers that can be reached, and judges its answer.
    pub(crate) async fn run(&self, places: Result<&[Place], String>, names: &[Domain], findings: &mut Findings) {
        let places = match places {
            Ok(places) => places,
            Err(problem) => {
                let remedy = format!("correct next_hop, or have _sip._tcp.{} (SRV) published", self.domain);
                return findings.checks.push(Check::fail("server", problem, remedy));
            }
        };
        let mut failed = Vec::new();
        for place in places {
            let begun = Instant::now();
            match self.ask(*place, names, findings).await {
                Ok(status) => {
                    findings.checks.push(Check::ok("server", format!("{} {}", place.transport, place.address)));
                    return findings.checks.extend(status.map(|status| judge(status, begun.elapsed())));
                }
                Err(problem) => failed.push(format!("{} {}: {problem}", place.transport, place.address)),
            }
        }
        let remedy = "start the server or correct next_hop or the SRV records; no firewall may be in the way";
        findings.checks.push(Check::fail("server", failed.join("; "), remedy));
    }

    /// The status of the answer; none over a transport that is only connected.
    async fn ask(&self, place: Place, names: &[Domain], findings: &mut Findings) -> Result<Option<u16>, String> {
        let ids = RequestIds::random(rand::random());
        match place.transport {
            Transport::Udp => self.ask_datagram(place.address, &ids).await.map(Some),
            Transport::Tcp | Transport::Ws => {
                let mut socket = connect(place.address).await?;
                let local = socket.local_addr().map_err(|error| error.to_string())?;
                self.ask_stream(&mut socket, local, place.transport, &ids).await
            }
            Transport::Tls | Transport::Wss => {
                let socket = connect(place.address).await?;
                let local = socket.local_addr().map_err(|error| error.to_string())?;
                let name = names.first().unwrap_or(self.domain);
                let tls = &self.context.tls;
                let vouched = tls.discover_sip(name, place.address).await.map_err(|error| error.to_string())?;
                if vouched != Discovery::Insecure {
                    findings.checks.push(Check::ok("dane", vouched.to_string()));
                }
                let shaken = tls.connect_vouched(socket, name, Some(self.source), &[], &vouched).await;
                let Handshake { mut stream, peer, version, .. } = shaken.map_err(|error| error.to_string())?;
                findings.checks.push(Check::ok("tls", version));
                let proven = names.iter().map(|name| peer.sip(name)).reduce(Result::or).unwrap_or(Ok(()));
                findings.checks.push(Check::certificate(&peer, proven, true, SystemTime::now()));
                self.ask_stream(&mut stream, local, place.transport, &ids).await
            }
        }
    }

    fn request(&self, local: SocketAddr, transport: Transport, ids: &RequestIds) -> bytes::Bytes {
        let (domain, source) = (self.domain, self.source);
        let request = RequestBuilder::new(Method::Options, &format!("sip:{domain}"))
            .header(HeaderId::MaxForwards, "70")
            .header(HeaderId::From, &format!("<sip:{source}>;tag={}", ids.from_tag()))
            .header(HeaderId::To, &format!("<sip:{domain}>"))
            .header(HeaderId::CallId, &ids.call_id())
            .cseq(1)
            // RFC 3261 §11.1.
            .header(HeaderId::Accept, "text/plain");
        let branch = ids.branch(0);
        let sent_by = local.to_string();
        let via =
            TopVia { transport: via_name(transport), sent_by: &sent_by, branch: &branch, rport: true, alias: false };
        request.encode(&via)
    }

    async fn ask_datagram(&self, address: SocketAddr, ids: &RequestIds) -> Result<u16, String> {
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let asking = async {
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(address).await?;
            let request = self.request(socket.local_addr()?, Transport::Udp, ids);
            let (mut pause, mut input) = (FIRST_PAUSE, BytesMut::zeroed(usize::from(u16::MAX)));
            loop {
                socket.send(&request).await?;
                tokio::select! {
                    received = socket.recv(&mut input) => {
                        let octets = bytes::Bytes::copy_from_slice(input.get(..received?).unwrap_or_default());
                        if let Some(status) = datagram(octets).ok().flatten().and_then(|message| final_status(&message)) {
                            return Ok::<u16, std::io::Error>(status);
                        }
                    }
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        };
        timeout(PATIENCE, asking).await.map_err(|_| NO_ANSWER.to_owned())?.map_err(|error| error.to_string())
    }

    async fn ask_stream<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        local: SocketAddr,
        transport: Transport,
        ids: &RequestIds,
    ) -> Result<Option<u16>, String> {
        if matches!(transport, Transport::Ws | Transport::Wss) {
            return Ok(None);
        }
        let asking = async {
            stream.write_all(&self.request(local, transport, ids)).await?;
            stream.flush().await?;
            let (mut framer, mut input) = (StreamFramer::default(), BytesMut::new());
            loop {
                if stream.read_buf(&mut input).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                while let Ok(Some(event)) = framer.poll(&mut input) {
                    if let Event::Message(message) = event
                        && let Some(status) = final_status(&message)
                    {
                        return Ok(Some(status));
                    }
                }
            }
        };
        let asked = timeout(PATIENCE, asking).await.map_err(|_| NO_ANSWER.to_owned())?;
        asked.map_err(|error: std::io::Error| error.to_string())
    }
}

const NO_ANSWER: &str = "no answer to OPTIONS";

async fn connect(address: SocketAddr) -> Result<tokio::net::TcpStream, String> {
    transport::connect_tcp(address, PATIENCE).await.map_err(|error| error.to_string())
}

/// RFC 3261 §7.2: what is no provisional answer.
fn final_status(message: &Message) -> Option<u16> {
    message.status().map(|status| status.code()).filter(|code| *code >= 200)
}

/// Any answer shows that somebody is there; what it says of us is another matter.
fn judge(status: u16, took: Duration) -> Check {
    const ITEM: &str = "options";
    let found = format!("answered {status} in {} ms", took.as_millis());
    match status {
        401 | 407 => Check::ok(ITEM, format!("{found}: it wants a password")),
        403 => Check::warn(ITEM, found, "have the server let this gateway's address in"),
        408 | 480 | 500..=699 => Check::warn(ITEM, found, "see the server's log: it does not serve at present"),
        _ => Check::ok(ITEM, found),
    }
}
