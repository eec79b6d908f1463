//! Word about messages, in any protocol: what became of one, and whether somebody is composing another.

use adapter_sip::ids::RequestIds;
use adapter_sip::mapping::{cpim as sip_cpim, signal as sip};
use adapter_xmpp::mapping::{error, signal as xmpp};
use bytes::{Bytes, BytesMut};
use cpim::composing::{self, IsComposing};
use cpim::imdn::{self, Disposition as Asked, Imdn, ImdnRequest, Reported};
use cpim::mapping::{from_imdn, from_status, to_notification, to_status};
use cpim::{Draft, Mailbox};
use impp_model::{
    Cause, ComposingOperation, ComposingState, DateTime, DispositionOperation, Endpoint, Failure, Mapped, MaxForwards,
    Operation, Side, TransId,
};
use serde_json::{Map, Value};
use sip_proto::build::{RequestBuilder, TopVia};
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza;

use super::read::bad;
use super::{Carried, Protocol, Setting, Stop};

impl Carried {
    /// Word as an adapter hands it in.
    pub(super) fn word(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Disposition(word) => Some(Self::Disposition(word)),
            Operation::Composing(told) => Some(Self::Composing(told)),
            Operation::Message(_)
            | Operation::Subscribe(_)
            | Operation::Notify(_)
            | Operation::Authorize(_)
            | Operation::Publish(_)
            | _ => None,
        }
    }
}

/// Nothing would be sent.
fn no_form(what: &str) -> Stop {
    Stop::Nothing(format!("there is no form for {what}"))
}

fn ours(error: impl std::fmt::Display) -> Stop {
    Failure::new(Side::Ours, Cause::InternalError).with_text(error.to_string()).into()
}

/// What a stanza without text says about messages.
pub(super) fn of_stanza(
    found: &stanza::Message,
    from: &Jid,
    to: &Jid,
    setting: &Setting,
) -> Result<Option<Carried>, Stop> {
    let (trans_id, now) = (TransId::from(found.id().unwrap_or("translate")), setting.now_or()?);
    let word = xmpp::from_stanza(found, from, to, &trans_id, || Some(now)).into_iter().next();
    Ok(word.and_then(Carried::word))
}

/// What the content of an object says about messages; `None` when it is a message itself.
pub(super) fn of_object(
    message: &cpim::Message<'_>,
    between: impl FnOnce() -> Result<(Endpoint, Endpoint), Stop>,
    setting: &Setting,
) -> Result<Option<Carried>, Stop> {
    let content = message.content();
    let status = content.is(composing::MEDIA_TYPE);
    if !status && !content.is(imdn::MEDIA_TYPE) {
        return Ok(None);
    }
    let (source, destination) = between()?;
    let octets = content.decoded_body().ok_or_else(|| bad("the transfer encoding can't be reversed"))?;
    let trans_id = TransId::from("translate");
    if status {
        let status = IsComposing::parse(&octets).map_err(|error| bad(error.to_string()))?;
        return Ok(Some(Carried::Composing(Box::new(from_status(status, source, destination, trans_id)))));
    }
    let imdn = Imdn::parse(&octets).map_err(|error| bad(error.to_string()))?;
    let word = from_imdn(&imdn, source, destination, trans_id, setting.now_or()?);
    let word = word.ok_or_else(|| no_form("a notification of this status"))?;
    Ok(Some(Carried::Disposition(Box::new(word))))
}

/// What a native request or event says about messages; `None` when it is of another kind.
pub(super) fn of_native(fields: &Map<String, Value>, input: &[u8], setting: &Setting) -> Result<Option<Carried>, Stop> {
    use adapter_native::mapping::signals;
    let own = || (setting.sender.clone(), TransId::from("translate"));
    let refused = |refusal: adapter_native::mapping::Refusal| Stop::from(refusal.to_failure());
    let now = setting.now_or()?;
    let word = if fields.contains_key("report") {
        let (source, trans_id) = own();
        let request = signals::parse(input).map_err(refused)?;
        let word = signals::from_disposition(source, request, trans_id, now).map_err(refused)?;
        Carried::Disposition(Box::new(word))
    } else if fields.contains_key("disposition") {
        let event = signals::parse(input).map_err(refused)?;
        let word = signals::from_disposition_event(event, setting.receiver.clone(), own().1).map_err(refused)?;
        Carried::Disposition(Box::new(word))
    } else if fields.contains_key("state") && fields.contains_key("from") {
        let event = signals::parse(input).map_err(refused)?;
        let told = signals::from_composing_event(event, setting.receiver.clone(), own().1).map_err(refused)?;
        Carried::Composing(Box::new(told))
    } else if fields.contains_key("state") {
        let (source, trans_id) = own();
        let request = signals::parse(input).map_err(refused)?;
        Carried::Composing(Box::new(signals::from_composing(source, request, trans_id).map_err(refused)?))
    } else {
        return Ok(None);
    };
    Ok(Some(word))
}

