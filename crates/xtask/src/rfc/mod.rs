//! `cargo xtask rfc`: rule marks, citations, the conformance ledger and the README's support table.

mod catalogue;
mod citations;
mod ledger;
mod marks;
mod render;
mod sections;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::problem::Problem;
use crate::sources;

use catalogue::Catalogue;
use ledger::{Declared, Ledger};
use sections::Sections;

/// Lists every problem; without any, brings the generated texts up to date, or with `check` reports the stale ones.
pub(crate) fn run(root: &Path, check: bool) -> Result<Vec<Problem>> {
    let folder = root.join("tests/conformance");
    let catalogue = Catalogue::load(&folder.join("catalogue.json"))?;
    let sections = Sections::load(&folder.join("sections.json"))?;
    let declared = Declared::load(&folder.join("ledger.toml"))?;

    let mut problems = catalogue.problems(&sections);
    let mut marks = Vec::new();
    for source in sources::collect(root)? {
        let found = marks::find(&source);
        problems.extend(found.problems);
        marks.extend(found.marks);
        problems.extend(citations::check(&source, &sections));
    }
    let (ledger, refused) = Ledger::join(&catalogue, &declared, marks);
    problems.extend(refused);
    if problems.is_empty() {
        write(root, &ledger, check, &mut problems)?;
        println!("{}", ledger.summary());
    }
    problems.sort();
    Ok(problems)
}

fn write(root: &Path, ledger: &Ledger<'_>, check: bool, problems: &mut Vec<Problem>) -> Result<()> {
    update(root, LEDGER, &render::ledger(ledger), check, problems)?;
    match fs::read_to_string(root.join(README)) {
        Err(_) => println!("{README} does not exist yet: support table not written"),
        Ok(readme) => match render::between_markers(&readme, &render::support_table(ledger)) {
            Some(text) => update(root, README, &text, check, problems)?,
            None => problems.push(Problem::new(README, 0, format!("lacks {} and {}", render::BEGIN, render::END))),
        },
    }
    Ok(())
}

fn update(root: &Path, name: &str, text: &str, check: bool, problems: &mut Vec<Problem>) -> Result<()> {
    let path = root.join(name);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if check {
        problems.push(Problem::new(name, 0, "is stale: run `cargo xtask rfc`"));
        return Ok(());
    }
    println!("{name} written");
    fs::write(&path, text).with_context(|| format!("cannot write {name}"))
}

const LEDGER: &str = "tests/conformance/ledger.md";
const README: &str = "README.md";
