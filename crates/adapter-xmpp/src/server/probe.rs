//! A live probe of one peer: its servers called, what they show and offer, and nothing proven or sent.

use std::time::{Duration, Instant, SystemTime};

use adapter_api::{Check, Context, Findings, Hop, Target};
use bytes::BytesMut;
use impp_model::Domain;
use impp_resolve::{Limits, locate_xmpp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use transport::Transport;
use transport::dane::Discovery;
use transport::tls::Handshake;
use xmpp_proto::jid;
use xmpp_proto::server::{Inquiry, InquiryOutput, LinkError, Offered, Pair, PeerPolicy};

use super::connection::{ALPN, CONNECT_TIMEOUT, service};
use super::core::targets;

/// What a server may take to say what it offers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets read at once: features are short.
const READ_BUFFER: usize = 4 * 1024;

/// One question to one domain.
pub(super) struct Probe<'p> {
    pub(super) context: &'p Context,
    pub(super) policy: PeerPolicy,
    pub(super) domain: &'p Domain,
    pub(super) source: &'p Domain,
    pub(super) is_managed: bool,
}

impl Probe<'_> {
    /// Calls the first server that answers, and judges what it is.
    pub(super) async fn run(&self, hop: &Hop, findings: &mut Findings) {
        let targets = match self.targets(hop).await {
            Ok(targets) => targets,
            Err(problem) => {
                let remedy = format!("its owner must publish _xmpp-server._tcp.{} (SRV)", self.domain);
                return findings.checks.push(Check::fail("server", problem, remedy));
            }
        };
        let mut failed = Vec::new();
        for target in &targets {
            match transport::connect_tcp(target.address, CONNECT_TIMEOUT).await {
                Ok(socket) => {
                    findings.checks.push(Check::ok("server", format!("tcp {} ({})", target.address, target.host)));
                    return self.ask(socket, target, findings).await;
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        let remedy = "its owner must open the port or correct the SRV records; here no firewall may be in the way";
        findings.checks.push(Check::fail("server", failed.join("; "), remedy));
    }

    async fn targets(&self, hop: &Hop) -> Result<Vec<Target>, String> {
        if let Hop::Located { targets, .. } = hop {
            return Ok(targets.clone());
        }
        let limits = Limits::default();
        let mut draw = |max: u32| rand::random_range(0..=max);
        let found = locate_xmpp(&*self.context.dns, self.domain, true, &limits, &mut draw).await;
        targets(&found).map_err(|failure| failure.to_string())
    }

    async fn ask(&self, socket: TcpStream, target: &Target, findings: &mut Findings) {
        let direct = target.transport == Some(Transport::Tls);
        let (Ok(from), Ok(to)) =
            (jid::Domain::parse(&self.source.to_unicode()), jid::Domain::parse(&self.domain.to_unicode()))
        else {
            return findings.checks.push(Check::fail("stream", "no XMPP domain", "correct the domain's name"));
        };
        let mut inquiry = Inquiry::new(&Pair { from, to }, direct, PATIENCE, Instant::now());
        let offered = if direct {
            match self.secure(socket, target, findings).await {
                Some(mut stream) => converse(&mut inquiry, &mut stream).await,
                None => return,
            }
        } else {
            let mut socket = socket;
            match converse(&mut inquiry, &mut socket).await {
                Turn::StartTls => {
                    let Some(mut stream) = self.secure(socket, target, findings).await else { return };
                    inquiry.handle_tls(Instant::now());
                    converse(&mut inquiry, &mut stream).await
                }
                turn @ (Turn::Offered(_) | Turn::Failed(_)) => turn,
            }
        };
        match offered {
            Turn::Offered(offered) => self.judge(offered, findings),
            Turn::Failed(problem) => {
                let remedy = format!("its server must serve {}, and speak to {}", self.domain, self.source);
                findings.checks.push(Check::fail("stream", problem, remedy));
            }
            Turn::StartTls => findings.checks.push(Check::fail("stream", "STARTTLS twice", "its server is at fault")),
        }
    }

    /// TLS, and what the server shows in it.
    async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
        target: &Target,
        findings: &mut Findings,
    ) -> Option<impl AsyncRead + AsyncWrite + Unpin + use<S>> {
        let (tls, direct) = (&self.context.tls, target.transport == Some(Transport::Tls));
        // Those of RFC 7673 §3 are asked as they are before every call.
        let vouched = tls.discover(&service(self.domain, direct), &target.host, target.address.port()).await;
        let vouched = match vouched {
            Ok(vouched) => vouched,
            Err(error) => {
                let remedy = "its owner must mend the signatures or TLSA records; no call is made until then";
                findings.checks.push(Check::fail("dane", error.to_string(), remedy));
                return None;
            }
        };
        if vouched != Discovery::Insecure {
            findings.checks.push(Check::ok("dane", vouched.to_string()));
        }
        let alpn = if direct { ALPN } else { &[] };
        match tls.connect_vouched(socket, self.domain, Some(self.source), alpn, &vouched).await {
            Ok(Handshake { stream, peer, version, .. }) => {
                findings.checks.push(Check::ok("tls", version));
                let proven = peer.xmpp(self.domain);
                let check = Check::certificate(&peer, proven, !self.policy.dialback, SystemTime::now());
                findings.checks.push(check);
                Some(stream)
            }
            Err(error) => {
                let remedy = "its server must speak TLS 1.2 or 1.3";
                findings.checks.push(Check::fail("tls", error.to_string(), remedy));
                None
            }
        }
    }

    fn judge(&self, offered: Offered, findings: &mut Findings) {
        if !offered.tls {
            let (found, remedy) = ("not offered", "its owner must configure a certificate and offer STARTTLS");
            let check = Check::fail("tls", found, remedy);
            let lab = "nothing is protected: for closed labs only";
            findings.checks.push(if self.policy.require_tls { check } else { Check::warn("tls", found, lab) });
        }
        let proof = match (offered.external, offered.dialback && self.policy.dialback) {
            (true, true) => Check::ok("proof", "our certificate (SASL EXTERNAL), or dialback"),
            (true, false) => Check::ok("proof", "our certificate (SASL EXTERNAL)"),
            (false, true) => Check::warn(
                "proof",
                format!("by dialback alone: it does not take our certificate for {}", self.source),
                format!("show a certificate of a public authority with the name {} in [tls] certificates", self.source),
            ),
            (false, false) => Check::fail(
                "proof",
                format!("neither our certificate for {} nor dialback is taken", self.source),
                format!(
                    "show a certificate of a public authority with the name {} in [tls] certificates, or allow dialback on both sides",
                    self.source
                ),
            ),
        };
        findings.checks.push(proof);
        if self.is_managed && offered.management {
            findings.checks.push(Check::ok("acknowledgement", "stream management"));
        } else {
            findings.checks.push(Check::ok("acknowledgement", "none by the stream: pings tell what has arrived"));
        }
    }
}

enum Turn {
    Offered(Offered),
    StartTls,
    Failed(String),
}

/// Goes on with the stream until it has an answer or wants TLS.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(inquiry: &mut Inquiry, socket: &mut S) -> Turn {
    let mut input = BytesMut::with_capacity(READ_BUFFER);
    let mut answer = None;
    loop {
        while let Some(output) = inquiry.poll_output() {
            match output {
                InquiryOutput::Send(octets) => {
                    if let Err(error) = socket.write_all(&octets).await {
                        return answer.unwrap_or_else(|| Turn::Failed(error.to_string()));
                    }
                }
                InquiryOutput::StartTls => return Turn::StartTls,
                InquiryOutput::Offered(offered) => answer = Some(Turn::Offered(offered)),
                InquiryOutput::Failed(error) => {
                    let text = match &error {
                        LinkError::Peer(said) => format!("it ends the stream: {said}"),
                        LinkError::Refused(_) | LinkError::Timeout | LinkError::Eof => error.to_string(),
                    };
                    return answer.unwrap_or(Turn::Failed(text));
                }
                InquiryOutput::Closed => return answer.unwrap_or_else(|| Turn::Failed("closed".to_owned())),
            }
        }
        if let Some(answer) = answer {
            // It need not say goodbye.
            let _ = timeout(Duration::from_secs(1), socket.shutdown()).await;
            return answer;
        }
        let due = inquiry.poll_timeout().unwrap_or_else(|| Instant::now() + PATIENCE);
        tokio::select! {
            read = socket.read_buf(&mut input) => match read {
                Ok(0) | Err(_) => inquiry.handle_eof(),
                Ok(_) => inquiry.handle_bytes(&input.split(), Instant::now()),
            },
            () = sleep_until(due.into()) => inquiry.handle_timeout(Instant::now()),
        }
    }
}
