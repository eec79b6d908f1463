//! RFC 7118: SIP in WebSocket messages.

use super::flow::{Flow, LINGER, MESSAGE_TIMEOUT, Side};
use super::{End, StreamEvent};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sip_proto::framer::{PING, datagram};
use sip_proto::limits::MAX_HEAD;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

/// RFC 7118 §4.1: the sub-protocol.
const SUBPROTOCOL: &str = "sip";

/// How long a peer may take for the opening handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a write may take before the reader counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets read at once: thousands of browsers may be connected, and each message is small.
const READ_BUFFER: usize = 4096;

/// Makes the connection a WebSocket and serves it.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(flow: Flow, stream: S, side: Side) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_HEAD + flow.settings.max_body))
        .max_frame_size(Some(MAX_HEAD + flow.settings.max_body));
    let opened = in_time(async {
        match side {
            Side::Theirs => accept(stream, &flow.settings.origins, config).await,
            Side::Ours => connect(stream, &flow, config).await,
        }
    });
    match opened.await {
        Some(Ok(socket)) => talk(flow, socket, side).await,
        Some(Err(error)) => {
            tracing::debug!(peer = %flow.peer, %error, "no WebSocket");
            flow.closed(End::Refused).await;
        }
        None => flow.closed(End::Refused).await,
    }
}

/// What comes of a handshake; none when it takes too long, however steadily its octets come.
async fn in_time<T>(handshake: impl Future<Output = T>) -> Option<T> {
    timeout(HANDSHAKE_TIMEOUT, handshake).await.ok()
}

#[allow(clippy::result_large_err, reason = "the error is the library's own")]
async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    origins: &[String],
    config: WebSocketConfig,
) -> Result<WebSocketStream<S>, Error> {
    let judge = |request: &Request, mut response: Response| match refusal(request.headers(), origins) {
        Some((status, why)) => {
            let mut refused = ErrorResponse::new(Some(why.to_owned()));
            *refused.status_mut() = status;
            Err(refused)
        }
        None => {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
            Ok(response)
        }
    };
    accept_hdr_async_with_config(stream, judge, Some(config)).await
}

/// Why a handshake is refused.
fn refusal(headers: &HeaderMap, origins: &[String]) -> Option<(StatusCode, &'static str)> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    // RFC 7118 §4.1: nothing but SIP is spoken here.
    if !offered.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(SUBPROTOCOL)) {
        return Some((StatusCode::BAD_REQUEST, "the sub-protocol must be sip"));
    }
    // RFC 6455 §10.2: only browsers send it; a page of another site must not speak for its visitors.
    let origin = headers.get(header::ORIGIN).filter(|_| !origins.is_empty())?;
    let known = origin.to_str().is_ok_and(|origin| origins.iter().any(|known| known.eq_ignore_ascii_case(origin)));
    (!known).then_some((StatusCode::FORBIDDEN, "pages of this origin may not connect"))
}

#[allow(clippy::result_large_err, reason = "the error is the library's own")]
async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    flow: &Flow,
    config: WebSocketConfig,
) -> Result<WebSocketStream<S>, Error> {
    let mut request = format!("ws://{}/", flow.peer).into_client_request()?;
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    // The library refuses a server that answers without the sub-protocol.
    Ok(client_async_with_config(request, stream, Some(config)).await?.0)
}

/// Reads and writes messages until either way ends, or nothing is said for too long.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send>(mut flow: Flow, socket: WebSocketStream<S>, side: Side) {
    let (mut sink, mut source) = socket.split();
    let (line_ends, idle) = (flow.outgoing.line_ends(), flow.settings.idle);
    let greeting = if side == Side::Theirs { MESSAGE_TIMEOUT.min(idle) } else { idle };
    let mut until = Instant::now() + greeting;
    loop {
        let arrived = tokio::select! {
            outgoing = flow.outgoing.next() => {
                let Some(octets) = outgoing else { break };
                let len = octets.len();
                match timeout(WRITE_TIMEOUT, sink.send(framed(octets))).await {
                    Ok(Ok(())) => flow.outgoing.written(len),
                    Ok(Err(_)) | Err(_) => break,
                }
                continue;
            }
            arrived = source.next() => arrived,
            () = tokio::time::sleep_until(until) => break,
        };
        // RFC 7118 §4.2: text or binary, one message in each; pings are answered by the library.
        let octets = match arrived {
            Some(Ok(Message::Text(text))) => Bytes::from(text),
            Some(Ok(Message::Binary(octets))) => octets,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                until = until.max(Instant::now() + idle);
                continue;
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => break,
        };
        until = Instant::now() + idle;
        // RFC 7118 §6, RFC 5626 §4.4.1.
        if octets.as_ref() == PING {
            line_ends.pong();
            continue;
        }
        let event = match datagram(octets) {
            Ok(Some(message)) => StreamEvent::Message(flow.id, message),
            Ok(None) => continue,
            Err(rejected) => StreamEvent::Broken(flow.id, rejected),
        };
        if flow.events.send(event).await.is_err() {
            break;
        }
    }
    // A peer that goes before it hears of the end has heard enough.
    let _ = timeout(LINGER, sink.close()).await;
    flow.closed(End::Broken).await;
}

/// RFC 7118 §4.2: what is not UTF-8 goes in a binary frame.
fn framed(octets: Bytes) -> Message {
    match Utf8Bytes::try_from(octets.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(octets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(protocol: Option<&'static str>, origin: Option<&'static str>, origins: &[&str]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::SEC_WEBSOCKET_PROTOCOL, protocol), (header::ORIGIN, origin)] {
            headers.extend(value.map(|value| (name, HeaderValue::from_static(value))));
        }
        let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        refusal(&headers, &origins).map(|(status, _)| status.as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_trickles_in_ends_in_time() {
        let (mut peer, stream) = tokio::io::duplex(64);
        tokio::spawn(async move {
            for octet in b"GET / HTTP/1.1\r\nHost: gw.example.com\r\n".iter().cycle() {
                if tokio::io::AsyncWriteExt::write_all(&mut peer, &[*octet]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let start = Instant::now();
        let opened = in_time(accept(stream, &[], WebSocketConfig::default())).await;
        assert!(opened.is_none() && start.elapsed() == HANDSHAKE_TIMEOUT);
    }

    // checks: WSS-001
    #[test]
    fn rfc7118_s4_1_the_subprotocol_must_be_offered() {
        assert_eq!(status(Some("xmpp, SIP"), None, &[]), None);
        assert_eq!(status(Some("xmpp"), None, &[]), Some(400));
        assert_eq!(status(None, None, &[]), Some(400));
    }

    // checks: WSS-007
    #[test]
    fn rfc6455_s10_2_pages_of_other_origins_are_refused() {
        let origins = ["https://chat.example"];
        assert_eq!(status(Some("sip"), Some("https://chat.example"), &origins), None);
        assert_eq!(status(Some("sip"), Some("https://evil.example"), &origins), Some(403));
        assert_eq!(status(Some("sip"), None, &origins), None, "no browser");
        assert_eq!(status(Some("sip"), Some("https://evil.example"), &[]), None);
    }

    // checks: WSS-002
    #[test]
    fn rfc7118_s4_2_what_is_not_utf8_is_binary() {
        assert!(matches!(framed(Bytes::from_static("é".as_bytes())), Message::Text(_)));
        assert!(matches!(framed(Bytes::from_static(b"\xff")), Message::Binary(_)));
    }
}
