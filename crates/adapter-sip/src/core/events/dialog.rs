//! A dialog as RFC 3261 §12 has it, and as it is kept over restarts.

use impp_model::Endpoint;
use serde::Deserialize;
use sip_proto::build::RequestBuilder;
use sip_proto::header::{MediaType, NameAddr};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;
use sip_proto::method::Method;
use sip_proto::uri::SipUri;
use std::borrow::Cow;
use std::fmt::Write as _;

/// On which side of a dialog this instance's peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(in crate::core) enum Role {
    /// It watches: we send NOTIFY.
    Watcher,
    /// It is watched: we send SUBSCRIBE.
    Presentity,
}

/// The state of a dialog.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(in crate::core) struct Dialog {
    pub(super) watcher: Endpoint,
    pub(super) target: Endpoint,
    pub(super) call_id: String,
    pub(super) own_tag: String,
    pub(super) remote_tag: String,
    /// The other side's Contact.
    pub(super) remote_target: String,
    /// The `id` of a watcher's Event; empty without one.
    #[serde(default)]
    pub(super) event_id: String,
    /// Route headers, in the order of requests from here.
    pub(super) routes: Vec<String>,
    /// The number of the last request from here.
    pub(super) cseq: u32,
    /// Numbers up to this one are reserved in the store.
    pub(super) reserved: u32,
    /// That of the last request of the other side.
    pub(super) remote_cseq: u32,
    /// The types of protected documents that a watcher takes beside the plain one (RFC 6665 §3.2.1).
    #[serde(default)]
    pub(super) protected: Protections,
}

/// What a document may be protected with (RFC 3863 §6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(in crate::core) struct Protections {
    pub(super) signature: bool,
    pub(super) envelope: bool,
}

impl Protections {
    /// Those that the Accept of a request names.
    fn accepted(request: &Message) -> Self {
        Self { signature: accepts(request, SIGNED), envelope: accepts(request, ENVELOPED) }
    }

    /// Whether a document of this type is taken.
    pub(super) fn take(self, essence: &str) -> bool {
        (self.signature && essence.eq_ignore_ascii_case(SIGNED))
            || (self.envelope && essence.eq_ignore_ascii_case(ENVELOPED))
    }
}

const SIGNED: &str = "multipart/signed";
const ENVELOPED: &str = "application/pkcs7-mime";

/// A dialog as the store has it from earlier releases.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    pub(super) role: Role,
    pub(super) dialog: Dialog,
}

/// DESIGN A6: how many numbers are reserved at once, so that none is used twice over a crash.
pub(super) const BLOCK: u32 = 1000;

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: &str = "70";

impl Dialog {
    /// The number for the next request, and whether the block is used up and the next one must be kept.
    pub(super) fn next_cseq(&mut self) -> (u32, bool) {
        self.cseq += 1;
        let used_up = self.cseq >= self.reserved;
        if used_up {
            self.reserved = self.cseq + BLOCK;
        }
        (self.cseq, used_up)
    }

    /// Where a request goes: the first route, else the remote target (RFC 3261 §8.1.2).
    pub(super) fn hop(&self) -> &str {
        let first = self.routes.first().and_then(|route| NameAddr::parse(HeaderId::Route, route).ok());
        first.map_or(&self.remote_target, |route| route.uri)
    }

    /// Takes Contact and number of a request of the other side (RFC 3261 §12.2.2).
    pub(super) fn refresh(&mut self, request: &Message) {
        if let Some(contact) = contact_of(request) {
            self.remote_target = contact;
        }
        if let Ok(cseq) = request.cseq() {
            self.remote_cseq = cseq.number;
        }
        if request.method() == Some(&Method::Subscribe) {
            self.protected = Protections::accepted(request);
        }
    }

    /// Whether a request of the other side is in this dialog (RFC 3261 §12), and about its subscription (RFC 6665 §8.2.1).
    pub(super) fn is_about(&self, request: &Message) -> bool {
        let tag = request.from().ok().and_then(|from| from.tag().map(str::to_owned)).unwrap_or_default();
        tag == self.remote_tag && event_id_of(request) == self.event_id
    }

