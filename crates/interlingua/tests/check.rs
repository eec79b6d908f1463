//! `interlingua check` and `config`, and every file in `configs/`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "test code")]

mod common;

use std::path::{Path, PathBuf};

use transport::tls::testkit::{Authority, San, Variant};

use common::{list, repository, run, text};
use serde_json::Value;

/// Writes a file and checks it.
fn check(toml: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    let run = run(&["check", "--config", file.to_str().unwrap(), "--json"]);
    let report = run.json();
    assert_eq!(run.code, i32::from(!list(&report, "problems").is_empty()), "{report}");
    report
}

/// Key, line and remedy of each problem.
fn problems(report: &Value) -> Vec<(&str, u64, &str)> {
    let row = |problem| (text(problem, "key"), problem["line"].as_u64().unwrap_or(0), text(problem, "remedy"));
    list(report, "problems").iter().map(row).collect()
}

const BAD: &str = r#"
[gateway]
nmae = "gw.example.net"

[admin]
listen = "0.0.0.0:8080"

[log]
format = "xml"

[adapter.sip]
type = "sip"
listen = ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060", "sctp:127.0.0.1:5061"]

[adapter.s2s]
type = "xmpp-c2s"

[adapter.odd]
type = "natvie"

[adapter.office]
type = "xmpp-component"
connect = "127.0.0.1"
domain = "sip.example.com"
secret_file = "nowhere.secret"

[[domain]]
name = "sip.example.com"
adapter = "spi"

[[domain]]
name = "SIP.example.com"
adapter = "office"
trusted = ["192.0.2.0/24", 7]

[[domain]]
name = "native.example"

[[domain]]
name = "open.example"
adapter = "sip"
trusted = ["0.0.0.0/0"]

[[route]]
to = "*bad"
adapter = "offce"
protocol = "xmpp"

[dns]
zone_file = "nowhere.zone"

[delivery]
hold_timeout = "2"
expiry = 5

[tls]
trust = ["system", "nowhere.pem"]
certificates = [{ certificate = "nowhere.pem", private_key = "nowhere.key" }]

[policys]
"#;

#[test]
fn a_token_for_looking_is_a_problem_where_no_token_is_needed_for_everything() {
    let report = check("[gateway]\nname = \"gw.example.net\"\n\n[admin]\nread_token_file = \"admin-read.token\"\n");
    let wanted = ("admin.read_token_file", 5, "set token_file, too");
    assert!(problems(&report).contains(&wanted), "{report}");
}

#[test]
fn all_problems_are_reported_at_once_with_key_line_and_remedy() {
    let report = check(BAD);
    let found = problems(&report);
    let expected = [
        "gateway.name",
        "gateway.nmae",
        "admin.token_file",
        "log.format",
        "adapter.sip.listen[0]",
        "adapter.sip.listen[1]",
        "adapter.sip.listen[2]",
        "adapter.s2s.type",
        "adapter.odd.type",
        "adapter.office.connect",
        "adapter.office.secret_file",
        "domain[0].adapter",
        "domain[1].name",
        "domain[1].trusted[1]",
        "domain[2].adapter",
        "domain[3].trusted[0]",
        "route[0].to",
        "route[0]",
        "route[0].adapter",
        "route[0].protocol",
        "dns.zone_file",
        "delivery.hold_timeout",
        "delivery.expiry",
        "tls.certificates[0].certificate",
        "tls.trust[1]",
        "policys",
    ];
    for key in expected {
        assert!(found.iter().any(|(found, ..)| *found == key), "{key} in {found:#?}");
    }
    for problem in &found {
        assert!(expected.contains(&problem.0), "unexpected {problem:?}");
        assert!(problem.1 > 1 && !problem.2.is_empty(), "{problem:?}");
    }
}

#[test]
fn what_is_nearly_right_is_suggested() {
    let report = check(BAD);
    let remedy = |key: &str| problems(&report).into_iter().find(|found| found.0 == key).map(|found| found.2.to_owned());
    assert_eq!(remedy("gateway.nmae").as_deref(), Some("did you mean \"name\"?"));
    assert_eq!(remedy("adapter.odd.type").as_deref(), Some("did you mean \"native\"?"));
    assert_eq!(remedy("policys").as_deref(), Some("did you mean \"policy\"?"));
    assert!(remedy("route[0].adapter").is_some_and(|remedy| remedy.contains("office")));
}

