//! The schema's messages to the model and back: pure functions.

mod capabilities;
mod operation;
mod outcome;
mod presence;

pub use capabilities::{read_capabilities, write_capabilities};
pub(crate) use capabilities::{read_carries as read_loss, write_carries as write_loss};
pub(crate) use operation::{read_disposition, write_disposition};
pub use operation::{read_operation, write_operation};
pub use outcome::{read_outcome, write_outcome};

use crate::wire;
use adapter_api::model::{Address, DateTime, Device, Domain, Endpoint, LangText, MaxForwards};
use adapter_api::{Findings, Hop, Target};
use std::time::Duration;

/// Why a frame can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// Its name in the schema.
        field: &'static str,
    },
    /// A value that the field can't have.
    #[error("{field} has an impossible value")]
    Value {
        /// Its name in the schema.
        field: &'static str,
    },
}

pub(crate) fn missing(field: &'static str) -> FrameError {
    FrameError::Missing { field }
}

pub(crate) fn value(field: &'static str) -> FrameError {
    FrameError::Value { field }
}

fn read_endpoint(field: &'static str, end: Option<wire::Endpoint>) -> Result<Endpoint, FrameError> {
    let end = end.ok_or_else(|| missing(field))?;
    let address = Address::parse_bare(&end.address).map_err(|_| value(field))?;
    let device = end.device.map(|device| Device::new(&device).map_err(|_| value(field))).transpose()?;
    Ok(Endpoint { address, device })
}

fn write_endpoint(end: &Endpoint) -> Option<wire::Endpoint> {
    Some(wire::Endpoint { address: end.address.to_string(), device: end.device.as_ref().map(ToString::to_string) })
}

fn read_time(field: &'static str, text: &str) -> Result<DateTime, FrameError> {
    DateTime::parse(text).map_err(|_| value(field))
}

fn read_hops(count: u32) -> Result<MaxForwards, FrameError> {
    match count {
        0 => Ok(MaxForwards::INITIAL),
        count => u8::try_from(count).map(MaxForwards).map_err(|_| value("max_forwards")),
    }
}

fn read_texts(texts: Vec<wire::LangText>) -> Vec<LangText> {
    let read = |text: wire::LangText| LangText { language: text.language.map(Into::into), text: text.text };
    texts.into_iter().map(read).collect()
}

fn write_texts(texts: &[LangText]) -> Vec<wire::LangText> {
    let write = |text: &LangText| wire::LangText {
        language: text.language.as_ref().map(ToString::to_string),
        text: text.text.clone(),
    };
    texts.iter().map(write).collect()
}

/// Milliseconds, as the schema counts.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds where the schema has 32 bits.
pub(crate) fn short_millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Writes where to.
pub fn write_hop(hop: &Hop) -> wire::Hop {
    use wire::hop::Hop as Wire;
    let target = |target: &Target| wire::Target { host: target.host.clone(), address: target.address.to_string() };
    let hop = match hop {
        Hop::Link => Wire::Link(wire::Link {}),
        Hop::Fixed(hop) => Wire::Fixed(hop.to_string()),
        Hop::Located { domain, targets } => {
            Wire::Located(wire::Located { domain: domain.to_string(), targets: targets.iter().map(target).collect() })
        }
    };
    wire::Hop { hop: Some(hop) }
}

/// Reads where to.
pub fn read_hop(hop: Option<wire::Hop>) -> Result<Hop, FrameError> {
    use wire::hop::Hop as Wire;
    let target = |target: wire::Target| {
        let address = target.address.parse().map_err(|_| value("target.address"))?;
        Ok(Target { host: target.host, address, transport: None })
    };
    match hop.and_then(|hop| hop.hop).ok_or_else(|| missing("hop"))? {
        Wire::Link(_) => Ok(Hop::Link),
        Wire::Fixed(hop) => Ok(Hop::Fixed(hop.into())),
        Wire::Located(located) => Ok(Hop::Located {
            domain: Domain::parse(&located.domain).map_err(|_| value("located.domain"))?,
            targets: located.targets.into_iter().map(target).collect::<Result<_, _>>()?,
        }),
    }
}

/// Writes findings under the id of their question.
pub fn write_findings(id: u64, findings: &Findings) -> wire::Findings {
    let finding = |one: &adapter_api::Finding| wire::Finding { what: one.what.clone(), value: one.value.clone() };
    wire::Findings {
        id,
        findings: findings.findings.iter().map(finding).collect(),
        degraded: findings.degraded.clone(),
        dropped: findings.dropped.clone(),
        refused: findings.refused.map(|cause| cause.code().to_owned()),
    }
}

/// Reads findings.
pub fn read_findings(findings: wire::Findings) -> Result<Findings, FrameError> {
    let finding = |one: wire::Finding| adapter_api::Finding { what: one.what, value: one.value };
    Ok(Findings {
        findings: findings.findings.into_iter().map(finding).collect(),
        degraded: findings.degraded,
        dropped: findings.dropped,
        refused: findings.refused.map(|code| outcome::read_cause(&code)).transpose()?,
        checks: Vec::new(),
    })
}
