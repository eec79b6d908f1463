//! What a user agent server checks before it acts on a request.
//!
//! The order is that of RFC 3261 §8.2 after authentication, which belongs to the caller: version, method, mandatory
//! headers, Request-URI, dialog, hops, Require, content, event package.

use std::borrow::Cow;

use crate::{
    build::ResponseBuilder,
    header::{ContentDisposition, HeaderError, Warning, elements},
    header_id::HeaderId,
    message::{KeyHeaders, Message},
    method::Method,
    uri::{Scheme, scheme_of},
};

/// What an element serves; one may be held per kind of method.
#[derive(Debug, Clone)]
pub struct Policy {
    /// This element's name, for Warning.
    pub agent: String,
    /// Methods that are answered.
    pub methods: Vec<Method>,
    /// Request-URI schemes that are served, `sip` and `sips` among them where they are.
    pub schemes: Vec<String>,
    /// RFC 7247 §8: whether `sips:` in Request-URI or To is refused, as a gateway that leaves SIP must.
    pub refuse_sips: bool,
    /// Media types and ranges that are understood, such as `text/plain` and `text/*`.
    pub accept: Vec<String>,
    /// Content encodings understood besides `identity`.
    pub encodings: Vec<String>,
    /// Language ranges served; empty for any.
    pub languages: Vec<String>,
    /// Option tags supported.
    pub extensions: Vec<String>,
    /// Event packages served.
    pub events: Vec<String>,
    /// Octets of the largest body taken.
    pub max_body: usize,
}

/// What the check of one request needs to know besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The To tag names a dialog of ours.
    pub in_dialog: bool,
}

/// An answer instead of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status code.
    pub status: u16,
    /// Why, for a person; never from the request.
    pub reason: Cow<'static, str>,
    /// What the status obliges to add.
    pub headers: Vec<(HeaderId, String)>,
}

impl Rejection {
    /// The response, without tag and source.
    pub fn response<'a>(&self, request: &'a Message) -> ResponseBuilder<'a> {
        let builder = ResponseBuilder::new(request, self.status).reason(&self.reason);
        self.headers.iter().fold(builder, |builder, (id, value)| builder.header(*id, value))
    }

    fn new(status: u16) -> Self {
        Self { status, reason: Cow::Borrowed(crate::status::reason_phrase(status)), headers: Vec::new() }
    }

    fn with(mut self, id: HeaderId, value: String) -> Self {
        self.headers.push((id, value));
        self
    }
}

impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Self {
        let status = if matches!(error, HeaderError::TooMany { .. }) { 513 } else { 400 };
        Self { reason: Cow::Owned(error.to_string()), ..Self::new(status) }
    }
}

/// Judges a request; gives its mandatory headers when it may be served.
///
/// An ACK that fails is dropped, not answered (RFC 3261 §8.2.6). A response is never passed in.
pub fn check<'m>(request: &'m Message, policy: &Policy, context: Context) -> Result<KeyHeaders<'m>, Rejection> {
    if !request.is_version_2() {
        return Err(Rejection::new(505));
    }
    let method = request.method().ok_or_else(|| Rejection::new(400))?;
    check_known(method, policy)?;
    let key = request.verify()?;
    check_allowed(method, policy)?;
    check_uris(request, &key, policy)?;
    if matches!(method, Method::Cancel | Method::Ack) {
        // RFC 3261 §8.2.2.3, §9.2, §17.1.1.3: both belong to another request, which has been judged.
        return Ok(key);
    }
    check_dialog(&key, context)?;
    check_hops(method, &key)?;
    check_require(request, policy)?;
    check_event(method, request, policy)?;
    check_content(request, policy)?;
    Ok(key)
}

/// RFC 3261 §21.5.2: nobody knows this method.
fn check_known(method: &Method, policy: &Policy) -> Result<(), Rejection> {
    if method.is_known() || policy.methods.contains(method) {
        return Ok(());
    }
    Err(Rejection::new(501).with(HeaderId::Allow, policy.allow()))
}

/// RFC 3261 §8.2.1: known, yet not here.
fn check_allowed(method: &Method, policy: &Policy) -> Result<(), Rejection> {
    if policy.methods.contains(method) {
        return Ok(());
    }
    Err(Rejection::new(405).with(HeaderId::Allow, policy.allow()))
}

