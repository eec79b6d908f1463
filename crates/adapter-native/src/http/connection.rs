//! From a listener to calls: connections bounded in number, in time and in what they may leave unread.

use super::{App, router};
use adapter_api::Shutdown;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};

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
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_OCTETS)
        .half_close(false)
        .serve_connection(TokioIo::new(Impatient::new(stream)), calls)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// A stream that fails when what was written can't leave for [`STALL`].
struct Impatient<T> {
    inner: T,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Impatient<T> {
    fn new(inner: T) -> Self {
        Self { inner, stalled: None }
    }

    /// Passes on the result of a write, or fails when there has been none for too long.
    fn judge<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Impatient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Impatient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.judge(cx, closed)
    }
}

/// How long a connection may take over the head of a request, and idle between two of them.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// More than any client or proxy adds.
const MAX_HEADERS: usize = 64;

/// Room for a long token and cookies of a proxy; also the unit in which bodies are read.
const MAX_HEADER_OCTETS: usize = 16 * 1024;

/// How long a client may leave unread what was written: longer than a phone takes to change networks.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// How long open calls have to end at shutdown: beyond the default hold of a message.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

/// Keeps a shortage of descriptors from becoming a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
