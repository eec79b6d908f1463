//! Logs: to standard error, as text or JSON.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Changes the filter of the logs that were started.
static FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Starts logging as `[log]` says; RUST_LOG wins over its level.
pub(crate) fn start(config: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| filter(&config.level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours());
    // A second start, as in tests, keeps the first.
    let set: SetFilter = match config.format {
        LogFormat::Text => {
            let logs = logs.with_filter_reloading();
            let handle = logs.reload_handle();
            let _ = logs.try_init();
            Box::new(move |filter| keep_going(handle.reload(filter)))
        }
        LogFormat::Json => {
            let logs = logs.json().flatten_event(true).with_filter_reloading();
            let handle = logs.reload_handle();
            let _ = logs.try_init();
            Box::new(move |filter| keep_going(handle.reload(filter)))
        }
    };
    let _ = FILTER.set(set);
}

/// Only for a person at a terminal, and not for one who asks for none (the convention NO_COLOR).
fn colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Goes on at another `[log] level`, unless RUST_LOG says which.
pub(crate) fn set_level(level: &str) {
    if let (Some(set), Err(_)) = (FILTER.get(), EnvFilter::try_from_default_env()) {
        set(filter(level));
    }
}

/// The level as configured; the database below speaks of its own housekeeping only when something is wrong, and the resolver,
/// whose warnings quote what name servers answer, only when a directive of its own asks it to.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{level}"))
}

const QUIET: &str = "fjall=warn,lsm_tree=warn,hickory_net=off,hickory_proto=off,hickory_resolver=off";

fn keep_going(result: Result<(), tracing_subscriber::reload::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the log level stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// Whether a warning of the resolver is heard under this level.
    fn is_heard(level: &str) -> bool {
        let subscriber = tracing_subscriber::registry().with(filter(level));
        tracing::subscriber::with_default(
            subscriber,
            || tracing::enabled!(target: "hickory_net::xfer", tracing::Level::WARN),
        )
    }

    #[test]
    fn answers_of_name_servers_are_logged_only_for_who_asks() {
        assert!(!is_heard("warn") && !is_heard("debug"));
        assert!(is_heard("info,hickory_net=warn"));
    }
}
