use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use impp_model::Domain;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CommonState, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use super::demand::{Demand, fault_of};
use super::identity::{IdentityFault, PeerIdentity};
use super::store::Tls;
use crate::dane::{DaneError, Discovery};

/// What a peer may take for a handshake, so that nobody holds connections open with half of one.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection after its handshake.
#[derive(Debug)]
pub struct Handshake<S> {
    /// The protected connection.
    pub stream: TlsStream<S>,
    /// Who the peer is proven to be.
    pub peer: PeerIdentity,
    /// The peer's own certificate, proven or not.
    pub certificate: Option<CertificateDer<'static>>,
    /// As `TLS 1.3`, for people.
    pub version: &'static str,
    /// The protocol that both ends agreed on (RFC 7301).
    pub alpn: Option<Vec<u8>>,
}

/// Why a handshake failed; over the peer's certificate only where one is demanded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer was too slow.
    #[error("no TLS handshake within {HANDSHAKE_TIMEOUT:?}")]
    Timeout,
    /// The connection broke, or the peer speaks no TLS that we do.
    #[error("TLS handshake failed: {0}")]
    Io(#[source] io::Error),
    /// The client does not prove what it must.
    #[error(transparent)]
    Refused(IdentityFault),
    /// The name system vouches for other certificates.
    #[error(transparent)]
    Dane(DaneError),
    /// The name can't be sent to the peer.
    #[error("no name for a TLS server")]
    Name,
}

/// Accepts TLS on connections of one listener; cheap to clone.
#[derive(Clone)]
pub struct TlsAcceptor {
    tls: Arc<Tls>,
    config: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// For a listener that speaks these protocols (RFC 7301); peers that name none are taken, too.
    pub fn new(tls: Arc<Tls>, alpn: &[&[u8]]) -> Self {
        let config = tls.server_config(alpn);
        Self { tls, config }
    }

    /// For a listener with one client, which must prove `name` by a certificate of `authorities`: no handshake succeeds else.
    pub fn demanding(tls: Arc<Tls>, alpn: &[&[u8]], authorities: Arc<Tls>, name: Domain) -> Self {
        let config = tls.demanding_config(alpn, |keys| Arc::new(Demand::new(authorities, name, keys)));
        Self { tls, config }
    }

    /// Takes the part of the server.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<Handshake<S>, HandshakeError> {
        let accepting = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        let stream = in_time(accepting).await.map_err(refused)?;
        Ok(self.tls.finish(TlsStream::Server(stream)))
    }
}

impl std::fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}

impl Tls {
    /// Takes the part of the client towards the server of `domain`, on behalf of users of `source`.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        domain: &Domain,
        source: Option<&Domain>,
        alpn: &[&[u8]],
    ) -> Result<Handshake<S>, HandshakeError> {
        let name = match domain.ip() {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(domain.as_str().to_owned()).map_err(|_| HandshakeError::Name)?,
        };
        let connector = TlsConnector::from(self.client_config(source, alpn));
        let stream = in_time(connector.connect(name, stream)).await?;
        Ok(self.finish(TlsStream::Client(stream)))
    }

    /// The same, judged by what the name system vouches for, too (RFC 7673 §4).
    pub async fn connect_vouched<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        domain: &Domain,
        source: Option<&Domain>,
        alpn: &[&[u8]],
        discovery: &Discovery,
    ) -> Result<Handshake<S>, HandshakeError> {
        let shaken = self.connect(stream, domain, source, alpn).await?;
        let chain = shaken.stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = self.judge_vouched(shaken.peer, chain, domain, discovery).map_err(HandshakeError::Dane)?;
        Ok(Handshake { peer, ..shaken })
    }

    fn finish<S>(&self, stream: TlsStream<S>) -> Handshake<S> {
        let (_, state): (_, &CommonState) = stream.get_ref();
        let chain = state.peer_certificates().unwrap_or_default();
        let peer = self.judge(chain, SystemTime::now());
        let certificate = chain.first().map(|own| own.clone().into_owned());
        let version = match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(_) | None => "TLS",
        };
        let alpn = state.alpn_protocol().map(<[u8]>::to_vec);
        Handshake { stream, peer, certificate, version, alpn }
    }
}

fn refused(error: HandshakeError) -> HandshakeError {
    match &error {
        HandshakeError::Io(why) => fault_of(why).map_or(error, HandshakeError::Refused),
        HandshakeError::Timeout | HandshakeError::Refused(_) | HandshakeError::Dane(_) | HandshakeError::Name => error,
    }
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> Result<T, HandshakeError> {
    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| HandshakeError::Timeout)?.map_err(HandshakeError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testkit::{Authority, San};
    use tokio::io::AsyncWriteExt;

    /// The first octets of a client's greeting, which is longer.
    const GREETING: &[u8] = &[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3];

    // checks: SEC-005
    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_trickles_in_ends_in_time() {
        let (authority, folder) = (Authority::new("CA"), tempfile::tempdir().unwrap());
        let issued = authority.issue(&[San::Dns("gw.example.com")]);
        let settings = authority.settings(folder.path(), &[("gw", &issued)]);
        let tls = Arc::new(Tls::load(settings, "gw.example.com".parse().unwrap()).unwrap());
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let begun = tokio::time::Instant::now();
        let trickle = tokio::spawn(async move {
            for octet in GREETING.iter().chain(std::iter::repeat(&0)) {
                tokio::time::sleep(HANDSHAKE_TIMEOUT / 20).await;
                if theirs.write_all(&[*octet]).await.is_err() {
                    break;
                }
            }
        });
        let refused = TlsAcceptor::new(tls, &[]).accept(ours).await;
        assert!(matches!(refused, Err(HandshakeError::Timeout)), "{refused:?}");
        assert_eq!(begun.elapsed(), HANDSHAKE_TIMEOUT);
        trickle.await.unwrap();
    }
}
