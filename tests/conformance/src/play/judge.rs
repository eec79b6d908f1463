//! Judges what came by the fields of an expectation.

use std::collections::BTreeMap;

use strict_xml::Element;

use super::{Player, Stanza};
use crate::pattern::{Known, Pattern};
use crate::sip_peer::{OWN, Transport, Way};
use crate::sip_text::SipText;
use crate::suite::{Body, Child, CpimBody, Expect, ExpectRequest, ExpectResponse, ExpectStanza};

/// The address that vectors send from; the harness sends from its own and puts that into what is expected.
pub(super) const PLAYED_SOURCE: &str = "192.0.2.1:9988";

impl Player {
    pub(super) async fn expect(&mut self, expect: &Expect) {
        match expect {
            Expect::Stanza(expected) => self.expect_stanza(expected).await,
            Expect::Request(expected) => self.expect_request(expected).await,
            Expect::Property { property, .. } => self.expect_property(property).await,
            Expect::Bytes { raw, .. } => {
                assert_eq!(raw, "\r\n", "{}: unknown octets", self.id);
                self.until("a line end", |player| player.pongs > 0).await;
                assert_eq!(self.pongs, 1, "{}: one line end", self.id);
            }
            Expect::Response(_) | Expect::None { .. } => {}
        }
    }

    async fn expect_stanza(&mut self, expected: &ExpectStanza) {
        if self.is_presence {
            return self.expect_presence(expected).await;
        }
        self.until("a stanza", |player| player.stanzas.iter().any(|stanza| !stanza.claimed)).await;
        let stanza = self.stanzas.iter_mut().find(|stanza| !stanza.claimed).unwrap();
        stanza.claimed = true;
        let wrong = judge_stanza(stanza, expected, &self.known);
        assert!(wrong.is_empty(), "{}: {}\nexpected {expected:#?}\ngot {}", self.id, wrong.join("\n"), self.got());
    }

    async fn expect_request(&mut self, expected: &ExpectRequest) {
        self.until("a request", |player| player.requests.iter().any(|request| !request.claimed)).await;
        if expected.last {
            self.skip_to_last(expected).await;
        }
        let index = self.requests.iter().position(|request| !request.claimed).unwrap();
        self.requests[index].claimed = true;
        let request = &self.requests[index];
        let message = &request.message;
        let mut wrong = judge_headers(message, &expected.headers, &expected.absent_headers, &self.known);
        let mut check = |field: &str, value: &str, pattern: &Pattern| {
            if !pattern.matches(value, &self.known) {
                wrong.push(format!("{field} is {value:?}"));
            }
        };
        check("method", message.method(), &Pattern::One(expected.method.clone()));
        check("Request-URI", message.second_word(), &expected.request_uri);
        match &expected.body {
            Some(Body::Text(body)) => check("body", &message.body, body),
            Some(Body::Cpim { cpim }) => wrong.extend(judge_cpim(&message.body, cpim, &self.known)),
            Some(Body::Xml { xml }) => wrong.extend(super::presence::judge_xml(&message.body, xml, &self.known)),
            None => {}
        }
        let transport = if let Way::Udp(..) = request.way { Transport::Udp } else { Transport::Tcp };
        if !message.header("Via").unwrap().starts_with(transport.name())
            || transport != self.given.over.unwrap_or(Transport::Udp)
        {
            wrong.push(format!("it went by {:?}", request.way));
        }
        if let Some(server) = &expected.to_server {
            let number = ["server1", "server2"].iter().position(|name| name == server).expect("a known server");
            if !matches!(request.way, Way::Udp(socket, _) if socket == number) {
                wrong.push(format!("it went by {:?}, not to {server}", request.way));
            }
        }
        assert!(wrong.is_empty(), "{}: {}\nexpected {expected:#?}\ngot {}", self.id, wrong.join("\n"), self.got());
        if let Some(property) = &expected.property {
            self.expect_property_of_request(index, property);
        }
    }

    /// Responses come in any order; those of whom most is said are found first.
    pub(super) async fn expect_responses(&mut self, all: &[Expect]) {
        let mut responses = Vec::new();
        for expect in all {
            if let Expect::Response(expected) = expect {
                responses.push(expected);
            }
        }
        responses.sort_by_key(|expected| std::cmp::Reverse(expected.headers.len()));
        for expected in &responses {
            self.expect_response(expected, responses.len()).await;
        }
    }

