//! Keys that other servers' streams brought, taken to the servers that know them (XEP-0220 §2.1.2).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use adapter_api::Target;
use transport::site_of;
use xmpp_proto::dialback::DialbackCondition;
use xmpp_proto::jid;
use xmpp_proto::server::{Pair, Verdict, Verification};

use super::super::connection::ConnectionId;
use super::Core;
use super::streams::{Call, Machine, Stream};

/// What is being verified.
#[derive(Default)]
pub(super) struct Verifying {
    /// Which connection has the stream of this id.
    streams: BTreeMap<String, ConnectionId>,
    /// Keys whose servers are being looked up.
    locating: BTreeMap<jid::Domain, Locating>,
}

/// Keys of one domain.
struct Locating {
    /// From which site the first of them came.
    source: IpAddr,
    questions: Vec<Verification>,
}

/// What a connection was made for that only asks about keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Callback {
    /// The site of who brought the key, unproven.
    source: IpAddr,
    /// From then on nothing more is asked there, and no further server is tried.
    until: Instant,
}

/// Look-ups and connections for keys alone, in all: whoever asks is not proven, so others' keys must find room
/// when several addresses have taken all of theirs.
const MAX_CALLBACKS: usize = 512;

/// Those of one site: two streams' worth of keys ([`MAX_PENDING`](xmpp_proto::server::MAX_PENDING)), as a host of
/// many domains brings them after a restart.
const MAX_OF_SOURCE: usize = 64;

/// Connections for keys to one site, which may be somebody's whom the name system of a liar names.
const MAX_TO_TARGET: usize = 64;

impl Core {
    /// Asks the authoritative server of the key's domain, over a stream to it.
    pub(super) fn verify(&mut self, id: ConnectionId, question: Verification, now: Instant) {
        let Some(source) = self.streams.get(&id).and_then(|stream| stream.address) else { return };
        self.verifying.streams.insert(question.id.to_string(), id);
        let Some(question) = self.ask_along(question, now) else { return };
        let domain = question.pair.from.clone();
        if let Some(locating) = self.verifying.locating.get_mut(&domain) {
            return locating.questions.push(question);
        }
        let source = site_of(source.ip());
        if !self.may_call_back(source) {
            return self.verified(&question, Verdict::Failed(DialbackCondition::ResourceConstraint), now);
        }
        self.verifying.locating.insert(domain.clone(), Locating { source, questions: vec![question] });
        self.locate(domain);
    }

    /// Asks over a stream that is there, or will be; gives the question back where there is none.
    fn ask_along(&mut self, question: Verification, now: Instant) -> Option<Verification> {
        let domain = &question.pair.from;
        let is_fresh = |stream: &Stream| stream.callback.is_none_or(|callback| now < callback.until);
        let found =
            self.streams.iter_mut().filter(|(_, stream)| is_fresh(stream)).find(|(_, stream)| match &stream.machine {
                Machine::Out(machine) => machine.pair().to == *domain && machine.takes_questions(),
                Machine::Calling(call) => call.callback.is_some() && call.pair.to == *domain,
                Machine::In(_) | Machine::Called => false,
            });
        match found.map(|(id, stream)| (*id, &mut stream.machine)) {
            Some((id, Machine::Out(machine))) => {
                machine.verify(question, now);
                self.touched_streams.insert(id);
            }
            Some((_, Machine::Calling(call))) => call.questions.push(question),
            Some((_, Machine::In(_) | Machine::Called)) | None => return Some(question),
        }
        None
    }

    /// Whether one more domain may be asked for keys from there.
    fn may_call_back(&self, source: IpAddr) -> bool {
        let locating = self.verifying.locating.values().map(|locating| locating.source);
        let calling = self.streams.values().filter_map(|stream| stream.callback).map(|callback| callback.source);
        let count = |(all, own), other| (all + 1, own + usize::from(other == source));
        let (all, own) = locating.chain(calling).fold((0, 0), count);
        all < MAX_CALLBACKS && own < MAX_OF_SOURCE
    }

    /// Why a server is not asked about keys, if it is not.
    pub(super) fn callback_fault(
        &self,
        callback: Callback,
        target: SocketAddr,
        now: Instant,
    ) -> Option<DialbackCondition> {
        let site = site_of(target.ip());
        let is_there = |stream: &&Stream| stream.address.is_some_and(|address| site_of(address.ip()) == site);
        let there = self.streams.values().filter(|stream| stream.callback.is_some()).filter(is_there).count();
        if now >= callback.until {
            Some(DialbackCondition::RemoteServerTimeout)
        } else {
            (there >= MAX_TO_TARGET).then_some(DialbackCondition::ResourceConstraint)
        }
    }

    pub(super) fn verification_located(&mut self, domain: &jid::Domain, found: Option<&Vec<Target>>, now: Instant) {
        let Some(Locating { source, questions }) = self.verifying.locating.remove(domain) else { return };
        let Some(first) = questions.first() else { return };
        match found {
            Some(targets) => {
                let pair = Pair { from: first.pair.to.clone(), to: domain.clone() };
                let targets = targets.iter().cloned().collect();
                // As long as the asker's stream waits for the verdict.
                let callback = Some(Callback { source, until: now + self.server.times.dialback });
                self.call(Call { pair, callback, session: None, questions, targets }, now);
            }
            None => self.unverifiable(questions, DialbackCondition::RemoteServerNotFound, now),
        }
    }

    /// No authoritative server can be asked.
    pub(super) fn unverifiable(&mut self, questions: Vec<Verification>, why: DialbackCondition, now: Instant) {
        for question in questions {
            self.verified(&question, Verdict::Failed(why), now);
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
        self.unverifiable(call.unwrap_or_default(), DialbackCondition::RemoteConnectionFailed, now);
    }
}
