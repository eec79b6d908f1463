//! A message or a presence notification of any protocol, in the hub's model.

use std::borrow::Cow;
use std::time::SystemTime;

use adapter_sip::mapping::address::from_sip_uri;
use adapter_sip::mapping::message::Refusal;
use adapter_sip::mapping::presence::{self as sip_presence};
use adapter_sip::mapping::thread::ThreadTable;
use adapter_sip::mapping::{error, message as sip, sealed, signal};
use adapter_xmpp::mapping::{message as xmpp, presence as xmpp_presence};
use bytes::Bytes;
use cpim::mapping::sealed::signed_document;
use cpim::{Class, Package, Profile, mapping as cpim_mapping};
use impp_model::{
    Address, Cause, Content, DateTime, Device, Endpoint, Failure, InstantMessage, Mapped, MaxForwards,
    MessageOperation, PresenceInfo, Sealed, Side, TransId,
};
use serde_json::Value;
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use strict_xml::{Element, Limits, Scope, parse_element};
use xmpp_proto::jid::Jid;
use xmpp_proto::ns;
use xmpp_proto::stanza::{self, Stanza};

use super::{Carried, Notice, Protocol, Setting, Stop, word};

pub(super) fn read(from: Protocol, input: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    match from {
        Protocol::Sip => read_sip(input, setting),
        Protocol::Xmpp => read_xmpp(input, setting),
        Protocol::Native => read_native(input, setting),
        Protocol::Cpim => read_cpim(input, setting),
        Protocol::Pidf => read_pidf(input, setting),
    }
}

pub(super) fn bad(text: impl Into<String>) -> Failure {
    Failure::new(Side::Near, Cause::BadRequest).with_text(text)
}

fn message(mapped: Mapped<MessageOperation>) -> Mapped<Carried> {
    let Mapped { value, degraded, dropped } = mapped;
    Mapped { value: Carried::Message(Box::new(value)), degraded, dropped }
}

fn notice(presentity: Address, watcher: Endpoint, info: Mapped<PresenceInfo>) -> Mapped<Carried> {
    let Mapped { value: info, degraded, dropped } = info;
    Mapped { value: Carried::Presence(Box::new(Notice { presentity, watcher, info })), degraded, dropped }
}

/// A message that shows nothing and holds a protected object.
fn sealed_message(source: Endpoint, destination: Endpoint, sealed: Sealed) -> Mapped<Carried> {
    let shown = InstantMessage::new(Content::text(""));
    message(Mapped::whole(MessageOperation {
        source,
        destination,
        max_forwards: MaxForwards::INITIAL,
        trans_id: TransId::from("translate"),
        message: InstantMessage { sealed: Some(sealed), ..shown },
    }))
}

fn read_sip(input: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let request = Message::parse(Bytes::copy_from_slice(input)).map_err(|error| by_status(error.status(), &error))?;
    request.verify().map_err(|error| by_status(400, &error))?;
    match request.method() {
        Some(Method::Message) => read_sip_message(&request, setting),
        Some(Method::Notify) => read_notify(&request, setting),
        _ => Err(by_status(405, &"neither a MESSAGE nor a NOTIFY request")),
    }
}

fn read_sip_message(request: &Message, setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let uri = request.request_uri().unwrap_or_default();
    if let Some(found) = signal::from_request(request, uri, now(setting), &ThreadTable::default())
        .map_err(|refusal| refused_message(request, refusal.status(), &refusal))?
    {
        let word = found.and_then(Carried::word);
        return word.map(Mapped::whole).ok_or_else(|| Stop::Nothing("there is no form for this word".to_owned()));
    }
    match sip::from_request(request, now(setting), &ThreadTable::default()) {
        Ok(mut mapped) => {
            // What the object says besides goes on with the object alone.
            let object = object_of(request).filter(|_| mapped.value.message.object.is_some());
            let read = object.and_then(|object| cpim::Message::interpret(object, Profile::Gateway).ok());
            mapped.dropped.extend(read.iter().flat_map(|(read, _)| cpim_mapping::lost(read)));
            Ok(message(mapped))
        }
        Err(refusal @ (Refusal::Expired | Refusal::Empty)) => Err(Stop::Nothing(refusal.to_string())),
        Err(refusal) => Err(refused_message(request, refusal.status(), &refusal)),
    }
}

