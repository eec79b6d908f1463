//! A record as one line of JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use impp_model::{Content, InstantMessage, Operation};
use interwork::{ArchiveEvent, Record};
use serde_json::{Map, Value, json};

/// Makes lines, each with a number above those before it, over restarts, too.
pub(super) struct Lines {
    content: bool,
    next: u64,
}

impl Lines {
    pub(super) fn new(content: bool) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { content, next: u64::try_from(since.as_micros()).unwrap_or_default() }
    }

    /// The lines of a batch, and the number of the last.
    ///
    /// A batch that was not taken gets other numbers the next time: nobody has seen the first ones for certain.
    pub(super) fn of(&mut self, batch: &[Arc<Record>]) -> (Vec<u8>, u64) {
        let mut lines = Vec::new();
        for record in batch {
            self.next += 1;
            let mut fields = described(record, self.content);
            fields.insert("n".to_owned(), self.next.into());
            // A map of text can always be written.
            lines.extend(serde_json::to_vec(&fields).unwrap_or_default());
            lines.push(b'\n');
        }
        (lines, self.next)
    }
}

fn described(record: &Record, content: bool) -> Map<String, Value> {
    let operation = &*record.operation;
    let end = |address: &impp_model::Endpoint| address.address.to_string();
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("at", seconds(record.at).into());
    put("trace", record.trace.to_string().into());
    put("kind", operation.kind().label().into());
    put("from", end(operation.source()).into());
    put("to", end(operation.destination()).into());
    match &record.event {
        ArchiveEvent::Taken(adapter, peer) => {
            put("event", "taken".into());
            put("adapter", json!(adapter));
            put("peer", json!(peer));
            if let Operation::Message(message) = operation {
                let message = &message.message;
                put("id", json!(message.id));
                put("thread", json!(message.thread));
                put("media_type", json!(message.content.media_type));
                put("octets", message.content.octets.len().into());
                if content {
                    put("content", shown(message));
                }
            }
        }
        ArchiveEvent::Ended(what, outcome) => {
            put("event", (*what).into());
            put("outcome", outcome.label().into());
            put("reason", outcome.reason().into());
        }
    }
    fields
}

/// What a message says, in every form that it has.
fn shown(message: &InstantMessage) -> Value {
    let one = |content: &Content| match content.as_text() {
        Some(text) => json!({ "media_type": content.media_type, "text": text }),
        None => json!({ "media_type": content.media_type, "base64": BASE64_STANDARD.encode(&content.octets) }),
    };
    let subjects: Vec<_> = message.subjects.iter().map(|subject| json!(subject)).collect();
    let forms: Vec<_> = std::iter::once(&message.content).chain(&message.alternatives).map(one).collect();
    json!({ "subjects": subjects, "forms": forms })
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
