//! `interlingua adapter`: begins a new adapter from the one that the guide explains.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::cli::Ended;
use crate::output;

/// Begin a new adapter
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write a small adapter that carries messages and presence of a toy protocol and passes the conformance kit
    New(NewArgs),
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// The protocol's name: letters a-z, digits and -
    name: String,
    /// The language to write it in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// Where to write it; omitted: crates/adapter-NAME
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a template is there for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Rust,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    match &args.action {
        Action::New(args) => new(args),
    }
}

fn new(args: &NewArgs) -> Result<Ended> {
    if !is_name(&args.name) {
        output::diagnose(&format!("{:?} is no name: letters a-z, digits and -, at most {MAX_NAME}", args.name));
        return Ok(Ended::Misused);
    }
    let files = match args.language {
        Language::Rust => RUST,
    };
    let folder = args.folder.clone().unwrap_or_else(|| Path::new("crates").join(format!("adapter-{}", args.name)));
    if folder.exists() {
        bail!("{} exists already", folder.display());
    }
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        std::fs::write(&path, renamed(text, &args.name)).with_context(|| path.display().to_string())?;
    }
    if args.json {
        let names: Vec<_> = files.iter().map(|(name, _)| name).collect();
        output::json(&json!({ "folder": folder, "files": names }))?;
    } else {
        output::text(&next_steps(&args.name, &folder))?;
    }
    Ok(Ended::Well)
}

fn next_steps(name: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "{folder} is written: a toy protocol under the name {name}.\n\
         Try it: cargo test -p adapter-{name}\n\
         Then change src/line.rs, src/mapping.rs and src/link.rs for your protocol, and tests/users for its network;\n\
         crates/adapter-api/README.md explains each step, and how to add it to the gateway.\n"
    )
}

/// The longest name; it becomes a label of metrics and part of a crate's name.
const MAX_NAME: usize = 32;

fn is_name(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    name.len() <= MAX_NAME
        && name.bytes().all(fits)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

/// The template under another name.
fn renamed(text: &str, name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let type_name: String = name.split('-').map(capitalised).collect();
    text.replace("adapter-line", &format!("adapter-{name}"))
        .replace("adapter_line", &format!("adapter_{}", name.replace('-', "_")))
        .replace("LineAdapter", &format!("{type_name}Adapter"))
        .replace("protocol: \"line\"", &format!("protocol: \"{name}\""))
        .replace("line.example", &format!("{name}.example"))
}

macro_rules! template {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../adapter-line/", $name)))),+]
    };
}

/// A crate of this workspace: what is built and judged is what is written.
const RUST: &[(&str, &str)] = template![
    "Cargo.toml",
    "README.md",
    "src/lib.rs",
    "src/adapter.rs",
    "src/config.rs",
    "src/line.rs",
    "src/link.rs",
    "src/mapping.rs",
    "tests/kit.rs",
    "tests/users/mod.rs",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_holds_every_file_and_under_its_own_name_it_is_itself() {
        fn files(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { files(&path, found) } else { found.push(path) }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapter-line");
        let mut found = Vec::new();
        files(&root, &mut found);
        let mut names: Vec<_> = found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        names.sort_unstable();
        let mut known: Vec<_> = RUST.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(known, names);
        for (name, text) in RUST {
            assert_eq!(renamed(text, "line"), *text, "{name}");
            let other = renamed(text, "my-net");
            for left in ["adapter-line", "adapter_line", "LineAdapter", "\"line\"", "line.example"] {
                assert!(!other.contains(left), "{name}: {left}");
            }
        }
        assert!(RUST.iter().any(|(_, text)| renamed(text, "my-net").contains("pub struct MyNetAdapter")));
    }

    #[test]
    fn names_become_crates_types_and_labels() {
        for name in ["irc", "my-net", "x2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2x", "-a", "a-", "a_b", "A", "ü", "a/b", "..", &"a".repeat(33)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
