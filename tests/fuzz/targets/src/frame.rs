//! Frames of adapters in other processes.

use adapter_external::mapping::{
    read_capabilities, read_findings, read_operation, read_outcome, write_capabilities, write_outcome,
};
use adapter_external::wire::{FromAdapter, from_adapter::Frame};
use impp_model::Operation;
use prost::Message;

use crate::carried;

/// Reads `input` as one frame, and carries what it submits.
pub fn run(input: &[u8]) {
    let Some(frame) = FromAdapter::decode(input).ok().and_then(|frame| frame.frame) else { return };
    match frame {
        Frame::Submit(submit) => match read_operation(submit.operation) {
            Ok(Operation::Message(message)) => carried::message(&message),
            Ok(operation) => carried::operation(&operation),
            Err(_) => {}
        },
        Frame::Settled(settled) => {
            if let Ok(outcome) = read_outcome(settled.outcome) {
                let again = read_outcome(Some(write_outcome(&outcome)));
                assert_eq!(again.as_ref(), Ok(&outcome), "an outcome reads back");
            }
        }
        Frame::Hello(hello) => {
            let read = hello.capabilities.map(read_capabilities);
            if let Some(Ok(capabilities)) = read {
                let written = write_capabilities(&capabilities);
                let again = read_capabilities(written.clone()).expect("what was written can be read");
                assert_eq!(write_capabilities(&again), written, "capabilities read back");
            }
        }
        Frame::Findings(findings) => drop(read_findings(findings)),
        Frame::Keep(_)
        | Frame::Peer(_)
        | Frame::Loss(_)
        | Frame::Received(_)
        | Frame::Beat(_)
        | Frame::Goodbye(_)
        | Frame::Listening(_)
        | Frame::Commit(_)
        | Frame::Owe(_)
        | Frame::Proven(_) => {}
    }
}
