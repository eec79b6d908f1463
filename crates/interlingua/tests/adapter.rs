//! `adapter test` before the first case; what it finds of a whole adapter stands in `tests/interop/external`.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use common::{Run, repository, run};
use std::path::Path;

/// A folder with the configuration of the Python template.
fn folder(command: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let template = repository("crates/adapter-external/python/template/gateway.toml");
    let config = std::fs::read_to_string(template).unwrap();
    std::fs::write(folder.path().join("gateway.toml"), config.replace(r#"["python3", "adapter.py"]"#, command))
        .unwrap();
    let capabilities = serde_json::json!({ "protocol": "line", "srv_label": null, "standing_link": true, "transports": [],
        "kinds": ["message"], "sends_as": "anyone", "acknowledgement": "device", "acknowledgement_of": {}, "answers_each": false,
        "repetition": "repeatable", "tells_failure": "never", "seals": [], "max_content": null, "presence": null, "fields": [] });
    std::fs::write(folder.path().join("line.capabilities.json"), capabilities.to_string()).unwrap();
    folder
}

fn judge(folder: &Path, more: &[&str], network: &[&str]) -> Run {
    let config = folder.join("gateway.toml");
    let args = ["adapter", "test", "--json", "--config", config.to_str().unwrap()];
    run(&[&args, more, &["--"], network].concat())
}

#[test]
fn what_cannot_be_judged_is_wrong_usage() {
    let whole = folder(r#"["true"]"#);
    let idle = folder("[]");
    for (folder, more) in [(&whole, &["--adapter", "other"][..]), (&idle, &[])] {
        let judged = judge(folder.path(), more, &["cat"]);
        assert_eq!(judged.code, 2, "{}", judged.stderr);
        assert!(judged.stdout.is_empty() && !judged.stderr.is_empty());
    }
    assert_eq!(run(&["adapter", "test", "--config", "gateway.toml"]).code, 2, "no network");
}

#[test]
fn a_network_that_says_no_profile_is_an_error() {
    let whole = folder(r#"["true"]"#);
    for (network, says) in [(&["echo", "no json"][..], "no json"), (&["true"], "ended"), (&["/no/such"], "started")] {
        let judged = judge(whole.path(), &[], network);
        assert_eq!(judged.code, 1, "{}", judged.stderr);
        assert!(judged.stderr.contains(says) || judged.stderr.contains("takes no line"), "{}", judged.stderr);
        assert!(judged.json().get("error").is_some());
    }
    assert_eq!(judge(Path::new("/no/such"), &[], &["true"]).code, 1);
}
