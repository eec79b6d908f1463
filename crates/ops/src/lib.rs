//! The admin API, the metrics and the console of a running gateway (DESIGN B4).

mod api;
mod attention;
mod audit;
mod auth;
mod certificates;
mod connection;
mod console;
mod doctor;
mod events;
mod metrics;
mod openapi;
mod problem;
mod queue;
mod readiness;
mod state;
#[cfg(test)]
mod testkit;
mod ways;

pub use api::{Admin, Configured, router};
pub use audit::Audit;
pub use auth::{AdminToken, Tokens};
pub use connection::Listener;
pub use doctor::Doctor;
pub use readiness::Readiness;

use std::future::Future;

/// Serves the admin API until `stop` is done; requests under way are answered first.
pub async fn serve(listener: Listener, admin: Admin, stop: impl Future<Output = ()> + Send) {
    connection::serve(listener, router(admin), stop).await;
}
