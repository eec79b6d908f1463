//! From a value to a type, with every problem and not only the first.

use impp_model::domain::DomainError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::problem::{Key, Problem, Step};

/// Reads `value`, the table at `base`.
///
/// Each wrong value is reported and put aside, so that what stands beside it is looked at, too; `holes` are the keys
/// whose values are no longer those of the file. `None` if too little was left.
pub(crate) fn read<T: DeserializeOwned>(
    mut value: Value,
    base: &Key,
    problems: &mut Vec<Problem>,
    holes: &mut Vec<Key>,
) -> Option<T> {
    let mut patched: Vec<(Key, usize)> = Vec::new();
    for _ in 0..MAX_ATTEMPTS {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let message = error.inner().to_string();
        let mut key = key_of(error.path());
        let missing = quoted(&message, "missing field `");
        if let Some(field) = missing {
            key = key.name(field);
        }
        let attempt = match patched.iter_mut().find(|(at, _)| *at == key) {
            Some((_, attempt)) => {
                *attempt += 1;
                *attempt
            }
            None => {
                let full = base.join(&key);
                problems.push(explain(full.clone(), &message));
                if !message.starts_with(UNKNOWN_FIELD) {
                    holes.push(full);
                }
                patched.push((key.clone(), 0));
                0
            }
        };
        // Without the key its default counts, if it has one; else it is reported as missing and gets a stand-in.
        let done = if attempt == 0 && missing.is_none() && remove(&mut value, &key) {
            true
        } else {
            first_variant(&message).or_else(|| stand_in(attempt)).is_some_and(|new| put(&mut value, &key, new))
        };
        if !done {
            return None;
        }
    }
    None
}

/// A file with more wrong keys than this is not a configuration.
const MAX_ATTEMPTS: usize = 1000;

/// What serde says of a key that no field takes.
const UNKNOWN_FIELD: &str = "unknown field `";

/// What serde says of a word that is none of those allowed.
const UNKNOWN_VARIANT: &str = "unknown variant `";

/// What the standard library says of text that is no address with port.
const NO_SOCKET_ADDRESS: &str = "invalid socket address syntax";

/// The first word that is allowed, where only some are.
fn first_variant(message: &str) -> Option<Value> {
    quoted(message, UNKNOWN_VARIANT)?;
    expected(message).first().map(|name| json!(name))
}

/// Values of each type, so that reading can go on behind a missing or wrong one.
fn stand_in(attempt: usize) -> Option<Value> {
    let values = [
        json!(""),
        json!("stand-in.invalid"),
        json!("127.0.0.1:1"),
        json!("127.0.0.1"),
        json!("tcp:127.0.0.1:1"),
        json!("file:/stand-in"),
        json!("0"),
        json!(0),
        json!(false),
        json!([]),
        json!({}),
    ];
    values.into_iter().nth(attempt)
}

fn key_of(path: &serde_path_to_error::Path) -> Key {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Name(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    Key(path.iter().filter_map(step).collect())
}

fn explain(key: Key, message: &str) -> Problem {
    if let Some(field) = quoted(message, "missing field `") {
        let line = if key.0.len() == 1 { format!("[{field}]") } else { format!("{field} = ...") };
        return Problem::syntax(key, "missing", format!("add `{line}`; see `interlingua config reference`"));
    }
    if let Some(field) = quoted(message, UNKNOWN_FIELD) {
        let remedy = suggestion(field, &expected(message));
        return Problem::syntax(key, "unknown key", remedy);
    }
    if let Some(variant) = quoted(message, UNKNOWN_VARIANT) {
        let names = expected(message);
        let remedy = nearest(variant, &names).map_or_else(String::new, |name| format!("did you mean \"{name}\"? "));
        let all: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        return Problem::syntax(key, "unknown value", format!("{remedy}write {}", all.join(" or ")));
    }
    if is_of_a_domain(message) {
        return Problem::syntax(key, message, "write a domain alone, as \"example.org\"");
    }
    if message == NO_SOCKET_ADDRESS {
        return Problem::syntax(
            key,
            message,
            "write an IP address and a port, as \"127.0.0.1:5353\" or \"[::1]:5353\"",
        );
    }
    if let Some((problem, remedy)) = message.split_once("; write ") {
        return Problem::syntax(key, problem, format!("write {remedy}"));
    }
    let (problem, remedy) = match message.rsplit_once("expected ") {
        Some((problem, wanted)) => (problem.trim_end_matches([',', ';', ' ']), format!("write {}", in_words(wanted))),
        None => (message, "correct the value; see `interlingua config reference`".to_owned()),
    };
    Problem::syntax(key, plainly(problem), remedy)
}

/// Whether it is what the model says of text that is no domain.
fn is_of_a_domain(message: &str) -> bool {
    let fixed = [DomainError::Empty, DomainError::TooLong, DomainError::Idna, DomainError::NotFullyQualified];
    message.starts_with("label ") || fixed.iter().any(|error| error.to_string() == message)
}

/// What Rust calls `wanted`, as people say it.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number without quotes, 0 or more",
        "isize" | "i64" | "i32" => "a whole number without quotes",
        "f64" | "f32" => "a number without quotes",
        "a string" | "a borrowed string" | "path string" | "string or map" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets, as [\"one\", \"two\"]",
        "a map" => "a table",
        _ if wanted.starts_with("a nonzero ") => "a whole number without quotes, 1 or more",
        _ if wanted.starts_with("struct ") => "a table",
        _ => wanted,
    }
}

