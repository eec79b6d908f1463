//! The vectors as their files hold them, and the check that each has its test.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::pattern::Pattern;

/// One vector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) id: String,
    #[serde(rename = "title")]
    pub(crate) _title: String,
    pub(crate) given: Vec<String>,
    pub(crate) stimulus: Vec<Stimulus>,
    pub(crate) expect: Vec<Expect>,
    #[serde(rename = "rules")]
    pub(crate) _rules: Vec<String>,
    #[serde(rename = "confidence")]
    pub(crate) _confidence: String,
    #[serde(rename = "ambiguous")]
    pub(crate) _ambiguous: bool,
    #[serde(rename = "note")]
    pub(crate) _note: String,
}

/// What the harness does.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Stimulus {
    /// Sends these octets.
    Raw { proto: Proto, raw: String, transport: Option<String>, source: Option<String> },
    /// Answers a SIP request of the gateway.
    Answer {
        #[serde(rename = "proto")]
        _proto: Proto,
        response_to: String,
        status: u16,
        reason: String,
        headers: BTreeMap<String, String>,
        #[serde(rename = "note")]
        _note: String,
    },
    /// Sends a request in the dialog that the gateway has begun.
    InDialog {
        #[serde(rename = "proto")]
        _proto: Proto,
        in_dialog: String,
        method: String,
        cseq: u32,
        from_tag: String,
        headers: BTreeMap<String, String>,
        body: String,
    },
    /// Waits for what is due.
    Event { event: String },
}

/// What must come of it.
#[derive(Debug, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Expect {
    Stanza(ExpectStanza),
    Request(ExpectRequest),
    Response(ExpectResponse),
    None {
        proto: Proto,
        of: String,
        until: Option<String>,
    },
    Property {
        #[serde(rename = "proto")]
        _proto: Proto,
        property: String,
        #[serde(rename = "order")]
        _order: Option<u32>,
    },
    Bytes {
        #[serde(rename = "proto")]
        _proto: Proto,
        raw: String,
        #[serde(rename = "note")]
        _note: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectStanza {
    #[serde(rename = "proto")]
    pub(crate) _proto: Proto,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) attrs: BTreeMap<String, Pattern>,
    #[serde(default)]
    pub(crate) children: Vec<Child>,
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    pub(crate) count: Option<usize>,
    /// That in which they stand in the file.
    #[serde(rename = "order")]
    pub(crate) _order: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Child {
    #[serde(alias = "name")]
    pub(crate) path: String,
    pub(crate) ns: Option<String>,
    pub(crate) text: Option<Pattern>,
    #[serde(default)]
    pub(crate) attrs: BTreeMap<String, Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectRequest {
    #[serde(rename = "proto")]
    pub(crate) _proto: Proto,
    pub(crate) method: String,
    pub(crate) request_uri: Pattern,
    pub(crate) headers: BTreeMap<String, Pattern>,
    pub(crate) body: Option<Body>,
    pub(crate) absent_headers: Vec<String>,
    pub(crate) to_server: Option<String>,
    pub(crate) property: Option<String>,
    /// It comes after others of its kind.
    #[serde(default)]
    pub(crate) last: bool,
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Body {
    Text(Pattern),
    Cpim {
        cpim: CpimBody,
    },
    /// What stands at paths of the document.
    Xml {
        xml: Vec<(String, Pattern)>,
    },
}

/// A message/cpim object by its parts.
#[derive(Debug, Deserialize)]
pub(crate) struct CpimBody {
    pub(crate) content_type: Option<Pattern>,
    pub(crate) content_disposition: Option<Pattern>,
    pub(crate) content: Option<Pattern>,
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// Paths of elements, with the text of each.
    #[serde(default)]
    pub(crate) xml: Vec<(String, Pattern)>,
    #[serde(flatten)]
    pub(crate) headers: BTreeMap<String, Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectResponse {
    #[serde(rename = "proto")]
    pub(crate) _proto: Proto,
    pub(crate) status: Pattern,
    pub(crate) headers: BTreeMap<String, Pattern>,
    #[serde(default)]
    pub(crate) optional_headers: BTreeMap<String, Pattern>,
    pub(crate) absent_headers: Vec<String>,
    pub(crate) body: Option<Pattern>,
    pub(crate) reason: Option<Pattern>,
    pub(crate) sent_to: Option<String>,
    pub(crate) sent_from: Option<String>,
}

/// The side of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proto {
    #[serde(alias = "ws")]
    Sip,
    Xmpp,
}

/// A file of `tests/vectors`.
pub fn file(name: &str) -> Value {
    read(&format!("../vectors/{name}"))
}

/// The suite of this project's own plays.
const OWN: &str = "messages";

fn read(name: &str) -> Value {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The vectors of a suite by id: one of `plays`, else one of the shared ones.
pub fn vectors(suite: &str) -> BTreeMap<String, Value> {
    let file = if suite == OWN { read("plays/messages.json") } else { file(&format!("interwork/{suite}.json")) };
    let tests = file["tests"].as_array().unwrap().iter();
    tests.map(|test| (test["id"].as_str().unwrap().to_owned(), test.clone())).collect()
}

pub(crate) fn vector(suite: &str, id: &str) -> Vector {
    let found = vectors(suite).remove(id).unwrap_or_else(|| panic!("{suite} has no {id}"));
    serde_json::from_value(found).unwrap_or_else(|error| panic!("{id}: {error}"))
}

/// What is wrong in a file of tests, each of them as `case` writes it: vectors without a test or with other rules, and tests
/// without a vector. Those of `later` have no test.
pub fn unlisted(suite: &str, source: &str, later: &[(&str, &str)]) -> Vec<String> {
    let vectors = vectors(suite);
    let mut wrong = Vec::new();
    for (id, vector) in &vectors {
        let case = case(id, vector);
        match later.iter().any(|(later, _)| later == id) {
            false if !source.contains(&case) => wrong.push(format!("missing or different:\n{case}")),
            true if source.contains(&call(id)) => wrong.push(format!("{id} is played, but listed as a later one's")),
            _ => {}
        }
    }
    let known: BTreeSet<String> = vectors.keys().map(|id| call(id)).collect();
    let calls = source.lines().filter(|line| line.trim_start().starts_with("play("));
    wrong.extend(calls.filter(|line| !known.contains(line.trim())).map(|line| format!("no such vector: {line}")));
    wrong.extend(
        later.iter().filter(|(id, _)| !vectors.contains_key(*id)).map(|(id, _)| format!("no such vector: {id}")),
    );
    wrong
}

/// The test of one vector, as it stands in the file.
fn case(id: &str, vector: &Value) -> String {
    let rules = vector["rules"].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap());
    let rules = rules.collect::<Vec<_>>().join(", ");
    let title = vector["title"].as_str().unwrap();
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = std::iter::once(id.replace('-', "_")).chain(words.map(str::to_owned)).collect::<Vec<_>>().join("_");
    format!("// checks: {rules}\n#[tokio::test]\nasync fn {}() {{\n    {}\n}}\n", name.to_lowercase(), call(id))
}

fn call(id: &str) -> String {
    format!("play(SUITE, \"{id}\").await;")
}
