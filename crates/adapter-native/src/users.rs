//! The users of one instance: found by address for deliveries, by token for calls.

use crate::config::{Config, Limits, Secret};
use crate::mailbox::{Bounds, DeviceError, Event, Mailbox};
use crate::window::Window;
use crate::wire::EventId;
use adapter_api::{AdapterError, InstanceName, Provenance, Settle, SourceProof, SpeaksFor};
use impp_model::{Address, Domain};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;
use tokio::time::Instant;

/// One user with all that is kept for it.
pub(crate) struct User {
    pub(crate) address: Address,
    /// What the hub hears about everything this user submits.
    pub(crate) provenance: Arc<Provenance>,
    pub(crate) window: Window,
    mailbox: Mutex<Mailbox<Waiting>>,
    /// Changes when an event is appended.
    news: watch::Sender<()>,
}

/// Who waits for an event's acknowledgement.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) settle: Settle,
    pub(crate) deadline: Instant,
}

impl User {
    fn new(instance: &InstanceName, address: Address, limits: &Limits, start: EventId) -> Self {
        let bounds = Bounds {
            events: limits.max_events,
            octets: limits.max_events_octets,
            devices: limits.max_devices,
            device_expiry: limits.device_expiry,
        };
        let provenance = Provenance {
            adapter: instance.clone(),
            peer: address.domain().as_str().into(),
            proof: SourceProof::Token,
            speaks_for: SpeaksFor::Address(address.clone()),
        };
        Self {
            address,
            provenance: Arc::new(provenance),
            window: Window::new(limits.max_in_flight),
            mailbox: Mutex::new(Mailbox::new(bounds, start)),
            news: watch::Sender::new(()),
        }
    }

    /// Works on the mailbox; never held over an await.
    pub(crate) fn mailbox<T>(&self, work: impl FnOnce(&mut Mailbox<Waiting>) -> T) -> T {
        work(&mut self.mailbox.lock())
    }

    /// Tells every open stream that there is an event.
    pub(crate) fn announce(&self) {
        self.news.send_replace(());
    }
}

/// One device's open stream of events.
pub(crate) struct Reader {
    user: Arc<User>,
    device: Arc<str>,
    position: EventId,
    news: watch::Receiver<()>,
}

impl Reader {
    /// Opens a stream that begins as [`Mailbox::open`] says.
    pub(crate) fn open(user: &Arc<User>, device: Arc<str>, after: Option<EventId>) -> Result<Self, DeviceError> {
        let news = user.news.subscribe();
        let position = user.mailbox(|mailbox| mailbox.open(&device, after, now()))?;
        Ok(Self { user: Arc::clone(user), device, position, news })
    }

    /// Waits for the next event, which then counts as sent. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arc<Event> {
        loop {
            self.news.mark_unchanged();
            let position = self.position;
            if let Some(event) = self.user.mailbox(|mailbox| mailbox.next(position)) {
                self.position = event.id;
                return event;
            }
            // The sender belongs to the user that this reader holds: it can't go away meanwhile.
            let _ = self.news.changed().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let device = Arc::clone(&self.device);
        self.user.mailbox(|mailbox| mailbox.close(&device, now()));
    }
}

/// The clock of mailboxes: tokio's, which tests can turn.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// All users of an instance; fixed for the life of the process.
pub(crate) struct Users {
    by_address: BTreeMap<Address, Arc<User>>,
    /// SHA-256 of each token: all of one length, so that a comparison tells nothing, not even a token's length.
    tokens: Vec<([u8; 32], Arc<User>)>,
}

impl Users {
    /// Makes the users that `config` lists; reads the token files.
    pub(crate) fn new(instance: &InstanceName, config: &Config) -> Result<Self, AdapterError> {
        let start = first_event();
        let mut users = Self { by_address: BTreeMap::new(), tokens: Vec::new() };
        for (index, entry) in config.users.iter().enumerate() {
            let fail =
                |field: &str, problem: String| AdapterError::Config { key: format!("user[{index}].{field}"), problem };
            let address = Address::parse_bare(&entry.address).map_err(|error| fail("address", error.to_string()))?;
            let token = entry.token().map_err(|error| fail("token", error.to_string()))?;
            let user = Arc::new(User::new(instance, address.clone(), &config.limits, start));
            users.tokens.push((digest(&token), Arc::clone(&user)));
            users.by_address.insert(address, user);
        }
        Ok(users)
    }

    /// The user at `address`.
    pub(crate) fn at(&self, address: &Address) -> Option<&Arc<User>> {
        self.by_address.get(address)
    }

    /// The user whose token this is; takes the same time whether and wherever it matches.
    pub(crate) fn with_token(&self, token: &str) -> Option<&Arc<User>> {
        let given = digest(&Secret::from(token));
        let mut found = u32::MAX;
        for (index, (digest, _)) in (0u32..).zip(&self.tokens) {
            found.conditional_assign(&index, digest.ct_eq(&given));
        }
        self.tokens.get(usize::try_from(found).ok()?).map(|(_, user)| user)
    }

    /// Everyone.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.by_address.values()
    }

    /// The users of `domain`.
    pub(crate) fn of_domain(&self, domain: &Domain) -> impl Iterator<Item = &Arc<User>> {
        self.iter().filter(move |user| user.address.domain() == domain)
    }
}

fn digest(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}

/// Where ids begin: microseconds of the calendar, so that they go on rising over a restart without being stored.
fn first_event() -> EventId {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    EventId(u64::try_from(since.as_micros()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let config = r#"{"listen":"127.0.0.1:0","user":[
            {"address":"carol@native.example","token":"c4r0l"},{"address":"dave@native.example","token":"d4ve"}]}"#;
        Users::new(&"native".into(), &serde_json::from_str(config).unwrap()).unwrap()
    }

    #[test]
    fn rfc6750_s5_2_a_token_is_one_user_and_a_part_of_it_is_none() {
        let users = users();
        assert_eq!(users.with_token("d4ve").unwrap().address.local(), "dave");
        assert_eq!(users.with_token("c4r0l").unwrap().address.local(), "carol");
        for token in ["", "d4v", "d4vee", "D4VE"] {
            assert!(users.with_token(token).is_none(), "{token}");
        }
    }

    #[test]
    fn addresses_are_compared_exactly() {
        let users = users();
        let at = |text| users.at(&Address::parse_bare(text).unwrap()).is_some();
        assert!(at("carol@Native.Example"));
        assert!(!at("Carol@native.example") && !at("carol@other.example"));
    }
}
