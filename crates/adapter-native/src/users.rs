//! The users of one instance: found by address for deliveries, by token for calls.

use crate::config::{Config, Limits, Secret, UserConfig};
use crate::mailbox::{Bounds, DeviceError, Event, Mailbox};
use crate::window::Window;
use crate::wire::EventId;
use adapter_api::{AdapterError, InstanceName, Provenance, Settle, SourceProof, SpeaksFor, UserChanges};
use arc_swap::ArcSwap;
use impp_model::{Address, Domain};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Changes when what was opened before has to end.
    sessions: watch::Sender<u64>,
    gone: AtomicBool,
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
            may_repeat: false,
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
            sessions: watch::Sender::new(0),
            gone: AtomicBool::new(false),
        }
    }

    /// Works on the mailbox; never held over an await.
    pub(crate) fn mailbox<T>(&self, work: impl FnOnce(&mut Mailbox<Waiting>) -> T) -> T {
        work(&mut self.mailbox.lock())
    }

    /// Whether it is no user any longer.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// Tells every open stream that there is an event.
    pub(crate) fn announce(&self) {
        self.news.send_replace(());
    }
}

/// What a token opens: it ends when the user has another one, or is gone.
pub(crate) struct Session {
    sessions: watch::Receiver<u64>,
    number: u64,
}

impl Session {
    /// Waits for its end. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        // An error means that the user itself is gone.
        let _ = self.sessions.wait_for(|now| *now > self.number).await;
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

/// All users of an instance; who they are may change while they are served.
pub(crate) struct Users {
    instance: InstanceName,
    limits: Limits,
    table: ArcSwap<Table>,
}

/// The users at one time.
#[derive(Default)]
struct Table {
    by_address: BTreeMap<Address, Arc<User>>,
    /// SHA-256 of each token: all of one length, so that a comparison tells nothing, not even a token's length.
    tokens: Vec<Token>,
}

/// One user's token.
struct Token {
    digest: [u8; 32],
    user: Arc<User>,
    /// Of the session that it opens: whoever read this table before it was replaced opens one that has ended.
    session: u64,
}

/// The users that a configuration lists, each with the digest of its token.
pub(crate) type Listed = Vec<(Address, [u8; 32])>;

impl Users {
    /// Makes the users that `config` lists; reads the token files.
    pub(crate) fn new(instance: &InstanceName, config: &Config) -> Result<Self, AdapterError> {
        let (instance, limits) = (instance.clone(), config.limits.clone());
        let users = Self { instance, limits, table: ArcSwap::default() };
        users.replace(listed(config)?);
        Ok(users)
    }

    /// Has other users from now on. Those who stay keep all that is kept for them; those who are gone are given back.
    pub(crate) fn replace(&self, listed: Listed) -> (UserChanges, Vec<Arc<User>>) {
        let (old, start) = (self.table.load_full(), first_event());
        let old_tokens: BTreeMap<_, _> = old.tokens.iter().map(|token| (&token.user.address, &token.digest)).collect();
        let (mut new, mut changes, mut anew) = (Table::default(), UserChanges::default(), Vec::new());
        for (address, digest) in listed {
            let mut renewed = 0;
            let user = match old.by_address.get(&address) {
                Some(user) if old_tokens.get(&address) == Some(&&digest) => {
                    changes.stayed += 1;
                    user.clone()
                }
                Some(user) => {
                    changes.changed += 1;
                    renewed = 1;
                    anew.push(user.clone());
                    user.clone()
                }
                None => {
                    changes.added += 1;
                    Arc::new(User::new(&self.instance, address.clone(), &self.limits, start))
                }
            };
            let session = *user.sessions.borrow() + renewed;
            new.tokens.push(Token { digest, user: Arc::clone(&user), session });
            new.by_address.insert(address, user);
        }
        let is_gone = |user: &&Arc<User>| !new.by_address.contains_key(&user.address);
        let gone: Vec<_> = old.by_address.values().filter(is_gone).cloned().collect();
        changes.gone = gone.len();
        self.table.store(Arc::new(new));
        for user in &gone {
            user.gone.store(true, Ordering::SeqCst);
        }
        gone.iter().chain(&anew).for_each(|user| user.sessions.send_modify(|session| *session += 1));
        (changes, gone)
    }

