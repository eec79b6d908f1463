//! Those who prove themselves with a password; who they are may change while they are served.

use crate::config::Config;
use adapter_api::{AdapterError, InstanceName, Provenance, SourceProof, SpeaksFor, UserChanges};
use arc_swap::{ArcSwap, Guard};
use impp_model::{Address, Domain};
use sip_proto::digest::Password;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The users of an instance.
#[derive(Debug)]
pub(crate) struct Users {
    instance: InstanceName,
    table: ArcSwap<Table>,
}

/// The users at one time.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_name: BTreeMap<String, (Password, Arc<Provenance>)>,
    addresses: BTreeSet<Address>,
    domains: BTreeSet<Domain>,
}

impl Users {
    /// The users that a table lists; reads the files of their passwords.
    pub(crate) fn new(instance: InstanceName, config: &Config) -> Result<Self, AdapterError> {
        let table = ArcSwap::from_pointee(Table::read(&instance, config)?);
        Ok(Self { instance, table })
    }

    /// Who they are at this moment.
    pub(crate) fn load(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }
}

impl Table {
    fn read(instance: &InstanceName, config: &Config) -> Result<Self, AdapterError> {
        let mut table = Self::default();
        for user in config.users() {
            let user = user.map_err(|found| AdapterError::Config {
                key: found.key,
                problem: format!("{}; {}", found.problem, found.remedy),
            })?;
            let peer = match &user.speaks_for {
                SpeaksFor::Address(address) => {
                    table.addresses.insert(address.clone());
                    Some(address.domain())
                }
                SpeaksFor::Domains(domains) => {
                    table.domains.extend(domains.iter().cloned());
                    domains.first()
                }
                SpeaksFor::Nobody | SpeaksFor::Patterns(_) => None,
            };
            let provenance = Provenance {
                may_repeat: false,
                adapter: instance.clone(),
                peer: peer.map_or("", Domain::as_str).into(),
                proof: SourceProof::Digest,
                speaks_for: user.speaks_for,
            };
            table.by_name.insert(user.username, (user.password, Arc::new(provenance)));
        }
        Ok(table)
    }

    /// Whether somebody with a password may send as `source`.
    pub(crate) fn may_prove(&self, source: &Address) -> bool {
        self.domains.contains(source.domain()) || self.addresses.contains(source)
    }

    /// The password of the user with this name in his credentials.
    pub(crate) fn password(&self, username: &str) -> Option<&Password> {
        self.by_name.get(username).map(|(password, _)| password)
    }

    /// What the hub hears about what he sends.
    pub(crate) fn provenance(&self, username: &str) -> Option<Arc<Provenance>> {
        self.by_name.get(username).map(|(_, provenance)| provenance.clone())
    }

    fn changes(&self, next: &Self) -> UserChanges {
        let mut changes = UserChanges::default();
        for (name, user) in &next.by_name {
            match self.by_name.get(name) {
                None => changes.added += 1,
                Some(before) if before == user => changes.stayed += 1,
                Some(_) => changes.changed += 1,
            }
        }
        changes.gone = self.by_name.keys().filter(|name| !next.by_name.contains_key(*name)).count();
        changes
    }
}

/// Users to come, as a changed table lists them; nobody has changed yet.
pub struct NextUsers {
    users: Arc<Users>,
    table: Table,
}

impl NextUsers {
    pub(crate) fn read(users: Arc<Users>, config: &Config) -> Result<Self, AdapterError> {
        let table = Table::read(&users.instance, config)?;
        Ok(Self { users, table })
    }

    /// From now on these are the users: the next request of each is judged by what is listed for him.
    pub fn take_over(self) -> UserChanges {
        let changes = self.users.load().changes(&self.table);
        self.users.table.store(Arc::new(self.table));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(users: serde_json::Value) -> Config {
        serde_json::from_value(serde_json::json!({ "listen": ["tcp:127.0.0.1:0"], "user": users })).unwrap()
    }

    #[test]
    fn other_users_are_counted_and_one_that_cannot_be_read_changes_nobody() {
        let user = |name: &str, password: &str| serde_json::json!({ "address": format!("{name}@sip.example"), "password": password });
        let first = config([user("a", "1"), user("b", "2"), user("c", "3")].into());
        let users = Arc::new(Users::new("sip".into(), &first).unwrap());
        let a: Address = "a@sip.example".parse().unwrap();
        assert!(users.load().may_prove(&a));
        let missing = serde_json::json!({ "address": "d@sip.example", "password_file": "/nonexistent/password" });
        let refused = NextUsers::read(users.clone(), &config([user("b", "2"), missing].into()));
        assert!(matches!(refused, Err(AdapterError::Config { key, .. }) if key == "user[1].password_file"));
        assert!(users.load().may_prove(&a));
        let mut trunk = user("c", "3");
        trunk["username"] = "b".into();
        trunk["password"] = "2".into();
        let server = serde_json::json!({ "domain": "trunk.example", "username": "gw", "password": "s" });
        let next = config([user("c", "4"), trunk, server].into());
        let changes = NextUsers::read(users.clone(), &next).unwrap().take_over();
        assert_eq!(changes, UserChanges { added: 1, gone: 1, changed: 2, stayed: 0 }, "b speaks for another");
        let table = users.load();
        assert!(!table.may_prove(&a) && table.may_prove(&"x@trunk.example".parse().unwrap()));
        assert_eq!(table.password("c"), Some(&Password::new("4")));
        assert_eq!(table.provenance("a"), None);
        assert!(!NextUsers::read(users.clone(), &next).unwrap().take_over().any());
    }
}
