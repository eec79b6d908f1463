//! `interlingua inspect sip`

use bytes::Bytes;
use serde_json::{Value, json};
use sip_proto::message::Message;

/// The message, or why it is none.
pub fn inspect(input: &[u8]) -> Value {
    let message = match Message::parse(Bytes::copy_from_slice(input)) {
        Ok(message) => message,
        Err(error) => {
            let error = json!({ "class": error.code(), "text": error.to_string(), "status": error.status() });
            return json!({ "result": "error", "error": error, "parsed": null });
        }
    };
    if !message.is_version_2() {
        // RFC 3261 §21.5.6.
        let error = json!({ "class": "version", "text": "another version than SIP/2.0", "status": 505 });
        return json!({ "result": "error", "error": error, "parsed": parsed(&message) });
    }
    match message.verify() {
        Ok(_) => json!({ "result": "ok", "error": null, "parsed": parsed(&message) }),
        Err(error) => {
            let error = json!({ "class": "header", "text": error.to_string(), "status": 400 });
            json!({ "result": "error", "error": error, "parsed": parsed(&message) })
        }
    }
}

fn parsed(message: &Message) -> Value {
    let headers: Vec<_> = message.all_headers().map(|header| json!([header.name(), header.display()])).collect();
    let body = String::from_utf8_lossy(message.body());
    json!({
        "method": message.method().map(|method| method.as_str()),
        "request_uri": message.request_uri(),
        "status": message.status().map(|status| status.code()),
        "reason": message.reason(),
        "headers": headers,
        "body_length": message.body().len(),
        "body": body,
    })
}
