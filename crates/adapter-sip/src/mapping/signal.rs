//! MESSAGE requests about messages: IMDN (RFC 5438) and isComposing (RFC 3994), both ways.

use super::address::{from_sip_uri, to_sip_uri};
use super::content::ContentRefusal;
use super::cpim;
use super::message::{Refusal, head};
use super::thread::ThreadTable;
use crate::ids::{CSEQ, RequestIds};
use ::cpim::composing::{self, IsComposing};
use ::cpim::imdn::{self, Imdn};
use ::cpim::mapping::{self, from_imdn, from_status, to_notification};
use ::cpim::{Entity, Mailbox};
use bytes::Bytes;
use impp_model::datetime::DateTime;
use impp_model::{ComposingOperation, DispositionOperation, Endpoint, MaxForwards, Operation, TransId};
use sip_proto::build::RequestBuilder;
use sip_proto::header::MediaType;
use sip_proto::message::Message;

/// The operation that a verified MESSAGE for `uri` with a report or a state asks for; `None` when it is an instant message.
///
/// `Ok(Some(None))` is word that no operation has a form for.
pub fn from_request(
    request: &Message,
    uri: &str,
    now: i64,
    threads: &ThreadTable,
) -> Result<Option<Option<Operation>>, Refusal> {
    let Some(media) = request.content_type()? else { return Ok(None) };
    let octets = request.body_bytes();
    let inside = |content: &Entity<'_>| -> Result<Option<Option<Operation>>, Refusal> {
        let text = cpim::content_type(content);
        let media = MediaType::parse(&text).map_err(|_| Refusal::Content(ContentRefusal::Malformed))?;
        if !is_signal(&media) {
            return Ok(None);
        }
        let body = content.decoded_body().ok_or(Refusal::Content(ContentRefusal::MediaType))?;
        read(&media, &body, request, uri, now, threads).map(Some)
    };
    if is(&media, cpim::MEDIA_TYPE) {
        let message = cpim::read(&octets).map_err(Refusal::Content)?;
        return inside(message.content());
    }
    if is_signal(&media) { read(&media, &octets, request, uri, now, threads).map(Some) } else { Ok(None) }
}

fn is_signal(media: &MediaType<'_>) -> bool {
    is(media, imdn::MEDIA_TYPE) || is(media, composing::MEDIA_TYPE)
}

pub(super) fn is(media: &MediaType<'_>, essence: &str) -> bool {
    essence.split_once('/').is_some_and(|(kind, subtype)| media.is(kind, subtype))
}

fn read(
    media: &MediaType<'_>,
    body: &[u8],
    request: &Message,
    uri: &str,
    now: i64,
    threads: &ThreadTable,
) -> Result<Option<Operation>, Refusal> {
    let key = request.key_headers()?;
    let source = from_sip_uri(key.from.uri).map_err(Refusal::Source)?;
    let destination = from_sip_uri(uri).map_err(Refusal::Destination)?;
    let max_forwards = key.max_forwards.map_or(MaxForwards::INITIAL, MaxForwards);
    let trans_id = TransId::from(key.via.branch().unwrap_or_default());
    let malformed = || Refusal::Content(ContentRefusal::Malformed);
    if is(media, composing::MEDIA_TYPE) {
        let status = IsComposing::parse(body).map_err(|_| malformed())?;
        let thread = threads.thread(key.call_id.as_str(), &source.address, &destination.address);
        let told = from_status(status, source, destination, trans_id);
        let told = ComposingOperation { max_forwards, thread: Some(thread), ..told };
        return Ok(Some(Operation::Composing(Box::new(told))));
    }
    let imdn = Imdn::parse(body).map_err(|_| malformed())?;
    let now = DateTime::from_epoch(now, 0).ok_or_else(malformed)?;
    let word = from_imdn(&imdn, source, destination, trans_id, now).map(|word| DispositionOperation {
        max_forwards,
        message_id: Some(cpim::to_message_id(&imdn.message_id)),
        ..word
    });
    Ok(word.map(|word| Operation::Disposition(Box::new(word))))
}

/// Why a report has no form for its addressee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreportable {
    /// The message did not come as message/cpim with its own id and time.
    #[error("the message cannot be referred to")]
    NoReference,
    /// Its sender did not ask for this, or the object can't be written.
    #[error("no notification of this kind is due")]
    NotDue,
}

/// The MESSAGE that tells of a disposition (RFC 5438 §7.2.1), but for its Via.
pub fn to_report(
    word: &DispositionOperation,
    ids: &RequestIds,
    now: &DateTime,
) -> Result<RequestBuilder, Unreportable> {
    let path = word.return_path.as_ref().ok_or(Unreportable::NoReference)?;
    let mut request = cpim::request_of(path).ok_or(Unreportable::NoReference)?;
    // IMDN-012: the sender that was proven, not the one that the object named.
    request.sender = cpim::mailbox(&word.destination);
    let (notification, status) = to_notification(&word.disposition);
    let own_id = ids.call_id();
    let notice = request.report(notification, status, &own_id, now.clone()).map_err(|_| Unreportable::NotDue)?;
    let body = notice.draft.encode().map_err(|_| Unreportable::NotDue)?.freeze();
    let target = to_sip_uri(&target(word));
    let to = to_sip_uri(&word.destination);
    let request = head(&target, &word.source, &to, word.max_forwards, ids, &own_id).cseq(CSEQ);
    Ok(request.body(cpim::MEDIA_TYPE, body))
}

/// The MESSAGE that tells whether somebody is composing (RFC 3994 §3), but for its Via.
pub fn to_status(told: &ComposingOperation, ids: &RequestIds, call_id: &str) -> RequestBuilder {
    let body = Bytes::from(mapping::to_status(told).encode());
    let target = to_sip_uri(&told.destination);
    head(&target, &told.source, &target, told.max_forwards, ids, call_id).cseq(CSEQ).body(composing::MEDIA_TYPE, body)
}

/// The end that a request about an operation goes to.
pub fn destination(operation: &Operation) -> Option<Endpoint> {
    match operation {
        Operation::Message(message) => Some(message.destination.clone()),
        Operation::Disposition(word) => Some(target(word)),
        Operation::Composing(told) => Some(told.destination.clone()),
        Operation::Subscribe(_) | Operation::Notify(_) | Operation::Authorize(_) | Operation::Publish(_) | _ => None,
    }
}

/// RFC 5438 §7.2.1: a report goes to the top of the route that the message recorded, else to its sender.
fn target(word: &DispositionOperation) -> Endpoint {
    let route = word.return_path.as_ref().and_then(cpim::request_of).and_then(|request| {
        let top: Mailbox<'static> = request.record_route.into_iter().next()?;
        from_sip_uri(&top.uri).ok()
    });
    route.unwrap_or_else(|| word.destination.clone())
}