    /// The user at `address`.
    pub(crate) fn at(&self, address: &Address) -> Option<Arc<User>> {
        self.table.load().by_address.get(address).cloned()
    }

    /// The user whose token this is, and what it opens; takes the same time whether and wherever it matches.
    pub(crate) fn with_token(&self, token: &str) -> Option<(Arc<User>, Session)> {
        let (given, table) = (digest(&Secret::from(token)), self.table.load());
        let mut found = u32::MAX;
        for (index, token) in (0u32..).zip(&table.tokens) {
            found.conditional_assign(&index, token.digest.ct_eq(&given));
        }
        let token = table.tokens.get(usize::try_from(found).ok()?)?;
        let session = Session { sessions: token.user.sessions.subscribe(), number: token.session };
        Some((token.user.clone(), session))
    }

    /// Everyone.
    pub(crate) fn all(&self) -> Vec<Arc<User>> {
        self.table.load().by_address.values().cloned().collect()
    }

    /// The users of `domain`.
    pub(crate) fn of_domain(&self, domain: &Domain) -> Vec<Arc<User>> {
        self.all().into_iter().filter(|user| user.address.domain() == domain).collect()
    }
}

/// Who is in a configuration; reads the token files.
pub(crate) fn listed(config: &Config) -> Result<Listed, AdapterError> {
    let one = |(index, entry): (usize, &UserConfig)| {
        let fail =
            |field: &str, problem: String| AdapterError::Config { key: format!("user[{index}].{field}"), problem };
        let address = Address::parse_bare(&entry.address).map_err(|error| fail("address", error.to_string()))?;
        let token = entry.token().map_err(|error| fail("token", error.to_string()))?;
        Ok((address, digest(&token)))
    };
    config.users.iter().enumerate().map(one).collect()
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
        assert_eq!(users.with_token("d4ve").unwrap().0.address.local(), "dave");
        assert_eq!(users.with_token("c4r0l").unwrap().0.address.local(), "carol");
        for token in ["", "d4v", "d4vee", "D4VE"] {
            assert!(users.with_token(token).is_none(), "{token}");
        }
    }

    #[tokio::test]
    async fn who_stays_keeps_everything_and_who_does_not_loses_what_is_open() {
        let users = users();
        let [(carol, mut of_carol), (dave, mut of_dave)] =
            ["c4r0l", "d4ve"].map(|token| users.with_token(token).unwrap());
        let list = |json: &str| {
            let config = format!("{{\"listen\":\"127.0.0.1:0\",\"user\":[{json}]}}");
            listed(&serde_json::from_str(&config).unwrap()).unwrap()
        };
        let carol_as = |token: &str| format!("{{\"address\":\"carol@native.example\",\"token\":\"{token}\"}}");
        let erin = "{\"address\":\"erin@native.example\",\"token\":\"3r1n\"}";
        let (changes, gone) = users.replace(list(&format!("{},{erin}", carol_as("c4r0l"))));
        assert_eq!(changes, UserChanges { added: 1, gone: 1, changed: 0, stayed: 1 });
        assert!(Arc::ptr_eq(&gone[0], &dave) && dave.is_gone());
        of_dave.ended().await;
        assert!(users.with_token("d4ve").is_none() && users.with_token("3r1n").is_some());
        assert!(Arc::ptr_eq(&users.with_token("c4r0l").unwrap().0, &carol));
        let pause = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(pause, of_carol.ended()).await.is_err(), "who stays is not disturbed");
        let (changes, _) = users.replace(list(&format!("{},{erin}", carol_as("other"))));
        assert_eq!(changes, UserChanges { changed: 1, stayed: 1, ..UserChanges::default() });
        of_carol.ended().await;
        assert!(users.with_token("c4r0l").is_none());
        let (again, mut anew) = users.with_token("other").unwrap();
        assert!(Arc::ptr_eq(&again, &carol), "the mailbox stays");
        assert!(tokio::time::timeout(pause, anew.ended()).await.is_err(), "the new token opens a session that lasts");
        assert!(!users.replace(list(&format!("{},{erin}", carol_as("other")))).0.any());
    }

    #[test]
    fn addresses_are_compared_exactly() {
        let users = users();
        let at = |text| users.at(&Address::parse_bare(text).unwrap()).is_some();
        assert!(at("carol@Native.Example"));
        assert!(!at("Carol@native.example") && !at("carol@other.example"));
    }
}
