//! One connection: what it proved, its place among those that are open, and its end when nothing comes of it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tonic::transport::server::Connected;

/// How long a connection may be open without a stream: longer than a stream has for its hello.
const IDLE: Duration = Duration::from_secs(10);

/// What a handshake has shown of the adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proven {
    /// As `TLS 1.3`.
    pub(crate) version: &'static str,
}

/// What a stream knows of its connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// How the adapter has proven itself, where it is elsewhere.
    pub(crate) proven: Option<Proven>,
    streams: Arc<AtomicUsize>,
}

impl Connection {
    /// One more stream, until the result is dropped.
    pub(crate) fn stream(&self) -> Streaming {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Streaming(Arc::clone(&self.streams))
    }
}

/// A stream that is open.
pub(crate) struct Streaming(Arc<AtomicUsize>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection; its place is free again when it is dropped.
pub(crate) struct Link {
    stream: Pin<Box<dyn Duplex>>,
    connection: Connection,
    /// When it ends; none while it has streams.
    end: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Duplex for S {}

impl Link {
    pub(crate) fn new(stream: impl Duplex + 'static, proven: Option<Proven>, permit: OwnedSemaphorePermit) -> Self {
        let connection = Connection { proven, streams: Arc::default() };
        Self { stream: Box::pin(stream), connection, end: None, _permit: permit }
    }

    /// Whether it was open for too long without a stream; otherwise `cx` hears of that moment.
    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        if self.connection.streams.load(Ordering::Relaxed) > 0 {
            self.end = None;
            return false;
        }
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(IDLE)));
        end.as_mut().poll(cx).is_ready()
    }
}

impl Connected for Link {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.stream.as_mut().poll_read(cx, buf);
        if read.is_pending() && self.is_idle(cx) { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { read }
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}
