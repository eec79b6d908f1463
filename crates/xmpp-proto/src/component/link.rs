//! What both ends of a component stream have in common: stanzas, keepalives, output.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use strict_xml::{Element, Scope};

use super::{LinkConfig, NotOpen, Output};
use crate::ns;
use crate::stanza::{Condition, error_reply};
use crate::stream::{End, Phase, Wire, WireConfig, is_stanza_name};

/// One end of the stream without its part of the negotiation.
#[derive(Debug)]
pub(super) struct Link {
    config: LinkConfig,
    wire: Wire,
    events: VecDeque<Output>,
}

impl Link {
    pub(super) fn new(config: LinkConfig, now: Instant) -> Self {
        let wire = WireConfig {
            content_ns: ns::COMPONENT_ACCEPT,
            declarations: Scope::new(),
            limits: config.limits,
            open_timeout: config.open_timeout,
            close_timeout: config.close_timeout,
        };
        let mut wire = Wire::new(wire, now);
        // XEP-0114 §3: one stream serves all users of a server, so none of them may be able to end it.
        wire.tolerate_excess();
        Self { config, wire, events: VecDeque::new() }
    }

    pub(super) fn send(&mut self, stanza: &Element, now: Instant) -> Result<(), NotOpen> {
        self.open_only()?;
        self.wire.send(stanza, now);
        Ok(())
    }

    pub(super) fn send_encoded(&mut self, stanza: &[u8], now: Instant) -> Result<(), NotOpen> {
        self.open_only()?;
        self.wire.send_raw(stanza, now);
        Ok(())
    }

    fn open_only(&self) -> Result<(), NotOpen> {
        if self.wire.phase() == Phase::Open { Ok(()) } else { Err(NotOpen) }
    }

    pub(super) fn opened(&mut self) {
        self.wire.opened(self.config.limits);
        self.events.push_back(Output::Opened);
    }

    /// Takes a first-level element of an open or closing stream.
    pub(super) fn stanza(&mut self, mut element: Element, now: Instant) {
        match self.wire.check_stanza(&mut element) {
            Ok(()) => self.events.push_back(Output::Stanza(element)),
            Err(condition) => self.wire.refuse(condition.into(), now),
        }
    }

    /// Tells the sender of a stanza that can't be read whole; its start tag is enough for that.
    pub(super) fn excess(&mut self, tag: Option<Element>, now: Instant) {
        let stanza = tag.filter(|tag| tag.ns == *ns::COMPONENT_ACCEPT && is_stanza_name(&tag.name));
        if let Some(reply) = stanza.and_then(|stanza| error_reply(&stanza, &Condition::PolicyViolation.into())) {
            self.wire.send(&reply, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.wire.handle_timeout(now);
        if self.keepalive_at().is_some_and(|at| now >= at) {
            // RFC 6120 §4.6.1: white space between stanzas.
            self.wire.send_raw(b" ", now);
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let sent = self.wire.poll_send().map(Output::Send);
        sent.or_else(|| self.events.pop_front()).or_else(|| {
            self.wire.poll_end().map(|end| match end {
                End::Failed(error) => Output::Failed(error),
                End::Closed => Output::Closed,
            })
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.wire.deadline(), self.keepalive_at()].into_iter().flatten().min()
    }

    fn keepalive_at(&self) -> Option<Instant> {
        let keepalive = self.config.keepalive.filter(|_| self.wire.phase() == Phase::Open)?;
        Some(self.wire.last_sent() + keepalive)
    }
}

impl Deref for Link {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}
