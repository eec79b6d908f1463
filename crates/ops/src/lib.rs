//! The admin API, the metrics and the console of a running gateway (DESIGN B4).

mod api;
mod auth;
mod certificates;
mod connection;
mod console;
mod metrics;
mod queue;
mod readiness;

pub use api::{Admin, Configured, router};
pub use auth::AdminToken;
pub use readiness::Readiness;

use std::future::Future;
use tokio::net::TcpListener;

/// Serves the admin API until `stop` is done; requests under way are answered first.
pub async fn serve(listener: TcpListener, admin: Admin, stop: impl Future<Output = ()> + Send) {
    connection::serve(listener, router(admin), stop).await;
}
