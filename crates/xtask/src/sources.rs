//! The files that can mark rules and cite specifications.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// How a file writes comments and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// `.rs`
    Rust,
    /// `.py`
    Python,
    /// `.play`: the whole file is one test.
    Play,
}

/// One file's text and its path from the repository's root.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) language: Language,
    pub(crate) text: String,
}

/// Reads every source below `crates` and `tests`, in the order of their paths.
pub(crate) fn collect(root: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for top in ["crates", "tests"] {
        walk(root, &root.join(top), &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name) {
                walk(root, &path, found)?;
            }
        } else if let Some(language) = language(&path) {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            found.push(Source { path, language, text });
        }
    }
    Ok(())
}

fn language(path: &Path) -> Option<Language> {
    match path.extension()?.to_str()? {
        "rs" => Some(Language::Rust),
        "py" => Some(Language::Python),
        "play" => Some(Language::Play),
        _ => None,
    }
}

/// Folders that hold data or build products.
const SKIPPED: &[&str] = &["target", "vectors", "corpus", "artifacts", "node_modules", "__pycache__"];
