//! `interlingua inspect` on the vectors; the library behind it, and the binary for its form.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "test code"
)]

mod common;

use clap::ValueEnum;
use common::{list, repository, run, run_with, text, vectors};
use interlingua::commands::inspect::cpim::ProfileName;
use interlingua::commands::inspect::{cpim, pidf, sip, stanza, uri};
use serde_json::Value;

/// Compares what a vector states, but for words and notes.
fn assert_fields(found: &Value, vector: &Value, leave_out: &[&str]) {
    for (key, expected) in vector.as_object().unwrap() {
        if !leave_out.contains(&key.as_str()) {
            assert_eq!(found.get(key), Some(expected), "{} {key}: {found}", text(vector, "id"));
        }
    }
}

const WORDS: [&str; 7] = ["id", "note", "ambiguous", "readings", "error", "reason", "epoch_note"];

// checks: URI-01, URI-02
#[test]
fn uris_give_the_fields_of_the_vectors() {
    let vectors = vectors("uri.json");
    // A fault of im and pres has a code, of other schemes words.
    let codes = WORDS.map(|word| if word == "error" { "id" } else { word });
    for (key, leave_out) in [("vectors", codes), ("other_schemes", WORDS)] {
        for vector in list(&vectors, key) {
            assert_fields(&uri::inspect(text(vector, "input")), vector, &leave_out);
        }
    }
}

// checks: URI-08
#[test]
fn uris_compare_as_the_vectors_say() {
    for vector in list(&vectors("uri.json"), "equivalence") {
        let found = uri::compare(text(vector, "a"), text(vector, "b"));
        assert_eq!(found["equivalent"], vector["equivalent"], "{vector}");
    }
}

// checks: DT-01
#[test]
fn datetimes_give_the_fields_of_the_vectors() {
    for vector in list(&vectors("rfc3339.json"), "vectors") {
        let found = serde_json::to_value(impp_model::datetime::DateTimeReport::inspect(text(vector, "input"))).unwrap();
        assert_fields(&found, vector, &WORDS);
    }
}

/// The vectors of a folder with the octets that they are about.
fn documents(folder: &str) -> Vec<(Value, Vec<u8>)> {
    let index = vectors(&format!("{folder}/index.json"));
    let read = |entry: &Value| {
        let path = repository("tests/vectors").join(folder).join(text(entry, "file"));
        let vector = std::fs::read(path.with_extension("json")).unwrap();
        (serde_json::from_slice(&vector).unwrap(), std::fs::read(path).unwrap())
    };
    list(&index, "vectors").iter().map(read).collect()
}

/// Everything that is expected stands in `found`, which may say more.
fn assert_says(found: &Value, expected: &Value, place: &str) {
    match (expected, found) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, expected) in fields {
                assert_says(&found[name], expected, &format!("{place}.{name}"));
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (number, (expected, found)) in items.iter().zip(others).enumerate() {
                assert_says(found, expected, &format!("{place}[{number}]"));
            }
        }
        // The long value stands in its vector as a description.
        (Value::String(words), Value::String(long)) if words.starts_with("<20000 x") => assert_eq!(long.len(), 20_000),
        _ => assert_eq!(found, expected, "{place}"),
    }
}

// checks: MF-01, MF-10, MF-15, MF-61, MP-02
#[test]
fn cpim_objects_give_the_fields_of_the_vectors() {
    let documents = documents("cpim");
    assert!(!documents.is_empty());
    for (vector, octets) in documents {
        let profile = ProfileName::from_str(text(&vector, "profile"), false).unwrap();
        let found = cpim::inspect(&octets, profile).unwrap();
        for field in ["framing", "length", "relay", "strict", "parsed", "content", "parsed_inner"] {
            if let Some(expected) = vector.get(field) {
                assert_says(&found[field], expected, &format!("{} {field}", text(&vector, "id")));
            }
        }
    }
}

// checks: PD-01, PD-03, PD-10
#[test]
fn pidf_documents_give_the_fields_of_the_vectors() {
    let documents = documents("pidf");
    assert!(!documents.is_empty());
    for (vector, octets) in documents {
        let found = pidf::inspect(&octets, vector["content_type"].as_str()).unwrap();
        for field in ["result", "error", "warnings", "model", "relay"] {
            assert_eq!(found.get(field), vector.get(field), "{} {field}", text(&vector, "id"));
        }
    }
}

const CPIM: &[u8] = b"From: <im:a@b.example>\r\n\r\nContent-Type: text/plain\r\n\r\nhi";

#[test]
fn a_cpim_object_is_judged_by_the_profile_given() {
    let run = run_with(&["inspect", "cpim", "--json"], CPIM);
    assert_eq!((run.code, text(&run.json()["content"], "body_text")), (0, "hi"));
    for profile in ["msrp", "gateway"] {
        let run = run_with(&["inspect", "cpim", "--profile", profile, "--json"], CPIM);
        let found = run.json();
        assert_eq!((run.code, text(&found["strict"], "error")), (1, "E_MISSING_HEADER"));
        assert_eq!((text(&found, "recommended"), found["faults"][0]["position"].as_u64()), ("reject", Some(24)));
    }
    let run = run_with(&["inspect", "cpim"], b"From: im:a@b.example\r\n");
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("error: E_MAILBOX") && run.stdout.contains("line: 1"), "{}", run.stdout);
}

