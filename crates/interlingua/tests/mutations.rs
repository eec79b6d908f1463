//! A thousand configurations with something wrong in them: each is refused or taken, none breaks `check` down.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::repository;
use interlingua::config::load_text;

/// Numbers that only depend on where they begin (Knuth's multiplier).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

/// What takes the place of a value or a word.
const ODD: [&str; 16] = [
    "\"\"",
    "-1",
    "99999999999999999999",
    "[]",
    "{}",
    "[[]]",
    "true",
    "\"\\u0000\"",
    "\"udp:\"",
    "\"[::1\"",
    "\"*.\"",
    "1e400",
    "\"0s\"",
    "\"${HOME}\"",
    "\"ü@é\"",
    "nan",
];

fn mutated(text: &str, draw: &mut Draw) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=draw.below(3) {
        let at = draw.below(lines.len());
        match draw.below(6) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[draw.below(lines.len())].clone()),
            2 => {
                let to = draw.below(lines.len());
                lines.swap(at, to);
            }
            3 => {
                if let Some((key, _)) = lines[at].split_once('=') {
                    lines[at] = format!("{key}= {}", ODD[draw.below(ODD.len())]);
                }
            }
            4 => {
                let characters: Vec<char> = lines[at].chars().collect();
                lines[at] = characters.into_iter().take(draw.below(40)).collect();
            }
            _ => lines[at] = lines[at].trim_start_matches(['#', ' ']).to_owned(),
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n")
}

#[test]
fn a_thousand_mutated_configurations_are_judged_without_breaking_down() {
    let mut files = vec![repository("configs/reference.toml"), repository("configs/quickstart.toml")];
    let examples = std::fs::read_dir(repository("configs/examples")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(examples.filter(|path| path.extension().is_some_and(|end| end == "toml")));
    files.sort();
    let texts: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let (mut draw, mut refused) = (Draw(7), 0);
    for _ in 0..1_000 {
        let text = mutated(&texts[draw.below(texts.len())], &mut draw);
        if let Err(report) = load_text(&text, Path::new("/nowhere/gateway.toml")) {
            assert!(!report.problems.is_empty() && !report.text().is_empty(), "{text}");
            refused += 1;
        }
    }
    assert!(refused > 300, "{refused}");
}

/// The reference with every key in force: all tables of all adapters, those that are added later, too.
fn everything() -> String {
    let reference = std::fs::read_to_string(repository("configs/reference.toml")).unwrap();
    let lines = reference.lines().filter(|line| !line.starts_with("##"));
    lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect()
}

/// A key without the places in its lists.
fn general(key: &str) -> String {
    key.split('.').filter_map(|part| part.split('[').next()).collect::<Vec<_>>().join(".")
}

#[test]
fn mutations_of_every_table_are_judged_and_each_table_is_met() {
    // Reading the system's authorities takes longer than all the rest.
    let text = everything().replace("\"system\"", "\"ca.pem\"");
    let value: toml::Table = text.parse().unwrap();
    let mut awaited: BTreeSet<String> = BTreeSet::new();
    for (name, table) in &value {
        let below = table.as_table().filter(|_| name == "adapter");
        match below {
            Some(adapters) => awaited.extend(adapters.keys().map(|adapter| format!("adapter.{adapter}"))),
            None => drop(awaited.insert(name.clone())),
        }
    }
    awaited.extend(["domain.echo", "domain.canary_every", "trace.otlp_endpoint", "archive.to"].map(str::to_owned));
    let (mut draw, mut met) = (Draw(11), BTreeSet::new());
    for _ in 0..400 {
        let text = mutated(&text, &mut draw);
        let Err(report) = load_text(&text, Path::new("/nowhere/gateway.toml")) else { panic!("{text}") };
        assert!(report.text().contains("remedy: "), "{text}");
        for problem in &report.problems {
            assert!(!problem.problem.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
            met.insert(general(&problem.key.to_string()));
        }
    }
    awaited.retain(|key| !met.iter().any(|found| found == key || found.starts_with(&format!("{key}."))));
    assert!(awaited.is_empty(), "nothing was found wrong in {awaited:?}");
}
