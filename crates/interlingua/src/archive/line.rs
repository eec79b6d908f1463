//! A record as one line of JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use impp_model::{Content, InstantMessage, Operation};
use interwork::{ArchiveEvent, Record};
use serde_json::{Map, Value, json};

/// Octets of lines that are given in one piece: some hundred records, unless one alone is longer.
pub(super) const PIECE: usize = 1 << 20;

/// Lines that are given together.
pub(super) struct Piece {
    pub(super) lines: Vec<u8>,
    /// The number of the last of them.
    pub(super) last: u64,
    /// How many records they are of.
    pub(super) count: usize,
}

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

    /// The lines of the first of a batch, at least one record and no more than [`PIECE`] of several.
    ///
    /// A batch that was not taken gets other numbers the next time: nobody has seen the first ones for certain.
    pub(super) fn of(&mut self, batch: &[Arc<Record>]) -> Piece {
        let mut piece = Piece { lines: Vec::new(), last: self.next, count: 0 };
        for record in batch {
            let mut fields = described(record, self.content);
            fields.insert("n".to_owned(), (piece.last + 1).into());
            // A map of text can always be written.
            let mut line = serde_json::to_vec(&fields).unwrap_or_default();
            line.push(b'\n');
            if piece.count > 0 && piece.lines.len() + line.len() > PIECE {
                break;
            }
            piece.lines.append(&mut line);
            piece.last += 1;
            piece.count += 1;
        }
        self.next = piece.last;
        piece
    }
}

fn described(record: &Record, content: bool) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("at", seconds(record.at).into());
    put("trace", record.trace.to_string().into());
    put("kind", record.kind.label().into());
    put("from", record.from.to_string().into());
    put("to", record.to.to_string().into());
    match &record.event {
        ArchiveEvent::Taken(adapter, peer, operation) => {
            put("event", "taken".into());
            put("adapter", json!(adapter));
            put("peer", json!(peer));
            if let Operation::Message(message) = &**operation {
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

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Address, Endpoint, Kind, MaxForwards, MessageOperation, TransId};

    fn record(octets: usize) -> Arc<Record> {
        let address = Address::parse_bare("carol@native.example").unwrap();
        let operation = Operation::Message(Box::new(MessageOperation {
            source: Endpoint::bare(address.clone()),
            destination: Endpoint::bare(address.clone()),
            max_forwards: MaxForwards::INITIAL,
            trans_id: TransId::from("1"),
            message: InstantMessage::new(Content::text("x".repeat(octets))),
        }));
        let event = ArchiveEvent::Taken("native".into(), "carol".into(), Arc::new(operation));
        let (from, to) = (address.clone(), address);
        let at = SystemTime::UNIX_EPOCH;
        Arc::new(Record { at, trace: adapter_api::TraceId(1), kind: Kind::Message, from, to, event })
    }

    #[test]
    fn a_piece_is_bounded_unless_one_record_is_longer() {
        let mut lines = Lines::new(true);
        let first = lines.of(&[record(PIECE / 2), record(PIECE / 4), record(PIECE / 2)]);
        assert_eq!(first.count, 2);
        assert!(first.lines.len() <= PIECE && first.lines.ends_with(b"}\n"));
        let next = lines.of(&[record(2 * PIECE), record(1)]);
        assert_eq!((next.count, next.last), (1, first.last + 1));
        assert_eq!(Lines::new(false).of(&[record(2 * PIECE), record(PIECE)]).count, 2);
    }
}
