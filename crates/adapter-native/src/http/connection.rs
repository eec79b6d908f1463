//! From a listener to calls: connections bounded in number, in time and in what they may leave unread.

use super::{App, router};
use adapter_api::Shutdown;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use transport::http::STALL;

/// A connection's place among all; kept by the connection and by what it was upgraded to.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Serves until `shutdown`, and then until the last connection has ended or [`DRAIN`] is over.
pub(crate) async fn serve(listener: TcpListener, app: App, mut shutdown: Shutdown) {
    let limit = app.shared.config.limits.max_connections;
    let places = Arc::new(Semaphore::new(limit));
    let router = router(app);
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            (stream, place) = accept(&listener, &places) => {
                tokio::spawn(serve_connection(stream, router.clone(), place, shutdown.clone()));
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limit).unwrap_or(u32::MAX);
    if timeout(DRAIN, places.acquire_many(all)).await.is_err() {
        tracing::warn!(left = limit.saturating_sub(places.available_permits()), "connections left open at shutdown");
    }
}

/// The next connection, as soon as there is a place for one.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Place) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(places).acquire_owned().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, _)) => {
                prepare_socket(&stream);
                return (stream, Place { _permit: Arc::new(permit) });
            }
            Err(error) => {
                // Out of descriptors, or a connection that is gone already: others may be served meanwhile.
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Small answers go at once; peers that vanished without a word are noticed.
fn prepare_socket(stream: &TcpStream) {
    // Neither option is needed to serve.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(STALL));
}

/// Serves one connection, whatever it is made of.
async fn serve_connection<T>(stream: T, router: Router, place: Place, mut shutdown: Shutdown)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let calls = TowerToHyperService::new(router);
    let calls = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        calls.call(request.map(Body::new))
    });
    let stop = async move { shutdown.requested().await };
    transport::http::serve_connection(stream, calls, stop, DRAIN).await;
}

/// How long open calls have to end at shutdown: beyond the default hold of a message.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

/// Keeps a shortage of descriptors from becoming a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
