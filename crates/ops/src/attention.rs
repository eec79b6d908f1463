//! What is wrong at this moment, whose it is to mend, and what to do: for somebody who was woken by a pager.

use crate::api::Admin;
use adapter_api::{PeerState, Registration};
use interwork::OTHER_PEERS;
use serde::Serialize;
use std::time::{Duration, SystemTime};
use store::{Crowded, LedgerError, with_causes};
use transport::tls::EXPIRY_WARNING;

/// One thing that somebody should look at.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Matter {
    /// What is wrong; names domains, no user.
    what: String,
    /// Who has to mend it.
    whose: Whose,
    /// What to do.
    remedy: String,
}

#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Whose {
    /// Who runs this gateway.
    Ours,
    /// Who runs what it speaks with.
    Theirs,
}

impl Matter {
    fn ours(what: String, remedy: impl Into<String>) -> Self {
        Self { what, whose: Whose::Ours, remedy: remedy.into() }
    }

    fn theirs(what: String, remedy: impl Into<String>) -> Self {
        Self { what, whose: Whose::Theirs, remedy: remedy.into() }
    }
}

/// The oldest message may wait so long before somebody should look: several tries have failed by then.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// Everything that is wrong, what stops the whole gateway first.
pub(crate) fn matters(admin: &Admin) -> Vec<Matter> {
    let mut found = Vec::new();
    store(admin, &mut found);
    awaited(admin, &mut found);
    certificates(admin, SystemTime::now(), &mut found);
    archive(admin, &mut found);
    peers(admin, &mut found);
    queue(admin, &mut found);
    backlogs(admin, &mut found);
    canaries(admin, &mut found);
    found
}

fn store(admin: &Admin, found: &mut Vec<Matter>) {
    let Some(refusal) = admin.core.store_refusal() else { return };
    let remedy = if matches!(refusal, LedgerError::Full { .. }) {
        "see `interlingua queue` for the hop that takes nothing; raise gateway.limits if the disk has room"
    } else {
        "free space on the disk of gateway.data_dir, or mend it; the gateway goes on by itself then"
    };
    found.push(Matter::ours(format!("the store takes nothing new: {}", with_causes(&refusal)), remedy));
}

fn awaited(admin: &Admin, found: &mut Vec<Matter>) {
    if admin.core.is_draining() {
        found.push(Matter::ours("the gateway is stopping".to_owned(), "start it again, if nobody else does"));
    }
    for what in admin.readiness.missing() {
        let remedy = "see the log; `interlingua doctor` says more";
        found.push(Matter::ours(format!("not ready: it waits for {what}"), remedy));
    }
}

fn certificates(admin: &Admin, now: SystemTime, found: &mut Vec<Matter>) {
    for certificate in admin.tls.certificates() {
        let (file, end) = (certificate.file.display().to_string(), certificate.not_after);
        let said = match end.duration_since(now) {
            Ok(left) if left >= EXPIRY_WARNING => continue,
            Ok(left) => format!("the certificate in {file} ends in {}", in_words(left)),
            Err(past) => format!("the certificate in {file} ended {} ago", in_words(past.duration())),
        };
        found.push(Matter::ours(said, "put a new one into the same files: it is loaded within seconds"));
    }
}

fn archive(admin: &Admin, found: &mut Vec<Matter>) {
    let Some(archive) = admin.core.archive().filter(|archive| !archive.is_up()) else { return };
    let (waiting, ..) = archive.counts();
    let said = format!("the archive takes nothing; {waiting} records wait in memory");
    found.push(Matter::theirs(said, "start who takes the records at archive.to; the log names the reason"));
}

fn peers(admin: &Admin, found: &mut Vec<Matter>) {
    for (adapter, peer, state, since) in admin.core.peers() {
        // The state of those who are no configured domain is that of the last of them that was tried: any name, mistyped ones too.
        if state == PeerState::Down && peer != OTHER_PEERS {
            // Nobody may have tried since.
            found.push(silent(adapter.as_str(), &peer, since.elapsed().unwrap_or_default()));
        }
    }
    for (adapter, peer, last, _) in admin.core.registrations() {
        let why = match last {
            Registration::Refused { status } => format!("refuses our registration with {status}"),
            Registration::Unanswered => "does not answer our registration".to_owned(),
            Registration::Held { .. } | Registration::Ended => continue,
        };
        let remedy = format!("compare username, password and realm of its trunk; `interlingua doctor {peer}`");
        found.push(Matter::theirs(format!("{peer} {why} (adapter {adapter})"), remedy));
    }
}

fn silent(adapter: &str, peer: &str, since: Duration) -> Matter {
    let said = format!("{peer} has not answered through {adapter} for {}", in_words(since));
    Matter::theirs(said, format!("`interlingua doctor {peer}` says why; messages wait meanwhile"))
}

fn queue(admin: &Admin, found: &mut Vec<Matter>) {
    let (ledger, now) = (admin.core.ledger(), admin.core.timestamp());
    let Some(oldest) = ledger.list(None, 1).into_iter().next() else { return };
    let age = now.since(oldest.created);
    if age < LONG_WAIT {
        return;
    }
    let (count, hop) = (ledger.counts().entries, oldest.hop.as_deref().unwrap_or("its hop"));
    let last = oldest.last.map_or_else(String::new, |cause| format!(", last {}", cause.code()));
    let said = format!("messages wait: {count}, the oldest for {}, for {hop}{last}", in_words(age));
    let remedy = format!("`interlingua trace {:016x}` shows its way, `interlingua queue` the others", oldest.trace);
    found.push(Matter::theirs(said, remedy));
}

