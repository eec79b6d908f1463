//! A changed configuration taken over by a running gateway, by each of the ways to ask for it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod serving;

use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use common::{Run, command, run, text};
use serde_json::Value;
use serving::{CAROL, Gateway, HEAD};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A SIP server that says yes to each message.
fn sip_server() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Waits for a MESSAGE and accepts it.
fn accept_one(server: &UdpSocket) {
    let mut buffer = [0; 65536];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    let request = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(request.starts_with("MESSAGE "), "{request}");
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
    let headers = request.lines().filter(|line| copied.iter().any(|name| line.starts_with(&format!("{name}:"))));
    let headers: String = headers.map(|line| format!("{line}\r\n")).collect();
    let answer = format!("SIP/2.0 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
    server.send_to(answer.as_bytes(), from).unwrap();
}

fn domains(next_hop: SocketAddr) -> String {
    format!(
        "[[domain]]\nname = \"native.example\"\nadapter = \"native\"\n[[domain]]\nname = \"sip.example\"\nadapter = \"sip\"\n\
         next_hop = \"sip:{next_hop};transport=udp\"\n"
    )
}

struct World {
    gateway: Gateway,
    native: String,
    admin: String,
}

impl World {
    fn start(config: &str) -> Self {
        let mut gateway = Gateway::start(config);
        gateway.until("ready");
        let native = format!("http://{}", gateway.address("listening", "adapter_native"));
        let admin = format!("http://{}", gateway.address("admin API, metrics and health checks", "interlingua"));
        Self { gateway, native, admin }
    }

    fn write(&self, config: &str) {
        std::fs::write(self.gateway.folder.as_ref().unwrap().path().join("gateway.toml"), config).unwrap();
    }

    fn reload(&self) -> Run {
        let token = self.gateway.folder.as_ref().unwrap().path().join("admin.token");
        run(&["reload", "--admin", &self.admin, "--token-file", token.to_str().unwrap(), "--json"])
    }

    fn as_carol(&self) -> [&str; 4] {
        ["--server", &self.native, "--token", CAROL]
    }

    /// Sends a message that `server` is to get, and checks that it does.
    fn send_through(&self, server: &UdpSocket) {
        let args = [&["send", "alice@sip.example", "x", "--json"], &self.as_carol()[..]].concat();
        let sending = command(&args).stdout(Stdio::piped()).spawn().unwrap();
        accept_one(server);
        let told: Value = serde_json::from_slice(&sending.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(text(&told, "status"), "success", "{told}");
    }
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn a_change_is_taken_over_as_a_whole_without_dropping_a_stream() {
    let (first, second) = (sip_server(), sip_server());
    let (to_first, to_second) = (domains(first.local_addr().unwrap()), domains(second.local_addr().unwrap()));
    let mut world = World::start(&(HEAD.to_owned() + &to_first));
    let mut watching = command(&[&["watch", "--count", "2", "--json"], &world.as_carol()[..]].concat());
    let watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let native = world.native.clone();
    let to_carol =
        |body: &str| run(&["send", "carol@native.example", body, "--server", &native, "--token", CAROL]).code;
    assert_eq!(to_carol("before"), 0);
    world.send_through(&first);

    world.write(&(HEAD.replace("[log]", "[delivery]\nhold_timeout = \"3s\"\n[log]\nlevel = \"debug\"") + &to_second));
    let done = world.reload();
    assert_eq!(done.code, 0, "{} {}", done.stdout, done.stderr);
    assert_eq!(names(&done.json()["applied"]), ["log.level", "domain"]);
    assert_eq!(names(&done.json()["restart"]), ["delivery.hold_timeout"]);
    world.gateway.until("configuration loaded anew");
    world.send_through(&second);
    assert_eq!(to_carol("after"), 0);
    let watched = watching.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(watched).unwrap().lines().count(), 2);

    world.write(&(HEAD.to_owned() + &to_first));
    world.gateway.signal("HUP");
    world.gateway.until("configuration loaded anew");
    world.send_through(&first);
}

#[test]
fn native_users_come_go_and_change_their_tokens_while_those_who_stay_are_connected() {
    let config = |users: &str| HEAD.to_owned() + users + &domains("127.0.0.1:9".parse().unwrap());
    let user = |name: &str| {
        format!("[[adapter.native.user]]\naddress = \"{name}@native.example\"\ntoken_file = \"{name}.token\"\n")
    };
    let world = World::start(&config(""));
    let token = |name: &str, token: &str| {
        std::fs::write(world.gateway.folder.as_ref().unwrap().path().join(format!("{name}.token")), token).unwrap();
    };
    let mut watching = command(&[&["watch", "--count", "2", "--json"], &world.as_carol()[..]].concat());
    let watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let native = world.native.clone();
    let send = |token: &str, body: &str| {
        run(&["send", "carol@native.example", body, "--server", &native, "--token", token]).code
    };
    assert_eq!((send(CAROL, "one"), send("d4ve", "not yet")), (0, 1));
    token("dave", "d4ve");
    world.write(&config(&user("dave")));
    let done = world.reload().json();
    assert_eq!((names(&done["applied"]), names(&done["restart"])), (vec!["adapter.native.user"], vec![]), "{done}");
    assert_eq!(names(&done["details"]), ["adapter.native.user: 1 added, 0 gone, 0 changed, 1 as before"]);
    assert_eq!(send("d4ve", "two"), 0, "carol's stream is the one from before");
    let watched = String::from_utf8(watching.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(watched.lines().count(), 2, "{watched}");
    // The file of the same name has another token.
    token("dave", "n3w");
    let done = world.reload().json();
    assert_eq!(names(&done["details"]), ["adapter.native.user: 0 added, 0 gone, 1 changed, 1 as before"]);
    assert_eq!(names(&done["applied"]), ["adapter.native.user"]);
    let as_dave = |token: &str| run(&["send", "alice@sip.example", "x", "--server", &native, "--token", token]).stderr;
    assert!(as_dave("d4ve").contains("token"), "{}", as_dave("d4ve"));
    world.write(&config(""));
    assert_eq!(
        names(&world.reload().json()["details"]),
        ["adapter.native.user: 0 added, 1 gone, 0 changed, 1 as before"]
    );
    assert!(as_dave("n3w").contains("token"), "{}", as_dave("n3w"));
    assert_eq!(names(&world.reload().json()["applied"]), Vec::<&str>::new(), "nothing has changed since");
}

#[test]
fn a_wrong_file_is_refused_with_all_its_problems_and_nothing_changes() {
    let server = sip_server();
    let good = HEAD.to_owned() + &domains(server.local_addr().unwrap());
    let mut world = World::start(&good);
    world
        .write(&(good.replace("sip.example", "other.example") + "[policy]\nrelai = \"local\"\n[trace]\nrecent = -1\n"));
    let refused = world.reload();
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    for key in ["policy.relai", "trace.recent"] {
        assert!(refused.stderr.contains(key), "{key} is not in {}", refused.stderr);
    }
    world.send_through(&server);

    world.write(&(good.clone() + "[adapter.late]\ntype = \"sip\"\nlisten = [\"tcp:127.0.0.1:0\"]\n[[domain]]\nname = \"late.example\"\nadapter = \"late\"\n"));
    let refused = world.reload();
    assert!(refused.code == 1 && refused.stderr.contains("domain[2].adapter"), "{}", refused.stderr);
    world.gateway.signal("HUP");
    world.gateway.until("the configuration in use stays: the changed one is refused");
    world.send_through(&server);
}

#[test]
fn without_a_token_nobody_reloads() {
    let world = World::start(&(HEAD.to_owned() + &domains("127.0.0.1:9".parse().unwrap())));
    let refused = run(&["reload", "--admin", &world.admin]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--token-file"), "{}", refused.stderr);
}
