//! Walks `tests/vectors/cpim/generate.json`: models against the octets they are written as.

use std::path::Path;

use cpim::{Draft, Mailbox, Message, OtherHeader, Profile, QualifiedName, WriteError};
use impp_model::DateTime;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Model {
    content_type: String,
    body: String,
    from: Option<Mailbox<'static>>,
    #[serde(default)]
    to: Vec<Mailbox<'static>>,
    #[serde(default)]
    cc: Vec<Mailbox<'static>>,
    date_time: Option<DateTime>,
    #[serde(default)]
    subjects: Vec<Subject>,
    #[serde(default)]
    namespaces: Vec<Namespace>,
    #[serde(default)]
    require: Vec<Name>,
    #[serde(default)]
    ext: Vec<Name>,
}

#[derive(Deserialize)]
struct Subject {
    lang: Option<String>,
    text: String,
}

#[derive(Deserialize)]
struct Namespace {
    prefix: Option<String>,
    uri: String,
}

#[derive(Deserialize)]
struct Name {
    prefix: Option<String>,
    name: String,
    #[serde(default)]
    value: String,
}

fn draft(model: Model) -> Result<Draft, WriteError> {
    let qualified = |name: &Name| QualifiedName { prefix: name.prefix.clone(), name: name.name.clone() };
    Ok(Draft {
        from: model.from,
        to: model.to,
        cc: model.cc,
        date_time: model.date_time,
        subjects: model.subjects.into_iter().map(|subject| (subject.lang, subject.text)).collect(),
        namespaces: model.namespaces.into_iter().map(|namespace| (namespace.prefix, namespace.uri)).collect(),
        require: model.require.iter().map(qualified).collect(),
        others: model.ext.iter().map(|ext| OtherHeader::text(qualified(ext), ext.value.clone())).collect(),
        ..Draft::with_content(&model.content_type, &[], model.body.as_bytes())?
    })
}

// checks: MF-30, MF-31, MF-32, MF-33, MF-36, MF-41, CPM-002, REQ-2.5.2
#[test]
fn models_are_written_as_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/cpim/generate.json");
    let text = std::fs::read(path).expect("the vectors are in the repository");
    let file: Value = serde_json::from_slice(&text).expect("they are JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    for vector in vectors {
        let id = &vector["id"];
        let model = serde_json::from_value(vector["model"].clone()).expect("the model is known");
        let written = draft(model).and_then(|draft| draft.encode());
        let expect = &vector["expect"];
        match (expect["text"].as_str(), expect["error"].as_str()) {
            (Some(text), _) => {
                let octets = written.unwrap_or_else(|error| panic!("{id}: {error}"));
                assert_eq!(std::str::from_utf8(&octets), Ok(text), "{id}");
                assert!(Message::parse(&octets, Profile::Gateway).is_ok(), "{id} is read by the letter");
            }
            (None, Some(code)) => assert_eq!(written.map_err(WriteError::code), Err(code), "{id}"),
            (None, None) => assert_eq!(written, Err(WriteError::EdgeSpace), "{id}"),
        }
    }
    assert_eq!(vectors.len(), 12);
}