/// What is said of a value that has another type, as people say it.
fn plainly(problem: &str) -> String {
    let said = problem.strip_prefix("invalid type: ").or_else(|| problem.strip_prefix("invalid value: "));
    let Some(found) = said else { return problem.to_owned() };
    let quoted = |what: &str| found.strip_prefix(what).map(|value| value.trim_matches(['`', ' ']).to_owned());
    let number = quoted("integer ").or_else(|| quoted("floating point ")).map(|number| format!("the number {number}"));
    let text = || quoted("string ").map(|text| format!("the text {text}"));
    let found = number.or_else(text).or_else(|| quoted("boolean ")).unwrap_or_else(|| match found {
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        "null" | "unit value" => "nothing".to_owned(),
        other => other.to_owned(),
    });
    format!("{found} does not belong here")
}

/// What to do about an unknown name where `known` ones are allowed.
pub(crate) fn suggestion(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("remove it, or write one of: {}", known.join(", ")),
    }
}

/// The known name that is nearest to `found`, if one is near, or the only one that goes on from it.
pub(crate) fn nearest<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    let goes_on = |name: &str| name.strip_prefix(found).is_some_and(|rest| rest.starts_with('_'));
    let mut longer = known.iter().filter(|name| goes_on(name));
    if let (Some(only), None) = (longer.next(), longer.next()) {
        return Some(*only);
    }
    let distance = |name: &&&str| edit_distance(&found.to_ascii_lowercase(), name);
    let near = known.iter().min_by_key(distance)?;
    let limit = (found.chars().count().max(near.chars().count()) / 3).clamp(1, 3);
    (distance(&near) <= limit).then_some(*near)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX - 1);
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

/// The names between backquotes after "expected".
fn expected(message: &str) -> Vec<&str> {
    let list = message.split_once("expected ").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}

/// The name that follows `label` up to the next backquote.
fn quoted<'m>(message: &'m str, label: &str) -> Option<&'m str> {
    Some(message.strip_prefix(label)?.split_once('`')?.0)
}

/// Takes `key` out of its table; an array keeps its elements, for their places are the keys of the others.
fn remove(value: &mut Value, key: &Key) -> bool {
    let Some((Step::Name(last), parents)) = key.0.split_last() else {
        return false;
    };
    find(value, parents).and_then(Value::as_object_mut).is_some_and(|table| table.shift_remove(last).is_some())
}

fn put(value: &mut Value, key: &Key, new: Value) -> bool {
    let Some((last, parents)) = key.0.split_last() else {
        return false;
    };
    match (last, find(value, parents)) {
        (Step::Name(name), Some(Value::Object(table))) => {
            table.insert(name.clone(), new);
            true
        }
        (Step::Index(index), Some(Value::Array(array))) => array.get_mut(*index).map(|old| *old = new).is_some(),
        (Step::Name(_) | Step::Index(_), _) => false,
    }
}

