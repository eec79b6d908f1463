//! From a listener to calls: connections bounded in number and in the time that a request may take to arrive.

use crate::auth::Origin;
use axum::{Extension, Router};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Where the admin API listens.
#[derive(Debug)]
pub enum Listener {
    /// An address and port.
    Tcp(TcpListener),
    /// A socket file; who may open it may do everything.
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Origin)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Origin::Network(from)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Stream::Unix(stream), Origin::Socket(user)))
            }
        }
    }
}

/// Serves until `stop` is done, then until the requests under way are answered or [`DRAIN`] is over.
pub(crate) async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()> + Send) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stopping, stops) = watch::channel(false);
    tokio::pin!(stop);
    loop {
        let next = async {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return std::future::pending().await };
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            (place, accepted) = next => match accepted {
                Ok((stream, origin)) => {
                    let (router, stops) = (router.clone().layer(Extension(origin)), stops.clone());
                    tokio::spawn(async move {
                        match stream {
                            Stream::Tcp(stream) => serve_connection(stream, router, stops).await,
                            Stream::Unix(stream) => serve_connection(stream, router, stops).await,
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin API cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    stopping.send_replace(true);
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    if timeout(DRAIN, places.acquire_many(all)).await.is_err() {
        tracing::debug!("connections of the admin API left open at shutdown");
    }
}

async fn serve_connection<T>(stream: T, router: Router, mut stops: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let calls = TowerToHyperService::new(router);
    transport::http::serve_connection(stream, calls, async move { stopped(&mut stops).await }, DRAIN).await;
}

/// Returns when the service stops.
async fn stopped(stops: &mut watch::Receiver<bool>) {
    // An error means that the service is gone.
    let _ = stops.wait_for(|stop| *stop).await;
}

/// A console, a few scrapers and some commands; a flood must not take the descriptors that peers need.
const MAX_CONNECTIONS: usize = 256;

/// Between two tries after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Live events never end by themselves.
const DRAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_trickles_in_ends_its_connection() {
        let (mut client, server) = duplex(4096);
        let (_stopping, stops) = watch::channel(false);
        tokio::spawn(serve_connection(server, Router::new(), stops));
        let begun = Instant::now();
        let mut written = 0;
        // One octet a second: the time is for the whole head, so each octet buys no more of it.
        for octet in
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        {
            if client.write_all(&[*octet]).await.is_err() {
                break;
            }
            written += 1;
            sleep(Duration::from_secs(1)).await;
        }
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(written <= 40 && begun.elapsed() <= Duration::from_secs(120), "{written} {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_request_is_answered_and_a_stop_ends_the_service() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/x", axum::routing::get(|| async { "yes" }));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(serve(Listener::Tcp(listener), router, async move { drop(stopped.await) }));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("yes"), "{answer}");
        stop.send(()).unwrap();
        serving.await.unwrap();
    }
}
