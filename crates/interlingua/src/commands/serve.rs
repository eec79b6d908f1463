//! `interlingua serve`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use interwork::Core;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Ended;
use crate::config::{self, Checked};
use crate::running::Running;
use crate::stored::Stored;
use crate::{logging, output};

/// Run the gateway until SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    let checked = config::load(&args.config).inspect_err(|report| output::diagnose(&report.text()))?;
    logging::start(&checked.config.log);
    for warning in &checked.warnings {
        tracing::warn!(key = %warning.key, line = warning.line, remedy = warning.remedy, "{}", warning.problem);
    }
    let threads = checked.config.gateway.threads();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(serve(&checked, &args.config))?;
    // A lookup may still be under way; nobody waits for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(Ended::Well)
}

/// Beyond the hold time, so that what is settled at its end is still told.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

async fn serve(checked: &Checked, file: &Path) -> Result<()> {
    let mut signals = Signals::new()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), gateway = %checked.config.gateway.name, "starting");
    let stored = Stored::open(&checked.config)?;
    let mut gateway = Running::start(checked, stored, Some(file.to_owned())).await?;
    watchdog(gateway.core.clone());
    tracing::info!(address = %gateway.admin, "admin API, metrics and health checks");
    let stopped = tokio::select! {
        result = gateway.listening() => result.map(|_| false)?,
        () = signals.stop() => true,
    };
    if !stopped {
        tracing::info!("listening; ready when each component link has been up");
        until_stopped(&mut gateway, &mut signals).await?;
    }
    notify(NotifyState::Stopping);
    tracing::info!(held = gateway.core.held(), "stopping: nothing new is accepted");
    let limit = checked.config.delivery.hold_timeout + DRAIN_MARGIN;
    let held = tokio::select! {
        held = gateway.stop(limit) => held,
        () = signals.stop() => anyhow::bail!("stopped by a second signal, without an orderly end"),
    };
    match held {
        0 => tracing::info!("stopped"),
        held => tracing::warn!(held, "stopped with messages that no peer had confirmed; they were spooled or refused"),
    }
    Ok(())
}

/// Serves until a signal says to stop; a reload may be what a gateway that is not ready yet wants.
async fn until_stopped(gateway: &mut Running, signals: &mut Signals) -> Result<()> {
    let mut ready = false;
    loop {
        tokio::select! {
            result = news(gateway, ready) => {
                result?;
                if !ready {
                    ready = true;
                    notify(NotifyState::Ready);
                    tracing::info!("ready");
                }
            }
            signal = signals.next() => match signal {
                Asked::Stop => return Ok(()),
                Asked::Reload => reload(gateway, ready).await,
            },
        }
    }
}

/// Waits until the gateway is ready; once it is, until an adapter has failed. Cancel-safe.
async fn news(gateway: &mut Running, ready: bool) -> Result<()> {
    if ready {
        gateway.adapter_failed().await;
        return Ok(());
    }
    gateway.ready().await
}

/// systemd's `Type=notify-reload` wants to hear of the beginning and the end.
async fn reload(gateway: &Running, ready: bool) {
    if ready {
        notify(NotifyState::Reloading);
    }
    let (reloader, audit) = (gateway.reloader.clone(), gateway.audit.clone());
    // It reads files; what came of it stands in the log.
    let reload = move || audit.note("signal", "reload", if reloader.told().is_ok() { "done" } else { "refused" });
    let _ = tokio::task::spawn_blocking(reload).await;
    if ready {
        notify(NotifyState::Ready);
    }
}

/// Tells systemd's watchdog that the hub still answers, three times as often as it wants to hear it.
fn watchdog(core: Arc<Core>) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    tracing::debug!(?patience, "systemd's watchdog is told");
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(patience / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Both wait for locks that every message takes: what is stuck there is restarted.
            let (held, totals) = (core.held(), core.ledger().totals());
            tracing::trace!(held, accepted = totals.accepted(), "alive");
            notify(NotifyState::Watchdog);
        }
    });
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop; what asks for a reload meanwhile comes too early. Cancel-safe.
    async fn stop(&mut self) {
        while self.next().await == Asked::Reload {}
    }

    /// Waits for a signal. Cancel-safe.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}
