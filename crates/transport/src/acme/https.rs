//! HTTPS to the authority, over the TLS of this crate: `[tls] trust` says whose servers are believed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper_util::rt::TokioIo;
use impp_model::Domain;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tls::Tls;
use crate::tune_stream;

/// Asks over a connection of its own each time: an order has some ten requests.
pub(super) struct Https(pub(super) Arc<Tls>);

/// For connection, handshake and answer together.
const PATIENCE: Duration = Duration::from_secs(30);

const HTTPS_PORT: u16 = 443;

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.0);
        Box::pin(async move { timeout(PATIENCE, ask(&tls, request)).await.map_err(|_| other("no answer in time"))? })
    }
}

async fn ask(tls: &Tls, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
    let uri = request.uri().clone();
    if uri.scheme_str() != Some("https") {
        return Err(other("RFC 8555 §6.1 wants https: URLs"));
    }
    let authority = uri.authority().ok_or_else(|| other("a URL without host"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let domain = Domain::parse_host(host).map_err(|error| other(&error.to_string()))?;
    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(HTTPS_PORT))).await.map_err(failed)?;
    tune_stream(&socket).map_err(failed)?;
    let handshake = tls.connect(socket, &domain, None, &[]).await.map_err(failed)?;
    handshake.peer.host(&domain).map_err(failed)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(handshake.stream)).await.map_err(failed)?;
    tokio::spawn(async move {
        // Its end is the end of the answer's body.
        let _ = connection.await;
    });
    let name = hyper::header::HeaderValue::from_str(authority.as_str()).map_err(failed)?;
    request.headers_mut().insert(hyper::header::HOST, name);
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    Ok(sender.send_request(request).await.map_err(failed)?.into())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

fn other(why: &str) -> Error {
    failed(io::Error::other(why.to_owned()))
}
