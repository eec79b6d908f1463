//! The gateway as a program: configuration, wiring and command line.
//!
//! Everything that decides anything lives in the crates below this one; the library target exists for the tests.

pub mod adapters;
mod blocklists;
pub mod cli;
pub mod commands;
pub mod config;
mod doctor;
mod examples;
mod gateway;
mod input;
mod logging;
mod output;
mod reload;
mod running;
mod show;
mod stored;
mod zone;
