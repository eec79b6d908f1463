//! Dry runs and probes, for `explain` and `doctor`.

use crate::Hop;
use impp_model::{Cause, Failure, Operation, domain::Domain};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;
use transport::tls::{EXPIRY_WARNING, IdentityFault, PeerIdentity};

/// What an adapter is asked to look into.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Examine {
    /// What would be sent, and how, without sending it.
    DryRun {
        /// The operation.
        operation: Box<Operation>,
        /// Where routing would send it.
        hop: Arc<Hop>,
    },
    /// Whether a peer answers at this moment.
    Probe {
        /// The peer's domain.
        domain: Domain,
        /// The domain here on whose behalf it is asked.
        source: Domain,
        /// Where routing would send what is for it.
        hop: Arc<Hop>,
    },
}

/// What an adapter found, in the order to show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The findings.
    pub findings: Vec<Finding>,
    /// Fields of the operation that would arrive in a poorer form.
    pub degraded: Vec<String>,
    /// Fields of the operation that would not arrive.
    pub dropped: Vec<String>,
    /// Why the adapter would refuse the operation, if it would.
    pub refused: Option<Cause>,
    /// What a live probe found, each with a verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// How good a thing is that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, or will for a while.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What, as `tls` or `options`.
    pub item: String,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found, for a person.
    pub found: String,
    /// What to do about it; none where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(item: impl Into<String>, found: impl Into<String>) -> Self {
        Self { item: item.into(), verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    /// It works, but.
    pub fn warn(item: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, remedy: Some(remedy.into()), ..Self::ok(item, found) }
    }

    /// It does not work.
    pub fn fail(item: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(item, found, remedy) }
    }

    /// What a peer's certificate proves: `proven` is the verdict for its name. Where something else may prove the peer it is
    /// no failure.
    pub fn certificate(
        peer: &PeerIdentity,
        proven: Result<(), IdentityFault>,
        is_needed: bool,
        now: SystemTime,
    ) -> Self {
        const ITEM: &str = "certificate";
        let names = peer.names().all().join(" ");
        let left = peer.not_after().and_then(|end| end.duration_since(now).ok());
        match (proven, left) {
            (Ok(()), Some(left)) if left < EXPIRY_WARNING => {
                let found = format!("valid for {names}, for {} days more", left.as_secs() / 86_400);
                Self::warn(ITEM, found, "its owner must renew it")
            }
            (Ok(()), _) => Self::ok(ITEM, format!("valid for {names}")),
            (Err(fault), _) => {
                let check = Self::fail(ITEM, format!("{fault} ({names})"), fault.remedy());
                if is_needed { check } else { Self { verdict: Verdict::Warn, ..check } }
            }
        }
    }
}

impl Findings {
    /// Adds one finding.
    pub fn add(&mut self, what: &str, value: impl Into<String>) {
        self.findings.push(Finding { what: what.into(), value: value.into() });
    }

    /// Says that the operation would be refused, and why.
    pub fn refuse(&mut self, failure: &Failure) {
        self.add("refused", failure.to_string());
        self.refused = Some(failure.cause);
    }
}

/// One fact, as `transport`: `udp 192.0.2.1:5060`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `source`, `destination`, `transport`, `tls`, `acknowledgement`, `size`, ...
    pub what: String,
    /// The value, for a person.
    pub value: String,
}
