//! What native users send: messages in JSON or as objects, states, reports.

use adapter_native::mapping::{self, cpim, presence, signals};
use adapter_native::wire::{Authorize, PresenceEvent, SendDisposition, SetComposing, SetPresence, Subscribe};
use impp_model::{Address, DateTime, Endpoint, Operation, PresenceInfo, TransId};

use crate::carried;

/// Reads `input` as the body of every call.
pub fn run(input: &[u8]) {
    let user = || Endpoint::bare(Address::parse_bare("a@example.com").expect("a constant address"));
    let id = || TransId::from("t");
    if let Ok(message) = mapping::parse(input).and_then(|request| mapping::from_request(user(), request, id())) {
        carried::message(&message);
    }
    if let Ok(message) = cpim::from_cpim(user(), input, id()) {
        carried::message(&message);
    }
    let at = DateTime::parse("2026-11-22T12:00:00Z").expect("a constant time");
    let report = signals::parse::<SendDisposition>(input);
    if let Ok(word) = report.and_then(|request| signals::from_disposition(user(), request, id(), at)) {
        carried::operation(&Operation::Disposition(Box::new(word)));
    }
    let state = signals::parse::<SetComposing>(input);
    if let Ok(state) = state.and_then(|request| signals::from_composing(user(), request, id())) {
        carried::operation(&Operation::Composing(Box::new(state)));
    }
    let state = signals::parse::<SetPresence>(input);
    if let Ok(tuple) = state.and_then(|request| presence::from_request(None, request)) {
        let info = PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() };
        carried::presence(&info, &user(), &user());
    }
    let event = signals::parse::<PresenceEvent>(input);
    if let Ok(info) = event.and_then(presence::from_event) {
        carried::presence(&info, &user(), &user());
    }
    let _ = (signals::parse::<Subscribe>(input), signals::parse::<Authorize>(input));
}