    async fn expect_response(&mut self, expected: &ExpectResponse, count: usize) {
        let mut seen = 0;
        loop {
            self.until("a response", |player| player.responses.len() > seen).await;
            let response = &self.responses[seen];
            let wrong = self.judge_response(&response.message, response.way, expected);
            if wrong.is_empty() && !response.claimed {
                self.responses[seen].claimed = true;
                return;
            }
            seen += 1;
            let finals = self.responses.iter().filter(|response| !response.message.second_word().starts_with('1'));
            let more = seen < self.responses.len() || finals.count() < count;
            assert!(more, "{}: {}\nexpected {expected:#?}\ngot {}", self.id, wrong.join("\n"), self.got());
        }
    }

    fn judge_response(&self, message: &SipText, way: Way, expected: &ExpectResponse) -> Vec<String> {
        let own = self.sip.address(0);
        let mut patterns = expected.headers.clone();
        let mut wrong = Vec::new();
        if expected.sent_to.is_some() {
            // RFC 3581 §4: the harness has another address than the vector's peer.
            assert_eq!(expected.sent_to.as_deref(), Some(PLAYED_SOURCE));
            for pattern in patterns.values_mut() {
                *pattern = pattern
                    .replaced("192\\.0\\.2\\.1", &own.ip().to_string())
                    .replaced("9988", &own.port().to_string());
            }
        }
        if let Some(from) = &expected.sent_from {
            assert_eq!(from, "the address and port the request arrived on");
        }
        // RFC 3261 §18.2.2, RFC 3581 §4: where the request came from, and from where it arrived.
        let back = match self.transport {
            Transport::Udp => Way::Udp(0, self.gateway.sip(Transport::Udp)),
            Transport::Tcp => Way::Tcp(OWN),
        };
        if way != back {
            wrong.push(format!("it came by {way:?}"));
        }
        if let Some(parameter) = patterns.remove("_via_rport") {
            let rport = message.param("Via", "rport").unwrap_or_default();
            if !parameter.matches(&format!("rport={rport}"), &self.known) {
                wrong.push(format!("Via has rport {rport:?}"));
            }
        }
        let given = expected.optional_headers.iter().filter(|(name, _)| message.header(name).is_some());
        patterns.extend(given.map(|(name, pattern)| (name.clone(), pattern.clone())));
        wrong.extend(judge_headers(message, &patterns, &expected.absent_headers, &self.known));
        let mut check = |field: &str, value: &str, pattern: Option<&Pattern>| {
            if pattern.is_some_and(|pattern| !pattern.matches(value, &self.known)) {
                wrong.push(format!("{field} is {value:?}"));
            }
        };
        check("status", message.second_word(), Some(&expected.status));
        check("reason", message.reason(), expected.reason.as_ref());
        check("body", &message.body, expected.body.as_ref());
        wrong
    }
}

fn judge_headers(
    message: &SipText,
    patterns: &BTreeMap<String, Pattern>,
    absent: &[String],
    known: &Known,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, pattern) in patterns {
        match message.header(name) {
            None => wrong.push(format!("{name} is missing")),
            Some(value) if !pattern.matches(value, known) => wrong.push(format!("{name} is {value:?}")),
            Some(_) => {}
        }
    }
    wrong.extend(absent.iter().filter(|name| message.header(name).is_some()).map(|name| format!("{name} is there")));
    wrong
}

