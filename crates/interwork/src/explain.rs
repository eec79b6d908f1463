//! A dry run of an operation: the same steps as for a real one, with nothing sent.

use crate::core::Core;
use crate::peers::PeerProof;
use crate::rates::RateLimits;
use crate::routing::Decision;
use adapter_api::{Acknowledgement, Examine, Findings, Hop, InstanceName, Repetition};
use impp_model::{
    Address, Content, Domain, Endpoint, Failure, InstantMessage, MaxForwards, MessageOperation, Operation, Side,
    SubscribeOperation, TransId, Wish,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is run dry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    /// A message from one to the other.
    Message,
    /// One watches the other.
    Presence,
}

/// What would happen to an operation, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The source.
    pub from: String,
    /// The destination.
    pub to: String,
    /// The kind of operation.
    pub kind: &'static str,
    /// The instance the source's messages come in through, where configuration tells.
    pub near: Option<String>,
    /// Whether peers of that instance send again what a crash of this gateway takes with it (DESIGN A5).
    pub near_link: Option<Repetition>,
    /// What one sender, and all senders of one domain, may hand in a second; none where there is no limit.
    pub rates: RateLimits,
    /// What the policy says, and by which rule.
    pub policy: String,
    /// Each thing considered on the way to the decision.
    pub steps: Vec<String>,
    /// Where it would go.
    pub decision: Option<Decision>,
    /// Who confirms what is sent to this peer.
    pub acknowledge: Option<Acknowledgement>,
    /// What that adapter says of it: mapped addresses, transport, acknowledgement, size path.
    pub findings: Findings,
    /// `delivered-if-confirmed`, `handed-over` where nobody confirms, `watched-if-authorized`, or the reason code of the refusal.
    pub verdict: &'static str,
}

/// What a live probe of a domain found.
#[derive(Debug, Clone, Serialize)]
pub struct Probed {
    /// Where the domain lies, and why there.
    pub decision: Decision,
    /// What its adapter says of the peer there.
    pub findings: Findings,
}

impl Core {
    /// Runs an operation from `from` to `to` dry.
    pub async fn explain(&self, from: Address, to: Address, sample: Sample) -> Explanation {
        let near = self.near_of(&from);
        let operation = sample.operation(&from, &to);
        let book = self.rulebook();
        let (judged, policy) = book.policy.judge(&book.configuration, from.domain(), to.domain(), operation.kind());
        let mut explanation = Explanation {
            from: from.to_string(),
            to: to.to_string(),
            kind: sample.label(),
            near: near.as_ref().map(ToString::to_string),
            near_link: near.as_ref().and_then(|near| self.repetition(near)),
            rates: book.rates,
            policy,
            steps: Vec::new(),
            decision: None,
            acknowledge: None,
            findings: Findings::default(),
            verdict: sample.verdict(),
        };
        if let Err(cause) = judged {
            explanation.verdict = cause.code();
            return explanation;
        }
        let near = near.unwrap_or_else(|| "".into());
        let to = to.domain().clone();
        let decision = self.locate(&(near, from.domain().clone(), to.clone())).await;
        explanation.steps.clone_from(&decision.steps);
        match &decision.result {
            Ok(choice) => match self.way_on(&operation, choice) {
                Ok(hop) => {
                    explanation.findings = self.dry_run(operation, choice.index, hop, &mut explanation.steps).await;
                    if let Some(cause) = explanation.findings.refused {
                        explanation.verdict = cause.code();
                    }
                }
                Err(failure) => {
                    explanation.steps.push(failure.to_string());
                    explanation.verdict = failure.cause.code();
                }
            },
            Err(failure) => explanation.verdict = failure.cause.code(),
        }
        explanation.acknowledge = self.acknowledgement(&decision, &to);
        if explanation.acknowledge == Some(Acknowledgement::None) && explanation.verdict == Sample::Message.verdict() {
            explanation.verdict = HANDED_OVER;
        }
        explanation.decision = Some(decision);
        explanation
    }