/// RFC 3261 §8.2.2.1 for the Request-URI; any To is taken but for `sips:`.
fn check_uris(request: &Message, key: &KeyHeaders<'_>, policy: &Policy) -> Result<(), Rejection> {
    let scheme = scheme_of(request.request_uri().unwrap_or_default()).ok_or(HeaderError::RequestUri)?;
    let is_sips = |scheme: &str| scheme.eq_ignore_ascii_case(Scheme::Sips.as_str());
    if policy.refuse_sips && (is_sips(scheme) || scheme_of(key.to.uri).is_some_and(is_sips)) {
        // RFC 5630 §5.3: reachable, but by sip: only.
        let warning = Warning { code: 380, agent: &policy.agent, text: Cow::Borrowed("SIPS Not Allowed") };
        return Err(Rejection::new(480).with(HeaderId::Warning, warning.to_string()));
    }
    if policy.schemes.iter().any(|served| scheme.eq_ignore_ascii_case(served)) {
        Ok(())
    } else {
        Err(Rejection::new(416))
    }
}

/// RFC 3261 §12.2.2.
fn check_dialog(key: &KeyHeaders<'_>, context: Context) -> Result<(), Rejection> {
    if key.to.tag().is_some() && !context.in_dialog { Err(Rejection::new(481)) } else { Ok(()) }
}

/// RFC 3261 §16.3 and §11: what would go on does not; what is asked of us is answered.
fn check_hops(method: &Method, key: &KeyHeaders<'_>) -> Result<(), Rejection> {
    if key.max_forwards == Some(0) && *method != Method::Options { Err(Rejection::new(483)) } else { Ok(()) }
}

/// RFC 3261 §8.2.2.3: names exactly the extensions that are not supported.
fn check_require(request: &Message, policy: &Policy) -> Result<(), Rejection> {
    let mut unsupported = Vec::new();
    for tag in request.values(HeaderId::Require) {
        let tag = tag?;
        if !contains(&policy.extensions, tag) {
            unsupported.push(tag);
        }
    }
    if unsupported.is_empty() {
        return Ok(());
    }
    Err(Rejection::new(420).with(HeaderId::Unsupported, unsupported.join(", ")))
}

/// RFC 3261 §8.2.3: type, language and encoding; all that is wrong is said at once.
fn check_content(request: &Message, policy: &Policy) -> Result<(), Rejection> {
    if request.body().is_empty() {
        return Ok(());
    }
    if request.body().len() > policy.max_body {
        return Err(Rejection::new(413));
    }
    let media = request.content_type()?.ok_or(HeaderError::Missing(HeaderId::ContentType))?;
    if request
        .only(HeaderId::ContentDisposition)?
        .map(ContentDisposition::parse)
        .transpose()?
        .is_some_and(|d| d.is_optional())
    {
        return Ok(());
    }
    let mut rejection = Rejection::new(415);
    if !policy.accept.iter().any(|range| media.is_within(range)) {
        rejection = rejection.with(HeaderId::Accept, policy.accept.join(", "));
    }
    if !all_within(request, HeaderId::ContentEncoding, |coding| {
        coding.eq_ignore_ascii_case("identity") || contains(&policy.encodings, coding)
    })? {
        rejection = rejection.with(HeaderId::AcceptEncoding, policy.accept_encoding());
    }
    if !all_within(request, HeaderId::ContentLanguage, |language| policy.speaks(language))? {
        rejection = rejection.with(HeaderId::AcceptLanguage, policy.accept_language());
    }
    if rejection.headers.is_empty() { Ok(()) } else { Err(rejection) }
}

/// RFC 6665 §4.2.1.1, RFC 3903 §6: a package that is served.
fn check_event(method: &Method, request: &Message, policy: &Policy) -> Result<(), Rejection> {
    if !matches!(method, Method::Subscribe | Method::Notify | Method::Publish) {
        return Ok(());
    }
    let event = request.only(HeaderId::Event)?.unwrap_or_default();
    let package = event.split(';').next().unwrap_or_default();
    // RFC 6665 §8.2.1: packages compare by octet.
    if policy.events.iter().any(|served| served == crate::grammar::trim(package)) {
        return Ok(());
    }
    Err(Rejection::new(489).with(HeaderId::AllowEvents, policy.events.join(", ")))
}