#[test]
fn text_names_the_file_the_line_and_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, BAD).unwrap();
    let run = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(run.code, 1);
    let expected = format!(
        "{}:9: problem: log.format = \"xml\": unknown value\n    remedy: write \"text\" or \"json\"",
        file.display()
    );
    assert!(run.stdout.contains(&expected), "{}", run.stdout);
    assert!(run.stdout.contains("26 problems"), "{}", run.stdout);
}

#[test]
fn a_secret_is_never_shown() {
    let toml = "[gateway]\nname = \"gw.example.net\"\n[adapter.native]\ntype = \"native\"\nlisten = \"127.0.0.1:8081\"\n\
        [[adapter.native.user]]\naddress = \"a@b.example\"\ntoken = \"s3cret with spaces\"\n";
    let report = check(toml);
    assert!(!problems(&report).is_empty());
    assert!(!report.to_string().contains("s3cret"), "{report}");
}

#[test]
fn a_secret_may_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let toml = "[gateway]\nname = \"gw.example.net\"\n[adapter.office]\ntype = \"xmpp-component\"\n\
        connect = \"127.0.0.1:5347\"\ndomain = \"a.example\"\nsecret = \"${INTERLINGUA_TEST_SECRET}\"\n";
    std::fs::write(&file, toml).unwrap();
    let code = |set: bool| {
        let mut command = common::command(&["check", "--config", file.to_str().unwrap()]);
        if set {
            command.env("INTERLINGUA_TEST_SECRET", "x");
        }
        command.output().unwrap().status.code()
    };
    assert_eq!((code(true), code(false)), (Some(0), Some(1)));
}

#[test]
fn warnings_do_not_fail() {
    let report = check("[gateway]\nname = \"gw.example.net\"\n[delivery]\nexpiry = \"1h\"\nwarn_after = \"1m\"\n");
    let keys: Vec<_> = list(&report, "warnings").iter().map(|warning| text(warning, "key")).collect();
    assert_eq!(report["ok"], Value::Bool(true));
    assert!(keys.contains(&"delivery.warn_after") && keys.contains(&"delivery.expiry"), "{keys:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let found = run(&["check", "--config", "/nonexistent/gateway.toml", "--json"]);
    assert_eq!((found.code, list(&found.json(), "problems").len()), (1, 1));
    assert_eq!(run(&["check"]).code, 2);
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

/// The examples name files with secrets and certificates; here they exist.
#[test]
fn every_configuration_in_the_repository_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    for secret in ["prosody.secret", "ejabberd.secret", "component.secret", "carol.token", "alerts.token"] {
        std::fs::write(folder.path().join(secret), format!("{secret}\n")).unwrap();
    }
    Authority::new("CA").issue(&[San::Dns("sip.example.com")]).write(folder.path(), "sip.example.com");
    let files = [toml_files(&repository("configs")), toml_files(&repository("configs/examples"))].concat();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let copy = folder.path().join(file.file_name().unwrap());
        std::fs::copy(&file, &copy).unwrap();
        let found = run(&["check", "--config", copy.to_str().unwrap()]);
        assert_eq!(found.code, 0, "{}", found.stdout);
    }
    let quickstart = run(&["check", "--config", repository("configs/quickstart.toml").to_str().unwrap(), "--json"]);
    assert_eq!((quickstart.code, list(&quickstart.json(), "warnings").len()), (0, 0), "{}", quickstart.stdout);
}

#[test]
fn the_zone_to_publish_is_a_zone() {
    let zone = repository("deploy/dns/interlingua.zone");
    let found = run(&["resolve", "im:romeo@sip.example.com", "--zone", zone.to_str().unwrap(), "--json"]);
    assert_eq!((found.code, text(&found.json(), "protocol")), (0, "_sip"), "{}", found.stderr);
}

#[test]
fn the_reference_is_up_to_date_and_valid_toml_when_uncommented() {
    let printed = run(&["config", "reference"]).stdout;
    let kept = std::fs::read_to_string(repository("configs/reference.toml")).unwrap();
    assert_eq!(printed, kept, "write it anew: interlingua config reference > configs/reference.toml");
    let live: String = kept.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect();
    let table: toml::Table = live.parse().unwrap();
    assert!(table.contains_key("adapter") && table.contains_key("route"));
    assert!(!kept.contains("= ..."), "a key without default or example");
}

