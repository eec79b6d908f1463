//! `interlingua adapter`: begins a new adapter from the one that the guide explains, and judges adapters.

mod judge;
mod network;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::cli::Ended;
use crate::output;

/// Begin a new adapter, or judge one
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write a small adapter that carries messages and presence of a toy protocol and passes the conformance kit
    New(NewArgs),
    /// Judge an adapter in another process by the conformance kit
    Test(judge::TestArgs),
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// The protocol's name: letters a-z, digits and -
    name: String,
    /// The language to write it in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// Where to write it; omitted: crates/adapter-NAME, for Python adapter-NAME
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
    Python,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Ended> {
    match &args.action {
        Action::New(args) => new(args),
        Action::Test(args) => judge::run(args),
    }
}

fn new(args: &NewArgs) -> Result<Ended> {
    if !is_name(&args.name) {
        output::diagnose(&format!("{:?} is no name: letters a-z, digits and -, at most {MAX_NAME}", args.name));
        return Ok(Ended::Misused);
    }
    let (files, parent) = match args.language {
        Language::Rust => (RUST, "crates"),
        Language::Python => (PYTHON, ""),
    };
    let folder = args.folder.clone().unwrap_or_else(|| Path::new(parent).join(format!("adapter-{}", args.name)));
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
        output::text(&next_steps(args.language, &args.name, &folder))?;
    }
    Ok(Ended::Well)
}

fn next_steps(language: Language, name: &str, folder: &Path) -> String {
    let folder = folder.display();
    let written = format!("{folder} is written: a toy protocol under the name {name}.\n");
    match language {
        Language::Rust => format!(
            "{written}Try it: cargo test -p adapter-{name}\n\
             Then change src/line.rs, src/mapping.rs and src/link.rs for your protocol, and tests/users for its network;\n\
             crates/adapter-api/README.md explains each step, and how to add it to the gateway.\n"
        ),
        Language::Python => format!(
            "{written}Try it, with the package interlingua-adapter installed as its README.md says:\n\
             cd {folder}\n\
             python3 adapter.py --capabilities > {name}.capabilities.json\n\
             interlingua adapter test --config gateway.toml -- python3 network.py\n\
             Then change adapter.py for your protocol, and network.py for its users.\n"
        ),
    }
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
        .replace("\"line\", KINDS", &format!("\"{name}\", KINDS"))
        .replace("[adapter.line]", &format!("[adapter.{name}]"))
        .replace("adapter = \"line\"", &format!("adapter = \"{name}\""))
        .replace("line.sock", &format!("{name}.sock"))
        .replace("line.capabilities", &format!("{name}.capabilities"))
}

macro_rules! template {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../", $folder, "/", $name)))),+]
    };
}

type Files = &'static [(&'static str, &'static str)];

/// A crate of this workspace: what is built and judged is what is written.
const RUST: Files = template![
    "adapter-line":
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

/// The same protocol on the Python package.
const PYTHON: Files =
    template!["adapter-external/python/template": "README.md", "adapter.py", "gateway.toml", "network.py"];

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
        for (files_of, folder) in [(RUST, "../adapter-line"), (PYTHON, "../adapter-external/python/template")] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut found = Vec::new();
            files(&root, &mut found);
            // what Python leaves when the template is tried where it stands
            found.retain(|path| !path.components().any(|part| part.as_os_str() == "__pycache__"));
            let mut names: Vec<_> =
                found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
            names.sort_unstable();
            let mut known: Vec<_> = files_of.iter().map(|(name, _)| *name).collect();
            known.sort_unstable();
            assert_eq!(known, names);
            for (name, text) in files_of {
                assert_eq!(renamed(text, "line"), *text, "{name}");
                let other = renamed(text, "my-net");
                let left = ["adapter-line", "adapter_line", "LineAdapter", "\"line\"", "line.example", "adapter.line"];
                for left in left {
                    assert!(!other.contains(left), "{name}: {left}");
                }
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
