//! The process that the gateway starts: kept running, its output in our log.

use crate::config::Config;
use adapter_api::InstanceName;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long the process may take to end by itself once its stream has ended.
const GRACE: Duration = Duration::from_secs(3);

/// The first pause before another start, and the longest; whoever ran for as long as that begins anew.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest line of its output that is logged whole.
const MAX_LINE: usize = 2000;

/// Keeps the process running until `stop`; without a command it waits for that alone.
pub(crate) async fn supervise(instance: InstanceName, config: &Config, mut stop: watch::Receiver<bool>) {
    let (Some((program, arguments)), Some(socket)) = (config.command.split_first(), &config.socket_file) else {
        return stopped(&mut stop).await;
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("INTERLINGUA_SOCKET", socket)
            .env("INTERLINGUA_INSTANCE", instance.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        match command.spawn() {
            Ok(child) => {
                tracing::info!(adapter = %instance, pid = child.id(), "the adapter's process is started");
                if watch_one(&instance, child, &mut stop).await {
                    return;
                }
            }
            Err(error) => tracing::error!(adapter = %instance, %error, "the adapter's process can't be started"),
        }
        if begun.elapsed() >= LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(adapter = %instance, ?pause, "the adapter's process is started again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the adapter is gone: it has stopped, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until the process ends; true if the gateway stops.
async fn watch_one(instance: &InstanceName, mut child: Child, stop: &mut watch::Receiver<bool>) -> bool {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let log = async {
            tokio::join!(log(instance, stdout), log(instance, stderr));
        };
        let (status, ()) = tokio::join!(child.wait(), log);
        status
    };
    tokio::pin!(ended);
    let stopping = tokio::select! {
        status = &mut ended => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            tracing::warn!(adapter = %instance, %status, "the adapter's process ended");
            return false;
        }
        () = stopped(stop) => tokio::time::timeout(GRACE, &mut ended).await,
    };
    if stopping.is_err() {
        tracing::warn!(adapter = %instance, "the adapter's process did not end by itself and is killed");
    }
    true
}

/// What the process prints, line by line. It is the adapter's to keep user parts out of it.
async fn log(instance: &InstanceName, output: Option<impl AsyncRead + Unpin>) {
    let Some(output) = output else { return };
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    loop {
        line.clear();
        match (&mut output).take(limit).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                tracing::info!(adapter = %instance, output = text.trim_end(), "the adapter says");
            }
        }
    }
}