fn find<'v>(value: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Name(name) => value.get_mut(name),
        Step::Index(index) => value.get_mut(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::time::Duration;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        name: String,
        port: u16,
        #[serde(default, with = "adapter_api::duration")]
        hold: Duration,
        #[serde(default)]
        peers: Vec<std::net::IpAddr>,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Open,
    }

    fn problems(value: Value) -> (Option<Table>, Vec<(String, String)>) {
        let mut problems = Vec::new();
        let table = read::<Table>(value, &Key::parse("x"), &mut problems, &mut Vec::new());
        (table, problems.into_iter().map(|p| (p.key.to_string(), p.remedy)).collect())
    }

    #[test]
    fn all_problems_of_a_table_are_found() {
        let (table, found) = problems(json!({"nmae": "a", "hold": "2", "peers": ["::1", 3, "x"], "kind": "shut"}));
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert!(table.is_some());
        for key in ["x.nmae", "x.name", "x.port", "x.hold", "x.peers[1]", "x.peers[2]", "x.kind"] {
            assert!(keys.contains(&key), "{key} in {keys:?}");
        }
        assert_eq!(keys.len(), 7);
        assert!(found.contains(&("x.nmae".to_owned(), "did you mean \"name\"?".to_owned())));
    }

    #[test]
    fn nothing_that_is_typed_hides_what_stands_behind_it() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only read")]
        struct All {
            domain: impp_model::Domain,
            listen: Vec<transport::ListenAddr>,
            at: std::net::SocketAddr,
            to: super::super::ArchiveTo,
            admin: super::super::AdminListen,
            network: super::super::Network,
            pattern: super::super::Pattern,
            last: bool,
        }
        let odd = json!({"domain": "a b", "listen": ["5269", "tcp:x"], "at": "8080", "to": "x", "admin": "x", "network": "x",
            "pattern": "*.", "last": "no"});
        let mut problems = Vec::new();
        let read: Option<All> = read(odd, &Key::default(), &mut problems, &mut Vec::new());
        assert!(read.is_some());
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.to_string()).collect();
        assert_eq!(keys, ["domain", "listen[0]", "listen[1]", "at", "to", "admin", "network", "pattern", "last"]);
        assert_eq!(problems[0].remedy, "write a domain alone, as \"example.org\"");
    }

    #[test]
    fn a_good_table_has_no_problem() {
        let (table, found) = problems(json!({"name": "a", "port": 5060, "hold": "2s", "peers": [], "kind": "open"}));
        let table = table.unwrap();
        assert_eq!(
            (table.name.as_str(), table.port, table.hold, table.peers.len()),
            ("a", 5060, Duration::from_secs(2), 0)
        );
        assert!(matches!(table.kind, Kind::Open) && found.is_empty());
    }

    #[test]
    fn what_serde_says_is_said_plainly() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only read")]
        struct All {
            text: String,
            count: u32,
            some: std::num::NonZeroU32,
            switch: bool,
            list: Vec<String>,
            table: Table,
        }
        let value = json!({"text": 5, "count": -1, "some": 0, "switch": "yes", "list": true, "table": [1.5]});
        let mut problems = Vec::new();
        let _: Option<All> = read(value, &Key::default(), &mut problems, &mut Vec::new());
        let said = |key: &str| {
            let of_key = |problem: &&Problem| problem.key.to_string() == key;
            problems.iter().find(of_key).map(|problem| format!("{}: {}", problem.problem, problem.remedy)).unwrap()
        };
        assert_eq!(said("text"), "the number 5 does not belong here: write text in quotes");
        assert_eq!(said("count"), "the number -1 does not belong here: write a whole number without quotes, 0 or more");
        assert_eq!(said("some"), "the number 0 does not belong here: write a whole number without quotes, 1 or more");
        assert_eq!(said("switch"), "the text \"yes\" does not belong here: write true or false");
        assert_eq!(said("list"), "true does not belong here: write a list in brackets, as [\"one\", \"two\"]");
        for problem in &problems {
            let text = format!("{} {}", problem.problem, problem.remedy);
            let rust = ["invalid type", "sequence", "struct ", "u32", "usize", "map", "integer", "boolean"];
            assert!(!rust.iter().any(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("listne", &["listen", "advertise"]), Some("listen"));
        assert_eq!(nearest("offce", &["office", "sip"]), Some("office"));
        assert_eq!(nearest("zzz", &["listen", "sip"]), None);
        assert_eq!(nearest("token", &["to", "token_file"]), Some("token_file"));
        assert_eq!(nearest("spool", &["spool_octets", "spool_folder"]), None);
        assert_eq!(edit_distance("ab", "ba"), 1);
    }
}
