//! What an XMPP component carries, as data.

use std::collections::BTreeMap;

use adapter_api::{
    Acknowledgement, Capabilities, Carries, FieldSupport, PresenceCapabilities, Repetition, SendsAs, TellsFailure,
};
use impp_model::{Domain, Kind};

use crate::config::Acknowledge;
use crate::mapping::annotation;

/// How each field of a message fares towards XMPP; the README's table is the same.
pub const FIELDS: &[FieldSupport] = &[
    FieldSupport::new("source.device", Carries::Carried, "resource of `from`"),
    FieldSupport::new("destination.device", Carries::Carried, "resource of `to`"),
    FieldSupport::new("max_forwards", Carries::Dropped, "XMPP counts no hops"),
    FieldSupport::new("id", Carries::Carried, "stanza id; a derived one replaces an id over 256 octets"),
    FieldSupport::new("thread", Carries::Carried, "`thread`"),
    FieldSupport::new("subjects", Carries::Carried, "`subject` with its language"),
    FieldSupport::new("sent", Carries::Degraded, "`delay`, only when over a minute old"),
    FieldSupport::new(
        "receipts",
        Carries::Carried,
        "`request` (XEP-0184), `markable` (XEP-0333); of servers on the way none",
    ),
    FieldSupport::new("content", Carries::Degraded, "text; characters XML forbids become U+FFFD; line ends become LF"),
    FieldSupport::new("content.language", Carries::Carried, "`xml:lang`"),
    FieldSupport::new("alternatives", Carries::Degraded, "text in other languages; HTML as XHTML-IM; others dropped"),
    FieldSupport::new("correction", Carries::Carried, "`replace` (XEP-0308)"),
    FieldSupport::new("reply", Carries::Carried, "`reply` (XEP-0461)"),
    FieldSupport::new("reaction", Carries::Carried, "`reactions` (XEP-0444)"),
    FieldSupport::new("retraction", Carries::Carried, "`retract` (XEP-0424)"),
    FieldSupport::new("hints", Carries::Carried, "XEP-0334"),
    FieldSupport::new("files", Carries::Carried, "`jabber:x:oob` (XEP-0066) beside the body"),
    FieldSupport::new(
        "sealed",
        Carries::Carried,
        "OMEMO, OpenPGP, OTR between XMPP networks; RFC 3923 with all that carry S/MIME",
    ),
    FieldSupport::new(
        "disposition",
        Carries::Carried,
        "`received`, `displayed`, an error stanza; of servers on the way nothing",
    ),
    FieldSupport::new("composing", Carries::Carried, "chat states (XEP-0085)"),
];

impl From<Acknowledge> for Acknowledgement {
    fn from(acknowledge: Acknowledge) -> Self {
        match acknowledge {
            Acknowledge::Barrier => Self::Barrier,
            Acknowledge::None => Self::None,
        }
    }
}

pub(crate) fn capabilities(domain: &Domain, acknowledge: Acknowledge, max_stanza: usize) -> Capabilities {
    Capabilities {
        protocol: "xmpp".into(),
        srv_label: Some("_xmpp".into()),
        standing_link: true,
        proves_peers: false,
        kinds: vec![Kind::Message, Kind::Disposition, Kind::Composing, Kind::Subscribe, Kind::Notify, Kind::Authorize],
        transports: Vec::new(),
        sends_as: SendsAs::Domains(vec![domain.clone()]),
        acknowledgement: acknowledge.into(),
        acknowledgement_of: BTreeMap::new(),
        answers_each: false,
        tells_failure: TellsFailure::Always,
        seals: annotation::SEALS.iter().map(|scheme| (*scheme).into()).collect(),
        repetition: Repetition::Unrepeatable,
        max_content: Some(max_stanza),
        presence: Some(PresenceCapabilities { refreshed: false, publishes: false, devices: true, checked: true }),
        fields: FIELDS.to_vec(),
    }
}