    /// RFC 3261 §12.2.1.1: the Request-URI of a request: the remote target, or the first route where that is a strict router's.
    pub(super) fn request_uri(&self) -> Cow<'_, str> {
        match self.strict_router() {
            Some(router) => Cow::Owned(target_of(&router)),
            None => Cow::Borrowed(&self.remote_target),
        }
    }

    /// The Route headers on a request.
    pub(super) fn routed(&self, request: RequestBuilder) -> RequestBuilder {
        let is_strict = self.strict_router().is_some();
        let rest = self.routes.iter().skip(usize::from(is_strict));
        let request = rest.fold(request, |request, route| request.header(HeaderId::Route, route));
        // RFC 3261 §12.2.1.1: a strict router takes the first line for itself, and finds the remote target behind all others.
        if is_strict { request.header(HeaderId::Route, &format!("<{}>", self.remote_target)) } else { request }
    }

    /// The first route, if it is one as of RFC 2543.
    fn strict_router(&self) -> Option<SipUri<'_>> {
        let first = NameAddr::parse(HeaderId::Route, self.routes.first()?).ok()?;
        SipUri::parse(first.uri).ok().filter(|uri| !uri.is_loose())
    }

    /// A SUBSCRIBE for so many seconds, to be answered at `contact`.
    pub(super) fn subscribe(&mut self, expires: u32, contact: &str) -> (RequestBuilder, bool) {
        let (cseq, used_up) = self.next_cseq();
        let uri = |end: &Endpoint| crate::mapping::address::to_sip_uri(&Endpoint::bare(end.address.clone()));
        let (from, to) = (uri(&self.watcher), uri(&self.target));
        let to_value =
            if self.remote_tag.is_empty() { format!("<{to}>") } else { format!("<{to}>;tag={}", self.remote_tag) };
        let target = if self.remote_target.is_empty() { Cow::Borrowed(&*to) } else { self.request_uri() };
        let request = RequestBuilder::new(Method::Subscribe, &target)
            .header(HeaderId::MaxForwards, MAX_FORWARDS)
            .header(HeaderId::From, &format!("<{from}>;tag={}", self.own_tag))
            .header(HeaderId::To, &to_value)
            .header(HeaderId::CallId, &self.call_id)
            .cseq(cseq)
            .header(HeaderId::Contact, &format!("<{contact}>"))
            .header(HeaderId::Event, crate::mapping::presence::EVENT)
            .header(HeaderId::Accept, crate::mapping::presence::ACCEPT)
            .header(HeaderId::AllowEvents, crate::mapping::presence::EVENT)
            .header(HeaderId::Expires, &expires.to_string());
        (self.routed(request), used_up)
    }
}

/// Whether a request's Accept names a type.
pub(super) fn accepts(request: &Message, essence: &str) -> bool {
    let Ok(own) = MediaType::parse(essence) else { return false };
    let ranges = request.values(HeaderId::Accept).filter_map(Result::ok);
    ranges.into_iter().any(|range| own.is_within(range.split(';').next().unwrap_or_default().trim()))
}

/// The URI of the Contact, if there is one that can be reached.
pub(super) fn contact_of(request: &Message) -> Option<String> {
    let contact = request.addresses(HeaderId::Contact).next()?.ok()?;
    let uri = SipUri::parse(contact.uri).ok()?;
    // COMPAT: RFC 8048's examples write the `gr` of a Contact behind the brackets.
    let gr = contact.params.get("gr").filter(|_| uri.gr().is_none());
    match (gr, uri.has_headers() || uri.param("method").is_some()) {
        (None, false) => Some(contact.uri.to_owned()),
        (gr, _) => {
            let mut text = target_of(&uri);
            if let Some(gr) = gr {
                let _ = write!(text, ";gr={gr}");
            }
            SipUri::parse(&text).is_ok().then_some(text)
        }
    }
}