#[test]
fn the_schema_knows_every_adapter() {
    let schema = run(&["config", "schema"]).json();
    let adapters = list(&schema["properties"]["adapter"]["additionalProperties"], "oneOf");
    let types: Vec<_> = adapters.iter().map(|adapter| text(&adapter["properties"]["type"], "const")).collect();
    assert_eq!(types, ["sip", "xmpp", "xmpp-component", "native", "external", "matrix"]);
}

#[test]
fn next_hops_and_protocols_must_be_of_use() {
    let report = check(
        r#"
[gateway]
name = "gw.example.net"
[adapter.native]
type = "native"
listen = "127.0.0.1:0"
[[adapter.native.user]]
address = "a@elsewhere.example"
token = "t"
[adapter.sip]
type = "sip"
listen = ["tcp:127.0.0.1:5060"]
[[domain]]
name = "native.example"
adapter = "native"
next_hop = "sip:192.0.2.1"
[[domain]]
name = "sip.example"
adapter = "sip"
next_hop = "192.0.2.1:5060"
[[domain]]
name = "tls.example"
adapter = "sip"
next_hop = "sip:192.0.2.1;transport=sctp"
[[route]]
to = "x.example"
protocol = "_xmpp"
[[route]]
to = "y.example"
next_hop = "smtp:192.0.2.1"
[[route]]
to = "z.example"
next_hop = "sip:192.0.2.1;transport=tcp"
"#,
    );
    let keys: Vec<_> = problems(&report).into_iter().map(|(key, ..)| key).collect();
    let expected =
        ["domain[0].next_hop", "domain[1].next_hop", "domain[2].next_hop", "route[0].protocol", "route[1].next_hop"];
    assert_eq!(keys, expected);
    let warned: Vec<_> = list(&report, "warnings").iter().map(|warning| text(warning, "key")).collect();
    assert_eq!(warned, ["adapter.native.user[0].address", "domain[1].trusted", "domain[2].trusted"]);
}

// checks: XST-009
#[test]
fn a_local_domain_that_no_certificate_names_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new("CA").issue(&[San::Dns("sip.example.com")]).write(folder.path(), "gw");
    let file = folder.path().join("gateway.toml");
    let domains = ["sip.example.com", "other.example"]
        .map(|name| format!("[[domain]]\nname = \"{name}\"\nadapter = \"sip\"\ntrusted = [\"127.0.0.1\"]\n"));
    let toml = format!(
        "[gateway]\nname = \"gw.example\"\n[tls]\ncertificates = [{{ certificate = \"gw.pem\", private_key = \"gw.key\" }}]\n\
         [adapter.sip]\ntype = \"sip\"\nlisten = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]\n\
         [adapter.xmpp]\ntype = \"xmpp\"\nlisten = [\"tcp:127.0.0.1:5269\"]\n{}",
        domains.concat()
    );
    std::fs::write(&file, toml).unwrap();
    let report = run(&["check", "--config", file.to_str().unwrap(), "--json"]).json();
    let named: Vec<_> = list(&report, "warnings")
        .iter()
        .filter(|warning| text(warning, "problem").contains("no certificate names"))
        .map(|warning| text(warning, "key"))
        .collect();
    assert_eq!((list(&report, "problems").len(), named), (0, vec!["domain[1].name"]), "{report}");
}

#[test]
fn a_trunk_says_what_it_lacks() {
    let report = check(
        "[gateway]\nname = \"gw.example\"\n[adapter.sip]\ntype = \"sip\"\nlisten = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]\n\
         [[domain]]\nname = \"sip.example\"\nadapter = \"sip\"\ntrusted = [\"127.0.0.1\"]\n\
         [domain.trunk]\npassword = \"x\"\nregister = true\nkeep_alive = \"1ms\"\n",
    );
    let keys: Vec<_> = problems(&report).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["domain[0].trunk.username", "domain[0].trunk.keep_alive"], "{report}");
}

#[test]
fn a_certificate_to_be_ordered_needs_an_authority_and_agreement() {
    let acme = "[gateway]\nname = \"gw.example.net\"\n[adapter.sip]\ntype = \"sip\"\nlisten = [\"tls:127.0.0.1:0\"]\n[tls.acme]\n";
    let report =
        check(&format!("{acme}directory = \"http://ca.example\"\ndomains = [\"localhost\"]\nfolder = \"acme\"\n"));
    let keys: Vec<_> = problems(&report).iter().map(|(key, ..)| *key).collect();
    assert_eq!(keys, ["tls.acme.agree_to_terms", "tls.acme.directory", "tls.acme.domains[0]"]);
    let good = "directory = \"https://ca.example/dir\"\nagree_to_terms = true\ndomains = [\"gw.example.net\"]\nfolder = \"acme\"\n";
    let report = check(&format!("{acme}{good}listen = \"127.0.0.1:8088\"\n"));
    assert_eq!(problems(&report), [], "a listener with TLS has a certificate to come");
    let warnings: Vec<_> = list(&report, "warnings").iter().map(|warning| text(warning, "key")).collect();
    assert!(["tls.acme.contact", "tls.acme.listen"].iter().all(|key| warnings.contains(key)), "{warnings:?}");
}

