//! An example or more for every command: help and manual pages show them, a test reads each of them as a command line.

/// By command: what to type after `interlingua`, and what it is for.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    ("serve", &[("serve --config gw.toml", "run until SIGTERM; SIGHUP reloads")]),
    (
        "check",
        &[
            ("check --config gw.toml", "all problems at once, with remedies"),
            ("check --config gw.toml --json", "the same for a program"),
        ],
    ),
    (
        "demo",
        &[
            ("demo", "show everything, then serve the console"),
            ("demo --exit", "end after the report"),
            ("demo --exit --json", "the report for a program"),
        ],
    ),
    (
        "address",
        &[
            ("address 'sip:o%27hara@sip.example.com' --to xmpp", "the JID of a SIP user"),
            ("address juliet@example.org --to sip --json", "the SIP URI of a JID"),
        ],
    ),
    (
        "inspect",
        &[
            ("inspect cpim message.cpim", "read one message/cpim object"),
            ("inspect uri im:alice@example.com --json", "read a URI"),
            ("inspect pidf --json < presence.xml", "read a presence document from standard input"),
            ("inspect datetime 2026-11-23T04:05:06Z", "read a date and time"),
            ("inspect sip request.sip", "read one SIP message"),
            ("inspect stanza message.xml", "read one stanza"),
        ],
    ),
    ("translate", &[("translate --from sip --to xmpp request.sip", "what a SIP request becomes in XMPP")]),
    (
        "resolve",
        &[
            ("resolve im:juliet@example.org", "which protocol serves the domain, and where"),
            ("resolve im:romeo@sip.example.com --zone example.zone", "try records before they are published"),
        ],
    ),
    (
        "explain",
        &[
            ("explain romeo@sip.example.com juliet@example.org --config gw.toml", "where a message would go, and why"),
            (
                "explain romeo@sip.example.com juliet@example.org --kind presence --config gw.toml",
                "the same for a subscription",
            ),
        ],
    ),
    (
        "doctor",
        &[
            ("doctor --config gw.toml", "DNS, certificates and peers of every domain; the records to publish"),
            ("doctor partner.example --config gw.toml --json", "one domain, known or not, for a program"),
            ("doctor --config gw.toml --apart", "beside a gateway that does not answer any more"),
        ],
    ),
    ("send", &[("send romeo@sip.example.com 'Good morrow' --token-file carol.token", "send one message as carol")]),
    ("watch", &[("watch --token-file carol.token", "print what arrives for carol")]),
    (
        "health",
        &[
            ("health", "exit 0 if the gateway is alive"),
            ("health --ready --admin http://127.0.0.1:8080", "exit 0 if it can do its work"),
        ],
    ),
    (
        "status",
        &[
            ("status", "what a gateway on this host does"),
            ("status --admin unix:/run/interlingua/admin.sock", "over its socket file"),
        ],
    ),
    ("peers", &[("peers", "who can be reached, and how each has proven itself")]),
    ("subscriptions", &[("subscriptions --of romeo@sip.example.com", "whom he watches, and who him")]),
    ("trace", &[("trace 189b877fcef8e4a1", "where one message went; also by Call-ID or stanza id")]),
    (
        "queue",
        &[
            ("queue", "what waits to be tried again"),
            ("queue retry 000e68819e6dab41", "try one entry at once"),
            ("queue delete 000e68819e6dab41", "give it up; its sender is told"),
        ],
    ),
    ("reload", &[("reload", "read the configuration again; all of it or nothing")]),
    (
        "store",
        &[
            ("store check --config gw.toml", "look for damage; the gateway must be stopped"),
            ("store export --config gw.toml --content --output store.jsonl", "everything, to be imported elsewhere"),
            ("store import store.jsonl --config new.toml", "into a data directory that is empty"),
            ("store forget romeo@sip.example.com --config gw.toml", "every record that names a person"),
        ],
    ),
    (
        "config",
        &[("config reference", "every key with its default"), ("config schema", "the JSON schema, for editors")],
    ),
    (
        "adapter",
        &[
            ("adapter new parrot", "a small adapter in Rust, to be made one for a protocol of your own"),
            ("adapter new parrot --language python", "the same as a process of its own, in Python"),
            ("adapter test --config gateway.toml -- python3 network.py", "whether it keeps the contract, case by case"),
        ],
    ),
    ("completions", &[("completions bash", "for /usr/share/bash-completion/completions/interlingua")]),
    ("man", &[("man", "the manual page; `man -l -` shows it"), ("man explain", "the page of one command")]),
];

/// Puts the examples behind the help of each command.
pub(crate) fn attach(command: clap::Command) -> clap::Command {
    EXAMPLES.iter().fold(command, |command, (name, examples)| {
        command.mut_subcommand(name, |command| below(command.after_help(text(examples)), name, examples))
    })
}

/// The same for the commands below one, each with the examples that begin with it.
fn below(command: clap::Command, name: &str, examples: &[(&str, &str)]) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, inner| {
        let begins = format!("{name} {inner}");
        let own: Vec<_> = examples.iter().filter(|(line, _)| line.starts_with(&begins)).copied().collect();
        if own.is_empty() { command } else { command.mut_subcommand(inner, |inner| inner.after_help(text(&own))) }
    })
}

fn text(examples: &[(&str, &str)]) -> String {
    let lines = examples.iter().map(|(line, what)| format!("  interlingua {line}\n      {what}\n"));
    format!("Examples:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn every_command_has_an_example() {
        for command in cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
            assert!(EXAMPLES.iter().any(|(name, _)| *name == command.get_name()), "{}", command.get_name());
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let shown = inner.clone().render_help().to_string();
                assert!(shown.contains("Examples:"), "{} {}", command.get_name(), inner.get_name());
            }
        }
    }

    #[test]
    fn every_example_is_a_command_line() {
        for (line, _) in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            let typed = line.split(" < ").next().unwrap();
            // quotes hold no space but in the text of `send`
            let words: Vec<_> =
                typed.replace("'Good morrow'", "Good_morrow").replace('\'', "").split(' ').map(str::to_owned).collect();
            let parsed = cli::command().try_get_matches_from([vec!["interlingua".to_owned()], words].concat());
            // the files that it names are not here
            let missing = |error: &clap::Error| error.kind() == clap::error::ErrorKind::ValueValidation;
            assert!(parsed.as_ref().err().is_none_or(missing), "{line}: {parsed:?}");
        }
    }
}
