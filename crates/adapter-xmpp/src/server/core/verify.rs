//! Keys that other servers' streams brought, taken to the servers that know them (XEP-0220 §2.1.2).

use std::collections::BTreeMap;
use std::time::Instant;

use adapter_api::Target;
use xmpp_proto::dialback::DialbackCondition;
use xmpp_proto::jid;
use xmpp_proto::server::{Pair, Purpose, Verdict, Verification};

use super::super::connection::ConnectionId;
use super::Core;
use super::streams::{Call, Machine};

/// What is being verified.
#[derive(Default)]
pub(super) struct Verifying {
    /// Which connection has the stream of this id.
    streams: BTreeMap<String, ConnectionId>,
    /// Keys whose servers are being looked up.
    locating: BTreeMap<jid::Domain, Vec<Verification>>,
}

/// Domains that are looked up at once: each may cost a connection, and whoever asks is not proven.
const MAX_LOCATING: usize = 256;

impl Core {
    /// Asks the authoritative server of the key's domain, over a stream to it.
    pub(super) fn verify(&mut self, id: ConnectionId, question: Verification, now: Instant) {
        self.verifying.streams.insert(question.id.to_string(), id);
        let domain = question.pair.from.clone();
        let asked = self.streams.iter_mut().find_map(|(id, stream)| match &mut stream.machine {
            Machine::Out(machine) if machine.pair().to == domain && !machine.is_closed() => Some((*id, machine)),
            Machine::Out(_) | Machine::In(_) | Machine::Calling(_) | Machine::Called => None,
        });
        if let Some((id, machine)) = asked {
            machine.verify(question, now);
            self.touched_streams.insert(id);
            return;
        }
        let is_full = self.verifying.locating.len() >= MAX_LOCATING;
        match self.verifying.locating.get_mut(&domain) {
            Some(questions) => questions.push(question),
            None if is_full => {
                self.verified(&question, Verdict::Failed(DialbackCondition::ResourceConstraint), now);
            }
            None => {
                self.verifying.locating.insert(domain.clone(), vec![question]);
                self.locate(domain);
            }
        }
    }

    pub(super) fn verification_located(&mut self, domain: &jid::Domain, found: Option<&Vec<Target>>, now: Instant) {
        let Some(questions) = self.verifying.locating.remove(domain) else { return };
        let Some(first) = questions.first() else { return };
        match found {
            Some(targets) => {
                let pair = Pair { from: first.pair.to.clone(), to: domain.clone() };
                let targets = targets.iter().cloned().collect();
                let call = Call { pair, purpose: Purpose::Verification, session: None, questions, targets };
                self.call(call, now);
            }
            None => {
                for question in questions {
                    self.verified(&question, Verdict::Failed(DialbackCondition::RemoteServerNotFound), now);
                }
            }
        }
    }

    /// No authoritative server can be asked.
    pub(super) fn unverifiable(&mut self, questions: Vec<Verification>, now: Instant) {
        for question in questions {
            self.verified(&question, Verdict::Failed(DialbackCondition::RemoteConnectionFailed), now);
        }
    }

    /// Takes a verdict to the stream that waits for it.
    pub(super) fn verified(&mut self, question: &Verification, verdict: Verdict, now: Instant) {
        if verdict != Verdict::Valid {
            tracing::info!(pair = %question.pair, ?verdict, reason = "dialback-failed", "domain not proven");
        }
        let Some(id) = self.verifying.streams.get(question.id.as_str()) else { return };
        if let Some(Machine::In(machine)) = self.streams.get_mut(id).map(|stream| &mut stream.machine) {
            machine.handle_verdict(&question.pair, verdict, now);
            self.touched_streams.insert(*id);
        }
    }

    /// The stream has ended: what was asked for it is of no use, and what it was to ask has failed.
    pub(super) fn forget_verifications(&mut self, id: ConnectionId, now: Instant) {
        self.verifying.streams.retain(|_, stream| *stream != id);
        let call = self.streams.get_mut(&id).and_then(|stream| match &mut stream.machine {
            Machine::Calling(call) => Some(std::mem::take(&mut call.questions)),
            Machine::In(_) | Machine::Out(_) | Machine::Called => None,
        });
        self.unverifiable(call.unwrap_or_default(), now);
    }
}
