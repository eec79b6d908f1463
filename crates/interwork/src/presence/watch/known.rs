//! The state of a presentity as a watch holds it: in few octets, for there are many.

use impp_model::PresenceInfo;
use std::sync::Arc;

/// PRESENCE INFORMATION, encoded; the same state has the same octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known(Arc<[u8]>);

impl Known {
    /// What it is.
    pub(crate) fn info(&self) -> Arc<PresenceInfo> {
        // It was encoded here.
        Arc::new(rmp_serde::from_slice(&self.0).unwrap_or_default())
    }
}

impl From<&PresenceInfo> for Known {
    fn from(info: &PresenceInfo) -> Self {
        // The types have no map with other keys than text, the only thing that can fail.
        Self(rmp_serde::to_vec(info).unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use impp_model::{Basic, Device, LangText, PresenceTuple, Show};

    #[test]
    fn everything_comes_back_and_an_ordinary_state_takes_few_octets() {
        let notes = vec![LangText { language: Some("en".into()), text: "on the balcony".to_owned() }];
        let tuple = PresenceTuple::new(Device::new("desk").ok(), Basic::Open);
        let tuples =
            vec![PresenceTuple { show: Some(Show::Away), priority: Some(-5), notes: notes.clone(), ..tuple.clone() }];
        let small = PresenceInfo { tuples, ..PresenceInfo::default() };
        assert!(Known::from(&small).0.len() < 64);
        let since = "2026-11-22T10:00:00.5Z".parse().ok();
        let tuples = vec![PresenceTuple { contact: Some("sip:a@b".into()), since, ..tuple.clone() }, tuple];
        let whole = PresenceInfo { tuples, notes, pidf: Some(b"<presence/>"[..].into()) };
        for info in [small, whole, PresenceInfo::default()] {
            assert_eq!(*Known::from(&info).info(), info);
        }
    }
}
