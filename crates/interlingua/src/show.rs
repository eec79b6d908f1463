//! JSON for people: indented lines.

use serde_json::Value;

/// The value as indented lines, without what is null.
pub(crate) fn describe(value: &Value) -> String {
    lines(value, 0)
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
