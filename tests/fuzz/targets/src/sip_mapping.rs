//! Requests as operations, and these in every other protocol.

use adapter_sip::mapping::thread::ThreadTable;
use adapter_sip::mapping::{message, presence, signal};
use bytes::Bytes;
use sip_proto::message::Message;

use crate::carried;

/// Reads `input` as a MESSAGE, as word about one, and as a NOTIFY.
pub fn run(input: &[u8]) {
    let Ok(request) = Message::parse(Bytes::copy_from_slice(input)) else { return };
    if !request.is_request() || request.verify().is_err() {
        return;
    }
    let threads = ThreadTable::default();
    if let Ok(mapped) = message::from_request(&request, NOW, &threads) {
        carried::message(&mapped.value);
    }
    let uri = request.request_uri().unwrap_or_default();
    if let Ok(Some(Some(operation))) = signal::from_request(&request, uri, NOW, &threads) {
        carried::operation(&operation);
    }
    if let Ok(told) = presence::from_notify(&request)
        && let Some(info) = told.document.and_then(|document| document.to_info(None).ok())
    {
        carried::presence(&info.value, &told.presentity, &told.watcher);
    }
}

/// 2026-11-22T12:00:00Z
const NOW: i64 = 1_795_348_800;
