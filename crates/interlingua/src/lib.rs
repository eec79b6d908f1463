//! The gateway as a program: configuration, wiring and command line.
//!
//! Everything that decides anything lives in the crates below this one; the library target exists for the tests.

pub mod adapters;
mod archive;
mod blocklists;
mod canaries;
pub mod cli;
pub mod commands;
pub mod config;
mod doctor;
mod examples;
mod gateway;
mod input;
mod logging;
mod output;
mod progress;
mod reload;
mod running;
mod show;
mod stored;
#[cfg(any(test, feature = "otel"))]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "its tests make spans and send none"))]
mod telemetry;
mod zone;
