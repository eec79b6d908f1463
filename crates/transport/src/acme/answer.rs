//! What the authority is shown when it asks whether a name is ours.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{AcmeError, Challenge};
use crate::site_of;

/// RFC 8737 §3: the protocol of the handshake that is a question.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// RFC 8555 §8.3.
const PATH: &str = "/.well-known/acme-challenge/";

/// For a question and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An authority asks from a handful of places at once.
const MAX_CONNECTIONS: usize = 64;

/// From one of these places: whoever holds his connections open leaves room for the authority.
const MAX_OF_SITE: usize = 8;

/// The answers of one order.
#[derive(Default)]
pub(super) struct Answers {
    pages: RwLock<BTreeMap<String, String>>,
    certificates: RwLock<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl Answers {
    /// Takes what is to be answered for a name.
    pub(super) fn add(&self, domain: &str, token: &str, answer: &KeyAuthorization) -> Result<(), AcmeError> {
        let certificate = certificate(domain, answer.digest().as_ref()).ok_or(AcmeError::Certificate)?;
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(domain.to_owned(), Arc::new(certificate));
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        pages.insert(token.to_owned(), answer.as_str().to_owned());
        Ok(())
    }

    fn page(&self, path: &str) -> Option<String> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        pages.get(path.strip_prefix(PATH)?).cloned()
    }
}

/// RFC 8737 §3: a self-signed certificate of the name with the digest of the answer in a critical extension.
fn certificate(domain: &str, digest: &[u8]) -> Option<CertifiedKey> {
    let mut params = CertificateParams::new([domain.to_owned()]).ok()?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).ok()?;
    // Not through `CertifiedKey::from_der`, which reads the certificate and refuses an extension that it does not know.
    let signing = aws_lc_rs::default_provider().key_provider.load_private_key(key).ok()?;
    Some(CertifiedKey::new(vec![certificate.der().clone()], signing))
}

impl ResolvesServerCert for Answers {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let asks = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS));
        let certificates = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        certificates.get(&name).filter(|_| asks).cloned()
    }
}

/// Answers until the task is aborted.
pub(super) async fn serve(listener: TcpListener, challenge: Challenge, answers: Arc<Answers>) {
    let config = Arc::new(tls(Arc::clone(&answers), Arc::new(aws_lc_rs::default_provider())));
    let mut served = JoinSet::new();
    let mut of_site = BTreeMap::<IpAddr, usize>::new();
    loop {
        let (socket, site) = tokio::select! {
            Some(ended) = served.join_next() => {
                if let Ok(site) = ended && let Some(count) = of_site.get_mut(&site) {
                    *count = count.saturating_sub(1);
                    of_site.retain(|_, count| *count > 0);
                }
                continue;
            }
            accepted = listener.accept(), if served.len() < MAX_CONNECTIONS => match accepted {
                Ok((socket, address)) => (socket, site_of(address.ip())),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let count = of_site.entry(site).or_default();
        if *count < MAX_OF_SITE {
            *count += 1;
            let (answers, config) = (Arc::clone(&answers), Arc::clone(&config));
            served.spawn(async move {
                answer(socket, challenge, answers, config).await;
                site
            });
        }
    }
}

/// Answers one question; whoever is slower than that gets no answer.
async fn answer(socket: TcpStream, challenge: Challenge, answers: Arc<Answers>, config: Arc<ServerConfig>) {
    let answering = async {
        match challenge {
            Challenge::Http01 => page(socket, answers).await,
            // RFC 8737 §4: the handshake is the answer.
            Challenge::TlsAlpn01 => drop(tokio_rustls::TlsAcceptor::from(config).accept(socket).await),
        }
    };
    let _ = timeout(PATIENCE, answering).await;
}

fn tls(answers: Arc<Answers>, provider: Arc<CryptoProvider>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider);
    #[allow(clippy::expect_used, reason = "the provider is this file's own choice")]
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has suites for TLS 1.2 and 1.3");
    let mut config = builder.with_no_client_auth().with_cert_resolver(answers);
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config
}

async fn page(socket: TcpStream, answers: Arc<Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let page = answers.page(request.uri().path());
        async move {
            let status = if page.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            let mut response = Response::new(Page(page.map(Bytes::from)));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // A connection that breaks asks again.
    let _ = served.await;
}

/// A body of one piece.
struct Page(Option<Bytes>);

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |octets| octets.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, sleep};

    /// A listener that has one page, of the token `t`.
    async fn serving(challenge: Challenge) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Answers::default();
        answers.pages.write().unwrap().insert("t".to_owned(), "answer".to_owned());
        tokio::spawn(serve(listener, challenge, Arc::new(answers)));
        address
    }

    async fn asked(address: SocketAddr) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        // Who is turned away may not take it.
        let _ = socket.write_all(format!("GET {PATH}t HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard).await;
        String::from_utf8(heard).unwrap()
    }

    // checks: SEC-005
    #[tokio::test(start_paused = true)]
    async fn a_question_that_trickles_in_ends_in_time() {
        let beginnings: [(Challenge, &[u8]); 2] = [
            (Challenge::Http01, b"GET / HTTP/1.1\r\nX: "),
            // The first octets of a client's greeting.
            (Challenge::TlsAlpn01, &[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3]),
        ];
        for (challenge, beginning) in beginnings {
            let mut socket = TcpStream::connect(serving(challenge).await).await.unwrap();
            let begun = Instant::now();
            for octet in beginning.iter().chain(std::iter::repeat(&b'x')) {
                sleep(PATIENCE / 20).await;
                if socket.write_all(&[*octet]).await.is_err() {
                    break;
                }
            }
            assert!(begun.elapsed() < PATIENCE * 2, "{challenge:?}: {:?}", begun.elapsed());
        }
    }

    // checks: SEC-005
    #[tokio::test(start_paused = true)]
    async fn who_holds_connections_open_holds_a_few_for_a_while() {
        let address = serving(Challenge::Http01).await;
        assert!(asked(address).await.ends_with("answer"));
        let mut held = Vec::new();
        for _ in 0..MAX_OF_SITE {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(b"GET").await.unwrap();
            held.push(socket);
        }
        assert_eq!(asked(address).await, "", "of the same place");
        sleep(PATIENCE * 2).await;
        assert!(asked(address).await.ends_with("answer"));
        // They were open all the while, for their part.
        drop(held);
    }
}