/// Key and text of each warning.
fn warnings(report: &Value) -> Vec<(&str, &str)> {
    list(report, "warnings").iter().map(|warning| (text(warning, "key"), text(warning, "problem"))).collect()
}

#[test]
fn who_listens_over_tls_shows_a_certificate_whatever_its_type() {
    let found = |listen: &str| {
        let report = check_with_files(&format!(
            "[gateway]\nname = \"gw.example\"\n\
             [tls]\ncertificates = [{{ certificate = \"good.pem\", private_key = \"good.key\" }}]\n\
             [adapter.irc]\ntype = \"external\"\n{listen}\ndomains = [\"irc.example\"]\n\
             capabilities_file = \"irc.json\"\n[[domain]]\nname = \"irc.example\"\nadapter = \"irc\"\n"
        ));
        warnings(&report).iter().any(|(key, _)| *key == "tls.certificates")
    };
    assert!(found("socket_file = \"irc.sock\""));
    assert!(!found(
        "listen = \"tls:127.0.0.1:7443\"\nclient_name = \"irc.adapters.example\"\nclient_authority_file = \"good.pem\""
    ));
}

#[test]
fn records_that_lie_in_the_spool_are_not_left_there_unsaid() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("gateway.toml"));
    std::fs::create_dir(&data).unwrap();
    std::fs::write(folder.path().join("data.key"), "ab".repeat(32)).unwrap();
    let left = |archive: &str| {
        std::fs::write(&file, format!("{SIP}trusted = [\"127.0.0.1/32\"]\n{archive}")).unwrap();
        let report = run(&["check", "--config", file.to_str().unwrap(), "--json"]).json();
        let left = warnings(&report).into_iter().filter(|(_, problem)| problem.contains("given to nobody"));
        left.map(|(key, _)| key.to_owned()).collect::<Vec<String>>()
    };
    let archive = |when| format!("[archive]\nto = \"http://127.0.0.1/\"\nwhen_away = \"{when}\"\n");
    let some = |key: &str| vec![key.to_owned()];
    for (records, without, blocks) in [("", vec![], vec![]), ("{}\n", some("archive"), some("archive.when_away"))] {
        std::fs::write(data.join("archive.spool"), records).unwrap();
        assert_eq!((left(""), left(&archive("block"))), (without, blocks));
        assert!(left(&archive("spool")).is_empty());
    }
}

const SIP: &str = "[gateway]\nname = \"gw.example\"\ndata_dir = \"data\"\ndata_key_file = \"data.key\"\n[adapter.sip]\ntype = \"sip\"\n\
    listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]\n[[domain]]\nname = \"sip.example\"\nadapter = \"sip\"\n";

/// Checks a file with the key of a store and a certificate beside it.
fn check_with_files(toml: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data.key"), "ab".repeat(32)).unwrap();
    let authority = Authority::new("CA");
    authority.issue(&[San::Dns("sip.example"), San::Dns("gw.example")]).write(folder.path(), "good");
    authority.issue(&[San::Dns("elsewhere.example")]).write(folder.path(), "other");
    authority.issue_variant(&[San::Dns("sip.example")], &Variant::expired()).write(folder.path(), "old");
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    run(&["check", "--config", file.to_str().unwrap(), "--json"]).json()
}

