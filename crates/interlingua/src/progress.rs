//! A line on standard error that says how far a long look has come.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Shows how far something has come, from time to time until it is dropped.
pub(crate) struct Progress {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Between lines that replace each other on a terminal; what ends sooner shows none.
const ON_TERMINAL: Duration = Duration::from_millis(500);
/// Between lines in a log.
const IN_LOG: Duration = Duration::from_secs(10);

impl Progress {
    /// `state` says how far it is at that moment, on one line.
    pub(crate) fn start(state: impl Fn() -> String + Send + 'static) -> Self {
        let terminal = io::stderr().is_terminal();
        Self::onto(io::stderr(), terminal, if terminal { ON_TERMINAL } else { IN_LOG }, state)
    }

    fn onto(
        mut out: impl Write + Send + 'static,
        terminal: bool,
        pause: Duration,
        state: impl Fn() -> String + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        // There is no better place to complain that standard error is gone.
        let mut write = move |line: &str| drop(out.write_all(line.as_bytes()));
        let thread = std::thread::spawn(move || {
            let mut shown = 0;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let state = state();
                // What a longer line left behind is overwritten.
                write(&if terminal { format!("\r{state:shown$}") } else { format!("{state}\n") });
                shown = state.chars().count();
            }
            if shown > 0 && terminal {
                write("\n");
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);

    impl Write for Seen {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while something has come to 1 and then to 2, or ends at once.
    fn written(terminal: bool, pause: Duration, steps: usize) -> String {
        let (seen, (told, asked)) = (Seen::default(), mpsc::channel());
        let count = Mutex::new(0);
        let progress = Progress::onto(seen.clone(), terminal, pause, move || {
            *count.lock() += 1;
            let _ = told.send(());
            format!("{} records", *count.lock())
        });
        (0..steps).for_each(|_| asked.recv().unwrap());
        drop(progress);
        String::from_utf8(seen.0.lock().clone()).unwrap()
    }

    #[test]
    fn what_takes_long_is_shown_and_what_does_not_is_not() {
        assert_eq!(written(true, Duration::from_secs(3600), 0), "");
        let pause = Duration::from_millis(1);
        let log = written(false, pause, 2);
        assert!(log.starts_with("1 records\n2 records\n"), "{log:?}");
        let shown = written(true, pause, 2);
        assert!(shown.starts_with("\r1 records\r2 records") && shown.ends_with('\n'), "{shown:?}");
    }
}