/// What became of a message, as it would go over the wire.
pub(super) fn write_disposition(
    to: Protocol,
    mut word: DispositionOperation,
    setting: &Setting,
) -> Result<Mapped<Bytes>, Stop> {
    word.max_forwards = one_less(word.max_forwards)?;
    let earlier = word.and_earlier;
    let octets = match to {
        Protocol::Sip => {
            word.return_path = request_for(&word).as_ref().and_then(sip_cpim::return_path);
            let ids = RequestIds::of_word(&word);
            let request = sip::to_report(&word, &ids, &setting.now_or()?);
            over_sip(&request.map_err(|_| no_form("word of a message without an id"))?, &ids, setting)
        }
        Protocol::Cpim => {
            let mut request = request_for(&word).ok_or_else(|| no_form("word of a message without an id"))?;
            let (notification, status) = to_notification(&word.disposition);
            let own_id = RequestIds::of_word(&word).call_id();
            let notice = request.report(notification, status, &own_id, setting.now_or()?).map_err(ours)?;
            notice.draft.encode().map_err(ours)?.freeze()
        }
        Protocol::Xmpp => {
            let stanza = match word.disposition.failure() {
                Some(failure) => Some(error::to_error_message(&word, &failure).map_err(malformed)?),
                None => xmpp::to_report(&word).map_err(malformed)?.map(stanza::Message::into_element),
            };
            encoded(&stanza.ok_or_else(|| no_form("this word in XMPP"))?)
        }
        Protocol::Native => {
            let event = adapter_native::mapping::signals::to_disposition_event(&word);
            serde_json::to_vec(&event).map_err(ours)?.into()
        }
        Protocol::Pidf => return Err(no_document()),
    };
    // XEP-0333 §4.1: only a marker speaks of earlier messages.
    Ok(Mapped::without(octets, [("and_earlier", earlier && to != Protocol::Xmpp)]))
}

/// Whether somebody is composing, as it would go over the wire.
pub(super) fn write_composing(
    (from, to): (Protocol, Protocol),
    mut told: ComposingOperation,
    setting: &Setting,
) -> Result<Mapped<Bytes>, Stop> {
    told.max_forwards = one_less(told.max_forwards)?;
    let by_rfc3994 = matches!(to, Protocol::Sip | Protocol::Cpim);
    // RFC 3994 §3.2: nobody is idle who was not active, and attention is XMPP's first word in a conversation.
    if by_rfc3994 && from == Protocol::Xmpp && told.state == ComposingState::Active {
        return Err(no_form("attention to a conversation"));
    }
    let octets = match to {
        Protocol::Sip => {
            let ids = RequestIds::of_status(rand::random());
            let call_id = match &told.thread {
                Some(thread) => {
                    adapter_sip::mapping::thread::to_call_id(thread, &told.source.address, &told.destination.address)
                }
                None => ids.call_id(),
            };
            over_sip(&sip::to_status(&told, &ids, &call_id), &ids, setting)
        }
        Protocol::Cpim => {
            let status = to_status(&told).encode();
            let mut draft = Draft::with_content(composing::MEDIA_TYPE, &[], &status).map_err(ours)?;
            draft.from = Some(Mailbox::new(told.source.address.to_im_uri()));
            draft.to.push(Mailbox::new(told.destination.address.to_im_uri()));
            draft.encode().map_err(ours)?.freeze()
        }
        Protocol::Xmpp => encoded(xmpp::to_chat_state(&told).map_err(malformed)?.element()),
        Protocol::Native => {
            let event = adapter_native::mapping::signals::to_composing_event(&told);
            serde_json::to_vec(&event).map_err(ours)?.into()
        }
        Protocol::Pidf => return Err(no_document()),
    };
    let known = matches!(told.state, ComposingState::Composing | ComposingState::Active);
    let lost = [
        ("thread", told.thread.is_some() && to == Protocol::Cpim),
        ("refresh", told.refresh.is_some() && to == Protocol::Xmpp),
        ("content_type", told.content_type.is_some() && !by_rfc3994),
    ];
    let mut mapped = Mapped::without(octets, lost);
    // CMP-001: all states but one are idle.
    mapped.degraded.extend((by_rfc3994 && !known).then_some("state"));
    Ok(mapped)
}

/// RFC 3860 §3.4.2: the hub takes one hop off.
fn one_less(hops: MaxForwards) -> Result<MaxForwards, Stop> {
    hops.decremented().ok_or_else(|| Failure::new(Side::Near, Cause::HopsExhausted).into())
}

/// The request that word about a message answers: of the message no more is known than the word says, and that its
/// sender asked.
fn request_for(word: &DispositionOperation) -> Option<ImdnRequest> {
    Some(ImdnRequest {
        message_id: sip_cpim::to_imdn_id(word.message_id.as_ref()?),
        date_time: word.accepted.to_string(),
        sender: Mailbox::new(word.destination.address.to_im_uri()),
        recipient: Mailbox::new(word.source.address.to_im_uri()),
        original_to: None,
        record_route: Vec::new(),
        wanted: [Asked::PositiveDelivery, Asked::NegativeDelivery, Asked::Processing, Asked::Display]
            .into_iter()
            .collect(),
        reported: Reported::default(),
    })
}

fn over_sip(request: &RequestBuilder, ids: &RequestIds, setting: &Setting) -> Bytes {
    let branch = ids.branch(0);
    request.encode(&TopVia { transport: "TCP", sent_by: &setting.gateway, branch: &branch, rport: true, alias: false })
}

fn encoded(stanza: &strict_xml::Element) -> Bytes {
    let mut output = BytesMut::new();
    super::stanza(&mut output, stanza);
    output.freeze()
}

fn malformed(error: adapter_xmpp::mapping::address::AddressError) -> Stop {
    Failure::new(Side::Far, Cause::AddressMalformed).with_text(error.to_string()).into()
}

fn no_document() -> Stop {
    Failure::new(Side::Far, Cause::UnsupportedMedia).with_text("word about a message is no presence document").into()
}

impl Setting {
    /// The time of day, which word of what happened must name.
    fn now_or(&self) -> Result<DateTime, Stop> {
        self.date_time().ok_or_else(|| ours("the clock shows no time that can be written"))
    }
}
