//! NOTIFY requests and presence documents (RFC 3856, RFC 8048 §6): who tells whom, and what stands in the body.
//!
//! A document goes from one PIDF speaker to another in its own octets ([`Document::octets`], [`PresenceInfo::pidf`]); it is
//! read only where somebody needs the states of devices. Dialogs are not this module's business.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use impp_model::{Address, Basic, DateTime, Endpoint, LanguageTag, PresenceInfo, PresenceTuple};
use pidf::mapping::{to_document, to_info};
use sip_proto::build::{RequestBuilder, ResponseBuilder};
use sip_proto::header::{HeaderError, MediaType};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;

use super::address::{AddressRefusal, from_sip_uri, to_sip_uri};
use super::message::is_language_tag;
use super::{Mapped, sealed};

/// The event package (RFC 3856 §6.1).
pub const EVENT: &str = "presence";

/// What a NOTIFY of presence may hold (RFC 3856 §6.7).
pub const ACCEPT: &str = pidf::MEDIA_TYPE;

/// What a NOTIFY says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The PRESENTITY: From of a NOTIFY.
    pub presentity: Endpoint,
    /// The WATCHER: To of a NOTIFY.
    pub watcher: Endpoint,
    /// Subscription-State as it is written, as `active;expires=3600`.
    pub subscription: String,
    /// The state; `None` where nothing is known or may be told (RFC 8048 §5.2.1).
    pub document: Option<Document>,
}

/// A presence document in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The Content-Type as it is written.
    pub media_type: Arc<str>,
    /// Its octets, as they came.
    pub octets: Bytes,
    /// Content-Language: that of notes which have none of their own (RFC 3863 §4.1.6, RFC 8048 §6).
    pub language: Option<LanguageTag>,
}

/// Why a NOTIFY is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A header is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// RFC 6665 §8.2.1: another event package.
    #[error("not an event of the presence package")]
    Event,
    /// The From URI names no PRESENTITY.
    #[error("From: {0}")]
    Presentity(AddressRefusal),
    /// The To URI names no WATCHER.
    #[error("To: {0}")]
    Watcher(AddressRefusal),
    /// RFC 3261 §8.2.3: an encoding or a type of body that is not understood.
    #[error("the body is not a presence document")]
    MediaType,
    /// The body is no document that can be read.
    #[error("presence document: {0}")]
    Document(#[from] pidf::ParseError),
}

impl Refusal {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Header(_) | Self::Presentity(_) | Self::Watcher(_) | Self::Document(_) => 400,
            // RFC 6665 §4.1.3.
            Self::Event => 489,
            Self::MediaType => 415,
        }
    }

    /// Adds to an answer what would have been taken, if that was the fault (RFC 3261 §21.4.13).
    pub fn add_accept<'a>(&self, answer: ResponseBuilder<'a>) -> ResponseBuilder<'a> {
        if matches!(self, Self::MediaType) { answer.header(HeaderId::Accept, ACCEPT) } else { answer }
    }
}

/// What a verified NOTIFY says.
pub fn from_notify(request: &Message) -> Result<Notification, Refusal> {
    let key = request.key_headers()?;
    let event = request.only(HeaderId::Event)?.ok_or(Refusal::Event)?;
    if before_params(event) != EVENT {
        return Err(Refusal::Event);
    }
    let missing = HeaderError::Missing(HeaderId::SubscriptionState);
    let subscription = request.only(HeaderId::SubscriptionState)?.ok_or(missing)?.to_owned();
    Ok(Notification {
        presentity: from_sip_uri(key.from.uri).map_err(Refusal::Presentity)?,
        watcher: from_sip_uri(key.to.uri).map_err(Refusal::Watcher)?,
        subscription,
        document: document(request)?,
    })
}

/// The document in the body of a NOTIFY or PUBLISH; `None` without a body.
pub fn document(request: &Message) -> Result<Option<Document>, Refusal> {
    let octets = request.body_bytes();
    if octets.is_empty() {
        return Ok(None);
    }
    for encoding in request.values(HeaderId::ContentEncoding) {
        if !encoding?.eq_ignore_ascii_case("identity") {
            return Err(Refusal::MediaType);
        }
    }
    let media = request.only(HeaderId::ContentType)?.ok_or(HeaderError::Missing(HeaderId::ContentType))?;
    if !is_presence(&MediaType::parse(media)?) && signed(media, &octets).is_none() {
        return Err(Refusal::MediaType);
    }
    let language = request.values(HeaderId::ContentLanguage).next().transpose()?;
    let language = language.filter(|tag| is_language_tag(tag)).map(LanguageTag::from);
    Ok(Some(Document { media_type: media.into(), octets, language }))
}

