//! `configs/reference.toml`, written from the schema: `##` explains, `#` shows a default.

use serde_json::{Map, Value};

use super::Config;
use super::schema::{adapter_schema, generator};
use crate::adapters;

/// The reference of all keys, a valid configuration file itself.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut generator = generator();
    let root = Value::from(generator.root_schema_for::<Config>());
    for (name, table) in properties(&root) {
        if name == "domain" {
            for factory in adapters::FACTORIES {
                let schema = adapter_schema(factory, &mut generator);
                write_table(&mut text, &format!("adapter.{}", factory.example_name), &schema, false);
            }
        }
        write_table(&mut text, name, table, name == "gateway");
    }
    text
}

const HEAD: &str = "\
## Every key of an Interlingua configuration, written by `interlingua config reference`.
##
## `##` explains. `#` shows a key with its default, or with an example where it has none.
## Unknown keys are refused. Durations are text with a unit: \"20ms\", \"2s\", \"5m\", \"24h\".
## A key that ends in `_file` is a path relative to the folder of the configuration file.
## \"${NAME}\" in any text becomes the environment variable NAME: `secret = \"${OFFICE_SECRET}\"`,
## `secret_file = \"${CREDENTIALS_DIRECTORY}/office\"`.
";

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
        .map(|(name, value)| (name.as_str(), value))
}

/// One table; `live` ones are not commented out.
fn write_table(text: &mut String, path: &str, schema: &Value, live: bool) {
    let (table, brackets) = match schema.get("items") {
        Some(items) => (items, ("[[", "]]")),
        None => (schema, ("[", "]")),
    };
    text.push('\n');
    write_docs(text, schema.get("description").or_else(|| table.get("description")));
    let mark = if live { "" } else { "# " };
    text.push_str(&format!("{mark}{}{path}{}\n", brackets.0, brackets.1));
    let mut tables = Vec::new();
    for (name, property) in properties(table) {
        if is_table(property) {
            tables.push((name, property));
        } else {
            write_key(text, name, property, table, live);
        }
    }
    for (name, property) in tables {
        write_table(text, &format!("{path}.{name}"), property, false);
    }
}

fn is_table(schema: &Value) -> bool {
    let has_properties = |schema: &Value| schema.get("properties").is_some();
    has_properties(schema) || schema.get("items").is_some_and(has_properties)
}

fn write_key(text: &mut String, name: &str, property: &Value, table: &Value, live: bool) {
    write_docs(text, property.get("description"));
    write_choices(text, property);
    let required =
        table.get("required").and_then(Value::as_array).is_some_and(|list| list.iter().any(|key| key == name));
    let mark = if required && live { "" } else { "# " };
    let example = property.get("examples").and_then(|examples| examples.get(0));
    let shown = property.get("const").or_else(|| property.get("default").filter(|value| !is_nothing(value)));
    let shown = shown.or(example).or_else(|| property.get("default").filter(|value| !value.is_null()));
    let value = shown.map_or_else(|| "...".to_owned(), toml_value);
    text.push_str(&format!("{mark}{name} = {value}\n"));
}

/// Whether a default says too little to show it instead of an example.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str().is_some_and(str::is_empty)
}

fn write_docs(text: &mut String, description: Option<&Value>) {
    let Some(description) = description.and_then(Value::as_str) else {
        return;
    };
    let mut line = String::new();
    for word in description.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() > DOC_WIDTH {
            text.push_str(&format!("## {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&format!("## {line}\n"));
}

/// Columns of text behind the `##`.
const DOC_WIDTH: usize = 100;

/// The values that an enumeration allows, each with its meaning.
fn write_choices(text: &mut String, property: &Value) {
    let choices = property.get("oneOf").or_else(|| property.get("anyOf")).and_then(Value::as_array);
    for choice in choices.into_iter().flatten() {
        let names =
            choice.get("const").into_iter().chain(choice.get("enum").and_then(Value::as_array).into_iter().flatten());
        let meaning = choice.get("description").and_then(Value::as_str).unwrap_or_default();
        for name in names {
            let line = format!("##   {}: {meaning}", toml_value(name));
            text.push_str(line.trim_end_matches([':', ' ']));
            text.push('\n');
        }
    }
    for name in property.get("enum").and_then(Value::as_array).into_iter().flatten().filter(|name| !name.is_null()) {
        text.push_str(&format!("##   {}\n", toml_value(name)));
    }
}

/// A value on one line of TOML.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let entries: Vec<_> = table.iter().map(|(name, value)| format!("{name} = {}", toml_value(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