/// Where an object in the request is at fault, the place of the fault helps more than its kind.
fn refused_message(request: &Message, status: u16, text: &dyn std::fmt::Display) -> Stop {
    match object_of(request).and_then(|object| cpim::Message::interpret(object, Profile::Gateway).err()) {
        Some(fault) => by_status(status, &format_args!("message/cpim: {fault}")),
        None => by_status(status, text),
    }
}

fn now(setting: &Setting) -> i64 {
    let now = setting.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(now).unwrap_or(i64::MAX)
}

fn read_notify(request: &Message, setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let refused = |refusal: sip_presence::Refusal| by_status(refusal.status(), &refusal);
    let told = sip_presence::from_notify(request).map_err(refused)?;
    let to = request.to().map(|to| to.uri).unwrap_or_default();
    if [request.request_uri().unwrap_or_default(), to].iter().any(|uri| is_sips(uri)) {
        return Err(by_status(480, &Refusal::Sips));
    }
    let document = told.document.ok_or_else(|| Stop::Nothing("the NOTIFY has no document".to_owned()))?;
    let info = document.to_info(setting.date_time().as_ref()).map_err(|error| by_status(400, &error))?;
    Ok(notice(told.presentity.address, told.watcher, as_text(info)))
}

/// A refusal by the SIP side, with the status it would answer.
pub(super) fn by_status(status: u16, text: &dyn std::fmt::Display) -> Stop {
    let failure = error::from_sip_status(status, "", None, None).unwrap_or_else(|| bad(""));
    let failure = Failure { side: Side::Near, native: None, ..failure }.with_text(text.to_string());
    Stop::Refused { failure: Box::new(failure), sip_status: Some(status), full: false }
}

/// Reads one message stanza, or presence stanzas of one user, the later of two of one resource counting.
fn read_xmpp(input: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let mut first = None;
    let mut states: Option<Mapped<Carried>> = None;
    for element in elements(input.trim_ascii())? {
        // RFC 6120 §4.8.3: elsewhere the name is another's.
        if ![ns::CLIENT, ns::SERVER, ns::COMPONENT_ACCEPT].contains(&element.ns.as_str()) {
            return Err(bad(format!("no stanza: the namespace is {}", element.ns)).into());
        }
        let presence = match Stanza::from_element(element) {
            Ok(Stanza::Message(found)) if states.is_none() => {
                first = Some(found);
                break;
            }
            Ok(Stanza::Presence(presence)) => presence,
            Ok(Stanza::Message(_) | Stanza::Iq(_)) => return Err(bad("neither a message nor presence").into()),
            Err(rejected) => return Err(bad(rejected.to_string()).into()),
        };
        states = Some(read_presence(&presence, states, setting)?);
    }
    match (first, states) {
        (Some(found), _) => read_xmpp_message(&found, setting),
        (None, Some(states)) => Ok(states),
        (None, None) => Err(bad("no stanza").into()),
    }
}

/// The stanzas of the input: one, or several after one another.
fn elements(input: &[u8]) -> Result<Vec<Element>, Failure> {
    let scope = Scope::with_default(ns::CLIENT);
    let single = match parse_element(input, &scope, &Limits::default()) {
        Ok(element) => return Ok(vec![element]),
        Err(error) => error,
    };
    let wrapped = [b"<several>", input, b"</several>"].concat();
    let several = parse_element(&wrapped, &scope, &Limits::default()).map_err(|_| bad(single.to_string()))?;
    Ok(several.elements().cloned().collect())
}