    /// Finds the way from one domain to another, and has its adapter look at the peer there.
    ///
    /// The way is that of a message; a probe sends none.
    pub async fn probe(&self, from: &Domain, to: &Domain) -> Probed {
        let near = self.rules.load().configuration.domain(from).and_then(|entry| entry.adapter.clone());
        let near = near.unwrap_or_else(|| "".into());
        let decision = self.locate(&(near, from.clone(), to.clone())).await;
        let findings = match &decision.result {
            Ok(choice) => match self.adapters.get(choice.index) {
                Some(adapter) => {
                    let book = self.rulebook();
                    let (domain, source) = (book.wire_name(to).clone(), book.wire_name(from).clone());
                    adapter.examine(Examine::Probe { domain, source, hop: choice.hop.clone() }).await
                }
                None => Findings::default(),
            },
            Err(_) => Findings::default(),
        };
        Probed { decision, findings }
    }

    async fn dry_run(&self, operation: Operation, index: usize, hop: Arc<Hop>, steps: &mut Vec<String>) -> Findings {
        let Some(adapter) = self.adapters.get(index) else { return Findings::default() };
        let asked = operation.destination().address.domain().clone();
        let operation = self.named_for_its_network(Arc::new(operation));
        let own = operation.destination().address.domain();
        if *own != asked {
            steps.push(format!("{asked} is {own} in its own network"));
        }
        adapter.examine(Examine::DryRun { operation: Box::new((*operation).clone()), hop }).await
    }

    /// Who confirms what a decision sends to `to`.
    pub fn acknowledgement(&self, decision: &Decision, to: &Domain) -> Option<Acknowledgement> {
        let choice = decision.result.as_ref().ok()?;
        let found = self.candidates.iter().find(|candidate| candidate.name == choice.adapter)?;
        Some(found.capabilities.acknowledgement_of(self.rules.load().wire_name(to)))
    }

    /// How the peer that a decision sends to `to` by has proven itself last.
    pub fn proof_of(&self, decision: &Decision, to: &Domain) -> Option<PeerProof> {
        let choice = decision.result.as_ref().ok()?;
        self.proofs.of(&choice.adapter, self.rules.load().wire_name(to).as_str())
    }

    /// Whether peers of an instance send again what was not confirmed.
    pub fn repetition(&self, near: &InstanceName) -> Option<Repetition> {
        self.candidates.iter().find(|candidate| candidate.name == *near).map(|found| found.capabilities.repetition)
    }

    /// The instance that messages of `from` come in through: its domain's, else one whose link takes every domain.
    pub(crate) fn near_of(&self, from: &Address) -> Option<adapter_api::InstanceName> {
        let book = self.rules.load();
        let listed = book.configuration.domain(from.domain()).and_then(|entry| entry.adapter.clone());
        listed.or_else(|| {
            let linked =
                self.candidates.iter().find(|c| c.capabilities.standing_link && c.capabilities.srv_label.is_some());
            linked.map(|candidate| candidate.name.clone())
        })
    }
}

/// What becomes of a message to a peer whom an operator has exempted from confirming.
const HANDED_OVER: &str = "handed-over";

impl Sample {
    /// As the API and metrics call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
        }
    }

    fn verdict(self) -> &'static str {
        match self {
            Self::Message => "delivered-if-confirmed",
            Self::Presence => "watched-if-authorized",
        }
    }

    /// The shortest text there is, or a subscription for an hour.
    fn operation(self, from: &Address, to: &Address) -> Operation {
        let (source, destination) = (Endpoint::bare(from.clone()), Endpoint::bare(to.clone()));
        let trans_id = TransId::from("explain");
        match self {
            Self::Message => Operation::Message(Box::new(MessageOperation {
                source,
                destination,
                max_forwards: MaxForwards::INITIAL,
                trans_id,
                message: InstantMessage::new(Content::text("?")),
            })),
            Self::Presence => Operation::Subscribe(Box::new(SubscribeOperation {
                watcher: source,
                target: destination,
                wish: Wish::Watch(crate::presence::FAR_DURATION),
                subscript_id: "explain".into(),
                trans_id,
            })),
        }
    }
}

/// The failure for a domain that nothing was found for.
pub(crate) fn not_found(text: impl Into<String>) -> Failure {
    Failure::new(Side::Far, impp_model::Cause::RemoteNotFound).with_text(text)
}
