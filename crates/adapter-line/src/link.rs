//! One connection: the I/O around lines.

use crate::adapter::Shared;
use crate::line::{Line, MAX_LINE_LEN};
use crate::mapping;
use adapter_api::model::{Address, Basic, Device, Endpoint, Operation, Outcome, Proof};
use adapter_api::{Hub, Provenance, Settle, Settlement, SourceProof, SpeaksFor, Token};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, hub: Hub, socket: TcpStream, number: u64) {
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::new(read);
    let Some((user, device)) = hello(&shared, &mut read).await else { return };
    let Some(mut lines) = shared.enter(&user, number) else { return };
    let (answers, mut answered) = mpsc::channel(MAX_ANSWERS);
    let link = Link { shared: &shared, hub: &hub, user: &user, device: &device, answers };
    let writing = async {
        let mut welcome = Some(Line::new("HI", []));
        loop {
            if let Some(line) = welcome.take()
                && write.write_all(format!("{line}\n").as_bytes()).await.is_err()
            {
                return;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                line = answered.recv() => line,
            };
            let Some(line) = line else { return };
            if write.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = link.read(&mut read) => {}
        () = writing => {}
    }
    shared.leave(&user, number);
    let gone = Endpoint { address: user.clone(), device: Some(device) };
    let told = mapping::state(gone, Basic::Closed, &format!("gone-{number}"));
    hub.submit_and_wait(told, provenance(&hub, &user)).await;
}

/// Messages of one connection that may wait for the hub; its reader waits with more.
const MAX_ANSWERS: usize = 256;

type Reader = BufReader<tokio::net::tcp::OwnedReadHalf>;

/// The next line; none at the end, and when it is too long or not text.
async fn next(read: &mut Reader) -> Option<String> {
    let mut octets = Vec::new();
    let limit = u64::try_from(MAX_LINE_LEN + 1).unwrap_or(u64::MAX);
    read.take(limit).read_until(b'\n', &mut octets).await.ok()?;
    (octets.pop()? == b'\n').then(|| String::from_utf8(octets).ok())?
}

async fn hello(shared: &Shared, read: &mut Reader) -> Option<(Address, Device)> {
    let line = Line::parse(&next(read).await?).ok()?;
    match (line.verb.as_str(), line.fields.as_slice()) {
        ("HELLO", [user, device]) => {
            Some((Address::new(user, shared.config.domain.clone()).ok()?, Device::new(device).ok()?))
        }
        _ => None,
    }
}

/// The toy has no passwords: who connects is who it says, and may speak for that user alone.
fn provenance(hub: &Hub, user: &Address) -> Arc<Provenance> {
    Arc::new(Provenance {
        may_repeat: false,
        adapter: hub.instance().clone(),
        peer: user.domain().as_str().into(),
        proof: SourceProof::TrustedAddress,
        speaks_for: SpeaksFor::Address(user.clone()),
    })
}

struct Link<'l> {
    shared: &'l Shared,
    hub: &'l Hub,
    user: &'l Address,
    device: &'l Device,
    answers: mpsc::Sender<Line>,
}

impl Link<'_> {
    async fn read(&self, read: &mut Reader) {
        let mut number = 0;
        while let Some(text) = next(read).await {
            let Ok(line) = Line::parse(&text) else { return };
            number += 1;
            match (line.verb.as_str(), line.fields.as_slice()) {
                ("OK", [id]) => self.shared.answered(self.user, id, &Outcome::Success(Proof::Recipient)),
                ("NO", [id, code]) => self.shared.answered(self.user, id, &mapping::to_failure(code).into()),
                _ => self.submit(&line, number).await,
            }
        }
    }

    async fn submit(&self, line: &Line, number: u64) {
        let Ok(room) = self.answers.clone().reserve_owned().await else { return };
        let id = line.fields.first().cloned().unwrap_or_default();
        let Some(operation) = mapping::to_operation(self.user, self.device, line, number) else {
            room.send(Line::new("NO", [id.as_str(), "bad-request"]));
            return;
        };
        let room = matches!(operation, Operation::Message(_)).then_some(room);
        let settle = Settle::new(Arc::new(Asked { id, room: Mutex::new(room) }), 0);
        self.hub.submit(operation, provenance(self.hub, self.user), settle);
    }
}

/// Answers a user's message when the hub has settled it.
struct Asked {
    id: String,
    room: Mutex<Option<mpsc::OwnedPermit<Line>>>,
}

impl Settlement for Asked {
    fn settled(&self, _: Token, outcome: Outcome) {
        if let Some(room) = self.room.lock().take() {
            room.send(mapping::to_answer(&self.id, &outcome));
        }
    }
}
