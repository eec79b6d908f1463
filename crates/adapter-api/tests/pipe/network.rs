//! The network in memory.

use super::PipeAdapter;
use adapter_api::Adapter;
use adapter_api::model::{Address, Cause};
use adapter_api::testkit::{Act, Manner, Network, Profile, Seen, Unable};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What adapter and network share.
pub(crate) struct Wire {
    seen: mpsc::UnboundedSender<Seen>,
    manner: Mutex<Manner>,
}

impl Wire {
    pub(crate) fn see(&self, seen: Seen) {
        // A network that is gone sees nothing.
        let _ = self.seen.send(seen);
    }

    pub(crate) fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }
}

/// The network of adapters with one fault, or none.
pub(crate) struct Pipe {
    fault: Option<&'static str>,
    lives: u64,
    wire: Arc<Wire>,
    seen: mpsc::UnboundedReceiver<Seen>,
    acts: mpsc::UnboundedSender<Act>,
}

impl Pipe {
    pub(crate) fn new(fault: Option<&'static str>) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let wire = Arc::new(Wire { seen: sender, manner: Mutex::new(Manner::Confirm) });
        Self { fault, lives: 0, wire, seen, acts: mpsc::unbounded_channel().0 }
    }
}

#[async_trait::async_trait]
impl Network for Pipe {
    fn profile(&self) -> Profile {
        let address = |text: &str| Address::parse_bare(text).unwrap();
        Profile {
            user: address("user@pipe.example"),
            other: address("other@pipe.example"),
            listens: false,
            refusals: vec![Cause::NotFound, Cause::PolicyViolation, Cause::ResourceConstraint],
            asks: true,
            shows_ids: true,
            remembers_ids: true,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        let (sender, seen) = mpsc::unbounded_channel();
        let (acts, receiver) = mpsc::unbounded_channel();
        self.wire = Arc::new(Wire { seen: sender, manner: Mutex::new(Manner::Confirm) });
        (self.seen, self.acts) = (seen, acts);
        self.lives += 1;
        Ok(Arc::new(PipeAdapter::new(self.fault, self.lives, Arc::clone(&self.wire), receiver)))
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        if let Act::Receive(manner) = act {
            *self.wire.manner.lock().unwrap() = manner;
            return Ok(());
        }
        self.acts.send(act).map_err(|_| Unable::new("reach an adapter that has ended"))
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}
