//! The single tables, and the names of adapters.

use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::super::problem::Key;
use super::super::{Config, Delivery};
use super::Check;
use crate::zone;

/// `data_dir` is relative to the file, as the keys that end in `_file` are.
pub(super) fn make_absolute(config: &mut Config, folder: &Path) {
    if let Some(data_dir) = &mut config.gateway.data_dir {
        *data_dir = folder.join(&*data_dir);
    }
}

/// Longer than this a SIP sender has given up (RFC 3261 §17.1.2.2, Timer F of 32 s).
const MAX_HOLD: Duration = Duration::from_secs(30);

impl Check<'_> {
    pub(super) fn tables(&mut self) {
        self.gateway();
        self.admin();
        self.log();
        self.dns();
        self.delivery();
        self.routing();
        if self.config.tls.is_some() {
            let remedy =
                "remove the table; put a TLS proxy in front, or use tcp: and udp: listeners on closed networks";
            self.problem(Key::parse("tls"), "TLS is not in this version", remedy);
        }
    }

    fn gateway(&mut self) {
        if !self.config.gateway.name.is_fqdn() {
            let remedy = "write the full name under which others reach this host, as \"gw.example.net\"";
            self.problem(Key::parse("gateway.name"), "not a fully qualified domain name", remedy);
        }
    }

    fn admin(&mut self) {
        let key = Key::parse("admin.token_file");
        match &self.config.admin.token_file {
            Some(path) => match std::fs::read_to_string(path) {
                Ok(token) if token.trim().is_empty() => {
                    self.problem(
                        key,
                        "the file is empty",
                        "write a long random token into it, as from `openssl rand -hex 32`",
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    let remedy = "create the file with a long random token, readable by the gateway's user";
                    self.problem(key, format!("cannot read {}: {error}", path.display()), remedy);
                }
            },
            None if self.config.admin.listen.ip().is_loopback() => {}
            None => {
                let remedy = "set token_file, or listen on 127.0.0.1";
                self.problem(key, "missing: admin.listen is not a loopback address", remedy);
            }
        }
    }

    fn log(&mut self) {
        let level = &self.config.log.level;
        // A word alone would be a part of the program to log, and all else would be silent.
        let odd = level.split(',').map(str::trim).find(|word| !word.contains(['=', '[']) && !is_level(word));
        let problem = match (odd, EnvFilter::try_new(level)) {
            (Some(odd), _) => format!("\"{odd}\" is no level"),
            (None, Err(error)) => error.to_string(),
            (None, Ok(_)) => return,
        };
        let remedy = "write error, warn, info, debug or trace, or directives as \"info,adapter_sip=debug\"";
        self.problem(Key::parse("log.level"), problem, remedy);
    }

    fn dns(&mut self) {
        let key = Key::parse("dns.zone_file");
        let Some(path) = &self.config.dns.zone_file else {
            return;
        };
        if let Err(error) = zone::read(path) {
            self.problem(key.clone(), format!("{error:#}"), "correct the file, or remove the key to ask the network");
        }
        if !self.config.dns.nameservers.is_empty() {
            let odd = "no effect: zone_file answers everything";
            self.warning(Key::parse("dns.nameservers"), odd, "remove one of the two");
        }
    }

    fn delivery(&mut self) {
        let delivery = &self.config.delivery;
        let hold = Key::parse("delivery.hold_timeout");
        if delivery.hold_timeout.is_zero() || delivery.hold_timeout > MAX_HOLD {
            let remedy =
                format!("write a duration up to {}; \"2s\" is the default", adapter_api::duration::format(MAX_HOLD));
            self.problem(hold, "a sender cannot be made to wait so long, or not at all", remedy);
        }
        let usual = Delivery::default();
        if self.config.gateway.data_dir.is_none() {
            let stored = [
                ("write_ahead_after", self.config.delivery.write_ahead_after != usual.write_ahead_after),
                ("expiry", self.config.delivery.expiry != usual.expiry),
                ("warn_after", self.config.delivery.warn_after != usual.warn_after),
            ];
            for (name, changed) in stored {
                if changed {
                    let key = Key::parse("delivery").name(name);
                    self.warning(key, "no effect: nothing is stored without gateway.data_dir", "set gateway.data_dir");
                }
            }
        }
    }

    fn routing(&mut self) {
        let key = Key::parse("routing.supported");
        for (index, label) in self.config.routing.supported.iter().enumerate() {
            if !is_label(label) {
                self.problem(
                    key.index(index),
                    "not a protocol label",
                    "write it with its underscore, as \"_sip\" or \"_xmpp\"",
                );
            }
            if self.config.routing.supported.iter().take(index).any(|earlier| earlier == label) {
                self.problem(key.index(index), "listed twice", "remove one of the two");
            }
        }
    }

    pub(super) fn adapters(&mut self) {
        let table = Key::parse("adapter");
        if self.config.adapter.is_empty() {
            self.warning(table, "there is no adapter", "add tables [adapter.NAME]; see `interlingua config reference`");
            return;
        }
        for name in self.config.adapter.keys() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                let remedy = "use letters, digits, - and _: the name stands in logs and metrics";
                self.problem(table.name(name), "not a name for an adapter", remedy);
            }
        }
    }
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

/// RFC 3861 §8: `_` and a protocol's name.
pub(super) fn is_label(label: &str) -> bool {
    label.strip_prefix('_').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    })
}
