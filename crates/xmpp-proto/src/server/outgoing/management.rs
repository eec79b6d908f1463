//! Asking for management and for the resumption of a session (XEP-0198 §3, §5).

use std::time::{Duration, Instant};

use strict_xml::{Element, SharedStr};

use super::{OutgoingStream, State};
use crate::management::{Management, Nonza};
use crate::server::link::Managed;
use crate::server::{Flow, Output, Session};
use crate::stream::StreamCondition;

impl OutgoingStream {
    pub(super) fn manage(&mut self, now: Instant) {
        if self.link.bidi {
            self.link.prove(Flow::Receiving, self.pair.inverse(), self.proof(&self.pair.to));
        }
        if let Some(session) = self.session.take_if(|session| !self.link.may_go_on(session)) {
            self.forget_session(session);
        }
        let wanted = self.link.config.management.filter(|_| self.features.management);
        let nonza = match (&mut self.session, wanted) {
            (Some(session), Some(_)) => {
                Some(Nonza::Resume { previd: session.id.clone(), h: session.management.handle_resuming() })
            }
            (None, Some(config)) => Some(Nonza::Enable { resume: config.resume_for.is_some(), max: config.resume_for }),
            (Some(_) | None, None) => None,
        };
        match nonza {
            Some(nonza) => {
                self.state = State::Management;
                self.link.send_nonza(&nonza, now);
            }
            None => self.ready(now),
        }
    }

    pub(super) fn forget_session(&mut self, session: Session) {
        self.link.events.extend(session.unacked().map(Output::Lost));
    }

    pub(super) fn handle_nonza(&mut self, element: &Element, now: Instant) {
        let Ok(nonza) = Nonza::read(element) else {
            return self.link.wire.refuse(StreamCondition::BadFormat.into(), now);
        };
        let Some(nonza) = self.link.handle_nonza(nonza, now) else { return };
        match (nonza, self.session.take()) {
            (Nonza::Enabled { id, max }, None) if self.state == State::Management => self.enabled(id, max, now),
            (Nonza::Resumed { previd, h }, Some(session))
                if self.state == State::Management && previd.as_str() == session.id() =>
            {
                self.link.opened();
                self.link.adopt(session, h, now);
                self.ready(now);
            }
            (Nonza::Failed { h, .. }, Some(session)) if self.state == State::Management => {
                self.session_refused(session, h, now);
            }
            // XEP-0198 §6: without management, then.
            (Nonza::Failed { .. }, None) if self.state == State::Management => self.ready(now),
            // What nobody asked for, or asked of us: the receiver manages.
            (_, session) => {
                self.session = session;
                self.link.wire.refuse(StreamCondition::UnsupportedStanzaType.into(), now);
            }
        }
    }

    fn enabled(&mut self, id: Option<SharedStr>, max: Option<Duration>, now: Instant) {
        let Some(config) = self.link.config.management else { return self.ready(now) };
        let ours = config.resume_for;
        let id = id.filter(|_| ours.is_some());
        let resume_for = ours.unwrap_or_default().min(max.unwrap_or(Duration::MAX));
        self.link.events.push_back(Output::Managed { is_resumable: id.is_some() });
        self.link.managed = Some(Managed { management: Management::new(config), id, resume_for });
        self.ready(now);
    }

    /// XEP-0198 §5: the peer may tell how far it came with a session that it has given up.
    fn session_refused(&mut self, mut session: Session, h: Option<u32>, now: Instant) {
        if let Some(tokens) = h.and_then(|h| session.management.handle_ack(h, now).ok()) {
            self.link.events.extend(tokens.map(Output::Acked));
        }
        self.forget_session(session);
        let Some(config) = self.link.config.management else { return self.ready(now) };
        let enable = Nonza::Enable { resume: config.resume_for.is_some(), max: config.resume_for };
        self.link.send_nonza(&enable, now);
    }
}
