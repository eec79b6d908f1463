//! Which failures may pass.

use impp_model::{Cause, Failure, Retry, Side};
use std::time::Duration;

/// Whether what failed so is kept and tried again, rather than told at once (DESIGN A5).
///
/// Adapters give the class of what their far side says: no answer, a broken way, 430, 500, 503, 504,
/// `remote-server-timeout`, `resource-constraint`. Want of room here is told to the sender, who can wait with more.
pub(crate) fn is_retryable(failure: &Failure) -> bool {
    match (failure.retry, failure.cause, failure.side) {
        (Retry::Never, _, _) | (_, Cause::Overload | Cause::HopBacklog | Cause::InternalError, Side::Ours) => false,
        (Retry::After(_) | Retry::NextTarget, _, _) => true,
    }
}

/// The same for what was accepted before: want of room here passes, too.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    let no_room = matches!(failure.cause, Cause::Overload | Cause::HopBacklog);
    is_retryable(failure) || (no_room && failure.retry != Retry::Never)
}

/// How long the far side itself asked to wait.
pub(crate) fn asked_for(failure: &Failure) -> Option<Duration> {
    match failure.retry {
        Retry::After(pause) if failure.retry != failure.cause.usual_retry() => Some(pause),
        Retry::After(_) | Retry::Never | Retry::NextTarget => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_of_all_causes() {
        let retried: Vec<_> =
            Cause::ALL.iter().filter(|cause| is_retryable(&Failure::new(Side::Far, **cause))).collect();
        let expected = [
            Cause::InternalError,
            Cause::RemoteTimeout,
            Cause::ResourceConstraint,
            Cause::DnsFailure,
            Cause::Overload,
            Cause::HopBacklog,
            Cause::LinkDown,
            Cause::Unconfirmed,
            Cause::ShuttingDown,
        ];
        assert_eq!(retried, expected.iter().collect::<Vec<_>>());
        for cause in [Cause::Overload, Cause::HopBacklog] {
            let full = Failure::new(Side::Ours, cause);
            assert!(!is_retryable(&full) && may_pass(&full));
        }
        assert!(!is_retryable(&Failure::new(Side::Far, Cause::InternalError).with_retry(Retry::Never)));
    }

    #[test]
    fn only_the_far_sides_own_wish_is_a_wish() {
        let failure = Failure::new(Side::Far, Cause::ResourceConstraint);
        assert_eq!(asked_for(&failure), None);
        let pause = Duration::from_secs(90);
        assert_eq!(asked_for(&failure.with_retry(Retry::After(pause))), Some(pause));
    }
}
