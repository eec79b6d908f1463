//! Presence stanzas and PRESENCE INFORMATION (RFC 8048 §6, RFC 3922 §5, §6.3).
//!
//! A stanza tells the state of one resource, [`PresenceInfo`] that of all of a PRESENTITY.

use std::fmt::Write as _;

use cpim::e2e::NotCarriable;
use cpim::mapping::{seal, unseal};
use impp_model::{
    Address, Basic, Cause, Device, Endpoint, Failure, LangText, LanguageTag, PresenceInfo, PresenceTuple, Show, Side,
};
use sha2::{Digest, Sha256};
use strict_xml::SharedStr;
use xmpp_proto::jid::Jid;
use xmpp_proto::stanza;

use super::address::{AddressError, to_jid};
use super::{Mapped, e2e};

/// Presence that says to be protected, and is in no S/MIME object that could be passed on (RFC 3923 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the end-to-end protected presence is no S/MIME object")]
pub struct Protected;

impl Protected {
    /// What the sender is told.
    pub fn failure(&self) -> Failure {
        // RFC 3923 §7: of whoever does not take protected stanzas.
        Failure::new(Side::Near, Cause::ServiceUnavailable).with_text(self.to_string())
    }
}

/// Why presence can't be written as a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// One of the ends has no JID.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// XML would change the protected document.
    #[error(transparent)]
    Sealed(#[from] NotCarriable),
}

impl Unwritable {
    /// What the sender is told.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Address(error) => error.failure(),
            Self::Sealed(error) => e2e::failure(*error),
        }
    }
}

/// The state that a presence stanza tells of the resource of `from`.
///
/// `None` for all that is no availability: subscriptions, probes and errors never become a NOTIFICATION (RFC 8048 §6.2).
///
/// # Errors
///
/// Protected presence of another form than RFC 3923 has, of which the stanza itself tells nothing.
pub fn from_stanza(presence: &stanza::Presence, from: &Jid) -> Result<Option<Mapped<PresenceTuple>>, Protected> {
    let basic = match presence.kind() {
        None if presence.element().attr("type").is_none() => Basic::Open,
        Some(stanza::PresenceType::Unavailable) => Basic::Closed,
        None | Some(_) => return Ok(None),
    };
    let device = from.resource().and_then(|name| Device::new(name).ok());
    // RFC 3923 §4.1, §8: the document is in the object, which goes on as it is; nothing else of the stanza does.
    if let Some(element) = presence.payload("e2e", cpim::e2e::NAMESPACE) {
        let sealed = cpim::e2e::unwrap(element).and_then(seal).ok_or(Protected)?;
        let tuple = PresenceTuple { sealed: Some(Box::new(sealed)), ..PresenceTuple::new(device, basic) };
        return Ok(Some(Mapped::whole(tuple)));
    }
    let open = basic == Basic::Open;
    let own = &presence.element().ns;
    // RFC 6121 §4.7.2.3: one that is none says nothing, not 0.
    let priority = presence.payload("priority", own).and_then(|given| given.text().trim().parse().ok());
    let tuple = PresenceTuple {
        show: presence.show().filter(|_| open).map(from_show),
        priority: priority.filter(|_| open),
        notes: notes(presence),
        ..PresenceTuple::new(device, basic)
    };
    let foreign = presence.payloads().any(|payload| payload.ns != *own);
    let unread = open && presence.payload("priority", own).is_some() && tuple.priority.is_none();
    Ok(Some(Mapped::without(tuple, [("extensions", foreign), ("priority", unread)])))
}

/// The stanza that tells `to` the state of a device of `from`.
///
/// # Errors
///
/// An address without JID, a protected document that is no text. A device name that makes no resource gets another, always
/// the same.
pub fn to_stanza(tuple: &PresenceTuple, from: &Address, to: &Endpoint) -> Result<stanza::Presence, Unwritable> {
    let to = to_jid(to)?;
    let from = resource_jid(from, tuple.device.as_ref())?;
    let kind = (tuple.basic == Basic::Closed).then_some(stanza::PresenceType::Unavailable);
    let mut out = addressed(kind, &from, &to);
    if let Some(object) = tuple.sealed.as_deref().and_then(unseal) {
        return Ok(out.with_payload(cpim::e2e::element(object)?));
    }
    let open = tuple.basic == Basic::Open;
    if let Some(show) = tuple.show.filter(|_| open) {
        out = out.with_show(to_show(show));
    }
    // RFC 6121 §4.7.2.2: one status for each language, as the first note says.
    let told =
        |number: usize, note: &LangText| tuple.notes.iter().take(number).all(|first| first.language != note.language);
    for (_, note) in tuple.notes.iter().enumerate().filter(|(number, note)| told(*number, note)) {
        let text = note.text.replace("\r\n", "\n").replace('\r', "\n");
        out = out.with_status(text, note.language.as_ref().map(LanguageTag::as_str));
    }
    if let Some(priority) = tuple.priority.filter(|_| open) {
        out = out.with_priority(priority);
    }
    Ok(out)
}