fn backlogs(admin: &Admin, found: &mut Vec<Matter>) {
    for Crowded { hop, entries, .. } in admin.core.ledger().crowded() {
        let hop = hop.as_deref().unwrap_or("a hop that is not known yet");
        let said =
            format!("nothing more is stored for {hop}: {entries} messages wait for it, and the rest is for others");
        found.push(Matter::theirs(said, "mend that hop, or raise gateway.limits if the disk has room"));
    }
}

fn canaries(admin: &Admin, found: &mut Vec<Matter>) {
    for canary in admin.core.canaries() {
        let Err(reason) = canary.result else { continue };
        let said = format!("the last {} canary to {} did not come back: {reason}", canary.kind.label(), canary.peer);
        found.push(Matter::theirs(
            said,
            format!("`interlingua doctor {}` tries another and names its trace", canary.peer),
        ));
    }
}

/// A length of time, rounded down to what matters.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{admin, admin_on, admin_with};
    use adapter_api::HubCore;
    use impp_model::{Content, Endpoint, InstantMessage, MaxForwards, MessageOperation, Operation};
    use std::sync::Arc;
    use store::{Class, Entry, Limits, MemoryStore, Near, Origin, Urgency};

    fn said(admin: &Admin) -> Vec<(String, Whose)> {
        matters(admin).into_iter().map(|matter| (matter.what, matter.whose)).collect()
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_with_whose_it_is_until_it_is_mended() {
        let store = Arc::new(MemoryStore::new());
        let admin = admin_on(store.clone());
        assert_eq!(said(&admin), []);
        admin.readiness.awaits("link of office");
        admin.core.peer_changed(&"xmpp".into(), "partner.example", PeerState::Down);
        admin.core.peer_registered(&"sip".into(), "trunk.example", Registration::Refused { status: 403 });
        store.fail();
        let found = said(&admin);
        // Peers that are not configured are of no concern: this one isn't.
        let [store_fails, link, trunk] = &found[..] else { panic!("{found:#?}") };
        assert!(store_fails.0.starts_with("the store takes nothing new: ") && store_fails.1 == Whose::Ours);
        assert_eq!(*link, ("not ready: it waits for link of office".to_owned(), Whose::Ours));
        assert_eq!(trunk.0, "trunk.example refuses our registration with 403 (adapter sip)");
        let peer = silent("xmpp", "partner.example", Duration::from_secs(150));
        assert_eq!(peer.what, "partner.example has not answered through xmpp for 2 min");
        store.mend();
        admin.readiness.reached("link of office");
        admin.core.peer_changed(&"xmpp".into(), "partner.example", PeerState::Up);
        admin.core.peer_registered(&"sip".into(), "trunk.example", Registration::Held { seconds: 60 });
        assert_eq!(said(&admin), []);
    }

    #[tokio::test]
    async fn an_archive_that_is_away_is_told() {
        let admin = admin();
        let archive = Arc::new(interwork::Archive::new(Vec::new(), interwork::WhenAway::Spool));
        admin.core.archive_to(archive.clone());
        assert_eq!(said(&admin), []);
        archive.set_up(false);
        assert_eq!(said(&admin)[0], ("the archive takes nothing; 0 records wait in memory".to_owned(), Whose::Theirs));
    }

    #[tokio::test]
    async fn a_hop_that_has_its_share_of_the_ledger_is_told() {
        let admin = admin_with(Arc::new(MemoryStore::new()), Limits { records: 2, ..Limits::default() });
        let (ledger, now) = (admin.core.ledger(), admin.core.timestamp());
        let end = |address: &str| Endpoint::bare(address.parse().unwrap());
        let message = MessageOperation {
            source: end("romeo@sip.example"),
            destination: end("juliet@dead.example"),
            max_forwards: MaxForwards::INITIAL,
            trans_id: "t".into(),
            message: InstantMessage::new(Content::text("hi")),
        };
        let entry = Entry {
            trace: 1,
            operation: Operation::Message(Box::new(message)),
            origin: Origin::Peer,
            near: Near { instance: "sip".into(), reply: Default::default() },
            hop: Some("xmpp dead.example".into()),
            class: Class::Spool,
            created: now,
            expires: now.after(LONG_WAIT),
            warn: None,
            next_try: now,
            attempts: 0,
            uncertain: false,
            once: None,
        };
        assert_eq!(said(&admin), []);
        ledger.append(&entry, Urgency::Urgent, |_| ()).unwrap();
        let wanted = "nothing more is stored for xmpp dead.example: 1 messages wait for it, and the rest is for others";
        assert_eq!(said(&admin), [(wanted.to_owned(), Whose::Theirs)]);
        assert!(admin.readiness.is_ready(&admin.core), "others are served");
    }

    #[test]
    fn times_are_rounded_to_what_matters() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        let said = [words(119), words(121), words(7_300), words(200_000)];
        assert_eq!(said, ["119 s", "2 min", "2 h", "2 days"]);
    }
}