#[test]
fn a_pidf_document_is_judged_by_the_content_type_given() {
    let document = b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b.example'/>";
    let run = run_with(&["inspect", "pidf", "--json"], document);
    assert_eq!((run.code, text(&run.json(), "result")), (0, "accept"));
    let run = run_with(&["inspect", "pidf", "--content-type", "application/pidf-diff+xml", "--json"], document);
    assert_eq!((run.code, text(&run.json(), "error")), (1, "E_ROOT"));
    let run = run_with(&["inspect", "pidf"], b"<presence");
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("result: reject") && run.stdout.contains("position: "), "{}", run.stdout);
}

#[test]
fn the_command_prints_one_object_and_tells_by_its_exit_code() {
    let run = run_with(&["inspect", "datetime", "--json"], b"1985-04-12T23:20:50.52Z\n");
    assert_eq!((run.code, run.json()["epoch_seconds"].as_i64()), (0, Some(482_196_050)));
    let run = run_with(&["inspect", "uri", "--json"], b"im:fred@\r\n");
    assert_eq!((run.code, run.json()["valid"].as_bool()), (1, Some(false)));
    let run = run_with(&["inspect", "uri", "--compare", "IM:fred@EXAMPLE.com", "--json"], b"im:fred@example.com\n");
    assert_eq!((run.code, run.json()["equivalent"].as_bool()), (0, Some(true)));
    let run = run_with(&["inspect", "datetime"], b"nonsense");
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("valid: false"), "{}", run.stdout);
}

const MESSAGE: &str = "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/TCP a.example.net;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\nTo: sip:juliet@example.com\r\nFrom: sip:romeo@example.net;tag=v\r\nCall-ID: 1\r\n\
    CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_sip_message_is_shown_or_its_error() {
    let found = sip::inspect(MESSAGE.as_bytes());
    assert_eq!((text(&found, "result"), text(&found["parsed"], "method")), ("ok", "MESSAGE"));
    let found = sip::inspect(MESSAGE.replace("Length: 2", "Length: -2").as_bytes());
    assert_eq!((text(&found, "result"), text(&found["error"], "class")), ("error", "content-length"));
    let found = sip::inspect(MESSAGE.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia").as_bytes());
    assert_eq!((text(&found, "result"), found["error"]["status"].as_i64()), ("error", Some(505)));
    let found = sip::inspect(MESSAGE.replace("CSeq: 1", "CSeq: x").as_bytes());
    assert_eq!((text(&found, "result"), found["error"]["status"].as_i64()), ("error", Some(400)));
}

#[test]
fn a_stanza_is_shown_or_its_error() {
    let found = stanza::inspect(b"<message to='a@b.example'><body>hi</body></message>\n");
    assert_eq!((text(&found, "result"), text(&found["parsed"]["attrs"], "to")), ("ok", "a@b.example"));
    let found = stanza::inspect(b"<message><!-- --></message>");
    assert_eq!((text(&found, "result"), text(&found["error"], "class")), ("error", "restricted-xml"));
    let found = stanza::inspect(b"<iq type='get'/>");
    assert_eq!((text(&found, "result"), text(&found["error"], "class")), ("error", "iq-id"));
}

// checks: SIP-006, SIP-017
#[test]
fn rfc4475_torture_messages_have_the_verdict_of_the_vectors() {
    let Some(cases) = common::torture() else {
        println!("not run: torture octets not present");
        return;
    };
    assert_eq!(cases.len(), 61);
    for (case, octets) in cases {
        let found = sip::inspect(&octets);
        let allowed = |status: i64| {
            case["acceptable_status"].as_array().is_none_or(|list| list.is_empty() || list.contains(&status.into()))
        };
        let verdict = match text(&found, "result") {
            // Sound, or of those that a careful reader may take.
            "ok" => text(&case, "parse") == "valid" || allowed(200) || allowed(404) || allowed(481),
            // TOR-033 may be answered 400 though its syntax is sound.
            _ => {
                allowed(found["error"]["status"].as_i64().unwrap())
                    && (text(&case, "parse") == "invalid" || allowed(400))
            }
        };
        assert!(verdict, "{} {}: {}", text(&case, "id"), text(&case, "file"), found["error"]);
        assert!(
            text(&found, "result") != "ok" || found["parsed"]["headers"].as_array().is_some_and(|all| !all.is_empty())
        );
    }
}

#[test]
fn what_is_looked_at_is_a_file_an_argument_or_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.cpim");
    let octets = b"From: <im:a@example.com>\r\nTo: <im:b@example.org>\r\n\r\nContent-Type: text/plain\r\n\r\nhi";
    std::fs::write(&file, octets).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        run(&["inspect", "cpim", file, "--json"]).json(),
        run_with(&["inspect", "cpim", "--json"], octets).json()
    );
    let stanza = run(&["translate", "--from", "cpim", "--to", "xmpp", file]);
    assert!(stanza.code == 0 && stanza.stdout.contains("<body>hi</body>"), "{}", stanza.stderr);
    let uri = run(&["inspect", "uri", "im:a@example.com", "--json"]);
    assert_eq!(uri.json(), run_with(&["inspect", "uri", "--json"], b"im:a@example.com\n").json());
    assert_eq!(run(&["inspect", "datetime", "2024-13-01T00:00:00Z", "--json"]).json()["error"], "E_RANGE");
    let missing = run(&["inspect", "pidf", "no-such-file", "--json"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.stderr.contains("cannot read no-such-file") && missing.json()["error"].is_string(),
        "{}",
        missing.stderr
    );
}