/// Unavailability without a device's name: of a PRESENTITY that has no device, or of which nothing is known any more.
pub fn unavailable(from: &Address, to: &Endpoint) -> Result<stanza::Presence, AddressError> {
    let from = to_jid(&Endpoint::bare(from.clone()))?;
    Ok(addressed(Some(stanza::PresenceType::Unavailable), &from, &to_jid(to)?))
}

/// The stanzas that tell `to` the state of `from`, one for each device (RFC 3922 §6.3.1).
///
/// Devices that are gone since an earlier state are told of with [`PresenceInfo::vanished`] and [`to_stanza`].
pub fn to_stanzas(
    info: &PresenceInfo,
    from: &Address,
    to: &Endpoint,
) -> Result<Mapped<Vec<stanza::Presence>>, Unwritable> {
    let mut stanzas: Vec<_> = info.tuples.iter().map(|tuple| to_stanza(tuple, from, to)).collect::<Result<_, _>>()?;
    // RFC 3922 §5.2.11: notes alone tell nothing; §6.3.2: neither tuples nor notes, and nobody is there.
    if info.tuples.is_empty() && info.notes.is_empty() {
        stanzas.push(unavailable(from, to)?);
    }
    let lost = [
        ("contact", info.tuples.iter().any(|tuple| tuple.contact.is_some())),
        ("timestamp", info.tuples.iter().any(|tuple| tuple.since.is_some())),
        ("notes", !info.notes.is_empty()),
    ];
    Ok(Mapped::without(stanzas, lost))
}

fn addressed(kind: Option<stanza::PresenceType>, from: &Jid, to: &Jid) -> stanza::Presence {
    stanza::Presence::new(kind).with_from(SharedStr::copy(from.as_str())).with_to(SharedStr::copy(to.as_str()))
}

/// The full JID of a device, the bare one when it has no name.
fn resource_jid(address: &Address, device: Option<&Device>) -> Result<Jid, AddressError> {
    let with = |device| to_jid(&Endpoint { address: address.clone(), device });
    // RFC 7622 §3.4: a tuple id of another's making may hold what no resource can.
    with(device.cloned()).or_else(|error| match device {
        Some(device) => with(Some(Device::new(&substitute(device.as_str()))?)),
        None => Err(error),
    })
}

/// Octets of the hash that stands for a name: enough for the devices of one person.
const SUBSTITUTE_LEN: usize = 8;

fn substitute(device: &str) -> String {
    Sha256::digest(device.as_bytes()).iter().take(SUBSTITUTE_LEN).fold(String::new(), |mut name, octet| {
        // Writing to a string can't fail.
        let _ = write!(name, "{octet:02x}");
        name
    })
}

/// RFC 6121 §4.7.2.2: one status for each language.
fn notes(presence: &stanza::Presence) -> Vec<LangText> {
    let mut notes: Vec<LangText> = Vec::new();
    for status in presence.statuses().filter(|status| !status.text.is_empty()) {
        let language = status.lang.filter(|lang| !lang.is_empty()).map(LanguageTag::from);
        if notes.iter().all(|known| known.language != language) {
            notes.push(LangText { language, text: status.text.into_owned() });
        }
    }
    notes
}

fn from_show(show: stanza::Show) -> Show {
    match show {
        stanza::Show::Away => Show::Away,
        stanza::Show::Chat => Show::Chat,
        stanza::Show::Dnd => Show::Dnd,
        stanza::Show::Xa => Show::Xa,
    }
}

