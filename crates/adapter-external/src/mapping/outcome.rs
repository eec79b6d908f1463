//! RFC 3860 §3.4.1: outcomes.

use super::{FrameError, millis, missing, value};
use crate::wire;
use adapter_api::model::{Address, Cause, Failure, NativeCode, Outcome, Proof, Retry, Side};
use std::time::Duration;

/// Writes an outcome.
pub fn write_outcome(outcome: &Outcome) -> wire::Outcome {
    use wire::outcome::Outcome as Wire;
    let outcome = match outcome {
        Outcome::Success(Proof::Recipient) => Wire::Success(wire::Proof::Recipient.into()),
        Outcome::Success(Proof::Server) => Wire::Success(wire::Proof::Server.into()),
        Outcome::HandedOver => Wire::HandedOver(wire::HandedOver {}),
        Outcome::Indeterminant => Wire::Indeterminant(wire::Indeterminant {}),
        Outcome::Failure(failure) => Wire::Failure(write_failure(failure)),
    };
    wire::Outcome { outcome: Some(outcome) }
}

/// Reads an outcome.
pub fn read_outcome(outcome: Option<wire::Outcome>) -> Result<Outcome, FrameError> {
    use wire::outcome::Outcome as Wire;
    match outcome.and_then(|outcome| outcome.outcome).ok_or_else(|| missing("outcome"))? {
        Wire::Success(proof) => match wire::Proof::try_from(proof) {
            Ok(wire::Proof::Recipient) => Ok(Outcome::Success(Proof::Recipient)),
            Ok(wire::Proof::Server) => Ok(Outcome::Success(Proof::Server)),
            Ok(wire::Proof::Unspecified) | Err(_) => Err(value("success")),
        },
        Wire::HandedOver(_) => Ok(Outcome::HandedOver),
        Wire::Indeterminant(_) => Ok(Outcome::Indeterminant),
        Wire::Failure(failure) => Ok(read_failure(failure)?.into()),
    }
}

pub(super) fn write_failure(failure: &Failure) -> wire::Failure {
    use wire::failure::Retry as Wire;
    wire::Failure {
        side: match failure.side {
            Side::Near => "near",
            Side::Far => "far",
            Side::Ours => "ours",
        }
        .to_owned(),
        cause: failure.cause.code().to_owned(),
        retry: Some(match failure.retry {
            Retry::Never => Wire::Never(wire::Never {}),
            Retry::After(time) => Wire::After(millis(time)),
            Retry::NextTarget => Wire::NextTarget(wire::NextTarget {}),
        }),
        text: failure.text.clone(),
        redirect: failure.redirect.as_ref().map(ToString::to_string),
        native: failure
            .native
            .as_ref()
            .map(|native| wire::NativeCode { protocol: native.protocol.to_string(), code: native.code.clone() }),
        uncertain: failure.uncertain,
    }
}

pub(super) fn read_failure(failure: wire::Failure) -> Result<Failure, FrameError> {
    use wire::failure::Retry as Wire;
    let cause = read_cause(&failure.cause)?;
    let side = match failure.side.as_str() {
        "near" => Side::Near,
        "" | "far" => Side::Far,
        "ours" => Side::Ours,
        _ => return Err(value("side")),
    };
    let retry = match failure.retry {
        None | Some(Wire::Usual(_)) => cause.usual_retry(),
        Some(Wire::Never(_)) => Retry::Never,
        Some(Wire::After(time)) => Retry::After(Duration::from_millis(time).min(MAX_PAUSE)),
        Some(Wire::NextTarget(_)) => Retry::NextTarget,
    };
    let native =
        failure.native.map(|native| Box::new(NativeCode { protocol: native.protocol.into(), code: native.code }));
    let redirect =
        failure.redirect.map(|text| Address::parse_bare(&text).map_err(|_| value("redirect"))).transpose()?;
    Ok(Failure { side, cause, retry, text: failure.text, redirect, native, uncertain: failure.uncertain })
}

/// Reads a reason code.
pub(super) fn read_cause(code: &str) -> Result<Cause, FrameError> {
    Cause::ALL.iter().find(|cause| cause.code() == code).copied().ok_or_else(|| value("cause"))
}

/// Longer than any expiry: no adapter parks a message for ever.
const MAX_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_comes_back_as_it_was() {
        let mut outcomes = vec![
            Outcome::Success(Proof::Recipient),
            Outcome::Success(Proof::Server),
            Outcome::HandedOver,
            Outcome::Indeterminant,
        ];
        outcomes.extend(Cause::ALL.iter().map(|cause| Failure::new(Side::Far, *cause).into()));
        let mut full = Failure::new(Side::Ours, Cause::Gone).with_text("moved").with_native("sip", "301");
        full.redirect = Some(Address::parse_bare("new@b.example").unwrap());
        outcomes.push(full.with_retry(Retry::After(Duration::from_millis(1500))).with_doubt().into());
        for outcome in outcomes {
            assert_eq!(read_outcome(Some(write_outcome(&outcome))), Ok(outcome));
        }
    }

    #[test]
    fn what_is_no_outcome_is_refused() {
        let failure = |cause: &str, side: &str| wire::Failure {
            side: side.to_owned(),
            cause: cause.to_owned(),
            ..wire::Failure::default()
        };
        assert_eq!(read_failure(failure("bogus", "far")), Err(value("cause")));
        assert_eq!(read_failure(failure("conflict", "left")), Err(value("side")));
        assert_eq!(read_failure(failure("overload", "")).unwrap().retry, Cause::Overload.usual_retry());
        assert_eq!(read_outcome(None), Err(missing("outcome")));
        let unspecified = wire::Outcome { outcome: Some(wire::outcome::Outcome::Success(0)) };
        assert_eq!(read_outcome(Some(unspecified)), Err(value("success")));
    }
}
