//! RFC 3994 §3.3: what a recipient makes of status messages.

use std::time::{Duration, Instant};

use super::{DEFAULT_ACTIVE, IsComposing, MAX_ACTIVE, State};

/// A change of what is known about a composer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It composes.
    Active,
    /// It said that it stopped.
    Idle,
    /// It did not say again that it composes.
    Expired,
    /// Its message came, which shows by itself that it stopped.
    Content,
}

/// One composer as one recipient sees it, as Figure 2 of RFC 3994 has it.
///
/// Performs no I/O and reads no clock. After every `handle_*` call, look at [`poll_output`](Self::poll_output), then
/// re-arm from [`poll_timeout`](Self::poll_timeout).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComposingWatch {
    active_until: Option<Instant>,
    output: Option<Change>,
}

impl ComposingWatch {
    /// A composer that is idle.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state.
    pub fn state(&self) -> State {
        if self.active_until.is_some() { State::Active } else { State::Idle }
    }

    /// A status message came; several "active" in a row only move the timeout.
    pub fn handle_status(&mut self, status: &IsComposing, now: Instant) {
        match status.state {
            State::Idle => self.end(Change::Idle),
            State::Active => {
                let refresh = status.refresh.map_or(DEFAULT_ACTIVE, |seconds| Duration::from_secs(seconds.into()));
                let was_active = self.active_until.replace(now + refresh.min(MAX_ACTIVE)).is_some();
                if !was_active {
                    self.output = Some(Change::Active);
                }
            }
        }
    }

    /// A content message came.
    pub fn handle_content(&mut self) {
        self.end(Change::Content);
    }

    /// A timeout of [`poll_timeout`](Self::poll_timeout) was reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.active_until.is_some_and(|until| until <= now) {
            self.end(Change::Expired);
        }
    }

    /// The change that the last call made, if any.
    pub fn poll_output(&mut self) -> Option<Change> {
        self.output.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.active_until
    }

    fn end(&mut self, change: Change) {
        if self.active_until.take().is_some() {
            self.output = Some(change);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its origin once")]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    // checks: ISC-003, CMP-003
    #[test]
    fn rfc3994_s3_3_active_ends_in_three_ways() {
        let start = Instant::now();
        let mut watch = ComposingWatch::new();
        let active = |watch: &mut ComposingWatch| {
            watch.handle_status(&IsComposing::active(None), start);
            assert_eq!((watch.poll_output(), watch.state()), (Some(Change::Active), State::Active));
        };
        active(&mut watch);
        watch.handle_status(&IsComposing::idle(), start);
        assert_eq!(watch.poll_output(), Some(Change::Idle));
        active(&mut watch);
        watch.handle_content();
        assert_eq!(watch.poll_output(), Some(Change::Content));
        active(&mut watch);
        watch.handle_timeout(start + seconds(119));
        assert_eq!(watch.poll_output(), None);
        assert_eq!(watch.poll_timeout(), Some(start + seconds(120)));
        watch.handle_timeout(start + seconds(120));
        assert_eq!(
            (watch.poll_output(), watch.state(), watch.poll_timeout()),
            (Some(Change::Expired), State::Idle, None)
        );
        watch.handle_content();
        watch.handle_status(&IsComposing::idle(), start);
        assert_eq!(watch.poll_output(), None);
    }

    // checks: ISC-003
    #[test]
    fn rfc3994_s3_3_several_active_messages_are_one_change() {
        let start = Instant::now();
        let mut watch = ComposingWatch::new();
        watch.handle_status(&IsComposing::active(Some(90)), start);
        assert_eq!(watch.poll_output(), Some(Change::Active));
        watch.handle_status(&IsComposing::active(Some(30)), start + seconds(1));
        assert_eq!((watch.poll_output(), watch.poll_timeout()), (None, Some(start + seconds(31))));
        watch.handle_status(&IsComposing::active(Some(u32::MAX)), start);
        assert_eq!(watch.poll_timeout(), Some(start + MAX_ACTIVE));
    }
}
