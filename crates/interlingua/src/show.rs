//! JSON for people: indented lines.

use std::time::{Duration, SystemTime};

use impp_model::DateTime;
use serde_json::Value;

/// The value as indented lines, without what is null.
pub(crate) fn describe(value: &Value) -> String {
    lines(value, 0)
}

/// A trace, its times as people read them and each event on a line.
pub(crate) fn trace(mut trace: Value) -> String {
    let Some(fields) = trace.as_object_mut() else { return describe(&trace) };
    let at = fields.get("at").and_then(Value::as_f64).and_then(moment);
    if let (Some(at), Some(field)) = (at, fields.get_mut("at")) {
        *field = at.into();
    }
    if let Some(took) = fields.shift_remove("took_ms").as_ref().and_then(Value::as_f64) {
        fields.insert("took".to_owned(), length(took).into());
    }
    let events = fields.shift_remove("events").and_then(|events| events.as_array().cloned()).unwrap_or_default();
    let mut text = describe(&trace);
    if !events.is_empty() {
        text.push_str("events:\n");
    }
    for event in events {
        let word = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let after = event.get("after_ms").and_then(Value::as_f64).unwrap_or_default();
        let line = format!("  +{:<9} {:<12} {}", length(after), word("what"), word("reason"));
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    text
}

/// What a gateway is doing: at a glance in the first line, then what is wrong and what to do, then the numbers.
pub(crate) fn status(mut status: Value) -> String {
    let Some(fields) = status.as_object_mut() else { return describe(&status) };
    let matters = fields.shift_remove("attention").and_then(|list| list.as_array().cloned()).unwrap_or_default();
    let word = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let uptime = fields.shift_remove("uptime_seconds").as_ref().and_then(Value::as_f64).unwrap_or_default();
    let ready = fields.get("ready").and_then(Value::as_bool) == Some(true);
    let state = if ready { "ready" } else { "NOT READY" };
    let glance = match matters.len() {
        0 => "nothing needs attention".to_owned(),
        1 => "one thing needs attention:".to_owned(),
        more => format!("{more} things need attention:"),
    };
    let gateway = fields.shift_remove("gateway").unwrap_or_default();
    let mut text = format!("{}: {state}, up {}; {glance}\n", scalar(&gateway), length(uptime * 1000.0));
    for matter in &matters {
        text.push_str(&format!(
            "  ! {} ({})\n    -> {}\n",
            word(matter, "what"),
            word(matter, "whose"),
            word(matter, "remedy")
        ));
    }
    text + &describe(&status)
}

/// Seconds since 1970 as a date and time of UTC, to the millisecond.
fn moment(seconds: f64) -> Option<String> {
    // What is beyond milliseconds is cut off below.
    let since = Duration::try_from_secs_f64(seconds + 0.000_5).ok()?;
    DateTime::from_system_time(SystemTime::UNIX_EPOCH.checked_add(since)?).map(|at| at.to_string())
}

/// Milliseconds as a length of time.
fn length(milliseconds: f64) -> String {
    let seconds = milliseconds / 1000.0;
    match seconds {
        _ if seconds < 1.0 => format!("{milliseconds:.1} ms"),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn lines(report: &Value, indent: usize) -> String {
    let mut text = String::new();
    let entries: Vec<(String, &Value)> = match report {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{name}: "), value)).collect(),
        Value::Array(items) => items.iter().map(|value| ("- ".to_owned(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return scalar(report),
    };
    for (label, value) in entries.into_iter().filter(|(_, value)| !value.is_null()) {
        let nested = value.as_object().is_some_and(|fields| !fields.is_empty())
            || value.as_array().is_some_and(|items| items.iter().any(|item| item.is_object() || item.is_array()));
        let value = match value.as_array() {
            _ if nested => format!("\n{}", lines(value, indent + 2)),
            Some(items) => format!("{}\n", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
            None => format!("{}\n", scalar(value)),
        };
        text.push_str(&format!("{:indent$}{}{value}", "", if nested { label.trim_end() } else { &label }));
    }
    text
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_says_first_what_is_wrong_and_what_to_do() {
        let sound =
            json!({ "gateway": "gw.example", "attention": [], "uptime_seconds": 7_300, "ready": true, "held": 2 });
        assert_eq!(status(sound), "gw.example: ready, up 2.0 h; nothing needs attention\nready: true\nheld: 2\n");
        let matter = json!({ "what": "b.example cannot be reached", "whose": "theirs", "remedy": "call them" });
        let odd = json!({ "gateway": "gw.example", "attention": [matter], "uptime_seconds": 5, "ready": false });
        assert_eq!(
            status(odd),
            "gw.example: NOT READY, up 5.0 s; one thing needs attention:\n  ! b.example cannot be reached (theirs)\n    -> call them\nready: false\n"
        );
    }

    #[test]
    fn a_trace_has_its_times_as_people_read_them() {
        let shown = trace(json!({
            "trace": "00000000000000ff", "at": 1_763_870_400.123_4, "from": "sip.example", "took_ms": 93_500.0,
            "events": [
                { "after_ms": 0.26, "what": "routed", "reason": "office" },
                { "after_ms": 93_500.0, "what": "delivered", "reason": "" },
                { "after_ms": 7_300_000.0, "what": "reversed", "reason": "gone" },
            ],
        }));
        assert_eq!(
            shown,
            "trace: 00000000000000ff\nat: 2025-11-23T04:00:00.123Z\nfrom: sip.example\ntook: 93.5 s\nevents:\n  \
             +0.3 ms    routed       office\n  +93.5 s    delivered\n  +2.0 h     reversed     gone\n"
        );
    }
}