// checks: CMPN-005
#[test]
fn each_thing_that_is_legal_and_unwise_is_a_warning_of_its_own() {
    let trusted = "trusted = [\"127.0.0.1/32\"]\n";
    let sound = format!("{SIP}{trusted}");
    let report = check_with_files(&sound);
    assert_eq!((problems(&report), warnings(&report)), (vec![], vec![]));
    let office = "[adapter.office]\ntype = \"xmpp-component\"\nconnect = \"127.0.0.1:5347\"\ndomain = \"sip.example\"\nsecret = \"x\"\n";
    let servers = "[adapter.xmpp]\ntype = \"xmpp\"\nlisten = [\"tcp:127.0.0.1:5269\"]\n";
    let tls = |name: &str| {
        format!("[tls]\ncertificates = [{{ certificate = \"{name}.pem\", private_key = \"{name}.key\" }}]\n")
    };
    for (toml, key, said) in [
        (sound.replace("127.0.0.1/32", "10.0.0.0/8"), "domain[0].trusted[0]", "over UDP"),
        (format!("{sound}[delivery]\nexpiry = \"0s\"\n"), "delivery.expiry", "expires at once"),
        (format!("{sound}[delivery]\nexpiry = \"365d\"\n"), "delivery.expiry", "practically no expiry"),
        (sound.replace("data_key_file = \"data.key\"\n", ""), "gateway.data_dir", "not encrypted"),
        (format!("{sound}{office}acknowledge = \"none\"\n"), "adapter.office.acknowledge", "nobody hears"),
        (
            format!(
                "{sound}{servers}[[adapter.xmpp.peer]]\ndomain = \"quiet.example\"\nacknowledge = \"none\"\n{}",
                tls("good")
            ),
            "adapter.xmpp.peer[0].acknowledge",
            "nobody hears",
        ),
        (
            format!("{sound}{}", office.replace("127.0.0.1:5347", "192.0.2.1:5347")),
            "adapter.office.connect",
            "has no TLS",
        ),
        (format!("{sound}[delivery]\nnotice = \"off\"\n"), "delivery.notice", "hear of no failure"),
        (format!("{sound}{}", tls("old")), "tls.certificates[0].certificate", "expired"),
        (format!("{sound}{servers}{}", tls("other")), "domain[0].name", "no certificate names sip.example"),
    ] {
        let report = check_with_files(&toml);
        let found = warnings(&report);
        assert!(problems(&report).is_empty(), "{key}: {report:#}");
        assert_eq!(found.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key], "{toml}");
        assert!(found[0].1.contains(said), "{found:?}");
    }
    // What others could not reach is more than odd.
    let wildcard = check_with_files(&sound.replace("tcp:127.0.0.1:5060", "tcp:0.0.0.0:5060"));
    assert!(problems(&wildcard).iter().any(|(key, ..)| *key == "adapter.sip.listen[1]"), "{wildcard:#}");
}

#[test]
fn settings_without_effect_are_warnings() {
    let report = check(
        r#"
[gateway]
name = "gw.example"
[gateway.limits]
messages = 7
disk_reserve = 1
[adapter.native]
type = "native"
listen = "127.0.0.1:8081"
[[adapter.native.user]]
address = "a@native.example"
token = "t"
[[domain]]
name = "native.example"
adapter = "native"
trusted = ["127.0.0.1"]
canary_every = "1m"
[[route]]
to = "*.example.org"
adapter = "native"
[[route]]
to = "a.example.org"
adapter = "native"
[[route]]
to = "native.example"
adapter = "native"
[routing]
supported = ["_xmpp"]
[trace]
keep = "1h"
[[policy.rule]]
action = "deny"
kinds = ["message", "subscribe"]
[[policy.rule]]
from = "x.example"
kinds = ["message"]
action = "allow"
"#,
    );
    assert_eq!(problems(&report), []);
    let keys: Vec<_> = warnings(&report).iter().map(|(key, _)| *key).collect();
    let expected = [
        "gateway.limits.messages",
        "gateway.limits.disk_reserve",
        "domain[0].trusted",
        "domain[0].canary_every",
        "route[1]",
        "route[2]",
        "routing.supported[0]",
        "trace.keep",
        "policy.rule[1]",
    ];
    assert_eq!(keys, expected, "{report:#}");
    assert!(
        warnings(&report).iter().all(|(_, said)| said.contains("no effect") || said.contains("never used")),
        "{report:#}"
    );
}