fn is_presence(media: &MediaType<'_>) -> bool {
    [pidf::MEDIA_TYPE, pidf::DIFF_MEDIA_TYPE].iter().any(|known| media.essence() == *known)
}

/// RFC 3863 §6: a signed document, as a MIME entity.
fn signed(media: &str, octets: &[u8]) -> Option<Bytes> {
    let entity = sealed::entity(media, None, octets);
    sealed::signed_document(&entity).is_some().then_some(entity)
}

fn before_params(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

impl Document {
    /// The body that tells the state of a PRESENTITY: the document it was read from, octet for octet, else a new one.
    ///
    /// `timestamp` is that of a new one: no two documents of one PRESENTITY may have the same (RFC 3863 §4.1.7).
    pub fn of_info(
        info: &PresenceInfo,
        presentity: &Address,
        timestamp: Option<&DateTime>,
    ) -> Result<Mapped<Self>, pidf::EncodeError> {
        // RFC 3863 §6, RFC 3923 §8: what is protected goes whole or not at all.
        if let Some((media, octets)) = info.sealed().and_then(sealed::to_body) {
            let whole = Self { media_type: media.into(), octets, language: None };
            return Ok(Mapped::without(whole, [("sealed", info.tuples.len() > 1)]));
        }
        // RFC 3859 §3.3: relayed without a change.
        if let Some(octets) = &info.pidf {
            let whole = Self { media_type: pidf::MEDIA_TYPE.into(), octets: octets.clone(), language: None };
            return Ok(Mapped::whole(whole));
        }
        let value = Self::of(&to_document(presentity, info, timestamp))?;
        // RFC 8048 §6.2, note 6: a negative priority is not mapped.
        let negative = info.tuples.iter().any(|tuple| tuple.priority.is_some_and(|priority| priority < 0));
        let sealed = info.readable().count() < info.tuples.len();
        Ok(Mapped::without(value, [("priority", negative), ("sealed", sealed)]))
    }

    /// What the document says of each device, with its octets for who reads PIDF; `now` leaves out activities of the past
    /// and future.
    ///
    /// The octets are kept only of a `pidf` document whose notes need no language from outside.
    pub fn to_info(&self, now: Option<&DateTime>) -> Result<Mapped<PresenceInfo>, pidf::ParseError> {
        if let Some(entity) = signed(&self.media_type, &self.octets) {
            return Self::to_sealed_info(entity, now);
        }
        let mut mapped = to_info(&self.parse()?, now);
        let plain = MediaType::parse(&self.media_type).is_ok_and(|media| media.essence() == pidf::MEDIA_TYPE);
        mapped.value.pidf = (plain && self.language.is_none()).then(|| self.relayed());
        Ok(mapped)
    }

    /// The octets to pass on under a type without charset: those that came, unless they say less than the type does.
    fn relayed(&self) -> Bytes {
        let charset = MediaType::parse(&self.media_type).ok().and_then(|media| media.charset());
        // It was read.
        let [told, alone] = [charset.as_deref(), None].map(|charset| pidf::to_utf8(&self.octets, charset).ok());
        if told == alone { self.octets.clone() } else { told.map(Cow::into_owned).unwrap_or_default().into() }
    }

    /// The signed document and what its envelope shows: whether anybody is there.
    fn to_sealed_info(entity: Bytes, now: Option<&DateTime>) -> Result<Mapped<PresenceInfo>, pidf::ParseError> {
        let Some((media, octets)) = sealed::signed_document(&entity) else { return Ok(Mapped::default()) };
        let said = Self { media_type: media.into(), octets, language: None }.to_info(now)?.value;
        let best = said.most_available();
        let device = best.and_then(|tuple| tuple.device.clone()).filter(|_| said.tuples.len() == 1);
        let shown = PresenceTuple::new(device, best.map_or(Basic::Closed, |tuple| tuple.basic));
        let tuple = PresenceTuple { sealed: sealed::seal(entity).map(Box::new), ..shown };
        Ok(Mapped::whole(PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() }))
    }

    /// The body that says what a model says.
    pub fn of(presence: &pidf::Presence) -> Result<Self, pidf::EncodeError> {
        Ok(Self {
            media_type: pidf::MEDIA_TYPE.into(),
            octets: presence.encode()?.into(),
            language: one_language(presence),
        })
    }

    /// Reads the document; notes without a language have that of the body.
    pub fn parse(&self) -> Result<pidf::Presence, pidf::ParseError> {
        let mut presence = pidf::parse_as(&self.octets, &self.media_type)?.presence;
        let Some(language) = &self.language else { return Ok(presence) };
        let of_tuples = presence.tuples.iter_mut().flat_map(|tuple| &mut tuple.notes);
        for note in of_tuples.chain(&mut presence.notes).filter(|note| note.lang.is_none()) {
            note.lang = Some(language.as_str().to_owned().into());
        }
        Ok(presence)
    }
}

