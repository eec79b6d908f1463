//! A line on standard error that says how far a long look has come.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Shows a count from time to time until it is dropped.
pub(super) struct Progress {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Between lines that replace each other on a terminal; what ends sooner shows none.
const ON_TERMINAL: Duration = Duration::from_millis(500);
/// Between lines in a log.
const IN_LOG: Duration = Duration::from_secs(10);

impl Progress {
    pub(super) fn start(what: &'static str, count: Arc<AtomicU64>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let terminal = io::stderr().is_terminal();
        let thread = std::thread::spawn(move || {
            let mut shown = false;
            let pause = if terminal { ON_TERMINAL } else { IN_LOG };
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let count = count.load(Ordering::Relaxed);
                let line = if terminal { format!("\r{count} {what}") } else { format!("{count} {what}\n") };
                write(&line);
                shown = true;
            }
            if shown && terminal {
                write("\n");
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

fn write(line: &str) {
    // There is no better place to complain that standard error is gone.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It can't panic in a way that matters here.
            let _ = thread.join();
        }
    }
}
