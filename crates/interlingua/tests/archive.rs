//! The archive: to a file, a socket and an HTTP server, and what becomes of messages when who takes the records hangs or vanishes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use common::{command, run, text};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde_json::Value;
use serving::{CAROL, Gateway, HEAD, admin};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

const NATIVE: &str = "[[domain]]\nname = \"native.example\"\nadapter = \"native\"\n[delivery]\nhold_timeout = \"8s\"\n";

struct World {
    gateway: Gateway,
    native: String,
    admin: String,
    watching: Child,
}

impl World {
    /// Carol, whose device takes what she sends to herself.
    fn start(folder: tempfile::TempDir, archive: &str) -> Self {
        Self::start_storing(folder, "", archive)
    }

    /// With more keys about what is stored.
    fn start_storing(folder: tempfile::TempDir, keys: &str, archive: &str) -> Self {
        let head = HEAD.replacen("[admin]", &format!("data_dir = \"data\"\n{keys}\n[admin]"), 1);
        let mut gateway = Gateway::start_in(folder, &format!("{head}{NATIVE}[archive]\n{archive}\n"));
        gateway.until("ready");
        let native = format!("http://{}", gateway.address("listening", "adapter_native"));
        let admin = gateway.address("admin API, metrics and health checks", "interlingua");
        let mut watch = command(&["watch", "--json", "--server", &native, "--token", CAROL]);
        let watching = watch.stdout(Stdio::null()).spawn().unwrap();
        Self { gateway, native, admin, watching }
    }

    /// How the gateway answers a message to carol.
    fn send(&self, body: &str) -> Value {
        run(&["send", "carol@native.example", body, "--server", &self.native, "--token", CAROL, "--json"]).json()
    }

    fn metrics_say(&self, line: &str) {
        let found = || admin(&self.admin, "/metrics").lines().any(|found| found == line);
        while !found() {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.watching.kill();
        let _ = self.watching.wait();
    }
}

fn lines_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Answers each line with its number, and passes it on.
fn consumer(path: PathBuf) -> Receiver<Value> {
    let (told, records) = mpsc::channel();
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            take(stream, &told);
        }
    });
    records
}

fn take(mut stream: UnixStream, told: &mpsc::Sender<Value>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let record: Value = serde_json::from_str(&line).unwrap();
        if writeln!(stream, "{}", record["n"]).is_err() || told.send(record).is_err() {
            return;
        }
    }
}

fn bodies(records: &[Value]) -> Vec<&str> {
    let taken = records.iter().filter(|record| text(record, "event") == "taken");
    taken.map(|record| record["content"]["forms"][0]["text"].as_str().unwrap_or_default()).collect()
}

#[test]
fn a_file_has_each_message_when_it_is_taken_and_when_it_ends() {
    for content in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("archive.jsonl");
        let world = World::start(folder, &format!("to = \"file:{}\"\ncontent = {content}", file.display()));
        let told = world.send("the words");
        while lines_of(&file).len() < 2 {
            thread::sleep(Duration::from_millis(20));
        }
        let lines = lines_of(&file);
        let [taken, ended] = &lines[..] else { panic!("{lines:#?}") };
        assert_eq!((text(taken, "event"), text(taken, "kind"), text(taken, "adapter")), ("taken", "message", "native"));
        assert_eq!((text(taken, "from"), text(taken, "to")), ("carol@native.example", "carol@native.example"));
        assert_eq!(text(taken, "trace"), text(&told, "trace"));
        assert_eq!(text(ended, "trace"), text(&told, "trace"));
        assert!(["delivered", "spooled"].contains(&text(ended, "event")), "{ended}");
        assert!(taken["n"].as_u64() < ended["n"].as_u64());
        let said = std::fs::read_to_string(&file).unwrap();
        assert_eq!(said.contains("the words"), content, "{said}");
        assert_eq!(bodies(&lines), [if content { "the words" } else { "" }]);
    }
}

#[test]
fn blocked_messages_wait_for_a_consumer_that_hangs_and_are_refused_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("archive.sock");
    // It takes connections and says nothing.
    let hanging = UnixListener::bind(&socket).unwrap();
    let to = format!("to = \"unix:{}\"\nwhen_away = \"block\"\ncontent = true", socket.display());
    let world = World::start(folder, &to);
    let refused = world.send("nobody takes it");
    assert_eq!((text(&refused, "status"), text(&refused, "error")), ("refused", "overload"), "{refused}");
    world.metrics_say("interlingua_archive_up 0");
    drop(hanging);
    std::fs::remove_file(&socket).unwrap();
    let records = consumer(socket);
    // What was refused is told, too, with its end.
    let mut seen = vec![records.recv_timeout(PATIENCE).unwrap(), records.recv_timeout(PATIENCE).unwrap()];
    assert_eq!(bodies(&seen), ["nobody takes it"]);
    assert_eq!(text(&seen[1], "event"), "refused");
    world.metrics_say("interlingua_archive_up 1");
    let passed = world.send("taken first");
    assert!(["success", "indeterminant"].contains(&text(&passed, "status")), "{passed}");
    seen.push(records.recv_timeout(PATIENCE).unwrap());
    assert_eq!(bodies(&seen), ["nobody takes it", "taken first"]);
    world.metrics_say("interlingua_archive_records_total{outcome=\"lost\"} 0");
}

