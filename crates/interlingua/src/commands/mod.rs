//! The commands, one module each.

pub mod adapter;
pub mod address;
pub mod check;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod inspect;
pub mod manual;
pub mod resolve;
pub mod running;
pub mod send;
pub mod serve;
mod server;
pub mod store;
pub mod translate;
pub mod watch;
