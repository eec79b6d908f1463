//! RFC 3994 §3.2: when a composer tells its state.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{DEFAULT_IDLE, IsComposing, MIN_REFRESH, State};

/// How a [`Composer`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComposerConfig {
    /// How often "active" is repeated; shorter ones count as [`MIN_REFRESH`].
    pub refresh: Duration,
    /// How long without activity "active" ends; `None` where the composer itself says when it stops.
    pub idle: Option<Duration>,
}

impl Default for ComposerConfig {
    fn default() -> Self {
        Self { refresh: MIN_REFRESH, idle: Some(DEFAULT_IDLE) }
    }
}

/// One composer toward one recipient, as Figure 1 of RFC 3994 has it.
///
/// Performs no I/O and reads no clock. After every `handle_*` call, drain [`poll_output`](Self::poll_output), then
/// re-arm from [`poll_timeout`](Self::poll_timeout).
///
/// ```
/// # #![allow(clippy::disallowed_methods)]
/// use cpim::composing::{Composer, ComposerConfig, IsComposing};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let mut composer = Composer::new(ComposerConfig::default());
/// composer.handle_activity(start);
/// assert_eq!(composer.poll_output(), Some(IsComposing::active(Some(60))));
/// assert_eq!(composer.poll_timeout(), Some(start + Duration::from_secs(15)));
/// composer.handle_timeout(start + Duration::from_secs(15));
/// assert_eq!(composer.poll_output(), Some(IsComposing::idle()));
/// ```
#[derive(Debug)]
pub struct Composer {
    config: ComposerConfig,
    state: State,
    /// Whether the recipient was last told "active", and has not seen a content message since.
    told_active: bool,
    last_activity: Option<Instant>,
    last_active_sent: Option<Instant>,
    refused: bool,
    outputs: VecDeque<IsComposing>,
}

impl Composer {
    /// A composer that is idle.
    pub fn new(config: ComposerConfig) -> Self {
        let config = ComposerConfig { refresh: config.refresh.max(MIN_REFRESH), ..config };
        Self {
            config,
            state: State::Idle,
            told_active: false,
            last_activity: None,
            last_active_sent: None,
            refused: false,
            outputs: VecDeque::new(),
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The composer does something: a key, or its protocol's "composing".
    pub fn handle_activity(&mut self, now: Instant) {
        self.state = State::Active;
        self.last_activity = Some(now);
        self.tell_active(now);
    }

    /// The composer says that it stopped.
    pub fn handle_stop(&mut self) {
        self.state = State::Idle;
        if std::mem::take(&mut self.told_active) {
            self.push(IsComposing::idle());
        }
    }

    /// A content message was sent, which says by itself that composing ended.
    pub fn handle_content(&mut self) {
        self.state = State::Idle;
        self.told_active = false;
    }

    /// The recipient does not take status messages (415): none is sent any more.
    // RFC 3994 §4: no further ones after such an answer.
    pub fn handle_refusal(&mut self) {
        self.refused = true;
        self.outputs.clear();
    }

    /// A timeout of [`poll_timeout`](Self::poll_timeout) was reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Idle {
            return;
        }
        if self.idle_at().is_some_and(|idle| idle <= now) {
            return self.handle_stop();
        }
        self.tell_active(now);
    }

    /// The next status message to send.
    pub fn poll_output(&mut self) -> Option<IsComposing> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Idle || self.refused {
            return None;
        }
        [self.idle_at(), self.quiet_until()].into_iter().flatten().min()
    }

    /// Until when no other "active" is due, whatever happens; a composer that is idle then may be forgotten.
    pub fn quiet_until(&self) -> Option<Instant> {
        self.last_active_sent.map(|sent| sent + self.config.refresh)
    }

    fn idle_at(&self) -> Option<Instant> {
        Some(self.last_activity? + self.config.idle?)
    }

    // DEVIATES RFC 3994 §3.2: one status message per interval would hold back the "idle" that Figure 1 sends; so
    // "active" is what is limited, and one "idle" may follow it.
    fn tell_active(&mut self, now: Instant) {
        if self.last_active_sent.is_some_and(|sent| now < sent + self.config.refresh) {
            return;
        }
        self.last_active_sent = Some(now);
        self.told_active = true;
        let seconds = u32::try_from(self.config.refresh.as_secs()).unwrap_or(u32::MAX);
        self.push(IsComposing::active(Some(seconds)));
    }

    fn push(&mut self, status: IsComposing) {
        if !self.refused {
            self.outputs.push_back(status);
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

    fn states(composer: &mut Composer) -> Vec<State> {
        std::iter::from_fn(|| composer.poll_output()).map(|status| status.state).collect()
    }

    // checks: ISC-002
    #[test]
    fn rfc3994_s3_2_active_is_refreshed_while_composing_goes_on() {
        let start = Instant::now();
        let mut composer = Composer::new(ComposerConfig { refresh: seconds(5), idle: Some(seconds(15)) });
        let mut sent = Vec::new();
        for second in (0..130).step_by(10) {
            composer.handle_activity(start + seconds(second));
            sent.extend(states(&mut composer).into_iter().map(|state| (second, state)));
        }
        assert_eq!(sent, [(0, State::Active), (60, State::Active), (120, State::Active)]);
        assert_eq!(composer.poll_timeout(), Some(start + seconds(135)));
        composer.handle_timeout(start + seconds(135));
        assert_eq!(states(&mut composer), [State::Idle]);
        assert_eq!(composer.poll_timeout(), None);
    }

    // checks: ISC-002, CMP-006
    #[test]
    fn rfc3994_s3_2_a_composer_without_idle_time_out_repeats_until_it_stops() {
        let start = Instant::now();
        let mut composer = Composer::new(ComposerConfig { refresh: seconds(90), idle: None });
        composer.handle_activity(start);
        assert_eq!(composer.poll_timeout(), Some(start + seconds(90)));
        composer.handle_timeout(start + seconds(90));
        composer.handle_stop();
        composer.handle_stop();
        assert_eq!(states(&mut composer), [State::Active, State::Active, State::Idle]);
    }

    // checks: ISC-002
    #[test]
    fn rfc3994_s3_2_no_idle_goes_before_a_content_message() {
        let start = Instant::now();
        let mut composer = Composer::new(ComposerConfig::default());
        composer.handle_activity(start);
        composer.handle_content();
        composer.handle_stop();
        assert_eq!(states(&mut composer), [State::Active]);
        composer.handle_activity(start + seconds(10));
        assert_eq!(states(&mut composer), [], "one active per refresh interval");
        composer.handle_content();
        composer.handle_activity(start + seconds(61));
        assert_eq!(states(&mut composer), [State::Active]);
    }

    #[test]
    fn an_active_held_back_is_sent_when_the_interval_ends() {
        let start = Instant::now();
        let mut composer = Composer::new(ComposerConfig { refresh: seconds(60), idle: None });
        composer.handle_activity(start);
        composer.handle_stop();
        composer.handle_activity(start + seconds(20));
        composer.handle_timeout(start + seconds(60));
        assert_eq!(states(&mut composer), [State::Active, State::Idle, State::Active]);
    }

    // checks: ISC-005, CMP-004
    #[test]
    fn rfc3994_s4_nothing_is_sent_after_a_refusal() {
        let start = Instant::now();
        let mut composer = Composer::new(ComposerConfig::default());
        composer.handle_activity(start);
        composer.handle_refusal();
        composer.handle_activity(start + seconds(100));
        composer.handle_stop();
        assert_eq!(states(&mut composer), []);
        assert_eq!(composer.poll_timeout(), None);
    }
}