/// RFC 3261 §19.1.1: what of a URI may stand in the first line of a request: neither headers nor a method.
fn target_of(uri: &SipUri<'_>) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write!(text, "{}:", uri.scheme.as_str());
    if let Some(user) = uri.user {
        let _ = write!(text, "{user}");
        if let Some(password) = uri.password {
            let _ = write!(text, ":{password}");
        }
        text.push('@');
    }
    text.push_str(uri.host.as_str());
    if let Some(port) = uri.port {
        let _ = write!(text, ":{port}");
    }
    for param in uri.params().filter(|param| !param.name.eq_ignore_ascii_case("method")) {
        let _ = match param.value {
            Some(value) => write!(text, ";{}={value}", param.name),
            None => write!(text, ";{}", param.name),
        };
    }
    text
}

/// Record-Route, as both sides take it from the request that makes the dialog (RFC 3261 §12.1); none when one of them leads nowhere.
pub(super) fn routes_of(request: &Message) -> Option<Vec<String>> {
    let leads = |text: &str| NameAddr::parse(HeaderId::RecordRoute, text).is_ok_and(|it| SipUri::parse(it.uri).is_ok());
    // RFC 3261 §7.3.1: a fold is a space.
    let unfold = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let routes = request.values(HeaderId::RecordRoute);
    routes.map(|text| text.ok().filter(|text| leads(text)).map(unfold)).collect()
}