/// The headers, MIME headers and content of an object, which blank lines part (RFC 3862 §2).
fn judge_cpim(body: &str, expected: &CpimBody, known: &Known) -> Vec<String> {
    let mut parts = body.splitn(3, "\r\n\r\n");
    let (headers, mime, content) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let value = |part: &str, name: &str| {
        let line =
            part.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        line.map(|(_, value)| value.to_owned())
    };
    let mut wrong = Vec::new();
    let mut check = |field: &str, value: Option<String>, pattern: &Pattern| match value {
        Some(value) if pattern.matches(&value, known) => {}
        value => wrong.push(format!("{field} is {value:?}")),
    };
    for (name, pattern) in &expected.headers {
        check(name, value(headers, name), pattern);
    }
    for (name, pattern) in
        [("Content-Type", &expected.content_type), ("Content-Disposition", &expected.content_disposition)]
    {
        pattern.iter().for_each(|pattern| check(name, value(mime, name), pattern));
    }
    expected.content.iter().for_each(|pattern| check("content", Some(content.to_owned()), pattern));
    for (path, pattern) in &expected.xml {
        let root = strict_xml::parse_document(content.as_bytes(), &strict_xml::Limits::default()).ok();
        let path = path.trim_start_matches('/').replace("imdn:", "");
        let found = root.and_then(|root| below(&root, &path).pop()?.last().map(|element| element.text().into_owned()));
        check(&path, found, pattern);
    }
    wrong.extend(
        expected.absent.iter().filter(|name| value(headers, name).is_some()).map(|name| format!("{name} is there")),
    );
    wrong
}

pub(super) fn judge_stanza(stanza: &Stanza, expected: &ExpectStanza, known: &Known) -> Vec<String> {
    let element = &stanza.element;
    let mut wrong = Vec::new();
    if element.name != *expected.name {
        wrong.push(format!("it is a {}", element.name));
    }
    wrong.extend(judge_attributes(element, &expected.attrs, known));
    for child in &expected.children {
        let found: Vec<_> = child.path.split('|').flat_map(|path| below(element, path)).collect();
        let tried: Vec<_> = found.iter().map(|steps| judge_child(steps, child, known)).collect();
        if !tried.iter().any(Vec::is_empty) {
            wrong.push(format!("{}: {tried:?}", child.path));
        }
    }
    wrong.extend(expected.absent.iter().filter(|path| is_present(stanza, path)).map(|path| format!("{path} is there")));
    wrong
}

/// The namespace may be that of any step: XEP-0071 §5 has the body of `html` in another than `html` itself.
fn judge_child(steps: &[&Element], child: &Child, known: &Known) -> Vec<String> {
    let element = steps.last().unwrap();
    let mut wrong = judge_attributes(element, &child.attrs, known);
    if child.ns.as_ref().is_some_and(|ns| steps.iter().all(|step| step.ns != **ns)) {
        wrong.push(format!("its namespace is {}", element.ns));
    }
    if child.text.as_ref().is_some_and(|text| !text.matches(&element.text(), known)) {
        wrong.push(format!("its text is {:?}", element.text()));
    }
    wrong
}

/// An attribute that is absent is like an empty one.
fn judge_attributes(element: &Element, patterns: &BTreeMap<String, Pattern>, known: &Known) -> Vec<String> {
    let value = |name: &str| match name {
        "xml:lang" => element.xml_lang().unwrap_or_default(),
        _ => element.attr(name).unwrap_or_default(),
    };
    let wrong = patterns.iter().filter(|(name, pattern)| !pattern.matches(value(name), known));
    wrong.map(|(name, _)| format!("{name} is {:?}", value(name))).collect()
}

/// The elements at a path of local names, each with those above it up to the stanza's child.
fn below<'e>(element: &'e Element, path: &str) -> Vec<Vec<&'e Element>> {
    let Some((name, rest)) = path.split_once('/') else {
        return named(element, path).map(|child| vec![child]).collect();
    };
    let deeper = |child: &'e Element| below(child, rest).into_iter().map(move |steps| [vec![child], steps].concat());
    named(element, name).flat_map(deeper).collect()
}

fn named<'e>(element: &'e Element, name: &str) -> impl Iterator<Item = &'e Element> {
    element.elements().filter(move |child| child.name == *name)
}

fn is_present(stanza: &Stanza, path: &str) -> bool {
    if path == "characters U+0001 and U+001F in any encoding, also as character references" {
        let wire = String::from_utf8_lossy(&stanza.wire).to_lowercase();
        let references = ["&#1;", "&#x1;", "&#x01;", "&#31;", "&#x1f;", "\u{1}", "\u{1f}"];
        return references.iter().any(|reference| wire.contains(reference));
    }
    match path.strip_prefix("//") {
        Some(name) => any_descendant(&stanza.element, name),
        None => !below(&stanza.element, path).is_empty(),
    }
}

fn any_descendant(element: &Element, name: &str) -> bool {
    element.elements().any(|child| child.name == *name || any_descendant(child, name))
}
