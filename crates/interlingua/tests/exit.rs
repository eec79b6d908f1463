//! How each command ends: 0 done, 1 refused or failed, 2 wrong usage. The table of `deploy/docs/operating.md`, line by line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;

use std::collections::BTreeSet;

use common::{repository, run, run_with};

const GOOD: &str = "[gateway]\nname = \"gw.example\"\ndata_dir = \"data\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[dns]\nzone_file = \"lab.zone\"\n\
    [adapter.native]\ntype = \"native\"\nlisten = \"127.0.0.1:0\"\n[[adapter.native.user]]\naddress = \"carol@native.example\"\ntoken = \"t\"\n\
    [[domain]]\nname = \"native.example\"\nadapter = \"native\"\n";
const ZONE: &str = "$ORIGIN example.\n$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\ngw IN A 127.0.0.1\n_im._sip.far IN SRV 0 0 5060 gw\n";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What is typed after `interlingua`, what it reads, and how it ends. GOOD, BAD, ZONE and DIR stand for files in a folder.
const TABLE: &[(&str, &str, i32)] = &[
    ("serve --config BAD", "", 1),
    ("serve", "", 2),
    ("check --config GOOD", "", 0),
    ("check --config BAD", "", 1),
    ("check", "", 2),
    ("demo --exit --json", "", 0),
    ("demo --json", "", 2),
    ("address romeo@sip.example --to sip", "", 0),
    ("address @ --to sip", "", 1),
    ("address romeo@sip.example --to smtp", "", 2),
    ("inspect uri", "sip:romeo@sip.example", 0),
    ("inspect uri", "@", 1),
    ("inspect poem", "", 2),
    (
        "translate --from native --to sip --as a@b.example",
        "{\"from\":\"a@b.example\",\"to\":\"c@d.example\",\"content_type\":\"text/plain\",\"body\":\"x\"}",
        0,
    ),
    ("translate --from native --to sip", "{}", 1),
    ("translate --from native", "", 2),
    ("resolve im:a@far.example --zone ZONE", "", 0),
    ("resolve im:a@gone.example --zone ZONE", "", 1),
    ("resolve", "", 2),
    ("explain carol@native.example carol@native.example --config GOOD", "", 0),
    ("explain a@one.example b@two.example --config GOOD", "", 1),
    ("explain a@one.example", "", 2),
    ("doctor gw.example --config GOOD", "", 0),
    ("doctor gone.example --config GOOD", "", 1),
    ("doctor", "", 2),
    ("send a@b.example x --token t --server NOWHERE", "", 1),
    ("send", "", 2),
    ("watch --token t --server NOWHERE", "", 1),
    ("watch --count many", "", 2),
    ("health --admin NOWHERE", "", 1),
    ("health --readily", "", 2),
    ("status --admin NOWHERE", "", 1),
    ("status --admin foo", "", 2),
    ("peers --admin NOWHERE", "", 1),
    ("peers --admin foo", "", 2),
    ("subscriptions --admin NOWHERE", "", 1),
    ("subscriptions --count many", "", 2),
    ("trace 1 --admin NOWHERE", "", 1),
    ("trace", "", 2),
    ("queue --admin NOWHERE", "", 1),
    ("queue burn", "", 2),
    ("reload --admin NOWHERE", "", 1),
    ("reload now", "", 2),
    ("store check --config GOOD", "", 1),
    ("store", "", 2),
    ("config reference", "", 0),
    ("config", "", 2),
    ("adapter new parrot --folder DIR", "", 0),
    ("adapter", "", 2),
    ("completions bash", "", 0),
    ("completions csh", "", 2),
    ("man", "", 0),
    ("man dance", "", 1),
    ("man check explain", "", 2),
];

#[test]
fn every_command_ends_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("good.toml"), GOOD).unwrap();
    std::fs::write(path("bad.toml"), "[gateway]\n").unwrap();
    std::fs::write(path("lab.zone"), ZONE).unwrap();
    for (typed, input, code) in TABLE {
        let words: Vec<_> = typed
            .split(' ')
            .map(|word| match word {
                "GOOD" => path("good.toml"),
                "BAD" => path("bad.toml"),
                "ZONE" => path("lab.zone"),
                "DIR" => path("parrot"),
                "NOWHERE" => NOWHERE.to_owned(),
                word => word.to_owned(),
            })
            .collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ended = run_with(&words, input.as_bytes());
        assert_eq!(ended.code, *code, "{typed}: {}{}", ended.stdout, ended.stderr);
        if *code == 2 {
            assert!(
                ended.stdout.is_empty() && !ended.stderr.is_empty(),
                "{typed}: wrong usage is told on standard error"
            );
        }
    }
}

#[test]
fn the_table_has_every_command_and_the_page_every_line_of_it() {
    let help = run(&["--help"]).stdout;
    let listed =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let listed = listed.filter(|line| !line.starts_with("   "));
    let commands: BTreeSet<_> =
        listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    let tried: BTreeSet<_> = TABLE.iter().filter_map(|(typed, ..)| typed.split(' ').next()).collect();
    assert_eq!(tried, commands);
    let page = std::fs::read_to_string(repository("deploy/docs/operating.md")).unwrap();
    for command in commands {
        assert!(
            page.lines().any(|line| line.starts_with(&format!("| `{command}`"))),
            "{command} is not in the page's table"
        );
        let shown = run(&[command, "--help"]);
        assert!(shown.stdout.contains("Examples:"), "{command} has no example");
        assert!(run(&["man", command]).stdout.contains("Examples:"), "{command}'s manual page has no example");
    }
}
