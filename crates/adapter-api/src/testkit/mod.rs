//! The conformance kit: judges any [`Adapter`](crate::Adapter) by what it does between a scripted network and a scripted hub.
//!
//! An author writes a [`Network`]: a fake server or fake clients of the protocol. The kit makes its users act ([`Act`]), looks at
//! what they see ([`Seen`]), hands the adapter deliveries and answers its submissions. Each case starts an adapter of its own.
//!
//! ```text
//! let report = Kit::default().judge(&mut MyNetwork::new()).await;
//! assert!(report.passed(), "{report}");
//! ```

mod cases;
mod context;
mod hub;
pub mod memory;
mod network;
mod report;
mod stand;

pub use cases::{CASES, Case};
pub use context::context;
pub use hub::{KitHub, Owed, Records, Submitted};
pub use network::{Act, Answer, Manner, Network, Profile, Seen, Unable};
pub use report::{CaseResult, Report, Verdict};
pub use stand::{DEVICE, Fall, Judged, SeenMessage, Stand};

use std::time::{Duration, Instant};

/// Runs the cases.
#[derive(Debug, Clone)]
pub struct Kit {
    patience: Duration,
    only: Option<Vec<String>>,
}

impl Default for Kit {
    fn default() -> Self {
        Self { patience: PATIENCE, only: None }
    }
}

/// How long something that must happen may take: far more than it does on a machine that does other work, too.
const PATIENCE: Duration = Duration::from_secs(20);

impl Kit {
    /// The kit with another patience; what takes longer than that counts as not happening.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Only the cases of these names.
    #[must_use]
    pub fn only<'a>(mut self, cases: impl IntoIterator<Item = &'a str>) -> Self {
        self.only = Some(cases.into_iter().map(str::to_owned).collect());
        self
    }

    /// Judges the adapter of `network` by every case.
    pub async fn judge(&self, network: &mut dyn Network) -> Report {
        let protocol = match network.adapter().await {
            Ok(adapter) => adapter.capabilities().protocol.clone().into_owned(),
            Err(_) => String::new(),
        };
        let mut results = Vec::new();
        for case in
            CASES.iter().filter(|case| self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == case.name)))
        {
            let begun = Instant::now();
            let verdict = self.run(case, network).await;
            results.push(CaseResult {
                case: case.name.to_owned(),
                title: case.title.to_owned(),
                rule: case.rule.to_owned(),
                verdict,
                millis: begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
            });
        }
        Report { protocol, results }
    }

    async fn run(&self, case: &Case, network: &mut dyn Network) -> Verdict {
        let mut stand = match Stand::start(network, self.patience).await {
            Ok(stand) => stand,
            Err(fall) => return fall.into(),
        };
        let judged = (case.run)(&mut stand).await;
        stand.abandon();
        judged.map_or_else(Into::into, |()| Verdict::Passed)
    }
}
