//! Consenting to management and to the resumption of a session (XEP-0198 §3, §5).

use std::time::{Duration, Instant};

use strict_xml::{Element, SharedStr};

use super::IncomingStream;
use crate::management::{Management, Nonza};
use crate::server::link::Managed;
use crate::server::{Output, Session};
use crate::stanza::Condition;
use crate::stream::StreamCondition;

impl IncomingStream {
    /// Answers `Resume` with the session of that id, or none. A session that is not this peer's is given back.
    pub fn handle_session(&mut self, session: Option<Session>, now: Instant) -> Result<(), Box<Session>> {
        let Some((id, h)) = self.resuming.take() else { return session.map_or(Ok(()), |session| Err(session.into())) };
        let (ours, foreign) = match session {
            Some(session) if self.may_resume(&session, &id, now) => (Some(session), None),
            other => (None, other),
        };
        match ours {
            Some(mut session) => {
                let ours = session.management.handle_resuming();
                self.link.send_nonza(&Nonza::Resumed { previd: id, h: ours }, now);
                self.link.adopt(session, h, now);
            }
            None => self.failed(Condition::ItemNotFound, now),
        }
        self.run(now);
        foreign.map_or(Ok(()), |session| Err(session.into()))
    }

    pub(super) fn handle_nonza(&mut self, element: &Element, now: Instant) {
        let Ok(nonza) = Nonza::read(element) else {
            return self.link.wire.refuse(StreamCondition::BadFormat.into(), now);
        };
        match self.link.handle_nonza(nonza, now) {
            Some(Nonza::Enable { resume, max }) => self.handle_enable(resume, max, now),
            Some(Nonza::Resume { previd, h }) => self.handle_resume(previd, h, now),
            // The receiver's own words, or counts of what is not counted.
            Some(_) => self.link.wire.refuse(StreamCondition::UnsupportedStanzaType.into(), now),
            None => {}
        }
    }

    fn handle_enable(&mut self, resume: bool, max: Option<Duration>, now: Instant) {
        if self.link.managed.is_some() {
            // XEP-0198 §3: once.
            return self.link.wire.refuse(StreamCondition::PolicyViolation.into(), now);
        }
        let Some(config) = self.link.config.management else {
            return self.failed(Condition::FeatureNotImplemented, now);
        };
        if self.pair.is_none() {
            // XEP-0198 §3: not before authentication.
            return self.failed(Condition::UnexpectedRequest, now);
        }
        let ours = config.resume_for.filter(|_| resume);
        let resume_for = ours.unwrap_or_default().min(max.unwrap_or(Duration::MAX));
        let id = ours.map(|_| self.next_name());
        let max = ours.map(|_| resume_for);
        self.link.send_nonza(&Nonza::Enabled { id: id.clone(), max }, now);
        self.link.events.push_back(Output::Managed { is_resumable: id.is_some() });
        self.link.managed = Some(Managed { management: Management::new(config), id, resume_for });
    }

    fn handle_resume(&mut self, id: SharedStr, h: u32, now: Instant) {
        if self.pair.is_none() || self.link.managed.is_some() {
            return self.failed(Condition::UnexpectedRequest, now);
        }
        if self.link.config.management.is_none_or(|config| config.resume_for.is_none()) {
            return self.failed(Condition::FeatureNotImplemented, now);
        }
        self.link.events.push_back(Output::Resume { id: id.clone() });
        self.resuming = Some((id, h));
    }

    /// A session is known by its name, and belongs to whoever proves the pair that it was begun for.
    fn may_resume(&self, session: &Session, id: &str, now: Instant) -> bool {
        !session.is_initiator
            && session.id() == id
            && self.pair.as_ref() == Some(session.pair())
            && now < session.deadline()
            && self.link.may_go_on(session)
    }

    fn failed(&mut self, condition: Condition, now: Instant) {
        self.link.send_nonza(&Nonza::Failed { h: None, condition }, now);
    }
}
