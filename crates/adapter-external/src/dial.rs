//! How an adapter in a process of its own reaches its gateway.

use crate::client::{ClientError, Settings};
use crate::listen::ALPN;
use adapter_api::model::Domain;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tonic::codegen::{Service, http::Uri};
use tonic::transport::{Channel, Endpoint};
use transport::tls::{CertificateFiles, HandshakeError, IdentityFault, TlsFileError, TlsSettings, Trust};
use transport::{Tls, tune_stream};

/// How the gateway is reached.
#[derive(Debug, Clone)]
pub enum Dial {
    /// By its Unix socket.
    Socket(PathBuf),
    /// From another machine, over mutual TLS.
    Tls {
        /// Its host and port.
        address: String,
        /// The name that its certificate must prove.
        name: Domain,
        /// What the adapter shows, and whom it trusts.
        tls: Arc<Tls>,
    },
}

/// Why the gateway is not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No connection.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    /// No handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It is not proven to be the gateway.
    #[error("the gateway is not proven: {0}")]
    Identity(#[from] IdentityFault),
    /// It speaks no HTTP/2.
    #[error("{}", words(.0))]
    Http(#[from] tonic::transport::Error),
}

/// What went wrong is in the last of the sources.
fn words(error: &tonic::transport::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl Dial {
    /// Over mutual TLS to the host and port `address`, where a certificate of `authority` must prove `name`; reads the files.
    pub fn tls(
        address: &str,
        name: Domain,
        own: CertificateFiles,
        authority: PathBuf,
    ) -> Result<Self, Vec<TlsFileError>> {
        let settings = TlsSettings { certificates: vec![own], ordered: None, trust: vec![Trust::File(authority)] };
        let tls = Arc::new(Tls::load(settings, name.clone())?);
        Ok(Self::Tls { address: address.to_owned(), name, tls })
    }

    pub(crate) async fn open(&self) -> Result<Channel, DialError> {
        let (address, name, tls) = match self {
            Self::Socket(path) => {
                return Ok(Endpoint::from_shared(format!("unix://{}", path.display()))?.connect().await?);
            }
            Self::Tls { address, name, tls } => (address, name, tls),
        };
        // Renewed certificates count from the next connection on; half of a renewal does not.
        if let Err(errors) = tls.reload_if_changed() {
            errors.iter().for_each(|error| tracing::error!(%error, "changed certificates are not used"));
        }
        let stream = TcpStream::connect(address).await?;
        tune_stream(&stream)?;
        let handshake = tls.connect(stream, name, None, ALPN).await?;
        handshake.peer.host(name)?;
        let stream = TokioIo::new(handshake.stream);
        Ok(Endpoint::from_static("http://gateway").connect_with_connector(Once(Some(stream))).await?)
    }
}

impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Tls { address, .. } => write!(f, "tls:{address}"),
        }
    }
}

impl Settings {
    /// What the environment says: that which a gateway gives to the process that it starts (`INTERLINGUA_INSTANCE` and
    /// `INTERLINGUA_SOCKET`), or, from elsewhere, `INTERLINGUA_GATEWAY` (host and port) with `INTERLINGUA_AUTHORITY_FILE`,
    /// `INTERLINGUA_CERTIFICATE_FILE`, `INTERLINGUA_PRIVATE_KEY_FILE`, and `INTERLINGUA_GATEWAY_NAME` where the gateway's
    /// certificate has another name than the host.
    pub fn from_environment(domains: Vec<Domain>) -> Result<Self, ClientError> {
        let instance = variable("INTERLINGUA_INSTANCE")?.as_str().into();
        let gateway = match variable("INTERLINGUA_GATEWAY") {
            Err(_) => Dial::Socket(variable("INTERLINGUA_SOCKET")?.into()),
            Ok(address) => mutual(&address)?,
        };
        Ok(Self { gateway, instance, domains })
    }
}

fn mutual(address: &str) -> Result<Dial, ClientError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
    let name = Domain::parse_host(&variable("INTERLINGUA_GATEWAY_NAME").unwrap_or(host))
        .map_err(|error| unusable("INTERLINGUA_GATEWAY_NAME", error.to_string()))?;
    let own = CertificateFiles {
        certificate: variable("INTERLINGUA_CERTIFICATE_FILE")?.into(),
        private_key: variable("INTERLINGUA_PRIVATE_KEY_FILE")?.into(),
    };
    Dial::tls(address, name, own, variable("INTERLINGUA_AUTHORITY_FILE")?.into()).map_err(|errors| {
        let problem = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        unusable("INTERLINGUA_GATEWAY", problem)
    })
}

fn variable(name: &'static str) -> Result<String, ClientError> {
    let missing = "not set: the gateway starts this program, or you say where the gateway is";
    std::env::var(name).map_err(|_| unusable(name, missing.to_owned()))
}

fn unusable(variable: &'static str, problem: String) -> ClientError {
    ClientError::Environment { variable, problem }
}

/// Hands out the connection that stands already, once.
struct Once<S>(Option<S>);

impl<S: Send + 'static> Service<Uri> for Once<S> {
    type Response = S;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into());
        Box::pin(async { stream })
    }
}
