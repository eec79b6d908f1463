//! `interlingua inspect uri`: each scheme by the crate that knows it.

use impp_model::uri::{self as impp, ImppUriReport, XmppUriReport};
use serde_json::{Map, Value, json};
use sip_proto::uri::{SipUri, Uri, UriError};

/// What there is to say about a URI, with the field names of `vectors/uri.json`.
pub fn inspect(input: &str) -> Value {
    let scheme = input.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    let report = match scheme.as_str() {
        "im" | "pres" => serde_json::to_value(ImppUriReport::inspect(input)),
        "xmpp" => serde_json::to_value(XmppUriReport::inspect(input)),
        "sip" | "sips" => Ok(sip(input)),
        _ => Ok(
            json!({ "input": input, "valid": false, "error": "E_SCHEME", "position": 0, "text": "not im, pres, sip, sips or xmpp" }),
        ),
    };
    report.unwrap_or_else(
        |error| json!({ "input": input, "valid": false, "error": "internal", "text": error.to_string() }),
    )
}

fn sip(input: &str) -> Value {
    match read_sip(input) {
        Ok(report) => report,
        Err(error) => json!({ "input": input, "valid": false, "error": code(&error), "text": error.to_string() }),
    }
}

fn read_sip(input: &str) -> Result<Value, UriError> {
    let uri = SipUri::parse(input)?;
    let user = uri.user_decoded().transpose()?;
    let params: Map<_, _> = uri.params().map(|param| (param.name.to_owned(), json!(param.value))).collect();
    let headers: Vec<_> = uri.headers().map(|header| json!([header.name, header.value])).collect();
    let fields = [
        ("input", json!(input)),
        ("scheme", json!(uri.scheme.as_str())),
        ("user", json!(user)),
        ("host", json!(uri.host.to_string())),
        ("port", json!(uri.port)),
        ("params", Value::Object(params)),
        ("headers", Value::Array(headers)),
        ("valid", json!(true)),
    ];
    let is_absent = |name: &str, value: &Value| match name {
        "port" => value.is_null(),
        "params" => value.as_object().is_some_and(Map::is_empty),
        "headers" => value.as_array().is_some_and(Vec::is_empty),
        _ => false,
    };
    let present = fields.into_iter().filter(|(name, value)| !is_absent(name, value));
    Ok(Value::Object(present.map(|(name, value)| (name.to_owned(), value)).collect()))
}

fn code(error: &UriError) -> &'static str {
    if matches!(error, UriError::Scheme) { "scheme" } else { "bad-uri" }
}

/// Whether two URIs are equivalent, each scheme by its own rules.
pub fn compare(a: &str, b: &str) -> Value {
    let result = match impp::compare(a, b) {
        Some(result) => result.map_err(|error| error.to_string()),
        None => compare_sip(a, b).map_err(|error| error.to_string()),
    };
    match result {
        Ok(equivalent) => json!({ "a": a, "b": b, "equivalent": equivalent }),
        Err(error) => json!({ "a": a, "b": b, "equivalent": false, "error": error }),
    }
}

fn compare_sip(a: &str, b: &str) -> Result<bool, UriError> {
    Ok(Uri::parse(a)?.equivalent(&Uri::parse(b)?))
}
