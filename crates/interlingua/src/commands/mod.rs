//! The commands, one module each.

pub mod check;
pub mod config;
pub mod inspect;
pub mod resolve;