fn read_presence(
    presence: &stanza::Presence,
    earlier: Option<Mapped<Carried>>,
    setting: &Setting,
) -> Result<Mapped<Carried>, Stop> {
    let jid = |name: &str, text: Option<&str>| match text.map(Jid::parse) {
        Some(Ok(jid)) => Ok(Some(jid)),
        Some(Err(error)) => {
            Err(Failure::new(Side::Near, Cause::AddressMalformed).with_text(format!("{name}: {error}")))
        }
        None => Ok(None),
    };
    let end = |jid: &Jid| {
        let end = adapter_xmpp::mapping::address::from_jid(jid);
        end.map_err(|error| Failure::new(Side::Near, Cause::AddressMalformed).with_text(error.to_string()))
    };
    let from = jid("from", presence.from())?.ok_or_else(|| bad("no from on the stanza"))?;
    let presentity = end(&from)?.address;
    let watcher = jid("to", presence.to())?.as_ref().map(end).transpose()?.unwrap_or_else(|| setting.receiver.clone());
    let told = xmpp_presence::from_stanza(presence, &from)
        .map_err(|protected| protected.failure())?
        .ok_or_else(|| Stop::Nothing("the stanza tells no availability".to_owned()))?;
    let mut states = earlier.unwrap_or_else(|| notice(presentity.clone(), watcher, Mapped::default()));
    states.dropped.extend(told.dropped);
    match &mut states.value {
        Carried::Presence(notice) if notice.presentity == presentity => notice.info.set_device(told.value),
        Carried::Presence(_) | Carried::Message(_) | Carried::Disposition(_) | Carried::Composing(_) => {
            return Err(bad("presence of different users").into());
        }
    }
    Ok(states)
}

fn read_xmpp_message(found: &stanza::Message, setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let (from, to) = xmpp::addresses(found).map_err(|refusal| refusal.failure())?;
    let trans_id = TransId::from(found.id().unwrap_or("translate"));
    match xmpp::from_stanza(found, &from, &to, trans_id) {
        Ok(Some(mapped)) => Ok(message(mapped)),
        Ok(None) => {
            let word = word::of_stanza(found, &from, &to, setting)?;
            word.map(Mapped::whole).ok_or_else(|| Stop::Nothing("the stanza has no text to show".to_owned()))
        }
        Err(refusal) => Err(refusal.failure().into()),
    }
}

/// Reads what a client posts, or an event: that names its sender.
fn read_native(input: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    if let Ok(Value::Object(fields)) = serde_json::from_slice(input) {
        if fields.contains_key("basic") {
            return read_native_presence(input, fields.contains_key("from"), setting);
        }
        if let Some(word) = word::of_native(&fields, input, setting)? {
            return Ok(Mapped::whole(word));
        }
    }
    let (input, source) = split_event(input, &setting.sender)?;
    let request = adapter_native::mapping::parse(&input).map_err(|refusal| refusal.to_failure())?;
    let operation = adapter_native::mapping::from_request(source, request, TransId::from("translate"))
        .map_err(|refusal| refusal.to_failure())?;
    Ok(message(Mapped::whole(operation)))
}

fn read_native_presence(input: &[u8], event: bool, setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    use adapter_native::mapping::presence;
    if !event {
        let request = presence::parse(input).map_err(|refusal| refusal.to_failure())?;
        let tuple = presence::from_request(setting.sender.device.clone(), request);
        let tuples = vec![tuple.map_err(|refusal| refusal.to_failure())?];
        let info = PresenceInfo { tuples, ..PresenceInfo::default() };
        return Ok(notice(setting.sender.address.clone(), setting.receiver.clone(), Mapped::whole(info)));
    }
    let event = presence::parse_event(input).map_err(|refusal| refusal.to_failure())?;
    let address = |field: &str, text: &str| Address::parse_bare(text).map_err(|error| bad(format!("{field}: {error}")));
    let (presentity, watcher) = (address("from", &event.from)?, Endpoint::bare(address("to", &event.to)?));
    let info = presence::from_event(event).map_err(|refusal| refusal.to_failure())?;
    Ok(notice(presentity, watcher, Mapped::whole(info)))
}

