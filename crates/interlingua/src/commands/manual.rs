//! `interlingua completions` and `interlingua man`: what shells and manual readers want to know of the command line.

use std::io::stdout;

use anyhow::{Context, Result, bail};

use crate::cli::{self, Ended};
use crate::output;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the manual page of the program or of one command, for `man -l -`
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The command; the program itself without it
    command: Option<String>,
}

const NAME: &str = "interlingua";

/// Runs `completions`.
pub fn completions(args: &CompletionsArgs) -> Result<Ended> {
    clap_complete::generate(args.shell, &mut cli::command(), NAME, &mut stdout());
    Ok(Ended::Well)
}

/// Runs `man`.
pub fn man(args: &ManArgs) -> Result<Ended> {
    output::text(&page(args.command.as_deref())?)?;
    Ok(Ended::Well)
}

fn page(of: Option<&str>) -> Result<String> {
    let whole = cli::command();
    let (command, name) = match of {
        None => (whole, NAME.to_owned()),
        Some(wanted) => match whole.find_subcommand(wanted) {
            Some(found) => (found.clone(), format!("{NAME}-{wanted}")),
            None => bail!("there is no command {wanted}: see interlingua --help"),
        },
    };
    // A page is named by a 'static string, and this process prints one.
    let command = command.display_name(name.clone()).name(&*name.leak()).version(env!("CARGO_PKG_VERSION"));
    let mut roff = Vec::new();
    clap_mangen::Man::new(command).render(&mut roff).context("the manual page cannot be written")?;
    String::from_utf8(roff).context("the manual page is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        for command in cli::command().get_subcommands() {
            let page = page(Some(command.get_name())).unwrap();
            assert!(page.contains(".TH") && page.contains("Examples:"), "{}", command.get_name());
        }
        assert!(page(None).unwrap().contains("Exit status"));
        assert!(page(Some("dance")).is_err());
    }
}