#[test]
fn no_problem_hides_another() {
    let report = check_with_files(
        r#"
[gateway]
name = "gw.example"
[admin]
listen = "0.0.0.0:8080"
read_token_file = "data.key"
[log]
level = "loud,quiet"
[adapter.sip]
type = "sip"
listen = ["tls:127.0.0.1:5061"]
[tls]
trust = ["nowhere.pem"]
certificates = [
    { certificate = "nowhere.pem", private_key = "nowhere.key" },
    { certificate = "old.pem", private_key = "old.key" },
]
[tls.acme]
directory = "http://ca.example"
domains = ["localhost"]
folder = "acme"
"#,
    );
    let keys: Vec<_> = problems(&report).iter().map(|(key, ..)| *key).collect();
    for key in [
        "admin.token_file",
        "admin.read_token_file",
        "log.level",
        "tls.trust[0]",
        "tls.certificates[0].certificate",
        "tls.acme.directory",
        "tls.acme.agree_to_terms",
        "tls.acme.domains[0]",
    ] {
        assert!(keys.contains(&key), "{key} in {report:#}");
    }
    let level = list(&report, "problems").iter().find(|problem| text(problem, "key") == "log.level").unwrap();
    assert!(text(level, "problem").contains("loud") && text(level, "problem").contains("quiet"), "{level}");
    assert!(
        warnings(&report)
            .iter()
            .any(|(key, said)| *key == "tls.certificates[1].certificate" && said.contains("expired")),
        "{report:#}"
    );
}

#[test]
fn a_next_hop_that_is_this_gateway_is_refused() {
    let report = check(
        r#"
[gateway]
name = "gw.example"
[adapter.sip]
type = "sip"
listen = ["tcp:0.0.0.0:5060", "tls:127.0.0.1:5061"]
advertise = ["tcp:203.0.113.5:5060"]
[adapter.xmpp]
type = "xmpp"
listen = ["tcp:127.0.0.1:5269"]
[[domain]]
name = "a.example"
adapter = "sip"
next_hop = "sip:127.0.0.1"
[[domain]]
name = "b.example"
adapter = "sip"
next_hop = "sip:203.0.113.5:5060;transport=tcp"
[[domain]]
name = "c.example"
adapter = "sip"
next_hop = "sip:127.0.0.1:15060"
[[route]]
to = "d.example"
next_hop = "xmpp:127.0.0.1:5269"
"#,
    );
    let own: Vec<_> = list(&report, "problems")
        .iter()
        .filter(|problem| text(problem, "problem").contains("leads back to this gateway"))
        .map(|problem| text(problem, "key"))
        .collect();
    assert_eq!(own, ["domain[0].next_hop", "domain[1].next_hop", "route[0].next_hop"], "{report:#}");
}

#[test]
fn an_archive_and_an_echo_say_what_they_lack() {
    let head = "[gateway]\nname = \"gw.example\"\n[adapter.sip]\ntype = \"sip\"\nlisten = [\"tcp:127.0.0.1:5060\"]\n[[domain]]\nname = \"sip.example\"\nadapter = \"sip\"\ntrusted = [\"127.0.0.1\"]\n";
    for (toml, key) in [
        ("echo = \"echo@other.example\"\n", "domain[0].echo"),
        ("echo = \"interlingua-canary@sip.example\"\n", "domain[0].echo"),
        ("echo = \"echo@sip.example\"\ncanary_every = \"1s\"\n", "domain[0].canary_every"),
        ("[archive]\nto = \"file:/var/log/archive.jsonl\"\nwhen_away = \"spool\"\n", "archive.when_away"),
        ("[archive]\nto = \"archive.jsonl\"\n", "archive.to"),
        ("[archive]\nto = \"https://archive.example/\"\n", "archive.to"),
        ("[archive]\nto = \"unix:/nowhere/archive.sock\"\nwhen_away = \"block\"\n", "archive.to"),
        ("[archive]\nto = \"http://127.0.0.1/\"\ntoken_file = \"nowhere.token\"\n", "archive.token_file"),
        ("[archive]\n", "archive.to"),
    ] {
        let report = check(&format!("{head}{toml}"));
        assert_eq!(problems(&report).iter().map(|(key, ..)| *key).collect::<Vec<_>>(), [key], "{toml}: {report:#}");
    }
    for (toml, key) in [
        ("[archive]\nto = \"file:/var/log/archive.jsonl\"\n", "archive.when_away"),
        ("[archive]\nto = \"http://192.0.2.1/\"\nwhen_away = \"block\"\n", "archive.to"),
        (
            "[archive]\nto = \"file:/var/log/archive.jsonl\"\nwhen_away = \"block\"\ntoken_file = \"x\"\n",
            "archive.token_file",
        ),
        ("[archive]\nto = \"file:/var/log/archive.jsonl\"\nwhen_away = \"block\"\nkinds = []\n", "archive.kinds"),
    ] {
        let report = check(&format!("{head}{toml}"));
        assert_eq!(warnings(&report).iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key], "{toml}: {report:#}");
    }
}
