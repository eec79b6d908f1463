//! Dry runs and probes, for `explain` and `doctor`.

use crate::Hop;
use impp_model::{Cause, Failure, Operation, domain::Domain};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
