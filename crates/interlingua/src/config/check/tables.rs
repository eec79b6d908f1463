//! The single tables, and the names of adapters.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use transport::dane::DnssecDns;
use transport::tls::{CertificateSource, EXPIRY_WARNING, Tls};

use super::super::problem::Key;
use super::super::{Action, ArchiveTo, Config, Delivery, Role, Trace, WhenAway};
use super::Check;
use crate::{archive, blocklists, zone};

/// `data_dir` and the files of `[tls]` are relative to the file, as the keys that end in `_file` are.
pub(super) fn make_absolute(config: &mut Config, folder: &Path) {
    if let Some(data_dir) = &mut config.gateway.data_dir {
        *data_dir = folder.join(&*data_dir);
    }
    config.tls.resolve(folder);
    config.policy.resolve(folder);
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
        self.presence();
        self.archive();
        self.trace();
        self.routing();
        self.tls();
        self.policy();
    }

    fn policy(&mut self) {
        let key = Key::parse("policy.blocklists");
        for (index, file) in self.config.policy.blocklists.iter().enumerate() {
            if let Err(problem) = blocklists::read(std::slice::from_ref(file)) {
                self.problem(key.index(index), problem, "one domain or *.domain a line, # before comments");
            }
        }
        for (index, rule) in self.config.policy.rule.iter().enumerate() {
            let key = Key::parse("policy.rule").index(index);
            let conditions = rule.max_content.is_some() || rule.require_tls || rule.rate.is_some();
            if rule.action == Action::Deny && conditions {
                let remedy = "remove max_content, require_tls and rate, or write action = \"allow\"";
                self.warning(key, "no effect: what is denied needs no conditions", remedy);
            }
        }
    }

    fn gateway(&mut self) {
        if !self.config.gateway.name.is_fqdn() {
            let remedy = "write the full name under which others reach this host, as \"gw.example.net\"";
            self.problem(Key::parse("gateway.name"), "not a fully qualified domain name", remedy);
        }
        self.store();
    }

    fn store(&mut self) {
        let gateway = &self.config.gateway;
        let (key_file, limits) = (Key::parse("gateway.data_key_file"), gateway.limits);
        match (&gateway.data_dir, &gateway.data_key_file) {
            (Some(_), None) => {
                let remedy =
                    "put a key into a file, as from `openssl rand -hex 32`, and name it in gateway.data_key_file";
                self.warning(Key::parse("gateway.data_dir"), "what is stored there is not encrypted", remedy);
            }
            (None, Some(_)) => {
                self.warning(key_file, "no effect: nothing is stored without gateway.data_dir", "set gateway.data_dir");
            }
            (Some(_), Some(path)) => {
                if let Err(error) = store::SealKey::read(path) {
                    let problem = format!("{}: {:#}", path.display(), anyhow::Error::new(error));
                    self.problem(key_file, problem, "put a key into the file, as from `openssl rand -hex 32`");
                }
            }
            (None, None) => {}
        }
        for (name, nothing) in [("messages", limits.messages == 0), ("octets", limits.octets == 0)] {
            if nothing {
                let remedy = "remove gateway.data_dir to store nothing";
                self.problem(Key::parse("gateway.limits").name(name), "nothing could be stored", remedy);
            }
        }
    }

    fn admin(&mut self) {
        let admin = &self.config.admin;
        let (token, read) = (Key::parse("admin.token_file"), Key::parse("admin.read_token_file"));
        let read_token =
            |path: &Option<PathBuf>| path.as_ref().map(|path| (path.clone(), std::fs::read_to_string(path)));
        let (full, look) = (read_token(&admin.token_file), read_token(&admin.read_token_file));
        let same = |(_, a): &(_, io::Result<String>), (_, b): &(_, io::Result<String>)| matches!((a, b), (Ok(a), Ok(b)) if a.trim() == b.trim());
        if full.as_ref().zip(look.as_ref()).is_some_and(|(full, look)| same(full, look)) {
            let remedy = "write another long random token into it, as from `openssl rand -hex 32`";
            self.problem(read.clone(), "the same token as in token_file, which gives all rights", remedy);
        }
        if full.is_none() && !admin.listen.is_local() {
            let remedy = "set token_file, or listen on 127.0.0.1 or a socket file";
            self.problem(token.clone(), "missing: admin.listen is not a loopback address", remedy);
        }
        if full.is_none() && look.is_some() {
            let remedy = "set token_file, too";
            self.problem(read.clone(), "without token_file there is nobody who may do more than look", remedy);
        }
        for (key, token) in [(token, full), (read, look)] {
            match token {
                Some((_, Ok(text))) if text.trim().is_empty() => {
                    let remedy = "write a long random token into it, as from `openssl rand -hex 32`";
                    self.problem(key, "the file is empty", remedy);
                }
                Some((path, Err(error))) => {
                    let remedy = "create the file with a long random token, readable by the gateway's user";
                    self.problem(key, format!("cannot read {}: {error}", path.display()), remedy);
                }
                Some((_, Ok(_))) | None => {}
            }
        }
        if let Some(path) = &self.config.admin.audit_file {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                let problem = format!("no folder for {}", path.display());
                self.problem(Key::parse("admin.audit_file"), problem, "create the folder, or name another file");
            }
        }
    }

    fn log(&mut self) {
        let level = &self.config.log.level;
        // A word alone would be a part of the program to log, and all else would be silent.
        let odd = level.split(',').map(str::trim).filter(|word| !word.contains(['=', '[']) && !is_level(word));
        let odd: Vec<_> = odd.map(|word| format!("\"{word}\" is no level")).collect();
        let problem = match (odd.is_empty(), EnvFilter::try_new(level)) {
            (false, _) => odd.join(", "),
            (true, Err(error)) => error.to_string(),
            (true, Ok(_)) => return,
        };
        let remedy = "write error, warn, info, debug or trace, or directives as \"info,adapter_sip=debug\"";
        self.problem(Key::parse("log.level"), problem, remedy);
    }

    fn dns(&mut self) {
        self.dnssec();
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

    fn dnssec(&mut self) {
        let dns = &self.config.dns;
        let (switch, anchors) = (Key::parse("dns.dnssec"), Key::parse("dns.trust_anchor_file"));
        if dns.dnssec && dns.zone_file.is_some() {
            self.warning(switch, "no effect: zone_file holds no signatures", "remove one of the two");
        }
        match &dns.trust_anchor_file {
            Some(_) if !dns.dnssec => {
                self.warning(anchors, "no effect without dnssec", "write dnssec = true, or remove it")
            }
            Some(path) => {
                if let Err(error) = DnssecDns::read_anchors(path) {
                    self.problem(anchors, error.to_string(), "give DNSKEY records in the form of a master file");
                }
            }
            None => {}
        }
    }

    fn trace(&mut self) {
        let (trace, key) = (&self.config.trace, Key::parse("trace"));
        let usual = Trace::default();
        if self.config.gateway.data_dir.is_none() {
            for (name, changed) in [("keep", trace.keep != usual.keep), ("stored", trace.stored != usual.stored)] {
                if changed {
                    let problem = "no effect: nothing is stored without gateway.data_dir";
                    self.warning(key.name(name), problem, "set gateway.data_dir, or remove it");
                }
            }
        }
        let Some(endpoint) = &trace.otlp_endpoint else { return };
        let key = key.name("otlp_endpoint");
        if !cfg!(feature = "otel") {
            self.problem(key.clone(), "this program was built without OpenTelemetry", "build it with the feature otel");
        }
        if !reqwest::Url::parse(endpoint).is_ok_and(|url| url.scheme() == "http") {
            let remedy = "write the URL of a collector on this host, as \"http://127.0.0.1:4318/v1/traces\"";
            self.problem(key.clone(), "no URL that begins with http://", remedy);
        }
        if trace.recent == 0 {
            self.warning(key, "no effect: without trace.recent no operation is told", "write a positive trace.recent");
        }
    }

    /// What is spooled there is given only by a gateway that spools.
    fn abandoned_spool(&mut self) {
        let spools = self.config.archive.as_ref().is_some_and(|archive| archive.when_away == WhenAway::Spool);
        let Some(data_dir) = self.config.gateway.data_dir.as_ref().filter(|_| !spools) else { return };
        let path = archive::spool_in(data_dir);
        if std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
            let table = Key::parse("archive");
            let key = if self.config.archive.is_some() { table.name("when_away") } else { table };
            let problem = format!("{} holds records that are given to nobody", path.display());
            self.warning(key, problem, "write \"spool\" until they are given, or move the file away");
        }
    }

    fn archive(&mut self) {
        self.abandoned_spool();
        let Some(archive) = &self.config.archive else { return };
        let key = Key::parse("archive");
        let spools = archive.when_away == WhenAway::Spool;
        if spools && self.config.gateway.data_dir.is_none() {
            let remedy = "set gateway.data_dir, or write \"block\" or \"continue\"";
            self.problem(key.name("when_away"), "there is nowhere to spool to without gateway.data_dir", remedy);
        }
        if spools && archive.spool_octets == 0 {
            self.problem(
                key.name("spool_octets"),
                "nothing could be spooled",
                "write a positive number, or leave it out",
            );
        }
        if archive.when_away == WhenAway::Continue {
            let remedy = "write \"spool\" or \"block\" if nothing may be missing";
            self.warning(key.name("when_away"), "what happens while the archive is away is not archived", remedy);
        }
        if archive.kinds.is_empty() {
            let remedy = "name some, as \"message\", or remove the table";
            self.warning(key.name("kinds"), "no effect: no kind of operation is archived", remedy);
        }
        match &archive.to {
            ArchiveTo::File(path) | ArchiveTo::Socket(path) => {
                if !path.parent().is_some_and(Path::is_dir) {
                    let problem = format!("no folder for {}", path.display());
                    self.problem(key.name("to"), problem, "create the folder, or name another file");
                }
            }
            ArchiveTo::Http(url) => {
                let is_here = |host: &str| {
                    host == "localhost"
                        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
                };
                if !reqwest::Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(is_here)) {
                    let remedy = "let a program on this host take them, and pass them on over TLS";
                    self.warning(key.name("to"), "records cross the network in clear", remedy);
                }
            }
        }
        match &archive.token_file {
            Some(_) if !matches!(archive.to, ArchiveTo::Http(_)) => {
                self.warning(key.name("token_file"), "no effect: only a URL is given a token", "remove it");
            }
            Some(path) => {
                if let Err(error) = std::fs::read_to_string(path) {
                    let problem = format!("cannot read {}: {error}", path.display());
                    self.problem(key.name("token_file"), problem, "write the token there, readable by the gateway");
                }
            }
            None => {}
        }
    }

    fn presence(&mut self) {
        let presence = &self.config.presence;
        let bounds = [
            ("per_watcher", presence.per_watcher == 0),
            ("per_presentity", presence.per_presentity == 0),
            ("per_domain", presence.per_domain == 0),
            ("restart_rate", presence.restart_rate == 0),
        ];
        for (name, zero) in bounds {
            if zero {
                let key = Key::parse("presence").name(name);
                self.problem(key, "nobody could watch anybody", "write a positive number, or leave it out");
            }
        }
    }

    fn tls(&mut self) {
        self.acme();
        let table = Key::parse("tls");
        let (mut settings, name) = (self.config.tls.settings(), self.config.gateway.name.clone());
        let mut sound: Vec<_> = (0..settings.certificates.len()).collect();
        let tls = Tls::load(settings.clone(), name.clone()).or_else(|errors| {
            let mut untrusted = Vec::new();
            for error in errors {
                let own = table.name("certificates");
                let key = match error.entry() {
                    CertificateSource::Certificate(number) => own.index(number).name("certificate"),
                    CertificateSource::PrivateKey(number) => own.index(number).name("private_key"),
                    CertificateSource::Trust(number) => table.name("trust").index(number),
                };
                match error.entry() {
                    CertificateSource::Certificate(bad) | CertificateSource::PrivateKey(bad) => {
                        sound.retain(|number| *number != bad);
                    }
                    CertificateSource::Trust(bad) => untrusted.push(bad),
                }
                self.problem(key, error.to_string(), error.remedy());
            }
            // What is wrong with one hides nothing that is odd about the others.
            settings.certificates =
                sound.iter().filter_map(|number| settings.certificates.get(*number).cloned()).collect();
            let trust = settings.trust.into_iter().enumerate().filter(|(number, _)| !untrusted.contains(number));
            settings.trust = trust.map(|(_, trust)| trust).collect();
            Tls::load(settings, name)
        });
        let Ok(tls) = tls else { return };
        if tls.trusts_nobody() && tls.has_certificates() {
            let remedy = "install the package ca-certificates, or name a file of trusted certificates";
            self.warning(table.name("trust"), "nobody's signature counts: no peer has a valid certificate", remedy);
        }
        self.xmpp_faces(&tls);
        for (number, info) in tls.certificates().into_iter().enumerate() {
            if let Some(odd) = expiry(info.not_after, SystemTime::now()) {
                let listed = |number: &usize| table.name("certificates").index(*number).name("certificate");
                let key = sound.get(number).map_or_else(|| table.name("acme"), listed);
                self.warning(key, odd, "renew it; the changed files are loaded without a restart");
            }
        }
    }

    fn acme(&mut self) {
        let Some(acme) = &self.config.tls.acme else { return };
        let table = Key::parse("tls.acme");
        if !cfg!(feature = "acme") {
            return self.problem(table, "this program was built without ACME", "build it with the feature acme");
        }
        if !acme.directory.starts_with("https://") {
            let remedy = "write the URL of the authority's directory, which begins with https://";
            self.problem(table.name("directory"), "no directory of an authority (RFC 8555 §6.1)", remedy);
        }
        if !acme.agree_to_terms {
            let remedy = "read the authority's terms of service, then write agree_to_terms = true";
            self.problem(table.name("agree_to_terms"), "nothing is ordered without your agreement", remedy);
        }
        if acme.domains.is_empty() {
            self.problem(table.name("domains"), "empty", "write the names that the certificate is to have");
        }
        for (index, domain) in acme.domains.iter().enumerate().filter(|(_, domain)| !domain.is_fqdn()) {
            let problem = format!("{domain} is no name that an authority certifies");
            self.problem(table.name("domains").index(index), problem, "write fully qualified names");
        }
        if acme.contact.is_empty() {
            let remedy = "write contact = [\"mailto:...\"]";
            self.warning(table.name("contact"), "the authority cannot warn you of a certificate that ends", remedy);
        }
        #[cfg(feature = "acme")]
        if let Some(Err(error)) = acme.external_account.as_ref().map(|account| account.settings().check()) {
            let remedy = "put the HMAC key that the authority gave you there, as one line of base64url";
            self.problem(table.name("external_account").name("key_file"), error.to_string(), remedy);
        }
        let (port, asked) = (acme.listen().port(), acme.challenge.port());
        if port != asked {
            let remedy = format!("forward port {asked} of each name's address to it, or listen there");
            self.warning(table.name("listen"), format!("authorities ask at port {asked}, not {port}"), remedy);
        }
    }

    /// RFC 6120 §13.7.1.2: other servers want a certificate that names the domain; dialback is what is left without one.
    fn xmpp_faces(&mut self, tls: &Tls) {
        let Some(xmpp) = self.adapters.iter().find(|(_, adapter)| adapter.type_name() == "xmpp").map(|(name, _)| name)
        else {
            return;
        };
        if !tls.has_certificates() {
            return;
        }
        for (index, domain) in self.config.domain.iter().enumerate() {
            let is_ours = domain.role == Role::Local && domain.adapter.as_ref() != Some(xmpp);
            let name = domain.seen_as();
            let is_ordered = self.config.tls.acme.as_ref().is_some_and(|acme| acme.domains.contains(name));
            if is_ours && !is_ordered && !tls.names_for(name).is_some_and(|names| names.prove_xmpp(name)) {
                let problem = format!("no certificate names {name}: to other XMPP servers only dialback proves it");
                let remedy = "add a certificate with this name to [tls] certificates";
                self.warning(Key::parse("domain").index(index).name("name"), problem, remedy);
            }
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

/// What is odd about a certificate that is valid until then.
fn expiry(not_after: SystemTime, now: SystemTime) -> Option<String> {
    match not_after.duration_since(now) {
        Err(_) => Some("has expired: peers refuse it".to_owned()),
        Ok(left) if left < EXPIRY_WARNING => Some(format!("expires in {} days", left.as_secs() / (24 * 3600))),
        Ok(_) => None,
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
