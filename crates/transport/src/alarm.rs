//! One timer for a task that waits for another moment at each of its turns.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};

/// A timer that stays set while it need not ring earlier, so that a turn of its owner costs the runtime's wheel nothing.
///
/// Between the turns of a busy task its moment mostly moves to a later one. The alarm then rings at the earlier, for
/// itself alone, and is set anew.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until `due`; without it for ever. Cancel-safe.
    pub async fn wait(&mut self, due: Option<Instant>) {
        match due {
            Some(due) => poll_fn(|context| self.poll(due, context)).await,
            None => std::future::pending().await,
        }
    }

    fn poll(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        let due = tokio::time::Instant::from_std(due);
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            // What has rung rings again at once, until it is set anew here for a later moment.
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant as RuntimeInstant, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_moment_asked_for_last() {
        let (mut alarm, begin) = (Alarm::default(), RuntimeInstant::now());
        let at = |seconds: u32| Some((begin + SECOND * seconds).into_std());
        assert!(timeout(SECOND, alarm.wait(at(5))).await.is_err());
        // Later than it is set: the first moment passes unheard.
        assert!(timeout(SECOND * 6, alarm.wait(at(9))).await.is_err());
        assert_eq!(begin.elapsed(), SECOND * 7);
        // Earlier, then one that is past, then a new one.
        alarm.wait(at(8)).await;
        assert_eq!(begin.elapsed(), SECOND * 8);
        alarm.wait(at(3)).await;
        assert_eq!(begin.elapsed(), SECOND * 8);
        alarm.wait(at(10)).await;
        assert_eq!(begin.elapsed(), SECOND * 10);
        assert!(timeout(SECOND, alarm.wait(None)).await.is_err());
    }
}