/// PRS-042: the language of all notes, when they have one.
fn one_language(presence: &pidf::Presence) -> Option<LanguageTag> {
    let notes = presence.tuples.iter().flat_map(|tuple| &tuple.notes).chain(&presence.notes);
    let mut languages = notes.map(|note| note.lang.as_deref());
    let first = languages.next()??;
    (languages.all(|other| other == Some(first)) && is_language_tag(first)).then(|| LanguageTag::from(first))
}

/// What a NOTIFY has of its dialog (RFC 3261 §12.2.1.1).
#[derive(Debug, Clone, Copy)]
pub struct InDialog<'a> {
    /// Its Request-URI: the remote target, unless a strict router comes first.
    pub target: &'a str,
    /// The dialog's Call-ID.
    pub call_id: &'a str,
    /// The PRESENTITY's tag.
    pub from_tag: &'a str,
    /// The WATCHER's tag.
    pub to_tag: &'a str,
    /// Where the WATCHER's side sends requests within the dialog.
    pub contact: &'a str,
    /// The sequence number.
    pub cseq: u32,
    /// How many elements it may pass.
    pub max_forwards: u8,
}

/// The NOTIFY that tells of a notification, but for its Via.
pub fn to_notify(notification: &Notification, dialog: &InDialog<'_>) -> RequestBuilder {
    to_notify_about("", notification, dialog)
}