#[test]
fn spooled_records_survive_the_gateway_and_come_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("archive.sock");
    let to = format!("to = \"unix:{}\"\nwhen_away = \"spool\"\ncontent = true", socket.display());
    let mut world = World::start(folder, &to);
    for body in ["one", "two", "three"] {
        let told = world.send(body);
        assert!(["success", "indeterminant"].contains(&text(&told, "status")), "{told}");
    }
    // One record when each is taken and one when each ends, at least.
    let spool = world.gateway.folder.as_ref().unwrap().path().join("data/archive.spool");
    while lines_of(&spool).len() < 6 {
        thread::sleep(Duration::from_millis(20));
    }
    let _ = world.gateway.child.kill();
    let _ = world.gateway.child.wait();
    let folder = world.gateway.folder.take().unwrap();
    drop(world);
    let records = consumer(socket);
    let world = World::start(folder, &to);
    let mut seen = Vec::new();
    while bodies(&seen).len() < 3 {
        seen.push(records.recv_timeout(PATIENCE).unwrap());
    }
    assert_eq!(bodies(&seen), ["one", "two", "three"]);
    let numbers: Vec<_> = seen.iter().map(|record| record["n"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    world.send("four");
    while bodies(&seen).len() < 4 {
        seen.push(records.recv_timeout(PATIENCE).unwrap());
    }
    assert_eq!(bodies(&seen)[3], "four");
    while std::fs::metadata(&spool).unwrap().len() > 0 {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_spool_under_a_key_says_nothing_and_forgets_whom_the_store_forgets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data.key"), "ab".repeat(32)).unwrap();
    let socket = folder.path().join("archive.sock");
    let to = format!("to = \"unix:{}\"\nwhen_away = \"spool\"\ncontent = true", socket.display());
    let key = "data_key_file = \"data.key\"";
    let mut world = World::start_storing(folder, key, &to);
    for body in ["the first words", "the second words"] {
        assert_ne!(text(&world.send(body), "status"), "refused");
    }
    let root = world.gateway.folder.as_ref().unwrap().path().to_owned();
    let spool = root.join("data/archive.spool");
    while std::fs::read_to_string(&spool).unwrap_or_default().lines().count() < 2 {
        thread::sleep(Duration::from_millis(20));
    }
    world.gateway.child.kill().unwrap();
    world.gateway.child.wait().unwrap();
    let folder = world.gateway.folder.take().unwrap();
    drop(world);
    let octets = std::fs::read_to_string(&spool).unwrap();
    assert!(!["carol", "words", "taken", "{"].iter().any(|said| octets.contains(said)), "{octets}");

    let config = root.join("gateway.toml");
    let forgotten = run(&["store", "forget", "carol@native.example", "--config", config.to_str().unwrap(), "--json"]);
    assert!(forgotten.code == 0 && forgotten.json()["records"].as_u64() >= Some(2), "{}", forgotten.stderr);
    assert_eq!(std::fs::metadata(&spool).unwrap().len(), 0);
    let records = consumer(socket);
    let world = World::start_storing(folder, key, &to);
    world.send("the third words");
    assert_eq!(bodies(&[records.recv_timeout(PATIENCE).unwrap()]), ["the third words"]);
}

/// A file that holds one line and takes no more.
fn full_file() -> std::fs::File {
    let file = memfd_create("spool", MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = std::fs::File::from(file);
    file.write_all(b"{\"n\":1,\"event\":\"old\"}\n").unwrap();
    fcntl_add_seals(&file, SealFlags::GROW).unwrap();
    file
}

#[test]
fn a_spool_that_cannot_be_written_holds_nobody_up_and_is_said_once() {
    let full = full_file();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let place = format!("/proc/{}/fd/{}", std::process::id(), full.as_raw_fd());
    std::os::unix::fs::symlink(place, folder.path().join("data/archive.spool")).unwrap();
    let socket = folder.path().join("archive.sock");
    let to = format!("to = \"unix:{}\"\nwhen_away = \"spool\"\ncontent = true", socket.display());
    let mut world = World::start(folder, &to);
    for body in ["one", "two"] {
        assert_ne!(text(&world.send(body), "status"), "refused");
    }
    world.gateway.until("the archive's spool cannot be written: messages will be refused");
    // They wait in memory, and come when the consumer does, behind what was on disk.
    let records = consumer(socket);
    let mut seen = Vec::new();
    while bodies(&seen).len() < 2 {
        seen.push(records.recv_timeout(PATIENCE).unwrap());
    }
    assert_eq!((text(&seen[0], "event"), bodies(&seen)), ("old", vec!["one", "two"]));
    world.gateway.signal("TERM");
    let rest: Vec<_> = world.gateway.log.by_ref().map_while(Result::ok).collect();
    assert!(!rest.iter().any(|line| line.contains("spool cannot be written")), "{rest:?}");
}

#[test]
fn messages_go_on_without_a_server_that_vanishes_and_it_shows() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("to = \"http://{}/records\"\ntoken_file = \"archive.token\"", server.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("archive.token"), "s3cret\n").unwrap();
    let world = World::start(folder, &to);
    let answering = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let (mut request, mut buffer) = (String::new(), [0; 65536]);
        while !request.ends_with("}\n") {
            let length = stream.read(&mut buffer).unwrap();
            request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        request
    });
    assert_ne!(text(&world.send("one"), "status"), "refused");
    let request = answering.join().unwrap();
    assert!(request.starts_with("POST /records HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer s3cret"), "{request}");
    assert!(request.contains("\"event\":\"taken\"") && !request.contains("\"content\""), "{request}");
    assert_ne!(text(&world.send("two"), "status"), "refused");
    world.metrics_say("interlingua_archive_up 0");
}
