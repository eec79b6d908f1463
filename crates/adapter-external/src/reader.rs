//! What an adapter sends, one frame after the other.

use crate::adapter::{Answers, Shared};
use crate::connection::broken;
use crate::flow::Pace;
use crate::kept::{MAX_KEY, MAX_RECORD};
use crate::mapping::{self, read_disposition, read_findings, read_operation, read_outcome};
use crate::session::{MAX_SUBMISSIONS, Session};
use crate::wire::{self, FromAdapter, from_adapter, from_gateway::Frame};
use crate::{MISSED_BEATS, Reason};
use adapter_api::model::{Cause, Failure, Side};
use adapter_api::{Hub, PeerState, Provenance, Settle, SpeaksFor, StateDone};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Streaming;

/// The longest name of a peer: a domain, or a host with its port.
const MAX_PEER: usize = 270;

/// Takes the frames of one connection.
pub(crate) struct Reader<'r> {
    pub(crate) shared: &'r Shared,
    pub(crate) hub: &'r Hub,
    pub(crate) provenance: Arc<Provenance>,
    pub(crate) epoch: u64,
    pub(crate) connection: u64,
    pub(crate) pace: Pace,
}

impl Reader<'_> {
    /// Reads until the connection ends; gives why.
    pub(crate) async fn read(&mut self, inbound: &mut Streaming<FromAdapter>) -> Reason {
        let patience = self.shared.config.heartbeat * MISSED_BEATS;
        let answers: Arc<Answers> = Arc::new(Answers { shared: self.shared.me.clone(), epoch: self.epoch });
        loop {
            let frame = match tokio::time::timeout(patience, inbound.message()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return Reason::Broken,
                Ok(Err(status)) => return broken(&status),
                Err(_) => return Reason::Silent(patience),
            };
            if let Some(wait) = self.wait_of(&frame) {
                // Credits are given for what was taken, so its sender waits as well.
                tokio::time::sleep(wait).await;
            }
            if let Err(reason) = self.handle(frame, &answers) {
                return reason;
            }
        }
    }

    /// How long a frame has to wait that tells of peers or listeners and carries nothing.
    fn wait_of(&mut self, frame: &FromAdapter) -> Option<Duration> {
        use from_adapter::Frame as In;
        let tells = matches!(&frame.frame, Some(In::Peer(_) | In::Listening(_) | In::Proven(_)));
        tells.then(|| self.pace.wait(Instant::now())).filter(|wait| !wait.is_zero())
    }

    fn handle(&mut self, FromAdapter { number, frame }: FromAdapter, answers: &Arc<Answers>) -> Result<(), Reason> {
        use from_adapter::Frame as In;
        let frame = frame.ok_or_else(|| Reason::Malformed("a frame of an unknown kind".to_owned()))?;
        let numbered = match &frame {
            In::Submit(_)
            | In::Settled(_)
            | In::Keep(_)
            | In::Peer(_)
            | In::Loss(_)
            | In::Listening(_)
            | In::Commit(_)
            | In::Owe(_)
            | In::Proven(_) => true,
            In::Hello(_) | In::Findings(_) | In::Received(_) | In::Beat(_) | In::Goodbye(_) => false,
        };
        if numbered != (number != 0) {
            return Err(Reason::Malformed("a number where none belongs, or none where one does".to_owned()));
        }
        let signals = match &frame {
            In::Findings(_) | In::Beat(_) => true,
            In::Received(received) => {
                self.with_session(|session| Ok(!session.outbox.moves(received.number, received.allowed)))?
            }
            In::Submit(_) | In::Settled(_) | In::Keep(_) | In::Loss(_) | In::Commit(_) | In::Owe(_) => false,
            In::Peer(_) | In::Listening(_) | In::Proven(_) | In::Hello(_) | In::Goodbye(_) => false,
        };
        if signals && !self.pace.signal(Instant::now()) {
            return Err(Reason::Flood);
        }
        if numbered && !self.take(number)? {
            return Ok(());
        }
        match frame {
            In::Settled(settled) => return self.settled(settled),
            In::Submit(submit) => self.submit(number, submit, answers),
            In::Keep(keep) => self.keep(number, keep)?,
            In::Commit(_) => self.hub.commit(),
            In::Owe(owe) => return self.owe(number, owe),
            In::Proven(wire::Proven { name, proof, protection }) if is_peer(&name) => {
                if [&proof, &protection].iter().any(|text| text.is_empty() || text.len() > MAX_PROOF) {
                    return Err(mapping::value("proven").into());
                }
                self.hub.peer_proven(&name, &proof, &protection);
            }
            In::Proven(_) => return Err(mapping::value("proven.name").into()),
            In::Peer(peer) if is_peer(&peer.name) => {
                self.hub.peer_changed(&peer.name, if peer.up { PeerState::Up } else { PeerState::Down });
            }
            In::Peer(_) => return Err(mapping::value("peer.name").into()),
            In::Loss(loss) => {
                let how = mapping::read_loss(loss.how)?;
                // The name becomes a metric's label: only declared ones do.
                if self.shared.capabilities.fields.iter().any(|field| field.field == loss.field) {
                    self.hub.translation_loss(&loss.field, how);
                }
            }
            In::Listening(told) => {
                let address = told.address.parse().map_err(|_| mapping::value("listening.address"))?;
                if !["tcp", "udp", "http"].contains(&told.transport.as_str()) {
                    return Err(mapping::value("listening.transport").into());
                }
                self.hub.listening(&told.transport, address);
            }
            In::Findings(findings) => {
                let waiting = self.shared.state.lock().examines.remove(&findings.id);
                let findings = read_findings(findings)?;
                // Who asked may have gone meanwhile.
                let _ = waiting.map(|waiting| waiting.send(findings));
            }
            In::Received(received) => {
                self.with_session(|session| session.outbox.received(received.number, received.allowed))?
            }
            In::Beat(_) => {}
            In::Goodbye(goodbye) => return Err(Reason::Left(goodbye.reason.chars().take(80).collect())),
            In::Hello(_) => return Err(Reason::Malformed("a second hello".to_owned())),
        }
        self.shared.wake.notify_one();
        Ok(())
    }

    fn with_session<T>(&self, act: impl FnOnce(&mut Session) -> Result<T, Reason>) -> Result<T, Reason> {
        act(self.shared.state.lock().session_of(self.connection)?)
    }

    fn take(&self, number: u64) -> Result<bool, Reason> {
        let (new, tell) = self.with_session(|session| {
            let new = session.inbox.take(number)?;
            Ok((new, session.inbox.wants_to_tell()))
        })?;
        if tell {
            self.shared.wake.notify_one();
        }
        Ok(new)
    }

    fn settled(&self, wire::Settled { of, outcome }: wire::Settled) -> Result<(), Reason> {
        let outcome = read_outcome(outcome)?;
        let waiting = self.with_session(|session| session.settled(of))?;
        if let Some(settle) = waiting {
            settle.settle(outcome);
        }
        Ok(())
    }

    fn submit(&self, number: u64, submit: wire::Submit, answers: &Arc<Answers>) {
        let settle = Settle::new(Arc::clone(answers) as _, number);
        let room = self.with_session(|session| {
            session.submissions += 1;
            Ok(session.submissions <= MAX_SUBMISSIONS)
        });
        if room != Ok(true) {
            return settle.settle(Failure::new(Side::Ours, Cause::Overload));
        }
        let peer = submit.peer;
        match read_operation(submit.operation) {
            Err(error) => settle.settle(Failure::new(Side::Near, Cause::BadRequest).with_text(error.to_string())),
            Ok(operation) => {
                let provenance = if is_peer(&peer) && !peer.is_empty() {
                    Arc::new(Provenance { peer: peer.into(), ..Provenance::clone(&self.provenance) })
                } else {
                    Arc::clone(&self.provenance)
                };
                self.hub.submit(operation, provenance, settle);
            }
        }
    }

    fn keep(&self, number: u64, wire::Keep { key, value }: wire::Keep) -> Result<(), Reason> {
        if key.len() > MAX_KEY || value.as_ref().is_some_and(|value| value.len() > MAX_RECORD) {
            return Err(mapping::value("keep").into());
        }
        let size = value.as_ref().map(|value| value.len());
        if let Err(reason) = self.with_session(|session| Ok(session.kept.take(&key, size)))? {
            tracing::warn!(adapter = %self.shared.instance, reason, "a record is not kept");
            return self.with_session(|session| {
                session.outbox.push(Frame::Kept(wire::Kept { of: number, durable: false, refused: reason.to_owned() }));
                Ok(())
            });
        }
        self.hub.keep(&key, value.map(Into::into), self.kept(number));
        Ok(())
    }

    /// Takes over word of a failure, for a sender in the domains of the hello.
    fn owe(&self, number: u64, owe: wire::Owe) -> Result<(), Reason> {
        let word = read_disposition(owe.word.ok_or_else(|| mapping::missing("owe.word"))?)?;
        let to = word.destination.address.domain();
        let is_ours = matches!(&self.provenance.speaks_for, SpeaksFor::Domains(domains) if domains.contains(to));
        if !is_ours || word.disposition.failure().is_none() {
            return Err(mapping::value("owe.word").into());
        }
        self.hub.owe(word, owe.repeat, self.kept(number));
        Ok(())
    }

    /// Answers the frame `of` when what it asked for is on disk, or is not to be.
    fn kept(&self, of: u64) -> StateDone {
        let (me, epoch) = (self.shared.me.clone(), self.epoch);
        Box::new(move |durable| {
            let Some(shared) = me.upgrade() else { return };
            let mut state = shared.state.lock();
            if let Some(session) = state.session.as_mut().filter(|session| session.epoch == epoch) {
                session.outbox.push(Frame::Kept(wire::Kept { of, durable, refused: String::new() }));
                drop(state);
                shared.wake.notify_one();
            }
        })
    }
}

/// Whether a text can name a peer, and no user.
fn is_peer(name: &str) -> bool {
    !name.contains('@') && name.len() <= MAX_PEER
}

/// Octets of the name of a proof or of a protection.
const MAX_PROOF: usize = 40;
