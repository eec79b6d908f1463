//! The report: a message for every ordered pair, an unknown user on every side, and the presence of each for each other.

use std::time::{Duration, Instant};

use anyhow::Result;
use interwork::Trace;
use serde::Serialize;

use super::world::World;
use super::{Heard, Side, Told};
use crate::output;

/// How long a message may take to arrive, and a sender to be told.
const PATIENCE: Duration = Duration::from_secs(10);

/// An XMPP user hears of failures only; how long one may take to come back beside a message that arrives.
const NO_ERROR: Duration = Duration::from_millis(50);

/// How long the hub may take to note an outcome that both users know already.
const NOTING: Duration = Duration::from_secs(1);

/// What became of one step.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    from: &'static str,
    to: &'static str,
    what: &'static str,
    milliseconds: f64,
    why: String,
    as_expected: bool,
}

/// Prints how much was as expected; whether all was.
pub(super) fn show(rows: &[Row], json: bool) -> Result<bool> {
    let (good, all) = (rows.iter().filter(|row| row.as_expected).count(), rows.len());
    if json {
        output::json(&serde_json::json!({ "ok": good == all, "as_expected": good, "steps": rows }))?;
    } else {
        output::text(&format!("{good} of {all} as expected"))?;
    }
    Ok(good == all)
}

/// Sends everything; prints one line for each as it happens, if wanted.
pub(super) async fn run(world: &mut World, prints: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        if prints {
            line(&row)?;
        }
        rows.push(row);
        anyhow::Ok(())
    };
    for from in Side::ALL {
        for to in Side::ALL.into_iter().filter(|to| *to != from) {
            add(deliver(world, from, to).await?)?;
        }
    }
    // One unknown user on every side, asked for by another.
    for (from, to) in [(Side::Sip, Side::Xmpp), (Side::Xmpp, Side::Native), (Side::Native, Side::Sip)] {
        add(refuse(world, from, to).await?)?;
    }
    for of in Side::ALL {
        for watcher in Side::ALL.into_iter().filter(|watcher| *watcher != of) {
            add(watch(world, of, watcher).await?)?;
        }
    }
    Ok(rows)
}

/// A message to a user who is there.
async fn deliver(world: &mut World, from: Side, to: Side) -> Result<Row> {
    let text = format!("Grüße von {} an {}: \"äöü ß\" <&> 👋🏽 — {}", from.name(), to.name(), to.user());
    let expected = Heard { by: to, from: from.address(), text };
    let start = Instant::now();
    let World { users, heard, .. } = &mut *world;
    let hear = async { (tokio::time::timeout(PATIENCE, heard.recv()).await.ok().flatten(), start.elapsed()) };
    let address = to.address();
    let patience = if from == Side::Xmpp { NO_ERROR } else { PATIENCE };
    let send = async { (users.send(from, &address, &expected.text, patience).await, start.elapsed()) };
    let ((told, told_after), (heard, heard_after)) = tokio::join!(send, hear);
    let told = told?;
    let took = if from == Side::Xmpp { heard_after } else { told_after.max(heard_after) };
    let trace = trace_of(world, from, to).await;
    let good = heard.as_ref() == Some(&expected) && !matches!(told, Some(Told::Refused(_)));
    let (what, detail) = match (&heard, &told) {
        (_, Some(Told::Refused(words))) => ("refused", format!("sender told {words}")),
        (None, _) => ("lost", "nothing arrived".to_owned()),
        (Some(heard), _) if *heard != expected => ("garbled", format!("{:?} from {} arrived", heard.text, heard.from)),
        (Some(_), Some(Told::Accepted(words))) => ("delivered", format!("sender told {words}")),
        (Some(_), None) => ("delivered", "no error came back".to_owned()),
    };
    Ok(row(from, to, what, took, why(trace.as_ref(), &detail), good))
}

/// A message to a user who is not there: its sender must be told.
async fn refuse(world: &World, from: Side, to: Side) -> Result<Row> {
    let start = Instant::now();
    let told = world.users.send(from, &format!("nobody@{}", to.domain()), "Is anybody there?", PATIENCE).await?;
    let took = start.elapsed();
    let trace = trace_of(world, from, to).await;
    let (good, what, words) = match told {
        Some(Told::Refused(words)) => (true, "refused", format!("no such user, sender told {words}")),
        Some(Told::Accepted(words)) => (false, "accepted", format!("no such user, but sender told {words}")),
        None => (false, "untold", "no such user, and sender not told".to_owned()),
    };
    Ok(row(from, to, what, took, why(trace.as_ref(), &words), good))
}

/// The presence of a user, for a watcher: asked for, allowed and seen with its status text.
async fn watch(world: &mut World, of: Side, watcher: Side) -> Result<Row> {
    let expected = Heard::seen(watcher, of.address(), of.note());
    let start = Instant::now();
    let World { users, heard, .. } = &mut *world;
    users.watch(watcher, &of.address()).await?;
    let seen = async {
        // Whoever is there may be told of more than once.
        while let Some(seen) = heard.recv().await {
            if seen == expected {
                return true;
            }
        }
        false
    };
    let good = tokio::time::timeout(PATIENCE, seen).await.unwrap_or(false);
    let (what, detail) = if good { ("seen", expected.text.as_str()) } else { ("unseen", "nothing was told") };
    let of_pair = |row: &interwork::Subscription| {
        row.watcher.to_string() == watcher.address() && row.presentity.to_string() == of.address()
    };
    let (_, rows) = world.gateway.core.subscriptions(None, 16).await;
    let standing = rows.iter().find(|row| of_pair(row));
    let standing = standing.map_or("no subscription".to_owned(), |row| format!("{}, {}", row.authorization, row.state));
    Ok(row(of, watcher, what, start.elapsed(), format!("presence; {standing}; {detail}"), good))
}

fn row(from: Side, to: Side, what: &'static str, took: Duration, why: String, as_expected: bool) -> Row {
    Row { from: from.name(), to: to.name(), what, milliseconds: took.as_secs_f64() * 1000.0, why, as_expected }
}

fn line(Row { from, to, what, milliseconds, why, .. }: &Row) -> Result<()> {
    let pair = format!("{from} -> {to}");
    output::text(&format!("{pair:<16}  {what:<9}  {milliseconds:>7.1} ms  why {why}"))
}

/// The newest trace of this pair, once its outcome is noted.
async fn trace_of(world: &World, from: Side, to: Side) -> Option<Trace> {
    let end = Instant::now() + NOTING;
    loop {
        let of_pair = |trace: &Trace| trace.from.as_str() == from.domain() && trace.to.as_str() == to.domain();
        let found = world.gateway.core.traces().recent(8).into_iter().find(of_pair);
        match found {
            Some(trace) if trace.outcome.is_some() || Instant::now() >= end => return Some(trace),
            None if Instant::now() >= end => return None,
            Some(_) | None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// Why the hub sent it where it did, what became of it, and what the users saw.
fn why(trace: Option<&Trace>, seen: &str) -> String {
    let Some(trace) = trace else { return format!("no trace; {seen}") };
    let route = trace.decision.as_ref().map_or("refused before routing", |decision| decision.why());
    let outcome = match &trace.outcome {
        Some(outcome) if outcome.reason().is_empty() => outcome.label().to_owned(),
        Some(outcome) => format!("{} ({})", outcome.label(), outcome.reason()),
        None => "no outcome yet".to_owned(),
    };
    format!("{route}; {outcome}; {seen}; trace {}", trace.id)
}