/// What only an event has, and where it goes.
fn split_event(input: &[u8], sender: &Endpoint) -> Result<(Vec<u8>, Endpoint), Failure> {
    let mut source = sender.clone();
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(input) else { return Ok((input.to_vec(), source)) };
    let Some(Value::String(from)) = fields.shift_remove("from") else { return Ok((input.to_vec(), source)) };
    source.address = Address::parse_bare(&from).map_err(|error| bad(format!("from: {error}")))?;
    if let Some(Value::String(device)) = fields.shift_remove("from_device") {
        source.device = Some(Device::new(&device).map_err(|error| bad(format!("from_device: {error}")))?);
    }
    for of_event in ["sent", "alternatives", "trans_id", "trace"] {
        fields.shift_remove(of_event);
    }
    // What the message came as is said by its body, too; only what is protected is not.
    if fields.get("body").is_some_and(|body| body.as_str() != Some("")) {
        fields.shift_remove("object");
    }
    Ok((Value::Object(fields).to_string().into_bytes(), source))
}

fn address(uri: &str) -> Option<Address> {
    from_sip_uri(uri).ok().map(|end| end.address)
}

fn read_cpim(input: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    if let Some(sealed) = cpim_mapping::seal(Bytes::copy_from_slice(input))
        && Package::begins(input)
    {
        if signed_document(input).is_some() {
            return signed_presence(input, setting);
        }
        let (source, destination) =
            signed_ends(input).unwrap_or_else(|| (setting.sender.clone(), setting.receiver.clone()));
        return Ok(sealed_message(source, destination, sealed));
    }
    let refused = |refusal: cpim_mapping::Refusal| Stop::from(refusal.failure());
    let object = cpim_mapping::open(input).map_err(refused)?;
    let malformed = |error: cpim::ParseError| refused(error.into());
    let (read, _) = cpim::Message::interpret(&object, Profile::Gateway).map_err(malformed)?;
    let ends = || cpim_mapping::ends(&read, address).map_err(refused);
    if let Some(sealed) = sealed::from_body(cpim::MEDIA_TYPE, None, &object) {
        let (source, destination) = ends()?;
        return Ok(sealed_message(source, destination, sealed));
    }
    if let Some(word) = word::of_object(&read, ends, setting)? {
        cpim_mapping::check(&read).map_err(refused)?;
        return Ok(Mapped::whole(word));
    }
    if !read.content().is(pidf::MEDIA_TYPE) {
        return cpim_mapping::from_object(&object, address, TransId::from("translate")).map(message).map_err(refused);
    }
    cpim_mapping::check(&read).map_err(refused)?;
    let (source, watcher) = cpim_mapping::ends(&read, address).map_err(refused)?;
    let media_type = read.content().value("Content-Type").unwrap_or_default().into_owned();
    let octets = read.content().decoded_body().ok_or_else(|| refused(cpim_mapping::Refusal::Encoding))?;
    let document = sip_presence::Document {
        media_type: media_type.into(),
        octets: Bytes::from(octets.into_owned()),
        language: None,
    };
    let info = document.to_info(setting.date_time().as_ref()).map_err(|error| bad(error.to_string()))?;
    Ok(notice(source.address, watcher, as_text(info)))
}

/// With the document in UTF-8: a gateway passes on the octets that came, but what is shown here is text.
fn as_text(mut info: Mapped<PresenceInfo>) -> Mapped<PresenceInfo> {
    info.value.pidf = info.value.pidf.map(|octets| match pidf::to_utf8(&octets, None) {
        Ok(Cow::Owned(text)) => text.into(),
        Ok(Cow::Borrowed(_)) | Err(_) => octets,
    });
    info
}

/// The message/cpim object that the input is or a MESSAGE request holds, octet for octet.
pub(super) fn object(from: Protocol, input: &[u8]) -> Option<Bytes> {
    match from {
        Protocol::Cpim => Some(Bytes::copy_from_slice(input)),
        Protocol::Sip => {
            let request =
                Message::parse(Bytes::copy_from_slice(input)).ok().filter(|request| request.verify().is_ok())?;
            object_of(&request).filter(|_| request.method() == Some(&Method::Message)).map(Bytes::copy_from_slice)
        }
        Protocol::Xmpp | Protocol::Native | Protocol::Pidf => None,
    }
}