fn all_within(request: &Message, id: HeaderId, pass: impl Fn(&str) -> bool) -> Result<bool, HeaderError> {
    for header in request.headers(id) {
        if !elements(header.text()?).all(&pass) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains(list: &[String], word: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

impl Policy {
    /// RFC 3261 §11.2: the headers of the 200 to an OPTIONS; Allow-Events by RFC 6665 §4.4.4.
    pub fn capabilities(&self) -> Vec<(HeaderId, String)> {
        let mut headers = vec![
            (HeaderId::Allow, self.allow()),
            (HeaderId::Accept, self.accept.join(", ")),
            (HeaderId::AcceptEncoding, self.accept_encoding()),
            (HeaderId::AcceptLanguage, self.accept_language()),
            (HeaderId::Supported, self.extensions.join(", ")),
        ];
        if !self.events.is_empty() {
            headers.push((HeaderId::AllowEvents, self.events.join(", ")));
        }
        headers
    }

    fn allow(&self) -> String {
        self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    fn accept_encoding(&self) -> String {
        std::iter::once("identity").chain(self.encodings.iter().map(String::as_str)).collect::<Vec<_>>().join(", ")
    }

    fn accept_language(&self) -> String {
        if self.languages.is_empty() { "*".to_owned() } else { self.languages.join(", ") }
    }

    /// RFC 3066 §2.5: a range covers a tag that it equals or that goes on behind a hyphen.
    fn speaks(&self, language: &str) -> bool {
        self.languages.is_empty()
            || self.languages.iter().any(|range| {
                language.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range))
                    && language.get(range.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn policy() -> Policy {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Policy {
            agent: "gw.example.com".to_owned(),
            methods: vec![Method::Message, Method::Options, Method::Subscribe, Method::Cancel],
            schemes: list(&["sip", "sips", "im"]),
            refuse_sips: true,
            accept: list(&["text/plain", "message/*"]),
            encodings: Vec::new(),
            languages: Vec::new(),
            extensions: list(&["eventlist"]),
            events: list(&["presence"]),
            max_body: 20,
        }
    }

    fn message(line: &str, headers: &str) -> Message {
        let method = line.split(' ').next().unwrap();
        let text = format!(
            "{line}\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n\
             CSeq: 1 {method}\r\n{headers}"
        );
        let end = if headers.contains("\r\n\r\n") { "" } else { "\r\n" };
        Message::parse(Bytes::from(text + end)).unwrap()
    }

    fn status(line: &str, headers: &str) -> (u16, Vec<(HeaderId, String)>) {
        match check(&message(line, headers), &policy(), Context { in_dialog: false }) {
            Ok(_) => (200, Vec::new()),
            Err(rejection) => (rejection.status, rejection.headers),
        }
    }

    fn only_status(line: &str, headers: &str) -> u16 {
        status(line, headers).0
    }

    const MESSAGE: &str = "MESSAGE sip:a@b SIP/2.0";
    const TEXT: &str = "Content-Type: text/plain\r\n\r\nhello";

    // checks: SIP-021, SIP-045, SIP-046, TOR-029, TOR-031
    #[test]
    fn rfc3261_s8_2_1_version_and_method() {
        assert_eq!(only_status(MESSAGE, TEXT), 200);
        assert_eq!(only_status("MESSAGE sip:a@b SIP/7.0", TEXT), 505);
        assert_eq!(only_status("MESSAGE sip:a@b sip/2.0", TEXT), 200);
        let allow = vec![(HeaderId::Allow, "MESSAGE, OPTIONS, SUBSCRIBE, CANCEL".to_owned())];
        assert_eq!(status("INVITE sip:a@b SIP/2.0", ""), (405, allow.clone()));
        assert_eq!(status("message sip:a@b SIP/2.0", ""), (501, allow));
        let mismatch = Bytes::from(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\nFrom: <sip:c@d>\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n\
             CSeq: 8 INVITE\r\n\r\n",
        );
        let mismatch = Message::parse(mismatch).unwrap();
        assert_eq!(check(&mismatch, &policy(), Context { in_dialog: false }).unwrap_err().status, 400);
    }

    // checks: SIP-022, SIP-023, ARC-010, ARC-011, AMB-05
    #[test]
    fn rfc3261_s8_2_2_1_schemes() {
        assert_eq!(only_status("MESSAGE im:a@b SIP/2.0", TEXT), 200);
        assert_eq!(only_status("MESSAGE tel:+1 SIP/2.0", TEXT), 416);
        let (code, headers) = status("MESSAGE sips:a@b SIP/2.0", TEXT);
        assert_eq!(code, 480);
        assert_eq!(headers, [(HeaderId::Warning, "380 gw.example.com \"SIPS Not Allowed\"".to_owned())]);
        let to = Bytes::from(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\nFrom: <sip:c@d>\r\nTo: <sips:a@b>\r\nCall-ID: x\r\n\
             CSeq: 8 OPTIONS\r\n\r\n",
        );
        let to = Message::parse(to).unwrap();
        assert_eq!(check(&to, &policy(), Context { in_dialog: false }).unwrap_err().status, 480);
    }

    // checks: SIP-028, SIP-031, TOR-044
    #[test]
    fn dialogs_and_hops() {
        let tagged = Bytes::from(
            "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\nFrom: <sip:c@d>\r\nTo: <sip:a@b>;tag=t\r\nCall-ID: x\r\n\
             CSeq: 8 MESSAGE\r\n\r\n",
        );
        let tagged = Message::parse(tagged).unwrap();
        assert_eq!(check(&tagged, &policy(), Context { in_dialog: false }).unwrap_err().status, 481);
        assert!(check(&tagged, &policy(), Context { in_dialog: true }).is_ok());
        assert_eq!(only_status(MESSAGE, &format!("Max-Forwards: 0\r\n{TEXT}")), 483);
        assert_eq!(only_status("OPTIONS sip:a@b SIP/2.0", "Max-Forwards: 0\r\n"), 200);
        assert_eq!(only_status(MESSAGE, &format!("Max-Forwards: 256\r\n{TEXT}")), 400);
    }

    // checks: SIP-025, SIP-027, TOR-038
    #[test]
    fn rfc3261_s8_2_2_3_require_lists_exactly_what_is_unknown() {
        let headers = "Require: eventlist, a\r\nRequire: b\r\nProxy-Require: c\r\n";
        assert_eq!(status(MESSAGE, headers), (420, vec![(HeaderId::Unsupported, "a, b".to_owned())]));
        assert_eq!(only_status("CANCEL sip:a@b SIP/2.0", headers), 200);
        assert_eq!(only_status(MESSAGE, "Require: a b\r\n"), 400);
    }

    // checks: SIP-026, ERR-011, TOR-039
    #[test]
    fn rfc3261_s8_2_3_content() {
        let (code, headers) =
            status(MESSAGE, "Content-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Language: de\r\n\r\n<b>");
        assert_eq!(code, 415);
        assert_eq!(
            headers,
            [(HeaderId::Accept, "text/plain, message/*".to_owned()), (HeaderId::AcceptEncoding, "identity".to_owned())]
        );
        assert_eq!(only_status(MESSAGE, "Content-Type: message/cpim\r\n\r\nx"), 200);
        assert_eq!(only_status(MESSAGE, "c: a/b\r\nContent-Disposition: x;handling=optional\r\n\r\nx"), 200);
        assert_eq!(only_status(MESSAGE, "\r\nno type"), 400);
        assert_eq!(only_status(MESSAGE, "c: text/plain\r\n\r\n123456789012345678901"), 413);
    }

    #[test]
    fn languages_match_by_range() {
        let mut policy = policy();
        policy.languages = vec!["de".to_owned(), "en-GB".to_owned()];
        let judge = |language: &str| {
            let headers = format!("Content-Language: {language}\r\n{TEXT}");
            check(&message(MESSAGE, &headers), &policy, Context { in_dialog: false }).map(|_| ()).map_err(|r| r.headers)
        };
        assert!(judge("de-AT").is_ok() && judge("EN-gb").is_ok());
        assert_eq!(judge("en"), Err(vec![(HeaderId::AcceptLanguage, "de, en-GB".to_owned())]));
        assert!(judge("den").is_err());
    }

    // checks: PRL-112, PRL-113, EVT-009, EVT-030, ERR-011
    #[test]
    fn rfc6665_s4_2_1_1_events() {
        let subscribe = "SUBSCRIBE sip:a@b SIP/2.0";
        assert_eq!(only_status(subscribe, "o: presence;id=1\r\n"), 200);
        let refused = (489, vec![(HeaderId::AllowEvents, "presence".to_owned())]);
        assert_eq!(status(subscribe, "Event: dialog\r\n"), refused);
        assert_eq!(status(subscribe, ""), refused);
        assert_eq!(only_status(subscribe, "Event: presence\r\nEvent: presence\r\n"), 400);
    }

    // checks: SIP-030
    #[test]
    fn rfc3261_s11_2_capabilities() {
        let names: Vec<_> = policy().capabilities().into_iter().map(|(id, _)| id).collect();
        assert_eq!(
            names,
            [
                HeaderId::Allow,
                HeaderId::Accept,
                HeaderId::AcceptEncoding,
                HeaderId::AcceptLanguage,
                HeaderId::Supported,
                HeaderId::AllowEvents
            ]
        );
    }

    // checks: SIP-032
    #[test]
    fn a_rejection_is_a_whole_response() {
        let request = message("INVITE sip:a@b SIP/2.0", "");
        let rejection = check(&request, &policy(), Context { in_dialog: false }).unwrap_err();
        let response = Message::parse(rejection.response(&request).to_tag("t").encode()).unwrap();
        assert_eq!(response.status().unwrap().code(), 405);
        assert_eq!(response.verify().unwrap().to.tag(), Some("t"));
        assert!(response.header(HeaderId::Allow).is_some());
    }
}
