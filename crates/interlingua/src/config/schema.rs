//! The JSON schema of a configuration file, put together from the types here and those of the adapters.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::Config;
use crate::adapters;

/// The schema, for editors and for `config schema`.
pub fn schema() -> Value {
    let mut generator = generator();
    let mut root = Value::from(generator.root_schema_for::<Config>());
    let adapters: Vec<Value> =
        adapters::FACTORIES.iter().map(|factory| adapter_schema(factory, &mut generator)).collect();
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        let instances = json!({
            "description": "Protocol instances: `[adapter.NAME]` for each, with a `type`; the name is free.",
            "type": "object",
            "additionalProperties": { "oneOf": adapters },
        });
        properties.insert("adapter".to_owned(), instances);
    }
    root
}

/// The schema of one adapter's table, with the key `type` first.
pub(super) fn adapter_schema(factory: &adapters::Factory, generator: &mut SchemaGenerator) -> Value {
    let mut schema = (factory.schema)(generator);
    let kind = json!({ "description": "The kind of adapter. Required.", "type": "string", "const": factory.type_name });
    let table = schema.ensure_object();
    if let Some(properties) = table.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.shift_insert(0, "type".to_owned(), kind);
    }
    if let Some(required) = table.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.insert(0, json!("type"));
    }
    schema.into()
}

/// All in one place, without references between definitions.
pub(super) fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}