/// The `id` of Event, which tells subscriptions apart (RFC 6665 §8.2.1).
pub(super) fn event_id_of(request: &Message) -> String {
    let event = request.only(HeaderId::Event).ok().flatten().unwrap_or_default();
    let params = event.split(';').skip(1).filter_map(|param| param.split_once('='));
    let id = params.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("id"));
    // RFC 6665 §8.4: a token.
    let is_token = |id: &&str| id.chars().all(|it| it.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(it));
    id.map(|(_, id)| id.trim()).filter(is_token).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::table::Packed;
    use super::*;

    fn dialog() -> Dialog {
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        Dialog {
            watcher: end("juliet@example.com"),
            target: end("romeo@example.net"),
            call_id: "c".into(),
            own_tag: "o".into(),
            remote_tag: String::new(),
            remote_target: String::new(),
            event_id: String::new(),
            routes: Vec::new(),
            cseq: 0,
            reserved: 0,
            remote_cseq: 0,
            protected: Protections::default(),
        }
    }

    // checks: EVT-031
    #[test]
    fn rfc6665_s3_2_1_accept_says_which_protected_documents_a_watcher_takes() {
        let taken = |accept: &str| {
            let text = format!("SUBSCRIBE sip:a@b SIP/2.0\r\nContact: <sip:c@d>\r\nCSeq: 7 SUBSCRIBE\r\n{accept}\r\n");
            let mut dialog = dialog();
            dialog.refresh(&Message::parse(bytes::Bytes::from(text)).unwrap());
            ["multipart/signed", "Application/PKCS7-Mime", "text/plain"].map(|essence| dialog.protected.take(essence))
        };
        assert_eq!(taken(""), [false; 3]);
        assert_eq!(taken("Accept: application/pidf+xml\r\n"), [false; 3]);
        assert_eq!(taken("Accept: application/pidf+xml, multipart/signed;q=0.5\r\n"), [true, false, false]);
        assert_eq!(taken("Accept: application/*\r\n"), [false, true, false]);
        assert_eq!(taken("Accept: */*\r\n"), [true, true, false]);
    }

    #[test]
    fn rfc3261_s19_1_1_neither_headers_nor_a_method_of_a_contact_are_in_a_request_uri() {
        let target = |contact: &str| {
            let text = format!("SUBSCRIBE sip:a@b SIP/2.0\r\nContact: {contact}\r\n\r\n");
            contact_of(&Message::parse(bytes::Bytes::from(text)).unwrap())
        };
        for (contact, expected) in [
            ("<sip:c@d:5070;transport=tcp>", "sip:c@d:5070;transport=tcp"),
            ("<sip:c:p@d;x?Subject=hi>", "sip:c:p@d;x"),
            ("<sips:d;Method=INVITE;lr>", "sips:d;lr"),
            ("<sip:c@[2001:db8::1]:5070;method=BYE?a=b>;gr=1", "sip:c@[2001:db8::1]:5070;gr=1"),
        ] {
            assert_eq!(target(contact).as_deref(), Some(expected), "{contact}");
        }
        assert_eq!(target("<tel:1>"), None);
    }

    // checks: SIP-034
    #[test]
    fn rfc3261_s12_2_1_1_a_strict_router_gets_the_first_line_and_the_target_is_the_last_route() {
        let path = |routes: &[&str]| {
            let mut dialog = dialog();
            dialog.remote_target = "sip:romeo@192.0.2.4;gr=1".into();
            dialog.routes = routes.iter().map(|route| (*route).to_owned()).collect();
            let request = dialog.subscribe(60, "sip:gw.example").0;
            let via = sip_proto::build::TopVia {
                transport: "UDP",
                sent_by: "gw",
                branch: "z9hG4bK1",
                rport: true,
                alias: false,
            };
            let message = Message::parse(request.encode(&via)).unwrap();
            message.verify().unwrap();
            let routes: Vec<_> = message.values(HeaderId::Route).map(|route| route.unwrap().to_owned()).collect();
            (message.request_uri().unwrap().to_owned(), routes, dialog.hop().to_owned())
        };
        let target = "sip:romeo@192.0.2.4;gr=1";
        let (loose, other) = ("<sip:p1.example;lr>", "<sip:p2.example;lr=on>");
        assert_eq!(path(&[]), (target.into(), vec![], target.into()));
        assert_eq!(
            path(&[loose, other]),
            (target.into(), vec![loose.into(), other.into()], "sip:p1.example;lr".into())
        );
        // What may not stand in a first line is left out of it.
        let strict = "<sip:p0.example:5070;method=INVITE;x=y?Subject=z>";
        assert_eq!(
            path(&[strict, loose]),
            (
                "sip:p0.example:5070;x=y".into(),
                vec![loose.into(), format!("<{target}>")],
                "sip:p0.example:5070;method=INVITE;x=y?Subject=z".into()
            )
        );
        // Only the first one matters: the router before it sees to a strict one further on (RFC 3261 §16.6).
        assert_eq!(path(&[loose, strict]).0, target);
    }

    // checks: PRS-010, EVT-001, EVT-002, EVT-004, SIP-034
    #[test]
    fn rfc6665_s4_1_2_1_a_subscribe_has_what_it_needs_and_its_numbers_never_go_back() {
        let mut dialog = dialog();
        let (request, keep) = dialog.subscribe(3600, "sip:gw.example:5060;gr=1");
        assert!(keep, "the first number reserves a block");
        let via =
            sip_proto::build::TopVia { transport: "UDP", sent_by: "gw", branch: "z9hG4bK1", rport: true, alias: false };
        let message = Message::parse(request.encode(&via)).unwrap();
        message.verify().unwrap();
        assert_eq!(message.request_uri(), Some("sip:romeo@example.net"));
        for (id, value) in [
            (HeaderId::Event, "presence"),
            (HeaderId::Accept, "application/pidf+xml"),
            (HeaderId::Expires, "3600"),
            (HeaderId::To, "<sip:romeo@example.net>"),
            (HeaderId::Contact, "<sip:gw.example:5060;gr=1>"),
        ] {
            assert_eq!(message.header(id).unwrap().text().unwrap(), value);
        }
        let kept = Packed::new(&"i".into(), &dialog).encode(Role::Presentity);
        dialog.subscribe(3600, "sip:gw.example:5060;gr=1");
        let mut again = Packed::decode(&"i".into(), &kept).unwrap().1.open().unwrap();
        assert!(again.next_cseq().0 > dialog.cseq, "a crash may have hidden numbers of the block");
    }
}
