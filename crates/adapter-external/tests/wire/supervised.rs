//! The process that the gateway starts.

use crate::gate::{Gate, PATIENCE};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_process_that_dies_is_started_again_with_socket_and_name() {
    let script = r#"echo "$INTERLINGUA_INSTANCE $INTERLINGUA_SOCKET" >> "$0"; echo oops >&2; exit 1"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let command = ["/bin/sh", "-c", script, &path].map(str::to_owned).to_vec();
    let gate = Gate::open_with(|config| config.command = command).await;
    let until = Instant::now() + PATIENCE;
    let lines = loop {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= 2 {
            break lines;
        }
        assert!(Instant::now() < until, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let socket = gate.socket();
    assert_eq!(lines[1], format!("raw {}", socket.display()));
    gate.stop().await;
}

#[tokio::test]
async fn a_process_that_hangs_is_ended_with_the_gateway() {
    let command = ["/bin/sh", "-c", "exec sleep 600"].map(str::to_owned).to_vec();
    let gate = Gate::open_with(|config| config.command = command).await;
    gate.dial().await;
    tokio::time::timeout(PATIENCE, gate.stop()).await.unwrap();
}
