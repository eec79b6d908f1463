//! `interlingua inspect pidf`

use pidf::report::PidfReport;
use serde_json::Value;

/// The document, with its faults.
pub fn inspect(input: &[u8], content_type: Option<&str>) -> serde_json::Result<Value> {
    serde_json::to_value(PidfReport::inspect(input, content_type))
}
