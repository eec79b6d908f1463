//! What the authority is shown when it asks whether a name is ours.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
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
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{AcmeError, Challenge};

/// RFC 8737 §3: the protocol of the handshake that is a question.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// RFC 8555 §8.3.
const PATH: &str = "/.well-known/acme-challenge/";

/// For a question and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An authority asks from a handful of places at once.
const MAX_CONNECTIONS: usize = 64;

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
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let config = Arc::new(tls(Arc::clone(&answers), Arc::new(aws_lc_rs::default_provider())));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (answers, config) = (Arc::clone(&answers), Arc::clone(&config));
        tokio::spawn(async move {
            let answering = async {
                match challenge {
                    Challenge::Http01 => page(socket, answers).await,
                    // RFC 8737 §4: the handshake is the answer.
                    Challenge::TlsAlpn01 => drop(tokio_rustls::TlsAcceptor::from(config).accept(socket).await),
                }
            };
            // Whoever is slower gets no answer.
            let _ = timeout(PATIENCE, answering).await;
            drop(place);
        });
    }
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