/// The same for a subscription that has an `id` in Event, if it is not empty (RFC 6665 §8.2.1).
pub fn to_notify_about(id: &str, notification: &Notification, dialog: &InDialog<'_>) -> RequestBuilder {
    let event = if id.is_empty() { EVENT.to_owned() } else { format!("{EVENT};id={id}") };
    let tagged = |end: &Endpoint, tag: &str| {
        let uri = to_sip_uri(&Endpoint::bare(end.address.clone()));
        if tag.is_empty() { format!("<{uri}>") } else { format!("<{uri}>;tag={tag}") }
    };
    let request = RequestBuilder::new(Method::Notify, dialog.target)
        .header(HeaderId::MaxForwards, &dialog.max_forwards.to_string())
        .header(HeaderId::From, &tagged(&notification.presentity, dialog.from_tag))
        .header(HeaderId::To, &tagged(&notification.watcher, dialog.to_tag))
        .header(HeaderId::CallId, dialog.call_id)
        .cseq(dialog.cseq)
        .header(HeaderId::Contact, &format!("<{}>", dialog.contact))
        .header(HeaderId::Event, &event)
        .header(HeaderId::SubscriptionState, &notification.subscription);
    let Some(document) = &notification.document else { return request };
    let request = match &document.language {
        Some(language) => request.header(HeaderId::ContentLanguage, language.as_str()),
        None => request,
    };
    request.body(&document.media_type, document.octets.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Basic, Device, LangText, PresenceTuple};
    use sip_proto::build::TopVia;

    fn notification() -> Notification {
        let [presentity, watcher]: [Address; 2] =
            ["juliet@example.com", "romeo@example.net"].map(|text| text.parse().unwrap());
        let document = Document::of_info(&info(), &presentity, None).unwrap();
        assert_eq!(document.dropped, ["priority"]);
        Notification {
            presentity: Endpoint::bare(presentity),
            watcher: Endpoint::bare(watcher),
            subscription: "active;expires=60".to_owned(),
            document: Some(document.value),
        }
    }

    fn info() -> PresenceInfo {
        let notes = vec![LangText { language: Some("en".into()), text: "on the balcony".to_owned() }];
        let tuple = PresenceTuple::new(Device::new("b").ok(), Basic::Open);
        PresenceInfo { tuples: vec![PresenceTuple { priority: Some(-1), notes, ..tuple }], ..PresenceInfo::default() }
    }

    fn notify(notification: &Notification) -> Message {
        let dialog = InDialog {
            target: "sip:romeo@192.0.2.10",
            call_id: "c1",
            from_tag: "f",
            to_tag: "t",
            contact: "sip:gw.example.com",
            cseq: 7,
            max_forwards: 70,
        };
        let via = TopVia { transport: "TCP", sent_by: "gw.example.com", branch: "z9hG4bK1", rport: true, alias: false };
        let request = Message::parse(to_notify(notification, &dialog).encode(&via)).unwrap();
        request.verify().unwrap();
        request
    }

    fn changed(from: &str, to: &str) -> Result<Notification, Refusal> {
        let text = String::from_utf8(notify(&notification()).octets().to_vec()).unwrap();
        assert!(text.contains(from), "{text}");
        from_notify(&Message::parse(text.replace(from, to).into()).unwrap())
    }

    // checks: PRS-042, PRS-048, PR-15, PD-24
    #[test]
    fn rfc3856_s6_a_notification_makes_a_notify_and_comes_back_with_its_octets() {
        let sent = notification();
        let request = notify(&sent);
        assert_eq!(request.header(HeaderId::ContentLanguage).unwrap().display(), "en");
        assert_eq!(from_notify(&request).unwrap(), sent);
        let told = sent.document.unwrap().to_info(None).unwrap().value;
        assert!(told.is_open() && told.pidf.is_none(), "notes have their language from the header");
        let empty = Notification { document: None, ..notification() };
        assert_eq!(from_notify(&notify(&empty)).unwrap().document, None);
    }

    // checks: PRS-042, PD-12
    #[test]
    fn rfc3863_s4_1_6_notes_have_the_language_of_the_body() {
        let document = Document {
            media_type: "application/pidf+xml;charset=UTF-8".into(),
            octets: Bytes::from_static(
                b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'><tuple id='t'><status><basic>closed</basic>\
                  </status><note>x</note><note xml:lang='de'>y</note></tuple></presence>",
            ),
            language: Some("cs".into()),
        };
        let presence = document.parse().unwrap();
        let languages: Vec<_> = presence.tuples[0].notes.iter().map(|note| note.lang.as_deref()).collect();
        assert_eq!(languages, [Some("cs"), Some("de")]);
        assert_eq!(Document::of(&presence).unwrap().language, None, "notes of two languages have none in common");
    }

    // checks: PR-15, PD-24, PD-28
    #[test]
    fn rfc3859_s3_3_a_document_goes_on_in_its_own_octets() {
        let octets = Bytes::from_static(
            b"<!-- mine --><q:presence xmlns:q='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'><q:tuple id='t'><q:status>\
              <q:basic>open</q:basic></q:status><x xmlns='urn:x'/></q:tuple></q:presence>\n",
        );
        let document = Document { media_type: pidf::MEDIA_TYPE.into(), octets: octets.clone(), language: None };
        let info = document.to_info(None).unwrap();
        assert_eq!(info.dropped, ["extensions"]);
        let [presentity]: [Address; 1] = ["juliet@example.com".parse().unwrap()];
        assert_eq!(Document::of_info(&info.value, &presentity, None).unwrap(), Mapped::whole(document));
        let partial = Document { media_type: pidf::DIFF_MEDIA_TYPE.into(), octets, language: None };
        assert!(partial.to_info(None).is_err());
    }

    // checks: PD-02, PD-24
    #[test]
    fn rfc3863_s4_1_a_document_in_utf_16_goes_on_as_it_is_and_one_that_its_type_explains_in_utf_8() {
        let text = "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'>\
            <tuple id='t'><status><basic>open</basic></status><note>\u{e9}</note></tuple></presence>";
        let kept = |media_type: &str, octets: &[u8]| {
            let document =
                Document { media_type: media_type.into(), octets: Bytes::copy_from_slice(octets), language: None };
            document.to_info(None).unwrap().value.pidf.unwrap()
        };
        let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(kept("application/pidf+xml", &wide), wide);
        assert_eq!(kept("application/pidf+xml;charset=utf-16", &wide), wide);
        let narrow: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(kept("application/pidf+xml;charset=iso-8859-1", &narrow), text);
    }

    // checks: PRL-028, EVT-011, EVT-031, PD-28
    #[test]
    fn what_is_no_notification_of_presence_is_refused() {
        assert_eq!(changed("Event: presence", "Event: dialog"), Err(Refusal::Event));
        assert_eq!(changed("Event: presence", "Subject: presence"), Err(Refusal::Event));
        assert_eq!(changed("application/pidf+xml", "application/xpidf+xml"), Err(Refusal::MediaType));
        let missing = HeaderError::Missing(HeaderId::SubscriptionState);
        assert_eq!(changed("Subscription-State", "X-State"), Err(missing.into()));
        assert_eq!(changed("<sip:juliet@", "<tel:juliet@").map_err(|refusal| refusal.status()), Err(400));
        assert_eq!((Refusal::Event.status(), Refusal::MediaType.status()), (489, 415));
    }
}