/// The message/cpim object in a request.
fn object_of(request: &Message) -> Option<&[u8]> {
    let content_type = request.only(HeaderId::ContentType).ok().flatten()?;
    let media = cpim::MediaType::parse(content_type)?;
    media.is(cpim::MEDIA_TYPE).then(|| request.body())
}

/// A signed presence document: what its envelope shows, and whom the document is about.
fn signed_presence(entity: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let (media_type, octets) =
        sealed::of_entity(entity).ok_or_else(|| bad("the transfer encoding can't be reversed"))?;
    let document = sip_presence::Document { media_type: media_type.into(), octets, language: None };
    let info = document.to_info(setting.date_time().as_ref()).map_err(|error| bad(error.to_string()))?;
    let said = signed_document(entity).and_then(|(_, octets)| pidf::parse(&octets).ok());
    let presentity = said.and_then(|said| presentity(said.presence.entity.as_str()));
    Ok(notice(presentity.ok_or_else(nobody)?, setting.receiver.clone(), info))
}

fn is_sips(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
}

/// Whether a URI of the object or document is one of `sips:`; those of requests are looked at where they are read.
pub(super) fn demands_tls(from: Protocol, input: &[u8]) -> bool {
    match from {
        Protocol::Cpim => cpim_mapping::open(input).is_ok_and(|object| {
            let read = cpim::Message::interpret(&object, Profile::Gateway);
            read.is_ok_and(|(read, _)| read.froms().chain(read.to()).any(|mailbox| is_sips(&mailbox.uri)))
        }),
        Protocol::Pidf => pidf::parse(input).is_ok_and(|parsed| is_sips(&parsed.presence.entity)),
        Protocol::Sip | Protocol::Xmpp | Protocol::Native => false,
    }
}

/// Whom a signed object names; it is looked at, not taken apart.
fn signed_ends(input: &[u8]) -> Option<(Endpoint, Endpoint)> {
    let package = Package::parse(input).ok().filter(|package| package.class() == Class::Signed)?;
    let object = cpim_mapping::open(package.signed_part().ok()?.octets).ok()?;
    let (read, _) = cpim::Message::interpret(&object, Profile::Gateway).ok()?;
    cpim_mapping::ends(&read, address).ok()
}

fn read_pidf(input: &[u8], setting: &Setting) -> Result<Mapped<Carried>, Stop> {
    let parsed = pidf::parse(input).map_err(|error| bad(error.to_string()))?;
    let presentity = presentity(parsed.presence.entity.as_str());
    let mut info = pidf::mapping::to_info(&parsed.presence, setting.date_time().as_ref());
    // The reader kept the first of them.
    let repeated = parsed.warnings.iter().any(|warning| warning.kind == pidf::WarningKind::DuplicateTupleId);
    info.dropped.extend(repeated.then_some("tuple"));
    info.value.pidf = pidf::to_utf8(input, None).ok().map(|text| Bytes::from(text.into_owned()));
    Ok(notice(presentity.ok_or_else(nobody)?, setting.receiver.clone(), info))
}

fn nobody() -> Failure {
    Failure::new(Side::Near, Cause::AddressMalformed).with_text("the entity names no presentity")
}

/// RFC 4479 §3.1: any URI of the presentity may be the entity.
fn presentity(entity: &str) -> Option<Address> {
    address(entity).or_else(|| xmpp_address(entity))
}

fn xmpp_address(entity: &str) -> Option<Address> {
    let jid = entity.strip_prefix("xmpp:").and_then(|jid| Jid::parse(jid).ok())?;
    adapter_xmpp::mapping::address::from_jid(&jid).ok().map(|end| end.address)
}

impl Setting {
    /// The time of day as documents write it.
    pub(super) fn date_time(&self) -> Option<DateTime> {
        DateTime::from_system_time(self.now)
    }
}