fn to_show(show: Show) -> stanza::Show {
    match show {
        Show::Away => stanza::Show::Away,
        Show::Chat => stanza::Show::Chat,
        Show::Dnd => stanza::Show::Dnd,
        Show::Xa => stanza::Show::Xa,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strict_xml::{Limits, Scope, parse_element};
    use xmpp_proto::ns;
    use xmpp_proto::stanza::Stanza;

    fn presence(text: &str) -> (stanza::Presence, Jid) {
        let element = parse_element(text.as_bytes(), &Scope::with_default(ns::CLIENT), &Limits::default()).unwrap();
        let Ok(Stanza::Presence(presence)) = Stanza::from_element(element) else { panic!("{text}") };
        let from = Jid::parse(presence.from().unwrap()).unwrap();
        (presence, from)
    }

    fn read(text: &str) -> Option<Mapped<PresenceTuple>> {
        let (presence, from) = presence(text);
        from_stanza(&presence, &from).unwrap()
    }

    fn romeo() -> (Address, Endpoint) {
        let [from, to] = ["romeo@example.net", "juliet@example.com"].map(|text| text.parse().unwrap());
        (from, Endpoint::bare(to))
    }

    fn written(info: &PresenceInfo) -> (Vec<String>, Vec<&'static str>) {
        let (from, to) = romeo();
        let mapped = to_stanzas(info, &from, &to).unwrap();
        let text = |stanza: stanza::Presence| {
            let mut out = bytes::BytesMut::new();
            stanza::encode(&mut out, stanza.element());
            String::from_utf8(out.to_vec()).unwrap()
        };
        (mapped.value.into_iter().map(text).collect(), mapped.dropped)
    }

    fn tuple(device: &str, basic: Basic) -> PresenceTuple {
        PresenceTuple::new(Device::new(device).ok(), basic)
    }

    fn note(language: Option<&str>, text: &str) -> LangText {
        LangText { language: language.map(LanguageTag::from), text: text.to_owned() }
    }

    const ROMEO: &str = "from='romeo@example.net' to='juliet@example.com'";

    // checks: PRS-040, PRS-042, PRS-043, PRS-045, PRS-046, XM-11, XM-12
    #[test]
    fn rfc8048_s6_2_a_stanza_tells_the_state_of_its_resource() {
        let mapped = read(
            "<presence from='j@example.com/balcony' xml:lang='en'><show>away</show><status>out</status>\
             <status xml:lang='cs'>venku</status><status>again</status><priority>13</priority>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
        )
        .unwrap();
        assert_eq!(mapped.dropped, ["extensions"]);
        let told = mapped.value;
        assert_eq!((told.device.as_ref().map(Device::as_str), told.basic), (Some("balcony"), Basic::Open));
        assert_eq!((told.show, told.priority), (Some(Show::Away), Some(13)));
        assert_eq!(told.notes, [note(Some("en"), "out"), note(Some("cs"), "venku")]);
        let negative =
            read("<presence from='j@example.com/b'><priority>-5</priority><show>online</show></presence>").unwrap();
        assert_eq!((negative.value.priority, negative.value.show), (Some(-5), None));
        for bad in ["128", "x", ""] {
            let told =
                read(&format!("<presence from='j@example.com/b'><priority>{bad}</priority></presence>")).unwrap();
            assert_eq!((told.value.priority, told.dropped), (None, vec!["priority"]), "{bad}");
        }
        let gone = read("<presence from='j@example.com' type='unavailable'><show>dnd</show></presence>").unwrap();
        assert_eq!(gone.value, PresenceTuple::new(None, Basic::Closed));
    }

    // checks: XE-02, XE-04, XE-05, XE-06
    #[test]
    fn rfc3923_s4_1_protected_presence_is_carried_as_it_is_both_ways() {
        let object = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pidf+xml\r\n\r\n\
            <presence/>]]>\r\n--b\r\n\r\n--b--\r\n";
        let sealed = seal(object.into()).unwrap();
        let told = PresenceTuple { sealed: Some(Box::new(sealed)), ..tuple("desk", Basic::Open) };
        let (from, to) = romeo();
        let stanza = to_stanza(&told, &from, &to).unwrap();
        let mut out = bytes::BytesMut::new();
        e2e::encode(&mut out, stanza.element(), "");
        let text = std::str::from_utf8(&out).unwrap();
        assert!(text.starts_with("<presence xmlns='jabber:client' from='romeo@example.net/desk' to="), "{text}");
        assert!(
            text.contains("<![CDATA[Content-Type: multipart/signed") && text.ends_with("]]></e2e></presence>"),
            "{text}"
        );
        assert_eq!(read(text).unwrap(), Mapped::whole(told.clone()));
        let with_more = text.replace("<e2e", "<show>dnd</show><status>in clear</status><e2e");
        assert_eq!(read(&with_more).unwrap().value, told, "what stands beside it is stripped");
        let binary = seal(b"Content-Type: application/pkcs7-mime\r\n\r\n\0"[..].into()).map(Box::new);
        let unwritable = to_stanza(&PresenceTuple { sealed: binary, ..told }, &from, &to).unwrap_err();
        assert_eq!(unwritable.failure().cause, Cause::UnsupportedMedia);
    }

    // checks: XE-05
    #[test]
    fn rfc3923_s7_protection_of_another_form_is_refused() {
        for kind in ["", " type='unavailable'"] {
            let text = format!(
                "<presence from='j@example.com/b'{kind}><e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>x</e2e></presence>"
            );
            let (presence, from) = presence(&text);
            assert_eq!(from_stanza(&presence, &from), Err(Protected));
        }
        let failure = Protected.failure();
        assert_eq!(crate::mapping::error::to_stanza_error(&failure).condition.as_str(), "service-unavailable");
    }

    // checks: PRS-040
    #[test]
    fn rfc8048_s6_2_subscriptions_probes_and_errors_tell_no_state() {
        for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"] {
            assert_eq!(read(&format!("<presence from='j@example.com' type='{kind}'/>")), None, "{kind}");
        }
    }

    // checks: PRS-041, PRS-042, PRS-044, PRS-054, XM-13, XM-14, XM-15, AMB-16, AMB-08
    #[test]
    fn rfc3922_s6_3_1_each_device_makes_a_stanza() {
        let away = PresenceTuple {
            show: Some(Show::Xa),
            priority: Some(64),
            notes: vec![note(Some("it"), "ciao\r\n!")],
            contact: Some("im:romeo@example.net".into()),
            ..tuple("a b", Basic::Open)
        };
        let gone = PresenceTuple { show: Some(Show::Dnd), priority: Some(1), ..tuple("street", Basic::Closed) };
        let mut info = PresenceInfo { tuples: vec![away, gone], ..PresenceInfo::default() };
        let (stanzas, dropped) = written(&info);
        assert_eq!(
            stanzas,
            [
                "<presence from='romeo@example.net/a b' to='juliet@example.com'><show>xa</show>\
                 <status xml:lang='it'>ciao\n!</status><priority>64</priority></presence>",
                "<presence type='unavailable' from='romeo@example.net/street' to='juliet@example.com'/>",
            ]
        );
        assert_eq!(dropped, ["contact"]);
        info.tuples.clear();
        assert_eq!(written(&info).0, [format!("<presence type='unavailable' {ROMEO}/>")]);
        info.notes.push(note(None, "In Tokyo"));
        assert_eq!(written(&info), (vec![], vec!["notes"]));
    }

    // checks: XSU-016
    #[test]
    fn rfc6121_s4_7_2_one_show_and_one_status_for_each_language() {
        let notes =
            vec![note(None, "here"), note(Some("cs"), "tady"), note(None, "twice"), note(Some("cs"), "dvakrát")];
        let both = PresenceTuple { show: Some(Show::Away), priority: Some(-128), notes, ..tuple("a", Basic::Open) };
        let (stanzas, _) = written(&PresenceInfo { tuples: vec![both], ..PresenceInfo::default() });
        assert_eq!(
            stanzas,
            ["<presence from='romeo@example.net/a' to='juliet@example.com'><show>away</show><status>here</status>\
              <status xml:lang='cs'>tady</status><priority>-128</priority></presence>"]
        );
    }

    #[test]
    fn a_device_that_makes_no_resource_gets_a_name_that_stays() {
        let odd = |device: &str| {
            written(&PresenceInfo { tuples: vec![tuple(device, Basic::Open)], ..PresenceInfo::default() }).0
        };
        assert_eq!(odd(""), [format!("<presence {ROMEO}/>")], "a device without name");
        let unassigned = odd("a\u{2028}b");
        assert_eq!(unassigned, odd("a\u{2028}b"));
        assert!(unassigned[0].starts_with("<presence from='romeo@example.net/") && unassigned[0].is_ascii());
    }
}
