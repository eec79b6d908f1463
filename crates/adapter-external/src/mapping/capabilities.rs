//! Capabilities.

use super::{FrameError, value};
use crate::wire;
use adapter_api::model::Kind;
use adapter_api::{
    Acknowledgement, Capabilities, Carries, FieldSupport, PresenceCapabilities, Repetition, SendsAs, TellsFailure,
};
use std::collections::BTreeMap;

const KINDS: [(Kind, wire::Kind); 7] = [
    (Kind::Message, wire::Kind::Message),
    (Kind::Disposition, wire::Kind::Disposition),
    (Kind::Composing, wire::Kind::Composing),
    (Kind::Subscribe, wire::Kind::Subscribe),
    (Kind::Notify, wire::Kind::Notify),
    (Kind::Authorize, wire::Kind::Authorize),
    (Kind::Publish, wire::Kind::Publish),
];

/// Writes capabilities; a barrier is an answer to who is on the other side of this stream.
pub fn write_capabilities(capabilities: &Capabilities) -> wire::Capabilities {
    let kind = |kind: &Kind| KINDS.iter().find(|(known, _)| known == kind).map(|(_, wire)| i32::from(*wire));
    let field = |field: &FieldSupport| wire::Field {
        field: field.field.to_string(),
        support: write_carries(field.support).into(),
        note: field.note.to_string(),
    };
    wire::Capabilities {
        protocol: capabilities.protocol.to_string(),
        srv_label: capabilities.srv_label.as_ref().map(ToString::to_string),
        kinds: capabilities.kinds.iter().filter_map(kind).collect(),
        acknowledgement: match capabilities.acknowledgement {
            Acknowledgement::Answer | Acknowledgement::Barrier => wire::Acknowledgement::Answer,
            Acknowledgement::Device => wire::Acknowledgement::Device,
            Acknowledgement::None => wire::Acknowledgement::None,
        }
        .into(),
        answers_each: capabilities.answers_each,
        tells_failure: match capabilities.tells_failure {
            TellsFailure::Always => wire::TellsFailure::Always,
            TellsFailure::WhenAsked => wire::TellsFailure::WhenAsked,
            TellsFailure::Never => wire::TellsFailure::Never,
        }
        .into(),
        seals: capabilities.seals.iter().map(ToString::to_string).collect(),
        max_content: capabilities.max_content.and_then(|octets| octets.try_into().ok()),
        presence: capabilities.presence.map(|presence| wire::PresenceCapabilities {
            refreshed: presence.refreshed,
            publishes: presence.publishes,
            devices: presence.devices,
            checked: presence.checked,
        }),
        fields: capabilities.fields.iter().map(field).collect(),
    }
}

/// Reads capabilities. The stream is the standing link; who is behind it repeats what was not acknowledged.
pub fn read_capabilities(capabilities: wire::Capabilities) -> Result<Capabilities, FrameError> {
    let kind = |kind: i32| {
        let known = KINDS.iter().find(|(_, wire)| i32::from(*wire) == kind);
        known.map(|(kind, _)| *kind).ok_or_else(|| value("kinds"))
    };
    let field = |field: wire::Field| {
        let support = read_carries(field.support)?;
        Ok(FieldSupport { field: field.field.into(), support, note: field.note.into() })
    };
    Ok(Capabilities {
        protocol: capabilities.protocol.into(),
        srv_label: capabilities.srv_label.map(Into::into),
        standing_link: true,
        proves_peers: false,
        transports: Vec::new(),
        kinds: capabilities.kinds.into_iter().map(kind).collect::<Result<_, _>>()?,
        sends_as: SendsAs::Anyone,
        acknowledgement: match wire::Acknowledgement::try_from(capabilities.acknowledgement) {
            Ok(wire::Acknowledgement::Answer) => Acknowledgement::Answer,
            Ok(wire::Acknowledgement::Device) => Acknowledgement::Device,
            Ok(wire::Acknowledgement::None) => Acknowledgement::None,
            Ok(wire::Acknowledgement::Unspecified) | Err(_) => return Err(value("acknowledgement")),
        },
        acknowledgement_of: BTreeMap::new(),
        answers_each: capabilities.answers_each,
        repetition: Repetition::Repeatable,
        tells_failure: match wire::TellsFailure::try_from(capabilities.tells_failure) {
            Ok(wire::TellsFailure::Always) => TellsFailure::Always,
            Ok(wire::TellsFailure::WhenAsked) => TellsFailure::WhenAsked,
            Ok(wire::TellsFailure::Never) => TellsFailure::Never,
            Ok(wire::TellsFailure::Unspecified) | Err(_) => return Err(value("tells_failure")),
        },
        seals: capabilities.seals.into_iter().map(Into::into).collect(),
        max_content: capabilities.max_content.and_then(|octets| octets.try_into().ok()),
        presence: capabilities.presence.map(|presence| PresenceCapabilities {
            refreshed: presence.refreshed,
            publishes: presence.publishes,
            devices: presence.devices,
            checked: presence.checked,
        }),
        fields: capabilities.fields.into_iter().map(field).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn write_carries(carries: Carries) -> wire::Carries {
    match carries {
        Carries::Carried => wire::Carries::Carried,
        Carries::Degraded => wire::Carries::Degraded,
        Carries::Dropped => wire::Carries::Dropped,
    }
}

pub(crate) fn read_carries(carries: i32) -> Result<Carries, FrameError> {
    match wire::Carries::try_from(carries) {
        Ok(wire::Carries::Carried) => Ok(Carries::Carried),
        Ok(wire::Carries::Degraded) => Ok(Carries::Degraded),
        Ok(wire::Carries::Dropped) => Ok(Carries::Dropped),
        Ok(wire::Carries::Unspecified) | Err(_) => Err(value("support")),
    }
}
